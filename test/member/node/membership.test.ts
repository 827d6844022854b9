// Members that are removed and members that join, whole, in one process: what they do, what the others know, and what lies
// on their disks afterwards (design decision 10).

import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { NodeStatus } from '../../../member/src/node/member-node.ts'
import { eventually } from '../../support/process-cluster.ts'
import { entryOf, idOf, MemberGroup, type Running } from './member-group.ts'

const NAMES = ['a', 'b', 'c'] as const
const key = new TextEncoder().encode('k')
const value = new TextEncoder().encode('v')

async function threeMembers(): Promise<MemberGroup> {
  const group = await MemberGroup.create(NAMES)
  for (const name of NAMES) await group.start(name)
  await group.leader()
  return group
}

function until(running: Running, what: string, holds: (status: NodeStatus) => boolean) {
  return eventually(`${running.name} ${what}`, () => {
    const status = running.host.status()
    return holds(status) ? status : undefined
  })
}

test.each(['follower', 'leader'])(
  'a removed %s buries its data and parks (F51, F52)',
  async (role) => {
    const group = await threeMembers()
    const leader = await group.leader()
    const gone =
      role === 'leader' ? leader : [...group.running.values()].find((one) => one !== leader)!
    await leader.host.put({ key, value }, { timeoutMs: 5000 })
    await group.change([{ type: 'remove', memberId: idOf(gone.name) }])
    const parked = await until(gone, 'parked', ({ state }) => state === 'parked')
    expect(parked.dataDirectory).toEqual({
      state: 'Tombstoned',
      code: 'MEMBER_REMOVED',
      detail:
        'the member has been permanently removed from the cluster; data-dir used by this member must be removed',
    })
    expect(parked.memberId).toBe(idOf(gone.name))
    expect(gone.host.notReadyReason()).toBe('parked')
    expect(gone.failures).toEqual([])
    await expect(gone.host.put({ key, value }, { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'NOT_READY',
    })
    const tombstone = await readFile(join(group.dataDir(gone.name), 'removed.json'), 'utf8')
    expect(JSON.parse(tombstone)).toEqual({ memberId: idOf(gone.name), removed: true })

    // The others go on, and know it for ever.
    await group.stop(gone.name)
    const next = await group.leader()
    await next.host.put({ key, value }, { timeoutMs: 5000 })
    expect(next.host.status().members).toHaveLength(2)
    expect(next.host.status().membershipEpoch).toBeGreaterThan(0)
    expect([...next.host.member!.stateMachine.removed]).toEqual([idOf(gone.name)])
    expect(next.host.member!.hasTakenPart(idOf(gone.name))).toBe(true)

    // It never starts from this directory again, whatever the file says.
    const again = await group.start(gone.name)
    expect(again.host.status()).toMatchObject({
      state: 'parked',
      startupPhase: 'parked',
      dataDirectory: { state: 'Tombstoned' },
    })
  },
)

test('members stay away as soon as the file says that their cluster is being recovered, and come back after it', async () => {
  const group = await threeMembers()
  const leader = await group.leader()
  await leader.host.put({ key, value }, { timeoutMs: 5000 })
  group.publish({ phase: 'Recovering' })
  for (const member of group.running.values()) {
    const parked = await until(member, 'parked', ({ state }) => state === 'parked')
    expect(parked).toMatchObject({
      startupPhase: 'parked',
      memberId: idOf(member.name),
      membershipFile: { phase: 'Recovering' },
      dataDirectory: {
        state: 'Valid',
        detail: 'the cluster is being recovered; nobody takes part meanwhile',
      },
    })
    expect(member.host.notReadyReason()).toBe('parked')
  }
  group.publish({ phase: 'Running' })
  const next = await group.leader()
  const { kv } = await next.host.get({ key, consistency: 'linearizable' }, { timeoutMs: 5000 })
  expect(Buffer.from(kv!.value).toString()).toBe('v')
  for (const { failures } of group.running.values()) expect(failures).toEqual([])
  // And again, in the same processes.
  group.publish({ phase: 'Recovering' })
  for (const member of group.running.values()) {
    await until(member, 'parked again', ({ state }) => state === 'parked')
  }
})

test('a member that was removed while it was away learns it from its own log, if not sooner', async () => {
  const group = await threeMembers()
  const leader = await group.leader()
  const away = [...group.running.values()].find((one) => one !== leader)!
  await group.change([{ type: 'remove', memberId: idOf(away.name) }])
  await until(leader, 'without it', ({ members }) => members.length === 2)
  await until(away, 'parked', ({ state }) => state === 'parked')
  await group.stop(away.name)
  // As if it had been killed between its last entry and the tombstone.
  await rm(join(group.dataDir(away.name), 'removed.json'))
  const back = await group.start(away.name)
  await until(back, 'parked again', ({ state }) => state === 'parked')
  expect(back.host.status().dataDirectory.state).toBe('Tombstoned')
})

test('a promoted learner that lost its disk waits, although the file is behind and says learner', async () => {
  const group = await threeMembers()
  const members = [...NAMES, 'd'].map((name, ordinal) =>
    entryOf(name, { ordinal, state: name === 'd' ? 'Learner' : 'Voter' }),
  )
  group.publish({ phase: 'Running', members })
  const joined = await group.start('d')
  await group.change([{ type: 'addLearner', memberId: idOf('d') }], ['d'])
  await until(joined, 'a learner', ({ role, applied }) => role === 'learner' && applied > 0)
  await group.change([{ type: 'addVoter', memberId: idOf('d') }])
  await eventually('its readiness', () => joined.host.isReady() || undefined)
  await group.stop('d')
  await rm(group.dataDir('d'), { recursive: true })
  const back = await group.start('d')
  await until(back, 'parked', ({ state }) => state === 'parked')
  expect(back.host.status().dataDirectory.state).toBe('AwaitingReplacement')
})

test('a blank learner joins, is told everything, and can be promoted', async () => {
  const group = await threeMembers()
  const leader = await group.leader()
  for (let i = 0; i < 20; i++) {
    await leader.host.put({ key: new TextEncoder().encode(`k${i}`), value }, { timeoutMs: 5000 })
  }
  const lost = [...group.running.values()].find((one) => one !== leader)!.name
  // Its disk is gone: remove it, and add it again under the next incarnation.
  await group.stop(lost)
  await rm(group.dataDir(lost), { recursive: true })
  await group.change([{ type: 'remove', memberId: idOf(lost) }])
  await until(leader, 'without it', ({ members }) => members.length === 2)
  const members = NAMES.map((name, ordinal) => entryOf(name, { ordinal }))
  const others = members.filter(({ name }) => name !== lost)
  group.publish({ phase: 'Running', members })
  const waiting = await group.start(lost)
  expect(waiting.host.status().dataDirectory.state).toBe('AwaitingReplacement')

  const learner = entryOf(lost, { incarnation: 2, state: 'Learner' })
  await group.change([{ type: 'addLearner', memberId: idOf(lost, 2) }], [lost])
  group.publish({ members: [...others, learner] })
  const joined = await until(waiting, 'caught up', ({ state, applied }) => {
    return state === 'running' && applied >= leader.host.status().committed
  })
  expect(joined).toMatchObject({
    memberId: idOf(lost, 2),
    incarnation: 2,
    role: 'learner',
    clusterId: leader.host.status().clusterId,
    dataDirectory: { state: 'Valid' },
    membershipFile: { epoch: 3, listed: 'Learner' },
  })
  expect(waiting.host.notReadyReason()).toBe('learner')
  const read = await waiting.host.get(
    { key: new TextEncoder().encode('k7'), consistency: 'serializable' },
    { timeoutMs: 1000 },
  )
  expect(Buffer.from(read.kv!.value).toString()).toBe('v')
  const progress = await eventually('the leader to replicate to it', () => {
    const peer = leader.host.status().peers.find(({ id }) => id === idOf(lost, 2))
    return peer?.progress === 'replicate' && peer.match! >= joined.applied ? peer : undefined
  })
  expect(progress).toMatchObject({ active: true, connected: true })

  // It is the same member after a restart, before anybody has made it a voter.
  await group.stop(lost)
  const restarted = await group.start(lost)
  await until(restarted, 'a learner again', ({ role }) => role === 'learner')
  await group.change([{ type: 'addVoter', memberId: idOf(lost, 2) }])
  await eventually('its readiness', () => restarted.host.isReady() || undefined)
  expect(restarted.host.status().members.map(({ role }) => role)).toEqual([
    'voter',
    'voter',
    'voter',
  ])
})

test('a blank member that a peer knows waits, and one that nobody knows starts', async () => {
  const group = await MemberGroup.create(['a'])
  group.publish({ members: [entryOf('a')] })
  const solo = await group.start('a')
  await until(solo, 'leading', ({ role }) => role === 'leader')

  const other = await MemberGroup.create(['x', 'y'])
  const clusterId = other.document['clusterId'] as string
  other.knownBy = [
    { clusterId, name: 'y', takenPart: false },
    { clusterId: '00000000000000ff', name: 'z', takenPart: true },
  ]
  expect((await other.start('x')).host.status().state).toBe('running')
  await other.stop('x')
  await rm(other.dataDir('x'), { recursive: true })
  other.knownBy = [{ clusterId, name: 'y', takenPart: true }]
  expect((await other.start('x')).host.status().dataDirectory).toMatchObject({
    state: 'AwaitingReplacement',
    detail: expect.stringContaining('y knows x as a member') as string,
  })
})
