// What a leader may call committed (promise 1; §5.3, §5.4.2, §6): by counting only entries of its own term, and only what a
// majority of the voters acknowledged to it, or has itself on flushed storage; of both halves while the membership is joint.
// Read off the acknowledgements that were sent, whoever counts them.

import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type { ConfState, MemberId } from '../../../member/src/raft/types.ts'
import type { SimMember } from '../member.ts'
import { CheckFailure, type Checker } from './checker.ts'

interface Seen {
  readonly life: number
  readonly ledTerm: number | undefined
  readonly committed: number
  readonly confState: ConfState
}

export class CommitRule implements Checker {
  readonly name = 'commit rule'
  /** By leader and term, and then by voter: the highest index that it acknowledged to that leader. */
  readonly #acknowledged = new Map<string, Map<MemberId, number>>()
  readonly #seen = new Map<SimMember, Seen>()

  onMessage(message: PeerMessage): void {
    if (message.type !== 'MsgAppResp' || message.reject) return
    const { from, to, term, index } = message
    const key = `${to} ${term}`
    let acknowledged = this.#acknowledged.get(key)
    if (acknowledged === undefined) {
      acknowledged = new Map()
      this.#acknowledged.set(key, acknowledged)
    }
    if (index > (acknowledged.get(from) ?? 0)) acknowledged.set(from, index)
  }

  onEvent(member: SimMember): void {
    const { raft } = member.member!.driver
    const { confState, role } = raft
    const { term, committed, persistedIndex } = raft.status()
    const before = this.#seen.get(member)
    const ledTerm = role === 'leader' ? term : undefined
    const life = member.lifeCount
    this.#seen.set(member, { life, ledTerm, committed, confState })
    // What it commits in the event in which it becomes leader it may have learned before.
    if (before?.life !== life || ledTerm === undefined || before.ledTerm !== ledTerm) return
    if (committed === before.committed) return
    const entryTerm = raft.termAt(committed)
    if (entryTerm !== term) {
      this.#fail(member, committed, `of term ${String(entryTerm)} by counting in term ${term}`)
    }
    const acknowledged = this.#acknowledged.get(`${member.id} ${term}`)
    const has = (id: MemberId): boolean =>
      (id === member.id ? persistedIndex : (acknowledged?.get(id) ?? 0)) >= committed
    // The event may have brought the next membership into force behind what it committed by the one before.
    if (isByMajority(before.confState, has) || isByMajority(confState, has)) return
    this.#fail(member, committed, 'that no majority acknowledged')
  }

  #fail({ name }: SimMember, index: number, what: string): never {
    throw new CheckFailure(this.name, `${name} commits entry ${index} ${what}`)
  }
}

function isByMajority(
  { voters, votersOutgoing }: ConfState,
  has: (id: MemberId) => boolean,
): boolean {
  const isHalf = (ids: readonly MemberId[]): boolean =>
    ids.length === 0 || 2 * ids.filter(has).length > ids.length
  return isHalf(voters) && isHalf(votersOutgoing)
}
