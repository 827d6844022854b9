// GET /v1/snapshot over a member in memory: what is said of it, that its end tells whether it is whole, and that no client
// holds it for ever (faults.md X3, X5).

import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { RaftbaseError } from '../../../lib/errors.ts'
import { listen, RawClient, send, testApp, until } from './support.ts'

const PIECE = new Uint8Array(256 * 1024).fill(7)

async function* pieces(count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield PIECE
}

async function served(limits: Parameters<typeof testApp>[0] = {}) {
  const made = testApp(limits)
  return { ...made, port: await listen(made.app) }
}

test('streams the file with what is known of it, and lets the state go', async () => {
  const { node, port } = await served()
  node.exportChunks = () => pieces(40)
  const answer = await send(port, 'GET', '/v1/snapshot')
  expect(answer.status).toBe(200)
  expect(answer.headers).toMatchObject({
    'content-type': 'application/octet-stream',
    'raftbase-snapshot-format': '1',
    'raftbase-cluster-id': '00000000000000c1',
    'raftbase-revision': '1',
    'raftbase-raft-index': '2',
    'raftbase-raft-term': '2',
    'raftbase-member-count': '3',
    'transfer-encoding': 'chunked',
  })
  expect(answer.body.length).toBe(40 * PIECE.length)
  expect(node.openExports).toBe(0)
  expect(node.asked).toEqual(['export linearizable'])
  await send(port, 'GET', '/v1/snapshot?consistency=serializable&timeout=1s')
  expect(node.asked.at(-1)).toBe('export serializable')
})

test('refuses what it cannot mean before anything is captured', async () => {
  const { node, port } = await served()
  const wrong = await send(port, 'GET', '/v1/snapshot?consistency=eventual')
  expect(wrong.status).toBe(400)
  expect((await send(port, 'GET', '/v1/snapshot?revision=3')).status).toBe(400)
  expect((await send(port, 'POST', '/v1/snapshot')).status).toBe(405)
  expect(node.asked).toEqual([])
})

test('what fails in the middle ends without an end, and is logged once', async () => {
  const { node, port, lines } = await served()
  node.exportChunks = async function* () {
    yield PIECE
    throw new RaftbaseError('SHUTTING_DOWN', 'the member is stopping')
  }
  const client = new RawClient(port)
  client.send('GET /v1/snapshot HTTP/1.1\r\nhost: a\r\n\r\n')
  const received = await client.untilClosed()
  expect(received).toContain('200 OK')
  expect(received.endsWith('0\r\n\r\n')).toBe(false)
  expect(node.openExports).toBe(0)
  expect(lines.filter(({ message }) => message === 'answer cut off')).toHaveLength(1)
})

test('a client that goes away lets the state go', async () => {
  const { node, port, lines } = await served()
  let made = 0
  node.exportChunks = async function* () {
    for (;;) {
      made++
      yield PIECE
    }
  }
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.write('GET /v1/snapshot HTTP/1.1\r\nhost: a\r\n\r\n')
  socket.resume()
  await until(() => made > 10)
  socket.destroy()
  await until(() => node.openExports === 0)
  expect(lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([])
})

test.each([
  ['stops reading', { snapshotStallMs: 50 }],
  ['takes too long altogether', { snapshotMsMax: 50 }],
])('a client that %s is cut off, and holds no more than the connection does', async (_, limits) => {
  const { node, port, lines } = await served(limits)
  let made = 0
  node.exportChunks = async function* () {
    for (;;) {
      made++
      yield PIECE
    }
  }
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  socket.pause()
  socket.write('GET /v1/snapshot HTTP/1.1\r\nhost: a\r\n\r\n')
  await until(() => made > 0)
  await until(() => node.openExports === 0)
  // The kernel's buffers on both sides, and one piece of ours.
  expect(made * PIECE.length).toBeLessThan(16 * 1024 * 1024)
  expect(lines.map(({ message }) => message)).toContain('answer cut off')
})

test('a client that has gone before the answer begins is no reason to make one', async () => {
  const { node, port } = await served()
  const gate = Promise.withResolvers<void>()
  const open = node.exportSnapshot.bind(node)
  let made = 0
  node.exportChunks = async function* () {
    made++
    yield PIECE
  }
  node.exportSnapshot = async (...args) => {
    await gate.promise
    return open(...args)
  }
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /v1/snapshot HTTP/1.1\r\nhost: a\r\n\r\n')
  await new Promise((resolve) => socket.once('connect', resolve))
  await send(port, 'GET', '/healthz')
  socket.destroy()
  await send(port, 'GET', '/healthz')
  gate.resolve()
  await until(() => node.asked.length > 0 && node.openExports === 0)
  expect(made).toBe(0)
})
