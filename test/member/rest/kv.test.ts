// /v1/kv/{key} over a member in memory: raw bytes, revisions, consistency, deadlines and limits.

import { Value } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import {
  DeleteResultSchema,
  ProblemSchema,
  PutResultSchema,
} from '../../../member/src/rest/contract.ts'
import { listen, metric, send, testApp } from './support.ts'

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

/** Without what depends on the moment or on what the client asked of the connection. */
function stableHeaders(response: Response): [string, string][] {
  const unstable = ['date', 'connection', 'keep-alive']
  return [...response.headers].filter(([name]) => !unstable.includes(name))
}

function pathOf(key: Uint8Array): string {
  const hex = Array.from(key, (byte) => `%${byte.toString(16).padStart(2, '0')}`)
  return `/v1/kv/${hex.join('')}`
}

describe('values and keys are raw bytes', () => {
  test('a value of all 256 bytes comes back as it was put, over a socket', async () => {
    const { app } = testApp()
    const url = `http://127.0.0.1:${await listen(app)}/v1/kv/all`
    const put = await fetch(url, { method: 'PUT', body: ALL_BYTES })
    expect(put.status).toBe(200)
    const got = await fetch(url)
    expect(Buffer.from(await got.arrayBuffer())).toEqual(ALL_BYTES)
    expect(got.headers.get('content-type')).toBe('application/octet-stream')
    expect(got.headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('each of the 256 bytes is a key of its own, and all of them together are one', async () => {
    const { app } = testApp()
    const port = await listen(app)
    for (let byte = 0; byte < 256; byte++) {
      const value = Buffer.from(`value of ${byte}`)
      const put = await send(port, 'PUT', pathOf(Uint8Array.of(byte)), value)
      expect(JSON.parse(put.body.toString())).toMatchObject({ version: 1 })
    }
    await send(port, 'PUT', pathOf(ALL_BYTES), Buffer.from('value of all'))
    for (let byte = 0; byte < 256; byte++) {
      const got = await send(port, 'GET', pathOf(Uint8Array.of(byte)))
      expect(got.body.toString()).toBe(`value of ${byte}`)
    }
    expect((await send(port, 'GET', pathOf(ALL_BYTES))).body.toString()).toBe('value of all')
  })

  test('dots in a key are dots, as long as the client leaves them alone', async () => {
    const { app } = testApp()
    const port = await listen(app)
    const keys = ['..', '.', 'a/../b', 'a//b', '%2e%2e/x', 'a;b', 'a#b']
    for (const key of keys) await send(port, 'PUT', `/v1/kv/${key}`, Buffer.from(key))
    for (const key of keys) {
      expect((await send(port, 'GET', `/v1/kv/${key}`)).body.toString()).toBe(key)
    }
  })

  test('a slash in a key may be written or escaped, and so may everything else', async () => {
    const { app, node } = testApp()
    await app.inject({ method: 'PUT', url: '/v1/kv/a%2Fb/%63', payload: 'x' })
    for (const url of ['/v1/kv/a/b/c', '/v1/kv/%61%2fb%2Fc', '/v1/kv/a/b/c?timeout=1s']) {
      expect((await app.inject({ url })).body).toBe('x')
    }
    const { kv } = await node.get(
      { key: Buffer.from('a/b/c'), consistency: 'serializable' },
      { timeoutMs: 1 },
    )
    expect(kv?.version).toBe(1)
  })

  test.each([
    'application/json',
    'text/plain',
    'multipart/form-data',
    'not a media type',
    '/',
    undefined,
  ])('a body of type %s is stored as it is, never parsed', async (type) => {
    const { app } = testApp()
    const headers = type === undefined ? {} : { 'content-type': type }
    const payload = '{"__proto__": {"a": 1'
    const put = await app.inject({ method: 'PUT', url: '/v1/kv/k', headers, payload })
    expect(put.statusCode).toBe(200)
    expect((await app.inject({ url: '/v1/kv/k' })).body).toBe(payload)
  })

  test('no body and an empty body put an empty value', async () => {
    const { app } = testApp()
    const port = await listen(app)
    for (const body of [undefined, '']) {
      const url = `http://127.0.0.1:${port}/v1/kv/empty`
      const init = body === undefined ? {} : { body }
      expect((await fetch(url, { method: 'PUT', ...init })).status).toBe(200)
      const got = await fetch(url)
      expect(got.headers.get('content-length')).toBe('0')
      expect(await got.text()).toBe('')
    }
  })
})

describe('revisions', () => {
  test('a put tells its revision, the version and where the key was created', async () => {
    const { app } = testApp()
    const first = await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: '1' })
    const second = await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: '2' })
    expect(Value.Errors(PutResultSchema, second.json())).toEqual([])
    expect(first.json()).toEqual({ revision: 2, version: 1, createRevision: 2 })
    expect(second.json()).toEqual({ revision: 3, version: 2, createRevision: 2 })
    expect((await app.inject({ url: '/v1/kv/k' })).headers).toMatchObject({
      'raftbase-revision': '3',
      'raftbase-create-revision': '2',
      'raftbase-mod-revision': '3',
      'raftbase-version': '2',
      etag: '"3"',
    })
  })

  test('a delete tells how many keys it deleted, and a key that is gone is NOT_FOUND with the revision', async () => {
    const { app } = testApp()
    await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: '1' })
    const deleted = await app.inject({ method: 'DELETE', url: '/v1/kv/k' })
    expect(Value.Errors(DeleteResultSchema, deleted.json())).toEqual([])
    expect(deleted.json()).toEqual({ deleted: 1, revision: 3 })
    const again = await app.inject({ method: 'DELETE', url: '/v1/kv/k' })
    expect(again.json()).toEqual({ deleted: 0, revision: 3 })
    const got = await app.inject({ url: '/v1/kv/k' })
    expect(got.statusCode).toBe(404)
    expect(got.headers['raftbase-revision']).toBe('3')
    expect(got.headers['content-type']).toBe('application/problem+json')
    expect(got.json()).toMatchObject({ code: 'NOT_FOUND', revision: 3 })
  })

  test('a read at a revision sees the past; compacted and future ones are told apart', async () => {
    const { app, node } = testApp()
    await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'old' })
    await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'new' })
    expect((await app.inject({ url: '/v1/kv/k?revision=2' })).body).toBe('old')
    const future = await app.inject({ url: '/v1/kv/k?revision=4' })
    expect(future.statusCode).toBe(400)
    expect(future.json()).toMatchObject({ code: 'REVISION_FUTURE', revision: 3 })
    await node.compact({ revision: 3 }, { timeoutMs: 1000 })
    const compacted = await app.inject({ url: '/v1/kv/k?revision=2' })
    expect(compacted.statusCode).toBe(410)
    expect(compacted.json()).toMatchObject({ code: 'REVISION_COMPACTED', compactRevision: 3 })
    expect(compacted.body).not.toContain('internalOffset')
  })

  test('HEAD answers as GET does, without the body', async () => {
    const { app } = testApp()
    const url = `http://127.0.0.1:${await listen(app)}/v1/kv/k`
    await fetch(url, { method: 'PUT', body: 'twelve bytes' })
    const [head, get] = await Promise.all([fetch(url, { method: 'HEAD' }), fetch(url)])
    expect(stableHeaders(head)).toEqual(stableHeaders(get))
    expect(head.headers.get('content-length')).toBe('12')
    expect(await head.text()).toBe('')
    const missing = await fetch(`${url}-missing`, { method: 'HEAD' })
    expect([missing.status, await missing.text()]).toEqual([404, ''])
  })

  test('an unchanged value is not sent again to who has its tag (RFC 9110 §13.1.2)', async () => {
    const { app } = testApp()
    await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'x' })
    const get = (tags: string) =>
      app.inject({ url: '/v1/kv/k', headers: { 'if-none-match': tags } })
    for (const tags of ['"2"', 'W/"2"', '"1", "2"', '*']) {
      const got = await get(tags)
      expect([got.statusCode, got.body, got.headers['etag']]).toEqual([304, '', '"2"'])
    }
    expect((await get('"1"')).statusCode).toBe(200)
  })

  test.each(['if-match', 'if-none-match', 'if-unmodified-since', 'content-range'])(
    'a write under the condition %s is refused: ignoring it would overwrite what it protects',
    async (field) => {
      const { app, node } = testApp()
      for (const method of ['PUT', 'DELETE'] as const) {
        const refused = await app.inject({ method, url: '/v1/kv/k', headers: { [field]: '*' } })
        expect(refused.statusCode).toBe(400)
        expect(refused.json()).toMatchObject({ code: 'INVALID_ARGUMENT', field })
      }
      expect(node.asked).toEqual([])
    },
  )
})

describe('consistency and deadlines', () => {
  test('reads are linearizable unless they ask not to be', async () => {
    const { app, node } = testApp()
    for (const query of ['', '?consistency=linearizable', '?consistency=serializable']) {
      await app.inject({ url: `/v1/kv/k${query}` })
    }
    expect(node.asked).toEqual(['get linearizable', 'get linearizable', 'get serializable'])
  })

  test('a serializable read is answered without a leader', async () => {
    const { app, node } = testApp()
    await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'x' })
    node.mode = 'noLeader'
    expect((await app.inject({ url: '/v1/kv/k?consistency=serializable' })).body).toBe('x')
  })

  test.each([
    ['GET', '/v1/kv/k?consistency=eventual', 'consistency', 'linearizable, serializable'],
    ['GET', '/v1/kv/k?revision=0', 'revision', '1'],
    ['GET', '/v1/kv/k?timeout=61s', 'timeout', '60000ms'],
    ['PUT', '/v1/kv/k?timeout=0ms', 'timeout', '1ms'],
    ['PUT', '/v1/kv/k?revision=1', 'revision', 'timeout'],
    ['DELETE', '/v1/kv/k?force=1', 'force', 'timeout'],
    ['GET', '/v1/kv/k?timeout=1s&timeout=2s', 'timeout', 'once'],
    ['GET', '/v1/kv/', 'key', '1 to 8192 bytes'],
    ['PUT', '/v1/kv/%', 'key', 'hex'],
    ['DELETE', '/v1/kv/a%2', 'key', 'hex'],
  ] as const)(
    '%s %s is refused, names %s and tells what is accepted',
    async (method, url, field, accepted) => {
      const { app, node } = testApp()
      const refused = await app.inject({
        method,
        url,
        ...(method === 'PUT' ? { payload: 'x' } : {}),
      })
      expect(refused.statusCode).toBe(400)
      const problem = refused.json<Record<string, string>>()
      expect(Value.Errors(ProblemSchema, problem)).toEqual([])
      expect(problem).toMatchObject({ code: 'INVALID_ARGUMENT', field })
      expect(problem['accepted']).toContain(accepted)
      expect(node.asked).toEqual([])
    },
  )

  test('the deadline reaches the cluster: five seconds unless the request says otherwise', async () => {
    const { app, node } = testApp()
    await app.inject({ url: '/v1/kv/k' })
    expect(node.lastOptions?.timeoutMs).toBe(5000)
    await app.inject({ url: '/v1/kv/k?timeout=500ms' })
    expect(node.lastOptions?.timeoutMs).toBe(500)
    await app.inject({ method: 'PUT', url: '/v1/kv/k?timeout=60s', payload: 'x' })
    expect(node.lastOptions?.timeoutMs).toBe(60_000)
  })

  test.each([
    ['noLeader', 503, 'NO_LEADER', 'notApplied'],
    ['stuck', 504, 'TIMEOUT', 'notApplied'],
    ['overloaded', 503, 'OVERLOADED', 'notApplied'],
    ['stopping', 503, 'SHUTTING_DOWN', 'notApplied'],
    ['noSpace', 507, 'NO_SPACE', 'notApplied'],
    ['unknown', 504, 'OUTCOME_UNKNOWN', 'unknown'],
    ['broken', 500, 'INTERNAL', 'unknown'],
  ] as const)(
    'a put while the cluster is %s ends as %d %s, %s (promise 4)',
    async (mode, status, code, outcome) => {
      const { app, node, lines } = testApp()
      node.mode = mode
      const put = await app.inject({ method: 'PUT', url: '/v1/kv/k?timeout=20ms', payload: 'x' })
      expect(put.statusCode).toBe(status)
      expect(Value.Errors(ProblemSchema, put.json())).toEqual([])
      expect(put.json()).toMatchObject({ code, outcome })
      expect(put.body).not.toContain('secret')
      // Nothing above debug for a request, unless the member itself is at fault.
      const loud = lines.filter(({ level }) => level !== 'debug')
      expect(loud.map(({ level }) => level)).toEqual(mode === 'broken' ? ['error'] : [])
      const { kv } = await node.get(
        { key: Buffer.from('k'), consistency: 'serializable' },
        { timeoutMs: 1 },
      )
      expect(kv !== undefined).toBe(mode === 'unknown')
    },
  )
})

describe('limits (X5)', () => {
  const limit = 1_572_864
  const key = 'a-key'

  test.each([limit - 1, limit])('key and value of %d bytes together are accepted', async (size) => {
    const { app } = testApp()
    const port = await listen(app)
    const value = Buffer.alloc(size - key.length, 7)
    const bodies = [value, [value.subarray(0, 100), value.subarray(100)]]
    for (const body of bodies) {
      expect((await send(port, 'PUT', `/v1/kv/${key}`, body)).status).toBe(200)
      expect((await send(port, 'GET', `/v1/kv/${key}`)).body.equals(value)).toBe(true)
    }
  })

  test('one byte more is refused, declared or chunked, and never reaches the cluster', async () => {
    const { app, node, metrics } = testApp()
    const port = await listen(app)
    const value = Buffer.alloc(limit + 1 - key.length, 7)
    const bodies = [value, [value.subarray(0, 100), value.subarray(100)]]
    for (const body of bodies) {
      const refused = await send(port, 'PUT', `/v1/kv/${key}`, body)
      expect(refused.status).toBe(413)
      expect(JSON.parse(refused.body.toString())).toMatchObject({
        code: 'REQUEST_TOO_LARGE',
        limitBytes: limit,
        outcome: 'notApplied',
      })
    }
    expect(node.asked).toEqual([])
    expect(metric(metrics, 'raftbase_rest_held_body_bytes')).toBe(0)
  })

  test.each([8191, 8192])('a key of %d bytes, every one escaped, is accepted', async (size) => {
    const { app } = testApp()
    const port = await listen(app)
    const path = `/v1/kv/${'%ff'.repeat(size)}`
    expect((await send(port, 'PUT', path, Buffer.from('x'))).status).toBe(200)
    expect((await send(port, 'GET', path)).body.toString()).toBe('x')
  })

  test('a key of one byte more is refused', async () => {
    const { app, node } = testApp()
    const path = `/v1/kv/${'%ff'.repeat(8193)}`
    const refused = await send(await listen(app), 'PUT', path, Buffer.from('x'))
    expect(refused.status).toBe(413)
    expect(JSON.parse(refused.body.toString())).toMatchObject({ field: 'key', limitBytes: 8192 })
    expect(node.asked).toEqual([])
  })
})

const post = (app: ReturnType<typeof testApp>['app'], payload: string, type?: string) =>
  app.inject({
    method: 'POST',
    url: '/v1/compaction?timeout=2s',
    headers: { 'content-type': type ?? 'application/json' },
    payload,
  })

describe('compaction', () => {
  test('is asked of the cluster with its deadline, and says what can be read from now on', async () => {
    const { app, node } = testApp()
    for (const payload of ['a', 'b', 'c'])
      await app.inject({ method: 'PUT', url: '/v1/kv/k', payload })
    const done = await post(app, '{"revision":3}')
    expect([done.statusCode, done.json()]).toEqual([200, { compactRevision: 3, revision: 4 }])
    expect(node.asked.at(-1)).toBe('compact 3')
    expect(node.lastOptions?.timeoutMs).toBe(2000)
  })

  test('that has happened, or is of the future, is refused with the revisions there are', async () => {
    const { app } = testApp()
    await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'a' })
    await post(app, '{"revision":2}')
    const again = await post(app, '{"revision":2}')
    expect(again.statusCode).toBe(410)
    expect(again.json()).toMatchObject({
      code: 'REVISION_COMPACTED',
      outcome: 'notApplied',
      compactRevision: 2,
    })
    const future = await post(app, '{"revision":3}')
    expect(future.statusCode).toBe(400)
    expect(future.json()).toMatchObject({ code: 'REVISION_FUTURE', revision: 2 })
  })

  test('takes a revision and nothing else', async () => {
    const { app, node } = testApp()
    const bodies = ['', '{}', '{"revision":0}', '{"revision":"3"}', '{"revision":1.5}', '[3]', '3']
    for (const body of [...bodies, '{"revision":1,"physical":true}', '{"revision":1e300}', '{']) {
      expect([body, (await post(app, body)).statusCode]).toEqual([body, 400])
    }
    expect((await post(app, '{"revision":1}', 'text/plain')).statusCode).toBe(415)
    expect((await app.inject({ url: '/v1/compaction' })).statusCode).toBe(405)
    expect(node.asked).toEqual([])
  })
})
