// How the members are, beyond whether they serve: who is sick and of what, who falls behind, whose space runs out. Pure.

import { conditionOf, type FindingOf } from '../../api/conditions.ts'
import type { StorageReport } from '../observed.ts'
import { COMING_REASONS, describeMembers, type MemberView, namesOf } from './members.ts'
import type { Model } from './model.ts'

/** Entries by which a voter is behind its leader's log when it is said, and when it is not said any more. */
const LAG_ENTRIES = { begins: 10_000, ends: 1000 } as const
/** Of the quota or the volume: what is left when it is said, and when it is not said any more. */
const LEFT_RATIO = { begins: 0.15, ends: 0.2 } as const

export function membersHealthy(model: Model): FindingOf<'MembersHealthy'> {
  const type = 'MembersHealthy'
  const { hasFormed, members, undertaking } = model
  // Who has no vote yet is missed by nobody.
  const sick = members.filter(({ healthy, isVoter }) => !healthy && isVoter)
  const full = members.filter(({ report }) => report?.alarms.includes('NOSPACE') === true)
  if (sick.length === 0 && full.length === 0) {
    const behind = laggards(model)
    if (behind !== undefined) {
      return { type, status: 'False', reason: 'MemberLagging', message: behind }
    }
    return { type, status: 'True', reason: 'AllHealthy', message: 'every member serves' }
  }
  if (!hasFormed) {
    return { type, status: 'False', reason: 'NotBootstrapped', message: describeMembers(sick) }
  }
  if (sick.length === 0) {
    const message = `${namesOf(full)} refused a write because its space quota is used up`
    return { type, status: 'False', reason: 'NoSpace', message }
  }
  const { deferred } = undertaking
  const why =
    deferred === undefined ? '' : `; ${deferred.member} is not replaced yet: ${deferred.why}`
  const message = `${describeMembers(sick)}${why}`
  return { type, status: 'False', reason: sickness(sick), message }
}

/** The worst first: what waits for a decision, then what is gone, then what only has to catch up. */
function sickness(sick: readonly MemberView[]): FindingOf<'MembersHealthy'>['reason'] {
  const reasons = new Set(sick.map(({ reason }) => reason))
  for (const reason of ['Corrupt', 'ForeignCluster', 'AwaitingReplacement'] as const) {
    if (reasons.has(reason)) return reason
  }
  return [...reasons].every((reason) => COMING_REASONS.has(reason))
    ? 'MemberNotReady'
    : 'MemberDown'
}

/**
 * Voters that serve and are far behind, as the log of the leader of this pass has it: what it has put down of them is of one
 * moment. In powers of ten, so that the message does not tick. Undefined: nobody is.
 */
export function laggards({ cluster, electorate, members }: Model): string | undefined {
  const leader = electorate.leader?.member
  const committed = leader?.report?.committed
  if (leader?.isFresh !== true || committed === undefined) return undefined
  const known = conditionOf(cluster.status.conditions, 'MembersHealthy')?.reason
  const limit = known === 'MemberLagging' ? LAG_ENTRIES.ends : LAG_ENTRIES.begins
  const behind = members.flatMap(({ name, isVoter, healthy, report }) => {
    const peer = leader.report?.peers.find(({ id }) => id === report?.memberId)
    const lag = committed - (peer?.match ?? committed)
    if (!isVoter || !healthy || lag <= limit) return []
    return [`${name} is about ${10 ** Math.floor(Math.log10(lag))} entries behind its leader`]
  })
  return behind.length === 0 ? undefined : behind.join('; ')
}

/** Whose quota or volume will soon be used up, without figures that tick. Undefined: nobody's. */
export function nearlyFull({ cluster, members }: Model): string | undefined {
  const known = conditionOf(cluster.status.conditions, 'Degraded')?.reason
  const left = known === 'StorageNearFull' ? LEFT_RATIO.ends : LEFT_RATIO.begins
  const percent = Math.round(left * 100)
  const words = members.flatMap(({ name, report }) => {
    const { isQuotaShort, isDiskShort } = shortages(report?.storage, left)
    return [
      ...(isQuotaShort ? [`less than ${percent} % of the space quota of ${name} is left`] : []),
      ...(isDiskShort ? [`less than ${percent} % of the volume of ${name} is free`] : []),
    ]
  })
  return words.length === 0 ? undefined : words.join('; ')
}

/** What a member does not tell, an older one for instance, is not short. */
function shortages(
  storage: StorageReport | undefined,
  left: number,
): { readonly isQuotaShort: boolean; readonly isDiskShort: boolean } {
  const { quotaBytes, quotaUsedBytes, diskBytes, diskFreeBytes } = storage ?? {}
  return {
    isQuotaShort:
      quotaBytes !== undefined &&
      quotaUsedBytes !== undefined &&
      quotaUsedBytes > quotaBytes * (1 - left),
    isDiskShort:
      diskBytes !== undefined && diskFreeBytes !== undefined && diskFreeBytes < diskBytes * left,
  }
}
