// A plan as text that a person can review: what is done, what is told, and the whole status, one line each.

import type { RaftClusterStatus } from '../../../operator/src/api/raft-cluster.ts'
import { describeAction, type Plan } from '../../../operator/src/reconcile/actions.ts'

export function describePlan({ actions, events, status, next }: Plan): string {
  const lines = [
    ...section('actions', actions.map(describeAction)),
    ...section(
      'events',
      events.map(({ type, reason, message }) => `${type} ${reason}: ${message}`),
    ),
    `next: ${next.kind === 'done' ? 'done' : `${next.reason}, again after ${next.seconds} s`}`,
    ...section('status', describeStatus(status)),
  ]
  return `${lines.join('\n')}\n`
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0
    ? [`${title}: none`]
    : [`${title}:`, ...lines.map((line) => `  ${line}`)]
}

function describeStatus(status: RaftClusterStatus): readonly string[] {
  const { phase, ready, leader, operation, bootstrap, conditions = [], members = [] } = status
  return [
    `${phase} ${ready}, leader ${leader === undefined ? 'none' : `${leader.name} since ${leader.since} in term ${leader.term}`}`,
    ...(operation === undefined
      ? []
      : [`operation ${operation.type} ${operation.step}: ${operation.message}`]),
    `pods ${status.replicas}, updated ${status.updatedReplicas ?? '-'}, voters ${status.votingMembers ?? '-'}, version ${status.version ?? '-'}, epoch ${status.membershipEpoch ?? '-'}`,
    ...(status.rollbackVersion === undefined && status.failedVersion === undefined
      ? []
      : [`way back ${status.rollbackVersion ?? 'none'}, failed ${status.failedVersion ?? 'none'}`]),
    `latched: ${bootstrap === undefined ? 'nothing' : `${bootstrap.replicas} members at ${bootstrap.startedAt}`}, cluster ${status.clusterId ?? 'not known'}`,
    ...members.map(
      ({ name, role, healthy, reason, message, lagEntries, lastTransitionTime }) =>
        `${name} ${role} ${healthy ? 'healthy' : `${reason}: ${message}`}${lagEntries === undefined ? '' : `, lag ${lagEntries}`}, since ${lastTransitionTime}`,
    ),
    ...conditions.map(
      ({ type, status: value, reason, message, lastTransitionTime }) =>
        `${type}=${value} ${reason} since ${lastTransitionTime}: ${message}`,
    ),
  ]
}
