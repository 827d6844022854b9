// By which revision of the renderer this cluster's pods are made. A newer operator could make the same spec into other pods,
// and every member would restart for it: so pods keep the revision that they were made by until the spec changes something
// that makes them anew anyway, or somebody approves. A revision that is newer than this operator is left as it is. Pure.

import { includes } from '../../api/canonical.ts'
import type { KubeObject } from '../../api/kube-object.ts'
import { APPLIED_ANNOTATION, RESTAMP_ANNOTATION, TEMPLATE_ANNOTATION } from '../../api/labels.ts'
import type { RaftCluster, RaftClusterStatus } from '../../api/raft-cluster.ts'
import { CONFIGURATION } from '../../resources/children.ts'
import { CONFIG_FILE_RENDERER, stamped } from '../../resources/render.ts'
import { buildStatefulSet, type StatefulSetContext } from '../../resources/stateful-set.ts'
import { NOTHING, type StepResult, stop } from '../actions.ts'
import type { Observed } from '../observed.ts'
import type { Facts } from './facts.ts'
import { wholeNumber } from './rendered-by.ts'
import type { Versions } from './revision.ts'

const SOON_SECONDS = 0.25

export interface Renderer {
  /** By which this pass renders. */
  readonly revision: number
  /** It is newer than this operator, which leaves what was made by it as it is. */
  readonly isForeign: boolean
  /** What the status shall say. */
  readonly intended: number
  /** By which the pods were made that a version can be taken back to, where that is another one. */
  readonly rollback: number | undefined
  /** A newer one begins as soon as that is on record, and the names that it needs have been looked at. */
  readonly isBeginning: boolean
  /** What keeps a newer one from being used. */
  readonly blockedBy?: string
}

/** The pods were made by a revision that this operator does not know. */
export function isForeign({ renderedBy = 0, observed, statefulSet }: Facts): boolean {
  return statefulSet !== undefined && renderedBy > observed.options.newestRenderer
}

/** `facts`: with the version that is wanted in the place of the spec's. */
export function rendererOf(facts: Facts, versions: Versions): Renderer {
  const { renderedBy: stored, cluster, observed } = facts
  const { newestRenderer: newest } = observed.options
  if (stored === undefined) return settledOn(newest, undefined)
  const rollback = rollbackOf(facts, versions)
  if (isForeign(facts)) return { ...settledOn(stored, rollback), isForeign: true }
  // Nothing runs that could be left as it is.
  if (stored > newest) return settledOn(newest, undefined)
  // What is taken back is taken back whole.
  if (versions.failed !== undefined)
    return settledOn(Math.min(stored, rollback ?? stored), rollback)
  const intended = targetOf(facts, stored)
  if (intended === stored) return settledOn(stored, rollback)
  const opened = { rollback: versions.rollback === undefined ? undefined : (rollback ?? stored) }
  const held = { revision: stored, isForeign: false, intended, ...opened }
  const hasLooked = (cluster.status.rendererRevision ?? newest) >= CONFIG_FILE_RENDERER
  if (!hasLooked) return { ...held, isBeginning: true }
  const { title, nameOf } = CONFIGURATION
  if (observed.children.has(title) && !facts.ours.has(title)) {
    return { ...held, isBeginning: false, blockedBy: `ConfigMap ${nameOf(cluster.metadata.name)}` }
  }
  return { ...held, revision: intended, isBeginning: false }
}

function settledOn(revision: number, rollback: number | undefined): Renderer {
  return { revision, isForeign: false, intended: revision, rollback, isBeginning: false }
}

/** As it was latched, as long as the way back leads to the same version. */
function rollbackOf({ cluster }: Facts, versions: Versions): number | undefined {
  const { rollbackVersion, rollbackRendererRevision } = cluster.status
  if (versions.rollback === undefined || versions.rollback !== rollbackVersion) return undefined
  return rollbackRendererRevision
}

/** The newest when the pods are made anew anyway; the one that somebody has approved; else the one there is. */
function targetOf(facts: Facts, stored: number): number {
  const { newestRenderer: newest } = facts.observed.options
  if (stored >= newest) return stored
  const { statefulSet } = facts
  if (statefulSet !== undefined && !isMadeBy(statefulSet, facts, stored)) return newest
  return Math.max(stored, Math.min(newest, approvedRevision(facts.cluster) ?? stored))
}

function approvedRevision({ metadata }: RaftCluster): number | undefined {
  return wholeNumber(metadata.annotations?.[RESTAMP_ANNOTATION])
}

/** The template is the one that this revision makes of the spec as it is now. */
function isMadeBy(live: KubeObject, facts: Facts, renderer: number): boolean {
  const { cluster, observed, token } = facts
  const { annotations } = live.metadata
  const context = { cluster, options: observed.options, renderer, token }
  const made = buildStatefulSet({ ...context, replicas: 0 })
  const mark = annotations?.[TEMPLATE_ANNOTATION]
  if (mark !== undefined) return mark === made.metadata.annotations?.[TEMPLATE_ANNOTATION]
  // Revision 1 has a mark of the whole object only, in which the number of pods is the one thing that is no part of it.
  const applied = annotations?.[APPLIED_ANNOTATION]
  if (applied === undefined) return includes(templateIn(live), templateIn(made))
  return COUNTS.some((replicas) => applied === appliedMark({ ...context, replicas }))
}

/** More pods than a cluster ever has. */
const COUNTS = Array.from({ length: 12 }, (_, count) => count)

function appliedMark(context: StatefulSetContext): string | undefined {
  return stamped(buildStatefulSet(context)).metadata.annotations?.[APPLIED_ANNOTATION]
}

function templateIn(object: KubeObject): unknown {
  return (object['spec'] as { readonly template?: unknown } | undefined)?.template
}

/** What this cluster asks for and its pods cannot be told, made as they are. */
export function waitsForRestamp({ cluster, renderer }: Known): boolean {
  if (renderer.isForeign || renderer.revision >= CONFIG_FILE_RENDERER) return false
  const { quotaBackendBytes, autoCompaction } = cluster.spec.server
  return quotaBackendBytes !== undefined || autoCompaction !== undefined
}

interface Known {
  readonly cluster: RaftCluster
  readonly renderer: Renderer
}

/** How somebody has the pods made anew by the newest revision; undefined when they are. */
export function restampHint(known: Known & { readonly observed: Observed }): string | undefined {
  const { cluster, renderer, observed } = known
  const { newestRenderer: newest } = observed.options
  if (renderer.isForeign || renderer.revision >= newest) return undefined
  if (renderer.blockedBy !== undefined) {
    return `${renderer.blockedBy} exists and does not belong to this RaftCluster, which needs the name: delete it`
  }
  const { name, namespace } = cluster.metadata
  return (
    'to have them made anew, one after the other: ' +
    `kubectl annotate raftcluster ${name} -n ${namespace} --overwrite ${RESTAMP_ANNOTATION}=${newest}`
  )
}

export function rendererStatus({
  renderer,
}: {
  readonly renderer: Renderer
}): Pick<RaftClusterStatus, 'rendererRevision' | 'rollbackRendererRevision'> {
  const { intended, rollback } = renderer
  return {
    rendererRevision: intended,
    ...(rollback === undefined ? {} : { rollbackRendererRevision: rollback }),
  }
}

/** The template is written once, by the newer revision: not first by the older one. */
export function planRenderer({ renderer }: { readonly renderer: Renderer }): StepResult {
  return renderer.isBeginning ? stop(SOON_SECONDS, 'Restamp') : NOTHING
}
