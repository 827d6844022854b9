// The conditions of a cluster, each judged from the model alone. docs/operator.md says of every type and reason what to do
// about it. Pure.

import type { Finding, FindingOf } from '../../api/conditions.ts'
import type { OperationStatus } from '../../api/raft-cluster.ts'
import { BOOTSTRAP_DEADLINE_SECONDS } from './bootstrap.ts'
import { deletionStep, isHeld } from './deletion.ts'
import { isOverdue } from './deadline.ts'
import { membersHealthy, nearlyFull, laggards } from './health.ts'
import { describeMembers } from './members.ts'
import type { Model } from './model.ts'
import { monitoringReady } from './monitoring.ts'
import { laterThan } from './operation.ts'
import { recoveryRequired, storageReady } from './recovery.ts'
import { tlsReady } from './tls-ready.ts'
import { upToDate } from './up-to-date.ts'

/**
 * A majority without a leader is electing one, which takes less than a second: only when it takes longer is something
 * wrong.
 */
const ELECTION_SECONDS = 5

/** Every condition but `Ready`, which sums them up. */
export function findingsOf(model: Model): readonly Finding[] {
  const [tls, monitoring] = [tlsReady(model), monitoringReady(model)]
  return [
    quorumAvailable(model),
    membersHealthy(model),
    bootstrapped(model),
    upToDate(model),
    progressing(model),
    storageReady(model),
    ...(tls === undefined ? [] : [tls]),
    ...(monitoring === undefined ? [] : [monitoring]),
    degraded(model),
    recoveryRequired(model),
    conflict(model),
  ]
}

export function quorumAvailable(model: Model): FindingOf<'QuorumAvailable'> {
  const type = 'QuorumAvailable'
  const { hasFormed, electorate, members, observed } = model
  const { heard, quorum, voters, leader, serves } = electorate
  if (!hasFormed) {
    return {
      type,
      status: 'False',
      reason: 'NotBootstrapped',
      message: 'the cluster has not formed',
    }
  }
  if (serves && heard >= quorum && leader !== undefined) {
    const message = `${leader.member.name} leads, confirmed by ${leader.confirmedBy} of ${voters} voters`
    return { type, status: 'True', reason: 'Available', message }
  }
  const servedAgo = observed.servedSecondsAgo ?? Number.POSITIVE_INFINITY
  if (heard >= quorum && servedAgo < ELECTION_SECONDS) {
    const message = `${heard} of ${voters} voters answer and are electing a leader`
    return { type, status: 'True', reason: 'Electing', message }
  }
  const alive = members.filter(({ pod }) => pod?.container === 'running' && !pod.isTerminating)
  if (heard === 0 && alive.length >= quorum) {
    const message = `no member answers the operator, although ${alive.length} of ${voters} run`
    return { type, status: 'Unknown', reason: 'Unobserved', message }
  }
  if (heard < quorum) {
    const message = `${heard} of ${voters} voters answer, ${quorum} are needed`
    return { type, status: 'False', reason: 'QuorumLost', message }
  }
  const message = `${heard} of ${voters} voters answer; they have no leader that serves`
  return { type, status: 'False', reason: 'NoLeader', message }
}

function bootstrapped(model: Model): FindingOf<'Bootstrapped'> {
  const type = 'Bootstrapped'
  const { hasFormed, history, foreignClaims, statefulSet, electorate, members, clusterId } = model
  if (hasFormed) {
    const message = `the cluster has formed as ${clusterId}`
    return { type, status: 'True', reason: 'ClusterFormed', message }
  }
  if (foreignClaims.length > 0 && statefulSet === undefined) {
    const names = foreignClaims.map(({ name }) => name).join(', ')
    const message =
      `${names} may hold data of another cluster; delete these volume claims if nobody needs ` +
      'them, or give this cluster another name'
    return { type, status: 'False', reason: 'ForeignCluster', message }
  }
  if (history === 'forgotten') {
    const message =
      'volumes or pods of this cluster exist, but nothing says whether it has formed: its members ' +
      'are started on what they have, and no new cluster is made'
    return { type, status: 'False', reason: 'RecoveryRequired', message }
  }
  if (history === 'none' || statefulSet === undefined) {
    return { type, status: 'False', reason: 'NotStarted', message: 'nothing has been made yet' }
  }
  const waiting = members.filter(({ healthy }) => !healthy)
  const reason = electorate.heard < electorate.quorum ? 'WaitingForPods' : 'WaitingForQuorum'
  return { type, status: 'False', reason, message: describeMembers(waiting) }
}

function progressing(model: Model): FindingOf<'Progressing'> {
  const type = 'Progressing'
  const { observed, cluster, hasFormed } = model
  const deletion = deletionStep(model)
  if (deletion !== undefined) {
    const { step, message } = deletion
    if (isHeld(model)) return { type, status: 'False', reason: 'Held', message }
    return { type, status: 'True', reason: 'Deleting', message: `${step}: ${message}` }
  }
  if (observed.rejection !== undefined) {
    const message = `${observed.rejection.what} was refused: ${observed.rejection.message}`
    return { type, status: 'False', reason: 'Rejected', message }
  }
  if (cluster.spec.paused) {
    const message = 'spec.paused is set: the operator observes and changes nothing'
    return { type, status: 'False', reason: 'Paused', message }
  }
  if (isHeldUp(model)) return { type, status: 'False', reason: 'Held', message: heldMessage(model) }
  const { operation } = model.undertaking
  if (operation !== undefined) return progressOf(operation, model)
  if (hasFormed) {
    return { type, status: 'False', reason: 'Settled', message: 'nothing is being carried out' }
  }
  const { message } = bootstrapped(model)
  const startedAt = cluster.status.bootstrap?.startedAt
  const age = startedAt === undefined ? 0 : secondsBetween(startedAt, observed.now)
  if (age >= BOOTSTRAP_DEADLINE_SECONDS) {
    const stalled = `not formed after ${BOOTSTRAP_DEADLINE_SECONDS} s: ${message}`
    return { type, status: 'False', reason: 'Stalled', message: stalled }
  }
  return { type, status: 'True', reason: 'Bootstrapping', message }
}

/** One step of a member's may take this long; then somebody has to look at what it waits for. It goes on all the same. */
function progressOf(operation: OperationStatus, model: Model): FindingOf<'Progressing'> {
  const type = 'Progressing'
  const { step, fromReplicas, toReplicas } = operation
  const size = fromReplicas === undefined ? '' : ` from ${fromReplicas} to ${toReplicas}`
  const later = laterThan(model)
  const then = later === undefined ? '' : `; ${later} comes after it`
  const message = `${operation.type}${size}, ${step}: ${operation.message ?? ''}${then}`
  if (isOverdue(model, operation)) {
    const deadline = model.cluster.spec.update.progressDeadlineSeconds
    const stalled = `for more than ${deadline} s in one step; ${message}`
    return { type, status: 'False', reason: 'Stalled', message: stalled }
  }
  const reasons = { Replace: 'Replacing', Rollout: 'Updating' } as const
  const { type: kind } = operation
  const reason = kind === 'Replace' || kind === 'Rollout' ? reasons[kind] : 'Scaling'
  return { type, status: 'True', reason, message }
}

/** Something that people have to decide keeps the pass from going on. */
function isHeldUp({ conflicts, freeze, foreignClaims, statefulSet }: Model): boolean {
  return (
    conflicts.length > 0 ||
    freeze !== undefined ||
    (foreignClaims.length > 0 && statefulSet === undefined)
  )
}

function heldMessage(model: Model): string {
  if (model.conflicts.length > 0) return conflict(model).message
  return model.freeze?.message ?? bootstrapped(model).message
}

function degraded(model: Model): FindingOf<'Degraded'> {
  const type = 'Degraded'
  const { freeze, hasFormed, electorate, members, isDeleting } = model
  if (freeze !== undefined) return { type, status: 'True', ...freeze }
  if (isDeleting && !isHeld(model)) {
    return { type, status: 'False', reason: 'AsExpected', message: 'it is being deleted' }
  }
  if (hasFormed) {
    const quorum = quorumAvailable(model)
    if (quorum.status === 'False') {
      return { type, status: 'True', reason: 'QuorumLost', message: quorum.message }
    }
    const isFull = members.some(({ report }) => report?.alarms.includes('NOSPACE') === true)
    if (isFull) {
      const message = 'writes are refused: the space quota is used up'
      return { type, status: 'True', reason: 'NoSpace', message }
    }
    if (electorate.healthy < electorate.voters) {
      const { healthy, voters } = electorate
      const message = `${healthy} of ${voters} voters are healthy`
      return { type, status: 'True', reason: 'RedundancyReduced', message }
    }
    const { operation } = model.undertaking
    if (operation?.type === 'Replace') {
      const message = `${operation.member} is being replaced`
      return { type, status: 'True', reason: 'RedundancyReduced', message }
    }
    const behind = laggards(model)
    if (behind !== undefined) {
      return { type, status: 'True', reason: 'RedundancyReduced', message: behind }
    }
    const full = nearlyFull(model)
    if (full !== undefined) {
      return { type, status: 'True', reason: 'StorageNearFull', message: full }
    }
    const tls = tlsReady(model)
    if (tls?.reason === 'Expiring') {
      return { type, status: 'True', reason: 'CertificateExpiring', message: tls.message }
    }
  }
  return { type, status: 'False', reason: 'AsExpected', message: 'nothing is wrong' }
}

function conflict({ conflicts }: Model): FindingOf<'Conflict'> {
  const type = 'Conflict'
  if (conflicts.length === 0) {
    return { type, status: 'False', reason: 'NoConflict', message: 'every name is ours or free' }
  }
  const message =
    `${conflicts.join(', ')} exists and does not belong to this RaftCluster: delete it, or give ` +
    'this cluster another name'
  return { type, status: 'True', reason: 'NameConflict', message }
}

function secondsBetween(start: string, end: string): number {
  return (Date.parse(end) - Date.parse(start)) / 1000
}
