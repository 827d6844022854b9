// What must never be "repaired" by a machine: members of two clusters under one name, or a voter nobody here has made. The
// pass only reports it. Pure.

import type { MemberView } from './members.ts'
import { expectedRaftId, incarnationOf, ordinalOf } from '../../api/names.ts'
import type { RaftCluster } from '../../api/raft-cluster.ts'

export interface Freeze {
  readonly reason: 'ClusterIdMismatch' | 'UnknownVoter'
  readonly message: string
}

export function freezeOf(
  members: readonly MemberView[],
  known: { readonly cluster: RaftCluster; readonly token: string; readonly clusterId: string },
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
      (other) => other.role === 'voter' && other.name !== '' && !isOurs(other, known),
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

/** Of this cluster, in any of its sizes, by name and identity. */
function isOurs(
  { id, name }: { readonly id: string; readonly name: string },
  { cluster, token }: { readonly cluster: RaftCluster; readonly token: string },
): boolean {
  return (
    ordinalOf(cluster.metadata.name, name) !== undefined &&
    incarnationOf(token, name, id) !== undefined
  )
}
