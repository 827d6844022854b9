// Pods take a changed template one after the other: those that serve nobody first, the leader last and only after somebody
// else leads. The next one goes when everybody is well again and has been for a while. Which pod is next is found out anew
// each time, so that a pod that came back by itself, or a spec that has changed again, need no care of their own. Pure.

import type { PodFacts } from '../observed.ts'
import { acting, type Advance, type Advancing, DONE, waiting } from './advance.ts'
import type { Facts } from './facts.ts'
import { mayDisrupt } from './gate.ts'
import type { MemberView } from './members.ts'
import { outdatedPods, updateRevision } from './revision.ts'
import { handOver } from './scale.ts'
import { votersOf } from './roster.ts'

export function isRolloutNeeded(facts: Facts): boolean {
  const isRolling = facts.cluster.spec.update.strategy === 'Rolling'
  return isRolling && (outdatedPods(facts)?.length ?? 0) > 0
}

export const advanceRollout: Advancing = (facts) => {
  if (facts.cluster.spec.update.strategy !== 'Rolling') return DONE
  const outdated = outdatedPods(facts)
  if (outdated === undefined) return waiting('Prepare', 'waiting for the StatefulSet controller')
  const ending = facts.observed.pods.find(({ isTerminating }) => isTerminating)
  if (ending !== undefined) return waiting('WaitReady', 'its old pod is ending', ending.name)
  const dead = outdated.find((pod) => pod.container !== 'running')
  // It serves nobody as it is.
  if (dead !== undefined) return roll(dead, 'it does not run')
  const members = facts.members.filter(({ pod }) => pod !== undefined && outdated.includes(pod))
  const next = members.toSorted((left, right) => rank(facts, left) - rank(facts, right))[0]
  const unwell = notReady(facts, next)
  if (unwell !== undefined) return unwell
  if (next?.pod === undefined) return DONE
  return disturb(facts, next, next.pod)
}

/** An updated pod has to be well before the next one goes; at the end, all of them. */
function notReady(facts: Facts, next: MemberView | undefined): Advance | undefined {
  const others = facts.members.filter(({ name, isVoter }) => isVoter && name !== next?.name)
  const revision = updateRevision(facts)
  // Who is not well under the old template is not waited for, if it is not well itself.
  const sick = others.find(
    ({ healthy, pod }) => !healthy && (next?.healthy !== false || pod?.revision === revision),
  )
  if (sick === undefined) return undefined
  return waiting('WaitReady', sick.message ?? 'it does not serve yet', sick.name)
}

/** Who is missed least goes first. */
function rank({ electorate }: Facts, member: MemberView): number {
  if (electorate.leader?.member.name === member.name) return 3
  if (!member.healthy) return 0
  return member.isVoter ? 2 : 1
}

function disturb(facts: Facts, member: MemberView, pod: PodFacts): Advance {
  const { name } = member
  const voters = votersOf(facts.roster).map((entry) => entry.name)
  // A single member cannot be spared, and has to be.
  if (voters.length <= 1) return roll(pod, 'it takes the new template')
  const against = mayDisrupt(facts, { subject: name, voters, isPlanned: true })
  const isLeader = facts.electorate.leader?.member.name === name
  const revision = updateRevision(facts)
  if (isLeader) {
    return handOver(facts, { name, against, isBest: (heir) => heir.pod?.revision === revision })
  }
  if (against !== undefined) return waiting('AwaitGate', against, name)
  return roll(pod, 'it takes the new template')
}

function roll({ name, uid }: PodFacts, reason: string): Advance {
  const action = { type: 'replacePod', name, uid, reason, isRollout: true } as const
  return acting('RollPod', `its pod is made anew: ${reason}`, name, action)
}
