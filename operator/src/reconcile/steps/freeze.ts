// What must never be "repaired" by a machine: members of two clusters under one name, or a voter nobody here has made. The
// pass only reports it. Pure.

import type { MemberView } from './members.ts'
import { expectedRaftId } from '../../api/names.ts'

export interface Freeze {
  readonly reason: 'ClusterIdMismatch' | 'UnknownVoter'
  readonly message: string
}

export function freezeOf(
  members: readonly MemberView[],
  known: { readonly token: string; readonly clusterId: string },
): Freeze | undefined {
  for (const { name, report } of members) {
    if (report?.state !== 'running' || report.clusterId === undefined) continue
    if (report.clusterId !== known.clusterId) {
      return {
        reason: 'ClusterIdMismatch',
        message: `${name} belongs to cluster ${report.clusterId}, this one is ${known.clusterId}`,
      }
    }
  }
  const names = new Set(members.map(({ name }) => name))
  for (const { name, report } of members) {
    if (report?.state !== 'running') continue
    const id = report.memberId
    if (id !== undefined && id !== expectedRaftId(known.token, name, report.incarnation ?? 1)) {
      return {
        reason: 'UnknownVoter',
        message: `${name} calls itself ${id}, which is not its identity in this cluster`,
      }
    }
    const stranger = report.configuration.find(
      (other) => other.role === 'voter' && other.name !== '' && !names.has(other.name),
    )
    if (stranger !== undefined) {
      return {
        reason: 'UnknownVoter',
        message: `${name} counts a voter ${stranger.name} (${stranger.id}) that is not of this cluster`,
      }
    }
  }
  return undefined
}
