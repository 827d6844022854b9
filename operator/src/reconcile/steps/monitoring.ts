// The PodMonitor and the PrometheusRule of a cluster that asks for them: made and kept where their kinds exist, gone again when
// they are not asked for any more. Nothing waits for them: a cluster without monitoring serves all the same. Pure.

import type { FindingOf } from '../../api/conditions.ts'
import type { KubeObject, ResourceType } from '../../api/kube-object.ts'
import { isControlledBy } from '../../api/labels.ts'
import type { RaftCluster } from '../../api/raft-cluster.ts'
import { POD_MONITORS, PROMETHEUS_RULES } from '../../api/resource-types.ts'
import { buildPodMonitor, buildPrometheusRule } from '../../resources/monitors.ts'
import type { Action } from '../actions.ts'
import type { MonitorFacts } from '../observed.ts'
import { differenceOf } from './foundations.ts'
import type { Model } from './model.ts'

interface Monitor {
  readonly type: ResourceType
  readonly facts: MonitorFacts
  readonly isWanted: boolean
  readonly build: () => KubeObject
}

/** Nothing else may depend on them, so that they can come after a step that waits for something. */
export function planMonitoring(model: Model): readonly Action[] {
  return monitorsOf(model).flatMap((monitor) => actionsFor(model.cluster, monitor))
}

function monitorsOf({ cluster, observed }: Model): readonly Monitor[] {
  const { monitors, options } = observed
  if (monitors === undefined) return []
  const { podMonitor, prometheusRule } = cluster.spec.monitoring
  return [
    {
      type: POD_MONITORS,
      facts: monitors.podMonitor,
      isWanted: podMonitor.enabled,
      build: () => buildPodMonitor(cluster),
    },
    {
      type: PROMETHEUS_RULES,
      facts: monitors.prometheusRule,
      isWanted: prometheusRule.enabled,
      build: () => buildPrometheusRule(cluster, options.docsUrl),
    },
  ]
}

function actionsFor(cluster: RaftCluster, monitor: Monitor): readonly Action[] {
  const { type, facts, isWanted, build } = monitor
  const { live, problem, refusal } = facts
  const { name } = cluster.metadata
  const base = { title: type.kind, resource: type } as const
  if (problem !== undefined || refusal?.isRecent === true) return []
  if (live?.metadata.deletionTimestamp !== undefined) return []
  if (isForeign(cluster, monitor)) return []
  if (!isWanted) {
    if (live === undefined) return []
    return [{ type: 'deleteChild', ...base, name, uid: live.metadata.uid ?? '' }]
  }
  const object = build()
  if (live === undefined) return [{ type: 'apply', ...base, object, why: 'create' }]
  const why = differenceOf(live, object)
  if (why === undefined) return []
  const metadata = { ...object.metadata, ...pickUid(live) }
  return [{ type: 'apply', ...base, object: { ...object, metadata }, why }]
}

function pickUid({ metadata: { uid } }: KubeObject): { readonly uid?: string } {
  return uid === undefined ? {} : { uid }
}

/** Somebody else's, which is left alone. */
function isForeign({ metadata: { uid } }: RaftCluster, { facts: { live } }: Monitor): boolean {
  return live !== undefined && !isControlledBy(live, uid)
}

/** Undefined for a cluster that asks for none, once none is left. */
export function monitoringReady(model: Model): FindingOf<'MonitoringReady'> | undefined {
  const monitors = monitorsOf(model)
  const wanted = monitors.filter(({ isWanted }) => isWanted)
  // What could not be read may still be there: it is told, and asked for, until that is known.
  const leaving = monitors.filter((one) => {
    const { live, refusal } = one.facts
    if (one.isWanted || isForeign(model.cluster, one)) return false
    return live !== undefined || refusal !== undefined
  })
  if (wanted.length === 0 && leaving.length === 0) return undefined
  return obstacle(model, [...wanted, ...leaving], wanted) ?? progress(model, wanted, leaving)
}

/** What somebody else has to do something about. */
function obstacle(
  { cluster }: Model,
  monitors: readonly Monitor[],
  wanted: readonly Monitor[],
): FindingOf<'MonitoringReady'> | undefined {
  const base = { type: 'MonitoringReady', status: 'False' } as const
  const absent = wanted.filter(({ facts }) => facts.problem === 'NotInstalled')
  if (absent.length > 0) {
    const message = `${titlesOf(cluster, absent)}: the Prometheus operator is not installed`
    return { ...base, reason: 'NotInstalled', message }
  }
  const forbidden = wanted.filter(({ facts }) => facts.problem === 'Forbidden')
  if (forbidden.length > 0) {
    const message = `${titlesOf(cluster, forbidden)}: not allowed; rbac.monitoring of the operator's chart`
    return { ...base, reason: 'Forbidden', message }
  }
  const foreign = wanted.filter((one) => isForeign(cluster, one))
  if (foreign.length > 0) {
    const message = `of somebody else: ${titlesOf(cluster, foreign)}`
    return { ...base, reason: 'NameConflict', message }
  }
  const refused = monitors.flatMap(({ type: { kind }, facts: { refusal } }) =>
    refusal === undefined ? [] : [`${kind}: ${refusal.message}`],
  )
  if (refused.length === 0) return undefined
  return { ...base, reason: 'Rejected', message: refused.join('; ') }
}

function progress(
  { cluster }: Model,
  wanted: readonly Monitor[],
  leaving: readonly Monitor[],
): FindingOf<'MonitoringReady'> {
  const type = 'MonitoringReady'
  const pending = wanted.filter((one) => {
    const { live } = one.facts
    if (live === undefined || live.metadata.deletionTimestamp !== undefined) return true
    return actionsFor(cluster, one).length > 0
  })
  const doing = [
    ...(pending.length === 0 ? [] : [`to be written: ${titlesOf(cluster, pending)}`]),
    ...(leaving.length === 0 ? [] : [`to be deleted: ${titlesOf(cluster, leaving)}`]),
  ]
  if (doing.length > 0) {
    return { type, status: 'False', reason: 'Applying', message: doing.join('; ') }
  }
  const message = `as it shall be: ${titlesOf(cluster, wanted)}`
  return { type, status: 'True', reason: 'Applied', message }
}

function titlesOf({ metadata: { name } }: RaftCluster, monitors: readonly Monitor[]): string {
  return monitors.map(({ type: { kind } }) => `${kind} ${name}`).join(' and ')
}
