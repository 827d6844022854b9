// The loop around the core and the only place that orders effects: nothing leaves before what it promises is durable.
// Everything that arrives in one turn of the event loop is one batch: one round of proposals, one read-index round, one
// write per peer. Leads no decision of its own; every input first lets the core see the time that has passed.

import type { Clock, Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { ApplyResult } from '../apply/state-machine.ts'
import type { PeerMessage } from '../raft/message.ts'
import type { RawNode } from '../raft/raw-node.ts'
import type { ProposeResult, Ready } from '../raft/ready.ts'
import type {
  ConfChange,
  HardState,
  Index,
  MemberId,
  SnapshotMeta,
  SoftState,
  Term,
} from '../raft/types.ts'
import type {
  Forward,
  ForwardRefused,
  NodeMessage,
  Transport,
  TransportHandler,
} from '../transport/transport.ts'
import type { Applier } from './applier.ts'
import { DiskWatch } from './disk-watch.ts'
import { ForwardFilter } from './forward-filter.ts'
import { noSpace, overloaded, refusalOf } from './outcomes.ts'
import { type LogWriter, Persister } from './persister.ts'
import type { PendingProposal, Proposals } from './proposals.ts'
import type { Reads } from './reads.ts'
import type { Snapshotter } from './snapshotter.ts'
import type { Ticker } from './ticker.ts'
import { logTrace } from './trace-log.ts'

/** How often deadlines are looked at. */
const SWEEP_MS = 20
/** What compaction leaves behind is removed so many records a turn. */
const COMPACTION_RECORDS = 500

export interface DriverOptions {
  readonly id: MemberId
  readonly origin: string
  readonly raft: RawNode
  readonly wal: LogWriter
  readonly transport: Transport
  readonly applier: Applier
  readonly proposals: Proposals<ApplyResult>
  readonly reads: Reads
  readonly snapshotter: () => Snapshotter
  readonly ticker: Ticker
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Logger
  /** Bytes of requests proposed or carried in one go. */
  readonly batchBytesMax: number
  /** A flush that takes longer costs the leadership. */
  readonly flushSlowMs: number
  /** A flush that takes longer costs the life of the process. */
  readonly flushHungMs: number
  readonly restore: (chunks: AsyncIterable<Uint8Array>) => Promise<Applier['stateMachine']>
  readonly onSoftState: (state: SoftState) => void
  readonly onHardState: (state: HardState) => void
  readonly onConfChanged: () => void
  /** The disk failed or an invariant broke: the process must end. Called once. */
  readonly onFailure: (error: unknown) => void
}

export class Driver implements TransportHandler {
  readonly #options: DriverOptions
  readonly #raft: RawNode
  readonly #persister: Persister
  readonly #disk: DiskWatch
  readonly #filter = new ForwardFilter()
  #scheduled = false
  /** While a turn is scheduled: whether the core has seen its time. One that is busy in every turn sees it in every turn. */
  #isTimeSeen = false
  #stopped = false
  #failed = false
  #leader: MemberId | undefined
  #lastSweepMs = 0
  #persistWaiters: { readonly index: Index; readonly resolve: () => void }[] = []

  constructor(options: DriverOptions) {
    this.#options = options
    this.#raft = options.raft
    this.#persister = new Persister({
      wal: options.wal,
      clock: options.clock,
      timers: options.timers,
      onPersisted: (number, messages) => this.#guard(() => this.#onPersisted(number, messages)),
      onSpace: (isFull) => this.#guard(() => this.#onSpace(isFull)),
      onFailure: (error) => this.#fail(error),
    })
    const { flushSlowMs, flushHungMs } = options
    const [persister, raft] = [this.#persister, this.#raft]
    this.#disk = new DiskWatch({ persister, raft, flushSlowMs, flushHungMs })
  }

  get leader(): MemberId | undefined {
    return this.#leader
  }

  get raft(): RawNode {
    return this.#raft
  }

  /** Whether the log waits for space on its disk. */
  get isDiskFull(): boolean {
    return this.#persister.fullMs(0) !== undefined
  }

  start(): void {
    this.#options.ticker.start(this.#options.timers, () => this.#guard(() => this.#onTick()))
  }

  /** Stops deciding and sending; resolves when the disk is quiet. Waiting requests must have been closed before. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#options.ticker.stop()
    await this.#persister.stop()
  }

  /** Work was queued in `proposals` or `reads`: it is picked up at the end of this turn. */
  wake(): void {
    this.#schedule()
  }

  transferLeader(target: MemberId): { accepted: true } | { accepted: false; reason: string } {
    return this.#ask(() => this.#raft.transferLeader(target))
  }

  proposeConfChange(change: ConfChange): ProposeResult {
    return this.#ask(() => this.#raft.proposeConfChange(change))
  }

  /** Into this leader's own log, in its own term, or not at all: what leadership does by itself. */
  proposeHere(data: Uint8Array): ProposeResult {
    return this.#ask(() => this.#raft.propose([data]))
  }

  /** Resolves once the own log is durable up to `index`. */
  persistedUpTo(index: Index): Promise<void> {
    if (this.#raft.status().persistedIndex >= index) return Promise.resolve()
    return new Promise((resolve) => this.#persistWaiters.push({ index, resolve }))
  }

  snapStatus(peer: MemberId, ok: boolean): void {
    this.#guard(() => {
      this.#beforeInput()
      const to = this.#options.id
      this.#raft.step({ type: 'MsgSnapStatus', from: peer, to, term: 0, reject: !ok })
      this.#schedule()
    })
  }

  // TransportHandler

  onMessage(message: PeerMessage): void {
    this.#guard(() => {
      this.#beforeInput()
      if (message.type === 'MsgSnap' && !this.#options.snapshotter().isStaged(message.snapshot)) {
        const { index } = message.snapshot
        this.#options.log.debug({ from: message.from, index }, 'snapshot message without its bytes')
        return
      }
      this.#raft.step(message)
      // A snapshot that was accepted is out of reach of the next arrival before that can come.
      if (message.type === 'MsgSnap') this.#turn()
      else this.#schedule()
    })
  }

  onNodeMessage(from: MemberId, message: NodeMessage): void {
    this.#guard(() => {
      this.#beforeInput()
      if (message.type === 'Forward') this.#onForward(from, message)
      else this.#onForwardRefused(message)
      this.#schedule()
    })
  }

  onPeerUp(peer: MemberId): void {
    this.#guard(() => {
      if (peer !== this.#leader) return
      // What was carried on the old connection may be lost; the leader proposes each request once.
      this.#options.proposals.sendAgain(this.#raft.status().term)
      this.#schedule()
    })
  }

  onPeerDown(peer: MemberId): void {
    this.#guard(() => {
      this.#beforeInput()
      this.#raft.step({ type: 'MsgUnreachable', from: peer, to: this.#options.id, term: 0 })
      this.#schedule()
    })
  }

  onSnapshot(from: MemberId, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    return this.#options.snapshotter().receive(from, chunks)
  }

  // The turn

  #schedule(): void {
    if (this.#scheduled || this.#stopped || this.#failed) return
    this.#scheduled = true
    this.#options.timers.endOfTurn(() => {
      this.#scheduled = false
      this.#guard(() => this.#turn())
    })
  }

  /** A process that slept must see the time that has passed before it acts on what it finds in its sockets. */
  #beforeInput(): void {
    if (this.#scheduled && this.#isTimeSeen) return
    this.#isTimeSeen = true
    const ticks = this.#options.ticker.due(this.#raft.role === 'leader')
    if (ticks > 0) this.#raft.tick(ticks)
  }

  #ask<Answer>(question: () => Answer): Answer {
    this.#beforeInput()
    const answer = question()
    this.#schedule()
    return answer
  }

  #onTick(): void {
    this.#beforeInput()
    const { clock, proposals, reads } = this.#options
    const nowMs = clock.monotonicMs()
    proposals.retryRefused()
    reads.retryRefused()
    if (nowMs - this.#lastSweepMs >= SWEEP_MS) {
      this.#lastSweepMs = nowMs
      proposals.sweep(nowMs)
      reads.sweep(nowMs)
    }
    this.#checkDisk(nowMs)
    if (this.#raft.hasReady() || proposals.hasUnsent || reads.hasUnasked) this.#schedule()
  }

  #turn(): void {
    if (this.#stopped) return
    this.#beforeInput()
    this.#isTimeSeen = false
    this.#propose()
    const context = this.#options.reads.startRound()
    if (context !== undefined) this.#raft.readIndex(context)
    while (this.#raft.hasReady()) this.#process(this.#raft.ready())
    const applied = this.#options.applier.applySlice()
    if (applied !== undefined) {
      const compacted = this.#options.applier.compactable()
      // failpoint: beforeAppliedIndex
      this.#raft.advance(compacted === undefined ? { applied } : { applied, compacted })
      // failpoint: afterAppliedIndex
      this.#options.snapshotter().maybeSave(this.#options.applier.appliedBytes)
    }
    const isCompacting = this.#options.applier.stateMachine.maintain(COMPACTION_RECORDS)
    // failpoint: compactionStep if isCompacting
    if (isCompacting || this.#options.applier.hasWork || this.#raft.hasReady()) this.#schedule()
  }

  #process(ready: Ready): void {
    const { transport, applier, reads, log } = this.#options
    for (const event of ready.trace) {
      logTrace(log, event)
      if (event.type === 'confChanged') this.#options.onConfChanged()
    }
    if (ready.softState !== undefined) this.#onSoftState(ready.softState)
    if (ready.hardState !== undefined) this.#options.onHardState(ready.hardState)
    if (ready.snapshot !== undefined) {
      applier.pause()
      this.#install(ready, ready.snapshot)
    } else {
      // The own flush runs beside the sends to followers.
      this.#persister.enqueue(ready)
    }
    // failpoint: beforeSendAsLeader if this.#raft.role === 'leader' && ready.messages.length > 0
    transport.send(this.#withoutSnapshots(ready.messages))
    if (ready.committedEntries.length > 0) applier.enqueue(ready.committedEntries)
    for (const { context, index } of ready.readStates) {
      reads.confirmed(context, index, applier.stateMachine.appliedIndex)
    }
    for (const context of ready.refusedReads) reads.refused(context)
  }

  #onSoftState(state: SoftState): void {
    const { proposals } = this.#options
    this.#leader = state.leader
    if (state.leader !== undefined && proposals.hasUnsent) this.#schedule()
    this.#options.onSoftState(state)
  }

  #withoutSnapshots(messages: readonly PeerMessage[]): readonly PeerMessage[] {
    if (!messages.some((message) => message.type === 'MsgSnap')) return messages
    for (const message of messages) {
      if (message.type === 'MsgSnap') this.#options.snapshotter().send(message)
    }
    return messages.filter((message) => message.type !== 'MsgSnap')
  }

  #onPersisted(number: number, messages: readonly PeerMessage[]): void {
    this.#raft.advance({ persisted: number })
    // failpoint: beforeSendAsFollower if this.#raft.role === 'follower' && messages.length > 0
    if (!this.#stopped) this.#options.transport.send(messages)
    if (this.#persistWaiters.length > 0) {
      const { persistedIndex } = this.#raft.status()
      for (const { resolve } of this.#persistWaiters.filter((w) => w.index <= persistedIndex))
        resolve()
      this.#persistWaiters = this.#persistWaiters.filter((w) => w.index > persistedIndex)
    }
    this.#schedule()
  }

  /** Makes the staged snapshot this member's state: file, then log, then memory. What is ready meanwhile waits behind it. */
  #install(ready: Ready, meta: SnapshotMeta): void {
    const { applier, restore, log } = this.#options
    const snapshotter = this.#options.snapshotter()
    snapshotter.accept(meta)
    let chunks: AsyncIterable<Uint8Array> | undefined
    this.#persister.enqueue(ready, async () => {
      chunks = await snapshotter.commitAccepted()
      // failpoint: await snapshotCommitted
    })
    const run = async (): Promise<void> => {
      await this.persistedUpTo(meta.index)
      const stateMachine = await restore(chunks!)
      // failpoint: await snapshotRestored
      if (this.#stopped || this.#failed) return
      applier.install(stateMachine, meta)
      this.#raft.advance({ applied: meta.index })
      this.#options.onConfChanged()
      log.info({ index: meta.index, term: meta.term }, 'snapshot installed')
      // failpoint: await snapshotInstalled
      this.#schedule()
      await snapshotter.cleanUp()
    }
    run().catch((error: unknown) => this.#fail(error))
  }

  // Requests

  #propose(): void {
    const { proposals, batchBytesMax, id } = this.#options
    const leader = this.#leader
    if (leader === undefined) return
    while (proposals.hasUnsent) {
      const { term } = this.#raft.status()
      const batch = proposals.takeUnsent(term, batchBytesMax)
      if (batch.length === 0) return
      const took = leader === id ? this.#proposeHere(batch) : this.#carry(leader, term, batch)
      if (!took) return
    }
  }

  /** Returns whether the core took the batch or it was refused for good. */
  #proposeHere(batch: readonly PendingProposal<ApplyResult>[]): boolean {
    const { proposals, clock } = this.#options
    const mayPropose = this.#disk.mayPropose(clock.monotonicMs())
    if (mayPropose === 'no') return this.#refuseHere(batch, noSpace())
    if (mayPropose === 'yes') {
      const result = this.#raft.propose(batch.map((proposal) => proposal.data))
      if (result.accepted) {
        proposals.sent(result.term, batch)
        return true
      }
      if (result.reason === 'overloaded') return this.#refuseHere(batch, overloaded())
    }
    proposals.putBack(batch)
    return false
  }

  #refuseHere(batch: readonly PendingProposal<ApplyResult>[], error: RaftbaseError): boolean {
    const { proposals } = this.#options
    const { term } = this.#raft.status()
    const sequences = batch.filter((p) => p.sentTerm === undefined).map((p) => p.sequence)
    proposals.sent(term, batch)
    proposals.refused(term, sequences, error)
    return true
  }

  #carry(leader: MemberId, term: Term, batch: readonly PendingProposal<ApplyResult>[]): boolean {
    const { transport, proposals, origin } = this.#options
    const requests = batch.map(({ sequence, data }) => ({ sequence, data }))
    const sent = transport.sendToNode(leader, { type: 'Forward', term, origin, requests })
    if (sent) proposals.sent(term, batch)
    else proposals.putBack(batch)
    return sent
  }

  #onForward(from: MemberId, forward: Forward): void {
    const { term, role } = this.#raft.status()
    if (role !== 'leader' || term !== forward.term) {
      const sequences = forward.requests.map((request) => request.sequence)
      return this.#refuse({ from, forward, sequences, reason: 'notLeader' })
    }
    const fresh = forward.requests.filter(
      (request) => this.#filter.check(term, from, forward.origin, request.sequence) === 'new',
    )
    if (fresh.length === 0) return
    const reason = this.#proposeCarried(fresh)
    // A request that was refused for good must not be taken from a copy that arrives later.
    if (reason === undefined || reason === 'overloaded' || reason === 'noSpace') {
      for (const request of fresh) this.#filter.accept(term, from, forward.origin, request.sequence)
    }
    if (reason === undefined) return
    const sequences = fresh.map((request) => request.sequence)
    this.#refuse({ from, forward, sequences, reason })
  }

  /** Returns why the requests were not proposed; undefined when they were. */
  #proposeCarried(requests: Forward['requests']): ForwardRefused['reason'] | undefined {
    const mayPropose = this.#disk.mayPropose(this.#options.clock.monotonicMs())
    if (mayPropose !== 'yes') return mayPropose === 'no' ? 'noSpace' : 'transferring'
    const result = this.#raft.propose(requests.map((request) => request.data))
    if (result.accepted) return undefined
    const { reason } = result
    return reason === 'overloaded' || reason === 'transferring' ? reason : 'notLeader'
  }

  #refuse(options: {
    from: MemberId
    forward: Forward
    sequences: readonly number[]
    reason: ForwardRefused['reason']
  }): void {
    const { from, forward, sequences, reason } = options
    const { term, origin } = forward
    // If it cannot be sent the requests wait for their deadline or for the next term.
    this.#options.transport.sendToNode(from, {
      type: 'ForwardRefused',
      term,
      origin,
      sequences,
      reason,
    })
  }

  #onForwardRefused(message: ForwardRefused): void {
    if (message.origin !== this.#options.origin) return
    this.#options.proposals.refused(message.term, message.sequences, refusalOf(message.reason))
  }

  // The disk

  #onSpace(isFull: boolean): void {
    if (isFull) this.#options.log.error('no space left on the disk, waiting for it')
    else this.#options.log.info('there is space on the disk again')
  }

  #checkDisk(nowMs: number): void {
    const verdict = this.#disk.judge(nowMs)
    if (verdict.kind === 'fine') return
    if (verdict.kind === 'hung') {
      const { stalledMs } = verdict
      const details = { stalledMs }
      return this.#fail(new RaftbaseError('DISK_FAILED', 'a flush did not return', { details }))
    }
    const { target, reason } = verdict
    this.#options.log.warn(
      { target, reason },
      'disk is no use to a leader, handing leadership over',
    )
    this.#raft.transferLeader(target)
    this.#schedule()
  }

  #guard(action: () => void): void {
    if (this.#failed) return
    try {
      action()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    this.#options.ticker.stop()
    this.#options.onFailure(error)
  }
}
