// What the facts of a pass mean, once, for every step and for the status: who the cluster is made of, who leads, whether it
// has a history, and what must not be touched. Nothing here comes from the status but the two latches of the first start.
// Pure.

import { parseMembership } from '../../../../lib/membership-file.ts'
import type { KubeObject } from '../../api/kube-object.ts'
import { CLEANUP_FINALIZER, isControlledBy } from '../../api/labels.ts'
import { expectedClusterId, memberName } from '../../api/names.ts'
import type { RaftCluster } from '../../api/raft-cluster.ts'
import { CHILDREN, MEMBERSHIP, STATEFUL_SET } from '../../resources/children.ts'
import { MEMBERSHIP_FILE } from '../../resources/config-map.ts'
import type { MembershipPhase, RenderContext } from '../../resources/render.ts'
import type { ClaimFacts, Observed } from '../observed.ts'
import { freezeOf, type Freeze } from './freeze.ts'
import { electorateOf, type Electorate } from './electorate.ts'
import { type MemberView, viewMembers } from './members.ts'

/** Whether the cluster has formed, as far as anybody knows. */
export type History =
  /** Nothing of it exists: it may be made. */
  | 'none'
  /** Its first start was decided and is under way. */
  | 'bootstrapping'
  /** It has formed: it is never made again. */
  | 'formed'
  /** Volumes or pods of it exist and nobody remembers how far it was: it is treated as formed. */
  | 'forgotten'

export interface Model {
  readonly observed: Observed
  readonly cluster: RaftCluster
  readonly token: string
  /** Members of the cluster: as latched, or as the spec says before anything is. */
  readonly replicas: number
  readonly history: History
  readonly phase: MembershipPhase
  /** What it is or is going to be. */
  readonly clusterId: string
  /** Whether this pass knows that it has formed, by latch or by its members. */
  readonly hasFormed: boolean
  /** Names of ours that other objects hold. */
  readonly conflicts: readonly string[]
  /** Volumes under our names with another cluster's data. */
  readonly foreignClaims: readonly ClaimFacts[]
  readonly members: readonly MemberView[]
  readonly electorate: Electorate
  readonly freeze: Freeze | undefined
  /** Objects under our names that belong to this RaftCluster, by title. */
  readonly ours: ReadonlyMap<string, KubeObject>
  readonly statefulSet: KubeObject | undefined
  readonly hasFinalizer: boolean
  readonly isDeleting: boolean
  readonly render: RenderContext
}

export function buildModel(observed: Observed): Model {
  const { cluster, options } = observed
  const { uid, finalizers, deletionTimestamp } = cluster.metadata
  const token = cluster.status.bootstrap?.token ?? uid
  const replicas = cluster.status.bootstrap?.replicas ?? cluster.spec.replicas
  const ours = new Map([...observed.children].filter(([, object]) => isControlledBy(object, uid)))
  const recorded = recordedMembership(ours.get(MEMBERSHIP.title))
  const clusterId =
    cluster.status.clusterId ??
    recorded?.clusterId ??
    expectedClusterId(cluster, { token, replicas })
  const members = viewMembers(observed, { token, replicas, clusterId })
  const electorate = electorateOf(members, replicas)
  const statefulSet = ours.get(STATEFUL_SET.title)
  const hasFormed = cluster.status.clusterId !== undefined || electorate.hasFormed
  const ownClaims = observed.claims.filter(({ clusterUid }) => clusterUid === token)
  const history = historyOf({
    hasFormed,
    isLatched: cluster.status.bootstrap !== undefined,
    hasStatefulSet: statefulSet !== undefined,
    recordedPhase: recorded?.phase,
    hasClaims: ownClaims.length > 0,
  })
  const hasEverybodyData = members.every(({ report }) => report?.dataDirectory.state === 'Valid')
  const phase = phaseOf(history, { recordedPhase: recorded?.phase, hasEverybodyData })
  return {
    observed,
    cluster,
    token,
    replicas,
    history,
    phase,
    clusterId,
    hasFormed,
    conflicts: conflictsOf(observed, ours, replicas),
    foreignClaims: foreignClaimsOf(observed, token, replicas),
    members,
    electorate,
    freeze: freezeOf(members, { token, clusterId }),
    ours,
    statefulSet,
    hasFinalizer: finalizers?.includes(CLEANUP_FINALIZER) ?? false,
    isDeleting: deletionTimestamp !== undefined,
    render: { cluster, options, replicas, token, phase, clusterId },
  }
}

/**
 * A cluster is made only where there is nothing: the order of a first start is target, membership, StatefulSet, volumes, so
 * that a later one without an earlier one has been through more than a first start. To take such a cluster for a formed
 * one is always safe: members with data go on, and blank ones wait.
 */
function historyOf(known: {
  readonly hasFormed: boolean
  readonly isLatched: boolean
  readonly hasStatefulSet: boolean
  readonly recordedPhase: MembershipPhase | undefined
  readonly hasClaims: boolean
}): History {
  if (known.hasFormed) return 'formed'
  if (known.recordedPhase === 'Running' || known.recordedPhase === 'Completing') return 'forgotten'
  if (known.hasStatefulSet) {
    return known.recordedPhase === 'Bootstrapping' ? 'bootstrapping' : 'forgotten'
  }
  if (known.hasClaims) return 'forgotten'
  return known.isLatched ? 'bootstrapping' : 'none'
}

/** In one direction only, whoever is asked first after a restart. */
function phaseOf(
  history: History,
  known: {
    readonly recordedPhase: MembershipPhase | undefined
    readonly hasEverybodyData: boolean
  },
): MembershipPhase {
  if (history === 'none' || history === 'bootstrapping') return 'Bootstrapping'
  // Whoever has not started yet is slow or not scheduled, and must not be taken for one that lost its disk.
  const isMaking = known.recordedPhase === 'Bootstrapping' || known.recordedPhase === 'Completing'
  if (isMaking && !known.hasEverybodyData) return 'Completing'
  return 'Running'
}

/** What the members were told last. A file that does not parse was not written by us and counts as none. */
function recordedMembership(
  object: KubeObject | undefined,
): { readonly phase: MembershipPhase; readonly clusterId: string | undefined } | undefined {
  const data = object?.['data'] as Readonly<Record<string, unknown>> | undefined
  const text = data?.[MEMBERSHIP_FILE]
  if (typeof text !== 'string') return undefined
  const parsed = parseMembership(text)
  if (!parsed.ok) return undefined
  const { phase, formed, clusterId } = parsed.document
  if (phase !== 'Bootstrapping') return { phase: 'Running', clusterId }
  return { phase: formed === true ? 'Completing' : 'Bootstrapping', clusterId }
}

/** Of the names we want: one that we do not need may be anybody's. */
function conflictsOf(
  observed: Observed,
  ours: ReadonlyMap<string, KubeObject>,
  replicas: number,
): string[] {
  const { cluster, children } = observed
  return CHILDREN.filter(
    ({ title, isWanted }) => children.has(title) && !ours.has(title) && isWanted(cluster, replicas),
  ).map(({ title, nameOf }) => `${title} ${nameOf(cluster.metadata.name)}`)
}

/** One that does not say whose it is counts as foreign: nothing of ours was ever made without saying so. */
function foreignClaimsOf(observed: Observed, token: string, replicas: number): ClaimFacts[] {
  return observed.claims.filter(
    ({ clusterUid, ordinal }) => ordinal < replicas && clusterUid !== token,
  )
}

/** Names of the members there shall be, in the order of their ordinals. */
export function memberNames(cluster: RaftCluster, replicas: number): readonly string[] {
  return Array.from({ length: replicas }, (_, ordinal) =>
    memberName(cluster.metadata.name, ordinal),
  )
}
