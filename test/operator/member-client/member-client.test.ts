// The client of members against real HTTP that misbehaves: silence, nonsense, floods. A member is data from outside; what it
// says is checked, bounded in size and time, and never an exception.

import { MemberTrust } from '../../../operator/src/member-client/trust.ts'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemTimers } from '../../../lib/clock.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import { EventParser } from '../../../operator/src/member-client/event-stream.ts'
import { StatusClient } from '../../../operator/src/member-client/status-client.ts'
import { StatusStreams } from '../../../operator/src/member-client/status-streams.ts'
import { silentLog, until } from '../support.ts'

/** As a member answers, the parts somebody decides by. */
const STATUS = {
  name: 'demo-0',
  version: '0.1.0',
  clusterId: '9f3c000000000000',
  memberId: 'a100000000000000',
  state: 'running',
  startupPhase: 'complete',
  dataDirectory: { state: 'Valid' },
  ready: true,
  alarms: [],
  role: 'leader',
  term: 3,
  leader: 'a100000000000000',
  members: [{ id: 'a100000000000000', name: 'demo-0', role: 'voter', fromTheFuture: true }],
  peers: [{ id: 'b200000000000000', name: 'demo-1', connected: true, match: 7 }],
  fromTheFuture: { a: 1 },
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void

let server: Server
let handler: Handler
let sockets: Set<Socket>
let requestCount: number
let cleanups: (() => Promise<void> | void)[]

beforeEach(async () => {
  sockets = new Set()
  requestCount = 0
  cleanups = []
  handler = (_request, response) => response.end(JSON.stringify(STATUS))
  server = createServer((request, response) => {
    requestCount++
    handler(request, response)
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})

afterEach(async () => {
  for (const cleanup of cleanups) await cleanup()
  for (const socket of sockets) socket.destroy()
  await new Promise<void>((resolve) => server.close(() => resolve()))
})

function baseUrl(): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const signal = new AbortController().signal

function newClient(timeoutMs = 2000): StatusClient {
  const client = new StatusClient({ trust: new MemberTrust(), timers: systemTimers, timeoutMs })
  cleanups.push(() => client.close())
  return client
}

describe('the status of a member', () => {
  test('is what it answers, fields of a newer member included', async () => {
    const answer = await newClient().status(baseUrl(), { signal })
    expect(answer).toEqual({ kind: 'answered', status: STATUS })
  })

  test('many looks share a connection', async () => {
    const client = newClient()
    for (let i = 0; i < 5; i++) await client.status(baseUrl(), { signal })
    expect([requestCount, sockets.size]).toEqual([5, 1])
  })

  test.each<[string, unknown]>([
    ['its answer is not JSON', '<html>'],
    ['its answer is not an object', '[]'],
    ['its name makes no sense', { ...STATUS, name: 7 }],
    ['its state makes no sense', { ...STATUS, state: 'dancing' }],
    ['its role makes no sense', { ...STATUS, role: 'emperor' }],
    ['its term makes no sense', { ...STATUS, term: -1 }],
    ['its term makes no sense', { ...STATUS, term: 2 ** 60 }],
    ['its members makes no sense', { ...STATUS, members: [{ id: 'a' }] }],
    ['its peers makes no sense', { ...STATUS, peers: 'none' }],
    ['its configFile makes no sense', { ...STATUS, configFile: { epoch: '7' } }],
    ['its dataDirectory makes no sense', { ...STATUS, dataDirectory: 'Valid' }],
  ])('that %s is silence', async (detail, body) => {
    handler = (_request, response) =>
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    const answer = await newClient().status(baseUrl(), { signal })
    expect(answer).toEqual({ kind: 'silent', reason: 'malformed', detail })
  })

  test('an answer that is no 200 is silence', async () => {
    handler = (_request, response) => response.writeHead(503).end('{}')
    const answer = await newClient().status(baseUrl(), { signal })
    expect(answer).toMatchObject({ reason: 'malformed', detail: 'it answers 503' })
  })

  test('an answer without end is cut off', async () => {
    handler = (_request, response) => {
      const more = () => {
        if (!response.destroyed && response.write('x'.repeat(65_536))) setImmediate(more)
      }
      response.on('drain', more)
      more()
    }
    const answer = await newClient().status(baseUrl(), { signal })
    expect(answer).toMatchObject({ reason: 'malformed', detail: 'its answer is too large' })
    await until('the connection is closed', () => sockets.size === 0)
  })

  test.each<[string, Handler]>([
    ['no answer', () => undefined],
    [
      'an answer that stops half-way',
      (_request, response) => {
        response.writeHead(200)
        response.write('{')
      },
    ],
  ])('%s is silence after the timeout', async (_what, misbehave) => {
    handler = misbehave
    const startMs = performance.now()
    const answer = await newClient(100).status(baseUrl(), { signal })
    expect(answer).toMatchObject({ kind: 'silent', reason: 'timeout' })
    expect(performance.now() - startMs).toBeLessThan(2000)
  })

  test('a closed port, a connection that breaks and a name that does not resolve are told apart', async () => {
    const client = newClient()
    handler = (request) => request.socket.destroy()
    expect(await client.status(baseUrl(), { signal })).toMatchObject({ reason: 'failed' })
    const unresolved = await client.status('http://nobody.invalid:1', { signal })
    expect(unresolved).toMatchObject({ reason: 'unresolved' })
    expect(await client.status('http://127.0.0.1:1', { signal })).toMatchObject({
      reason: 'refused',
    })
  })

  test('an aborted signal rejects', async () => {
    handler = () => undefined
    const aborter = new AbortController()
    const asked = newClient().status(baseUrl(), { signal: aborter.signal })
    await until('it was asked', () => requestCount === 1)
    aborter.abort()
    await expect(asked).rejects.toThrow('aborted')
  })
})

const CLUSTER = { namespace: 'default', name: 'demo' }

function newStreams(options: { inactivityMs?: number } = {}) {
  const woken: string[] = []
  const streams = new StatusStreams({
    trust: new MemberTrust(),
    timers: systemTimers,
    prng: new SeededPrng(1),
    log: silentLog,
    enqueue: ({ name }) => woken.push(name),
    ...options,
  })
  cleanups.push(() => streams.stop())
  return { streams, woken }
}

/** Open streams of the server, to write events to. */
function serveStreams(): ServerResponse[] {
  const open: ServerResponse[] = []
  handler = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    open.push(response)
  }
  return open
}

const EVENT = `event: status\ndata: ${JSON.stringify({ name: 'demo-0' })}\n\n`

describe('status streams', () => {
  test('each event wakes the cluster; comments and other events do not', async () => {
    const open = serveStreams()
    const { streams, woken } = newStreams()
    streams.follow(CLUSTER, [{ name: 'demo-0', baseUrl: baseUrl() }])
    await until('it follows', () => streams.openCount === 1)
    open[0]!.write(': alive\n\nevent: other\ndata: {}\n\n')
    open[0]!.write(EVENT)
    await until('it is woken', () => woken.length > 0)
    expect(woken).toEqual(['demo'])
  })

  test('a stream that breaks wakes the cluster and is opened again', async () => {
    const open = serveStreams()
    const { streams, woken } = newStreams()
    streams.follow(CLUSTER, [{ name: 'demo-0', baseUrl: baseUrl() }])
    await until('it follows', () => open.length === 1 && streams.openCount === 1)
    open[0]!.destroy()
    await until('it follows again', () => open.length === 2)
    expect(woken).toEqual(['demo'])
  })

  test('a stream that says nothing for too long counts as broken', async () => {
    const open = serveStreams()
    const { streams, woken } = newStreams({ inactivityMs: 100 })
    streams.follow(CLUSTER, [{ name: 'demo-0', baseUrl: baseUrl() }])
    await until('it follows again', () => open.length === 2)
    expect(woken[0]).toBe('demo')
  })

  test('a member that refuses is tried again at growing intervals and wakes nobody', async () => {
    handler = (_request, response) => response.writeHead(404).end()
    const { streams, woken } = newStreams()
    streams.follow(CLUSTER, [{ name: 'demo-0', baseUrl: baseUrl() }])
    await new Promise((resolve) => setTimeout(resolve, 1000))
    expect(requestCount).toBeGreaterThanOrEqual(2)
    expect(requestCount).toBeLessThanOrEqual(6)
    expect([woken, streams.openCount]).toEqual([[], 0])
  })

  test('following the same members again changes nothing; fewer members close streams, none closes all', async () => {
    const open = serveStreams()
    const { streams } = newStreams()
    const members = ['demo-0', 'demo-1', 'demo-2'].map((name) => ({ name, baseUrl: baseUrl() }))
    streams.follow(CLUSTER, members)
    streams.follow(CLUSTER, members)
    await until('all are followed', () => streams.openCount === 3)
    expect(open.length).toBe(3)
    streams.follow(CLUSTER, members.slice(0, 1))
    await until('one is left', () => streams.openCount === 1)
    streams.follow(CLUSTER, [])
    await until('none is left', () => streams.openCount === 0)
    await until('the connections are closed', () => sockets.size === 0)
    expect(requestCount).toBe(3)
  })

  test('a member that has moved is followed at its new address', async () => {
    const open = serveStreams()
    const { streams } = newStreams()
    streams.follow(CLUSTER, [{ name: 'demo-0', baseUrl: 'http://127.0.0.1:1' }])
    streams.follow(CLUSTER, [{ name: 'demo-0', baseUrl: baseUrl() }])
    await until('it follows', () => open.length === 1)
    await until('it has been answered', () => streams.openCount === 1)
    expect(open.length).toBe(1)
  })

  test('stopping closes everything, also what is only being connected, and opens nothing more', async () => {
    handler = () => undefined
    const { streams } = newStreams()
    streams.follow(CLUSTER, [{ name: 'demo-0', baseUrl: baseUrl() }])
    await until('it connects', () => requestCount === 1)
    await streams.stop()
    streams.follow(CLUSTER, [{ name: 'demo-1', baseUrl: baseUrl() }])
    await until('the connections are closed', () => sockets.size === 0)
    expect(requestCount).toBe(1)
  })

  test('a stream without end of line does not fill the memory', async () => {
    const open = serveStreams()
    const { streams } = newStreams()
    streams.follow(CLUSTER, [{ name: 'demo-0', baseUrl: baseUrl() }])
    await until('it follows', () => open.length === 1)
    open[0]!.write('x'.repeat(70_000))
    await until('it gives up and connects anew', () => open.length === 2)
    expect(open.length).toBe(2)
  })
})

function parse(chunks: readonly string[]): unknown[] {
  const parser = new EventParser()
  return chunks.flatMap((chunk): unknown[] => [...(parser.push(Buffer.from(chunk)) ?? ['refused'])])
}

describe('the parser of server-sent events', () => {
  test.each<[string, readonly string[], readonly unknown[]]>([
    ['one event', ['event: status\ndata: {}\n\n'], [{ name: 'status', data: '{}' }]],
    ['an event cut anywhere', 'event: a\ndata: b\n\n'.split(''), [{ name: 'a', data: 'b' }]],
    ['lines that end in CR LF', ['event: a\r\ndata: b\r\n\r\n'], [{ name: 'a', data: 'b' }]],
    ['data of several lines', ['data: a\ndata: b\n\n'], [{ name: 'message', data: 'a\nb' }]],
    ['an event without data', ['event: a\n\n'], []],
    ['comments and unknown fields', [': hello\nid: 7\nretry: 10\n\n'], []],
    ['an unfinished event', ['data: a\n'], []],
  ])('%s', (_what, chunks, events) => {
    expect(parse(chunks)).toEqual(events)
  })
})
