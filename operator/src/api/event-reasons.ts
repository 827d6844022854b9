// What the events of a RaftCluster are called. docs/operator.md says when each is told (a test compares). Types only.

export const EVENT_REASONS = [
  'BootstrapStarted',
  'ClusterFormed',
  'LeaderElected',
  'QuorumLost',
  'QuorumRestored',
  'MemberUnreachable',
  'MemberAwaitingReplacement',
  'MemberCorrupt',
  'MemberForeign',
  'MemberRemoved',
  'DriftReverted',
  'SpecDeferred',
  'PodReplaced',
  'Rejected',
  'OperationStalled',
  'NameConflict',
  'PVCConflict',
  'ClusterIdMismatch',
  'UnknownVoter',
  'RecoveryRequired',
  'NoSpace',
  'Paused',
  'Resumed',
  'Deleting',
  'DeletionHeld',
] as const

export type EventReason = (typeof EVENT_REASONS)[number]
