// RawNode: the core as the driver sees it. Inputs are tick, step, propose, proposeConfChange, readIndex, transferLeader
// and advance; the only output is Ready. Nothing happens between calls, and nothing in here waits.

import { invariant } from '../../../lib/assert.ts'
import type { Prng } from '../../../lib/prng.ts'
import { checkRaftConfig } from './config.ts'
import type { RaftConfig } from './config.ts'
import { countOwnVote } from './election.ts'
import { checkDeep, checkState, checkTransition, observe } from './invariants.ts'
import type { Observation } from './invariants.ts'
import { startTransfer } from './leader.ts'
import { appendConfChange, applyUpTo } from './membership.ts'
import type { Message } from './message.ts'
import { step, tick } from './raft.ts'
import { maybeBeginRound, requestRead } from './read-index.ts'
import type {
  PeerProgress,
  Progress,
  ProposeRefusal,
  ProposeResult,
  Ready,
  Status,
} from './ready.ts'
import { appendBatch, countOwnFlush, flushAppends } from './replication.ts'
import { becomeFollower, expectLeaderSoon } from './roles.ts'
import { RaftState, emptyOutbox } from './state.ts'
import type { InitialState } from './state.ts'
import type {
  ConfChange,
  ConfState,
  HardState,
  Index,
  MemberId,
  Role,
  SoftState,
  Term,
} from './types.ts'

export { applyConfChange } from './conf-change.ts'
export type { InitialState } from './state.ts'

/** What is durable of term, vote and commit once a Ready is. */
interface Stored {
  readonly number: number
  readonly hardState: HardState
}

export class RawNode {
  readonly #state: RaftState
  #hardState: HardState
  #softState: SoftState
  #storing: Stored[] = []
  #verified: Observation

  /** Everything in `initial` is durable. Trips an invariant when its parts contradict each other. */
  constructor(options: {
    readonly config: RaftConfig
    readonly prng: Prng
    readonly initial: InitialState
  }) {
    const { hardState } = options.initial
    checkRaftConfig(options.config)
    const state = new RaftState(options)
    this.#state = state
    becomeFollower(state, { term: state.term, leader: undefined, reason: 'start' })
    expectLeaderSoon(state)
    this.#hardState = hardState
    this.#softState = { leader: undefined, role: 'follower' }
    checkState(state)
    this.#verified = observe(state)
  }

  get role(): Role {
    return this.#state.role
  }

  /** The membership in force: that of the applied index, or of a snapshot being installed. */
  get confState(): ConfState {
    return this.#state.confState
  }

  /** Advances time; several at once after a pause are as many single ones. */
  tick(count = 1): void {
    for (let i = 0; i < count; i++) tick(this.#state)
  }

  /** Takes in a message of a peer, or a local one of the driver. `from` is the identity of the connection. */
  step(message: Message): void {
    step(this.#state, message)
  }

  /**
   * Appends one entry for each element, in this order and without another between them, or none at all. Accepted does
   * not mean committed: the entry is once it comes back in `committedEntries` with the same index and term.
   */
  propose(data: readonly Uint8Array[]): ProposeResult {
    const state = this.#state
    const refusal = this.#refusal()
    if (refusal !== undefined) return { accepted: false, reason: refusal }
    const firstIndex = state.log.lastIndex + 1
    if (!appendBatch(state, data)) return { accepted: false, reason: 'overloaded' }
    return { accepted: true, term: state.term, firstIndex }
  }

  /** Appends a change of membership; it is in force once `advance({ applied })` passes its entry. */
  proposeConfChange(change: ConfChange): ProposeResult {
    const state = this.#state
    const refusal = this.#refusal() ?? appendConfChange(state, change)
    if (refusal !== undefined) return { accepted: false, reason: refusal }
    return { accepted: true, term: state.term, firstIndex: state.log.lastIndex }
  }

  /**
   * Asks for an index that a linearizable read must see. `context` is unique for ever and comes back exactly once, in
   * `readStates` or in `refusedReads`.
   */
  readIndex(context: string): void {
    requestRead(this.#state, context)
  }

  /** Hands leadership over as soon as `target` has caught up; given up after an election timeout. */
  transferLeader(target: MemberId): { accepted: true } | { accepted: false; reason: string } {
    const reason = startTransfer(this.#state, target)
    return reason === undefined ? { accepted: true } : { accepted: false, reason }
  }

  /** Whether there is something to store, send, apply or tell. */
  hasReady(): boolean {
    const state = this.#state
    const { outbox, log } = state
    return (
      outbox.messages.length > 0 ||
      outbox.messagesAfterPersist.length > 0 ||
      log.hasUnstored ||
      log.hasUnapplied ||
      state.replicationDue ||
      outbox.snapshot !== undefined ||
      outbox.readStates.length > 0 ||
      outbox.refusedReads.length > 0 ||
      outbox.trace.length > 0 ||
      (state.reads.hasWaiting && state.hasCommittedInTerm) ||
      this.#hardStateChanged() ||
      this.#softStateChanged()
    )
  }

  /** Everything that has come up since the last Ready. May hold nothing. */
  ready(): Ready {
    const state = this.#state
    maybeBeginRound(state)
    flushAppends(state)
    checkState(state)
    const number = ++state.readyNumber
    const { log, outbox } = state
    state.outbox = emptyOutbox()
    const entries = log.takeUnstored(number)
    const { term, vote } = state
    const votes = term !== this.#hardState.term || vote !== this.#hardState.vote
    const hardState = this.#takeHardState()
    // A change of membership takes effect once its commit is durable.
    const waits = hardState !== undefined && log.effective < log.committed
    const mustSync = votes || waits || entries.length > 0 || outbox.snapshot !== undefined
    if (mustSync) this.#storing.push({ number, hardState: this.#hardState })
    return {
      number,
      softState: this.#takeSoftState(),
      hardState,
      entries,
      snapshot: outbox.snapshot,
      mustSync,
      messages: outbox.messages,
      messagesAfterPersist: outbox.messagesAfterPersist,
      committedEntries: log.takeCommitted(state.config.maxCommittedBytesPerReady),
      readStates: outbox.readStates,
      refusedReads: outbox.refusedReads,
      trace: outbox.trace,
    }
  }

  /** Reports progress; see {@link Progress}. Reports that are behind earlier ones do nothing. */
  advance({ persisted, applied, compacted }: Progress): void {
    const state = this.#state
    if (persisted !== undefined) this.#persisted(persisted)
    if (applied !== undefined) applyUpTo(state, applied)
    if (compacted !== undefined) state.log.compact(compacted)
  }

  status(): Status {
    const { id, term, leader, role, log, transfer } = this.#state
    return {
      id,
      term,
      leader,
      role,
      committed: log.committed,
      applied: log.applied,
      firstIndex: log.firstIndex,
      lastIndex: log.lastIndex,
      persistedIndex: log.persisted,
      transferTarget: transfer?.target,
      progress: role === 'leader' ? this.#peers() : [],
    }
  }

  /**
   * Checks every invariant on the whole state and on how it has changed since the last call. For tests and simulation;
   * the cheap ones are checked with each Ready.
   */
  verify(): void {
    const after = observe(this.#state)
    checkState(this.#state)
    checkDeep(this.#state)
    checkTransition(this.#verified, after)
    this.#verified = after
  }

  /** The term of an entry in memory or of the position before it; undefined elsewhere. */
  termAt(index: Index): Term | undefined {
    return this.#state.log.term(index)
  }

  #refusal(): ProposeRefusal | undefined {
    if (this.#state.role !== 'leader') return 'notLeader'
    return this.#state.transfer === undefined ? undefined : 'transferring'
  }

  #persisted(number: number): void {
    const state = this.#state
    invariant(number <= state.readyNumber, 'persisted what was not handed out', { number })
    state.log.persistedReady(number)
    let count = 0
    while (count < this.#storing.length && this.#storing[count]!.number <= number) {
      count++
    }
    if (count > 0) {
      const { term, vote, commit } = this.#storing[count - 1]!.hardState
      this.#storing.splice(0, count)
      state.durableTerm = term
      state.durableVote = vote
      const isNews = state.log.commitPersisted(commit)
      if (isNews && state.role === 'leader') state.replicationDue = true
    }
    countOwnVote(state)
    if (state.role === 'leader') countOwnFlush(state)
  }

  #hardStateChanged(): boolean {
    const { term, vote, log } = this.#state
    const last = this.#hardState
    return term !== last.term || vote !== last.vote || log.committed !== last.commit
  }

  #softStateChanged(): boolean {
    const { leader, role } = this.#state
    return leader !== this.#softState.leader || role !== this.#softState.role
  }

  #takeHardState(): HardState | undefined {
    if (!this.#hardStateChanged()) return undefined
    const { term, vote, log } = this.#state
    this.#hardState = { term, vote, commit: log.committed }
    return this.#hardState
  }

  #takeSoftState(): SoftState | undefined {
    if (!this.#softStateChanged()) return undefined
    const { leader, role } = this.#state
    this.#softState = { leader, role }
    return this.#softState
  }

  #peers(): readonly PeerProgress[] {
    const { tracker, now, config } = this.#state
    return tracker.peers.map((progress) => ({
      id: progress.id,
      state: progress.state,
      match: progress.match,
      next: progress.next,
      // Nobody has answered a new leader yet, whom it gives the benefit of the doubt for as long as that lasts.
      recentlyActive: progress.hasAnswered && progress.lastContact > now - config.electionTicks,
      learner: progress.isLearner,
      inflightMessages: progress.inflights.count,
    }))
  }
}
