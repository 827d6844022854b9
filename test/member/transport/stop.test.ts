// Start and stop: what is queued leaves, every socket closes, nothing keeps the process alive.

import { expect, test } from 'vitest'
import {
  addressOf,
  heartbeat,
  introduce,
  memberId,
  startCluster,
  startMember,
  until,
} from './harness.ts'
import { closed, identityOf, rawConnect, rawHello, startAcceptor, welcome } from './raw-peer.ts'

test('frames accepted before stop are sent, and stop waits for every socket', async () => {
  const [a, b] = await startCluster(2)
  const messages = Array.from({ length: 500 }, (_, i) => heartbeat({ from: a!.id, to: b!.id }, i))
  a!.transport.send(messages)
  await a!.transport.stop(2000)
  expect(a!.transport.addresses()).toEqual([])
  await until(() => b!.handler.messages.length === 500, 'all of them')
})

test('after stop nothing is delivered, sent or dialled', async () => {
  const [a, b] = await startCluster(2)
  await a!.transport.stop(500)
  const delivered = a!.handler.messages.length
  a!.transport.send([heartbeat({ from: a!.id, to: b!.id }, 1)])
  a!.transport.setPeers([addressOf(b!)])
  expect(a!.drops).toEqual(['notConnected'])
  await expect(rawConnect(a!.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  expect([a!.handler.messages.length, a!.handler.events]).toEqual([delivered, ['up 2']])
  await expect(
    a!.transport.sendSnapshot(b!.id, (async function* () {})(), new AbortController().signal),
  ).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
})

test('connections that do not close by themselves are cut when the grace ends', async () => {
  const a = await startMember({ number: 1 })
  const deaf = await startAcceptor({ answer: welcome(identityOf(2)), reads: false })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [deaf.url] }])
  const idle = await rawConnect(a.port)
  const link = await rawHello(a, identityOf(2))
  link.socket.pause()
  await until(() => deaf.sockets.length === 1, 'the dial')
  await a.transport.stop(100)
  expect(a.transport.addresses()).toEqual([])
  await closed(idle)
  await deaf.close()
  link.socket.destroy()
})

test('a stopped transport leaves no handle behind', async () => {
  const before = handles()
  const [a, b, c] = await startCluster(3)
  const lonely = await startMember({ number: 4 })
  lonely.transport.setPeers([{ id: memberId(5), name: 'n5', peerUrls: ['http://127.0.0.1:1'] }])
  await Promise.all([a!, b!, c!, lonely].map((member) => member.transport.stop(500)))
  await until(() => handles() <= before, 'as many handles as before')
  expect(handles()).toBeLessThanOrEqual(before)
})

test('a taken address is refused at start with its code, and nothing stays open', async () => {
  const a = await startMember({ number: 1 })
  await expect(startMember({ number: 2, port: a.port })).rejects.toMatchObject({
    code: 'ADDRESS_IN_USE',
    details: { host: '127.0.0.1', port: a.port },
  })
})

test('a stopped member can be followed by another on the same port', async () => {
  const [a, b] = await startCluster(2)
  await b!.transport.stop(500)
  await until(() => a!.handler.events.length === 2, 'down')
  const again = await startMember({ number: 2, port: b!.port })
  introduce([a!, again])
  await until(() => again.handler.events.length === 1 && a!.handler.events.length === 3, 'up')
  expect(a!.handler.events).toEqual(['up 2', 'down 2', 'up 2'])
})

test('limits that do not fit each other are refused together', async () => {
  const limits = { redialMinMs: 900, maxFrameBytes: 0, keepAliveTimeoutMs: 500 }
  await expect(startMember({ number: 1, limits })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    details: {
      problems: [
        'maxFrameBytes: not a positive integer',
        'redialMinMs: above redialMaxMs',
        'keepAliveTimeoutMs: below two keepAliveMs',
      ],
    },
  })
})

/** Sockets, servers and timers that are open. */
function handles(): number {
  const kinds = new Set(['TCPSocketWrap', 'TCPServerWrap', 'TCPConnectWrap', 'Timeout'])
  return process.getActiveResourcesInfo().filter((kind) => kinds.has(kind)).length
}
