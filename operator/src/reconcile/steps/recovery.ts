// Whether volumes are there, and whether the cluster can come back by itself; if not, who has most of it. Pure.

import type { FindingOf } from '../../api/conditions.ts'
import { describeMembers, type MemberView, namesOf } from './members.ts'
import type { Model } from './model.ts'

/** Members that will not take part again without somebody's decision. */
const LOST_REASONS: ReadonlySet<string | undefined> = new Set([
  'AwaitingReplacement',
  'Corrupt',
  'ForeignCluster',
  'Tombstoned',
])

export function storageReady({ members, statefulSet }: Model): FindingOf<'StorageReady'> {
  const type = 'StorageReady'
  const lost = members.filter(isVolumeLost)
  if (lost.length > 0) {
    const message = `the volumes of ${namesOf(lost)} are gone`
    return { type, status: 'False', reason: 'PVCLost', message }
  }
  if (statefulSet === undefined && members.every(({ claim }) => claim === undefined)) {
    return { type, status: 'Unknown', reason: 'NoVolumes', message: 'there are no volumes yet' }
  }
  const pending = members.filter(({ claim }) => claim?.phase !== 'Bound')
  if (pending.length > 0) {
    const message = `the volumes of ${namesOf(pending)} are not bound yet`
    return { type, status: 'False', reason: 'VolumePending', message }
  }
  return { type, status: 'True', reason: 'AllBound', message: 'every member has its volume' }
}

function isVolumeLost({ claim }: MemberView): boolean {
  return claim?.phase === 'Lost' || claim?.stranded !== undefined
}

export function recoveryRequired(model: Model): FindingOf<'RecoveryRequired'> {
  const type = 'RecoveryRequired'
  const { history, members, electorate } = model
  const lost = members.filter(
    (member) =>
      member.isVoter &&
      (isVolumeLost(member) || (member.report !== undefined && LOST_REASONS.has(member.reason))),
  )
  if (electorate.voters - lost.length < electorate.quorum) {
    const message =
      `${describeMembers(lost)}: too few members are left for a quorum. ` + rankSurvivors(members)
    return { type, status: 'True', reason: 'MajorityLost', message }
  }
  if (history === 'forgotten') {
    const message =
      'no quorum answers, and nothing else says whether this cluster has formed. ' +
      rankSurvivors(members)
    return { type, status: 'True', reason: 'NothingAnswers', message }
  }
  return { type, status: 'False', reason: 'NotRequired', message: 'a quorum can form by itself' }
}

/** By last log term, last index, applied: who has most of what was acknowledged. */
function rankSurvivors(members: readonly MemberView[]): string {
  const ranked = members
    .filter(
      ({ report }) => report?.lastIndex !== undefined && report.dataDirectory.state === 'Valid',
    )
    .toSorted(
      ({ report: left }, { report: right }) =>
        (right?.lastLogTerm ?? 0) - (left?.lastLogTerm ?? 0) ||
        (right?.lastIndex ?? 0) - (left?.lastIndex ?? 0) ||
        (right?.applied ?? 0) - (left?.applied ?? 0),
    )
    .map(
      ({ name, report }) =>
        `${name} (term ${report?.lastLogTerm ?? 0}, index ${report?.lastIndex ?? 0})`,
    )
  const survivors = ranked.length === 0 ? 'no member tells of any' : ranked.join(', ')
  return `By how much of the log they have: ${survivors}`
}
