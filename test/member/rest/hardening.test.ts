// What hostile, slow and broken clients meet: raw sockets against a listening app.

import { describe, expect, test } from 'vitest'
import { listen, metric, RawClient, send, testApp, until } from './support.ts'

const aborted = 'raftbase_rest_requests_total{route="/v1/kv/{key}",method="PUT",result="aborted"}'
const inFlight = 'raftbase_rest_in_flight_requests'
const held = 'raftbase_rest_held_body_bytes'

function putText(body: string, options: { key?: string; length?: number; headers?: string } = {}) {
  const { key = 'k', length = body.length, headers = '' } = options
  return `PUT /v1/kv/${key}?timeout=60s HTTP/1.1\r\nhost: x\r\n${headers}content-length: ${length}\r\n\r\n${body}`
}

function codeIn(text: string): string | undefined {
  return /"code":"([A-Z_]+)"/.exec(text)?.[1]
}

describe('clients that go away', () => {
  test('a disconnect ends the wait for the cluster and is counted once', async () => {
    const { app, node, metrics } = testApp()
    const client = new RawClient(await listen(app))
    node.mode = 'stuck'
    client.send(putText('x'))
    await node.waiting(1)
    expect(metric(metrics, inFlight)).toBe(1)
    expect(metric(metrics, held)).toBeGreaterThan(0)
    client.socket.destroy()
    await node.waiting(0)
    expect(node.lastOptions?.signal?.aborted).toBe(true)
    expect([inFlight, held, aborted].map((name) => metric(metrics, name))).toEqual([0, 0, 1])
  })

  test('answers that queue behind another one are given up with it', async () => {
    const { app, node, metrics } = testApp()
    const client = new RawClient(await listen(app))
    node.mode = 'stuck'
    client.send(putText('1') + putText('2') + putText('3'))
    await node.waiting(3)
    client.socket.destroy()
    await node.waiting(0)
    expect([inFlight, held, aborted].map((name) => metric(metrics, name))).toEqual([0, 0, 3])
  })

  test('a body that breaks off is never proposed', async () => {
    const { app, node, metrics } = testApp()
    const client = new RawClient(await listen(app))
    client.send(putText('abc', { length: 100 }))
    await until(() => (metric(metrics, held) ?? 0) > 0)
    client.socket.destroy()
    await until(() => metric(metrics, inFlight) === 0)
    expect(metric(metrics, held)).toBe(0)
    expect(node.asked).toEqual([])
  })
})

describe('slow clients (X3)', () => {
  const limits = { headersTimeoutMs: 200, requestTimeoutMs: 400, timeoutCheckMs: 20 }

  test('a connection that sends nothing is closed', async () => {
    const { app, metrics } = testApp(limits)
    const client = new RawClient(await listen(app))
    expect(codeIn(await client.untilClosed())).toBe('TIMEOUT')
    await until(() => metric(metrics, 'raftbase_rest_open_connections') === 0)
  })

  test('headers that dribble in are cut off with 408, however steadily they dribble', async () => {
    const { app } = testApp(limits)
    const client = new RawClient(await listen(app))
    client.send('GET /healthz HTTP/1.1\r\nhost: x\r\nx-dribble: ')
    const timer = setInterval(() => client.send('a'), 10)
    const text = await client.untilClosed()
    clearInterval(timer)
    expect(text).toMatch(/^HTTP\/1.1 408 Request Timeout\r\n/)
    expect(text).toContain('content-type: application/problem+json\r\n')
    expect(text).toContain('connection: close\r\n')
  })

  test('a body that dribbles in is cut off with 408 and never proposed', async () => {
    const { app, node, metrics } = testApp(limits)
    const client = new RawClient(await listen(app))
    client.send(putText('', { length: 10_000 }))
    const timer = setInterval(() => client.send('a'), 10)
    const text = await client.untilClosed()
    clearInterval(timer)
    expect(text).toMatch(/^HTTP\/1.1 408 /)
    expect(text).toContain('"outcome":"notApplied"')
    expect(node.asked).toEqual([])
    await until(() => metric(metrics, inFlight) === 0)
    expect(metric(metrics, held)).toBe(0)
  })

  test('a refused body that goes on dribbling is cut off without a second answer', async () => {
    const { app } = testApp(limits)
    const client = new RawClient(await listen(app))
    client.send(putText('', { length: 2_000_000 }))
    const timer = setInterval(() => client.send('a'), 10)
    const text = await client.untilClosed()
    clearInterval(timer)
    expect(text.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 413'])
  })

  test('a value is sent as it was read, however late its client reads it', async () => {
    const { app, node } = testApp()
    const port = await listen(app)
    await send(port, 'PUT', '/v1/kv/large', Buffer.alloc(1_500_000, 'a'))
    const client = new RawClient(port)
    client.socket.pause()
    client.send('GET /v1/kv/large HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(5))
    await until(() => node.asked.length >= 3)
    const { kv } = await node.get(
      { key: Buffer.from('large'), consistency: 'serializable' },
      { timeoutMs: 1 },
    )
    // What a state does with its memory once a read is over.
    kv!.value.fill(0x7a)
    client.socket.resume()
    await until(() => client.received.length > 4_500_000)
    expect(client.received.slice(0, 4_500_000)).not.toContain('zz')
  })

  test('a client that does not read its answers is closed after the idle time', async () => {
    const { app, metrics } = testApp({
      deadlineMsDefault: 50,
      deadlineMsMax: 100,
      idleTimeoutMs: 300,
    })
    const port = await listen(app)
    await send(port, 'PUT', '/v1/kv/large', Buffer.alloc(1_500_000))
    await until(() => metric(metrics, 'raftbase_rest_open_connections') === 0)
    const client = new RawClient(port)
    client.socket.pause()
    client.send('GET /v1/kv/large HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(20))
    await until(() => metric(metrics, 'raftbase_rest_open_connections') === 1)
    await until(() => metric(metrics, 'raftbase_rest_open_connections') === 0)
    expect(metric(metrics, inFlight)).toBe(0)
  })
})

describe('garbage on the port (F41)', () => {
  test.each([
    ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
    ['an HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['zero bytes', '\0'.repeat(100), 400],
    ['a bad version', 'GET / HTTP/9.9\r\n\r\n', 400],
    [
      'two lengths',
      'PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
      400,
    ],
    [
      'a length and chunks',
      'PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
      400,
    ],
    ['a negative length', 'PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n', 400],
    ['headers above 32 KiB', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(40_000)}\r\n\r\n`, 431],
    ['a path above 32 KiB', `GET /v1/kv/${'a'.repeat(40_000)} HTTP/1.1\r\nhost: x\r\n\r\n`, 431],
  ])('%s is answered with a problem and the end', async (_what, bytes, status) => {
    const { app, node, metrics } = testApp()
    const port = await listen(app)
    const text = await new RawClient(port).send(bytes).untilClosed()
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(text).toContain('content-type: application/problem+json\r\n')
    expect(metric(metrics, 'raftbase_rest_malformed_requests_total')).toBe(1)
    expect(node.asked).toEqual([])
    expect((await send(port, 'GET', '/healthz')).status).toBe(200)
  })

  test('garbage behind a write that is under way ends the connection without a word (promise 4)', async () => {
    const { app, node } = testApp()
    const client = new RawClient(await listen(app))
    node.mode = 'stuck'
    client.send(putText('x'))
    await node.waiting(1)
    client.send('garbage\r\n\r\n')
    // An answer here would be read as the answer to the put, whose outcome is still open.
    expect(await client.untilClosed()).toBe('')
    await node.waiting(0)
  })

  test('a malformed chunk ends the connection with 400, and nothing is proposed', async () => {
    const { app, node } = testApp()
    const client = new RawClient(await listen(app))
    client.send(
      'PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n',
    )
    expect(await client.untilClosed()).toMatch(/^HTTP\/1.1 400 /)
    expect(node.asked).toEqual([])
  })
})

describe('bounds', () => {
  test('requests in flight: at the limit served, above it OVERLOADED, probes always answered', async () => {
    const { app, node } = testApp({ requestsInFlightMax: 2 })
    const port = await listen(app)
    node.mode = 'stuck'
    const clients = [new RawClient(port).send(putText('1')), new RawClient(port).send(putText('2'))]
    await node.waiting(2)
    const refused = await send(port, 'PUT', '/v1/kv/k', Buffer.from('3'))
    expect(refused.status).toBe(503)
    expect(refused.headers['retry-after']).toBe('1')
    expect(codeIn(refused.body.toString())).toBe('OVERLOADED')
    for (const path of ['/healthz', '/readyz', '/metrics', '/v1/status', '/cluster/nodes']) {
      expect((await send(port, 'GET', path)).status).toBe(200)
    }
    clients[0]!.socket.destroy()
    await node.waiting(1)
    node.mode = 'normal'
    expect((await send(port, 'PUT', '/v1/kv/k', Buffer.from('3'))).status).toBe(200)
  })

  test('bodies held: one more than fits is OVERLOADED, and there is room again afterwards', async () => {
    const { app, node, metrics } = testApp({
      requestBytesMax: 40_000,
      bodyBytesInFlightMax: 40_000,
    })
    const port = await listen(app)
    node.mode = 'stuck'
    const client = new RawClient(port).send(putText('a'.repeat(30_000)))
    await node.waiting(1)
    node.mode = 'normal'
    const refused = await send(port, 'PUT', '/v1/kv/k', Buffer.alloc(20_000))
    expect([refused.status, codeIn(refused.body.toString())]).toEqual([503, 'OVERLOADED'])
    client.socket.destroy()
    await node.waiting(0)
    expect((await send(port, 'PUT', '/v1/kv/k', Buffer.alloc(20_000))).status).toBe(200)
    expect(metric(metrics, held)).toBe(0)
  })

  test('memory follows what arrived, not what was promised', async () => {
    const { app, metrics } = testApp()
    const client = new RawClient(await listen(app))
    client.send(putText('a', { length: 1_500_000 }))
    await until(() => (metric(metrics, held) ?? 0) > 0)
    expect(metric(metrics, held)).toBeLessThanOrEqual(16_384)
  })

  test('a body of ten thousand chunks of one byte is one value', async () => {
    const { app } = testApp()
    const port = await listen(app)
    const client = new RawClient(port)
    client.send('PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n')
    client.send('1\r\nz\r\n'.repeat(10_000)).send('0\r\n\r\n')
    expect(await client.untilReceived(/revision/)).toMatch(/^HTTP\/1.1 200 /)
    expect((await send(port, 'GET', '/v1/kv/k')).body.toString()).toBe('z'.repeat(10_000))
  })

  test('connections: one above the limit is dropped and counted', async () => {
    const { app, metrics } = testApp({ connectionsMax: 2 })
    const port = await listen(app)
    const first = [new RawClient(port), new RawClient(port)]
    await until(() => metric(metrics, 'raftbase_rest_open_connections') === 2)
    await new RawClient(port).untilClosed()
    expect(metric(metrics, 'raftbase_rest_dropped_connections_total')).toBe(1)
    expect(first.map((client) => client.isClosed)).toEqual([false, false])
  })
})

describe('what a client may expect of HTTP', () => {
  test('a client that asks before it sends is told to go on, or why not', async () => {
    const { app } = testApp()
    const port = await listen(app)
    const expectation = 'expect: 100-continue\r\n'
    const good = new RawClient(port).send(putText('', { length: 3, headers: expectation }))
    await good.untilReceived(/100 Continue\r\n\r\n/)
    expect(await good.send('abc').untilReceived(/revision/)).toContain('HTTP/1.1 200 OK')
    const large = new RawClient(port).send(putText('', { length: 1_572_864, headers: expectation }))
    const answer = await large.untilClosed()
    expect(answer).toMatch(/^HTTP\/1.1 413 /)
    expect(answer).not.toContain('100 Continue')
  })

  test('the absolute form of a request target is the same as the path (RFC 9112 §3.2.2)', async () => {
    const { app } = testApp()
    const client = new RawClient(await listen(app))
    client.send('GET http://other:1/healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    expect(await client.untilClosed()).toMatch(/\r\n\r\nok$/)
  })

  test('HTTP/1.1 without a host is refused, HTTP/1.0 is not (RFC 9112 §3.2)', async () => {
    const { app } = testApp()
    const port = await listen(app)
    const without = new RawClient(port).send('GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n')
    expect(await without.untilClosed()).toMatch(/^HTTP\/1.1 400 [^]*"field":"host"/)
    const old = new RawClient(port).send('GET /healthz HTTP/1.0\r\n\r\n')
    expect(await old.untilClosed()).toMatch(/^HTTP\/1.1 200 /)
  })

  test.each([
    ['POST', '/healthz', 'GET, HEAD'],
    ['OPTIONS', '/v1/kv/k', 'GET, HEAD, PUT, DELETE'],
    ['TRACE', '/v1/kv/k', 'GET, HEAD, PUT, DELETE'],
    ['PROPFIND', '/v1/kv/k', 'GET, HEAD, PUT, DELETE'],
    ['GET', '/cluster/leader', 'POST'],
    ['PUT', '/cluster', 'GET, HEAD'],
  ])('%s %s is 405 and tells what is allowed', async (method, path, allow) => {
    const { app } = testApp()
    const got = await send(await listen(app), method, path)
    expect([got.status, got.headers.allow]).toEqual([405, allow])
    expect(codeIn(got.body.toString())).toBe('METHOD_NOT_ALLOWED')
  })

  test.each([
    '/',
    '/v1/kv',
    '/v1',
    '/HEALTHZ',
    '/healthz/',
    '//healthz',
    '/health%7A',
    '/%FF',
    '/%',
    '*',
  ])('%s is no path of this API', async (path) => {
    const { app } = testApp()
    const got = await send(await listen(app), 'GET', path)
    expect([got.status, codeIn(got.body.toString())]).toEqual([404, 'ROUTE_NOT_FOUND'])
  })

  test.each(['/__proto__', '/constructor', '/toString', '/v1/kv/__proto__'])(
    'GET %s finds nothing (X7)',
    async (path) => {
      const { app } = testApp()
      expect((await send(await listen(app), 'GET', path)).status).toBe(404)
    },
  )
})

describe('pages of other sites (X9)', () => {
  test.each([
    [{ origin: 'http://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ origin: 'http://db.example:8080', 'sec-fetch-site': 'same-origin' }, 200],
    [{ origin: 'https://db.example:8080' }, 200],
    [{}, 200],
  ] as const)('a change with the headers %j is answered with %d', async (headers, status) => {
    const { app } = testApp()
    const common = { headers: { host: 'db.example:8080', ...headers } }
    const post = await app.inject({ method: 'POST', url: '/cluster/leader', ...common })
    const put = await app.inject({ method: 'PUT', url: '/v1/kv/k', payload: 'x', ...common })
    const deleted = await app.inject({ method: 'DELETE', url: '/v1/kv/k', ...common })
    expect([post, put, deleted].map((got) => got.statusCode)).toEqual([status, status, status])
  })

  test('no answer invites another site to read it', async () => {
    const { app } = testApp()
    const headers = { origin: 'http://evil.example', 'access-control-request-method': 'PUT' }
    for (const method of ['GET', 'OPTIONS'] as const) {
      const got = await app.inject({ method, url: '/v1/kv/k', headers })
      expect(Object.keys(got.headers).filter((name) => name.startsWith('access-control'))).toEqual(
        [],
      )
    }
  })
})

describe('stopping', () => {
  test('requests in flight are answered, and what comes behind them is not carried out', async () => {
    const { app, node } = testApp()
    const client = new RawClient(await listen(app))
    node.mode = 'stuck'
    client.send(putText('x').replace('timeout=60s', 'timeout=300ms'))
    await node.waiting(1)
    const closed = app.close()
    client.send(putText('late'))
    const text = await client.untilClosed()
    await closed
    expect(text).toMatch(/^HTTP\/1.1 504 [^]*"code":"TIMEOUT"/)
    expect(text).toMatch(/\r\nconnection: close\r\n/i)
    expect(text.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 504'])
    expect(node.asked).toEqual(['put'])
  })

  test('a request that outlasts the grace is cut', async () => {
    const { app, node, lines, metrics } = testApp({ closeGraceMs: 50 })
    const client = new RawClient(await listen(app))
    node.mode = 'stuck'
    client.send(putText('x'))
    await node.waiting(1)
    await app.close()
    expect(await client.untilClosed()).toBe('')
    await node.waiting(0)
    expect(metric(metrics, inFlight)).toBe(0)
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
  })
})
