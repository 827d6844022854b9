// The ConfigMap that tells members who the cluster is: membership.json, mounted as a file, so that it changes without a
// restart. Once a member has data, its log is the authority and this is only a hint. Pure.

import type { MembershipDocument } from '../../../lib/membership-file.ts'
import { initialMembers, membershipName } from '../api/names.ts'
import { type Builder, childMeta, type RenderContext } from './render.ts'

export const MEMBERSHIP_FILE = 'membership.json'

/** Where the count begins in each phase: members take no document that is older than the one they have. */
export const FIRST_EPOCHS = { Bootstrapping: 1, Completing: 2, Running: 3 } as const

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
  const { cluster, token, phase, clusterId, founders, membership } = context
  return {
    schema: 1,
    cluster: `${cluster.metadata.namespace}/${cluster.metadata.name}`,
    token,
    phase: phase === 'Running' ? 'Running' : 'Bootstrapping',
    ...(phase === 'Completing' ? { formed: true } : {}),
    clusterId,
    epoch: membership.epoch,
    initialCluster: initialMembers(cluster, founders)
      .map(({ name, peerUrl }) => `${name}=${peerUrl}`)
      .join(','),
    members: membership.entries,
  }
}
