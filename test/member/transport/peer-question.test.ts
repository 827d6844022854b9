// The question of a blank member, asked of a real transport and of everything else that may listen on a peer URL.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { systemTimers } from '../../../lib/clock.ts'
import {
  askCluster,
  askPeer,
  type ClusterView,
  type PeerAnswer,
  tcpNetwork,
} from '../../../member/src/transport/peer-transport.ts'
import { CLUSTER_ID, memberId, startMember } from './harness.ts'

const ABOUT = memberId(7)

function ask(url: string, timeoutMs = 1000): Promise<PeerAnswer | undefined> {
  const network = tcpNetwork()
  return askPeer({ url, about: ABOUT, network, timers: systemTimers, timeoutMs })
}

async function urlOf(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function answering(body: string, status = 200): Promise<string> {
  return urlOf(createServer((_request, response) => response.writeHead(status).end(body)))
}

test.each([true, false])(
  'a member says who it is, and whether it knows the one asked about',
  async (takenPart) => {
    const asked: string[] = []
    const a = await startMember({
      number: 1,
      hasTakenPart: (id) => {
        asked.push(id)
        return takenPart
      },
    })
    expect(await ask(a.url)).toEqual({
      clusterId: CLUSTER_ID,
      memberId: a.id,
      name: 'n1',
      takenPart,
    })
    expect(asked).toEqual([ABOUT])
    expect(a.log.warnings).toEqual([])
  },
)

test('a member says who belongs to the cluster, once it knows', async () => {
  const member = {
    id: ABOUT,
    name: 'n7',
    role: 'learner',
    peerUrls: ['http://n7:2380'],
    hasStarted: false,
  } as const
  let view: ClusterView | undefined
  const a = await startMember({
    number: 1,
    hasTakenPart: () => true,
    describeCluster: () => view,
  })
  const asked = () =>
    askCluster({ url: a.url, network: tcpNetwork(), timers: systemTimers, timeoutMs: 1000 })
  expect(await asked()).toBeUndefined()
  view = { epoch: 12, members: [member] }
  expect(await asked()).toEqual({ clusterId: CLUSTER_ID, ...view })
})

test.each([
  { clusterId: 'x', epoch: 1, members: [] },
  { clusterId: CLUSTER_ID, epoch: '1', members: [] },
  { clusterId: CLUSTER_ID, epoch: 1, members: [{ id: ABOUT, name: 'n7', peerUrls: [1] }] },
  { clusterId: CLUSTER_ID, epoch: 1, members: [null] },
])('what is no description of a cluster is no answer: %j', async (body) => {
  const url = await answering(JSON.stringify(body))
  const network = tcpNetwork()
  expect(await askCluster({ url, network, timers: systemTimers, timeoutMs: 1000 })).toBeUndefined()
})

test('a question that is none is refused as anything else on this port', async () => {
  const a = await startMember({ number: 1, hasTakenPart: () => true })
  for (const target of [
    '/raftbase/member',
    '/raftbase/member?id=7',
    `/raftbase/member?id=${ABOUT}&x`,
  ]) {
    expect((await fetch(`${a.url}${target}`)).status).toBe(404)
  }
  const post = await fetch(`${a.url}/raftbase/member?id=${ABOUT}`, { method: 'POST' })
  expect(post.status).toBe(404)
})

test.each([
  ['what is not JSON', () => answering('ok')],
  ['an answer without ids', () => answering('{"clusterId":"x","takenPart":false}')],
  [
    'an answer that does not say',
    () => answering(JSON.stringify({ clusterId: CLUSTER_ID, memberId: ABOUT, name: 'n' })),
  ],
  ['a refusal', () => answering('{}', 404)],
  ['an answer too large', () => answering('x'.repeat(10_000))],
  ['a peer that closes', () => urlOf(createTcpServer((socket) => socket.destroy()))],
  ['a name that does not resolve', () => Promise.resolve('http://nobody.invalid:2380')],
  ['nobody', () => Promise.resolve('http://127.0.0.1:1')],
])('%s is no answer', async (_what, peer) => {
  expect(await ask(await peer())).toBeUndefined()
})

test('a silent peer has its time and no more', async () => {
  const url = await urlOf(createTcpServer(() => {}))
  const startMs = performance.now()
  expect(await ask(url, 100)).toBeUndefined()
  expect(performance.now() - startMs).toBeLessThan(1000)
})
