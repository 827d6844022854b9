// Stories that a test tells and a broken build must fail (mutants.ts).

import { CheckFailure } from './checkers/checker.ts'
import type { SimMember } from './member.ts'
import type { Scenario } from './scenario.ts'

/** F13: who was cut off for a minute deposes nobody when it is back. */
export async function cutOffAndBack(scenario: Scenario): Promise<void> {
  const { leader, elections } = scenario
  const term = leader.member!.status().term
  scenario.cutOff(scenario.followers[0]!, 'both')
  await scenario.pass(60_000)
  scenario.healAll()
  await scenario.pass(5000)
  const now = scenario.cluster.leader
  const after = now?.member?.status().term
  if (now === leader && after === term && scenario.elections === elections) return
  const what = `${leader.name} led term ${term}, ${now?.name ?? 'nobody'} leads term ${String(after)}`
  throw new CheckFailure('undisturbed leader', what)
}

/**
 * §6: three voters become five, and the moment the joint configuration is in force on the leader the two others of the old
 * half, who do not know of it yet, are on the other side of a cut. Only one side may go on.
 */
export async function splitWhileJoint(scenario: Scenario): Promise<void> {
  const { leader, followers } = scenario
  const joined = [await joinAs(scenario), await joinAs(scenario)]
  const [a, b] = followers
  const ids = joined.map(({ id }) => id)
  const change = leader.member!.membership.change({ type: 'promote', ids }, { timeoutMs: 8000 })
  change.catch(() => undefined)
  const { lastIndex } = leader.member!.status()
  await scenario.until('the change is stored', () => isStored(a!, lastIndex), 1000)
  for (const from of [leader, ...joined]) for (const to of [a!, b!]) scenario.cut(from, to)
  const isJoint = (): boolean => leader.member!.stateMachine.confState.votersOutgoing.length > 0
  await scenario.until('it is in force', isJoint, 1000)
  for (const from of [a!, b!]) for (const to of [leader, ...joined]) scenario.cut(from, to)
  const writes = [leader, a!].map((via) => scenario.put(via, 3000))
  await scenario.pass(6000)
  const done = writes.filter(({ outcome }) => outcome?.type === 'done').length
  if (done > 1) throw new CheckFailure('one cluster', 'both sides of a cut acknowledge writes')
}

export async function joinAs(scenario: Scenario): Promise<SimMember> {
  const learner = scenario.cluster.join()
  const { id, name } = learner
  const peerUrls = [learner.peerUrl]
  const { membership } = scenario.leader.member!
  const added = membership.change({ type: 'addLearner', id, name, peerUrls }, { timeoutMs: 3000 })
  let isAdded = false
  void added.then(() => (isAdded = true))
  const isCaughtUp = (): boolean => isAdded && learner.member?.status().revision === revision()
  const revision = (): number => scenario.leader.member!.status().revision
  await scenario.until('the learner has caught up', isCaughtUp, 5000)
  await scenario.pass(500)
  return learner
}

function isStored(member: SimMember, index: number): boolean {
  return member.member!.status().persistedIndex >= index
}

export const STORIES = { cutOffAndBack, splitWhileJoint } as const
