// The ConfigMap that tells members who the cluster is: membership.json, mounted as a file, so that it changes without a
// restart. Once a member has data, its log is the authority and this is only a hint. Pure.

import type { MembershipDocument } from '../../../lib/membership-file.ts'
import { expectedRaftId, initialMembers, membershipName } from '../api/names.ts'
import { type Builder, childMeta, type RenderContext } from './render.ts'

export const MEMBERSHIP_FILE = 'membership.json'

/** Members take no document that is older than the one they have. */
const EPOCHS = { Bootstrapping: 1, Completing: 2, Running: 3 } as const

export const buildMembership: Builder = (context) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: childMeta(context, {
    name: membershipName(context.cluster.metadata.name),
    component: 'member',
  }),
  data: { [MEMBERSHIP_FILE]: `${JSON.stringify(membershipDocument(context), undefined, 2)}\n` },
})

export function membershipDocument(context: RenderContext): MembershipDocument {
  const { cluster, token, phase, clusterId, replicas } = context
  const members = initialMembers(cluster, replicas)
  return {
    schema: 1,
    cluster: `${cluster.metadata.namespace}/${cluster.metadata.name}`,
    token,
    phase: phase === 'Running' ? 'Running' : 'Bootstrapping',
    ...(phase === 'Completing' ? { formed: true } : {}),
    clusterId,
    epoch: EPOCHS[phase],
    initialCluster: members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(','),
    members: members.map(({ name, peerUrl }, ordinal) => ({
      name,
      ordinal,
      incarnation: 1,
      raftId: expectedRaftId(token, name, 1),
      state: 'Voter',
      peerUrl,
    })),
  }
}
