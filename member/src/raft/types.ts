// The nouns of the core: positions, entries, persistent and volatile state, membership. Names are the Raft paper's and
// etcd's. Ranges are half-open [low, high).

/** 64-bit member identity as 16 lower-case hex digits; never reused (design decision 10). */
export type MemberId = string & { readonly __brand: 'MemberId' }

export type Term = number
export type Index = number

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader'

/** One log entry. `data` of a normal entry is opaque to the core; empty data is the no-op of a new leader (§8). */
export interface Entry {
  readonly index: Index
  readonly term: Term
  readonly type: 'normal' | 'confChange'
  /** Owned by the log from the moment it is handed in: nobody writes to it again. Empty for `confChange`. */
  readonly data: Uint8Array
  /** Set exactly when type is `confChange`. */
  readonly change: ConfChange | undefined
}

/** Must be durable before any message that depends on it leaves. */
export interface HardState {
  readonly term: Term
  /** Whom this member voted for in `term`. */
  readonly vote: MemberId | undefined
  readonly commit: Index
}

export interface SoftState {
  readonly leader: MemberId | undefined
  readonly role: Role
}

/** The membership in force at an index. Joint while `votersOutgoing` is not empty (§6). Arrays are sorted. */
export interface ConfState {
  readonly voters: readonly MemberId[]
  /** The old voters of a joint configuration; empty otherwise. */
  readonly votersOutgoing: readonly MemberId[]
  readonly learners: readonly MemberId[]
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  readonly learnersNext: readonly MemberId[]
  /** Whether the leader leaves the joint configuration by itself as soon as it is applied. */
  readonly autoLeave: boolean
}

export interface ConfChangeSingle {
  readonly type: 'addVoter' | 'addLearner' | 'remove'
  readonly memberId: MemberId
}

/** A change of membership, in force once applied. No `changes` means: leave the joint configuration. */
export interface ConfChange {
  readonly changes: readonly ConfChangeSingle[]
  /** `auto` uses joint consensus only when more than one voter changes; the others force it. */
  readonly transition: 'auto' | 'jointImplicit' | 'jointExplicit'
  /** Opaque to the core; reaches the state machine with the entry (names, URLs). */
  readonly context: Uint8Array
}

/** Identity of a snapshot: the state after applying everything up to and including `index`. */
export interface SnapshotMeta {
  readonly index: Index
  readonly term: Term
  readonly confState: ConfState
}
