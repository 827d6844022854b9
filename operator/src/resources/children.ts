// Every object a cluster consists of, in the order in which they are made: names and trust before the first pod. Pure.

import type { KubeObject, ResourceType } from '../api/kube-object.ts'
import {
  clientServiceName,
  configName,
  leaderServiceName,
  membershipName,
  peerServiceName,
  serviceAccountName,
} from '../api/names.ts'
import {
  CONFIG_MAPS,
  DISRUPTION_BUDGETS,
  SERVICE_ACCOUNTS,
  SERVICES,
  STATEFUL_SETS,
} from '../api/resource-types.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { buildMembership } from './config-map.ts'
import { buildConfiguration } from './configuration.ts'
import { buildDisruptionBudget } from './disruption-budget.ts'
import { type Builder, CONFIG_FILE_RENDERER, type RenderContext, stamped } from './render.ts'
import { buildServiceAccount } from './service-account.ts'
import { buildClientService, buildLeaderService, buildPeerService } from './services.ts'
import { buildStatefulSet } from './stateful-set.ts'

export interface ChildKind {
  /** As messages call it: `peer Service`. */
  readonly title: string
  readonly type: ResourceType
  readonly nameOf: (clusterName: string) => string
  readonly build: Builder
  /** Whether the spec asks for it; one that is there and not wanted is deleted. */
  readonly isWanted: (
    cluster: RaftCluster,
    size: { readonly voters: number; readonly renderer: number },
  ) => boolean
  /** Even then: pods that still run may be made from it. */
  readonly isKept?: true
}

const always = (): boolean => true
const itself = (clusterName: string): string => clusterName

export const STATEFUL_SET: ChildKind = {
  title: 'StatefulSet',
  type: STATEFUL_SETS,
  nameOf: itself,
  build: buildStatefulSet,
  isWanted: always,
}

export const MEMBERSHIP: ChildKind = {
  title: 'membership ConfigMap',
  type: CONFIG_MAPS,
  nameOf: membershipName,
  build: buildMembership,
  isWanted: always,
}

export const CONFIGURATION: ChildKind = {
  title: 'configuration ConfigMap',
  type: CONFIG_MAPS,
  nameOf: configName,
  build: buildConfiguration,
  isWanted: (_, { renderer }) => renderer >= CONFIG_FILE_RENDERER,
  isKept: true,
}

/** The StatefulSet is last: with it the first pod starts. */
export const CHILDREN: readonly ChildKind[] = [
  {
    title: 'ServiceAccount',
    type: SERVICE_ACCOUNTS,
    nameOf: serviceAccountName,
    build: buildServiceAccount,
    isWanted: always,
  },
  {
    title: 'peer Service',
    type: SERVICES,
    nameOf: peerServiceName,
    build: buildPeerService,
    isWanted: always,
  },
  {
    title: 'client Service',
    type: SERVICES,
    nameOf: clientServiceName,
    build: buildClientService,
    isWanted: always,
  },
  {
    title: 'leader Service',
    type: SERVICES,
    nameOf: leaderServiceName,
    build: buildLeaderService,
    isWanted: (cluster) => cluster.spec.services.leader.enabled,
  },
  {
    title: 'PodDisruptionBudget',
    type: DISRUPTION_BUDGETS,
    nameOf: itself,
    build: buildDisruptionBudget,
    isWanted: (cluster, { voters }) => cluster.spec.disruption.pdb === 'Managed' && voters > 1,
  },
  MEMBERSHIP,
  CONFIGURATION,
  STATEFUL_SET,
]

/** The object as it shall be, with the mark by which a change is noticed. */
export function desired(kind: ChildKind, context: RenderContext): KubeObject {
  return stamped(kind.build(context))
}
