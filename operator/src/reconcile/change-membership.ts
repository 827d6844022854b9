// Carries out a change of the membership: asks the leader, and says what came of it. A refusal is an answer, not an error: the
// next pass looks at what is true by then.

import { unreachable } from '../../../lib/assert.ts'
import type { ChangeAnswer, MembershipCaller } from '../member-client/member-client.ts'
import { type Action, describeChange, type MembershipChange, type PlannedEvent } from './actions.ts'

type Change = Extract<Action, { type: 'changeMembership' }>

/** Names that have been members so often are not a cluster's. */
const INCARNATIONS_TRIED_MAX = 1000

export interface ChangeOutcome {
  readonly events: readonly PlannedEvent[]
  /** Why it did not happen, or why that is not known; undefined when it did. */
  readonly refusal?: string
}

export async function changeMembership(
  action: Change,
  { caller, signal }: { readonly caller: MembershipCaller; readonly signal: AbortSignal },
): Promise<ChangeOutcome> {
  const { baseUrl, change, expectedEpoch } = action
  const options = { expectedEpoch, signal }
  const answer =
    change.type === 'add'
      ? await addUnused(change, (incarnation) =>
          caller.change(baseUrl, { ...change, incarnation }, options),
        )
      : await caller.change(baseUrl, change, options)
  if (answer.kind === 'done') return { events: [eventOf(action)] }
  const what = answer.kind === 'refused' ? `refused, ${answer.code}: ` : ''
  return { events: [], refusal: `${what}${answer.detail}` }
}

/** An id is used once: which ones were is known to the members alone. */
async function addUnused(
  change: Extract<MembershipChange, { type: 'add' }>,
  ask: (incarnation: number) => Promise<ChangeAnswer>,
): Promise<ChangeAnswer> {
  const end = change.incarnation + INCARNATIONS_TRIED_MAX
  for (let incarnation = change.incarnation; incarnation < end; incarnation += 1) {
    const answer = await ask(incarnation)
    const isUsedUp = answer.kind === 'refused' && answer.reason === 'removed'
    if (!isUsedUp) return answer
  }
  return { kind: 'refused', code: 'MEMBERSHIP_CONFLICT', detail: 'no incarnation is left' }
}

function eventOf({ change, leader }: Change): PlannedEvent {
  const message = `${leader} was asked to ${describeChange(change)}, and did`
  const base = { type: 'Normal', action: 'ChangeMembership', message } as const
  switch (change.type) {
    case 'add':
      return { ...base, reason: 'LearnerAdded', member: change.name }
    case 'promote':
      return { ...base, reason: 'MemberPromoted', occasion: change.ids.join(' ') }
    case 'remove':
      return { ...base, reason: 'MemberRemoved', member: change.name, occasion: change.id }
    case 'replace':
      return { ...base, reason: 'MemberReplaced', member: change.name, occasion: change.promoted }
    case 'finalize':
      return { ...base, reason: 'FeatureLevelRaised', occasion: String(change.level) }
    case 'transfer':
      return { ...base, reason: 'LeadershipTransferred', member: change.target }
    default:
      return unreachable(change)
  }
}
