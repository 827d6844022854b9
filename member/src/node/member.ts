// One member: the modules around the core put together, and what the front ends may ask of it. Everything outside the
// process arrives through the options, so that the simulator runs this code unchanged.

import type { Clock, Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { Prng } from '../../../lib/prng.ts'
import { encodeRequest, FEATURE_LEVEL, type RequestBody } from '../apply/request.ts'
import type { ApplyResult, StateMachine } from '../apply/state-machine.ts'
import type { MemberId, SoftState } from '../raft/types.ts'
import { RawNode } from '../raft/raw-node.ts'
import type { Transport } from '../transport/transport.ts'
import type { FileSystem } from '../wal/file-system.ts'
import { Applier } from './applier.ts'
import { Driver } from './driver.ts'
import type { DataDirectory } from './data-directory.ts'
import type { Identity, InitialMember } from './identity.ts'
import type {
  CallOptions,
  DeleteResult,
  GetResult,
  MemberNode,
  MemberState,
  NodeInfo,
  NodeObserver,
  PutResult,
} from './member-node.ts'
import { deleteResult, getResult, putResult } from './outcomes.ts'
import { Proposals } from './proposals.ts'
import { Publisher } from './publisher.ts'
import { Reads } from './reads.ts'
import { type Recovered, recover, restoreState } from './recovery.ts'
import type { NodeSettings } from './settings.ts'
import { Snapshotter } from './snapshotter.ts'
import { type MemberStatus, memberStatus } from './status.ts'
import { bestSuccessor } from './successor.ts'
import { Ticker } from './ticker.ts'

export interface MemberOptions {
  /** Locked; released by `stop`, and when `open` rejects. */
  readonly directory: DataDirectory
  /** Whom a cluster that does not exist yet is made of. */
  readonly initialMembers: readonly InitialMember[]
  /** What this member tells the others about itself. */
  readonly attributes: {
    readonly peerUrls: readonly string[]
    readonly clientUrls: readonly string[]
    readonly apiUrls: readonly string[]
    readonly version: string
  }
  readonly settings: NodeSettings
  readonly fs: FileSystem
  readonly transport: Transport
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  readonly log: Logger
  readonly metrics?: NodeObserver
  /** Identity of this process: 16 hex digits, new at each start. */
  readonly origin: string
  /** The member must end: the disk failed or an invariant broke. Called at most once. */
  readonly onFailure: (error: unknown) => void
}

export class Member implements MemberNode {
  readonly #options: MemberOptions
  readonly #recovered: Recovered
  readonly #proposals: Proposals<ApplyResult>
  readonly #reads: Reads
  readonly #applier: Applier
  readonly #driver: Driver
  readonly #snapshotter: Snapshotter
  readonly #publisher: Publisher
  #state: MemberState = 'recovering'
  #lastLeader: MemberId | undefined
  #softStateListeners = new Set<(state: SoftState) => void>()

  /** Reads the data directory and builds the member; nothing runs or listens yet. */
  static async open(options: MemberOptions): Promise<Member> {
    try {
      const recovered = await recover({
        ...options,
        onFlush: (durationMs, bytes) => options.metrics?.flushed(durationMs, bytes),
      })
      return new Member(options, recovered)
    } catch (error) {
      await options.directory.release()
      throw error
    }
  }

  private constructor(options: MemberOptions, recovered: Recovered) {
    const { clock, settings, origin } = options
    const { identity } = options.directory
    this.#options = options
    this.#recovered = recovered
    this.#proposals = new Proposals({ clock, limits: settings })
    this.#reads = new Reads({
      clock,
      readsMax: settings.readsMax,
      retryMs: settings.readRetryMs,
      origin,
    })
    this.#applier = new Applier({
      stateMachine: recovered.stateMachine,
      proposals: this.#proposals,
      reads: this.#reads,
      clock,
      origin,
      tailBytesMax: settings.tailBytesMax,
      onApplied: (entries) => options.metrics?.applied(entries),
    })
    this.#driver = this.#createDriver()
    this.#snapshotter = this.#createSnapshotter()
    this.#publisher = new Publisher({
      record: {
        id: identity.memberId,
        name: identity.name,
        level: FEATURE_LEVEL,
        ...options.attributes,
      },
      recorded: () => this.stateMachine.members.get(identity.memberId),
      propose: (request) =>
        this.#propose(request, { timeoutMs: settings.publishTimeoutMs }, (result) => result),
      timers: options.timers,
      log: options.log,
    })
  }

  get identity(): Identity {
    return this.#options.directory.identity
  }

  get stateMachine(): StateMachine {
    return this.#applier.stateMachine
  }

  get driver(): Driver {
    return this.#driver
  }

  /** Number of requests of this process that wait for their outcome. */
  get pendingCount(): number {
    return this.#proposals.count + this.#reads.count
  }

  get snapshotIndex(): number {
    return this.#snapshotter.index
  }

  /** Opens the peer listeners and takes part in the cluster. Rejects with ADDRESS_IN_USE. */
  async start(): Promise<void> {
    this.#setPeers()
    await this.#options.transport.start(this.#driver)
    this.#driver.start()
    this.#state = 'running'
  }

  /** Hands leadership over if this member leads and another can take it; resolves at the latest after `timeoutMs`. */
  async handOver(timeoutMs: number): Promise<void> {
    const { memberId } = this.identity
    if (this.#driver.leader !== memberId || this.#driver.raft.confState.voters.length < 2) return
    try {
      await this.transferLeader(undefined, { timeoutMs })
    } catch (err) {
      this.#options.log.warn({ err }, 'leadership not handed over')
    }
  }

  /** Ends every waiting request, flushes, closes the links and the log, and releases the data directory. */
  async stop(graceMs: number): Promise<void> {
    this.#state = 'stopping'
    this.#publisher.stop()
    const error = new RaftbaseError('SHUTTING_DOWN', 'the member is stopping')
    this.#proposals.close(error)
    this.#reads.close(error)
    await this.#driver.stop()
    await this.#snapshotter.stop()
    await this.#options.transport.stop(graceMs)
    await this.#recovered.wal.close()
    await this.#options.directory.release()
  }

  // MemberNode

  put(
    { key, value }: { key: Uint8Array; value: Uint8Array },
    options: CallOptions,
  ): Promise<PutResult> {
    return this.#propose({ type: 'put', key, value }, options, putResult)
  }

  delete({ key }: { key: Uint8Array }, options: CallOptions): Promise<DeleteResult> {
    return this.#propose({ type: 'deleteRange', key }, options, deleteResult)
  }

  async get(
    request: { key: Uint8Array; consistency: 'linearizable' | 'serializable'; revision?: number },
    options: CallOptions,
  ): Promise<GetResult> {
    if (request.consistency === 'linearizable') {
      const confirmed = this.#reads.wait(options.timeoutMs)
      this.#driver.wake()
      await confirmed
    }
    return getResult(this.stateMachine, request)
  }

  async transferLeader(target: MemberId | undefined, options: CallOptions): Promise<MemberId> {
    const { raft } = this.#driver
    const chosen = target ?? bestSuccessor(raft)
    if (this.#driver.leader !== this.identity.memberId) {
      throw new RaftbaseError('NOT_LEADER', 'this member does not lead', {
        details: { leader: this.#driver.leader },
      })
    }
    if (chosen === undefined) throw new RaftbaseError('NO_LEADER', 'no other voter can take over')
    if (chosen === this.identity.memberId) return chosen
    const result = this.#driver.transferLeader(chosen)
    if (!result.accepted) {
      throw new RaftbaseError('INVALID_ARGUMENT', 'leadership cannot go to that member', {
        details: { field: 'target', target: chosen, reason: result.reason },
      })
    }
    await this.#leaderIs(chosen, options)
    return chosen
  }

  nodes(): readonly NodeInfo[] {
    const { memberId } = this.identity
    const { members, confState } = this.stateMachine
    const nodes = [...members.values()].map((member): NodeInfo => {
      const reachable =
        member.id === memberId || this.#options.transport.peerStatus(member.id).connected
      const role = confState.learners.includes(member.id) ? 'learner' : 'follower'
      const status = this.#driver.leader === member.id ? 'leader' : role
      return { ...member, status: reachable ? status : 'unreachable' }
    })
    return nodes.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  }

  status(): MemberStatus {
    const { attributes, settings, transport } = this.#options
    return memberStatus({
      identity: this.identity,
      version: attributes.version,
      state: this.#state,
      raft: this.#driver.raft,
      stateMachine: this.stateMachine,
      snapshotIndex: this.#snapshotter.index,
      quotaBytes: settings.quotaBytes,
      isDiskFull: this.#driver.isDiskFull,
      isConnected: (peer) => transport.peerStatus(peer).connected,
    })
  }

  isReady(): boolean {
    if (this.#state !== 'running' || this.#driver.leader === undefined) return false
    return this.stateMachine.appliedTerm === this.#driver.raft.status().term
  }

  // Inside

  /** Not async, nor are its callers: the promise of `Proposals` is the only one of a request. */
  #propose<Answer>(
    request: RequestBody,
    options: CallOptions,
    read: (result: ApplyResult) => Answer,
  ): Promise<Answer> {
    const { origin, settings } = this.#options
    const data = encodeRequest({
      origin,
      sequence: this.#proposals.nextSequence(),
      quotaBytes: settings.quotaBytes,
      request,
    })
    if (data.length > settings.requestBytesMax + settings.requestOverheadBytes) {
      return Promise.reject(
        new RaftbaseError('REQUEST_TOO_LARGE', 'the request is too large', {
          details: { bytes: data.length, bytesMax: settings.requestBytesMax },
        }),
      )
    }
    const { timeoutMs, signal } = options
    const outcome = this.#proposals.add({ data, timeoutMs, signal, read })
    this.#driver.wake()
    return outcome
  }

  #leaderIs(target: MemberId, options: CallOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#options.timers.after(options.timeoutMs, () => {
        this.#softStateListeners.delete(listener)
        reject(new RaftbaseError('TIMEOUT', 'the target did not take over in time'))
      })
      const listener = (state: SoftState): void => {
        if (state.leader === undefined) return
        timer.cancel()
        this.#softStateListeners.delete(listener)
        if (state.leader === target) resolve()
        else
          reject(
            new RaftbaseError('NOT_LEADER', 'another member took over', {
              details: { leader: state.leader },
            }),
          )
      }
      this.#softStateListeners.add(listener)
    })
  }

  #onSoftState(state: SoftState): void {
    for (const listener of this.#softStateListeners) listener(state)
    if (state.leader !== undefined && state.leader !== this.#lastLeader) {
      this.#lastLeader = state.leader
      this.#options.metrics?.leaderChanged()
    }
    if (state.leader !== undefined) this.#publisher.wake()
  }

  #setPeers(): void {
    const { identity } = this
    const { transport } = this.#options
    const others = [...this.stateMachine.members.values()].filter((m) => m.id !== identity.memberId)
    transport.setPeers(others)
  }

  #fail(error: unknown): void {
    this.#state = 'failed'
    this.#options.onFailure(error)
  }

  #createDriver(): Driver {
    const { identity } = this
    const { origin, settings, transport, clock, timers, log, prng } = this.#options
    const { wal, raftInitial } = this.#recovered
    const config = { ...settings.raft, id: identity.memberId }
    return new Driver({
      id: identity.memberId,
      origin,
      raft: new RawNode({ config, prng, initial: raftInitial }),
      wal,
      transport,
      applier: this.#applier,
      proposals: this.#proposals,
      reads: this.#reads,
      snapshotter: () => this.#snapshotter,
      ticker: new Ticker({
        clock,
        tickMs: settings.tickMs,
        followerTicksMax: settings.raft.heartbeatTicks,
      }),
      clock,
      timers,
      log,
      batchBytesMax: settings.batchBytesMax,
      flushSlowMs: settings.flushSlowMs,
      flushHungMs: settings.flushHungMs,
      restore: (chunks) => restoreState(chunks),
      onSoftState: (state) => this.#onSoftState(state),
      onConfChanged: () => this.#setPeers(),
      onFailure: (error) => this.#fail(error),
    })
  }

  #createSnapshotter(): Snapshotter {
    const { identity } = this
    const { transport, clock, log, settings } = this.#options
    const { snapshots, wal, snapshotIndex, replayedBytes } = this.#recovered
    return new Snapshotter({
      snapshots,
      transport,
      clock,
      log,
      clusterId: identity.clusterId,
      stateMachine: () => this.#applier.stateMachine,
      releaseLog: (index) => wal.release(index),
      persistedUpTo: (index) => this.#driver.persistedUpTo(index),
      onSnapStatus: (peer, ok) => this.#driver.snapStatus(peer, ok),
      onFailure: (error) => this.#fail(error),
      snapshotLogBytes: settings.snapshotLogBytes,
      index: snapshotIndex,
      replayedBytes,
    })
  }
}
