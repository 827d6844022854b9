// Messages between real transports on loopback: order, batching, bounds.

import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import type { Entry } from '../../../member/src/raft/types.ts'
import { tcpNetwork } from '../../../member/src/transport/socket.ts'
import { addressOf, heartbeat, memberId, startCluster, startMember, until } from './harness.ts'
import { identityOf, startAcceptor, welcome } from './raw-peer.ts'

function entriesOf(count: number, bytes: number): Entry[] {
  return Array.from({ length: count }, (_, i) => ({
    index: i + 1,
    term: 1,
    type: 'normal',
    data: new Uint8Array(bytes).fill(i + 1),
    change: undefined,
  }))
}

test('messages arrive once each, in the order sent, with the identity of the connection', async () => {
  const [a, b] = await startCluster(2)
  const count = 2000
  for (let i = 0; i < count; i++) {
    // A claimed sender is not believed.
    a!.transport.send([heartbeat({ from: memberId(9), to: b!.id }, i)])
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => b!.handler.messages.length >= count, 'all messages')
  expect(b!.handler.messages.map((m) => (m.type === 'MsgHeartbeat' ? m.commit : -1))).toEqual(
    Array.from({ length: count }, (_, i) => i),
  )
  expect(new Set(b!.handler.messages.map((m) => `${m.from} ${m.to}`))).toEqual(
    new Set([`${a!.id} ${b!.id}`]),
  )
  expect(a!.drops).toEqual([])
})

test('everything queued for a peer in one turn leaves in one write', async () => {
  const inner = tcpNetwork()
  let writes = 0
  const [a, b] = await startCluster(2, {
    limits: { keepAliveMs: 5000, keepAliveTimeoutMs: 10_000 },
    network: {
      ...inner,
      connect(url): Socket {
        const socket = inner.connect(url)
        const write: (chunk: Uint8Array | string) => boolean = socket.write.bind(socket)
        socket.write = (chunk: Uint8Array | string): boolean => {
          writes++
          return write(chunk)
        }
        return socket
      },
    },
  })
  writes = 0
  for (let i = 0; i < 50; i++) a!.transport.send([heartbeat({ from: a!.id, to: b!.id }, i)])
  const forward = { type: 'Forward', term: 1, origin: '00000000000000aa', requests: [] } as const
  expect(a!.transport.sendToNode(b!.id, forward)).toBe(true)
  await until(() => b!.handler.nodeMessages.length === 1, 'the last message')
  expect(b!.handler.messages.length).toBe(50)
  expect(writes).toBe(1)
})

test('an append of a megabyte reaches two peers byte for byte', async () => {
  const [a, b, c] = await startCluster(3)
  const entries = entriesOf(4, 256 * 1024)
  const append = {
    type: 'MsgApp',
    from: a!.id,
    term: 1,
    prevIndex: 0,
    prevTerm: 0,
    commit: 0,
  } as const
  a!.transport.send([
    { ...append, to: b!.id, entries },
    { ...append, to: c!.id, entries: [...entries] },
    { ...append, to: b!.id, entries: entries.slice(0, 1), commit: 1 },
  ])
  await until(() => b!.handler.messages.length === 2 && c!.handler.messages.length === 1, 'appends')
  for (const member of [b!, c!]) {
    const message = member.handler.messages[0]!
    expect(message.to).toBe(member.id)
    const hashes = message.type === 'MsgApp' ? message.entries.map((e) => hashOf(e.data)) : []
    expect(hashes).toEqual(entries.map((e) => hashOf(e.data)))
  }
  const second = b!.handler.messages[1]!
  expect(second.type === 'MsgApp' && [second.entries.length, second.commit]).toEqual([1, 1])
})

test('appends that differ in one thing only are not taken for the same', async () => {
  const [a, b] = await startCluster(2)
  const to = { type: 'MsgApp', from: a!.id, to: b!.id } as const
  const [one, two] = entriesOf(2, 10) as [Entry, Entry]
  const base = { ...to, term: 2, prevIndex: 0, prevTerm: 0, commit: 0, entries: [one] }
  const sent = [
    // Each against the one before it.
    base,
    { ...base, entries: [{ ...one, data: two.data }] },
    base,
    { ...base, commit: 1 },
    { ...base, entries: [] },
    { ...base, term: 3, entries: [] },
    { ...base, prevTerm: 1, entries: [] },
    { ...base, prevIndex: 1, entries: [] },
  ]
  a!.transport.send(sent)
  await until(() => b!.handler.messages.length === sent.length, 'all of them')
  const plain = b!.handler.messages.map((message) =>
    message.type === 'MsgApp'
      ? {
          ...message,
          entries: message.entries.map((e) => ({ ...e, data: Uint8Array.from(e.data) })),
        }
      : message,
  )
  expect(plain).toEqual(sent)
})

test('a handler is never called from inside send', async () => {
  const [a, b] = await startCluster(2)
  let sending = false
  let reentered = false
  for (const member of [a!, b!]) {
    const { handler, transport } = member
    const other = member === a ? b! : a!
    handler.onMessage = (message) => {
      handler.messages.push(message)
      reentered ||= sending
      if (handler.messages.length > 200) return
      sending = true
      transport.send([heartbeat({ from: member.id, to: other.id }, handler.messages.length)])
      sending = false
    }
  }
  a!.transport.send([heartbeat({ from: a!.id, to: b!.id }, 0)])
  await until(() => a!.handler.messages.length > 100, 'a hundred rounds')
  expect(reentered).toBe(false)
})

test('what is sent to a peer that is not connected, or to a stranger, is dropped at once', async () => {
  const a = await startMember({ number: 1 })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: ['http://127.0.0.1:1'] }])
  a.transport.send([
    heartbeat({ from: a.id, to: memberId(2) }, 1),
    heartbeat({ from: a.id, to: memberId(3) }, 1),
  ])
  expect(a.drops).toEqual(['notConnected', 'notConnected'])
  const refused = {
    type: 'ForwardRefused',
    term: 1,
    origin: '00000000000000aa',
    sequences: [],
    reason: 'notLeader',
  } as const
  expect(a.transport.sendToNode(memberId(2), refused)).toBe(false)
})

test('a peer that stops reading fills its queue and no more; the others are not affected', async () => {
  const limits = { sendQueueBytes: 4 * 1024 * 1024, maxFrameBytes: 1024 * 1024 }
  const [a, c] = await startCluster(2, { limits })
  const b = await startAcceptor({ answer: welcome(identityOf(3)), reads: false })
  a!.transport.setPeers([addressOf(c!), { id: memberId(3), name: 'n3', peerUrls: [b.url] }])
  await until(() => b.sockets.length === 1, 'the dial')
  const append = {
    type: 'MsgApp',
    from: a!.id,
    term: 1,
    prevIndex: 0,
    prevTerm: 0,
    commit: 0,
  } as const
  const entries = entriesOf(1, 512 * 1024)
  for (let round = 0; round < 400 && !a!.drops.includes('queueFull'); round++) {
    a!.transport.send([{ ...append, to: memberId(3), entries }])
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(a!.drops).toContain('queueFull')
  const requests = [{ sequence: 1, data: new Uint8Array(600_000) }]
  const forward = { type: 'Forward', term: 1, origin: '00000000000000aa', requests } as const
  expect(a!.transport.sendToNode(memberId(3), forward)).toBe(false)
  a!.transport.send([heartbeat({ from: a!.id, to: c!.id }, 7)])
  await until(() => c!.handler.messages.length === 1, 'the other peer hears')
  await b.close()
})

test('the queue is bounded in number as well', async () => {
  const [a, b] = await startCluster(2, { limits: { sendQueueCount: 10 } })
  const messages = Array.from({ length: 25 }, (_, i) => heartbeat({ from: a!.id, to: b!.id }, i))
  a!.transport.send(messages)
  expect(a!.drops).toEqual(Array.from({ length: 15 }, () => 'queueFull'))
  await until(() => b!.handler.messages.length === 10, 'those that fitted')
})

test('a message that no frame can hold is dropped with one line in the log (X5)', async () => {
  const [a, b] = await startCluster(2, { limits: { maxFrameBytes: 10_000 } })
  const append = {
    type: 'MsgApp',
    from: a!.id,
    to: b!.id,
    term: 1,
    prevIndex: 0,
    prevTerm: 0,
    commit: 0,
  } as const
  a!.transport.send([{ ...append, entries: entriesOf(1, 10_001) }])
  a!.transport.send([{ ...append, entries: entriesOf(1, 20_000) }])
  a!.transport.send([{ ...append, entries: entriesOf(1, 9000) }])
  await until(() => b!.handler.messages.length === 1, 'the small one')
  expect(a!.drops).toEqual(['tooLarge', 'tooLarge'])
  expect(a!.log.warnings.map((line) => line.message)).toEqual([
    'a message is larger than a frame may be and was dropped',
  ])
})

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
