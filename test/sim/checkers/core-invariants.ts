// What the core says of itself: the facts that are too dear for every Ready (its log entry by entry, its configuration, and how a
// state follows from an earlier one of the same life), looked at now and then in every member.

import type { RawNode } from '../../../member/src/raft/raw-node.ts'
import type { SimMember } from '../member.ts'
import type { Checker } from './checker.ts'

/** Events of one life of a member. A log has some hundred entries: a look costs about what those events do. */
const EVERY = 64

export class CoreInvariants implements Checker {
  readonly name = 'core invariants'
  /** Events until the next look, by life. */
  readonly #left = new WeakMap<RawNode, number>()

  onEvent(member: SimMember): void {
    const { raft } = member.member!.driver
    const left = this.#left.get(raft) ?? EVERY
    this.#left.set(raft, left > 1 ? left - 1 : EVERY)
    if (left === 1) raft.verify()
  }
}
