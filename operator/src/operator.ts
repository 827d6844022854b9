// Composition root: constructs every part of the operator, owns the order in which they start and stop. Caches first, then
// the Lease, then workers; workers end before the Lease is given back.

import { systemClock, systemTimers } from '../../lib/clock.ts'
import { Lifecycle, type Running } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/logger.ts'
import { Registry } from '../../lib/metrics.ts'
import { randomId, systemPrng } from '../../lib/prng.ts'
import { registerProcessMetrics } from '../../lib/process-metrics.ts'
import { RAFT_CLUSTERS } from './api/resource-types.ts'
import type { ObjectKey } from './api/kube-object.ts'
import { ClusterCounts } from './cluster-counts.ts'
import type { OperatorConfig } from './config.ts'
import { Controller } from './controller/controller.ts'
import { LeaderElection } from './controller/leader-election.ts'
import type { Reconciler } from './controller/reconciler.ts'
import { pause } from './deadline.ts'
import { HealthServer } from './health-server.ts'
import { KubeClient } from './kube/client.ts'
import {
  type ClusterAccess,
  openInClusterAccess,
  SERVICE_ACCOUNT_FOLDER,
} from './kube/cluster-access.ts'
import { KubeError } from './kube/errors.ts'
import { EventWriter } from './kube/events.ts'
import { FencedApi, mustLead } from './kube/fenced-api.ts'
import { RateLimit } from './kube/rate-limit.ts'
import { MembershipClient } from './member-client/membership-client.ts'
import { StatusClient } from './member-client/status-client.ts'
import { StatusStreams } from './member-client/status-streams.ts'
import { MemberTrust } from './member-client/trust.ts'
import { OperatorMetrics, registerOperatorFigures } from './metrics.ts'
import { ClusterReconciler } from './reconcile/reconciler.ts'
import { RENDERER_REVISION } from './resources/render.ts'
import { VERSION } from './version.ts'
import { INDEXED_LABELS, WATCHES } from './watches.ts'

const SYNC_POLL_MS = 50
/** The loop of the election comes round every few seconds, a pass ends after a minute: beyond these something hangs. */
const ELECTION_ROUND_MS_MAX = 60_000
const PASS_MS_MAX = 5 * 60_000

export interface RunningOperator extends Running {
  /** Of /healthz, /readyz and /metrics. */
  readonly port: number
}

/** Resolves once it listens and watches; leading or not is decided later, for as long as it runs. */
export async function startOperator(
  config: OperatorConfig,
  { log }: { readonly log: Logger },
): Promise<RunningOperator> {
  const lifecycle = new Lifecycle({ log })
  const failed = Promise.withResolvers<Error>()
  try {
    const access = await openAccess(config)
    const parts = build(config, access, log)
    const health = await lifecycle.start({
      name: 'health server',
      open: () => startHealthServer(config, parts),
      close: (server) => server.stop(),
    })
    await lifecycle.start({
      name: 'connections',
      open: () => Promise.resolve(parts),
      close: async ({ client, members, membership, streams, endSampling }) => {
        await streams.stop()
        members.close()
        membership.close()
        client.close()
        endSampling()
      },
    })
    await startLoop(lifecycle, {
      name: 'caches',
      failed,
      run: (signal) => parts.controller.runCaches(signal),
    })
    await startLoop(lifecycle, { name: 'leadership', failed, run: (signal) => lead(parts, signal) })
    log.info(
      { server: access.server.origin, port: health.port, identity: parts.identity },
      'started',
    )
    return { port: health.port, failed: failed.promise, stop: () => lifecycle.stop() }
  } catch (error) {
    await lifecycle.stop()
    throw error
  }
}

type Parts = ReturnType<typeof build>

function build(config: OperatorConfig, access: ClusterAccess, log: Logger) {
  const [clock, timers, prng] = [systemClock, systemTimers, systemPrng()]
  const registry = new Registry()
  const process = { version: VERSION, startedAtMs: clock.wallMs() }
  const endSampling = registerProcessMetrics(registry, process)
  const metrics = new OperatorMetrics(registry, { clock, version: VERSION })
  const { client, election, identity } = buildLeadership(config, { access, log, metrics })
  const api = new FencedApi(client, () => election.isLeader())
  const controller = new Controller({
    api,
    watches: WATCHES,
    namespaces: config.watchNamespaces,
    indexedLabels: INDEXED_LABELS,
    clock,
    timers,
    prng,
    log,
    observer: metrics,
    workerCount: config.workers,
  })
  const enqueue = (key: ObjectKey) => controller.enqueue(key)
  const { caches } = controller
  const trust = new MemberTrust()
  const members = new StatusClient({ timers, trust })
  const membership = new MembershipClient({ timers, trust, mustLead: () => mustLead(election) })
  const streams = new StatusStreams({ timers, trust, prng, log, enqueue })
  const onOutcome = (outcome: 'written' | 'dropped') => metrics.eventEnded(outcome)
  const recorder = new EventWriter({ api, clock, log, instance: config.identity, onOutcome })
  const { memberRepository, docsUrl } = config
  const render = { memberRepository, docsUrl, newestRenderer: RENDERER_REVISION }
  const reconciler: Reconciler = new ClusterReconciler({
    api,
    caches,
    members,
    membership,
    streams,
    trust,
    recorder,
    clock,
    timers,
    log,
    render,
    counts: new ClusterCounts(registry),
    readsNodes: config.readsNodes,
  })
  registerOperatorFigures(registry, {
    isLeader: () => election.isLeader(),
    queueDepth: () => controller.queue.depth,
    openStreams: () => streams.openCount,
    clusters: () => caches.of(RAFT_CLUSTERS).list(),
    wallMs: () => clock.wallMs(),
  })
  return {
    client,
    controller,
    election,
    endSampling,
    identity,
    log,
    members,
    membership,
    reconciler,
    recorder,
    registry,
    streams,
    timers,
  }
}

/** The client, and the election that uses it unfenced: it is what the fence is made of. */
function buildLeadership(
  config: OperatorConfig,
  parts: {
    readonly access: ClusterAccess
    readonly log: Logger
    readonly metrics: OperatorMetrics
  },
) {
  const { access, log, metrics } = parts
  const [clock, timers] = [systemClock, systemTimers]
  const identity = `${config.identity}_${randomId()}`
  const client = new KubeClient({
    access,
    rateLimit: new RateLimit({
      clock,
      timers,
      requestsPerSecond: config.kubeQps,
      burst: config.kubeBurst,
    }),
    timers,
    clock,
    // Which of several operators it was: for the API server's audit log.
    userAgent: `raftbase-operator/${VERSION} (${identity})`,
    onRequest: (request) => metrics.requested(request),
  })
  const election = new LeaderElection({
    api: client,
    namespace: config.namespace ?? access.namespace ?? 'default',
    name: config.leaseName,
    identity,
    clock,
    timers,
    log,
    times: config.election,
  })
  return { client, election, identity }
}

async function openAccess(config: OperatorConfig): Promise<ClusterAccess> {
  if (config.kubeconfig !== undefined) {
    const { openKubeconfigAccess } = await import('./kube/kubeconfig.ts')
    return openKubeconfigAccess(config.kubeconfig)
  }
  return openInClusterAccess({
    environment: process.env,
    clock: systemClock,
    folder: SERVICE_ACCOUNT_FOLDER,
  })
}

function startHealthServer(config: OperatorConfig, parts: Parts): Promise<HealthServer> {
  const { controller, election, registry } = parts
  return HealthServer.start({
    ...config.metricsListen,
    unhealthy: () => [
      ...(election.roundAgeMs > ELECTION_ROUND_MS_MAX ? ['the election does not come round'] : []),
      ...(controller.oldestPassMs > PASS_MS_MAX ? ['a reconcile does not end'] : []),
    ],
    unready: () => (controller.hasSynced ? [] : ['caches are not complete']),
    renderMetrics: () => registry.render(),
  })
}

/** Runs until it is stopped; should it fail, so does the process. */
async function startLoop(
  lifecycle: Lifecycle,
  options: {
    readonly name: string
    readonly failed: PromiseWithResolvers<Error>
    readonly run: (signal: AbortSignal) => Promise<void>
  },
): Promise<void> {
  const { name, failed, run } = options
  const aborter = new AbortController()
  await lifecycle.start({
    name,
    open: () => {
      const running = run(aborter.signal)
      running.catch((error: unknown) => {
        failed.resolve(error instanceof Error ? error : new Error(String(error)))
      })
      return Promise.resolve({ running })
    },
    close: async ({ running }) => {
      aborter.abort()
      // Its failure, if it has one, has been told already.
      await Promise.allSettled([running])
    },
  })
}

/** Waits for the caches and the Lease, works while it is ours, gives it back. Rejects at once when it is lost. */
async function lead(parts: Parts, signal: AbortSignal): Promise<void> {
  const { controller, election, log, reconciler, recorder, timers } = parts
  while (!controller.hasSynced && !signal.aborted) await pause(timers, SYNC_POLL_MS, signal)
  if (!signal.aborted) log.info('caches synced')
  if (!(await election.acquire(signal))) return
  const workers = controller.runWorkers(reconciler, signal)
  const outcome = await Promise.race([
    election.hold(signal),
    workers.then(() => 'stopped' as const),
  ])
  // Not a moment longer: passes under way are not waited for, the fence keeps them from changing anything.
  if (outcome === 'lost') throw new KubeError('notLeading', 'leadership was lost')
  await workers
  await recorder.flush()
  await election.release()
  log.info('workers stopped')
}
