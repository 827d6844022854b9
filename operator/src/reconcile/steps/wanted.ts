// What the objects shall say while the size of the cluster changes: how many pods, whom the members are told of, how many
// voters a drain has to spare. All of it follows who belongs to the cluster, and never runs ahead of that. Pure.

import { invariant } from '../../../../lib/assert.ts'
import type { MembershipDocument, MembershipEntry } from '../../../../lib/membership-file.ts'
import { canonicalJson } from '../../api/canonical.ts'
import type { KubeObject } from '../../api/kube-object.ts'
import { APPLIED_ANNOTATION } from '../../api/labels.ts'
import type { OperationStatus } from '../../api/raft-cluster.ts'
import { desired, STATEFUL_SET } from '../../resources/children.ts'
import { FIRST_EPOCHS, membershipDocument } from '../../resources/config-map.ts'
import type { RenderContext } from '../../resources/render.ts'
import { configurationOf } from './configuration.ts'
import type { Facts } from './facts.ts'
import { membershipEntries, ordinalsBelow, type RosterEntry, votersOf } from './roster.ts'

export function renderContextOf(
  facts: Facts,
  {
    operation,
    renderer,
  }: { readonly operation: OperationStatus | undefined; readonly renderer: number },
): RenderContext {
  const { cluster, observed, token, phase, clusterId, founders, roster } = facts
  const target = operation?.type === 'ScaleUp' ? (operation.toReplicas ?? 0) : 0
  const voters = facts.hasFormed ? votersOf(roster).length : founders
  const base = {
    cluster,
    options: observed.options,
    voters: Math.max(voters, target),
    token,
    phase,
    clusterId,
    founders,
    renderer,
    configuration: configurationOf(facts),
  }
  const entries = entriesOf(facts)
  const drafted = { ...base, replicas: 0, membership: { epoch: 0, entries } }
  const epoch = epochOf(facts, drafted)
  const context = { ...base, membership: { epoch, entries } }
  return { ...context, replicas: podCount(facts, operation, context) }
}

/** As long as nobody knows better than what the members were told last, they are told the same. */
function entriesOf(facts: Facts): readonly MembershipEntry[] {
  const { cluster, recorded, roster, hasFormed, isRosterCurrent } = facts
  if (recorded !== undefined && hasFormed && !isRosterCurrent) return recorded.members
  const hasData = (entry: RosterEntry): boolean => isStarted(facts, entry)
  return membershipEntries(roster, { cluster, recorded, hasData })
}

/** It runs under this identity, so that there is something on its disk that a blank one lacks. */
function isStarted({ views }: Facts, { name, raftId }: RosterEntry): boolean {
  const report = views.find((view) => view.name === name)?.report
  return (
    report?.state === 'running' &&
    report.memberId === raftId &&
    report.dataDirectory.state === 'Valid' &&
    (report.applied ?? 0) > 0
  )
}

/** One more whenever something else is told. What members have read already is never undercut, whoever deleted the file. */
function epochOf(facts: Facts, draft: RenderContext): number {
  const { recorded, observed, phase } = facts
  const first = FIRST_EPOCHS[phase]
  if (recorded !== undefined && isSameTold(recorded, membershipDocument(draft))) {
    return Math.max(recorded.epoch, first)
  }
  const read = observed.sightings.map(({ report }) => report?.membershipFile?.epoch ?? 0)
  const newest = Math.max(recorded?.epoch ?? 0, ...read)
  return Math.max(newest + 1, first)
}

function isSameTold(recorded: MembershipDocument, draft: MembershipDocument): boolean {
  return canonicalJson({ ...recorded, epoch: 0 }) === canonicalJson({ ...draft, epoch: 0 })
}

/**
 * One for each ordinal in the roster, one step at a time. Fewer only when the leader says who is left; below a voter never.
 * A change by somebody else is set back at once.
 */
function podCount(
  facts: Facts,
  operation: OperationStatus | undefined,
  context: Omit<RenderContext, 'replicas'>,
): number {
  const { founders, hasFormed, history, isRosterCurrent, roster, statefulSet, views } = facts
  if (!hasFormed && history !== 'forgotten') return founders
  const replaced = views.find(({ name }) => name === operation?.member)
  const keeps = operation?.type === 'Replace' ? (replaced?.ordinal ?? -1) + 1 : 0
  const wanted = Math.max(ordinalsBelow(roster.entries), keeps)
  const live = replicasOf(statefulSet)
  if (!hasFormed) return Math.max(wanted, live ?? 0, ownedBelow(facts))
  if (statefulSet === undefined || live === undefined || live === wanted) return wanted
  if (isLastApplied(statefulSet, { ...context, replicas: wanted })) return wanted
  if (live < wanted) return Math.max(live + 1, ordinalsBelow(votersOf(roster)))
  if (!isRosterCurrent) return live
  const next = live - 1
  invariant(next >= ordinalsBelow(votersOf(roster)), 'every voter keeps its pod', { next })
  return next
}

/** Volumes of this cluster that nobody remembers anything of. */
function ownedBelow({ observed, token }: Facts): number {
  const own = observed.claims.filter(({ clusterUid }) => clusterUid === token)
  return Math.max(-1, ...own.map(({ ordinal }) => ordinal)) + 1
}

/**
 * What the pods are made from is what the spec says now. Their number is no part of it: it may be about to change, or have been
 * changed by somebody else.
 */
export function isTemplateApplied(
  statefulSet: KubeObject | undefined,
  context: RenderContext,
): boolean {
  if (statefulSet === undefined) return false
  const counts = [context.replicas, replicasOf(statefulSet) ?? context.replicas]
  return counts.some((replicas) => isLastApplied(statefulSet, { ...context, replicas }))
}

function isLastApplied(live: KubeObject, context: RenderContext): boolean {
  const mark = desired(STATEFUL_SET, context).metadata.annotations?.[APPLIED_ANNOTATION]
  return live.metadata.annotations?.[APPLIED_ANNOTATION] === mark
}

export function replicasOf(statefulSet: KubeObject | undefined): number | undefined {
  return (statefulSet?.['spec'] as { readonly replicas?: number } | undefined)?.replicas
}
