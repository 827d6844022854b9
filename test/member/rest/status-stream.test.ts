// GET /v1/status/stream over a member in memory: what is told, when, and what becomes of readers that do not read.

import { connect } from 'node:net'
import { Value } from 'typebox/value'
import { expect, onTestFinished, test } from 'vitest'
import { type StatusEvent, StatusEventSchema } from '../../../member/src/rest/contract.ts'
import { MEMBER_IDS } from '../../support/memory-member-node.ts'
import { EventReader } from '../../support/sse.ts'
import { listen, metric, RawClient, send, testApp, until } from './support.ts'

async function watched(limits: Parameters<typeof testApp>[0] = {}) {
  const made = testApp(limits)
  const port = await listen(made.app)
  const watch = (): EventReader<StatusEvent> => {
    const reader = new EventReader<StatusEvent>(`http://127.0.0.1:${port}/v1/status/stream`)
    onTestFinished(() => reader.close())
    return reader
  }
  return { ...made, port, watch }
}

test('says how the member is, and again when something has changed', async () => {
  const { node, watch } = await watched()
  const reader = watch()
  await until(() => reader.events.length === 1)
  expect(Value.Errors(StatusEventSchema, reader.newest)).toEqual([])
  expect(reader.newest).toEqual({
    name: 'n1',
    clusterId: '00000000000000c1',
    memberId: MEMBER_IDS[0],
    state: 'running',
    startupPhase: 'complete',
    dataDirectory: 'Valid',
    ready: true,
    role: 'leader',
    term: 2,
    leader: MEMBER_IDS[0],
    leaderName: 'n1',
    membershipEpoch: 0,
  })
  node.leader = MEMBER_IDS[1]
  node.changed()
  node.changed()
  await until(() => reader.events.length === 2)
  expect(reader.newest).toMatchObject({ role: 'follower', leaderName: 'n2', ready: true })
  // Nothing that is told has changed: no event.
  node.changed()
  node.state = 'parked'
  node.changed()
  await until(() => reader.events.length === 3)
  expect(reader.newest).toMatchObject({ state: 'parked', ready: false })
  expect(reader.events.map(({ event }) => event)).toEqual(['status', 'status', 'status'])
})

test('what changes in one turn is one event, the same for every watcher', async () => {
  const { node, watch } = await watched()
  const readers = [watch(), watch(), watch()]
  await until(() => readers.every(({ events }) => events.length === 1))
  for (const leader of [undefined, MEMBER_IDS[1], MEMBER_IDS[2]]) {
    node.leader = leader
    node.changed()
  }
  await until(() => readers.every(({ events }) => events.length === 2))
  for (const { newest } of readers) expect(newest).toMatchObject({ leader: MEMBER_IDS[2] })
})

test('a reader that does not read holds the newest event and no more', async () => {
  const { app, node, port } = await watched()
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.pause()
  socket.write('GET /v1/status/stream HTTP/1.1\r\nhost: a\r\n\r\n')
  await until(() => node.listenerCount > 0)
  // Far more than the buffers of a connection hold.
  const changes = 40_000
  for (let i = 0; i < changes; i++) {
    node.leader = MEMBER_IDS[i % 2]
    node.changed()
    await new Promise((resolve) => setImmediate(resolve))
  }
  node.leader = MEMBER_IDS[2]
  node.changed()
  await new Promise((resolve) => setImmediate(resolve))
  let text = ''
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    text += chunk
  })
  socket.resume()
  await until(() => text.includes(`"leader":"${MEMBER_IDS[2]}"`))
  expect(text.split('event: status').length).toBeLessThan(changes)
  expect(text.lastIndexOf('event: status')).toBeLessThan(
    text.indexOf(`"leader":"${MEMBER_IDS[2]}"`),
  )
  await app.close()
})

test('there is room for so many and the next is refused; one that leaves makes room', async () => {
  const { port, watch, node } = await watched({ statusStreamsMax: 2 })
  const readers = [watch(), watch()]
  await until(() => readers.every(({ events }) => events.length === 1))
  const refused = await send(port, 'GET', '/v1/status/stream')
  expect([refused.status, JSON.parse(refused.body.toString())]).toMatchObject([
    503,
    { code: 'OVERLOADED', outcome: 'notApplied' },
  ])
  readers[0]!.close()
  await until(() => readers[0]!.isEnded)
  const late = watch()
  await until(() => late.events.length === 1)
  for (const reader of [readers[1]!, late]) reader.close()
  await until(() => node.listenerCount === 0)
})

test('a stop is told, and ends the streams without waiting for anybody', async () => {
  const { app, node, watch } = await watched()
  const reader = watch()
  await until(() => reader.events.length === 1)
  node.state = 'stopping'
  const startMs = performance.now()
  await app.close()
  expect(performance.now() - startMs).toBeLessThan(1000)
  await until(() => reader.isEnded)
  expect(reader.newest).toMatchObject({ state: 'stopping', ready: false })
})

test('parameters and other methods are refused, and streams count as requests', async () => {
  const { port, watch, metrics } = await watched()
  expect((await send(port, 'GET', '/v1/status/stream?a=1')).status).toBe(400)
  expect((await send(port, 'POST', '/v1/status/stream')).status).toBe(405)
  const reader = watch()
  await until(() => reader.events.length === 1)
  expect(metric(metrics, 'raftbase_rest_in_flight_requests')).toBe(1)
  const raw = await new RawClient(port)
    .send('GET /v1/status/stream HTTP/1.1\r\nhost: a\r\n\r\n')
    .untilReceived(/data: /)
  expect(raw).toContain('content-type: text/event-stream')
  expect(raw).toContain('retry: 500')
})
