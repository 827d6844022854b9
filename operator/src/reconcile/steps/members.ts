// Each member of the cluster as one pass sees it: its pod, its volume and its own words put together. Pure.

import { unreachable } from '../../../../lib/assert.ts'
import { memberName } from '../../api/names.ts'
import type { MemberRole } from '../../api/raft-cluster.ts'
import type { ClaimFacts, MemberReport, MemberSighting, Observed, PodFacts } from '../observed.ts'
import type { Roster, RosterEntry } from './roster.ts'

/** A report counts this long while its pod is alive: a single lost answer is not news, and nothing is shown for ever. */
export const REPORT_FRESH_SECONDS = 15

/** Of members that are up and get there by themselves. */
export const COMING_REASONS: ReadonlySet<string | undefined> = new Set(['NotReady', 'Starting'])

export interface MemberView {
  readonly name: string
  readonly ordinal: number
  /** Its newest identity in the roster; undefined for a name that is not in it. */
  readonly entry: RosterEntry | undefined
  /** A vote of this name counts, whoever answers under it now. */
  readonly isVoter: boolean
  readonly pod: PodFacts | undefined
  readonly claim: ClaimFacts | undefined
  /** Recent, and of a pod that is alive. */
  readonly report: MemberReport | undefined
  /** The report is of this pass. */
  readonly isFresh: boolean
  readonly role: MemberRole
  /** It answers, takes part in this cluster and serves. */
  readonly healthy: boolean
  readonly reason: string | undefined
  readonly message: string | undefined
}

/** What members say, by name, where it still counts. */
export function reportsOf(observed: Observed): ReadonlyMap<string, MemberReport> {
  return new Map(
    observed.pods.flatMap((pod) => {
      const report = reportOf(pod, sightingOf(observed, pod.name))
      return report === undefined ? [] : [[pod.name, report] as const]
    }),
  )
}

/** Everybody with an ordinal below `count`. */
export function viewMembers(
  observed: Observed,
  known: { readonly roster: Roster; readonly count: number; readonly clusterId: string },
): readonly MemberView[] {
  const { metadata, status } = observed.cluster
  const hasStartedBefore = status.clusterId !== undefined
  return Array.from({ length: known.count }, (_, ordinal) => {
    const name = memberName(metadata.name, ordinal)
    const pod = observed.pods.find((candidate) => candidate.name === name)
    const sighting = sightingOf(observed, name)
    const report = reportOf(pod, sighting)
    const claim = observed.claims.find((candidate) => candidate.ordinal === ordinal)
    const own = known.roster.entries.filter((entry) => entry.name === name)
    const trouble =
      nodeTrouble(observed, { pod, claim, report }) ??
      troubleOf({ pod, sighting, report, clusterId: known.clusterId })
    return {
      name,
      ordinal,
      entry: own.at(-1),
      isVoter: own.some(({ role }) => role === 'voter'),
      pod,
      claim,
      report,
      isFresh: report !== undefined && sighting?.ageSeconds === 0,
      role: roleOf(report, hasStartedBefore || pod?.hasStarted === true),
      healthy: trouble === undefined,
      reason: trouble?.reason,
      message: trouble?.message,
    }
  })
}

function sightingOf({ sightings }: Observed, name: string): MemberSighting | undefined {
  return sightings.find((candidate) => candidate.name === name)
}

/** A process that is gone says nothing any more, however young its last report. */
function reportOf(
  pod: PodFacts | undefined,
  sighting: MemberSighting | undefined,
): MemberReport | undefined {
  if (pod === undefined || pod.container !== 'running') return undefined
  if (sighting?.report === undefined || sighting.ageSeconds >= REPORT_FRESH_SECONDS) {
    return undefined
  }
  return sighting.report
}

function roleOf(report: MemberReport | undefined, hasStartedBefore: boolean): MemberRole {
  if (report === undefined) return hasStartedBefore ? 'Unknown' : 'Joining'
  if (report.state === 'parked') {
    return report.dataDirectory.state === 'Tombstoned' ? 'Removed' : 'Parked'
  }
  switch (report.role) {
    case 'leader':
      return 'Leader'
    case 'follower':
      return 'Follower'
    case 'preCandidate':
    case 'candidate':
      return 'Candidate'
    case 'learner':
      return 'Learner'
    case undefined:
      return 'Joining'
    default:
      return unreachable(report.role)
  }
}

interface Trouble {
  readonly reason: string
  readonly message: string
}

/** What is the matter with its node, of a member that says nothing. */
function nodeTrouble(
  { nodes, now, cluster }: Observed,
  found: Pick<MemberView, 'pod' | 'claim' | 'report'>,
): Trouble | undefined {
  const { pod, claim, report } = found
  if (report !== undefined && pod?.isTerminating !== true) return undefined
  const reason = 'NodeDead'
  if (claim?.stranded !== undefined && pod?.node === undefined) {
    const message = `${claim.name} is on ${claim.stranded}, which does not exist any more`
    return { reason, message }
  }
  const node = nodes?.find(({ name }) => name === pod?.node)
  if (node === undefined || node.state === 'Ready') return undefined
  if (node.state === 'Gone') return { reason, message: `its node ${node.name} is gone` }
  const { unreachableSeconds } = cluster.spec.selfHeal
  const seconds = (Date.parse(now) - Date.parse(node.since ?? now)) / 1000
  if (seconds < unreachableSeconds) return undefined
  const message =
    `its node ${node.name} has not been ready since ${node.since}: bring it back or, if it is ` +
    `off for certain and for good, delete it (kubectl delete node ${node.name})`
  return { reason, message }
}

interface Circumstances {
  readonly pod: PodFacts | undefined
  readonly sighting: MemberSighting | undefined
  readonly report: MemberReport | undefined
  readonly clusterId: string
}

/** The nearest cause first: what keeps the pod from running, then what its process says. */
function troubleOf({ pod, sighting, report, clusterId }: Circumstances): Trouble | undefined {
  if (pod === undefined) return { reason: 'PodMissing', message: 'its pod does not exist' }
  if (pod.isTerminating) return { reason: 'Terminating', message: 'its pod is being terminated' }
  if (pod.container !== 'running') {
    return {
      reason: pod.reason ?? 'PodStarting',
      message: pod.message ?? 'its container does not run yet',
    }
  }
  if (report === undefined) {
    const why = sighting?.silence ?? 'it was not asked yet'
    return { reason: 'Unreachable', message: `it does not answer: ${why}` }
  }
  const { dataDirectory, state } = report
  if (state === 'parked') {
    return {
      reason: dataDirectory.state,
      message: dataDirectory.detail ?? 'it does not take part',
    }
  }
  if (state !== 'running') return { reason: 'Starting', message: `it is ${state}` }
  if (report.clusterId !== undefined && report.clusterId !== clusterId) {
    return { reason: 'ClusterIdMismatch', message: `it belongs to cluster ${report.clusterId}` }
  }
  if (!report.ready) {
    return { reason: 'NotReady', message: report.notReadyReason ?? 'it does not serve yet' }
  }
  return undefined
}

/** Each with its reason. */
export function describeMembers(members: readonly MemberView[]): string {
  return members
    .map(
      ({ name, reason, message }) => `${name}: ${reason ?? 'healthy'} (${message ?? 'it serves'})`,
    )
    .join('; ')
}

export function namesOf(members: readonly MemberView[]): string {
  return members.map(({ name }) => name).join(', ')
}
