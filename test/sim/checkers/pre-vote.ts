// Pre-vote (§9.6): nobody raises the term by an election before a majority has said that it would vote for it, unless the
// leader asked for that election. So a member that was cut off, or removed, deposes nobody when it is heard again.

import type { MsgVote, PeerMessage } from '../../../member/src/raft/message.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import { CheckFailure, type Checker, type View } from './checker.ts'

export class PreVote implements Checker {
  readonly name = 'pre-vote'
  /** By candidate and term: who would vote for it. */
  readonly #granted = new Map<string, Set<MemberId>>()
  /** By candidate and term: the leader asked for it. */
  readonly #asked = new Set<string>()

  onMessage(message: PeerMessage, view: View): void {
    if (message.type === 'MsgPreVoteResp' && !message.reject) {
      const key = `${message.to} ${message.term}`
      const granted = this.#granted.get(key) ?? new Set()
      this.#granted.set(key, granted.add(message.from))
    }
    // Its first requests may find nobody connected: those that follow do not say any more who wanted the election.
    if (message.type === 'MsgTimeoutNow') this.#asked.add(`${message.to} ${message.term + 1}`)
    if (message.type === 'MsgVote') this.#check(message, view)
  }

  #check({ from, term, transfer }: MsgVote, { members, nameOf }: View): void {
    const key = `${from} ${term}`
    if (transfer) this.#asked.add(key)
    const candidate = members.find(({ id }) => id === from)?.member
    if (candidate === undefined || this.#asked.has(key)) return
    const { voters, votersOutgoing } = candidate.driver.raft.confState
    const granted = this.#granted.get(key)
    const isHalf = (ids: readonly MemberId[]): boolean => {
      const count = ids.filter((id) => id === from || granted?.has(id) === true).length
      return ids.length === 0 || 2 * count > ids.length
    }
    if (isHalf(voters) && isHalf(votersOutgoing)) return
    throw new CheckFailure(
      this.name,
      `${nameOf(from)} asks for votes in term ${term} without a majority's leave`,
    )
  }
}
