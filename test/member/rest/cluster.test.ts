// Membership, hand-over, status, probes and metrics over a member in memory.

import { Value } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { parseTransferRequest } from '../../../member/src/rest/cluster.ts'
import {
  ClusterSchema,
  FinalizeResultSchema,
  NodesSchema,
  ProblemSchema,
  StatusSchema,
  TransferRequestSchema,
  TransferResultSchema,
} from '../../../member/src/rest/contract.ts'
import { MEMBER_IDS } from '../../support/memory-member-node.ts'
import { testApp } from './support.ts'

const json = { 'content-type': 'application/json' }

describe('GET /cluster/nodes', () => {
  test("lists every member in the original's shape", async () => {
    const { app } = testApp()
    const got = await app.inject({ url: '/cluster/nodes' })
    expect(got.headers['content-type']).toBe('application/json')
    expect(Value.Errors(NodesSchema, got.json())).toEqual([])
    const { nodes } = got.json<{ nodes: Record<string, unknown>[] }>()
    expect(nodes.map(({ name, status }) => `${String(name)} ${String(status)}`)).toEqual([
      'n1 leader',
      'n2 follower',
      'n3 learner',
    ])
    expect(Object.keys(nodes[0]!)).toEqual([
      'id',
      'name',
      'status',
      'peerUrls',
      'clientUrls',
      'apiUrls',
      'version',
    ])
  })
})

describe('GET /cluster and /v1/status', () => {
  test('tell ids, term, leader and revision, and leave the leader out while there is none', async () => {
    const { app, node } = testApp()
    for (const leader of [MEMBER_IDS[1], undefined]) {
      node.leader = leader
      const cluster = (await app.inject({ url: '/cluster' })).json<Record<string, unknown>>()
      const status = (await app.inject({ url: '/v1/status' })).json<Record<string, unknown>>()
      expect(Value.Errors(ClusterSchema, cluster)).toEqual([])
      expect(Value.Errors(StatusSchema, status)).toEqual([])
      expect(cluster).toMatchObject({ clusterId: '00000000000000c1', term: 2, revision: 1 })
      expect([cluster['leader'], cluster['leaderName']]).toEqual([leader, leader && 'n2'])
      expect([status['leader'], status['ready']]).toEqual([leader, leader !== undefined])
    }
  })

  test('unknown parameters are refused', async () => {
    const { app } = testApp()
    for (const url of ['/cluster?a', '/cluster/nodes?a=1', '/v1/status?a', '/openapi.json?a']) {
      const refused = await app.inject({ url })
      expect(refused.statusCode).toBe(400)
      expect(refused.json()).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'a' })
    }
  })
})

describe('probes', () => {
  test('healthz is the text ok, and looks at the process only', async () => {
    const { app, node } = testApp()
    for (const state of ['recovering', 'running', 'stopping', 'failed'] as const) {
      node.state = state
      node.leader = undefined
      const got = await app.inject({ url: '/healthz?verbose' })
      expect([got.statusCode, got.body]).toEqual([200, 'ok'])
    }
  })

  test('readyz is ok on a member that can serve, and otherwise a problem with the reason', async () => {
    const { app, node } = testApp()
    expect((await app.inject({ url: '/readyz' })).body).toBe('ok')
    node.leader = undefined
    const reasons: unknown[] = []
    for (const state of ['running', 'recovering', 'stopping', 'failed'] as const) {
      node.state = state
      const got = await app.inject({ url: '/readyz' })
      expect(got.statusCode).toBe(503)
      expect(Value.Errors(ProblemSchema, got.json())).toEqual([])
      reasons.push(got.json<Record<string, unknown>>()['reason'])
    }
    expect(reasons).toEqual(['noLeader', 'recovering', 'stopping', 'failed'])
  })

  test('nothing that is asked for diagnosis is handed to the cluster', async () => {
    const { app, node } = testApp()
    node.mode = 'stuck'
    for (const url of [
      '/healthz',
      '/readyz',
      '/metrics',
      '/v1/status',
      '/cluster',
      '/cluster/nodes',
    ]) {
      expect((await app.inject({ url })).statusCode).toBe(200)
      expect((await app.inject({ method: 'HEAD', url })).statusCode).toBe(200)
    }
    expect(node.asked).toEqual([])
  })

  test('metrics are Prometheus text and count requests by route, method and result', async () => {
    const { app } = testApp()
    await app.inject({ method: 'PUT', url: '/v1/kv/a/secret/key', payload: 'x' })
    await app.inject({ url: '/v1/kv/missing' })
    await app.inject({ url: '/no/such/path' })
    await app.inject({ method: 'PATCH', url: '/healthz' })
    const got = await app.inject({ url: '/metrics' })
    expect(got.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    const name = 'raftbase_rest_requests_total'
    expect(got.body).toContain(`${name}{route="/v1/kv/{key}",method="PUT",result="2xx"} 1\n`)
    expect(got.body).toContain(`${name}{route="/v1/kv/{key}",method="GET",result="4xx"} 1\n`)
    expect(got.body).toContain(`${name}{route="other",method="other",result="4xx"} 2\n`)
    expect(got.body).toContain(
      'raftbase_rest_request_duration_seconds_count{route="/v1/kv/{key}",method="PUT"} 1\n',
    )
    // The scrape itself.
    expect(got.body).toContain('raftbase_rest_in_flight_requests 1\n')
    expect(got.body).not.toContain('secret')
  })
})

describe('POST /cluster/leader', () => {
  test.each([
    [undefined, 'n2'],
    ['{}', 'n2'],
    ['{"target":"n2"}', 'n2'],
    [`{"target":"${MEMBER_IDS[1]}"}`, 'n2'],
    ['{"target":"n1"}', 'n1'],
  ])('with the body %s the answer is the confirmed leader, %s', async (payload, leaderName) => {
    const { app } = testApp()
    const body = payload === undefined ? {} : { payload, headers: json }
    const got = await app.inject({ method: 'POST', url: '/cluster/leader?timeout=1s', ...body })
    expect(got.statusCode).toBe(200)
    expect(Value.Errors(TransferResultSchema, got.json())).toEqual([])
    expect(got.json()).toMatchObject({ leaderName })
  })

  test('from a leader that does not lead any more is done already, and asks nobody', async () => {
    const { app, node } = testApp()
    for (const [from, asked] of [
      [MEMBER_IDS[1], []],
      [MEMBER_IDS[0], ['transfer']],
    ]) {
      const payload = JSON.stringify({ from })
      const got = await app.inject({
        method: 'POST',
        url: '/cluster/leader',
        payload,
        headers: json,
      })
      expect([got.statusCode, node.asked]).toEqual([200, asked])
    }
  })

  test('for another membership than it is is refused with the epoch', async () => {
    const { app, node } = testApp()
    node.epoch = 12
    const got = await app.inject({ method: 'POST', url: '/cluster/leader?expectedEpoch=3' })
    expect([got.statusCode, got.json()]).toMatchObject([
      409,
      { code: 'MEMBERSHIP_CONFLICT', epoch: 12, expectedEpoch: 3 },
    ])
    expect(node.asked).toEqual([])
  })

  test("a follower refuses and tells the leader's API address", async () => {
    const { app, node } = testApp()
    node.leader = MEMBER_IDS[1]
    const got = await app.inject({ method: 'POST', url: '/cluster/leader' })
    expect(got.statusCode).toBe(409)
    expect(Value.Errors(ProblemSchema, got.json())).toEqual([])
    expect(got.json()).toMatchObject({
      code: 'NOT_LEADER',
      leader: MEMBER_IDS[1],
      leaderName: 'n2',
      leaderApiUrls: ['http://127.0.0.1:8081'],
      outcome: 'notApplied',
    })
  })

  test('without a leader nobody is pointed to', async () => {
    const { app, node } = testApp()
    node.leader = undefined
    const got = await app.inject({ method: 'POST', url: '/cluster/leader' })
    expect(got.json()).toMatchObject({ code: 'NOT_LEADER', leaderApiUrls: [] })
    expect(got.json()).not.toHaveProperty('leader')
  })

  test.each([
    ['{"target":"n3"}', 'target'],
    ['{"target":"nobody"}', 'target'],
    ['{"target":""}', 'target'],
    ['{"target":7}', 'target'],
    ['{"target":null}', 'target'],
    ['{"target":{"toString":1}}', 'target'],
    ['{"from":"n2"}', 'from'],
    ['{"to":"n2"}', 'to'],
    ['{"__proto__":{"target":"n2"}}', '__proto__'],
    ['{"constructor":{"prototype":{}}}', 'constructor'],
    ['{"target":"n2","prototype":1}', 'prototype'],
    ['[]', 'body'],
    ['null', 'body'],
    ['"n2"', 'body'],
    ['{', 'body'],
    ['\u00ff\u00fe', 'body'],
    ['['.repeat(16_000), 'body'],
  ])('the body %.40s is refused and names %s (X6, X7)', async (payload, field) => {
    const { app, node } = testApp()
    const refused = await app.inject({
      method: 'POST',
      url: '/cluster/leader',
      headers: json,
      payload: Buffer.from(payload, 'latin1'),
    })
    expect(refused.statusCode).toBe(400)
    expect(refused.json()).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(node.asked).toEqual([])
    expect(({} as Record<string, unknown>)['target']).toBeUndefined()
  })

  test('the schema of the contract accepts what the hand-written check accepts', () => {
    const bodies = [
      '{}',
      '{"target":"a"}',
      '{"target":""}',
      '{"x":1}',
      '[]',
      '7',
      '{"target":1}',
      '{"from":"00000000000000a1"}',
      '{"from":"n1"}',
    ]
    for (const body of bodies) {
      const accepts = () => {
        try {
          parseTransferRequest(Buffer.from(body), 'application/json')
          return true
        } catch {
          return false
        }
      }
      expect([body, accepts()]).toEqual([
        body,
        Value.Check(TransferRequestSchema, JSON.parse(body)),
      ])
    }
  })

  test.each(['text/plain', 'application/jsonp', 'application/x-www-form-urlencoded', undefined])(
    'a body of type %s is not read as JSON',
    async (type) => {
      const { app, node } = testApp()
      const refused = await app.inject({
        method: 'POST',
        url: '/cluster/leader',
        headers: type === undefined ? {} : { 'content-type': type },
        payload: Buffer.from('{"target":"n2"}'),
      })
      expect(refused.statusCode).toBe(415)
      expect(refused.json()).toMatchObject({ code: 'UNSUPPORTED_MEDIA_TYPE' })
      expect(node.asked).toEqual([])
    },
  )

  test('a body above 16 KiB is refused (X5)', async () => {
    const { app } = testApp()
    const post = (payload: string) =>
      app.inject({ method: 'POST', url: '/cluster/leader', headers: json, payload })
    expect((await post('{}'.padEnd(16_384))).statusCode).toBe(200)
    expect((await post('{}'.padEnd(16_385))).statusCode).toBe(413)
  })

  test('a hand-over that is not confirmed in time ends at its deadline', async () => {
    const { app, node } = testApp()
    node.mode = 'stuck'
    const got = await app.inject({ method: 'POST', url: '/cluster/leader?timeout=20ms' })
    expect([got.statusCode, got.json<Record<string, unknown>>()['code']]).toEqual([504, 'TIMEOUT'])
  })
})

const post = (app: ReturnType<typeof testApp>['app'], url: string, payload?: string) =>
  app.inject({
    method: 'POST',
    url,
    ...(payload === undefined ? {} : { headers: json, payload }),
  })

describe('POST /cluster/finalize', () => {
  test('raises the level to what every member understands, or to the one that is named', async () => {
    const { app, node } = testApp()
    const got = await post(app, '/cluster/finalize')
    expect([got.statusCode, got.json()]).toEqual([200, { featureLevel: 1, epoch: node.epoch }])
    const named = await post(app, '/cluster/finalize', '{"level":3}')
    expect(Value.Errors(FinalizeResultSchema, named.json())).toEqual([])
    expect(named.json()).toMatchObject({ featureLevel: 3 })
    expect(node.asked).toEqual(['finalize {}', 'finalize {"level":3}'])
  })

  test('in the membership that is meant', async () => {
    const { app, node } = testApp()
    await post(app, '/cluster/finalize?expectedEpoch=7')
    expect(node.asked).toEqual(['finalize {"expectedEpoch":7}'])
    expect((await post(app, '/cluster/finalize?expectedEpoch=x')).statusCode).toBe(400)
  })

  test.each([
    '{"level":-1}',
    '{"level":1.5}',
    '{"level":"1"}',
    '{"level":65536}',
    '{"lvl":1}',
    '[]',
    '{',
  ])('a body of %s is refused and nobody is asked', async (payload) => {
    const { app, node } = testApp()
    const got = await post(app, '/cluster/finalize', payload)
    expect([got.statusCode, got.json()]).toEqual([
      400,
      expect.objectContaining({ code: 'INVALID_ARGUMENT', outcome: 'notApplied' }),
    ])
    expect(node.asked).toEqual([])
  })
})
