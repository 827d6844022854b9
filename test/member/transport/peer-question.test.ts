// The question of a blank member, asked of a real transport and of everything else that may listen on a peer URL.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { systemTimers } from '../../../lib/clock.ts'
import {
  askPeer,
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
