// RaftState: everything the core knows, and its outbox. The modules beside it (roles, election, replication, read-index,
// membership) are functions over it, one owner at a time; outside this folder only RawNode is seen.

import type { Prng } from '../../../lib/prng.ts'
import type { RaftConfig } from './config.ts'
import { isVoter } from './conf-change.ts'
import { RaftLog } from './log.ts'
import type { LogPosition } from './log.ts'
import type { PeerMessage } from './message.ts'
import { ReadRounds } from './read-rounds.ts'
import type { ReadState } from './ready.ts'
import type { TraceEvent } from './trace.ts'
import { Tracker } from './tracker.ts'
import type {
  ConfState,
  Entry,
  HardState,
  Index,
  MemberId,
  Role,
  SnapshotMeta,
  Term,
} from './types.ts'

/** What a member finds on its disk; all empty and zero on a new one that waits to be added. */
export interface InitialState {
  /** A commit index beyond the entries is cut to them: it may have been stored without the entries it speaks of. */
  readonly hardState: HardState
  /** The membership in force at `applied`. */
  readonly confState: ConfState
  /** What the state machine holds already. At least `logStart.index`. */
  readonly applied: Index
  /** The position before the first of `entries`: that of a snapshot, or 0 and 0. */
  readonly logStart: LogPosition
  /** All durable, consecutive. */
  readonly entries: readonly Entry[]
}

/** What leaves with the next Ready. */
export interface Outbox {
  messages: PeerMessage[]
  messagesAfterPersist: PeerMessage[]
  snapshot: SnapshotMeta | undefined
  readStates: ReadState[]
  refusedReads: string[]
  trace: TraceEvent[]
}

export class RaftState {
  readonly id: MemberId
  readonly config: RaftConfig
  readonly prng: Prng
  readonly log: RaftLog
  readonly tracker: Tracker

  /** Invariant: never falls. */
  term: Term
  /** Invariant: changes only together with `term`, or once from undefined. */
  vote: MemberId | undefined
  role: Role = 'follower'
  leader: MemberId | undefined
  confState: ConfState

  /** Ticks since the start. */
  now = 0
  /** Ticks since the last word of a leader, or the last vote given or asked for. */
  electionElapsed = 0
  /** When to campaign, drawn anew at each change of role. */
  electionTimeout = 0
  heartbeatElapsed = 0
  /** The leader's process is gone or says that it leads no more: it does not count as heard. */
  leaderLost = false
  /**
   * Ticks until the pre-vote that follows from `leaderLost`, from a word that may have been the last one, or from a vote
   * refused to a candidate with a shorter log.
   */
  earlyTicks: number | undefined
  /** The leader of this term that was lost and not heard twice since. */
  doubted: MemberId | undefined
  /** The tick of the first word it said since. */
  doubtedAt: number | undefined
  readonly votes = new Map<MemberId, boolean>()
  /** The term and vote that are on disk. Messages of a later term wait. */
  durableTerm: Term
  durableVote: MemberId | undefined

  // Of a leader.
  /** Its no-op: nothing is known to be committed in this term before that is. */
  termStart: Index = 0
  /** Entries appended or committed that peers have not been told of. */
  replicationDue = false
  uncommittedBytes = 0
  /** No further change of membership before this index is applied. */
  pendingConfIndex: Index = 0
  transfer: { readonly target: MemberId; readonly startedAt: number } | undefined

  readonly reads: ReadRounds
  /** A snapshot handed out and not applied yet. */
  pendingSnapshot: SnapshotMeta | undefined
  readyNumber = 0
  outbox: Outbox = emptyOutbox()

  constructor(options: {
    readonly config: RaftConfig
    readonly prng: Prng
    readonly initial: InitialState
  }) {
    const { config, prng, initial } = options
    const { hardState, logStart, entries, applied } = initial
    this.id = config.id
    this.config = config
    this.prng = prng
    const lastIndex = logStart.index + entries.length
    const committed = Math.max(applied, Math.min(hardState.commit, lastIndex))
    this.log = new RaftLog({ logStart, entries, committed, applied })
    this.term = hardState.term
    this.vote = hardState.vote
    this.durableTerm = hardState.term
    this.durableVote = hardState.vote
    this.confState = initial.confState
    this.tracker = new Tracker(config)
    this.tracker.configure(this.confState, { now: 0, lastIndex })
    this.reads = new ReadRounds(config.maxPendingReads)
  }

  /** Whether this member may campaign at all: it has a vote, and its state is whole. */
  get isPromotable(): boolean {
    return isVoter(this.confState, this.id) && this.pendingSnapshot === undefined
  }

  /** Whether this leader has committed an entry of its own term: only then it knows what is committed (§6.4). */
  get hasCommittedInTerm(): boolean {
    return this.role === 'leader' && this.log.committed >= this.termStart
  }

  trace(event: TraceEvent): void {
    this.outbox.trace.push(event)
  }

  send(message: PeerMessage): void {
    const { messages, messagesAfterPersist } = this.outbox
    if (!this.#isPromise(message)) {
      messages.push(message)
      return
    }
    const last = messagesAfterPersist.at(-1)
    if (last !== undefined && supersedes(message, last)) messagesAfterPersist.pop()
    messagesAfterPersist.push(message)
  }

  /** Whether `message` promises something that is not on this member's disk yet. */
  #isPromise(message: PeerMessage): boolean {
    switch (message.type) {
      case 'MsgPreVote':
      case 'MsgPreVoteResp':
        // A pre-vote binds nobody.
        return false
      case 'MsgVote':
        return true
      case 'MsgVoteResp':
        return !message.reject || this.term > this.durableTerm
      case 'MsgAppResp':
        if (!message.reject && message.index > this.log.persisted) return true
        return this.term > this.durableTerm
      default:
        return this.term > this.durableTerm
    }
  }
}

export function emptyOutbox(): Outbox {
  return {
    messages: [],
    messagesAfterPersist: [],
    snapshot: undefined,
    readStates: [],
    refusedReads: [],
    trace: [],
  }
}

/** An acknowledgement includes the one before it. */
function supersedes(message: PeerMessage, last: PeerMessage): boolean {
  if (message.type !== 'MsgAppResp' || last.type !== 'MsgAppResp') return false
  if (message.reject || last.reject || message.to !== last.to) return false
  return message.term === last.term && message.index >= last.index
}
