// The probes an operator's kubelet asks, on the API and on their own listener (contract operator section 9).

import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Registry } from '../../../lib/metrics.ts'
import type { NodeStatus } from '../../../member/src/node/member-node.ts'
import { createProbeServer } from '../../../member/src/rest/probe-listener.ts'
import { MemoryMemberNode } from '../../support/memory-member-node.ts'
import { send, testApp } from './support.ts'

async function probeListener(): Promise<{ port: number; node: MemoryMemberNode }> {
  const node = new MemoryMemberNode()
  const server = createProbeServer({ node, metrics: new Registry() })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, node }
}

describe('startupz', () => {
  test('is ok when the member takes part, or is parked for a reason it knows, and not before', async () => {
    const { app, node } = testApp()
    const phases: readonly NodeStatus['startupPhase'][] = [
      'openingDirectory',
      'askingPeers',
      'readingLog',
      'openingPeers',
      'complete',
      'parked',
    ]
    const answers: unknown[] = []
    for (const phase of phases) {
      node.startupPhase = phase
      const got = await app.inject({ url: '/startupz' })
      answers.push(got.statusCode === 200 ? got.body : got.json<{ reason: string }>().reason)
    }
    expect(answers).toEqual([...phases.slice(0, 4), 'ok', 'ok'])
  })

  test('needs no quorum', async () => {
    const { app, node } = testApp()
    node.leader = undefined
    expect((await app.inject({ url: '/startupz' })).statusCode).toBe(200)
  })
})

describe('livez', () => {
  test('is ok without a quorum, in every phase, parked or not', async () => {
    const { app, node } = testApp()
    node.leader = undefined
    for (const state of ['starting', 'recovering', 'running', 'parked', 'stopping'] as const) {
      node.state = state
      node.tickAge = state === 'running' ? 5 : undefined
      expect((await app.inject({ url: '/livez' })).statusCode).toBe(200)
    }
  })

  test('fails when the core has not been given its time for 20 s, or the member has failed', async () => {
    const { app, node } = testApp()
    node.tickAge = 19_000
    expect((await app.inject({ url: '/livez' })).statusCode).toBe(200)
    node.tickAge = 21_000
    const stalled = await app.inject({ url: '/livez' })
    expect([stalled.statusCode, stalled.json<{ reason: string }>().reason]).toEqual([
      503,
      'stalled',
    ])
    node.tickAge = 5
    node.state = 'failed'
    const failed = await app.inject({ url: '/livez' })
    expect([failed.statusCode, failed.json<{ reason: string }>().reason]).toEqual([503, 'failed'])
  })

  test('gives a process that was stopped a moment to make up for it', async () => {
    const { app, node } = testApp()
    node.tickAge = 60_000
    const answer = app.inject({ url: '/livez' })
    setTimeout(() => {
      node.tickAge = 5
    }, 20)
    expect((await answer).statusCode).toBe(200)
  })

  test('is answered at once by a member whose cluster answers nothing', async () => {
    const { app, node } = testApp({ requestsInFlightMax: 1 })
    node.mode = 'stuck'
    const stuck = app.inject({ url: '/v1/kv/a?timeout=500ms' })
    await node.waiting(1)
    for (const url of ['/livez', '/startupz', '/readyz', '/healthz']) {
      expect((await app.inject({ url })).statusCode).toBe(200)
    }
    await stuck
  })
})

describe('the probe listener', () => {
  test('serves probes and metrics, to GET and HEAD, whatever the query', async () => {
    const { port, node } = await probeListener()
    for (const path of ['/startupz', '/livez', '/readyz', '/healthz', '/livez?verbose=1']) {
      const got = await send(port, 'GET', path)
      expect([path, got.status, got.body.toString()]).toEqual([path, 200, 'ok'])
      expect(got.headers['cache-control']).toBe('no-store')
      const head = await send(port, 'HEAD', path)
      expect([head.status, head.body.length]).toEqual([200, 0])
    }
    const metrics = await send(port, 'GET', '/metrics')
    expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    node.leader = undefined
    const notReady = await send(port, 'GET', '/readyz')
    expect(notReady.status).toBe(503)
    expect(JSON.parse(notReady.body.toString())).toMatchObject({
      code: 'NOT_READY',
      reason: 'noLeader',
    })
  })

  test('serves nothing else, and nothing that changes anything', async () => {
    const { port, node } = await probeListener()
    for (const path of ['/', '/v1/status', '/v1/kv/a', '/cluster', '/cluster/nodes', '/livez/x']) {
      expect((await send(port, 'GET', path)).status).toBe(404)
    }
    const put = await send(port, 'PUT', '/v1/kv/a', Buffer.from('x'))
    const post = await send(port, 'POST', '/livez')
    expect([put.status, post.status, post.headers.allow]).toEqual([404, 405, 'GET, HEAD'])
    expect(node.asked).toEqual([])
  })
})
