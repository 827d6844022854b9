// What the core tells instead of logging: one event per change of state. The driver renders them as log lines.

import type { ConfState, Index, MemberId, Role, SnapshotMeta, Term } from './types.ts'

export type TraceEvent =
  | {
      readonly type: 'roleChanged'
      readonly from: Role
      readonly to: Role
      readonly term: Term
      readonly reason: string
    }
  | { readonly type: 'leaderChanged'; readonly leader: MemberId | undefined; readonly term: Term }
  | {
      readonly type: 'voteCast'
      readonly candidate: MemberId
      readonly term: Term
      readonly granted: boolean
      readonly reason: string
    }
  | {
      readonly type: 'preVoteCast'
      readonly candidate: MemberId
      readonly term: Term
      readonly granted: boolean
      readonly reason: string
    }
  | { readonly type: 'conflictTruncated'; readonly from: Index; readonly to: Index }
  | { readonly type: 'confChanged'; readonly confState: ConfState; readonly index: Index }
  /** This member acknowledged entries that it does not have any more. */
  | { readonly type: 'logLost'; readonly acknowledged: Index; readonly lastIndex: Index }
  | { readonly type: 'snapshotNeeded'; readonly peer: MemberId; readonly snapshot: SnapshotMeta }
  | { readonly type: 'snapshotRestored'; readonly snapshot: SnapshotMeta }
  | { readonly type: 'snapshotIgnored'; readonly snapshot: SnapshotMeta; readonly reason: string }
  | { readonly type: 'transferStarted'; readonly target: MemberId }
  | { readonly type: 'transferAborted'; readonly target: MemberId; readonly reason: string }
