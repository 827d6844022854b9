// The kinds of objects the operator reads or writes. One that is not here needs a line in the chart's RBAC rules too.

import type { ResourceType } from './kube-object.ts'

export const RAFT_CLUSTERS: ResourceType = {
  group: 'raftbase.io',
  version: 'v1alpha1',
  resource: 'raftclusters',
  kind: 'RaftCluster',
  namespaced: true,
}

export const STATEFUL_SETS: ResourceType = namespaced('apps', 'v1', 'statefulsets', 'StatefulSet')
export const PODS: ResourceType = namespaced('', 'v1', 'pods', 'Pod')
export const SERVICES: ResourceType = namespaced('', 'v1', 'services', 'Service')
export const SECRETS: ResourceType = namespaced('', 'v1', 'secrets', 'Secret')
export const CONFIG_MAPS: ResourceType = namespaced('', 'v1', 'configmaps', 'ConfigMap')
export const SERVICE_ACCOUNTS: ResourceType = namespaced(
  '',
  'v1',
  'serviceaccounts',
  'ServiceAccount',
)
export const VOLUME_CLAIMS: ResourceType = namespaced(
  '',
  'v1',
  'persistentvolumeclaims',
  'PersistentVolumeClaim',
)
export const DISRUPTION_BUDGETS: ResourceType = namespaced(
  'policy',
  'v1',
  'poddisruptionbudgets',
  'PodDisruptionBudget',
)
export const LEASES: ResourceType = namespaced('coordination.k8s.io', 'v1', 'leases', 'Lease')
export const EVENTS: ResourceType = namespaced('events.k8s.io', 'v1', 'events', 'Event')
export const NAMESPACES: ResourceType = clusterWide('namespaces', 'Namespace')
export const NODES: ResourceType = clusterWide('nodes', 'Node')
export const VOLUMES: ResourceType = clusterWide('persistentvolumes', 'PersistentVolume')

/** Of cert-manager, where the operator may use it. */
export const CERTIFICATES: ResourceType = namespaced(
  'cert-manager.io',
  'v1',
  'certificates',
  'Certificate',
)
export const ISSUERS: ResourceType = namespaced('cert-manager.io', 'v1', 'issuers', 'Issuer')
export const CLUSTER_ISSUERS: ResourceType = {
  ...ISSUERS,
  resource: 'clusterissuers',
  kind: 'ClusterIssuer',
  namespaced: false,
}

/** Of the Prometheus operator, where there is one and the operator may use it. */
export const POD_MONITORS: ResourceType = namespaced(
  'monitoring.coreos.com',
  'v1',
  'podmonitors',
  'PodMonitor',
)
export const PROMETHEUS_RULES: ResourceType = namespaced(
  'monitoring.coreos.com',
  'v1',
  'prometheusrules',
  'PrometheusRule',
)

/** `apps/v1`, or `v1` in the core group: as an object's `apiVersion` says it. */
export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`
}

function clusterWide(resource: string, kind: string): ResourceType {
  return { group: '', version: 'v1', resource, kind, namespaced: false }
}

function namespaced(group: string, version: string, resource: string, kind: string): ResourceType {
  return { group, version, resource, kind, namespaced: true }
}
