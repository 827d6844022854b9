// Reads by read index (§6.4): a leader answers the read of another member only when a majority has confirmed, after that
// read was asked, that it still follows this leader. Read off the heartbeats' answers, whoever counts them.

import type { MsgReadIndexResp, PeerMessage } from '../../../member/src/raft/message.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import { CheckFailure, type Checker, type View } from './checker.ts'

export class ReadRule implements Checker {
  readonly name = 'read rule'
  /** By the read's name: when it was asked first. */
  readonly #askedMs = new Map<string, number>()
  /** By leader and term, and then by member: when it last confirmed a round of that leader. */
  readonly #confirmedMs = new Map<string, Map<MemberId, number>>()

  onMessage(message: PeerMessage, view: View): void {
    switch (message.type) {
      case 'MsgReadIndex':
        if (!this.#askedMs.has(message.context)) this.#askedMs.set(message.context, view.nowMs)
        return
      case 'MsgHeartbeatResp': {
        if (message.context === '') return
        const key = `${message.to} ${message.term}`
        const confirmed = this.#confirmedMs.get(key) ?? new Map<MemberId, number>()
        this.#confirmedMs.set(key, confirmed.set(message.from, view.nowMs))
        return
      }
      case 'MsgReadIndexResp':
        if (!message.reject) this.#check(message, view)
        return
      default:
    }
  }

  #check({ from, term, context }: MsgReadIndexResp, { members, nameOf }: View): void {
    const leader = members.find(({ id }) => id === from)?.member
    const askedMs = this.#askedMs.get(context)
    if (leader === undefined || askedMs === undefined) return
    const { voters, votersOutgoing } = leader.driver.raft.confState
    const confirmed = this.#confirmedMs.get(`${from} ${term}`)
    const isHalf = (ids: readonly MemberId[]): boolean => {
      const count = ids.filter((id) => id === from || (confirmed?.get(id) ?? -1) >= askedMs).length
      return ids.length === 0 || 2 * count > ids.length
    }
    if (isHalf(voters) && isHalf(votersOutgoing)) return
    const what = 'without asking whether it still leads'
    throw new CheckFailure(this.name, `${nameOf(from)} answers a read of term ${term} ${what}`)
  }
}
