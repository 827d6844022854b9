// Election Safety (§5.2): at most one leader a term, at most one vote of a member a term, across all its lives. A vote is
// what left the member: a granted MsgVoteResp, or its own MsgVote, which is a vote for itself. Pre-votes bind nobody (F19).

import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import type { SimMember } from '../member.ts'
import { CheckFailure, type Checker, type View } from './checker.ts'

export class ElectionSafety implements Checker {
  readonly name = 'election safety'
  readonly #leaders = new Map<number, SimMember>()
  readonly #votes = new Map<string, MemberId>()

  /** Number of terms that had a leader. */
  get electionCount(): number {
    return this.#leaders.size
  }

  onLog(member: SimMember, fields: Readonly<Record<string, unknown>>, message: string): void {
    if (message !== 'role changed' || fields['to'] !== 'leader') return
    const term = fields['term'] as number
    const other = this.#leaders.get(term)
    if (other !== undefined) {
      const again = other === member ? ' twice' : ` and ${other.name}`
      throw new CheckFailure(this.name, `term ${term} is led by ${member.name}${again}`)
    }
    this.#leaders.set(term, member)
  }

  onMessage(message: PeerMessage, { nameOf }: View): void {
    if (message.type === 'MsgVote') this.#vote(message.from, message.term, message.from, nameOf)
    if (message.type === 'MsgVoteResp' && !message.reject) {
      this.#vote(message.from, message.term, message.to, nameOf)
    }
  }

  #vote(voter: MemberId, term: number, candidate: MemberId, nameOf: View['nameOf']): void {
    const key = `${voter} ${term}`
    const before = this.#votes.get(key)
    if (before !== undefined && before !== candidate) {
      const whom = `${nameOf(before)} and for ${nameOf(candidate)}`
      throw new CheckFailure(this.name, `${nameOf(voter)} votes for ${whom} in term ${term}`)
    }
    this.#votes.set(key, candidate)
  }
}
