// Connections that close, come back, hang and die: when a peer counts as lost (design decision 8, F1, F23, F38).

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { type PeerNetwork, tcpNetwork } from '../../../member/src/transport/peer-transport.ts'
import {
  addressOf,
  heartbeat,
  introduce,
  memberId,
  startCluster,
  startMember,
  type TestMember,
  until,
} from './harness.ts'
import {
  closed,
  identityOf,
  PING,
  type Proxy,
  rawHello,
  startAcceptor,
  startProxy,
  welcome,
} from './raw-peer.ts'

const children: ChildProcess[] = []
const proxies: Proxy[] = []

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const proxy of proxies.splice(0)) await proxy.close()
})

async function startChild(
  number: number,
  peer: TestMember,
): Promise<{ child: ChildProcess; url: string }> {
  const script = fileURLToPath(new URL('child-member.ts', import.meta.url))
  const args = [script, String(number), String(Number.parseInt(peer.id, 16)), peer.url]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, url: `http://127.0.0.1:${Number(String(line))}` }
}

/** When `member` last heard `peer`; 0 before. */
function heardMs(member: TestMember, peer: TestMember): number {
  return member.transport.peerStatus(peer.id).lastHeardMs ?? 0
}

/** Members 1 and 2, of which 1 reaches 2, and 2 reaches 1, through a proxy. */
async function startBehindProxies(
  limits: Parameters<typeof startMember>[0]['limits'] = {},
): Promise<{ a: TestMember; b: TestMember; toA: Proxy; toB: Proxy }> {
  const a = await startMember({ number: 1, limits })
  const b = await startMember({ number: 2, limits })
  const toA = await startProxy(a.port)
  const toB = await startProxy(b.port)
  proxies.push(toA, toB)
  a.transport.setPeers([addressOf(b, toB.url)])
  b.transport.setPeers([addressOf(a, toA.url)])
  await until(() => a.handler.events.length === 1 && b.handler.events.length === 1, 'both up')
  return { a, b, toA, toB }
}

test('a killed process is lost within milliseconds, once (F1)', async () => {
  // Long enough that only the refused dial can be what tells.
  const a = await startMember({ number: 1, limits: { peerLostMs: 4000 } })
  const { child, url } = await startChild(2, a)
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [url] }])
  await until(() => a.handler.events.length === 1, 'up')
  const exited = once(child, 'exit')
  const killedMs = performance.now()
  child.kill('SIGKILL')
  await until(() => a.handler.events.length === 2, 'down')
  await exited
  expect(a.handler.events).toEqual(['up 2', 'down 2'])
  expect(a.handler.eventTimesMs[1]! - killedMs).toBeLessThan(1000)
  expect(a.transport.peerStatus(memberId(2)).connected).toBe(false)
  const lost = a.log.warnings.filter((line) => line.message === 'peer lost')
  expect(lost.length).toBe(1)
})

test('a stopped process keeps its sockets and is found by keep-alive; continued, it is back', async () => {
  const limits = { keepAliveMs: 50, keepAliveTimeoutMs: 200 }
  const a = await startMember({ number: 1, limits })
  const { child, url } = await startChild(2, a)
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [url] }])
  await until(() => a.handler.events.length === 1, 'up')
  child.kill('SIGSTOP')
  await until(() => a.handler.events.length === 2, 'down')
  const lost = a.log.warnings.find((line) => line.message === 'peer lost')
  expect(lost?.fields['reason']).toBe('silent')
  child.kill('SIGCONT')
  await until(() => a.handler.events.length === 3, 'up again')
  expect(a.handler.events).toEqual(['up 2', 'down 2', 'up 2'])
})

test('a peer that vanished without closing is found silent and reached again at its return (F38)', async () => {
  const limits = { keepAliveMs: 50, keepAliveTimeoutMs: 200, handshakeTimeoutMs: 300 }
  const { a, b, toA, toB } = await startBehindProxies(limits)
  toA.freeze()
  toB.freeze()
  await until(() => a.handler.events.length === 2 && b.handler.events.length === 2, 'both down')
  toA.thaw()
  toB.thaw()
  await until(() => a.handler.events.length === 3 && b.handler.events.length === 3, 'both up')
  expect(a.handler.events).toEqual(['up 2', 'down 2', 'up 2'])
  expect(b.handler.events).toEqual(['up 1', 'down 1', 'up 1'])
  a.transport.send([heartbeat({ from: a.id, to: b.id }, 1)])
  await until(() => b.handler.messages.length === 1, 'a message')
})

test('connections that are reset while the peer lives open again, and nobody is lost (F23)', async () => {
  const { a, b, toA, toB } = await startBehindProxies({ peerLostMs: 3000 })
  toA.reset()
  toB.reset()
  const before = b.handler.messages.length
  await until(() => {
    a.transport.send([heartbeat({ from: a.id, to: b.id }, 1)])
    b.transport.send([heartbeat({ from: b.id, to: a.id }, 1)])
    return b.handler.messages.length > before && a.handler.messages.length > 0
  }, 'messages in both directions')
  expect(a.handler.events).toEqual(['up 2'])
  expect(b.handler.events).toEqual(['up 1'])
})

test('a peer whose connection does not come back within peerLostMs is lost', async () => {
  const { a, b, toA, toB } = await startBehindProxies({ handshakeTimeoutMs: 5000 })
  const startMs = performance.now()
  // New connections are accepted and hang: there is no definite error.
  toA.freeze()
  toB.freeze()
  toA.reset()
  toB.reset()
  await until(() => a.handler.events.length === 2 && b.handler.events.length === 2, 'both down')
  expect(a.handler.eventTimesMs[1]! - startMs).toBeGreaterThanOrEqual(45)
  const lost = a.log.warnings.find((line) => line.message === 'peer lost')
  expect(lost?.fields['reason']).toBe('closed')
})

test('an idle pair stays up on keep-alive alone', async () => {
  const limits = { keepAliveMs: 20, keepAliveTimeoutMs: 60 }
  const [a, b] = await startCluster(2, { limits })
  const startMs = performance.now()
  // Seven times as long as silence is tolerated.
  await until(() => heardMs(a!, b!) > startMs + 420 && heardMs(b!, a!) > startMs + 420, 'pings')
  expect(a!.handler.events).toEqual(['up 2'])
  expect(b!.handler.events).toEqual(['up 1'])
})

test('the newest connection of a member replaces the one before', async () => {
  const a = await startMember({ number: 1 })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [] }])
  const first = await rawHello(a, identityOf(2))
  const second = await rawHello(a, identityOf(2))
  expect([first.status, second.status]).toEqual([101, 101])
  await closed(first.socket)
  second.socket.write(PING)
  const [pong] = (await once(second.socket, 'data')) as [Buffer]
  expect(pong.length).toBe(PING.length)
  expect(second.socket.destroyed).toBe(false)
  second.socket.destroy()
})

test('a peer that moves is dialled at its new address', async () => {
  const [a, b] = await startCluster(2)
  await b!.transport.stop(100)
  await until(() => a!.handler.events.length === 2, 'down')
  const moved = await startMember({ number: 2 })
  introduce([a!, moved])
  await until(() => a!.handler.events.length === 3 && moved.handler.events.length === 1, 'up')
  expect(a!.handler.events).toEqual(['up 2', 'down 2', 'up 2'])
})

test('a peer with several URLs is reached at whichever answers', async () => {
  const a = await startMember({ number: 1 })
  const b = await startMember({ number: 2 })
  const gone = await startMember({ number: 3 })
  await gone.transport.stop(0)
  b.transport.setPeers([addressOf(a)])
  a.transport.setPeers([{ ...addressOf(b), peerUrls: [gone.url, b.url] }])
  await until(() => a.handler.events.length === 1 && b.handler.events.length === 1, 'both up')
  expect(b.handler.events).toEqual(['up 1'])
})

test('a peer URL that cannot be dialled is said once and tried again later', async () => {
  const inner = tcpNetwork()
  let dials = 0
  const network: PeerNetwork = {
    ...inner,
    connect(url) {
      dials++
      return inner.connect(url)
    },
  }
  const a = await startMember({ number: 1, limits: { redialMaxMs: 20 }, network })
  const peerUrls = ['ftp://127.0.0.1:1', 'http://127.0.0.1:1/']
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls }])
  const said = (): unknown[] =>
    a.log.lines.filter((l) => l.message === 'peer cannot be reached').map((l) => l.fields['url'])
  await until(() => said().length === 2, 'both lines')
  await until(() => dials > 8, 'more rounds')
  expect(said()).toEqual(peerUrls)
})

test('a peer that accepts and closes at once is dialled with growing delays, not in a loop', async () => {
  const a = await startMember({ number: 1 })
  const acceptor = await startAcceptor({ answer: welcome(identityOf(2)), reads: true, ends: true })
  const startMs = performance.now()
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [acceptor.url] }])
  await until(() => acceptor.sockets.length >= 6, 'six dials')
  // The second at once, then at least half of 20, 40, 80 and 160 ms.
  expect(performance.now() - startMs).toBeGreaterThan(140)
  await acceptor.close()
})

test('a clean stop of a peer is news, not a warning', async () => {
  const [a, b] = await startCluster(2)
  await b!.transport.stop(500)
  await until(() => a!.handler.events.length === 2, 'down')
  expect(a!.handler.events).toEqual(['up 2', 'down 2'])
  expect(a!.log.warnings).toEqual([])
  expect(a!.log.lines.map((line) => line.message)).toContain('peer stopped')
  // From the call of stop on, nothing is reported.
  expect(b!.handler.events).toEqual(['up 1'])
})
