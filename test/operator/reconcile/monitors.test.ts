// What is read of PodMonitors and PrometheusRules, how often, and what becomes of it when it cannot be read.

import { describe, expect, test } from 'vitest'
import type { KubeObject, ObjectKey, ResourceType } from '../../../operator/src/api/kube-object.ts'
import type { RaftCluster } from '../../../operator/src/api/raft-cluster.ts'
import { PROMETHEUS_RULES } from '../../../operator/src/api/resource-types.ts'
import { KubeError } from '../../../operator/src/kube/errors.ts'
import type { KubeApi } from '../../../operator/src/kube/kube-api.ts'
import { Monitors } from '../../../operator/src/reconcile/monitors.ts'
import { observationOf } from '../support/observation.ts'

const SIGNAL = new AbortController().signal
const MONITORING = { podMonitor: { enabled: true }, prometheusRule: { enabled: true } }

/** As much of an API server as reading takes. */
class Server {
  readonly objects = new Map<string, KubeObject>()
  requests = 0
  isInstalled = true
  /** Namespaces without the right. */
  readonly closed = new Set<string>()
  failure: KubeError | undefined
  nowMs = 1000
  readonly monitors = new Monitors({
    api: this as unknown as KubeApi,
    clock: { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs },
  })

  async get({ kind }: ResourceType, { namespace, name }: ObjectKey) {
    this.#answer(namespace)
    return this.objects.get(`${kind} ${name}`)
  }

  async list(_: ResourceType, { namespace = '' }: { readonly namespace?: string }) {
    this.#answer(namespace)
    if (!this.isInstalled) throw new KubeError('notFound', 'no such kind')
    return { items: [], resourceVersion: '1', continueToken: undefined }
  }

  put(kind: string, name: string): void {
    const metadata = { name, namespace: 'prod', uid: `uid-of-${kind}` }
    this.objects.set(`${kind} ${name}`, { apiVersion: 'v1', kind, metadata })
  }

  look(cluster: RaftCluster) {
    return this.monitors.look(cluster, SIGNAL)
  }

  #answer(namespace: string): void {
    this.requests += 1
    if (this.failure !== undefined) throw this.failure
    if (this.closed.has(namespace)) throw new KubeError('forbidden', 'it may not')
  }
}

function clusterOf(metadata: Partial<RaftCluster['metadata']> = {}): RaftCluster {
  const { cluster } = observationOf({ story: '', spec: { monitoring: MONITORING } })
  return { ...cluster, metadata: { ...cluster.metadata, ...metadata } }
}

describe('PodMonitors and PrometheusRules', () => {
  test('are not asked for by a cluster that wants none and had none', async () => {
    const server = new Server()
    expect(await server.look(observationOf({ story: '' }).cluster)).toBeUndefined()
    expect(server.requests).toBe(0)
  })

  test('that cannot be, because their kinds are missing, are asked for by one cluster for all', async () => {
    const server = new Server()
    server.isInstalled = false
    const clusters = Array.from({ length: 200 }, (_, index) => clusterOf({ uid: `uid-${index}` }))
    for (const cluster of clusters) {
      const missing = { problem: 'NotInstalled' }
      expect(await server.look(cluster)).toEqual({ podMonitor: missing, prometheusRule: missing })
    }
    expect(server.requests).toBe(4)
    server.isInstalled = true
    server.nowMs += 10_000
    for (const cluster of clusters) {
      expect(await server.look(cluster)).toEqual({ podMonitor: {}, prometheusRule: {} })
    }
  })

  test('without the right in one namespace are there in another', async () => {
    const server = new Server()
    server.closed.add('closed')
    const forbidden = { problem: 'Forbidden' }
    expect(await server.look(clusterOf({ uid: 'one', namespace: 'closed' }))).toEqual({
      podMonitor: forbidden,
      prometheusRule: forbidden,
    })
    expect(await server.look(clusterOf())).toEqual({ podMonitor: {}, prometheusRule: {} })
  })

  test('are read again after minutes, after a write, and for a new spec', async () => {
    const server = new Server()
    for (const kind of ['PodMonitor', 'PrometheusRule']) server.put(kind, 'demo')
    const asked = async (cluster: RaftCluster) => {
      const before = server.requests
      await server.look(cluster)
      return server.requests - before
    }
    expect(await asked(clusterOf({ generation: 1 }))).toBe(2)
    server.nowMs += 299_000
    expect(await asked(clusterOf({ generation: 1 }))).toBe(0)
    server.nowMs += 1000
    expect(await asked(clusterOf({ generation: 1 }))).toBe(2)
    expect(await asked(clusterOf({ generation: 2 }))).toBe(2)
    server.monitors.written(clusterOf(), PROMETHEUS_RULES)
    expect(await asked(clusterOf({ generation: 2 }))).toBe(1)
  })

  test('that cannot be read fail no pass: they are as they were, and nothing is written for a minute', async () => {
    const server = new Server()
    server.put('PodMonitor', 'demo')
    const cluster = clusterOf()
    const { podMonitor } = (await server.look(cluster))!
    expect(podMonitor.live).toBeDefined()
    server.failure = new KubeError('unavailable', 'failed', {
      status: 500,
      serverMessage: 'conversion webhook failed',
    })
    server.nowMs += 300_000
    const refusal = { message: 'conversion webhook failed', isRecent: true }
    const unread = { podMonitor: { ...podMonitor, refusal }, prometheusRule: { refusal } }
    expect(await server.look(cluster)).toEqual(unread)
    const before = server.requests
    server.nowMs += 59_000
    expect(await server.look(cluster)).toEqual(unread)
    expect(server.requests).toBe(before)
    // A second failure in a row has not forgotten it either.
    server.nowMs += 1000
    expect(await server.look(cluster)).toEqual(unread)
    // Somebody else has taken the name meanwhile: that has to be read before anything is written.
    server.failure = undefined
    server.put('PrometheusRule', 'demo')
    server.nowMs += 60_000
    const found = (await server.look(cluster))!
    expect(found.podMonitor).toEqual(podMonitor)
    expect(found.prometheusRule.live?.metadata.uid).toBe('uid-of-PrometheusRule')
    expect(found.prometheusRule.refusal).toBeUndefined()
  })

  test('whose write was refused are tried again after a minute, or for a new spec', async () => {
    const server = new Server()
    const cluster = clusterOf({ generation: 1 })
    await server.look(cluster)
    server.monitors.refused(cluster, PROMETHEUS_RULES, 'no')
    const ruleOf = async (of: RaftCluster) => (await server.look(of))!.prometheusRule
    expect(await ruleOf(cluster)).toEqual({ refusal: { message: 'no', isRecent: true } })
    expect(await ruleOf(clusterOf({ generation: 2 }))).toEqual({})
    server.nowMs += 60_000
    expect(await ruleOf(cluster)).toEqual({ refusal: { message: 'no', isRecent: false } })
  })

  test('are not said to be refused when the pass itself was ended', async () => {
    const server = new Server()
    server.failure = new KubeError('aborted', 'the operator stops')
    await expect(server.look(clusterOf())).rejects.toBe(server.failure)
  })
})
