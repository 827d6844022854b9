// One member: the modules around the core put together, and what the front ends may ask of it. Everything outside the
// process arrives through the options, so that the simulator runs this code unchanged.

import { RaftbaseError } from '../../../lib/errors.ts'
import { requestCost, type RequestBody, RequestEncoder } from '../apply/request.ts'
import type { ApplyResult, StateMachine } from '../apply/state-machine.ts'
import type { HardState, MemberId, SoftState, Term } from '../raft/types.ts'
import { type InitialState, RawNode } from '../raft/raw-node.ts'
import { Applier } from './applier.ts'
import { AutoCompactor } from './auto-compactor.ts'
import { Breather } from './breather.ts'
import { Driver } from './driver.ts'
import { Exporter } from './exporter.ts'
import type { Identity } from './identity.ts'
import type {
  CallOptions,
  CompactionResult,
  Consistency,
  DeleteResult,
  FinalizeRequest,
  FinalizeResult,
  GetResult,
  MemberNode,
  MembershipOutcome,
  MembershipRequest,
  MemberState,
  NodeInfo,
  NotReadyReason,
  PutResult,
  SnapshotExport,
} from './member-node.ts'
import { handOver } from './hand-over.ts'
import type { MemberOptions } from './member-options.ts'
import {
  commonLevel,
  compactionResult,
  deleteResult,
  finalizeResult,
  getResult,
  historyFull,
  putResult,
  tooLarge,
} from './outcomes.ts'
import { LeaderWatch } from './leader-watch.ts'
import { Membership, type MembershipCall } from './membership.ts'
import { Proposals } from './proposals.ts'
import { Publisher } from './publisher.ts'
import { Reads } from './reads.ts'
import { type Recovered, recover, restoreState } from './recovery.ts'
import { Snapshotter } from './snapshotter.ts'
import {
  isFullOfHistory,
  type MemberStatus,
  memberStatus,
  memberViews,
  whyNotReady,
} from './status.ts'
import { Ticker } from './ticker.ts'
import { transferLeader } from './transfer.ts'

export class Member implements MemberNode {
  readonly #options: MemberOptions
  /** Not the state and the entries it began with, which are replaced and forgotten. */
  readonly #recovered: Omit<Recovered, 'stateMachine' | 'raftInitial'>
  readonly #proposals: Proposals<ApplyResult>
  readonly #encoder = new RequestEncoder()
  readonly #reads: Reads
  readonly #applier: Applier
  readonly #ticker: Ticker
  readonly #driver: Driver
  readonly #snapshotter: Snapshotter
  readonly #exporter: Exporter
  readonly #publisher: Publisher
  readonly #compactor: AutoCompactor
  #state: MemberState = 'recovering'
  #lastLeader: MemberId | undefined
  readonly #leaderWatch: LeaderWatch
  /** Changes of membership, while this member leads. */
  readonly membership: Membership
  readonly #changeListeners = new Set<() => void>()
  #isRemoved = false
  #term: Term | undefined
  #appliedTerm: Term | undefined

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
    const { stateMachine, raftInitial, ...kept } = recovered
    this.#recovered = kept
    this.#proposals = new Proposals({ clock, limits: settings })
    this.#reads = new Reads({
      clock,
      readsMax: settings.readsMax,
      retryMs: settings.readRetryMs,
      origin,
    })
    this.#applier = new Applier(
      {
        proposals: this.#proposals,
        reads: this.#reads,
        clock,
        origin,
        tailBytesMax: settings.tailBytesMax,
        onApplied: (entries) => this.#onApplied(entries),
        onMemberTold: () => this.#setPeers(),
      },
      { stateMachine, entries: raftInitial.entries },
    )
    this.#ticker = new Ticker({
      clock,
      tickMs: settings.tickMs,
      followerTicksMax: settings.raft.heartbeatTicks,
    })
    this.#driver = this.#createDriver(raftInitial)
    this.#snapshotter = this.#createSnapshotter()
    this.#exporter = new Exporter({
      ...options,
      clusterId: identity.clusterId,
      stateMachine: () => this.stateMachine,
      isBusy: () => this.pendingCount > 0,
    })
    this.#leaderWatch = new LeaderWatch(options.timers)
    this.membership = new Membership({
      token: identity.token,
      id: identity.memberId,
      origin,
      driver: this.#driver,
      proposals: this.#proposals,
      stateMachine: () => this.stateMachine,
      timers: options.timers,
      confirm: (call) => this.#confirm('linearizable', call),
    })
    this.#compactor = new AutoCompactor({
      ...options,
      driver: this.#driver,
      proposals: this.#proposals,
      stateMachine: () => this.stateMachine,
    })
    this.#publisher = new Publisher({
      record: {
        id: identity.memberId,
        name: identity.name,
        level: settings.knownLevel,
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

  /** Its member was removed: from now on the data directory says so. */
  bury(): Promise<void> {
    return this.#options.directory.bury()
  }

  /** Number of requests of this process that wait for their outcome. */
  get pendingCount(): number {
    return this.#proposals.count + this.#reads.count
  }

  get snapshotIndex(): number {
    return this.#snapshotter.index
  }

  /** Whether a snapshot is being written to this member's disk. */
  get isSavingSnapshot(): boolean {
    return this.#snapshotter.isSaving
  }

  /** Opens the peer listeners and takes part in the cluster. Rejects with ADDRESS_IN_USE. */
  async start(): Promise<void> {
    this.#setPeers()
    await this.#options.transport.start(this.#driver)
    this.#driver.start()
    this.#compactor.start()
    this.#setState('running')
    if (this.stateMachine.removed.has(this.identity.memberId)) this.#onRemoved()
  }

  /** Hands leadership over if this member leads and another can take it; resolves at the latest after `timeoutMs`. */
  handOver(timeoutMs: number): Promise<void> {
    const { clock, timers, settings, log } = this.#options
    return handOver({
      timeoutMs,
      // One attempt lasts an election timeout in the core; another voter may have caught up by then.
      attemptMs: 2 * settings.raft.electionTicks * settings.tickMs,
      isLeader: () => this.#driver.leader === this.identity.memberId,
      hasOthers: () => this.#driver.raft.confState.voters.length > 1,
      transfer: (attemptMs) => this.transferLeader(undefined, { timeoutMs: attemptMs }),
      clock,
      timers,
      log,
    })
  }

  /** A peer said that this member was removed from the cluster. */
  removedBy(): void {
    this.#onRemoved()
  }

  /** Ends every waiting request, flushes, closes the links and the log, and releases the data directory. */
  async stop(graceMs: number): Promise<void> {
    this.#setState('stopping')
    this.#publisher.stop()
    this.#compactor.stop()
    const error = new RaftbaseError('SHUTTING_DOWN', 'the member is stopping')
    this.#proposals.close(error)
    this.#reads.close(error)
    await this.#driver.stop()
    this.#exporter.stop()
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

  compact(request: { revision: number }, options: CallOptions): Promise<CompactionResult> {
    return this.#propose({ type: 'compaction', ...request }, options, compactionResult)
  }

  async get(
    request: { key: Uint8Array; consistency: Consistency; revision?: number },
    options: CallOptions,
  ): Promise<GetResult> {
    await this.#confirm(request.consistency, options)
    return getResult(this.stateMachine, request)
  }

  async exportSnapshot(
    request: { consistency: Consistency },
    options: CallOptions,
  ): Promise<SnapshotExport> {
    await this.#confirm(request.consistency, options)
    return this.#exporter.open()
  }

  transferLeader(target: MemberId | undefined, options: CallOptions): Promise<MemberId> {
    const member = {
      id: this.identity.memberId,
      driver: this.#driver,
      leaderWatch: this.#leaderWatch,
    }
    return transferLeader(member, target, options)
  }

  changeMembership(request: MembershipRequest, call: MembershipCall): Promise<MembershipOutcome> {
    return this.membership.request(request, call)
  }

  async finalize(request: FinalizeRequest, options: CallOptions): Promise<FinalizeResult> {
    const { level = commonLevel(this.stateMachine), expectedEpoch: epoch } = request
    return this.#propose({ type: 'finalize', level, epoch }, options, (result) =>
      finalizeResult(result, this.stateMachine, level),
    )
  }

  nodes(): readonly NodeInfo[] {
    const { transport } = this.#options
    return memberViews({
      stateMachine: this.stateMachine,
      leader: this.#driver.leader,
      isReachable: (id) => id === this.identity.memberId || transport.peerStatus(id).connected,
    })
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
    return this.notReadyReason() === undefined
  }

  notReadyReason(): NotReadyReason | undefined {
    if (this.#state !== 'running') return this.#state
    const { raft, leader } = this.#driver
    return whyNotReady(this.identity.memberId, this.stateMachine, { ...raft.status(), leader })
  }

  tickAgeMs(): number | undefined {
    return this.#state === 'running' ? this.#ticker.ageMs : undefined
  }

  onChange(listener: () => void): () => void {
    this.#changeListeners.add(listener)
    return () => this.#changeListeners.delete(listener)
  }

  /** Whether this member has evidence that `id` once took part: then a blank disk of it has forgotten something. */
  hasTakenPart(id: MemberId): boolean {
    const { members, removed } = this.stateMachine
    if (removed.has(id) || (members.get(id)?.version ?? '') !== '') return true
    if (this.#options.transport.peerStatus(id).lastHeardMs !== undefined) return true
    return this.#driver.raft.status().progress.some((peer) => peer.id === id && peer.match > 0)
  }

  // Inside

  /** Resolves once the state here has everything that a read of this consistency must see. */
  async #confirm(consistency: Consistency, { timeoutMs }: CallOptions): Promise<void> {
    if (consistency === 'serializable') return
    const confirmed = this.#reads.wait(timeoutMs)
    this.#driver.wake()
    await confirmed
  }

  /** Not async, nor are its callers: the promise of `Proposals` is the only one of a request. */
  #propose<Answer>(
    request: RequestBody,
    options: CallOptions,
    read: (result: ApplyResult) => Answer,
  ): Promise<Answer> {
    const { origin, settings } = this.#options
    const isFull = isFullOfHistory(this.stateMachine, settings.quotaBytes)
    if (isFull && requestCost(request) > 0) {
      return Promise.reject(historyFull(this.stateMachine.store))
    }
    const data = this.#encoder.encode({
      origin,
      sequence: this.#proposals.nextSequence(),
      quotaBytes: settings.quotaBytes,
      request,
    })
    if (data.length > settings.requestBytesMax + settings.requestOverheadBytes) {
      return Promise.reject(tooLarge(data.length, settings.requestBytesMax))
    }
    const { timeoutMs, signal } = options
    const outcome = this.#proposals.add({ data, timeoutMs, signal, read })
    this.#driver.wake()
    return outcome
  }

  #onSoftState(state: SoftState): void {
    this.#leaderWatch.saw(state)
    if (state.leader !== undefined && state.leader !== this.#lastLeader) {
      this.#lastLeader = state.leader
      this.#options.metrics?.leaderChanged()
    }
    if (state.leader !== undefined) this.#publisher.wake()
    this.#changed()
  }

  #onHardState({ term }: HardState): void {
    if (term === this.#term) return
    this.#term = term
    this.#changed()
  }

  #onApplied(entries: number): void {
    this.#options.metrics?.applied(entries)
    this.#publisher.applied()
    const { appliedTerm } = this.stateMachine
    if (appliedTerm === this.#appliedTerm) return
    // The first entry of a new leader: from here on this member may be ready.
    this.#appliedTerm = appliedTerm
    this.#changed()
  }

  #onConfChanged(): void {
    this.#setPeers()
    this.membership.changed()
    if (this.stateMachine.removed.has(this.identity.memberId)) this.#onRemoved()
    this.#changed()
  }

  #setPeers(): void {
    const { transport, joinPeers = [] } = this.#options
    const { members } = this.stateMachine
    const others = [...members.values()].filter(({ id }) => id !== this.identity.memberId)
    transport.setPeers(members.size === 0 ? joinPeers : others)
  }

  /** The cluster goes on without this member: told once, and later than the change itself has left. */
  #onRemoved(): void {
    if (this.#isRemoved) return
    this.#isRemoved = true
    const { timers, settings, onRemoved } = this.#options
    const { tickMs, raft } = settings
    // A leader that removed itself still has to tell the others that this is committed (§4.2.2 of the thesis).
    timers.after(raft.electionTicks * tickMs, () => onRemoved?.())
  }

  #setState(state: MemberState): void {
    this.#state = state
    this.#changed()
  }

  #changed(): void {
    for (const listener of this.#changeListeners) listener()
  }

  #fail(error: unknown): void {
    this.#setState('failed')
    this.#options.onFailure(error)
  }

  #createDriver(initial: InitialState): Driver {
    const { identity } = this
    const { origin, settings, transport, clock, timers, log, prng } = this.#options
    const config = { ...settings.raft, id: identity.memberId }
    return new Driver({
      id: identity.memberId,
      origin,
      raft: new RawNode({ config, prng, initial }),
      wal: this.#recovered.wal,
      transport,
      applier: this.#applier,
      proposals: this.#proposals,
      reads: this.#reads,
      snapshotter: () => this.#snapshotter,
      ticker: this.#ticker,
      clock,
      timers,
      log,
      batchBytesMax: settings.batchBytesMax,
      flushSlowMs: settings.flushSlowMs,
      flushHungMs: settings.flushHungMs,
      restore: (chunks) => restoreState(chunks, new Breather(clock, timers), settings.knownLevel),
      onSoftState: (state) => this.#onSoftState(state),
      onHardState: (state) => this.#onHardState(state),
      onConfChanged: () => this.#onConfChanged(),
      onFailure: (error) => this.#fail(error),
    })
  }

  #createSnapshotter(): Snapshotter {
    const { identity } = this
    const { transport, clock, timers, log, settings } = this.#options
    const { snapshots, wal, snapshotIndex, replayedBytes } = this.#recovered
    return new Snapshotter({
      snapshots,
      transport,
      clock,
      timers,
      log,
      clusterId: identity.clusterId,
      stateMachine: () => this.#applier.stateMachine,
      releaseLog: (index) => wal.release(index),
      persistedUpTo: (index) => this.#driver.persistedUpTo(index),
      onSnapStatus: (peer, ok) => this.#driver.snapStatus(peer, ok),
      onFailure: (error) => this.#fail(error),
      snapshotLogBytes: () => settings.snapshotLogBytes,
      index: snapshotIndex,
      replayedBytes,
    })
  }
}
