// What a user reads in `kubectl describe`: the differences between the status before and now, in sentences. Pure.

import { conditionOf, type ConditionType } from '../../api/conditions.ts'
import type { EventReason } from '../../api/event-reasons.ts'
import type { OperationStatus, RaftClusterStatus } from '../../api/raft-cluster.ts'
import type { PlannedEvent } from '../actions.ts'
import { isHeld } from './deletion.ts'
import { COMING_REASONS } from './members.ts'
import type { Model } from './model.ts'
import { laterThan } from './operation.ts'

export function eventsOf(model: Model, after: RaftClusterStatus): readonly PlannedEvent[] {
  const before = model.cluster.status
  const life = lifeEvents(model, after)
  // Members that are stopped because somebody wants it are no news.
  if (model.isDeleting && !isHeld(model)) return life
  return [
    ...life,
    ...operationEvents(model, after),
    ...leaderEvents(before, after),
    ...quorumEvents(before, after),
    ...memberEvents(before, after),
    ...troubleEvents(before, after),
  ]
}

function normal(reason: EventReason, action: string, message: string): PlannedEvent {
  return { type: 'Normal', reason, action, message }
}

function warning(reason: EventReason, action: string, message: string): PlannedEvent {
  return { type: 'Warning', reason, action, message }
}

function lifeEvents(model: Model, after: RaftClusterStatus): PlannedEvent[] {
  const before = model.cluster.status
  const isNew = before.bootstrap === undefined && model.phase === 'Bootstrapping'
  const events: PlannedEvent[] = []
  if (isNew && after.bootstrap !== undefined) {
    const { replicas } = after.bootstrap
    const members = replicas === 1 ? '1 member' : `${replicas} members`
    events.push(normal('BootstrapStarted', 'Bootstrap', `starting a new cluster of ${members}`))
  }
  if (!isFormed(before) && isFormed(after)) {
    events.push(
      normal('ClusterFormed', 'Bootstrap', `the cluster has formed as ${after.clusterId}`),
    )
  }
  if (hasBecomeSingle(model, after)) {
    const message = 'a single member has no PodDisruptionBudget: a drain of its node stops it'
    events.push(normal('NoDisruptionBudget', 'Protect', message))
  }
  if (before.phase !== 'Deleting' && after.phase === 'Deleting') {
    const { step, message } = after.operation ?? { step: '', message: '' }
    events.push(
      step === 'Held'
        ? warning('DeletionHeld', 'Delete', message ?? '')
        : normal('Deleting', 'Delete', 'the members are stopped'),
    )
  }
  const was = conditionOf(before.conditions, 'Progressing')?.reason
  const is = conditionOf(after.conditions, 'Progressing')?.reason
  if (was !== 'Paused' && is === 'Paused') {
    events.push(normal('Paused', 'Pause', 'spec.paused is set: nothing is changed any more'))
  }
  if (was === 'Paused' && is !== 'Paused') {
    events.push(normal('Resumed', 'Resume', 'spec.paused is not set any more'))
  }
  return events
}

/** As a cluster of one member, or down to one. */
function hasBecomeSingle({ cluster, undertaking }: Model, after: RaftClusterStatus): boolean {
  if (cluster.spec.disruption.pdb !== 'Managed') return false
  const { ended } = undertaking
  if (ended?.type === 'ScaleDown') return ended.toReplicas === 1
  return !isFormed(cluster.status) && isFormed(after) && after.bootstrap?.replicas === 1
}

const COMPLETED: Readonly<Record<string, EventReason>> = {
  ScaleUp: 'ScaleUpCompleted',
  ScaleDown: 'ScaleDownCompleted',
  Replace: 'ReplacementCompleted',
  Rollout: 'RolloutCompleted',
}

const STARTED: Readonly<Record<string, EventReason>> = {
  ScaleUp: 'ScaleUpStarted',
  ScaleDown: 'ScaleDownStarted',
  Replace: 'ReplacementStarted',
  Rollout: 'RolloutStarted',
}

function operationEvents(model: Model, after: RaftClusterStatus): readonly PlannedEvent[] {
  const { undertaking, cluster, versions } = model
  const { ended, turned, deferred } = undertaking
  const { wanted } = versions
  const before = cluster.status.operation
  const now = after.operation
  const events: PlannedEvent[] = []
  if (turned !== undefined) {
    const message = `${what(turned)} is turned round: spec.replicas is ${cluster.spec.replicas} now`
    events.push(at(warning('OperationCancelled', 'Scale', message), turned))
  }
  const completed = COMPLETED[ended?.type ?? '']
  if (ended !== undefined && turned === undefined && completed !== undefined) {
    events.push(at(normal(completed, ended.type, `${what(ended)} is complete`), ended))
  }
  const started = STARTED[now?.type ?? '']
  if (now !== undefined && started !== undefined && now.type !== before?.type) {
    events.push(at(normal(started, now.type, `${what(now)} begins: ${now.message ?? ''}`), now))
  }
  if (now?.step === 'DropLearner' && before?.step !== 'DropLearner') {
    events.push(at(warning('LearnerStalled', 'Scale', now.message ?? ''), now))
  }
  if (cluster.status.failedVersion === undefined && after.failedVersion !== undefined) {
    const message = `version ${after.failedVersion} is taken back to ${after.rollbackVersion}`
    events.push(warning('RolledBack', 'Rollout', message))
  }
  const { rollbackVersion: wayBack } = cluster.status
  if (wayBack !== undefined && after.rollbackVersion === undefined && wayBack !== wanted) {
    const message = `version ${wanted} has proved itself: there is no way back to ${wayBack} any more`
    events.push(normal('UpgradeFinalized', 'Finalize', message))
  }
  events.push(...deferralEvents(model))
  if (deferred !== undefined) {
    const message = `${deferred.member} is not replaced yet: ${deferred.why}`
    const event = warning('ReplacementDeferred', 'Replace', message)
    events.push({ ...event, member: deferred.member })
  }
  return events
}

/** What the spec asks for besides what is under way comes after it. */
function deferralEvents(model: Model): readonly PlannedEvent[] {
  const { undertaking, cluster } = model
  const { operation } = undertaking
  const later = laterThan(model)
  if (operation === undefined || later === undefined) return []
  const message = `${later} comes after ${what(operation)}`
  // Told again for another edit, or when it still has to wait after ten minutes.
  const occasion = String(cluster.metadata.generation)
  return [{ ...warning('SpecDeferred', 'Defer', message), occasion }]
}

function at(event: PlannedEvent, { startedAt = '', member }: OperationStatus): PlannedEvent {
  return { ...event, occasion: startedAt, ...(member === undefined ? {} : { member }) }
}

function what({ type, member, fromReplicas, toReplicas }: OperationStatus): string {
  if (type === 'Replace') return `the replacement of ${member}`
  if (type === 'Rollout') return 'the rollout of the template'
  return `the change from ${fromReplicas} to ${toReplicas} members`
}

function isFormed(status: RaftClusterStatus): boolean {
  return status.clusterId !== undefined
}

function leaderEvents(before: RaftClusterStatus, after: RaftClusterStatus): PlannedEvent[] {
  const { leader } = after
  if (leader === undefined) return []
  if (before.leader?.name === leader.name && before.leader.term === leader.term) return []
  const message = `${leader.name} leads in term ${leader.term}`
  // Once in ten minutes for each: where leadership changes all the time, a metric counts it.
  return [{ ...normal('LeaderElected', 'Elect', message), member: leader.name }]
}

function quorumEvents(before: RaftClusterStatus, after: RaftClusterStatus): PlannedEvent[] {
  const was = conditionOf(before.conditions, 'QuorumAvailable')
  const is = conditionOf(after.conditions, 'QuorumAvailable')
  if (was === undefined || is === undefined || !isFormed(before)) return []
  if (was.status !== 'False' && is.status === 'False') {
    return [warning('QuorumLost', 'Observe', is.message)]
  }
  if (was.status === 'False' && is.status === 'True') {
    return [normal('QuorumRestored', 'Observe', is.message)]
  }
  return []
}

const MEMBER_EVENTS: Readonly<Record<string, EventReason>> = {
  AwaitingReplacement: 'MemberAwaitingReplacement',
  Corrupt: 'MemberCorrupt',
  ForeignCluster: 'MemberForeign',
  Tombstoned: 'MemberRemoved',
  NodeDead: 'NodeDead',
}

function memberEvents(before: RaftClusterStatus, after: RaftClusterStatus): PlannedEvent[] {
  if (!isFormed(before)) return []
  return (after.members ?? []).flatMap(({ name, healthy, reason, message }) => {
    const old = before.members?.find((member) => member.name === name)
    if (healthy || old === undefined || (reason === old.reason && !old.healthy)) return []
    const text = `${name}: ${message ?? reason ?? 'it does not serve'}`
    const special = MEMBER_EVENTS[reason ?? '']
    if (special !== undefined) return [{ ...warning(special, 'Observe', text), member: name }]
    if (!old.healthy || COMING_REASONS.has(reason)) return []
    return [{ ...warning('MemberUnreachable', 'Observe', text), member: name }]
  })
}

/** Conditions whose every new trouble is worth an event, and what it is called. */
const TROUBLES: readonly {
  readonly type: ConditionType
  readonly reasons: Readonly<Record<string, EventReason>>
}[] = [
  { type: 'Conflict', reasons: { NameConflict: 'NameConflict' } },
  { type: 'Bootstrapped', reasons: { ForeignCluster: 'PVCConflict' } },
  {
    type: 'RecoveryRequired',
    reasons: { NothingAnswers: 'RecoveryRequired', MajorityLost: 'RecoveryRequired' },
  },
  {
    type: 'Degraded',
    reasons: {
      ClusterIdMismatch: 'ClusterIdMismatch',
      UnknownVoter: 'UnknownVoter',
      NoSpace: 'NoSpace',
      StorageNearFull: 'StorageNearFull',
    },
  },
  { type: 'MonitoringReady', reasons: { NameConflict: 'NameConflict' } },
  { type: 'MembersHealthy', reasons: { MemberLagging: 'MemberLagging' } },
  { type: 'Progressing', reasons: { Rejected: 'Rejected', Stalled: 'OperationStalled' } },
  {
    type: 'UpToDate',
    reasons: {
      WaitingForUser: 'SpecDeferred',
      VersionDeferred: 'SpecDeferred',
      ModeDeferred: 'SpecDeferred',
    },
  },
  {
    type: 'TLSReady',
    reasons: {
      Expiring: 'CertificateExpiring',
      CertificateInvalid: 'CertificateInvalid',
      NameConflict: 'NameConflict',
    },
  },
]

function troubleEvents(before: RaftClusterStatus, after: RaftClusterStatus): PlannedEvent[] {
  return TROUBLES.flatMap(({ type, reasons }) => {
    const was = conditionOf(before.conditions, type)
    const is = conditionOf(after.conditions, type)
    const name = reasons[is?.reason ?? '']
    if (is === undefined || name === undefined || was?.reason === is.reason) return []
    return [
      is.reason === 'WaitingForUser'
        ? normal(name, 'Update', is.message)
        : warning(name, 'Observe', is.message),
    ]
  })
}
