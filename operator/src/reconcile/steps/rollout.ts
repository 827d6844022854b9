// Pods take a changed template one after the other: those that serve nobody first, the leader last and only after somebody
// else leads. The next one goes when everybody is well again and has been for a while. Which pod is next is found out anew
// each time, so that a pod that came back by itself, or a spec that has changed again, need no care of their own. Pure.

import { conditionOf } from '../../api/conditions.ts'
import type { PodFacts } from '../observed.ts'
import { acting, type Advance, type Advancing, denied, DONE, waiting } from './advance.ts'
import type { Facts } from './facts.ts'
import { mayDisrupt } from './gate.ts'
import type { MemberView } from './members.ts'
import { outdatedPods, updateRevision } from './revision.ts'
import { handOver } from './scale.ts'
import { votersOf } from './roster.ts'

const LEADERLESS_SECONDS = 30

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
  const revived = withoutLeader(facts, members)
  if (revived !== undefined) return revived
  const next = members.toSorted((left, right) => rank(facts, left) - rank(facts, right))[0]
  const unwell = notReady(facts, next)
  if (unwell !== undefined) return unwell
  if (next?.pod === undefined) return DONE
  return disturb(facts, next, next.pod)
}

/**
 * No leader can be asked, for longer than an election takes, and a majority of the voters say themselves that they serve
 * nobody: the template may be what keeps them from it. Whoever says so takes the new one, one at a time, each once the one
 * before is up, which is all that it can be without the others. Undefined: there is a leader, or it is not certain that there is none.
 */
function withoutLeader(facts: Facts, outdated: readonly MemberView[]): Advance | undefined {
  const { electorate, views, freeze } = facts
  if (electorate.leader !== undefined || freeze !== undefined || !isLeaderless(facts))
    return undefined
  const voters = views.filter(({ isVoter }) => isVoter)
  const idle = voters.filter(({ isFresh, report }) => isFresh && report?.ready === false)
  if (idle.length < electorate.quorum || voters.some(({ report }) => report?.ready === true)) {
    return undefined
  }
  const next = outdated.find((member) => idle.includes(member))
  if (next?.pod === undefined) return undefined
  const behind = voters.find((member) => !outdated.includes(member) && !isUp(facts, member))
  if (behind !== undefined) {
    return waiting('WaitReady', behind.message ?? 'it does not run yet', behind.name)
  }
  return roll(next.pod, 'no leader is there to ask, and it serves nobody as it is')
}

/** Seen by passes for so long: any election has ended by then. */
function isLeaderless({ cluster, observed }: Facts): boolean {
  const known = conditionOf(cluster.status.conditions, 'QuorumAvailable')
  if (known?.status !== 'False' || known.reason !== 'NoLeader') return false
  const seconds = (Date.parse(observed.now) - Date.parse(known.lastTransitionTime)) / 1000
  return seconds >= LEADERLESS_SECONDS
}

/** It runs, and has for a while: it does not crash. */
function isUp({ cluster, observed }: Facts, { pod, report, isFresh }: MemberView): boolean {
  if (!isFresh || report?.state !== 'running') return false
  const seconds = (Date.parse(observed.now) - Date.parse(pod?.runningSince ?? observed.now)) / 1000
  return seconds >= cluster.spec.update.minHealthySeconds
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
  if (against !== undefined) return denied('AwaitGate', against, name)
  return roll(pod, 'it takes the new template')
}

function roll({ name, uid }: PodFacts, reason: string): Advance {
  const action = { type: 'replacePod', name, uid, reason, isRollout: true } as const
  return acting('RollPod', `its pod is made anew: ${reason}`, name, action)
}
