// The core's only output: what must be stored, sent and applied, and what changed. The driver takes one Ready per turn
// and reports back with advance(); it may take the next while an earlier one is still being flushed.

import type { PeerMessage } from './message.ts'
import type { Entry, HardState, Index, MemberId, SnapshotMeta, SoftState, Term } from './types.ts'
import type { TraceEvent } from './trace.ts'

export interface ReadState {
  readonly context: string
  /** The read is linearizable once the state machine has applied this index. */
  readonly index: Index
}

export interface Ready {
  /** 1, 2, 3, …: what `advance({ persisted })` refers to. Readies are stored in this order. */
  readonly number: number
  /** Set when leader or role changed since the last Ready. */
  readonly softState: SoftState | undefined
  /** Set when term, vote or commit changed since the last Ready. */
  readonly hardState: HardState | undefined
  /** To be written after `snapshot`. The first may lie at or below an index written earlier: it cuts the log there. */
  readonly entries: readonly Entry[]
  /** To be installed before anything else of this Ready; its file is already durable. */
  readonly snapshot: SnapshotMeta | undefined
  /**
   * Whether this Ready needs a flush: entries, snapshot, term or vote; a new commit index only when a change of
   * membership is committed with it.
   */
  readonly mustSync: boolean
  /** May leave at once. */
  readonly messages: readonly PeerMessage[]
  /** Leave once this Ready and all before it are durable: they promise what it stores. */
  readonly messagesAfterPersist: readonly PeerMessage[]
  /** To be applied in this order. May be ahead of this member's own flush: a majority has them. */
  readonly committedEntries: readonly Entry[]
  readonly readStates: readonly ReadState[]
  /** Reads this member asked for that will not be answered (leadership moved, too many): ask again. */
  readonly refusedReads: readonly string[]
  readonly trace: readonly TraceEvent[]
}

/** What the driver reports back; every field only grows. */
export interface Progress {
  /** The number of the newest Ready that, with all before it, is durable. */
  readonly persisted?: number
  /** The newest index the state machine has applied; conf changes up to it take effect in the core now. */
  readonly applied?: Index
  /** Entries up to this index may be forgotten: the state machine can be snapshot beyond it. At most `applied`. */
  readonly compacted?: Index
}

export type ProposeResult =
  | { readonly accepted: true; readonly term: Term; readonly firstIndex: Index }
  | { readonly accepted: false; readonly reason: ProposeRefusal }

export type ProposeRefusal =
  | 'notLeader'
  | 'transferring'
  | 'overloaded'
  | 'confChangePending'
  | 'confChangeInvalid'
  | 'notReady'

export interface Status {
  readonly id: MemberId
  readonly term: Term
  readonly leader: MemberId | undefined
  readonly role: SoftState['role']
  readonly committed: Index
  readonly applied: Index
  readonly firstIndex: Index
  readonly lastIndex: Index
  readonly persistedIndex: Index
  readonly transferTarget: MemberId | undefined
  /** The leader's view of each peer (itself left out); empty on others. */
  readonly progress: readonly PeerProgress[]
}

export interface PeerProgress {
  readonly id: MemberId
  readonly state: 'probe' | 'replicate' | 'snapshot'
  readonly match: Index
  readonly next: Index
  readonly recentlyActive: boolean
  readonly learner: boolean
  readonly inflightMessages: number
}
