// Snapshots on a connection of their own: whole or not at all, one at a time, at the receiver's pace (F39).

import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { RaftbaseError } from '../../../lib/errors.ts'
import { SNAPSHOT_PATH, helloFields } from '../../../member/src/transport/handshake.ts'
import { addressOf, heartbeat, memberId, startCluster, startMember, until } from './harness.ts'
import { closed, identityOf, rawConnect, startAcceptor, startProxy, welcome } from './raw-peer.ts'

const CHUNK_BYTES = 256 * 1024
const NEVER = new AbortController().signal

async function* pieces(
  count: number,
  onPiece: (index: number) => void = () => {},
): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index++) {
    onPiece(index)
    yield new Uint8Array(CHUNK_BYTES).fill(index + 1)
  }
}

async function* corrupt(): AsyncGenerator<Uint8Array> {
  yield* pieces(3)
  throw new RaftbaseError('SNAPSHOT_CORRUPT', 'checksum differs')
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0
  for await (const chunk of chunks) bytes += chunk.length
  return bytes
}

/** The error that `promise` rejects with. */
async function failure(promise: Promise<unknown>): Promise<RaftbaseError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof RaftbaseError)) throw new Error(`expected a failure: ${String(error)}`)
  return error
}

test('50 MB arrive byte for byte, and the sender learns that they are kept', async () => {
  const [a, b] = await startCluster(2)
  const sent = createHash('sha256')
  const received = createHash('sha256')
  let kept = false
  b!.handler.takeSnapshot = async (from, chunks) => {
    expect(from).toBe(a!.id)
    for await (const chunk of chunks) received.update(chunk)
    await new Promise((resolve) => setImmediate(resolve))
    kept = true
  }
  async function* source(): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces(200)) {
      sent.update(piece)
      yield piece
    }
  }
  await a!.transport.sendSnapshot(b!.id, source(), NEVER)
  expect(kept).toBe(true)
  expect(received.digest('hex')).toBe(sent.digest('hex'))
})

test('a receiver that is slow holds the sender back, and messages pass meanwhile (F39)', async () => {
  const [a, b] = await startCluster(2)
  let produced = 0
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  b!.handler.takeSnapshot = async (_from, chunks) => {
    await held
    await drain(chunks)
  }
  const sending = a!.transport.sendSnapshot(
    b!.id,
    pieces(400, (index) => (produced = index)),
    NEVER,
  )
  await until(() => produced > 0, 'the first pieces')
  for (let i = 1; i <= 20; i++) {
    a!.transport.send([heartbeat({ from: a!.id, to: b!.id }, i)])
    await until(() => b!.handler.messages.length === i, 'a heartbeat')
  }
  // Buffers of two sockets, not 100 MB.
  expect(produced).toBeLessThan(200)
  release()
  await sending
  expect(produced).toBe(399)
})

test('a second snapshot is refused while one arrives, and taken afterwards', async () => {
  const [a, b, c] = await startCluster(3)
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  let arriving = 0
  c!.handler.takeSnapshot = async (_from, chunks) => {
    arriving++
    await held
    await drain(chunks)
  }
  const first = a!.transport.sendSnapshot(c!.id, pieces(2), NEVER)
  await until(() => arriving === 1, 'the first')
  const refused = await failure(b!.transport.sendSnapshot(c!.id, pieces(2), NEVER))
  expect(refused.code).toBe('SNAPSHOT_REFUSED')
  expect(refused.details).toMatchObject({ status: 409, reason: 'busy' })
  expect(arriving).toBe(1)
  release()
  await first
  await b!.transport.sendSnapshot(c!.id, pieces(2), NEVER)
  expect(arriving).toBe(2)
})

test.each([
  { when: 'before the first byte', pieces: 400, read: 0 },
  { when: 'half-way', pieces: 400, read: 20 },
  { when: 'at the end', pieces: 3, read: 3 },
])('a receiver that fails $when says why', async ({ pieces: count, read }) => {
  const [a, b] = await startCluster(2)
  b!.handler.takeSnapshot = async (_from, chunks) => {
    let pending = read * CHUNK_BYTES
    if (pending > 0) {
      for await (const chunk of chunks) {
        pending -= chunk.length
        if (pending <= 0) break
      }
    }
    throw new RaftbaseError('NO_SPACE', 'disk is full')
  }
  const error = await failure(a!.transport.sendSnapshot(b!.id, pieces(count), NEVER))
  expect([error.code, error.details['detail']]).toEqual(['NO_SPACE', 'disk is full'])
  // And the next one is not refused for it.
  b!.handler.takeSnapshot = async (_from, chunks) => void (await drain(chunks))
  await a!.transport.sendSnapshot(b!.id, pieces(1), NEVER)
})

test('an aborted snapshot ends on both sides, and the source is closed', async () => {
  const [a, b] = await startCluster(2)
  let received = 0
  let broken: unknown
  b!.handler.takeSnapshot = async (_from, chunks) => {
    try {
      for await (const chunk of chunks) received += chunk.length
    } catch (error) {
      broken = error
      throw error
    }
  }
  let sourceClosed = false
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      while (true) {
        yield new Uint8Array(CHUNK_BYTES)
        await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      sourceClosed = true
    }
  }
  const abort = new AbortController()
  const sending = a!.transport.sendSnapshot(b!.id, source(), abort.signal)
  const ended = sending.catch((error: unknown) => error)
  await until(() => received > 1_000_000, 'a megabyte')
  const reason = new Error('leadership lost')
  abort.abort(reason)
  expect(await ended).toBe(reason)
  await until(() => broken !== undefined && sourceClosed, 'both ends')
  expect(broken).toMatchObject({ code: 'PEER_UNREACHABLE' })
  b!.handler.takeSnapshot = async (_from, chunks) => void (await drain(chunks))
  await a!.transport.sendSnapshot(b!.id, pieces(1), NEVER)
})

test('a source that fails half-way leaves no snapshot behind', async () => {
  const [a, b] = await startCluster(2)
  let outcome = 'none'
  b!.handler.takeSnapshot = async (_from, chunks) => {
    try {
      await drain(chunks)
      outcome = 'whole'
    } catch (error) {
      outcome = 'broken'
      throw error
    }
  }
  const error = await failure(a!.transport.sendSnapshot(b!.id, corrupt(), NEVER))
  expect(error.code).toBe('SNAPSHOT_CORRUPT')
  await until(() => outcome !== 'none', 'the receiver')
  expect(outcome).toBe('broken')
})

test('a transfer that stops moving is given up on both sides at their idle limits (F39)', async () => {
  // Far apart, so that the sender's own limit is what ends it and not the receiver's reset.
  const a = await startMember({ number: 1, limits: { snapshotIdleMs: 700 } })
  const b = await startMember({ number: 2, limits: { snapshotIdleMs: 3000 } })
  const proxy = await startProxy(b.port)
  a.transport.setPeers([addressOf(b, proxy.url)])
  b.transport.setPeers([addressOf(a)])
  let received = 0
  let broken: unknown
  b.handler.takeSnapshot = async (_from, chunks) => {
    try {
      for await (const chunk of chunks) {
        received += chunk.length
        if (received > 2_000_000) proxy.freeze()
      }
    } catch (error) {
      broken = error
      throw error
    }
  }
  const error = await failure(a.transport.sendSnapshot(b.id, pieces(4000), NEVER))
  expect([error.code, error.details['reason']]).toEqual(['PEER_UNREACHABLE', 'timeout'])
  await until(() => broken !== undefined, 'the receiver')
  // The frozen proxy does not pass on that the sender has gone.
  expect(broken).toMatchObject({ code: 'PEER_UNREACHABLE', details: { reason: 'timeout' } })
  await proxy.close()
})

test('a snapshot is refused for a wrong identity before a byte of it is sent (X2)', async () => {
  const a = await startMember({ number: 1, identity: { clusterId: '00000000000000c2' } })
  const b = await startMember({ number: 2 })
  a.transport.setPeers([addressOf(b)])
  b.transport.setPeers([addressOf(a)])
  let produced = 0
  const error = await failure(
    a.transport.sendSnapshot(
      b.id,
      pieces(5, () => produced++),
      NEVER,
    ),
  )
  expect(error.code).toBe('CLUSTER_MISMATCH')
  expect(produced).toBe(0)
})

test('to whom there is no way, nothing is sent', async () => {
  const a = await startMember({ number: 1, limits: { handshakeTimeoutMs: 200 } })
  const deaf = await startAcceptor({ answer: welcome(identityOf(3)), reads: true })
  a.transport.setPeers([
    { id: memberId(2), name: 'n2', peerUrls: ['http://127.0.0.1:1'] },
    { id: memberId(3), name: 'n3', peerUrls: [deaf.url] },
  ])
  for (const to of [2, 3, 4]) {
    const error = await failure(a.transport.sendSnapshot(memberId(to), pieces(1), NEVER))
    expect([to, error.code]).toEqual([to, 'PEER_UNREACHABLE'])
  }
  const aborted = AbortSignal.abort(new Error('before'))
  await expect(a.transport.sendSnapshot(memberId(2), pieces(1), aborted)).rejects.toThrow('before')
  await deaf.close()
})

test.each([
  { what: 'a body that ends without its last chunk', ends: true, reason: 'closed' },
  { what: 'a body that stops arriving', ends: false, reason: 'timeout' },
])('$what is no snapshot', async ({ ends, reason }) => {
  const b = await startMember({ number: 2, limits: { snapshotIdleMs: ends ? 20_000 : 100 } })
  b.transport.setPeers([{ id: memberId(1), name: 'n1', peerUrls: [] }])
  let outcome: unknown
  b.handler.takeSnapshot = async (_from, chunks) => {
    try {
      await drain(chunks)
      outcome = 'whole'
    } catch (error) {
      outcome = error
      throw error
    }
  }
  const socket = await rawConnect(b.port)
  const fields = { Host: 'x', 'Transfer-Encoding': 'chunked', ...helloFields(identityOf(1), b.id) }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`POST ${SNAPSHOT_PATH} HTTP/1.1\r\n${lines.join('')}\r\n3\r\nabc\r\n`)
  if (ends) socket.end()
  await until(() => outcome !== undefined, 'an outcome')
  expect(outcome).toMatchObject({ code: 'PEER_UNREACHABLE', details: { reason } })
  await closed(socket)
})

test('stopping ends a snapshot that is being sent and one that arrives', async () => {
  const [a, b] = await startCluster(2)
  let broken = false
  let received = 0
  b!.handler.takeSnapshot = async (_from, chunks) => {
    try {
      for await (const chunk of chunks) received += chunk.length
    } catch (error) {
      broken = true
      throw error
    }
  }
  const sending = failure(a!.transport.sendSnapshot(b!.id, pieces(100_000), NEVER))
  await until(() => received > 0, 'the first bytes')
  const stopped = b!.transport.stop(1000)
  expect((await sending).code).toBe('PEER_UNREACHABLE')
  await stopped
  expect(broken).toBe(true)
})
