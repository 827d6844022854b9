// What every checker of the simulator is: it watches a run and throws CheckFailure at the first thing that must never be.
// One file each. A checker keeps what it needs itself; it sees members only through what they show.

import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import type { SimMember } from '../member.ts'
import type { Plan } from '../plan.ts'
import type { Answer } from '../workload.ts'
import type { Operation } from './history.ts'

export interface View {
  readonly plan: Plan
  readonly members: readonly SimMember[]
  /** Those that belong to the cluster by its newest membership. */
  readonly current: readonly SimMember[]
  /** So many disks were lost that nothing can be decided: who is behind stays so. */
  readonly isStuck: boolean
  readonly nowMs: number
  readonly nameOf: (id: MemberId) => string
}

/** A change of membership that was acknowledged, and the epoch that it was acknowledged with. */
export interface AcknowledgedChange {
  readonly epoch: number
  readonly what: string
  readonly holds: (members: readonly string[]) => boolean
}

/** A peer URL that the cluster was told of, and the applied index of the leader that said so. */
export interface AcknowledgedAddress {
  readonly member: SimMember
  readonly index: number
  readonly url: string
}

export interface Checker {
  /** As in the table of docs/testing.md. */
  readonly name: string
  /** A member sent a message, whether or not it arrives. */
  onMessage?(message: PeerMessage, view: View): void
  /** A life of this member is about to take part in the cluster. */
  onStart?(member: SimMember): void
  /** A message of one member is taken in by another. */
  onHeard?(from: SimMember, by: SimMember, view: View): void
  /** A member's log said something. */
  onLog?(member: SimMember, fields: Readonly<Record<string, unknown>>, message: string): void
  /** Something happened in this member; it is running. */
  onEvent?(member: SimMember, view: View): void
  /** A change of membership was acknowledged. */
  onMembership?(change: AcknowledgedChange): void
  /** A member is reached elsewhere by an acknowledged call. */
  onAddress?(address: AcknowledgedAddress): void
  /** Somebody was told that the feature level is this, or higher. */
  onFinalized?(level: number): void
  onAnswer?(answer: Answer, view: View): void
  /** The run is over: all that can run do, and have applied the same. */
  finish?(operations: readonly Operation[], view: View): void
}

export class CheckFailure extends Error {
  readonly checker: string

  constructor(checker: string, what: string) {
    super(what)
    this.checker = checker
  }
}
