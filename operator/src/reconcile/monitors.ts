// What there is of a cluster's PodMonitor and PrometheusRule, and whether there can be any: their kinds are the Prometheus
// operator's, which may come and go, and the right to them is given or not. A cluster does not wait for what watches it: what was
// read is used for minutes, and what cannot be read or written is told instead of failing the pass. Reads only.

import type { Clock } from '../../../lib/clock.ts'
import { conditionOf } from '../api/conditions.ts'
import type { ResourceType } from '../api/kube-object.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { POD_MONITORS, PROMETHEUS_RULES } from '../api/resource-types.ts'
import { isKubeError, saidBy } from '../kube/errors.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import type { MonitorFacts, MonitorsObserved } from './observed.ts'

/** What somebody else deletes or changes is set back within this time. */
const READ_AGAIN_MS = 5 * 60_000
/** A kind or a right that was missing, for all clusters: hundreds of them must not each ask anew. */
const MISSING_AGAIN_MS = 10_000
/** Before what was refused is tried again: by a webhook that is down, for instance. */
const TRY_AGAIN_MS = 60_000

type Problem = NonNullable<MonitorFacts['problem']>
/** What there is, or why there can be none. */
type Found = Pick<MonitorFacts, 'live' | 'problem'>

interface Missing {
  readonly problem: Problem
  readonly atMs: number
}

interface Refused {
  readonly message: string
  readonly atMs: number
  readonly generation: number
  /** It could not even be read; what there was the last time it could. */
  readonly unread?: Found
}

interface Remembered {
  readonly atMs: number
  readonly generation: number
  readonly found: Found
}

export class Monitors {
  readonly #options: { readonly api: KubeApi; readonly clock: Clock }
  /** By uid of the RaftCluster and kind. */
  readonly #remembered = new Map<string, Remembered>()
  /** By uid of the RaftCluster and kind. */
  readonly #refused = new Map<string, Refused>()
  /** By kind, or by kind and namespace. */
  readonly #missing = new Map<string, Missing>()

  constructor(options: { readonly api: KubeApi; readonly clock: Clock }) {
    this.#options = options
  }

  /** Undefined for a cluster that has none and wants none. */
  async look(cluster: RaftCluster, signal: AbortSignal): Promise<MonitorsObserved | undefined> {
    const { podMonitor, prometheusRule } = cluster.spec.monitoring
    const isWanted = podMonitor.enabled || prometheusRule.enabled
    const isTold = conditionOf(cluster.status.conditions, 'MonitoringReady') !== undefined
    if (!isWanted && !isTold) {
      this.forget(cluster.metadata.uid)
      return undefined
    }
    return {
      podMonitor: await this.#factsOf(cluster, POD_MONITORS, signal),
      prometheusRule: await this.#factsOf(cluster, PROMETHEUS_RULES, signal),
    }
  }

  /** The cluster is gone, or has no monitors. */
  forget(uid: string): void {
    for (const type of [POD_MONITORS, PROMETHEUS_RULES]) {
      this.#remembered.delete(entryOf(uid, type))
      this.#refused.delete(entryOf(uid, type))
    }
  }

  /** It was written or deleted, or somebody else was faster: what was read of it is of before. */
  written({ metadata: { uid } }: RaftCluster, type: ResourceType): void {
    this.#remembered.delete(entryOf(uid, type))
    this.#refused.delete(entryOf(uid, type))
  }

  /** It is said, and tried again later, or at once when the spec has changed. */
  refused(
    { metadata: { uid, generation } }: RaftCluster,
    type: ResourceType,
    message: string,
  ): void {
    const atMs = this.#options.clock.monotonicMs()
    this.#refused.set(entryOf(uid, type), { message, atMs, generation })
  }

  async #factsOf(
    cluster: RaftCluster,
    type: ResourceType,
    signal: AbortSignal,
  ): Promise<MonitorFacts> {
    const found = await this.#find(cluster, type, signal)
    const { uid, generation } = cluster.metadata
    const refused = this.#refused.get(entryOf(uid, type))
    if (refused === undefined || refused.generation !== generation) return found
    const isRecent = this.#isWithin(TRY_AGAIN_MS, refused.atMs)
    return { ...found, refusal: { message: refused.message, isRecent } }
  }

  async #find(cluster: RaftCluster, type: ResourceType, signal: AbortSignal): Promise<Found> {
    const { uid, namespace, generation } = cluster.metadata
    const problem = this.#missingOf(type.kind) ?? this.#missingOf(entryOf(namespace, type))
    if (problem !== undefined) return { problem }
    const entry = entryOf(uid, type)
    const [known, refused] = [this.#remembered.get(entry), this.#refused.get(entry)]
    if (known?.generation === generation && this.#isWithin(READ_AGAIN_MS, known.atMs)) {
      return known.found
    }
    if (refused?.unread !== undefined && refused.generation === generation) {
      if (this.#isWithin(TRY_AGAIN_MS, refused.atMs)) return refused.unread
    }
    const atMs = this.#options.clock.monotonicMs()
    try {
      const found = await this.#read(cluster, type, signal)
      this.#remembered.set(entry, { atMs, generation, found })
      if (refused?.unread !== undefined) this.#refused.delete(entry)
      return found
    } catch (error) {
      this.#remembered.delete(entry)
      if (isKubeError(error, 'notFound')) return this.#misses(type.kind, 'NotInstalled')
      if (isKubeError(error, 'forbidden')) {
        return this.#misses(entryOf(namespace, type), 'Forbidden')
      }
      if (!isKubeError(error) || error.code === 'aborted') throw error
      const unread = known?.found ?? refused?.unread ?? {}
      this.#refused.set(entry, { message: saidBy(error), atMs, generation, unread })
      return unread
    }
  }

  async #read(
    { metadata: { namespace, name } }: RaftCluster,
    type: ResourceType,
    signal: AbortSignal,
  ): Promise<Found> {
    const { api } = this.#options
    const live = await api.get(type, { namespace, name }, { signal })
    if (live !== undefined) return { live }
    // Absent is the object or its kind: only a list tells which.
    await api.list(type, { namespace, limit: 1, signal })
    return {}
  }

  #missingOf(entry: string): Problem | undefined {
    const known = this.#missing.get(entry)
    return known !== undefined && this.#isWithin(MISSING_AGAIN_MS, known.atMs)
      ? known.problem
      : undefined
  }

  #misses(entry: string, problem: Problem): Found {
    for (const [other, { atMs }] of this.#missing) {
      if (!this.#isWithin(MISSING_AGAIN_MS, atMs)) this.#missing.delete(other)
    }
    this.#missing.set(entry, { problem, atMs: this.#options.clock.monotonicMs() })
    return { problem }
  }

  #isWithin(spanMs: number, sinceMs: number): boolean {
    return this.#options.clock.monotonicMs() - sinceMs < spanMs
  }
}

function entryOf(of: string, { kind }: ResourceType): string {
  return `${of}/${kind}`
}
