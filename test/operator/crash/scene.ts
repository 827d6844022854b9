// What the invariants look at, and where things are in it.

import type { KubeObject } from '../../../operator/src/api/kube-object.ts'
import type { RaftClusterStatus } from '../../../operator/src/api/raft-cluster.ts'
import type { FakeApiStore, StoredObject, Target } from '../../support/fake-api-store.ts'
import type { SimCertificates } from './sim-certificates.ts'
import type { SimKubernetes } from './sim-kubernetes.ts'
import type { SimMembers } from './sim-members.ts'

export const KEY = { namespace: 'prod', name: 'demo' }
export const CLUSTER: Target = { collection: 'raftbase.io/v1alpha1/raftclusters', ...KEY }
export const STATEFUL_SET: Target = { collection: 'apps/v1/statefulsets', ...KEY }
export const MEMBERSHIP: Target = {
  collection: 'v1/configmaps',
  namespace: KEY.namespace,
  name: 'demo-membership',
}

export interface Scene {
  readonly store: FakeApiStore
  readonly kubernetes: SimKubernetes
  readonly members: SimMembers
  readonly certificates: SimCertificates
  readonly cluster: StoredObject | undefined
  readonly status: RaftClusterStatus
  readonly nowMs: number
  /** When a pass ended last. */
  readonly passedAtMs: number
  /** When an accident took a pod. */
  readonly lostPodAtMs: number | undefined
  /** Everything that happened, below one sentence. */
  explain(what: string): string
}

export function replicasOf(object: StoredObject | KubeObject | undefined): number | undefined {
  return (object?.['spec'] as { replicas?: number } | undefined)?.replicas
}

/** The phase that the members are told. */
export function phaseTold(store: FakeApiStore): string | undefined {
  const data = store.find(MEMBERSHIP)?.['data'] as Record<string, string> | undefined
  return /"phase": "(\w+)"/.exec(data?.['membership.json'] ?? '')?.[1]
}
