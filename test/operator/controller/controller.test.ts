// The controller as a whole against the API server of the tests: which change wakes which cluster, one worker a key, what
// becomes of each kind of result, how it stops.

import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { Registry } from '../../../lib/metrics.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import { PODS, RAFT_CLUSTERS } from '../../../operator/src/api/resource-types.ts'
import { Controller } from '../../../operator/src/controller/controller.ts'
import type { Reconciler, ReconcileResult } from '../../../operator/src/controller/reconciler.ts'
import type { KubeClient } from '../../../operator/src/kube/client.ts'
import { KubeError } from '../../../operator/src/kube/errors.ts'
import { OperatorMetrics } from '../../../operator/src/metrics.ts'
import { INDEXED_LABELS, WATCHES } from '../../../operator/src/watches.ts'
import { FakeApiServer } from '../../support/fake-api-server.ts'
import { clientOf, plainAccess, silentLog, until } from '../support.ts'

const CLUSTERS = 'raftbase.io/v1alpha1/raftclusters'

let server: FakeApiServer
let client: KubeClient
let caches: AbortController
let workers: AbortController
let ending: Promise<unknown>[]

beforeEach(async () => {
  server = await FakeApiServer.start()
  client = clientOf(plainAccess(server.url))
  caches = new AbortController()
  workers = new AbortController()
  ending = []
})

afterEach(async () => {
  workers.abort()
  caches.abort()
  await Promise.all(ending)
  client.close()
  await server.stop()
})

function newController(options: { namespaces?: readonly string[]; passMsMax?: number } = {}) {
  const controller = new Controller({
    api: client,
    watches: WATCHES,
    indexedLabels: INDEXED_LABELS,
    clock: systemClock,
    timers: systemTimers,
    prng: new SeededPrng(1),
    log: silentLog,
    observer: new OperatorMetrics(new Registry(), { clock: systemClock, version: '0' }),
    ...options,
  })
  ending.push(controller.runCaches(caches.signal))
  return controller
}

/** Reconciles with `answer` and keeps what was reconciled. */
async function work(
  controller: Controller,
  answer: (name: string, signal: AbortSignal) => Promise<ReconcileResult>,
): Promise<string[]> {
  const passes: string[] = []
  await until('the caches have synced', () => controller.hasSynced)
  await until('all is watched', () => server.watchCount === WATCHES.length)
  const reconciler: Reconciler = {
    reconcile: ({ namespace, name }, { signal }) => {
      passes.push(`${namespace}/${name}`)
      return answer(name, signal)
    },
  }
  ending.push(controller.runWorkers(reconciler, workers.signal))
  return passes
}

const done = (): Promise<ReconcileResult> => Promise.resolve({ kind: 'done' })

function create(
  collection: string,
  name: string,
  labels: Record<string, string> = {},
  namespace = 'default',
) {
  return server.store.create(
    { collection, namespace, name },
    { metadata: { name, labels }, kind: 'X' },
  )
}

test('what is there when the workers start is reconciled once each, and so is what comes later', async () => {
  create(CLUSTERS, 'a')
  create(CLUSTERS, 'b')
  const passes = await work(newController(), done)
  await until('both are done', () => passes.length === 2)
  create(CLUSTERS, 'c', {}, 'other')
  await until('the third is done', () => passes.length === 3)
  expect(passes.toSorted()).toEqual(['default/a', 'default/b', 'other/c'])
})

test.each([
  ['apps/v1/statefulsets', 'a StatefulSet'],
  ['v1/pods', 'a Pod'],
  ['v1/services', 'a Service'],
  ['v1/configmaps', 'a ConfigMap'],
  ['v1/serviceaccounts', 'a ServiceAccount'],
  ['v1/persistentvolumeclaims', 'a volume claim'],
  ['policy/v1/poddisruptionbudgets', 'a disruption budget'],
])(
  '%s: %s with our label wakes its cluster when made, changed and deleted; others do not',
  async (collection) => {
    const passes = await work(newController(), done)
    const target = { collection, namespace: 'default', name: 'child' }
    create(collection, 'foreign')
    create(collection, 'child', { 'raftbase.io/cluster': 'demo' })
    await until('made', () => passes.length === 1)
    server.store.patch(target, { spec: { x: 1 } })
    await until('changed', () => passes.length === 2)
    server.store.patch(target, { metadata: { labels: { 'raftbase.io/cluster': 'moved' } } })
    await until('moved', () => passes.length === 4)
    server.store.delete(target)
    await until('deleted', () => passes.length === 5)
    expect(passes.slice(0, 2)).toEqual(['default/demo', 'default/demo'])
    expect(passes.slice(2, 4).toSorted()).toEqual(['default/demo', 'default/moved'])
    expect(passes[4]).toBe('default/moved')
  },
)

function putPod(name: string): void {
  const labels = { 'raftbase.io/cluster': 'demo' }
  const spec = { nodeName: 'node-1', containers: [], volumes: [{ name: 'data' }] }
  const target = { collection: 'v1/pods', namespace: 'default', name }
  server.store.create(target, { kind: 'Pod', metadata: { name, labels }, spec })
}

test('of a pod only what is read is held in memory, whether it was listed or watched', async () => {
  putPod('listed')
  const controller = newController()
  await until('all is watched', () => server.watchCount === WATCHES.length)
  putPod('watched')
  const cached = (name: string) => controller.caches.of(PODS).get({ namespace: 'default', name })
  await until('the other one is seen', () => cached('watched') !== undefined)
  for (const name of ['listed', 'watched']) {
    expect(cached(name)?.['spec']).toEqual({ nodeName: 'node-1', containers: [] })
  }
})

test('the status of a RaftCluster wakes nobody; its spec, labels, annotations, finalizers and deletion do', async () => {
  create(CLUSTERS, 'demo')
  const passes = await work(newController(), done)
  await until('the first pass', () => passes.length === 1)
  const target = { collection: CLUSTERS, namespace: 'default', name: 'demo' }
  server.store.patch(target, { status: { phase: 'Healthy' } }, 'status')
  const changes = [
    { spec: { replicas: 5 } },
    { metadata: { labels: { a: 'b' } } },
    { metadata: { annotations: { a: 'b' } } },
    { metadata: { finalizers: ['x/y'] } },
  ]
  for (const [i, change] of changes.entries()) {
    server.store.patch(target, change)
    await until('a pass for it', () => passes.length === i + 2)
  }
  server.store.delete(target)
  await until('a pass for its deletion', () => passes.length === 6)
  expect(passes.length).toBe(6)
})

test('a cluster is never reconciled twice at the same time; changes meanwhile make one more pass', async () => {
  create(CLUSTERS, 'demo')
  let running = 0
  let most = 0
  const gate = Promise.withResolvers<void>()
  const passes = await work(newController(), async () => {
    most = Math.max(most, ++running)
    await gate.promise
    running--
    return { kind: 'done' }
  })
  await until('the pass runs', () => passes.length === 1)
  for (let i = 0; i < 5; i++) create('v1/pods', `pod-${i}`, { 'raftbase.io/cluster': 'demo' })
  await until('the pods are seen', () => server.store.list('v1/pods').length === 5)
  await new Promise((resolve) => setTimeout(resolve, 100))
  gate.resolve()
  await until('one more pass', () => passes.length === 2)
  expect([most, passes.length]).toEqual([1, 2])
})

test('wait looks again after its time, retry and errors after growing ones, terminal not before a change', async () => {
  for (const name of ['wait', 'retry', 'throw', 'terminal', 'done']) create(CLUSTERS, name)
  const passes = await work(newController(), (name) => {
    switch (name) {
      case 'wait':
        return Promise.resolve({ kind: 'wait', afterMs: 50 })
      case 'retry':
        return Promise.resolve({ kind: 'retry', reason: 'Busy' })
      case 'throw':
        return Promise.reject(new KubeError('unavailable', 'broken'))
      case 'terminal':
        return Promise.resolve({ kind: 'terminal', reason: 'Invalid' })
      default:
        return Promise.resolve({ kind: 'done' })
    }
  })
  const count = (name: string) => passes.filter((key) => key === `default/${name}`).length
  await until('passes', () => count('wait') >= 3 && count('retry') >= 3 && count('throw') >= 3)
  expect([count('terminal'), count('done')]).toEqual([1, 1])
})

test('clusters that wait for the same time do not come back together', async () => {
  const names = Array.from({ length: 12 }, (_, i) => `c${i}`)
  for (const name of names) create(CLUSTERS, name)
  const gaps: number[] = []
  const before = new Map<string, number>()
  await work(newController(), (name) => {
    const nowMs = performance.now()
    const lastMs = before.get(name)
    if (lastMs !== undefined) gaps.push(nowMs - lastMs)
    before.set(name, nowMs)
    return Promise.resolve({ kind: 'wait', afterMs: 1000 })
  })
  await until('each came twice', () => gaps.length >= names.length)
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(999)
  expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan(20)
})

test('a server that asks for patience is given it', async () => {
  create(CLUSTERS, 'demo')
  const times: number[] = []
  await work(newController(), () => {
    times.push(performance.now())
    return Promise.reject(new KubeError('throttled', 'slow down', { retryAfterMs: 400 }))
  })
  await until('a second pass', () => times.length === 2)
  expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(395)
})

test('a pass that takes too long is ended through its signal', async () => {
  create(CLUSTERS, 'demo')
  const passes = await work(newController({ passMsMax: 50 }), (_name, signal) => {
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('ended')), { once: true })
    })
  })
  await until('it is tried again', () => passes.length >= 2)
  expect(passes.length).toBeGreaterThanOrEqual(2)
})

test('stopping waits for the passes under way and begins no other', async () => {
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) create(CLUSTERS, name)
  const gate = Promise.withResolvers<void>()
  const passes = await work(newController(), async () => {
    await gate.promise
    return { kind: 'done' }
  })
  await until('four workers are busy', () => passes.length === 4)
  workers.abort()
  let isStopped = false
  const stopped = Promise.all(ending.slice(1)).then(() => (isStopped = true))
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(isStopped).toBe(false)
  gate.resolve()
  await stopped
  expect(passes.length).toBe(4)
})

test('only the named namespaces are watched, each by itself', async () => {
  create(CLUSTERS, 'a', {}, 'one')
  create(CLUSTERS, 'b', {}, 'two')
  create(CLUSTERS, 'c', {}, 'three')
  const controller = newController({ namespaces: ['one', 'two'] })
  await until('the caches have synced', () => controller.hasSynced)
  const names = controller.caches.of(RAFT_CLUSTERS).list()
  expect(names.map(({ metadata }) => metadata.name)).toEqual(['a', 'b'])
  expect(server.requests.every(({ url }) => /namespaces\/(one|two)\//.test(url))).toBe(true)
  expect(controller.caches.of(PODS).hasSynced).toBe(true)
})

test('workers do not start on caches that are not complete', async () => {
  server.fail(/pods/, { kind: 'refuse', status: 403 })
  const controller = newController()
  await until('the others have synced', () => server.watchCount === WATCHES.length - 1)
  expect(controller.hasSynced).toBe(false)
  await expect(
    controller.runWorkers({ reconcile: done }, new AbortController().signal),
  ).rejects.toThrow('caches that are not complete')
})
