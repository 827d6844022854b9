// What a step of an operation says: where it is, and what it does next. Shared by every operation. Pure.

import type { Gate } from '../../api/gates.ts'
import { memberBaseUrl } from '../../api/member-url.ts'
import type { OperationStatus } from '../../api/raft-cluster.ts'
import type { Action, MembershipChange } from '../actions.ts'
import type { Facts } from './facts.ts'
import type { Denial } from './gate.ts'

export interface Advance {
  readonly step: string
  readonly member?: string
  readonly message: string
  readonly actions: readonly Action[]
  readonly isDone?: boolean
  /** Which gate it waits for. */
  readonly gate?: Gate
}

/** How one operation goes on, given how things are: it is found out anew in each pass. */
export interface Advancing {
  (facts: Facts, operation: OperationStatus): Advance
}

export function waiting(step: string, message: string, member?: string): Advance {
  return { step, message, actions: [], ...(member === undefined ? {} : { member }) }
}

/** Waits, because a gate is closed. */
export function denied(step: string, { gate, message }: Denial, member?: string): Advance {
  return { ...waiting(step, message, member), gate }
}

export function acting(step: string, message: string, member: string, action: Action): Advance {
  return { step, member, message, actions: [action] }
}

export const DONE: Advance = { step: 'Done', message: 'done', actions: [], isDone: true }

/** Asks the leader, for exactly the membership it has confirmed in this pass; undefined when there is no such leader. */
export function askLeader(facts: Facts, change: MembershipChange): Action | undefined {
  const leader = facts.electorate.leader?.member
  const epoch = facts.roster.epoch
  if (leader?.pod === undefined || epoch === undefined || !facts.isRosterCurrent) return undefined
  const baseUrl = memberBaseUrl(leader.pod)
  if (baseUrl === undefined) return undefined
  return { type: 'changeMembership', leader: leader.name, baseUrl, change, expectedEpoch: epoch }
}

/** `step` with the change, or a wait for a leader that can be asked. */
export function asking(
  facts: Facts,
  options: {
    readonly step: string
    readonly message: string
    readonly member: string
    readonly change: MembershipChange
  },
): Advance {
  const action = askLeader(facts, options.change)
  if (action !== undefined) {
    return acting(options.step, options.message, options.member, action)
  }
  return waiting(options.step, 'waiting for a leader that a majority confirms', options.member)
}
