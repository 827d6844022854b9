// The defaults of a RaftCluster's spec, equal to those of crds/raftclusters.yaml (a test compares them). The API server
// fills in most of them; objects stored before a field existed, and optional sections, get theirs here. Pure.

import type { RaftClusterSpec, TlsSpec } from './raft-cluster.ts'

export const SPEC_DEFAULTS = {
  replicas: 3,
  paused: false,
  deletionProtection: false,
  clusterDomain: 'cluster.local',
  storage: { size: '8Gi', whenDeleted: 'Retain', whenScaled: 'Delete' },
  scheduling: { antiAffinity: 'Preferred' },
  raft: { heartbeatInterval: '100ms', electionTimeout: '1s', snapshotLogSize: '64Mi' },
  services: { client: { type: 'ClusterIP' }, leader: { enabled: false } },
  disruption: { pdb: 'Managed', unhealthyPodEviction: 'IfHealthyBudget' },
  update: {
    strategy: 'Rolling',
    minHealthySeconds: 10,
    progressDeadlineSeconds: 600,
    onFailure: 'Pause',
  },
  selfHeal: { mode: 'Automatic', unreachableSeconds: 600, maxReplacementsPerHour: 1 },
  monitoring: {
    podMonitor: { enabled: false, labels: {} },
    prometheusRule: { enabled: false, labels: {} },
  },
} as const

/** Of each part of `spec.tls` that is there. */
export const TLS_DEFAULTS = {
  client: { mode: 'Mutual', duration: '2160h' },
  peer: { duration: '2160h' },
} as const

/** `spec` has the shape of the schema; what is absent takes its default. */
export function withDefaults(spec: unknown): RaftClusterSpec {
  const given = (spec ?? {}) as Partial<RaftClusterSpec>
  return {
    replicas: given.replicas ?? SPEC_DEFAULTS.replicas,
    version: given.version ?? '',
    paused: given.paused ?? SPEC_DEFAULTS.paused,
    deletionProtection: given.deletionProtection ?? SPEC_DEFAULTS.deletionProtection,
    clusterDomain: given.clusterDomain ?? SPEC_DEFAULTS.clusterDomain,
    image: { ...given.image },
    storage: { ...SPEC_DEFAULTS.storage, ...given.storage },
    resources: { ...given.resources },
    scheduling: { ...SPEC_DEFAULTS.scheduling, ...given.scheduling },
    podMetadata: { ...given.podMetadata },
    raft: { ...SPEC_DEFAULTS.raft, ...given.raft },
    server: { ...given.server },
    services: {
      client: { ...SPEC_DEFAULTS.services.client, ...given.services?.client },
      leader: { ...SPEC_DEFAULTS.services.leader, ...given.services?.leader },
    },
    disruption: { ...SPEC_DEFAULTS.disruption, ...given.disruption },
    update: { ...SPEC_DEFAULTS.update, ...given.update },
    selfHeal: { ...SPEC_DEFAULTS.selfHeal, ...given.selfHeal },
    monitoring: {
      podMonitor: { ...SPEC_DEFAULTS.monitoring.podMonitor, ...given.monitoring?.podMonitor },
      prometheusRule: {
        ...SPEC_DEFAULTS.monitoring.prometheusRule,
        ...given.monitoring?.prometheusRule,
      },
    },
    ...(given.tls === undefined ? {} : { tls: tlsOf(given.tls) }),
  }
}

function tlsOf({ client, peer }: TlsSpec): TlsSpec {
  return {
    ...(client === undefined ? {} : { client: { ...TLS_DEFAULTS.client, ...client } }),
    ...(peer === undefined ? {} : { peer: { ...TLS_DEFAULTS.peer, ...peer } }),
  }
}
