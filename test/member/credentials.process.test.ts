// X1 on a real member that asks clients and peers for certificates: every route of every listener, whatever the list of routes
// is today, is refused to whoever has none, before anything of the request is read; and neither listener serves what is the
// other's, to whoever may come in.

import { type ConnectionOptions, connect } from 'node:tls'
import { expect, test } from 'vitest'
import { memberIdOf } from '../../lib/identity.ts'
import { SeededPrng } from '../../lib/prng.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import type { Status } from '../../member/src/rest/contract.ts'
import { ENDPOINTS } from '../../member/src/rest/endpoints.ts'
import { FRAME_TYPE, frameOf, packFrames } from '../../member/src/transport/frame.ts'
import {
  helloFields,
  PEER_PATH,
  SNAPSHOT_PATH,
  UPGRADE_TOKEN,
} from '../../member/src/transport/handshake.ts'
import { PEER_PROTOCOL_VERSION } from '../../member/src/transport/options.ts'
import { CLUSTER_PATH, QUESTION_PATH } from '../../member/src/transport/peer-question.ts'
import { encodeNodeMessage, encodePeerMessage } from '../../member/src/wire/raft-codec.ts'
import { authority, leaf } from '../support/certificates.ts'
import { ca, certificateFlags, client, get, own, startMember } from '../support/secure-member.ts'
import { randomNodeMessage, randomPeerMessage } from './wire/raft-random.ts'

const ID = '0123456789abcdef' as MemberId
const trust = { ca: ca.certificate }
const asClient = { ...trust, cert: client.certificate, key: client.key }
/** Good for both sides, as a member's is. */
const asMember = { ...trust, cert: own.certificate, key: own.key }
const stranger = leaf(authority('somebody else'), { commonName: 'app', usages: ['client'] })
const asStranger = { ...trust, cert: stranger.certificate, key: stranger.key }
/** No answer of anybody: the connection was closed without a word. */
const NOTHING = 0

interface Target {
  readonly method: string
  readonly path: string
}

/** From the list of which the API is made, so that a new route is among them. */
const ROUTES: readonly Target[] = ENDPOINTS.flatMap(({ path, methods }) =>
  methods.map((method) => ({ method, path: path.replace('{id}', ID).replace('{key}', 'k') })),
)
/** What is no route yet, and what is none of HTTP's everyday methods. */
const OTHERS: readonly Target[] = [
  { method: 'GET', path: '/a-route-of-tomorrow' },
  { method: 'POST', path: '/etcdserverpb.KV/Range' },
  { method: 'POST', path: '/v3/kv/range' },
  { method: 'OPTIONS', path: '*' },
  { method: 'CONNECT', path: '127.0.0.1:2380' },
  { method: 'TRACE', path: '/' },
]

/** Status of the answer to these bytes on a new TLS connection. */
function send(port: number, options: ConnectionOptions, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect({ ...options, port, host: '127.0.0.1' })
    const end = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(text)?.[1] ?? NOTHING))
    }
    const timer = setTimeout(end, 10_000)
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk
      if (text.includes('\r\n\r\n')) end()
    })
    socket.on('error', () => undefined)
    socket.once('close', end)
    socket.write(bytes)
  })
}

function requestBytes({ method, path }: Target, fields: Record<string, string> = {}): Buffer {
  const body = method === 'GET' || method === 'HEAD' ? '' : '{}'
  const all = {
    Host: 'x',
    Connection: 'close',
    'Content-Type': 'application/json',
    'Content-Length': String(body.length),
    ...fields,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
}

/** What a request that was carried out would change. */
async function stateOf(api: string): Promise<unknown> {
  const status = JSON.parse((await get(`${api}/v1/status`, asClient)).body) as Status
  const { term, revision, membershipEpoch, members, compactRevision, committed } = status
  return { term, revision, membershipEpoch, members, compactRevision, committed }
}

/** Statuses by target, several at a time. */
async function statuses(
  targets: readonly Target[],
  ask: (target: Target) => Promise<number>,
): Promise<Record<string, number>> {
  const entries = await Promise.all(
    targets.map(async (target) => [`${target.method} ${target.path}`, await ask(target)] as const),
  )
  return Object.fromEntries(entries)
}

function all(targets: readonly Target[], status: number): Record<string, number> {
  return Object.fromEntries(targets.map(({ method, path }) => [`${method} ${path}`, status]))
}

test('X1: every route is refused without a certificate, and on the peer port to everybody', async () => {
  const { api, member } = await startMember(certificateFlags)
  const before = await stateOf(api)
  const targets = [...ROUTES, ...OTHERS]
  expect(ROUTES.length).toBeGreaterThan(25)
  for (const port of [member.apiPort, member.clientPort]) {
    for (const who of [trust, asStranger]) {
      const told = await statuses(targets, (target) => send(port, who, requestBytes(target)))
      expect(told).toEqual(all(targets, 403))
    }
  }
  expect(await stateOf(api)).toEqual(before)
  // The same requests reach their routes with a certificate: it is that which was missing.
  const { status } = await get(`${api}/v1/kv/k`, asClient)
  expect(status).toBe(404)
  expect((await get(`${api}/cluster/members`, asClient)).status).toBe(200)
  // Nor is any of them served on the peer port, not even to a member.
  const told = await statuses(ROUTES, (target) =>
    send(member.peerPort, asMember, requestBytes(target)),
  )
  expect(told).toEqual(all(ROUTES, 404))
  const without = await statuses(ROUTES, (target) =>
    send(member.peerPort, trust, requestBytes(target)),
  )
  expect(without).toEqual(all(ROUTES, 403))
  expect(await stateOf(api)).toEqual(before)
})

test('X1: nothing of what peers say is heard on the client port or the API, not even from a member', async () => {
  const { cluster, member, api } = await startMember(certificateFlags)
  const before = await stateOf(api)
  const { clusterId } = JSON.parse((await get(`${api}/v1/status`, asClient)).body) as Status
  const to = memberIdOf(cluster.token, member.name, 1) as MemberId
  const hello = helloFields(
    {
      clusterId: clusterId!,
      memberId: memberIdOf(cluster.token, 'n2', 1) as MemberId,
      name: 'n2',
      incarnation: 1,
      protocolVersion: PEER_PROTOCOL_VERSION,
      peerUrls: ['https://127.0.0.1:1'],
    },
    to,
  )
  const upgrade = { ...hello, Connection: 'Upgrade', Upgrade: UPGRADE_TOKEN }
  const prng = new SeededPrng(1)
  const frames: Uint8Array[] = []
  const types = new Set<string>()
  // Random ones until each type of message was among them.
  while (types.size < 15) {
    const message = randomPeerMessage(prng, ID, to)
    const node = randomNodeMessage(prng)
    types.add(message.type).add(node.type)
    frames.push(
      ...packFrames([
        frameOf(FRAME_TYPE.raft, encodePeerMessage(message)),
        frameOf(FRAME_TYPE.node, encodeNodeMessage(node)),
      ]),
    )
  }
  const afterUpgrade = Buffer.concat([
    requestBytes({ method: 'GET', path: PEER_PATH }, upgrade),
    ...frames,
  ])
  for (const port of [member.apiPort, member.clientPort]) {
    const served: number[] = []
    for (const target of [
      { method: 'GET', path: PEER_PATH },
      { method: 'POST', path: SNAPSHOT_PATH },
      { method: 'GET', path: CLUSTER_PATH },
      { method: 'GET', path: `${QUESTION_PATH}?id=${ID}` },
    ]) {
      served.push(await send(port, asMember, requestBytes(target, hello)))
    }
    served.push(await send(port, asMember, afterUpgrade))
    // Without the request before them, as a parser of frames would take them.
    for (const frame of frames) served.push(await send(port, asMember, frame))
    expect(served.filter((status) => ![NOTHING, 400, 404, 431, 501].includes(status))).toEqual([])
    expect(served).toHaveLength(5 + frames.length)
  }
  expect(await stateOf(api)).toEqual(before)
  expect(member.output).not.toContain('peer connected')
})
