// The transport in memory keeps the same promises as the real one, on a schedule that the test owns.

import { expect, test } from 'vitest'
import type { MemberId } from '../../../member/src/raft/types.ts'
import { MemoryNetwork, type MemoryTransport } from '../../support/memory-transport.ts'
import { heartbeat, memberId, RecordingHandler } from './harness.ts'

interface Setup {
  readonly network: MemoryNetwork
  readonly members: readonly MemoryTransport[]
  readonly handlers: readonly RecordingHandler[]
  /** Runs everything that is due, and what follows from it. */
  readonly run: () => void
}

async function startNetwork(count: number, encoded = true): Promise<Setup> {
  const due: (() => void)[] = []
  const schedule = (deliver: () => void): void => {
    due.push(deliver)
  }
  const network = new MemoryNetwork({ schedule, nowMs: () => 7, encoded, queueCountMax: 100 })
  const members = Array.from({ length: count }, (_, i) => network.transport(memberId(i + 1)))
  const handlers = members.map(() => new RecordingHandler())
  for (const [i, member] of members.entries()) {
    await member.start(handlers[i]!)
    member.setPeers(peersOf(members, member.id))
  }
  const run = (): void => {
    for (let deliver = due.shift(); deliver !== undefined; deliver = due.shift()) deliver()
  }
  run()
  return { network, members, handlers, run }
}

async function* source(): AsyncGenerator<Uint8Array> {
  yield Uint8Array.of(1, 2)
  yield Uint8Array.of(3)
}

function peersOf(
  members: readonly MemoryTransport[],
  self: MemberId,
): { id: MemberId; name: string; peerUrls: string[] }[] {
  return members.filter((m) => m.id !== self).map((m) => ({ id: m.id, name: m.id, peerUrls: [] }))
}

test.each([{ encoded: true }, { encoded: false }])(
  'messages arrive later, in order, from the real sender (encoded: $encoded)',
  async ({ encoded }) => {
    const { members, handlers, run } = await startNetwork(2, encoded)
    const [a, b] = members
    expect(handlers[0]!.events).toEqual(['up 2'])
    for (let i = 0; i < 50; i++) a!.send([heartbeat({ from: memberId(9), to: b!.id }, i)])
    expect(handlers[1]!.messages).toEqual([])
    run()
    const commits = handlers[1]!.messages.map(
      (m) => m.type === 'MsgHeartbeat' && [m.from, m.commit],
    )
    expect(commits).toEqual(Array.from({ length: 50 }, (_, i) => [a!.id, i]))
    expect(b!.peerStatus(a!.id)).toEqual({ connected: true, lastHeardMs: 7 })
  },
)

test('a cut loses one direction without a word, and the filter what it names', async () => {
  const { network, members, handlers, run } = await startNetwork(2)
  const [a, b] = members
  network.cut(a!.id, b!.id)
  a!.send([heartbeat({ from: a!.id, to: b!.id }, 1)])
  b!.send([heartbeat({ from: b!.id, to: a!.id }, 2)])
  run()
  expect([handlers[0]!.messages.length, handlers[1]!.messages.length]).toEqual([1, 0])
  network.heal(a!.id, b!.id)
  network.lose((message) => message.type === 'MsgHeartbeat' && message.commit === 3)
  a!.send([heartbeat({ from: a!.id, to: b!.id }, 3), heartbeat({ from: a!.id, to: b!.id }, 4)])
  run()
  expect(handlers[1]!.messages).toMatchObject([{ commit: 4 }])
  expect(network.lostCount).toBe(2)
  expect(handlers[0]!.events).toEqual(['up 2'])
})

test('a crash loses what waits and is reported once; a restart is reported again', async () => {
  const { network, members, handlers, run } = await startNetwork(3)
  const [a, b] = members
  a!.send([heartbeat({ from: a!.id, to: b!.id }, 1)])
  a!.crash()
  run()
  expect(handlers[1]!.messages).toEqual([])
  expect(handlers.map((h) => h.events)).toEqual([
    ['up 2', 'up 3'],
    ['up 1', 'up 3', 'down 1'],
    ['up 1', 'up 2', 'down 1'],
  ])
  const again = network.transport(a!.id)
  const handler = new RecordingHandler()
  await again.start(handler)
  again.setPeers(peersOf(members, a!.id))
  run()
  expect(handler.events).toEqual(['up 2', 'up 3'])
  expect(handlers[1]!.events.at(-1)).toBe('up 1')
})

test('a queue is bounded', async () => {
  const { network, members, handlers, run } = await startNetwork(2)
  const [a, b] = members
  a!.send(Array.from({ length: 120 }, (_, i) => heartbeat({ from: a!.id, to: b!.id }, i)))
  const refused = { type: 'Forward', term: 1, origin: '00000000000000aa', requests: [] } as const
  expect(a!.sendToNode(b!.id, refused)).toBe(false)
  run()
  expect([handlers[1]!.messages.length, network.lostCount]).toEqual([100, 21])
})

test('snapshots pass whole, one at a time, and not through a cut', async () => {
  const { network, members, handlers } = await startNetwork(3)
  const [a, b, c] = members
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const bytes: number[] = []
  handlers[1]!.takeSnapshot = async (_from, chunks) => {
    await held
    for await (const chunk of chunks) bytes.push(...chunk)
  }
  const never = new AbortController().signal
  const first = a!.sendSnapshot(b!.id, source(), never)
  await expect(c!.sendSnapshot(b!.id, source(), never)).rejects.toMatchObject({
    code: 'SNAPSHOT_REFUSED',
  })
  release()
  await first
  expect(bytes).toEqual([1, 2, 3])
  network.isolate(b!.id)
  await expect(a!.sendSnapshot(b!.id, source(), never)).rejects.toMatchObject({
    code: 'PEER_UNREACHABLE',
  })
})
