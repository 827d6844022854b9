// Who is let in and what both sides say about it (fault contract, promise 6; X2).

import { expect, test } from 'vitest'
import { diffInitialClusters } from '../../../member/src/transport/handshake.ts'
import {
  addressOf,
  introduce,
  type LogLine,
  memberId,
  startCluster,
  startMember,
  type TestMember,
  until,
} from './harness.ts'
import { closed, identityOf, rawHello, startAcceptor, welcome } from './raw-peer.ts'

const N1 = 'n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2382'
const N2 = 'n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2383'

function lineOf(member: TestMember, message: string): LogLine | undefined {
  return member.log.lines.find((line) => line.message === message)
}

/** Several rounds of dialling, as seen by the one who is dialled. */
async function rounds(member: TestMember, count: number): Promise<void> {
  const before = member.refusals.length
  await until(() => member.refusals.length >= before + count, `${count} refusals`)
}

test('two clusters do not mix, and both sides say once which entry differs', async () => {
  const a = await startMember({ number: 1, identity: { initialCluster: N1 } })
  const other = { clusterId: '00000000000000c2', initialCluster: N2 }
  const b = await startMember({ number: 2, identity: other })
  a.transport.setPeers([addressOf(b)])
  b.transport.setPeers([addressOf(a)])
  await rounds(a, 3)
  await rounds(b, 3)
  expect(a.handler.events).toEqual([])
  expect(b.handler.events).toEqual([])
  for (const [member, here, there] of [
    [a, 'http://127.0.0.1:2382', 'http://127.0.0.1:2383'],
    [b, 'http://127.0.0.1:2383', 'http://127.0.0.1:2382'],
  ] as const) {
    // As dialler and as acceptor, whatever the number of attempts.
    expect(member.log.warnings.map((line) => line.message).toSorted()).toEqual([
      'peer connection refused',
      'refused a peer connection',
    ])
    for (const line of member.log.warnings) {
      expect(line.fields['code']).toBe('CLUSTER_MISMATCH')
      expect(line.fields['differs']).toEqual([{ name: 'n2', here, there }])
    }
  }
})

test('a refusal is a problem document that names what was expected and what was got', async () => {
  const a = await startMember({ number: 1, identity: { initialCluster: N1 } })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [] }])
  const answer = await rawHello(a, identityOf(2, { clusterId: 'ffffffffffffffff' }))
  expect(answer.status).toBe(412)
  expect(answer.head).toContain('Content-Type: application/problem+json')
  expect(answer.problem).toEqual({
    type: 'urn:raftbase:error:CLUSTER_MISMATCH',
    title: 'Precondition Failed',
    status: 412,
    code: 'CLUSTER_MISMATCH',
    reason: 'cluster',
    detail: 'cluster ID mismatch: the two members belong to different clusters',
    expected: '00000000000000c1',
    got: 'ffffffffffffffff',
    initialCluster: N1,
  })
})

test.each([
  {
    what: 'another protocol version',
    identity: { protocolVersion: 2 },
    status: 426,
    problem: { code: 'PROTOCOL_MISMATCH', reason: 'protocol', expected: '1', got: '2' },
  },
  {
    what: 'a member that is not known here',
    identity: { memberId: memberId(7) },
    status: 403,
    problem: { code: 'MEMBER_MISMATCH', reason: 'notKnownHere', got: memberId(7) },
  },
  {
    what: 'a dialler that meant another member',
    to: memberId(9),
    status: 421,
    problem: {
      code: 'MEMBER_MISMATCH',
      reason: 'otherMember',
      expected: memberId(1),
      got: memberId(9),
    },
  },
  {
    what: 'its own id',
    identity: { memberId: memberId(1) },
    status: 421,
    problem: { code: 'MEMBER_MISMATCH', reason: 'self' },
  },
  {
    what: 'a removed member',
    identity: { memberId: memberId(8) },
    status: 410,
    problem: { code: 'MEMBER_REMOVED', reason: 'removed' },
  },
  {
    what: 'an id that is no id',
    identity: { memberId: '../../etc' as never },
    status: 400,
    problem: { code: 'WIRE_MALFORMED', reason: 'malformed' },
  },
  {
    what: 'a request for something else',
    path: '/metrics',
    status: 404,
    problem: { code: 'NOT_FOUND' },
  },
])('$what is refused with the reason', async ({ identity, to, path, status, problem }) => {
  const a = await startMember({ number: 1, isRemoved: (id) => id === memberId(8) })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [] }])
  const options = { ...(to === undefined ? {} : { to }), ...(path === undefined ? {} : { path }) }
  const answer = await rawHello(a, identityOf(2, identity), options)
  expect(answer.status).toBe(status)
  expect(answer.problem).toMatchObject(problem)
  expect(a.handler.events).toEqual([])
})

test('the same id with another incarnation is refused', async () => {
  const a = await startMember({ number: 1 })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [] }])
  const first = await rawHello(a, identityOf(2))
  expect(first.status).toBe(101)
  const second = await rawHello(a, identityOf(2, { incarnation: 2 }))
  expect(second.problem).toMatchObject({ reason: 'incarnation', expected: '1', got: '2' })
  first.socket.destroy()
})

test.each([
  { what: 'another member', identity: { memberId: memberId(5) }, code: 'MEMBER_MISMATCH' },
  {
    what: 'another cluster',
    identity: { clusterId: '00000000000000c9' },
    code: 'CLUSTER_MISMATCH',
  },
  { what: 'another protocol', identity: { protocolVersion: 9 }, code: 'PROTOCOL_MISMATCH' },
])('the dialler closes when the one who accepts is $what', async ({ identity, code }) => {
  const a = await startMember({ number: 1 })
  const acceptor = await startAcceptor({ answer: welcome(identityOf(2, identity)), reads: true })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [acceptor.url] }])
  await until(() => acceptor.sockets.length >= 3, 'three dials')
  await closed(acceptor.sockets[0]!)
  expect(a.log.warnings.length).toBe(1)
  expect(a.log.warnings[0]!.fields).toMatchObject({ code, url: acceptor.url, peerName: 'n2' })
  await acceptor.close()
})

test('a member that a peer refuses as removed is told so', async () => {
  let told = 0
  const a = await startMember({ number: 1, onRemoved: () => told++ })
  const b = await startMember({ number: 2, isRemoved: (id) => id === a.id })
  a.transport.setPeers([addressOf(b)])
  await until(() => told > 0, 'the word')
  expect(a.handler.events).toEqual([])
  await a.transport.stop(0)
  const before = told
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(told).toBe(before)
})

test('a member that dials itself says so', async () => {
  const a = await startMember({ number: 1 })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [a.url] }])
  await rounds(a, 2)
  await until(() => a.log.warnings.length > 0, 'the line')
  expect(a.log.warnings.map((line) => [line.message, line.fields['reason']])).toEqual([
    ['peer connection refused', 'self'],
  ])
})

test('a member without the other in its set refuses it until it learns of it', async () => {
  const a = await startMember({ number: 1 })
  const b = await startMember({ number: 2 })
  a.transport.setPeers([addressOf(b)])
  await rounds(b, 1)
  await until(() => lineOf(a, 'peer connection refused') !== undefined, 'the line')
  expect(lineOf(a, 'peer connection refused')!.fields['reason']).toBe('notKnownHere')
  introduce([a, b])
  await until(() => a.handler.events.length === 1, 'up')
  expect(a.handler.events).toEqual(['up 2'])
})

test('a peer that is taken out of the set is cut off in both directions', async () => {
  const [a, b] = await startCluster(2)
  a!.transport.setPeers([])
  await until(() => b!.handler.events.length === 2, 'b notices')
  expect(b!.handler.events).toEqual(['up 1', 'down 1'])
  expect(a!.handler.events).toEqual(['up 2'])
  await rounds(a!, 1)
  expect(a!.transport.peerStatus(b!.id)).toEqual({ connected: false, lastHeardMs: undefined })
})

test('initial clusters are compared member by member, whatever their order', () => {
  expect(diffInitialClusters('a=u1,b=u2', 'b=u2,a=u1')).toEqual([])
  expect(diffInitialClusters('a=u1,a=u2', 'a=u2,a=u1')).toEqual([])
  expect(diffInitialClusters('a=u1,b=u2', 'a=u1,c=u3')).toEqual([
    { name: 'b', here: 'u2', there: undefined },
    { name: 'c', here: undefined, there: 'u3' },
  ])
})
