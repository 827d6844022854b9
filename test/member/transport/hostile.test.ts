// Garbage, lies and slowness on the peer port: the connection is closed, the state untouched (F41, X2, X3, X5).

import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import { FRAME_TYPE } from '../../../member/src/transport/frame.ts'
import { encodePeerMessage } from '../../../member/src/wire/raft-codec.ts'
import {
  heartbeat,
  memberId,
  startCluster,
  startMember,
  type TestMember,
  until,
} from './harness.ts'
import { closed, identityOf, rawConnect, rawFrame, rawHello } from './raw-peer.ts'

/** Member 1, which knows a member 2 that it cannot dial. */
async function startVictim(
  limits: Parameters<typeof startMember>[0]['limits'] = {},
): Promise<TestMember> {
  const a = await startMember({ number: 1, limits })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [] }])
  return a
}

async function rawLink(target: TestMember): Promise<Socket> {
  const { socket, status } = await rawHello(target, identityOf(2))
  expect(status).toBe(101)
  return socket
}

const MESSAGE = rawFrame(
  FRAME_TYPE.raft,
  encodePeerMessage(heartbeat({ from: memberId(2), to: memberId(1) }, 5)),
)
const BAD_CRC = Buffer.from(MESSAGE)
BAD_CRC[5]! ^= 1

test('frames that come right behind the handshake are not lost', async () => {
  const a = await startVictim()
  const { socket } = await rawHello(a, identityOf(2), { tail: Buffer.concat([MESSAGE, MESSAGE]) })
  await until(() => a.handler.messages.length === 2, 'both')
  expect(a.log.warnings).toEqual([])
  socket.destroy()
})

test('a frame that arrives byte by byte is one message', async () => {
  const a = await startVictim()
  const socket = await rawLink(a)
  for (const byte of MESSAGE) {
    socket.write(Buffer.from([byte]))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => a.handler.messages.length === 1, 'the message')
  expect(a.handler.messages[0]).toMatchObject({ type: 'MsgHeartbeat', commit: 5 })
  socket.destroy()
})

test.each([
  { what: 'a damaged checksum', bytes: BAD_CRC, fault: 'frameChecksum' },
  { what: 'a length of zero', bytes: Buffer.alloc(8), fault: 'frameLength' },
  { what: 'a length of 4 GB', bytes: Buffer.alloc(8, 0xff), fault: 'frameLength' },
  {
    what: 'an unknown type',
    bytes: rawFrame(99, Buffer.alloc(3)),
    fault: 'frameType',
  },
  { what: 'a pong', bytes: rawFrame(FRAME_TYPE.pong, Buffer.alloc(4)), fault: 'frameType' },
  {
    what: 'a ping of the wrong size',
    bytes: rawFrame(FRAME_TYPE.ping, Buffer.alloc(5)),
    fault: 'pingLength',
  },
  {
    what: 'a message that is none',
    bytes: rawFrame(FRAME_TYPE.raft, Buffer.alloc(40, 0xff)),
    fault: 'message',
  },
  { what: 'an empty message', bytes: rawFrame(FRAME_TYPE.node, Buffer.alloc(0)), fault: 'message' },
  { what: 'HTTP', bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n'), fault: 'frameLength' },
])(
  '$what closes the connection with one line, and what came before counts (F41)',
  async ({ bytes, fault }) => {
    const a = await startVictim()
    const socket = await rawLink(a)
    socket.write(Buffer.concat([MESSAGE, bytes, MESSAGE]))
    await closed(socket)
    await until(() => a.log.warnings.length > 0, 'the line')
    expect(a.log.warnings).toEqual([
      {
        level: 'warn',
        fields: { peer: memberId(2), peerName: 'n2', fault },
        message: 'closed a peer connection for what it sent',
      },
    ])
    expect(a.handler.messages.length).toBe(1)
    expect(a.refusals).toEqual(['WIRE_MALFORMED'])
  },
)

test('a truncated frame at the end of a connection is no message and no fault (F41)', async () => {
  const a = await startVictim()
  const socket = await rawLink(a)
  socket.end(Buffer.concat([MESSAGE, MESSAGE.subarray(0, MESSAGE.length - 1)]))
  await closed(socket)
  expect(a.handler.messages.length).toBe(1)
  expect(a.log.warnings).toEqual([])
})

test('random bytes on the port change nothing for the members of the cluster (F41)', async () => {
  const [a, b] = await startCluster(2)
  const prng = new SeededPrng(41)
  const sockets: Socket[] = []
  for (let round = 0; round < 60; round++) {
    const garbage = Buffer.alloc(1 + prng.next(4000))
    for (let i = 0; i < garbage.length; i++) garbage[i] = prng.next(256)
    const socket = await rawConnect(a!.port)
    sockets.push(socket)
    const kind = prng.next(3)
    if (kind === 0) socket.write(garbage)
    else if (kind === 1)
      socket.write(`GET /raftbase/peer HTTP/1.1\r\nX: ${garbage.toString('hex')}\r\n\r\n`)
    else socket.write(Buffer.concat([Buffer.from('POST /raftbase/snapshot HTTP/1.1\r\n'), garbage]))
    if (prng.next(2) === 0) socket.end()
  }
  await Promise.all(sockets.map((socket) => closed(socket)))
  a!.transport.send([heartbeat({ from: a!.id, to: b!.id }, 1)])
  b!.transport.send([heartbeat({ from: b!.id, to: a!.id }, 1)])
  await until(() => a!.handler.messages.length + b!.handler.messages.length === 2, 'messages')
  expect(a!.handler.events).toEqual(['up 2'])
  expect(a!.log.warnings).toEqual([])
})

test('random frames on an accepted link never do more than close it (F41)', async () => {
  const a = await startVictim()
  const prng = new SeededPrng(42)
  const types = Object.values(FRAME_TYPE)
  for (let round = 0; round < 40; round++) {
    const payload = Buffer.alloc(prng.next(200))
    for (let i = 0; i < payload.length; i++) payload[i] = prng.next(256)
    const socket = await rawLink(a)
    socket.end(rawFrame(types[prng.next(types.length)]!, payload))
    await closed(socket)
  }
  const socket = await rawLink(a)
  const before = a.handler.messages.length
  socket.write(MESSAGE)
  await until(() => a.handler.messages.length === before + 1, 'a real message')
  expect(a.handler.messages.at(-1)).toMatchObject({ type: 'MsgHeartbeat', commit: 5 })
  socket.destroy()
})

test('a handshake that does not end is closed at its deadline (X3)', async () => {
  const a = await startVictim({ handshakeTimeoutMs: 100 })
  const silent = await rawConnect(a.port)
  const dribbling = await rawConnect(a.port)
  dribbling.write('GET /raftbase/peer HTTP/1.1\r\nRaftbase-')
  await Promise.all([closed(silent), closed(dribbling)])
  const link = await rawLink(a)
  link.write(MESSAGE)
  await until(() => a.handler.messages.length === 1, 'a real peer')
  expect(link.destroyed).toBe(false)
  link.destroy()
})

test('idle connections beyond the bound make room for a peer, oldest first (X3)', async () => {
  const a = await startVictim({
    maxPendingHandshakes: 4,
    maxConnections: 8,
    handshakeTimeoutMs: 600_000,
  })
  const idle: Socket[] = []
  for (let i = 0; i < 12; i++) idle.push(await rawConnect(a.port))
  await Promise.all(idle.slice(0, 8).map((socket) => closed(socket)))
  const link = await rawLink(a)
  link.write(MESSAGE)
  await until(() => a.handler.messages.length === 1, 'a real peer')
  expect(link.destroyed).toBe(false)
  link.destroy()
  for (const socket of idle) socket.destroy()
})

test('a header beyond 16 KiB is refused (X5)', async () => {
  const a = await startVictim()
  const socket = await rawConnect(a.port)
  socket.write(`GET /raftbase/peer HTTP/1.1\r\nX: ${'y'.repeat(17_000)}\r\n\r\n`)
  await closed(socket)
  expect(a.refusals).toEqual(['WIRE_MALFORMED'])
})

test('a peer that floods with pings and reads no pong costs a bounded amount', async () => {
  const a = await startVictim()
  const socket = await rawLink(a)
  socket.pause()
  const pings = Buffer.concat(
    Array.from({ length: 20_000 }, () => rawFrame(FRAME_TYPE.ping, Buffer.alloc(4))),
  )
  socket.write(pings)
  socket.write(MESSAGE)
  await until(() => a.handler.messages.length === 1, 'the message behind them')
  // A few for each piece that was read, not one for each ping.
  expect(a.sentFrames()).toBeLessThan(2000)
  expect(a.log.warnings).toEqual([])
  socket.destroy()
})
