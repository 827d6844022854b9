// Messages between members (Figure 2 of the paper, extended as etcd's), and the local ones a member sends itself.
// `from`, `to` and `term` are set by the core; the transport replaces `from` by the identity of the connection.

import type { Entry, Index, MemberId, SnapshotMeta, Term } from './types.ts'

interface Addressed {
  readonly from: MemberId
  readonly to: MemberId
  readonly term: Term
}

/** AppendEntries: entries after (`prevIndex`, `prevTerm`). No entries: a probe or a commit notice. */
export interface MsgApp extends Addressed {
  readonly type: 'MsgApp'
  readonly prevIndex: Index
  readonly prevTerm: Term
  readonly entries: readonly Entry[]
  readonly commit: Index
}

/** `index`: the last index known to match, or, when rejected, the `prevIndex` that did not. */
export interface MsgAppResp extends Addressed {
  readonly type: 'MsgAppResp'
  readonly index: Index
  readonly reject: boolean
  /** When rejected: where the follower's log could match (index and its term), so that one round skips a whole term. */
  readonly hintIndex: Index
  readonly hintTerm: Term
}

/** RequestVote; the pre-vote asks whether it would be granted, with the term the sender would campaign in (§9.6). */
export interface MsgVote extends Addressed {
  readonly type: 'MsgVote' | 'MsgPreVote'
  readonly lastIndex: Index
  readonly lastTerm: Term
  /** Set when the leader asked for this election: lets it past members that still hear the leader. */
  readonly transfer: boolean
  /** An entry that the sender knows to be committed. See {@link MsgVoteResp}. */
  readonly commit: Index
  readonly commitTerm: Term
}

export interface MsgVoteResp extends Addressed {
  readonly type: 'MsgVoteResp' | 'MsgPreVoteResp'
  readonly reject: boolean
  /**
   * An entry that the sender knows to be committed: a member that has it commits it. Between elections nobody else tells
   * it that a change of membership is in force, and counting by the old one it may need votes that it cannot get.
   */
  readonly commit: Index
  readonly commitTerm: Term
}

/** `context` names the newest read-index round this heartbeat confirms; empty when there is none. */
export interface MsgHeartbeat extends Addressed {
  readonly type: 'MsgHeartbeat'
  readonly commit: Index
  readonly context: string
}

export interface MsgHeartbeatResp extends Addressed {
  readonly type: 'MsgHeartbeatResp'
  readonly context: string
}

/** InstallSnapshot. The bytes travel on a connection of their own; the driver starts it when it sees this message. */
export interface MsgSnap extends Addressed {
  readonly type: 'MsgSnap'
  readonly snapshot: SnapshotMeta
}

/** A follower asks the leader for a read index (§6.4). `context` is unique for ever. */
export interface MsgReadIndex extends Addressed {
  readonly type: 'MsgReadIndex'
  readonly context: string
}

export interface MsgReadIndexResp extends Addressed {
  readonly type: 'MsgReadIndexResp'
  readonly context: string
  readonly index: Index
  /** The leader cannot answer (not leader any more, too many reads waiting): ask again. */
  readonly reject: boolean
}

/** The leader tells its chosen successor to campaign at once (§3.10). */
export interface MsgTimeoutNow extends Addressed {
  readonly type: 'MsgTimeoutNow'
}

/** A message whose term is old still tells its sender the current term, so that it steps down. */
export interface MsgTermNotice extends Addressed {
  readonly type: 'MsgTermNotice'
}

/**
 * Local. The transport lost `from`: a leader goes back to probing it; a follower whose leader it is starts a pre-vote
 * early (design decision 8). Never crosses the network.
 */
export interface MsgUnreachable extends Addressed {
  readonly type: 'MsgUnreachable'
}

/** Local. The snapshot stream to `from` ended. Never crosses the network. */
export interface MsgSnapStatus extends Addressed {
  readonly type: 'MsgSnapStatus'
  readonly reject: boolean
}

export type PeerMessage =
  | MsgApp
  | MsgAppResp
  | MsgVote
  | MsgVoteResp
  | MsgHeartbeat
  | MsgHeartbeatResp
  | MsgSnap
  | MsgReadIndex
  | MsgReadIndexResp
  | MsgTimeoutNow
  | MsgTermNotice

export type LocalMessage = MsgUnreachable | MsgSnapStatus

export type Message = PeerMessage | LocalMessage
