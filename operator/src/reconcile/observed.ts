// What one pass knows, gathered by observe.ts and the only input of plan.ts. Facts, no judgements: a member that is silent
// is said to be silent, not to be down. Types only.

import type {
  AuthorityFacts,
  CertificateFacts,
  GivenLeafFacts,
  LeafFacts,
  LeafUse,
} from '../api/certificates.ts'
import type { KubeObject } from '../api/kube-object.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import type { RenderOptions } from '../resources/render.ts'

/** What a member said of itself in `GET /v1/status`: the part that decisions and status rest on. */
export interface MemberReport {
  readonly clusterId?: string
  readonly memberId?: string
  readonly incarnation?: number
  readonly version: string
  readonly state: 'starting' | 'recovering' | 'running' | 'parked' | 'stopping' | 'failed'
  readonly dataDirectory: {
    readonly state:
      | 'Unknown'
      | 'Fresh'
      | 'Valid'
      | 'Tombstoned'
      | 'ForeignCluster'
      | 'Corrupt'
      | 'AwaitingReplacement'
    readonly detail?: string
  }
  /** It takes part: a linearizable read succeeded within the last seconds. */
  readonly ready: boolean
  readonly notReadyReason?: string
  readonly alarms: readonly string[]
  readonly role?: 'follower' | 'preCandidate' | 'candidate' | 'leader' | 'learner'
  readonly term?: number
  /** Raft id of the leader it knows. */
  readonly leader?: string
  readonly committed?: number
  readonly applied?: number
  readonly lastIndex?: number
  readonly lastLogTerm?: number
  readonly membershipEpoch?: number
  /** Of the cluster, as far as it has applied. */
  readonly featureLevel?: number
  /** The highest that it understands. */
  readonly knownFeatureLevel?: number
  /** What it has read of membership.json. */
  readonly membershipFile?: {
    readonly epoch?: number
    readonly listed?: 'Voter' | 'Learner' | 'absent'
  }
  /** What it has taken over of its configuration file. */
  readonly configFile?: { readonly epoch?: number; readonly problem?: string }
  /** The certificates it has in force. */
  readonly tls?: Readonly<
    Partial<
      Record<
        'client' | 'peer',
        { readonly certificate?: string; readonly trusts: readonly string[] }
      >
    >
  >
  readonly storage?: StorageReport
  /** How far the others are; said by a leader alone. */
  readonly peers: readonly {
    readonly id: string
    readonly match?: number
    readonly progress?: 'probe' | 'replicate' | 'snapshot'
    readonly active?: boolean
  }[]
  /** The configuration it has applied. */
  readonly configuration: readonly {
    readonly id: string
    readonly name: string
    readonly role: 'voter' | 'learner'
  }[]
}

/** The space that it has, and how much of it is used; each only where it tells. */
export interface StorageReport {
  readonly quotaBytes?: number
  readonly quotaUsedBytes?: number
  /** Of its volume. */
  readonly diskBytes?: number
  readonly diskFreeBytes?: number
}

export interface MemberSighting {
  readonly name: string
  /** Its newest report, of this pass or an earlier one by the same pod. */
  readonly report?: MemberReport
  /** How old that report is; 0 for one of this pass. */
  readonly ageSeconds: number
  /** Why there is no answer in this pass. */
  readonly silence?: string
}

export interface PodFacts {
  readonly name: string
  readonly uid: string
  readonly ordinal: number
  readonly node?: string
  readonly ip?: string
  /** Its API has TLS, by what its container was started with. */
  readonly isSecure?: boolean
  readonly isTerminating: boolean
  /** Of the member's container. */
  readonly container: 'none' | 'waiting' | 'running' | 'terminated'
  /** Whether the container has ever run in this pod. */
  readonly hasStarted: boolean
  /** Since when its container has been running, RFC 3339. */
  readonly runningSince?: string
  /** Why the pod is not scheduled or its container does not run, as Kubernetes calls it. */
  readonly reason?: string
  readonly message?: string
  readonly restarts: number
  /** `controller-revision-hash`. */
  readonly revision?: string
  readonly roleLabel?: string
  readonly voterLabel?: string
  /** Of which membership document its kubelet was told. */
  readonly membershipEpoch?: string
  /** Of which configuration file its kubelet was told. */
  readonly configEpoch?: string
  /** By which its container was made; 1 for one that does not say. */
  readonly renderer?: number
  /** What its container may use, in bytes. */
  readonly memoryLimit?: number
  /** Of which certificates. */
  readonly certificatesTold?: string
}

export interface ClaimFacts {
  readonly name: string
  readonly uid: string
  readonly ordinal: number
  readonly phase: 'Pending' | 'Bound' | 'Lost'
  /** Name of the volume it is bound to. */
  readonly volume?: string
  /** The hosts its volume can be used on, none of which exists any more. */
  readonly stranded?: string
  /** Of whose data it is: the uid of a RaftCluster, or undefined when it does not say. */
  readonly clusterUid?: string
  readonly isTerminating: boolean
}

/** A node on which a member is that does not answer. */
export interface NodeFacts {
  readonly name: string
  readonly state: 'Ready' | 'NotReady' | 'Gone'
  /** Since when it is not ready, RFC 3339. */
  readonly since?: string
}

/** A write of an earlier pass that the API server refused for what it contains, or by its rules. */
export interface Rejection {
  readonly what: string
  readonly message: string
}

/** A change of the membership that a member refused in an earlier pass, or never answered. */
export interface Refusal {
  readonly what: string
  readonly message: string
}

/** The Secrets with certificates; only of a cluster that has some. */
export interface TlsObserved {
  readonly authority?: SecretFacts & {
    readonly facts?: AuthorityFacts
    /** For which wish of the user it was exchanged last. */
    readonly rotatedFor?: string
    /** The Secret that it was taken from last. */
    readonly takenFrom?: string
  }
  /** It may not read Secrets there. */
  readonly forbidden?: string
  /** What cert-manager is asked for, of a cluster that uses it. */
  readonly request?: RequestFacts
  /** The Certificate of a cluster that does not use it any more. */
  readonly formerRequest?: KubeObject
  /** What the Secret holds, of a cluster whose authority is given. */
  readonly given?: {
    readonly secret: string
    readonly certificate?: CertificateFacts
    readonly problem?: string
  }
  /** What the Secrets hold, where they hold certificates of members instead of an authority. */
  readonly givenLeaves?: Readonly<Partial<Record<'peer' | 'server', GivenLeafFacts>>>
  readonly leaves: Readonly<Partial<Record<LeafUse, LeafSecretFacts>>>
}

export type LeafSecretFacts = SecretFacts & {
  readonly facts: LeafFacts
  /** The user's Secret that it was taken from, or whose authorities are still trusted in it. */
  readonly takenFrom?: string
}

/** What there is of what the Prometheus operator is told; only of a cluster that asks for it, or did. */
export interface MonitorsObserved {
  readonly podMonitor: MonitorFacts
  readonly prometheusRule: MonitorFacts
}

export interface MonitorFacts {
  readonly live?: KubeObject
  /** Its kind does not exist, or the operator has no right to it. */
  readonly problem?: 'NotInstalled' | 'Forbidden'
  /** What the API server said to the last write, which it refused; `isRecent`: too lately to try again. */
  readonly refusal?: { readonly message: string; readonly isRecent: boolean }
}

export interface RequestFacts {
  /** The Certificate; undefined while there is none. */
  readonly live?: KubeObject
  /** Why nothing can be asked, or nothing comes. */
  readonly problem?: string
  /** Nothing can be asked. */
  readonly isBlocked: boolean
}

export interface SecretFacts {
  readonly uid: string
  readonly resourceVersion?: string
  /** It belongs to this RaftCluster. */
  readonly isOurs: boolean
  /** RFC 3339: since when its certificates are as they are. */
  readonly since?: string
}

export interface Observed {
  /** RFC 3339, whole seconds. */
  readonly now: string
  readonly cluster: RaftCluster
  readonly options: RenderOptions
  /** By the title of its kind; absent when there is no object of that name. */
  readonly children: ReadonlyMap<string, KubeObject>
  readonly pods: readonly PodFacts[]
  readonly claims: readonly ClaimFacts[]
  /** One for each pod that has an address, and for each that had one lately. */
  readonly sightings: readonly MemberSighting[]
  /** Only those that matter; none when the operator may not read nodes. */
  readonly nodes?: readonly NodeFacts[]
  readonly tls?: TlsObserved
  readonly monitors?: MonitorsObserved
  readonly rejection?: Rejection
  readonly refusal?: Refusal
  /** Since a pass of this process last saw the cluster serve. */
  readonly servedSecondsAgo?: number
}
