// The RaftCluster resource as crds/raftclusters.yaml describes it: what a user asks for and what the operator observed. The
// API server has checked it against the schema; validate.ts reads it. Types only.

import type { Condition } from './conditions.ts'
import type { ObjectMeta } from './kube-object.ts'

export type Quantity = string | number

export interface ImageSpec {
  readonly repository?: string
  readonly pullPolicy?: 'Always' | 'IfNotPresent' | 'Never'
  readonly pullSecrets?: readonly { readonly name: string }[]
}

export interface StorageSpec {
  readonly size: Quantity
  readonly storageClassName?: string
  readonly whenDeleted: 'Retain' | 'Delete'
  /** Of the volumes of members that are removed because the cluster shrinks. */
  readonly whenScaled: 'Retain' | 'Delete'
}

export interface ResourcesSpec {
  readonly requests?: Readonly<Record<string, Quantity>>
  readonly limits?: Readonly<Record<string, Quantity>>
}

export interface SchedulingSpec {
  readonly antiAffinity: 'Required' | 'Preferred' | 'None'
  readonly topologySpreadConstraints?: readonly Readonly<Record<string, unknown>>[]
  readonly affinity?: Readonly<Record<string, unknown>>
  readonly nodeSelector?: Readonly<Record<string, string>>
  readonly tolerations?: readonly Readonly<Record<string, unknown>>[]
  readonly priorityClassName?: string
}

export interface PodMetadataSpec {
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

/** Durations are whole numbers of `ms` or `s`. */
export interface RaftSpec {
  readonly heartbeatInterval: string
  readonly electionTimeout: string
  readonly snapshotLogSize: Quantity
}

/** What members keep. It reaches them in a file, and restarts nobody. */
export interface ServerSpec {
  readonly quotaBackendBytes?: Quantity
  /** Absent: all history is kept until somebody compacts it. */
  readonly autoCompaction?: {
    readonly mode: 'Periodic' | 'Revision'
    /** A time like `1h30m`, or a number of revisions. */
    readonly retention: string
  }
}

export interface ServicesSpec {
  readonly client: {
    readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer'
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly leader: { readonly enabled: boolean }
}

export interface SelfHealSpec {
  readonly mode: 'Automatic' | 'Manual'
  /** After which a node counts as dead, and a local volume whose node is gone as lost. */
  readonly unreachableSeconds: number
  /** 0: none by itself. */
  readonly maxReplacementsPerHour: number
}

export interface UpdateSpec {
  readonly strategy: 'Rolling' | 'OnDelete'
  readonly onFailure: 'Pause' | 'Rollback'
  readonly minHealthySeconds: number
  readonly progressDeadlineSeconds: number
}

export interface MonitoringSpec {
  /** Labels are those that a Prometheus selects by. */
  readonly podMonitor: MonitorSpec
  readonly prometheusRule: MonitorSpec
}

export interface MonitorSpec {
  readonly enabled: boolean
  readonly labels: Readonly<Record<string, string>>
}

export interface DisruptionSpec {
  readonly pdb: 'Managed' | 'None'
  readonly unhealthyPodEviction: 'IfHealthyBudget' | 'AlwaysAllow'
}

export interface TlsUseSpec {
  /** Where the authority comes from that signs: made for the cluster, asked of cert-manager, or given in a Secret, as may be
   *  the certificates themselves. */
  readonly source: 'SelfManaged' | 'CertManager' | 'Secret'
  /** Who signs the authority of the cluster; of source CertManager. */
  readonly issuerRef?: { readonly name: string; readonly kind?: 'Issuer' | 'ClusterIssuer' }
  /** With an authority and its key, or with the certificate of members; of source Secret. */
  readonly secretRef?: { readonly name: string }
  /** How long each certificate is good for, in hours. */
  readonly duration: string
}

export interface TlsSpec {
  /** Clients and the REST API. */
  readonly client?: TlsUseSpec & {
    /** `Mutual`: clients have to show a certificate too. */
    readonly mode: 'Server' | 'Mutual'
  }
  readonly peer?: TlsUseSpec
}

/** Every default filled in. */
export interface RaftClusterSpec {
  readonly replicas: number
  readonly version: string
  readonly paused: boolean
  readonly deletionProtection: boolean
  readonly clusterDomain: string
  readonly image: ImageSpec
  readonly storage: StorageSpec
  readonly resources: ResourcesSpec
  readonly scheduling: SchedulingSpec
  readonly podMetadata: PodMetadataSpec
  readonly raft: RaftSpec
  readonly server: ServerSpec
  readonly services: ServicesSpec
  readonly disruption: DisruptionSpec
  readonly update: UpdateSpec
  readonly selfHeal: SelfHealSpec
  readonly monitoring: MonitoringSpec
  /** Absent: nothing is encrypted. */
  readonly tls?: TlsSpec
}

export const PHASES = [
  'Pending',
  'Bootstrapping',
  'Healthy',
  'Scaling',
  'Updating',
  'Healing',
  'Degraded',
  'NoQuorum',
  'Paused',
  'Deleting',
  'Failed',
] as const
export type Phase = (typeof PHASES)[number]

export type MemberRole =
  | 'Leader'
  | 'Follower'
  | 'Candidate'
  | 'Learner'
  /** Its pod is there or about to be; it has not told anything yet. */
  | 'Joining'
  /** Up, and not taking part, for a reason it gives. */
  | 'Parked'
  | 'Removed'
  | 'Unknown'

export interface MemberStatus {
  readonly name: string
  readonly raftId?: string
  readonly incarnation?: number
  readonly role: MemberRole
  readonly healthy: boolean
  readonly version?: string
  readonly lagEntries?: number
  /** Of the newest configuration file that it has taken over. */
  readonly configEpoch?: number
  readonly node?: string
  readonly reason?: string
  readonly message?: string
  readonly lastTransitionTime: string
}

export interface LeaderStatus {
  readonly name: string
  readonly raftId: string
  readonly term: number
  readonly since: string
}

/** What the first start was decided to be. Like `clusterId` and `operation`, read as an input of the next pass. */
export interface BootstrapStatus {
  readonly replicas: number
  readonly token: string
  readonly startedAt: string
  readonly completedAt?: string
}

/** What is being carried out. Only what cannot be found out again is decided by it: what was begun, and since when. */
export interface OperationStatus {
  readonly type: 'Bootstrap' | 'Delete' | 'ScaleUp' | 'ScaleDown' | 'Replace' | 'Rollout'
  readonly step: string
  /** Whom the step is about. */
  readonly member?: string
  readonly fromReplicas?: number
  readonly toReplicas?: number
  readonly startedAt?: string
  readonly stepStartedAt?: string
  readonly message?: string
  /** Replace: uid of the volume claim that the lost member had. */
  readonly volume?: string
}

/** A replacement that was begun lately: they are limited by the hour. */
export interface ReplacementStatus {
  readonly member: string
  readonly startedAt: string
  readonly reason: string
}

/** Of a certificate that is kept good. Times as in the certificate: they change when it does. */
export interface CertificateStatus {
  readonly role: 'peer' | 'server' | 'client' | 'operator' | 'authority'
  readonly notBefore: string
  readonly notAfter: string
}

export interface RaftClusterStatus {
  readonly observedGeneration?: number
  readonly phase?: Phase
  readonly ready?: string
  readonly replicas?: number
  readonly readyReplicas?: number
  readonly updatedReplicas?: number
  readonly votingMembers?: number
  readonly selector?: string
  readonly version?: string
  /** The version that ran before the last change of it: where spec.version may still go back to. */
  readonly rollbackVersion?: string
  /** spec.version, when its rollout failed and was taken back. */
  readonly failedVersion?: string
  /** By which revision of the renderer the pods shall be made: read when the StatefulSet that says it is lost. */
  readonly rendererRevision?: number
  /** By which the pods of rollbackVersion were made, where that is another one. */
  readonly rollbackRendererRevision?: number
  readonly clusterId?: string
  readonly membershipEpoch?: number
  readonly bootstrap?: BootstrapStatus
  readonly leader?: LeaderStatus
  readonly operation?: OperationStatus
  readonly replacements?: readonly ReplacementStatus[]
  readonly members?: readonly MemberStatus[]
  readonly endpoints?: readonly string[]
  readonly connection?: { readonly client: string; readonly api: string }
  readonly certificates?: readonly CertificateStatus[]
  readonly conditions?: readonly Condition[]
}

export interface RaftCluster {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta & {
    readonly namespace: string
    readonly uid: string
    readonly generation: number
  }
  readonly spec: RaftClusterSpec
  readonly status: RaftClusterStatus
}
