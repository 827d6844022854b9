// Too much to do, as a client of the REST API meets it (faults.md F43): requests wait for their turn or are refused before
// their bodies are read, and a connection that sends request upon request without waiting for answers is closed.

import { expect, test } from 'vitest'
import { admissionLimits } from '../../../member/src/limits.ts'
import { listen, metric, RawClient, send, testApp, until } from './support.ts'

const ONE = { ...admissionLimits(1000), runningMin: 1, runningMax: 1, runningStart: 1 }

/** All of a PUT but the last two bytes of its body. */
function beginOfPut(key: string): string {
  return `PUT /v1/kv/${key} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n1`
}

function codeIn(text: string): unknown {
  return (JSON.parse(text.slice(text.indexOf('{'))) as { code: string }).code
}

test('a request waits for its turn, and is carried out then', async () => {
  const { app, node, admission } = testApp({}, ONE)
  const port = await listen(app)
  node.mode = 'stuck'
  const first = send(port, 'GET', '/v1/kv/a?timeout=200ms')
  await node.waiting(1)
  const second = send(port, 'PUT', '/v1/kv/a', Buffer.from('2'))
  await until(() => admission.waiting === 1)
  node.mode = 'normal'
  expect((await first).status).toBe(504)
  expect((await second).status).toBe(200)
  expect((await send(port, 'GET', '/v1/kv/a')).body.toString()).toBe('2')
  await until(() => admission.running === 0)
})

test('one that waits too long is refused, certainly not done, and its connection goes on', async () => {
  const { app, node, metrics, admission } = testApp({}, { ...ONE, waitMsMax: 50 })
  const port = await listen(app)
  node.mode = 'stuck'
  const first = send(port, 'GET', '/v1/kv/a?timeout=300ms')
  await node.waiting(1)
  const client = new RawClient(port)
  client.send('PUT /v1/kv/b HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n')
  client.send('x'.repeat(100_000))
  const answer = await client.untilReceived(/"code":"OVERLOADED"/)
  expect(answer).toMatch(/^HTTP\/1.1 503 /)
  expect(answer.toLowerCase()).toContain('retry-after: 1')
  expect(answer).toContain('"outcome":"notApplied"')
  node.mode = 'normal'
  await first
  client.send('GET /v1/kv/b HTTP/1.1\r\nHost: x\r\n\r\n')
  expect(await client.untilReceived(/"code":"NOT_FOUND"/)).toContain('404')
  await until(() => admission.running === 0)
  const series = 'raftbase_rest_requests_total{route="/v1/kv/{key}",method="PUT",result="5xx"}'
  expect(metric(metrics, series)).toBe(1)
  expect(metric(metrics, 'raftbase_rest_held_body_bytes')).toBe(0)
})

test('what it has waited is gone from its deadline', async () => {
  const { app, node } = testApp({}, ONE)
  const port = await listen(app)
  node.mode = 'stuck'
  const first = send(port, 'GET', '/v1/kv/a?timeout=300ms')
  await node.waiting(1)
  const startMs = performance.now()
  const second = await send(port, 'GET', '/v1/kv/a?timeout=600ms')
  expect(codeIn(second.body.toString())).toBe('TIMEOUT')
  expect(performance.now() - startMs).toBeLessThan(850)
  await first
})

test('a wait that outlasts the deadline ends as TIMEOUT, without a body to a HEAD', async () => {
  const { app, node } = testApp({}, ONE)
  const port = await listen(app)
  node.mode = 'stuck'
  const first = send(port, 'GET', '/v1/kv/a?timeout=400ms')
  await node.waiting(1)
  const late = await send(port, 'GET', '/v1/kv/a?timeout=50ms')
  expect([late.status, codeIn(late.body.toString())]).toEqual([504, 'TIMEOUT'])
  const head = await send(port, 'HEAD', '/v1/kv/a?timeout=50ms')
  expect([head.status, head.body.length]).toEqual([504, 0])
  await first
})

test('whoever goes away while waiting is never carried out', async () => {
  const { app, node, admission } = testApp({}, ONE)
  const port = await listen(app)
  node.mode = 'stuck'
  const first = send(port, 'GET', '/v1/kv/a?timeout=300ms')
  await node.waiting(1)
  const client = new RawClient(port)
  client.send('PUT /v1/kv/b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n2')
  await until(() => admission.waiting === 1)
  client.socket.destroy()
  await new Promise((resolve) => app.server.getConnections(resolve))
  node.mode = 'normal'
  await first
  await until(() => admission.running === 0 && admission.waiting === 0)
  expect((await send(port, 'GET', '/v1/kv/b')).status).toBe(404)
})

test('a body that is slow to arrive keeps no place, and waits in line when it is there (X3)', async () => {
  const { app, node, admission } = testApp({}, ONE)
  const port = await listen(app)
  const slow = ['a', 'b', 'c'].map((key) => new RawClient(port).send(beginOfPut(key)))
  await until(() => admission.running === 1)
  expect((await send(port, 'PUT', '/v1/kv/d', Buffer.from('4'))).status).toBe(200)
  await until(() => admission.running === 0 && admission.waiting === 0)
  // All of it has come, and somebody else is being served: it waits.
  node.mode = 'stuck'
  const first = send(port, 'GET', '/v1/kv/d?timeout=300ms')
  await node.waiting(1)
  slow[0]!.send('11')
  await until(() => admission.waiting === 1)
  // One of them goes while it waits.
  slow[1]!.send('11')
  await until(() => admission.waiting === 2)
  slow[1]!.socket.destroy()
  node.mode = 'normal'
  expect((await first).status).toBe(504)
  expect(await slow[0]!.untilReceived(/"revision"/)).toContain('200')
  slow[2]!.send('11')
  expect(await slow[2]!.untilReceived(/"revision"/)).toContain('200')
  expect((await send(port, 'GET', '/v1/kv/b')).status).toBe(404)
  await until(() => admission.running === 0 && admission.waiting === 0)
})

test('whoever looks after the member does not wait in line', async () => {
  const { app, node } = testApp({}, ONE)
  const port = await listen(app)
  node.mode = 'stuck'
  const first = send(port, 'PUT', '/v1/kv/a?timeout=500ms', Buffer.from('1'))
  await node.waiting(1)
  for (const path of ['/v1/status', '/cluster', '/cluster/members', '/metrics', '/readyz']) {
    expect([path, (await send(port, 'GET', path)).status]).toEqual([path, 200])
  }
  await first
})

test('a connection that leaves more answers to come than it may is answered so far, and closed', async () => {
  const { app, node, admission } = testApp({ pipelinedMax: 3 })
  const port = await listen(app)
  node.mode = 'stuck'
  const puts = ['a', 'b', 'c', 'd', 'e', 'f'].map(
    (key) => `PUT /v1/kv/${key}?timeout=200ms HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1`,
  )
  const client = new RawClient(port).send(puts.join(''))
  await node.waiting(3)
  node.mode = 'normal'
  const answers = await client.untilClosed()
  expect(answers.match(/HTTP\/1.1 \d+/g)).toEqual([
    ...Array.from({ length: 3 }, () => 'HTTP/1.1 504'),
    'HTTP/1.1 503',
  ])
  for (const key of ['d', 'e', 'f']) {
    expect((await send(port, 'GET', `/v1/kv/${key}`)).status).toBe(404)
  }
  await until(() => admission.running === 0)
})
