// Conditions as Kubernetes defines them: what a program waits on. A condition keeps the time of its last change, so that
// status is written only when something is different. docs/operator.md lists every type and reason (a test compares). Pure.

import { pointing } from './pointers.ts'

export const CONDITION_TYPES = [
  'Ready',
  'QuorumAvailable',
  'MembersHealthy',
  'Bootstrapped',
  'UpToDate',
  'Progressing',
  'StorageReady',
  'TLSReady',
  'MonitoringReady',
  'Degraded',
  'RecoveryRequired',
  'Conflict',
] as const
export type ConditionType = (typeof CONDITION_TYPES)[number]

/** What each type may give as its reason, and nothing else. */
export const CONDITION_REASONS = {
  Ready: [
    'Healthy',
    'NameConflict',
    'Frozen',
    'RecoveryRequired',
    'Rejected',
    'Bootstrapping',
    'ForeignCluster',
    'QuorumLost',
    'NoLeader',
    'Unobserved',
    'MemberDown',
    'MemberNotReady',
    'AwaitingReplacement',
    'Corrupt',
    'NoSpace',
    'MemberLagging',
    'Scaling',
    'Replacing',
    'RolloutPending',
    'Deleting',
  ],
  QuorumAvailable: [
    'Available',
    'Electing',
    'NotBootstrapped',
    'QuorumLost',
    'NoLeader',
    'Unobserved',
  ],
  MembersHealthy: [
    'AllHealthy',
    'NotBootstrapped',
    'MemberDown',
    'MemberNotReady',
    'AwaitingReplacement',
    'ForeignCluster',
    'Corrupt',
    'NoSpace',
    'MemberLagging',
  ],
  Bootstrapped: [
    'ClusterFormed',
    'WaitingForPods',
    'WaitingForQuorum',
    'ForeignCluster',
    'RecoveryRequired',
    'NotStarted',
  ],
  UpToDate: [
    'AllUpdated',
    'NoPods',
    'WaitingForUser',
    'RolloutInProgress',
    'RolloutPaused',
    'RolledBack',
    'VersionDeferred',
    'ModeDeferred',
    'RestampPending',
    'NewerRenderer',
    'ConfigurationPending',
    'ConfigurationRefused',
  ],
  Progressing: [
    'Settled',
    'Bootstrapping',
    'Scaling',
    'Replacing',
    'Updating',
    'Deleting',
    'Paused',
    'Held',
    'Stalled',
    'Rejected',
  ],
  StorageReady: ['AllBound', 'NoVolumes', 'VolumePending', 'PVCLost'],
  TLSReady: [
    'Issued',
    'Issuing',
    'NotInForce',
    'RotationInProgress',
    'Expiring',
    'IssuerNotReady',
    'CertificateInvalid',
    'AuthorityDamaged',
    'Forbidden',
    'NameConflict',
  ],
  MonitoringReady: ['Applied', 'Applying', 'NotInstalled', 'Forbidden', 'Rejected', 'NameConflict'],
  Degraded: [
    'AsExpected',
    'QuorumLost',
    'RedundancyReduced',
    'ClusterIdMismatch',
    'UnknownVoter',
    'NoSpace',
    'StorageNearFull',
    'CertificateExpiring',
  ],
  RecoveryRequired: ['NotRequired', 'NothingAnswers', 'MajorityLost'],
  Conflict: ['NoConflict', 'NameConflict'],
} as const satisfies Record<ConditionType, readonly string[]>

export type ReasonOf<Type extends ConditionType> = (typeof CONDITION_REASONS)[Type][number]

export type ConditionStatus = 'True' | 'False' | 'Unknown'

export interface Condition {
  readonly type: string
  readonly status: ConditionStatus
  readonly observedGeneration?: number
  readonly lastTransitionTime: string
  readonly reason: string
  readonly message: string
}

/** A condition as it is now, without its history. */
export type Finding = {
  readonly [Type in ConditionType]: {
    readonly type: Type
    readonly status: ConditionStatus
    readonly reason: ReasonOf<Type>
    readonly message: string
  }
}[ConditionType]

export type FindingOf<Type extends ConditionType> = Extract<Finding, { readonly type: Type }>

/** In the order of {@link CONDITION_TYPES}; the time of the last change is kept where `status` is the same. */
export function withHistory(
  findings: readonly Finding[],
  before: readonly Condition[] | undefined,
  stamp: {
    readonly now: string
    readonly generation: number
    /** Where the messages point; undefined: nowhere. */
    readonly docsUrl?: string | undefined
  },
): readonly Condition[] {
  return findings
    .toSorted((left, right) => orderOf(left.type) - orderOf(right.type))
    .map((finding) => {
      const old = before?.find(({ type }) => type === finding.type)
      const isSame = old !== undefined && old.status === finding.status
      return {
        type: finding.type,
        status: finding.status,
        observedGeneration: stamp.generation,
        lastTransitionTime: isSame ? old.lastTransitionTime : stamp.now,
        reason: finding.reason,
        message: pointing(finding.message, finding.reason, stamp.docsUrl),
      }
    })
}

function orderOf(type: ConditionType): number {
  return CONDITION_TYPES.indexOf(type)
}

export function conditionOf(
  conditions: readonly Condition[] | undefined,
  type: ConditionType,
): Condition | undefined {
  return conditions?.find((condition) => condition.type === type)
}
