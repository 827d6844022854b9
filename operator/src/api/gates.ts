// What can keep the operator from changing something, by name: steps/gate.ts asks, and metrics count. docs/metrics.md lists
// them (a test compares). Types only.

/** What can stand in the way of a change: of any, and, from `Manual` on, of a replacement. */
export const GATES = [
  'Frozen',
  'NoLeader',
  'LeaderNotConfirmed',
  'MemberEnding',
  'Quorum',
  'MemberUnhealthy',
  'MemberBehind',
  'MinHealthySeconds',
  'Manual',
  'ReplacementLimit',
  'MemberJoining',
] as const
export type Gate = (typeof GATES)[number]
