// Every metric of the operator (docs/metrics.md lists them): of its process, of what it asks and hears of the API server,
// of its queue, and of each cluster, the latter read from the statuses in the cache when they are scraped.

import type { Clock } from '../../lib/clock.ts'
import type { Counter, Family, Histogram, Registry, Sample } from '../../lib/metrics.ts'
import type { KubeObject } from './api/kube-object.ts'
import type { ControllerObserver } from './controller/controller.ts'
import type { InformerObserver } from './controller/informer.ts'
import type { WorkQueueObserver } from './controller/work-queue.ts'
import type { AnsweredRequest } from './kube/client.ts'

const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const CLUSTER_SERIES_MAX = 10_000
const RESULTS = ['done', 'wait', 'retry', 'terminal', 'error'] as const

/** What is asked when somebody scrapes; the parts it asks are made later than the metrics. */
export interface OperatorFigures {
  readonly isLeader: () => boolean
  readonly queueDepth: () => number
  readonly openStreams: () => number
  /** RaftClusters as the cache has them. */
  readonly clusters: () => readonly KubeObject[]
  readonly wallMs: () => number
}

interface InformerState {
  synced: number
  readonly count: { informers: number }
  heardAtMs: number
}

export class OperatorMetrics implements ControllerObserver {
  readonly #clock: Clock
  readonly #informers = new Map<string, InformerState>()
  readonly #requests: Family<Counter>
  readonly #requestSeconds: Histogram
  readonly #restarts: Family<Counter>
  readonly #missed: Family<Counter>
  readonly #reconciles: Family<Counter>
  readonly #reconcileSeconds: Histogram
  readonly #latency: Histogram
  readonly #retries: Counter
  readonly #events: Family<Counter>

  constructor(registry: Registry, options: { readonly clock: Clock; readonly version: string }) {
    this.#clock = options.clock
    registry.gaugeFrom(
      {
        name: 'raftbase_operator_build_info',
        help: 'Always 1; the label says what is running.',
        labelNames: ['version'],
      },
      () => [{ labels: [options.version], value: 1 }],
    )
    this.#requests = registry.counterFamily({
      name: 'raftbase_operator_api_requests_total',
      help: 'Requests to the API server by verb and HTTP status, or our error code without one.',
      labelNames: ['verb', 'code'],
    })
    this.#requestSeconds = registry.histogram({
      name: 'raftbase_operator_api_request_duration_seconds',
      help: 'From sending a request to the API server to the head of its answer.',
      bounds: SECONDS,
    })
    this.#restarts = registry.counterFamily({
      name: 'raftbase_operator_watch_restarts_total',
      help: 'Watches that ended and were started again, by kind and reason.',
      labelNames: ['kind', 'reason'],
    })
    this.#missed = registry.counterFamily({
      name: 'raftbase_operator_relist_missed_objects_total',
      help: 'Differences a periodic list found although the watch had come past them.',
      labelNames: ['kind'],
    })
    this.#informerFigures(registry)
    const work = registerWork(registry)
    this.#reconciles = work.reconciles
    this.#reconcileSeconds = work.reconcileSeconds
    this.#latency = work.latency
    this.#retries = work.retries
    this.#events = work.events
  }

  readonly queue: WorkQueueObserver = {
    waited: (durationMs) => this.#latency.observe(durationMs / 1000),
    retried: () => this.#retries.increment(),
  }

  informer(kind: string): InformerObserver {
    let state = this.#informers.get(kind)
    if (state === undefined) {
      state = { synced: 0, count: { informers: 0 }, heardAtMs: this.#clock.monotonicMs() }
      this.#informers.set(kind, state)
    }
    const { count } = state
    const kept = state
    count.informers++
    this.#missed.labelled(kind)
    return {
      synced: (isSynced) => (kept.synced += isSynced ? 1 : -1),
      heard: () => (kept.heardAtMs = this.#clock.monotonicMs()),
      restarted: (reason) => this.#restarts.labelled(kind, reason).increment(),
      missed: (missedCount) => this.#missed.labelled(kind).increment(missedCount),
    }
  }

  reconciled(result: (typeof RESULTS)[number], durationMs: number): void {
    this.#reconciles.labelled(result).increment()
    this.#reconcileSeconds.observe(durationMs / 1000)
  }

  requested({ verb, code, durationMs }: AnsweredRequest): void {
    this.#requests.labelled(verb, code).increment()
    this.#requestSeconds.observe(durationMs / 1000)
  }

  eventEnded(outcome: 'written' | 'dropped'): void {
    this.#events.labelled(outcome).increment()
  }

  #informerFigures(registry: Registry): void {
    const nowMs = () => this.#clock.monotonicMs()
    const samples = (read: (state: InformerState) => number) => () =>
      [...this.#informers].map(([kind, state]): Sample => ({ labels: [kind], value: read(state) }))
    registry.gaugeFrom(
      {
        name: 'raftbase_operator_informer_synced',
        help: 'Whether the cache of a kind is complete.',
        labelNames: ['kind'],
      },
      samples(({ synced, count }) => (synced === count.informers ? 1 : 0)),
    )
    registry.gaugeFrom(
      {
        name: 'raftbase_operator_informer_last_event_age_seconds',
        help: 'Since the API server was last heard of about a kind; above two minutes something is wrong.',
        labelNames: ['kind'],
      },
      samples(({ heardAtMs }) => (nowMs() - heardAtMs) / 1000),
    )
  }
}

/** What is counted of passes, of the queue they come from and of the events they tell. */
function registerWork(registry: Registry) {
  const reconciles = registry.counterFamily({
    name: 'raftbase_operator_reconcile_total',
    help: 'Passes over a RaftCluster by how they ended.',
    labelNames: ['result'],
  })
  const reconcileSeconds = registry.histogram({
    name: 'raftbase_operator_reconcile_duration_seconds',
    help: 'How long a pass took.',
    bounds: SECONDS,
  })
  const latency = registry.histogram({
    name: 'raftbase_operator_workqueue_latency_seconds',
    help: 'How long a RaftCluster that was due waited for a worker.',
    bounds: SECONDS,
  })
  const retries = registry.counter({
    name: 'raftbase_operator_workqueue_retries_total',
    help: 'Passes that failed and were put off.',
  })
  const events = registry.counterFamily({
    name: 'raftbase_operator_events_total',
    help: 'Events by whether they were written or dropped.',
    labelNames: ['outcome'],
  })
  // A result that never happened is told as zero.
  for (const result of RESULTS) reconciles.labelled(result)
  return { reconciles, reconcileSeconds, latency, retries, events }
}

/** Registers what is asked when it is scraped. */
export function registerOperatorFigures(registry: Registry, figures: OperatorFigures): void {
  registry.gaugeFrom(
    { name: 'raftbase_operator_leader', help: 'Whether this process is the one that acts.' },
    () => (figures.isLeader() ? 1 : 0),
  )
  registry.gaugeFrom(
    { name: 'raftbase_operator_workqueue_depth', help: 'RaftClusters that wait for a worker.' },
    figures.queueDepth,
  )
  registry.gaugeFrom(
    {
      name: 'raftbase_operator_open_status_streams',
      help: 'Status streams of members that are connected.',
    },
    figures.openStreams,
  )
  registerClusterFigures(registry, figures)
}

/** What the statuses of RaftClusters say, as the cache has them. */
function registerClusterFigures(registry: Registry, figures: OperatorFigures): void {
  const perCluster: PerCluster = (rest, help, options) => {
    const labelNames = ['namespace', 'name', ...(options.labels ?? [])]
    registry.gaugeFrom(
      { name: `raftbase_operator_${rest}`, help, labelNames, seriesMax: CLUSTER_SERIES_MAX },
      () =>
        figures.clusters().flatMap((object) => {
          const { namespace = '', name: cluster } = object.metadata
          return options
            .read(statusOf(object))
            .map(([labels, value]): Sample => ({ labels: [namespace, cluster, ...labels], value }))
        }),
    )
  }
  perCluster('cluster_phase', 'Always 1; the label says how the cluster is.', {
    labels: ['phase'],
    read: ({ phase }) => (phase === undefined ? [] : [[[phase], 1]]),
  })
  perCluster('cluster_members', 'Members of the cluster by role.', {
    labels: ['role'],
    read: ({ members }) =>
      [...countBy(members.map(({ role }) => role))].map(([role, count]) => [[role], count]),
  })
  perCluster('cluster_quorum_margin', 'Healthy voters beyond the majority; below 0 it is lost.', {
    read: ({ members, voterCount }) => {
      if (voterCount === undefined || voterCount === 0) return []
      const healthy = members.filter(({ role, isHealthy }) => isHealthy && VOTERS.has(role)).length
      return [[[], healthy - (Math.floor(voterCount / 2) + 1)]]
    },
  })
  perCluster('cluster_condition', 'Always 1; the labels say what a condition says, and why.', {
    labels: ['type', 'status', 'reason'],
    read: ({ conditions }) =>
      conditions.flatMap(({ type, status, reason }) =>
        SHOWN_CONDITIONS.has(type) ? [[[type, status, reason], 1] as const] : [],
      ),
  })
  perCluster('cluster_operation_seconds', 'How long the step that is under way has taken so far.', {
    labels: ['type', 'step'],
    read: ({ operation }) => {
      if (operation === undefined) return []
      const { type, step, sinceMs } = operation
      return [[[type, step], Math.max(0, (figures.wallMs() - sinceMs) / 1000)]]
    },
  })
  certificateFigures(perCluster)
  perCluster('cluster_out_of_date_pods', 'Pods that do not run the current template yet.', {
    read: ({ podCount, updatedCount }) =>
      podCount === undefined || updatedCount === undefined ? [] : [[[], podCount - updatedCount]],
  })
}

function certificateFigures(perCluster: PerCluster): void {
  perCluster('cluster_certificate_start_timestamp_seconds', 'From when on a certificate is good.', {
    labels: ['role'],
    read: ({ certificates }) => certificates.map(({ role, notBefore }) => [[role], notBefore]),
  })
  perCluster('cluster_certificate_expiry_timestamp_seconds', 'Until when a certificate is good.', {
    labels: ['role'],
    read: ({ certificates }) => certificates.map(({ role, notAfter }) => [[role], notAfter]),
  })
}

/** Registers a gauge of each cluster, under our prefix. */
type PerCluster = (
  rest: string,
  help: string,
  options: {
    readonly labels?: readonly string[]
    /** Values of the labels, and the figure. */
    readonly read: (status: StatusFields) => readonly (readonly [readonly string[], number])[]
  },
) => void

/** Those that somebody may want to be woken for; the others are what these are made of. */
const SHOWN_CONDITIONS: ReadonlySet<string> = new Set([
  'Ready',
  'Progressing',
  'TLSReady',
  'Degraded',
])

const VOTERS: ReadonlySet<string> = new Set(['Leader', 'Follower', 'Candidate'])

interface StatusFields {
  readonly phase: string | undefined
  readonly voterCount: number | undefined
  readonly podCount: number | undefined
  readonly updatedCount: number | undefined
  readonly conditions: readonly Readonly<Record<'type' | 'status' | 'reason', string>>[]
  readonly members: readonly { readonly role: string; readonly isHealthy: boolean }[]
  /** What is under way, and since when its step is. */
  readonly operation:
    | { readonly type: string; readonly step: string; readonly sinceMs: number }
    | undefined
  /** Seconds since 1970. */
  readonly certificates: readonly {
    readonly role: string
    readonly notBefore: number
    readonly notAfter: number
  }[]
}

/** A status is data from outside: what is not what it should be is left out. */
function statusOf(object: KubeObject): StatusFields {
  const status = recordOf(object['status'])
  const { phase, votingMembers, replicas, updatedReplicas, members, conditions } = status
  return {
    phase: typeof phase === 'string' ? phase : undefined,
    operation: operationOf(recordOf(status['operation'])),
    voterCount: typeof votingMembers === 'number' ? votingMembers : undefined,
    podCount: typeof replicas === 'number' ? replicas : undefined,
    updatedCount: typeof updatedReplicas === 'number' ? updatedReplicas : undefined,
    conditions: (Array.isArray(conditions) ? conditions : []).flatMap((item: unknown) => {
      const { type, status: value, reason } = recordOf(item)
      const isText = [type, value, reason].every((one) => typeof one === 'string')
      return isText
        ? [{ type: type as string, status: value as string, reason: reason as string }]
        : []
    }),
    members: (Array.isArray(members) ? members : []).map((item: unknown) => {
      const { role, healthy } = recordOf(item)
      return { role: typeof role === 'string' ? role : 'Unknown', isHealthy: healthy === true }
    }),
    certificates: (Array.isArray(status['certificates']) ? status['certificates'] : []).flatMap(
      (item: unknown) => {
        const { role, notBefore, notAfter } = recordOf(item)
        const [from, to] = [secondsOf(notBefore), secondsOf(notAfter)]
        if (typeof role !== 'string' || from === undefined || to === undefined) return []
        return [{ role, notBefore: from, notAfter: to }]
      },
    ),
  }
}

function operationOf(record: Readonly<Record<string, unknown>>): StatusFields['operation'] {
  const { type, step, startedAt, stepStartedAt = startedAt } = record
  const sinceMs = typeof stepStartedAt === 'string' ? Date.parse(stepStartedAt) : Number.NaN
  if (typeof type !== 'string' || typeof step !== 'string' || Number.isNaN(sinceMs))
    return undefined
  return { type, step, sinceMs }
}

function secondsOf(time: unknown): number | undefined {
  const ms = typeof time === 'string' ? Date.parse(time) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms / 1000
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function countBy(words: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}
