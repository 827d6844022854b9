// Members that were away when others joined or moved: who of the same cluster calls is let in and answered, the removed
// and strangers stay out (fault contract, promise 6, F38, F52, X2).

import { expect, test } from 'vitest'
import type { PeerIdentity } from '../../../member/src/transport/options.ts'
import {
  addressOf,
  heartbeat,
  introduce,
  memberId,
  startMember,
  type TestMember,
  until,
} from './harness.ts'
import { identityOf, rawHello } from './raw-peer.ts'

/** As a cluster would judge it whose members are n1, n2, … */
const isOneOfOurs = ({ memberId: id, name }: PeerIdentity): boolean =>
  id === memberId(Number(name.slice(1)))

const KEEP_ALIVE = { keepAliveMs: 50, keepAliveTimeoutMs: 200, redialMaxMs: 50 }

async function* chunks(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(10)
}

function start(number: number, options: object = {}): Promise<TestMember> {
  return startMember({ number, isOneOfOurs, limits: KEEP_ALIVE, ...options })
}

test('a caller that joined while this member was away is let in and answered', async () => {
  const [away, leader] = [await start(1), await start(4)]
  leader.transport.setPeers([addressOf(away)])
  await until(() => away.handler.events.length === 1, 'up on the one that was away')
  await until(() => leader.handler.events.length === 1, 'up on the caller')
  expect(away.handler.events).toEqual(['up 4'])
  leader.transport.send([heartbeat({ from: leader.id, to: away.id }, 7)])
  await until(() => away.handler.messages.length === 1, 'the heartbeat')
  away.transport.send([heartbeat({ from: away.id, to: leader.id }, 8)])
  await until(() => leader.handler.messages.length === 1, 'the answer')
  expect(away.log.warnings).toEqual([])
})

test('a guest stays while the membership that is catching up does not tell of it, and then is a peer', async () => {
  const removed = new Set<string>()
  const isRemoved = (id: string): boolean => removed.has(id)
  const [away, leader, other] = [await start(1, { isRemoved }), await start(4), await start(2)]
  leader.transport.setPeers([addressOf(away)])
  await until(() => away.handler.events.length === 1, 'the guest')
  away.transport.setPeers([addressOf(other)])
  away.transport.setPeers([addressOf(other), addressOf(leader)])
  away.transport.setPeers([addressOf(other), addressOf(leader)])
  await new Promise((resolve) => setTimeout(resolve, 3 * KEEP_ALIVE.keepAliveMs))
  expect(away.handler.events).not.toContain('down 4')
  expect(leader.handler.events).toEqual(['up 1'])
  removed.add(leader.id)
  away.transport.setPeers([addressOf(other)])
  await until(() => leader.handler.events.length === 2, 'cut off')
  expect(leader.handler.events).toEqual(['up 1', 'down 1'])
})

test('a guest that turns out to be removed is cut off, and kept out', async () => {
  const removed = new Set<string>()
  const [away, other] = [
    await start(1, { isRemoved: (id: string) => removed.has(id) }),
    await start(2),
  ]
  let told = 0
  const gone = await start(4, { onRemoved: () => told++ })
  gone.transport.setPeers([addressOf(away)])
  await until(() => gone.handler.events.length === 1, 'the guest')
  removed.add(gone.id)
  away.transport.setPeers([addressOf(other)])
  await until(() => told > 0, 'the word')
  expect(gone.handler.events).toEqual(['up 1', 'down 1'])
  expect(away.transport.peerStatus(gone.id).connected).toBe(false)
})

test.each([
  {
    what: 'whose id is not made of its name',
    identity: { memberId: memberId(7), name: 'n8' },
    status: 403,
  },
  { what: 'that does not say where it is reached', identity: { peerUrls: [] }, status: 403 },
  {
    what: 'of another cluster',
    identity: { clusterId: '00000000000000c9' },
    status: 412,
  },
  { what: 'that was removed', identity: { memberId: memberId(8), name: 'n8' }, status: 410 },
  ...['file:///etc/passwd', 'http://u:p@h:1', 'http://h:1/admin?x=1', 'http://h:1/%0d%0aX: y'].map(
    (url) => ({ what: `reached at ${url}`, identity: { peerUrls: [url] }, status: 400 }),
  ),
  {
    what: 'with more addresses than a member has',
    identity: { peerUrls: Array.from({ length: 9 }, (_, i) => `http://127.0.0.1:${i + 1}`) },
    status: 400,
  },
])('a caller nobody has heard of, $what, stays out (X2, X9)', async ({ identity, status }) => {
  const a = await start(1, { isRemoved: (id: string) => id === memberId(8) })
  const stranger = { peerUrls: ['http://127.0.0.1:9'], ...identity }
  const answer = await rawHello(a, identityOf(7, stranger))
  expect(answer.status).toBe(status)
  expect(a.handler.events).toEqual([])
})

test('only so many callers nobody has heard of are let in at once, and those who leave make room', async () => {
  const a = await start(1, { limits: { ...KEEP_ALIVE, maxGuests: 2 } })
  const stated = { peerUrls: ['http://127.0.0.1:9'] }
  const hello = (number: number): ReturnType<typeof rawHello> =>
    rawHello(a, identityOf(number, stated))
  const [first, second] = [await hello(2), await hello(3)]
  expect([first.status, second.status]).toEqual([101, 101])
  expect((await hello(4)).status).toBe(403)
  first.socket.destroy()
  let status = 0
  const deadline = performance.now() + 5000
  while (status !== 101 && performance.now() < deadline) status = (await hello(4)).status
  expect(status).toBe(101)
  // A guest that is gone is not dialled for ever.
  second.socket.destroy()
})

test('members that all moved while one was away find it, and it finds them (F38)', async () => {
  const members = [await start(1), await start(2), await start(3)]
  const nowhere = 'http://127.0.0.1:1'
  const [away, ...moved] = members as [TestMember, TestMember, TestMember]
  // It knows where they were.
  away.transport.setPeers(moved.map((member) => addressOf(member, nowhere)))
  await until(() => away.log.lines.some((line) => line.level === 'info'), 'nobody is there')
  for (const member of moved) {
    const others = members.filter((other) => other !== member)
    member.transport.setPeers(others.map((other) => addressOf(other)))
  }
  await until(() => away.handler.events.length === 2, 'both up')
  expect(away.handler.events.toSorted()).toEqual(['up 2', 'up 3'])
  introduce(members)
  away.transport.send([heartbeat({ from: away.id, to: moved[0].id }, 3)])
  await until(() => moved[0].handler.messages.length === 1, 'a message to a member that moved')
})

/** Eight others in each round; nobody is there. */
function urlsOf(round: number): string[] {
  return Array.from({ length: 8 }, (_, i) => `http://127.0.1.${8 * round + i + 1}:1`)
}

test('a caller that says ever new URLs costs bounded memory (promise 8)', async () => {
  const a = await start(1)
  const id = memberId(2)
  a.transport.setPeers([{ id, name: 'n2', peerUrls: ['http://127.0.0.1:1'] }])
  const lines = (url: string): number =>
    a.log.lines.filter(({ fields }) => fields['url'] === url).length
  const call = async (round: number, count: number): Promise<void> => {
    const { socket } = await rawHello(a, identityOf(2, { peerUrls: urlsOf(round) }))
    await until(
      () => urlsOf(round).every((url) => lines(url) >= count),
      `all of round ${round} were tried`,
    )
    socket.destroy()
  }
  for (let round = 0; round < 9; round++) await call(round, 1)
  expect(lines(urlsOf(0)[0]!)).toBe(1)
  // What was said of the first is forgotten by now, and so it is said again.
  await call(0, 2)
  expect(lines(urlsOf(0)[0]!)).toBe(2)
})

test('a snapshot goes where the open connection leads, whatever URLs are told meanwhile (F38)', async () => {
  const [leader, moved] = [await start(1), await start(2)]
  const nowhere = 'http://127.0.0.1:1'
  leader.transport.setPeers([addressOf(moved, nowhere)])
  await until(() => leader.log.lines.some((line) => line.level === 'info'), 'nobody is there')
  moved.transport.setPeers([addressOf(leader)])
  await until(() => leader.handler.events.length === 1, 'up, where it said that it is')
  // The list of URLs changes under the open connection: what was the second of it is the first now.
  leader.transport.setPeers([{ ...addressOf(moved), peerUrls: [moved.url, nowhere] }])
  const sent = leader.transport.sendSnapshot(moved.id, chunks(), new AbortController().signal)
  await expect(sent).resolves.toBeUndefined()
})

test('a snapshot of a leader nobody has heard of is taken', async () => {
  const [away, leader] = [await start(1), await start(4)]
  const taken: number[] = []
  away.handler.takeSnapshot = async (_from, chunks) => {
    for await (const chunk of chunks) taken.push(chunk.length)
  }
  leader.transport.setPeers([addressOf(away)])
  await until(() => leader.handler.events.length === 1, 'up')
  await leader.transport.sendSnapshot(away.id, chunks(), new AbortController().signal)
  expect(taken.reduce((sum, length) => sum + length, 0)).toBe(10)
})
