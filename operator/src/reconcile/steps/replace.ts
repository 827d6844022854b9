// A member whose disk is gone or damaged is replaced in place: the same name, a new identity. Blank, it joins as a learner
// beside the identity it had and takes its place in one joint change. Damaged, the old identity is removed first, because a
// volume is deleted only when its member is in the membership no more. Pure.

import { REPLACE_ANNOTATION } from '../../api/labels.ts'
import type { OperationStatus, ReplacementStatus } from '../../api/raft-cluster.ts'
import { type Advance, type Advancing, asking, denied, DONE, waiting } from './advance.ts'
import { type Denial, denial, mayDisrupt } from './gate.ts'
import { addLearner, joinOf } from './join.ts'
import type { MemberView } from './members.ts'
import type { Facts } from './facts.ts'
import { learnersOf, type RosterEntry, votersOf } from './roster.ts'
import { promote } from './scale.ts'

const HOUR_SECONDS = 3600

export interface Loss {
  readonly member: MemberView
  readonly reason:
    | 'AwaitingReplacement'
    | 'Corrupt'
    | 'Tombstoned'
    | 'VolumeLost'
    | 'NodeGone'
    | 'Unfinished'
}

/** The first voter that will not take part again as it is, by facts of this pass. */
export function lossOf(facts: Facts): Loss | undefined {
  for (const member of facts.views) {
    const reason = member.isVoter ? reasonOf(facts, member) : undefined
    if (reason !== undefined) return { member, reason }
  }
  return undefined
}

function reasonOf(facts: Facts, member: MemberView): Loss['reason'] | undefined {
  const { claim, report, isFresh, name } = member
  const identities = facts.roster.entries.filter((entry) => entry.name === name)
  if (identities.length > 1) return 'Unfinished'
  if (claim?.phase === 'Lost') return 'VolumeLost'
  if (isLeftOnNode(facts, member)) return 'NodeGone'
  if (report?.state !== 'parked' || !isFresh) return undefined
  const { state } = report.dataDirectory
  return state === 'AwaitingReplacement' || state === 'Corrupt' || state === 'Tombstoned'
    ? state
    : undefined
}

/**
 * Its volume can only be used on a node that does not exist any more, and for so long that the node does not come back. A node
 * that is merely not ready may still run it: nothing of it is touched.
 */
function isLeftOnNode({ cluster, observed }: Facts, member: MemberView): boolean {
  const { claim, pod, report, name } = member
  if (claim?.stranded === undefined || report !== undefined || pod?.node !== undefined) return false
  const before = cluster.status.members?.find((other) => other.name === name)
  if (before === undefined || before.healthy) return false
  const seconds = (Date.parse(observed.now) - Date.parse(before.lastTransitionTime)) / 1000
  return seconds >= cluster.spec.selfHeal.unreachableSeconds
}

/** What keeps this loss from being replaced now; undefined: nothing does. */
export function deferralOf(facts: Facts, loss: Loss): Denial | undefined {
  const { member } = loss
  return refusalOf(facts, loss) ?? joining(facts, member.name) ?? healGate(facts, member)
}

/** Whether it would be replaced if nobody were joining. */
export function wantsWay(facts: Facts, loss: Loss): boolean {
  const { member } = loss
  const isHeldUp = joining(facts, member.name) !== undefined
  return isHeldUp && refusalOf(facts, loss) === undefined && healGate(facts, member) === undefined
}

/** Nobody has given leave. */
function refusalOf(facts: Facts, { member, reason }: Loss): Denial | undefined {
  const { cluster } = facts
  const { mode, maxReplacementsPerHour } = cluster.spec.selfHeal
  const approval = `${member.name}@${member.entry?.incarnation ?? 1}`
  const isApproved = cluster.metadata.annotations?.[REPLACE_ANNOTATION] === approval
  if (reason !== 'Unfinished' && !isApproved) {
    const how = `approve it with the annotation ${REPLACE_ANNOTATION}=${approval}`
    if (mode === 'Manual') return denial('Manual', `spec.selfHeal.mode is Manual; ${how}`)
    if (recentReplacements(facts).length >= maxReplacementsPerHour) {
      const limit = `${maxReplacementsPerHour} replacements an hour are allowed (spec.selfHeal)`
      return denial('ReplacementLimit', `${limit}; ${how}`)
    }
  }
  return undefined
}

/** Of the last hour. */
export function recentReplacements({ cluster, observed }: Facts): readonly ReplacementStatus[] {
  const now = Date.parse(observed.now)
  return (cluster.status.replacements ?? []).filter(
    ({ startedAt }) => now - Date.parse(startedAt) < HOUR_SECONDS * 1000,
  )
}

function joining({ roster }: Facts, name: string): Denial | undefined {
  const pending = learnersOf(roster).find((entry) => entry.name !== name)
  return pending === undefined ? undefined : denial('MemberJoining', `${pending.name} is joining`)
}

/** Without it, and with nothing else in its place yet, the cluster still has a majority. */
function healGate(facts: Facts, { name }: MemberView): Denial | undefined {
  const voters = votersOf(facts.roster).map((entry) => entry.name)
  return mayDisrupt(facts, { subject: name, voters, isPlanned: false })
}

export const advanceReplace: Advancing = (facts, operation) => {
  const member = facts.views.find(({ name }) => name === operation.member)
  const name = operation.member ?? ''
  const old = votersOf(facts.roster).filter((entry) => entry.name === name)
  if (member === undefined) return waiting('PrepareVolume', 'waiting for its pod', name)
  const current = old.at(-1)
  if (current === undefined) return rejoin(facts, member, operation)
  const hasSuccessor = facts.roster.entries.some(
    (entry) => entry.name === name && entry.raftId !== current.raftId,
  )
  if (hasSuccessor) return swap(facts, { member, current, operation })
  const reason = reasonOf(facts, member)
  if (reason === undefined) return verify(member, current)
  const against = joining(facts, member.name) ?? healGate(facts, member)
  if (against !== undefined) return denied('AwaitGate', against, name)
  if (reason === 'AwaitingReplacement') return addLearner(facts, name)
  return removeDamaged(facts, { name, current })
}

/** A new identity beside the old one: in one change it takes its place. */
function swap(
  facts: Facts,
  options: {
    readonly member: MemberView
    readonly current: RosterEntry
    readonly operation: OperationStatus
  },
): Advance {
  const { member, current, operation } = options
  const way = joinOf(facts, member.ordinal, operation)
  if (way.kind === 'underWay') return way.advance
  const against = joining(facts, member.name) ?? healGate(facts, member)
  const step = 'Swap'
  if (against !== undefined) return denied(step, against, member.name)
  return asking(facts, {
    step,
    message: `the new ${member.name} takes the place of the lost one`,
    member: member.name,
    change: {
      type: 'replace',
      name: member.name,
      removed: current.raftId,
      promoted: way.learner.raftId,
    },
  })
}

function removeDamaged(
  facts: Facts,
  { name, current }: { readonly name: string; readonly current: RosterEntry },
): Advance {
  const voters = votersOf(facts.roster)
    .filter(({ raftId }) => raftId !== current.raftId)
    .map((entry) => entry.name)
  const step = 'RemoveMember'
  if (voters.length === 0) return waiting(step, 'it is the only member', name)
  const against = mayDisrupt(facts, { subject: name, voters, isPlanned: false })
  if (against !== undefined) return denied(step, against, name)
  return asking(facts, {
    step,
    message: `${name} is removed: its data cannot be used any more`,
    member: name,
    change: { type: 'remove', name, id: current.raftId },
  })
}

/** The old identity is gone: it joins like anybody. */
function rejoin(facts: Facts, member: MemberView, operation: OperationStatus): Advance {
  const way = joinOf(facts, member.ordinal, operation)
  return way.kind === 'underWay' ? way.advance : promote(facts, [way.learner])
}

/** It takes part again, under a new identity or, because its disk came back, under the one it had. */
function verify(member: MemberView, current: RosterEntry): Advance {
  const { name, healthy, report, message } = member
  if (healthy && report?.memberId === current.raftId) return DONE
  return waiting('Verify', message ?? 'it does not serve yet', name)
}
