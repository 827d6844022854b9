// What the facts of a pass mean, once, for every step and for the status: who the cluster is made of, who leads, whether it
// has a history, and what must not be touched. Nothing here comes from the status but its latches.
// Pure.

import {
  type MembershipDocument,
  parseMembership,
  splitInitialCluster,
} from '../../../../lib/membership-file.ts'
import type { KubeObject } from '../../api/kube-object.ts'
import { CLEANUP_FINALIZER, isControlledBy } from '../../api/labels.ts'
import { expectedClusterId, ordinalOf } from '../../api/names.ts'
import type { RaftCluster } from '../../api/raft-cluster.ts'
import { CHILDREN, MEMBERSHIP, STATEFUL_SET } from '../../resources/children.ts'
import { MEMBERSHIP_FILE } from '../../resources/config-map.ts'
import type { MembershipPhase } from '../../resources/render.ts'
import type { ClaimFacts, MemberReport, Observed } from '../observed.ts'
import { freezeOf, type Freeze } from './freeze.ts'
import { electorateOf, type Electorate } from './electorate.ts'
import { type MemberView, reportsOf, viewMembers } from './members.ts'
import { storedRenderer } from './rendered-by.ts'
import { ordinalsBelow, type Roster, rosterOf } from './roster.ts'

const FOUNDERS_MAX = 9

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

/** What is known before anything is decided. */
export interface Facts {
  readonly observed: Observed
  readonly cluster: RaftCluster
  readonly token: string
  /** Members the cluster was made of, or is going to be. */
  readonly founders: number
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
  readonly roster: Roster
  /** The roster is what a leader of this very pass has applied, whom a majority confirms. */
  readonly isRosterCurrent: boolean
  /** By ordinal, everybody that there is or was lately. */
  readonly views: readonly MemberView[]
  /** Of the roster. */
  readonly members: readonly MemberView[]
  readonly electorate: Electorate
  readonly freeze: Freeze | undefined
  /** Objects under our names that belong to this RaftCluster, by title. */
  readonly ours: ReadonlyMap<string, KubeObject>
  readonly statefulSet: KubeObject | undefined
  /** The revision of the renderer that the pods there are were made by; undefined: there are none. */
  readonly renderedBy: number | undefined
  readonly recorded: MembershipDocument | undefined
  readonly hasFinalizer: boolean
  readonly isDeleting: boolean
}

export function gatherFacts(observed: Observed): Facts {
  const { cluster } = observed
  const { uid, finalizers, deletionTimestamp } = cluster.metadata
  const token = cluster.status.bootstrap?.token ?? uid
  const ours = new Map([...observed.children].filter(([, object]) => isControlledBy(object, uid)))
  const told = recordedMembership(ours.get(MEMBERSHIP.title))
  const reports = reportsOf(observed)
  const founders = foundersOf(cluster, { token, recorded: told?.document, reports })
  const clusterId =
    cluster.status.clusterId ??
    told?.document.clusterId ??
    expectedClusterId(cluster, { token, replicas: founders })
  const recorded = told?.document
  const roster = rosterOf(reports, { cluster, token, clusterId, recorded, founders })
  const count = Math.max(
    ordinalsBelow(roster.entries),
    (ordinalOf(cluster.metadata.name, cluster.status.operation?.member ?? '') ?? -1) + 1,
    ...observed.pods.map(({ ordinal }) => ordinal + 1),
  )
  const views = viewMembers(observed, { roster, count, clusterId })
  const members = views.filter(({ entry }) => entry !== undefined)
  const electorate = electorateOf(views, roster)
  const statefulSet = ours.get(STATEFUL_SET.title)
  const renderedBy = storedRenderer(statefulSet, observed)
  const hasFormed = cluster.status.clusterId !== undefined || electorate.hasFormed
  const history = historyOf({
    hasFormed,
    isLatched: cluster.status.bootstrap !== undefined,
    hasStatefulSet: statefulSet !== undefined,
    recordedPhase: told?.phase,
    hasClaims: observed.claims.some(({ clusterUid }) => clusterUid === token),
  })
  const hasEverybodyData = members.every(({ report }) => report?.dataDirectory.state === 'Valid')
  return {
    observed,
    cluster,
    token,
    founders,
    history,
    phase: phaseOf(history, { recordedPhase: told?.phase, hasEverybodyData }),
    clusterId,
    hasFormed,
    conflicts: conflictsOf(observed, ours, {
      voters: Math.max(founders, cluster.spec.replicas),
      renderer: renderedBy ?? observed.options.newestRenderer,
    }),
    foreignClaims: foreignClaimsOf(observed, token, founders),
    roster,
    isRosterCurrent: isCurrent(roster, electorate),
    views,
    members,
    electorate,
    freeze: freezeOf(views, { cluster, token, clusterId }),
    ours,
    statefulSet,
    renderedBy,
    recorded,
    hasFinalizer: finalizers?.includes(CLEANUP_FINALIZER) ?? false,
    isDeleting: deletionTimestamp !== undefined,
  }
}

function isCurrent({ epoch }: Roster, { leader }: Electorate): boolean {
  const member = leader?.member
  return member?.isFresh === true && epoch !== undefined && member.report?.membershipEpoch === epoch
}

/** As latched, else as it can be found out again: its id is a function of it. */
function foundersOf(
  cluster: RaftCluster,
  known: {
    readonly token: string
    readonly recorded: MembershipDocument | undefined
    readonly reports: ReadonlyMap<string, MemberReport>
  },
): number {
  const { token, recorded, reports } = known
  const latched = cluster.status.bootstrap?.replicas
  if (latched !== undefined) return latched
  if (recorded !== undefined) return splitInitialCluster(recorded.initialCluster).length
  const ids = new Set([
    cluster.status.clusterId,
    ...[...reports.values()].map((one) => one.clusterId),
  ])
  for (let replicas = 1; replicas <= FOUNDERS_MAX; replicas += 1) {
    if (ids.has(expectedClusterId(cluster, { token, replicas }))) return replicas
  }
  return cluster.spec.replicas
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
): { readonly phase: MembershipPhase; readonly document: MembershipDocument } | undefined {
  const data = object?.['data'] as Readonly<Record<string, unknown>> | undefined
  const text = data?.[MEMBERSHIP_FILE]
  if (typeof text !== 'string') return undefined
  const parsed = parseMembership(text)
  if (!parsed.ok) return undefined
  const { document } = parsed
  if (document.phase !== 'Bootstrapping') return { phase: 'Running', document }
  return { phase: document.formed === true ? 'Completing' : 'Bootstrapping', document }
}

/** Of the names we want: one that we do not need may be anybody's. */
function conflictsOf(
  observed: Observed,
  ours: ReadonlyMap<string, KubeObject>,
  size: { readonly voters: number; readonly renderer: number },
): string[] {
  const { cluster, children } = observed
  return CHILDREN.filter(
    ({ title, isWanted }) => children.has(title) && !ours.has(title) && isWanted(cluster, size),
  ).map(({ title, nameOf }) => `${title} ${nameOf(cluster.metadata.name)}`)
}

/** One that does not say whose it is counts as foreign: nothing of ours was ever made without saying so. */
function foreignClaimsOf(observed: Observed, token: string, founders: number): ClaimFacts[] {
  return observed.claims.filter(
    ({ clusterUid, ordinal }) => ordinal < founders && clusterUid !== token,
  )
}
