// MONO: a member's term never falls, across all its lives (§5.1: it is durable before anything shows it), unless its disk was
// exchanged for a blank one before it had ever voted: whoever only answered a leader has promised nothing. Within a life
// its commit index, applied index and revision do not fall either; a new life begins at what the disk knows of the commit,
// which may be less, and learns the rest from the leader before it answers a linearizable request.

import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import type { SimMember } from '../member.ts'
import { CheckFailure, type Checker } from './checker.ts'

interface Seen {
  readonly life: number
  readonly term: number
  readonly committed: number
  readonly applied: number
  readonly revision: number
}

export class Monotone implements Checker {
  readonly name = 'monotone'
  readonly #seen = new Map<SimMember, Seen>()
  /** The highest term that left each member. */
  readonly #shown = new Map<MemberId, number>()
  readonly #voted = new Set<MemberId>()
  readonly #disks = new Map<MemberId, number>()

  onMessage(message: PeerMessage): void {
    const { type, from, term } = message
    // These speak of a term that nobody is in yet.
    if (type === 'MsgPreVote' || type === 'MsgPreVoteResp') return
    if (term > (this.#shown.get(from) ?? 0)) this.#shown.set(from, term)
    if (type === 'MsgVote' || (type === 'MsgVoteResp' && !message.reject)) this.#voted.add(from)
  }

  onEvent(member: SimMember): void {
    const { driver, stateMachine } = member.member!
    const { term, committed } = driver.raft.status()
    const applied = stateMachine.appliedIndex
    const { revision } = stateMachine.store
    const before = this.#seen.get(member)
    const life = member.lifeCount
    if (before?.life !== life) this.#exchanged(member)
    this.#mustNotFall(member, 'term', this.#shown.get(member.id) ?? 0, term)
    if (before?.life === life) {
      this.#mustNotFall(member, 'term', before.term, term)
      this.#mustNotFall(member, 'commit index', before.committed, committed)
      this.#mustNotFall(member, 'applied index', before.applied, applied)
      this.#mustNotFall(member, 'revision', before.revision, revision)
    }
    this.#seen.set(member, { life, term, committed, applied, revision })
  }

  /** A blank disk knows nothing of what its member said, which may not have been a vote. */
  #exchanged({ id, diskNumber }: SimMember): void {
    const isAnother = diskNumber !== (this.#disks.get(id) ?? diskNumber)
    this.#disks.set(id, diskNumber)
    if (isAnother && !this.#voted.has(id)) this.#shown.delete(id)
  }

  #mustNotFall(member: SimMember, what: string, before: number, after: number): void {
    if (after >= before) return
    throw new CheckFailure(this.name, `${what} of ${member.name} falls from ${before} to ${after}`)
  }
}
