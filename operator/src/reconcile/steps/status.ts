// The status of a RaftCluster, derived from one pass's facts. It carries no time that ticks: it changes when something has
// changed, and is the same otherwise, so that it is written only then. Pure.

import { type Condition, type Finding, withHistory } from '../../api/conditions.ts'
import { selectorText } from '../../api/labels.ts'
import { clientServiceName, memberUrl, PORTS, serviceUrl } from '../../api/names.ts'
import type {
  LeaderStatus,
  MemberStatus,
  OperationStatus,
  Phase,
  RaftClusterStatus,
} from '../../api/raft-cluster.ts'
import { latchesOf } from './bootstrap.ts'
import { configEpochOf } from './configuration.ts'
import { deletionStep } from './deletion.ts'
import { findingsOf } from './findings.ts'
import type { MemberView } from './members.ts'
import type { Model } from './model.ts'
import { rendererStatus } from './renderer.ts'
import { updateRevision } from './revision.ts'
import { scaleNeeded } from './scale.ts'
import { certificateStatuses } from './tls-ready.ts'

/** Entries a member may be behind before it is said: replication alone makes some. */
const LAG_ENTRIES_SHOWN = 1000
const MESSAGE_LENGTH_MAX = 1000

export function deriveStatus(model: Model): RaftClusterStatus {
  const { cluster, observed, electorate, members, founders, hasFormed, undertaking } = model
  const { name, generation } = cluster.metadata
  const findings = findingsOf(model)
  const ready = readyOf(model, findings)
  const conditions = withHistory([ready, ...findings], cluster.status.conditions, {
    now: observed.now,
    generation,
    docsUrl: observed.options.docsUrl,
  })
  const certificates = certificateStatuses(model)
  const revision = updateRevision(model)
  const updated =
    revision === undefined
      ? cluster.status.updatedReplicas
      : observed.pods.filter((pod) => pod.revision === revision).length
  return defined({
    observedGeneration: generation,
    phase: phaseOf(model, conditions),
    ready: `${electorate.healthy}/${hasFormed ? cluster.spec.replicas : founders}`,
    replicas: observed.pods.length,
    readyReplicas: electorate.healthy,
    updatedReplicas: updated,
    votingMembers: votingMembersOf(model),
    selector: selectorText(name),
    version: versionOf(members),
    rollbackVersion: model.versions.rollback,
    failedVersion: model.versions.failed,
    ...rendererStatus(model),
    ...latchesOf(model),
    membershipEpoch: epochOf(model),
    leader: leaderOf(model),
    operation: operationOf(model),
    replacements: undertaking.replacements.length === 0 ? undefined : undertaking.replacements,
    members: members.map((member) => memberStatus(member, model)),
    endpoints: members.map((member) => memberUrl(cluster, member.name, PORTS.client)),
    connection: {
      client: serviceUrl(cluster, clientServiceName(name), PORTS.client),
      api: serviceUrl(cluster, clientServiceName(name), PORTS.api),
    },
    certificates: certificates.length === 0 ? undefined : certificates,
    conditions,
  })
}

/** The first thing that keeps the cluster from being as it shall be, in the order of how much it matters. */
function readyOf(model: Model, findings: readonly Finding[]): Finding {
  const type = 'Ready'
  const status = 'False'
  const find = (wanted: Finding['type']): Finding => findings.find((one) => one.type === wanted)!
  const blocked = (
    reason: Extract<Finding, { type: 'Ready' }>['reason'],
    by: Finding,
  ): Finding => ({
    type,
    status,
    reason,
    message: by.message,
  })
  if (model.isDeleting) return blocked('Deleting', find('Progressing'))
  if (model.conflicts.length > 0) return blocked('NameConflict', find('Conflict'))
  if (model.freeze !== undefined) return blocked('Frozen', find('Degraded'))
  const recovery = find('RecoveryRequired')
  if (recovery.status === 'True') return blocked('RecoveryRequired', recovery)
  const progress = find('Progressing')
  if (progress.reason === 'Rejected') return blocked('Rejected', progress)
  const bootstrap = find('Bootstrapped')
  if (bootstrap.reason === 'ForeignCluster') return blocked('ForeignCluster', bootstrap)
  if (bootstrap.status !== 'True') return blocked('Bootstrapping', bootstrap)
  const quorum = find('QuorumAvailable')
  if (quorum.type === 'QuorumAvailable' && quorum.status !== 'True') {
    const reason = quorum.reason
    if (reason !== 'Available' && reason !== 'Electing' && reason !== 'NotBootstrapped') {
      return blocked(reason, quorum)
    }
  }
  const health = find('MembersHealthy')
  if (health.type === 'MembersHealthy' && health.status !== 'True') {
    const reason = health.reason
    if (reason !== 'AllHealthy' && reason !== 'NotBootstrapped') return blocked(reason, health)
  }
  const { replicas } = model.cluster.spec
  if (model.isRosterCurrent && scaleNeeded(model, replicas) !== undefined) {
    const { voters } = model.electorate
    const message = `${voters} members vote, and spec.replicas is ${replicas}`
    const isIdle = model.undertaking.operation === undefined
    if (isIdle) return { type, status, reason: 'Scaling', message }
  }
  const underWay = UNDER_WAY[model.undertaking.operation?.type ?? '']
  if (underWay !== undefined) return blocked(underWay, progress)
  const update = find('UpToDate')
  if (update.status === 'False') return blocked('RolloutPending', update)
  const leader = model.electorate.leader?.member.name ?? 'none'
  const message = `every member serves, ${leader} leads`
  return { type, status: 'True', reason: 'Healthy', message }
}

const UNDER_WAY: Readonly<Record<string, Extract<Finding, { type: 'Ready' }>['reason']>> = {
  ScaleUp: 'Scaling',
  ScaleDown: 'Scaling',
  Replace: 'Replacing',
}

const OPERATION_PHASES: Readonly<Record<string, Phase>> = {
  ScaleUp: 'Scaling',
  ScaleDown: 'Scaling',
  Replace: 'Healing',
  Rollout: 'Updating',
}

function phaseOf(model: Model, conditions: readonly Condition[]): Phase {
  const { isDeleting, conflicts, freeze, hasFormed, history, cluster } = model
  const is = (type: string, status: string): boolean =>
    conditions.some((condition) => condition.type === type && condition.status === status)
  const reasonOf = (type: string): string | undefined =>
    conditions.find((condition) => condition.type === type)?.reason
  if (isDeleting) return 'Deleting'
  if (conflicts.length > 0 || freeze !== undefined) return 'Failed'
  if (reasonOf('Bootstrapped') === 'ForeignCluster') return 'Failed'
  if (is('RecoveryRequired', 'True')) return 'NoQuorum'
  if (hasFormed && is('QuorumAvailable', 'False')) return 'NoQuorum'
  const underWay = OPERATION_PHASES[model.undertaking.operation?.type ?? '']
  if (underWay === 'Healing' && !cluster.spec.paused) return underWay
  if (hasFormed && is('Degraded', 'True')) return 'Degraded'
  if (reasonOf('Progressing') === 'Rejected') return hasFormed ? 'Degraded' : 'Failed'
  if (cluster.spec.paused) return 'Paused'
  if (!hasFormed) return history === 'none' ? 'Pending' : 'Bootstrapping'
  if (underWay !== undefined) return underWay
  return is('Ready', 'True') ? 'Healthy' : 'Updating'
}

function leaderOf({ electorate, cluster, observed }: Model): LeaderStatus | undefined {
  const { leader } = electorate
  if (leader === undefined) return undefined
  const before = cluster.status.leader
  const isSame = before?.name === leader.member.name && before.term === leader.term
  return {
    name: leader.member.name,
    raftId: leader.member.report?.memberId ?? leader.member.entry?.raftId ?? '',
    term: leader.term,
    since: isSame ? before.since : observed.now,
  }
}

function memberStatus(member: MemberView, model: Model): MemberStatus {
  const { report, pod, healthy, name } = member
  const before = model.cluster.status.members?.find((other) => other.name === name)
  const leader = model.electorate.leader?.member
  const isUnconfirmed = member.role === 'Leader' && leader?.name !== name
  return defined({
    name,
    raftId: report?.memberId ?? before?.raftId,
    incarnation: report?.incarnation ?? before?.incarnation,
    // It may still think so; no majority says it.
    role: isUnconfirmed ? 'Unknown' : member.role,
    healthy,
    version: report?.version,
    lagEntries: lagOf(member, leader),
    configEpoch: configEpochOf(member, model.cluster),
    node: pod?.node,
    reason: member.reason,
    message: member.message?.slice(0, MESSAGE_LENGTH_MAX),
    lastTransitionTime:
      before?.healthy === healthy ? before.lastTransitionTime : model.observed.now,
  })
}

/** Rounded down to a power of ten, so that it does not tick while a member catches up. */
function lagOf(member: MemberView, leader: MemberView | undefined): number | undefined {
  const applied = member.report?.applied
  const committed = leader?.report?.committed
  if (applied === undefined || committed === undefined) return undefined
  const lag = committed - applied
  return lag < LAG_ENTRIES_SHOWN ? 0 : 10 ** Math.floor(Math.log10(lag))
}

function operationOf(model: Model): OperationStatus | undefined {
  const { cluster, hasFormed, observed, founders, history, undertaking } = model
  const deletion = deletionStep(model)
  if (deletion !== undefined) {
    const startedAt = cluster.metadata.deletionTimestamp
    return defined({
      type: 'Delete' as const,
      step: deletion.step,
      startedAt,
      message: deletion.message.slice(0, MESSAGE_LENGTH_MAX),
    })
  }
  if (undertaking.operation !== undefined) return undertaking.operation
  if (hasFormed || history !== 'bootstrapping' || latchesOf(model).bootstrap === undefined) {
    return undefined
  }
  const answering = model.electorate.heard
  return {
    type: 'Bootstrap',
    step: answering < model.electorate.quorum ? 'WaitForPods' : 'WaitForQuorum',
    toReplicas: founders,
    startedAt: cluster.status.bootstrap?.startedAt ?? observed.now,
    message: `${answering} of ${founders} members take part`,
  }
}

function votingMembersOf({ electorate, members }: Model): number | undefined {
  const source = electorate.leader?.member ?? members.find(({ report }) => report !== undefined)
  const configuration = source?.report?.configuration
  if (configuration === undefined || configuration.length === 0) return undefined
  return configuration.filter(({ role }) => role === 'voter').length
}

function epochOf({ members, cluster }: Model): number | undefined {
  const reported = members.flatMap(({ report }) => report?.membershipEpoch ?? [])
  return reported.length === 0 ? cluster.status.membershipEpoch : Math.max(...reported)
}

/** One version, or all of them while they differ. */
function versionOf(members: readonly MemberView[]): string | undefined {
  const versions = [...new Set(members.flatMap(({ report }) => report?.version ?? []))]
  return versions.length === 0 ? undefined : versions.toSorted().join(', ')
}

/** Without the fields that are undefined: the API server would take them for null. */
function defined<Shape extends object>(
  shape: {
    readonly [Key in keyof Shape]: Shape[Key] | undefined
  },
): Shape {
  return Object.fromEntries(
    Object.entries(shape).filter(([, value]) => value !== undefined),
  ) as unknown as Shape
}
