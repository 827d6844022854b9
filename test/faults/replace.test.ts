// A member that lost its disk is replaced under its own name and address, by the REST API and the membership file, while
// clients write; the old one never comes back (design decision 10, faults.md promise 6).

import { rm } from 'node:fs/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { clusterIdOf, memberIdOf } from '../../lib/identity.ts'
import type { Membership, Problem } from '../../member/src/rest/contract.ts'
import { Operated, TOKEN } from '../support/operated-cluster.ts'
import { eventually, type MemberProcess, type ProcessCluster } from '../support/process-cluster.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 30_000 })

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

interface Answered {
  readonly status: number
  readonly body: Membership & Problem
}

async function call(
  member: MemberProcess,
  method: 'POST' | 'DELETE',
  path: string,
  body?: object,
): Promise<Answered> {
  const response = await fetch(`${member.api}/cluster/members${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  return { status: response.status, body: (await response.json()) as Membership & Problem }
}

test('a lost disk is replaced in one change under load, and every acknowledged write is kept (F10, F25, F52)', async () => {
  const operated = await Operated.create(3)
  cluster = operated.cluster
  const c = operated.cluster
  await operated.publish(operated.document())
  operated.start(...c.members)
  for (const member of c.members) await operated.until(member, 'ready', (status) => status.ready)
  const leader = await c.agreedLeader()
  const lost = c.members.find((member) => member !== leader)!
  const [oldId, newId] = [1, 2].map((n) => memberIdOf(TOKEN, lost.name, n)) as [string, string]

  const acknowledged: number[] = []
  const stop = new AbortController()
  const writer = (async (): Promise<void> => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const response = await fetch(`${leader.api}/v1/kv/w${i}`, { method: 'PUT', body: `${i}` })
      await response.arrayBuffer()
      if (response.ok) acknowledged.push(i)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()

  const clusterId = clusterIdOf(TOKEN, operated.initialCluster)
  await operated.publish(operated.document({ phase: 'Running', clusterId }))
  await c.kill(lost)
  await rm(lost.dataDir, { recursive: true })
  operated.start(lost)
  await operated.parked(lost, 'AwaitingReplacement')

  // Its new life is added beside the old one, at the same address.
  const peerUrls = [`http://127.0.0.1:${lost.peerPort}`]
  const addition = { name: lost.name, incarnation: 2, peerUrls }
  const added = await call(leader, 'POST', '?expectedEpoch=0', addition)
  expect([added.status, added.body.id]).toEqual([200, newId])
  // The answer may have been lost: asked again it is the same.
  expect((await call(leader, 'POST', '', addition)).body.epoch).toBe(added.body.epoch)
  // And whoever means the membership before is told.
  const stale = await call(leader, 'DELETE', `/${oldId}?expectedEpoch=0`)
  expect([stale.status, stale.body.code]).toEqual([409, 'MEMBERSHIP_CONFLICT'])
  // It has not even started: a vote for it now would cost the quorum its safety margin.
  const early = await call(leader, 'POST', `/${oldId}/replace`, { by: newId })
  expect([early.status, early.body.code]).toEqual([503, 'NOT_READY'])

  await operated.publish(
    operated.document({ phase: 'Running' }, { [lost.name]: { incarnation: 2, state: 'Learner' } }),
  )
  await operated.until(lost, 'learning', ({ role }) => role === 'learner')
  const replaced = await eventually(
    'the replacement',
    async () => {
      const answer = await call(leader, 'POST', `/${oldId}/replace`, { by: newId })
      return answer.status === 200 ? answer.body : undefined
    },
    { timeoutMs: 20_000, everyMs: 100, explain: () => c.outputs() },
  )
  expect(replaced.epoch).toBeGreaterThan(added.body.epoch)
  const back = await operated.until(lost, 'ready', (status) => status.ready)
  expect([back.memberId, back.incarnation]).toEqual([newId, 2])
  await eventually('three voters', async () => {
    const status = await operated.status(leader)
    const roles = status?.members.map(({ role, id }) => `${role} ${id === oldId}`)
    return roles?.join() === 'voter false,voter false,voter false' ? true : undefined
  })

  stop.abort()
  await writer
  console.log(`replaced under ${acknowledged.length} acknowledged writes`)
  expect(acknowledged.length).toBeGreaterThan(10)
  for (const i of acknowledged) {
    const read = await fetch(`${lost.api}/v1/kv/w${i}?consistency=serializable`)
    expect(await read.text()).toBe(`${i}`)
  }

  // The id is used up, and so is a disk that remembers it.
  const reused = await call(leader, 'POST', '', { ...addition, name: lost.name, incarnation: 1 })
  expect([reused.status, reused.body.code]).toEqual([409, 'MEMBERSHIP_CONFLICT'])
})

test('a member that is removed parks behind a tombstone, and the others go on (F52)', async () => {
  const operated = await Operated.create(3)
  cluster = operated.cluster
  const c = operated.cluster
  await operated.publish(operated.document())
  operated.start(...c.members)
  for (const member of c.members) await operated.until(member, 'ready', (status) => status.ready)
  const leader = await c.agreedLeader()
  const [gone, kept] = c.members.filter((member) => member !== leader) as [
    MemberProcess,
    MemberProcess,
  ]
  // It is away while it is removed: its peers tell it when it comes back.
  await c.kill(gone)
  const removed = await call(leader, 'DELETE', `/${memberIdOf(TOKEN, gone.name, 1)}`)
  expect(removed.status).toBe(200)
  operated.start(gone)
  const parked = await operated.parked(gone, 'Tombstoned')
  expect(parked.dataDirectory.code).toBe('MEMBER_REMOVED')
  expect(await operated.probes(gone)).toEqual([200, 200, 503])
  await c.kill(gone)
  operated.start(gone)
  await operated.parked(gone, 'Tombstoned')
  // A change that would leave no majority that answers is refused.
  await c.kill(kept)
  const unsafe = await eventually('the refusal', async () => {
    const answer = await call(leader, 'DELETE', `/${memberIdOf(TOKEN, leader.name, 1)}?timeout=2s`)
    return answer.body.code === 'MEMBERSHIP_UNSAFE' ? answer : undefined
  })
  expect(unsafe.status).toBe(409)
  operated.start(kept)
  await operated.until(kept, 'ready', (status) => status.ready)
  expect((await fetch(`${kept.api}/v1/kv/k`, { method: 'PUT', body: 'v' })).status).toBe(200)
})
