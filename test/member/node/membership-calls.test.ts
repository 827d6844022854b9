// What a leader answers to changes of membership: done, done already, or why not (F53). Whole members on a clock of the
// test's; random changes under faults are the simulator's.

import { expect, test } from 'vitest'
import { memberIdOf } from '../../../member/src/node/identity.ts'
import type { MembershipChange, MembershipResult } from '../../../member/src/node/membership.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import { HEARTBEAT_MS, type Host, MemberCluster, put } from '../../support/member-cluster.ts'

const NEW_ID = memberIdOf('story', 'n9', 1)
const ADD: MembershipChange & { readonly type: 'addLearner' } = {
  type: 'addLearner',
  id: NEW_ID,
  name: 'n9',
  peerUrls: ['http://n9:2380'],
}

async function ask(
  cluster: MemberCluster,
  change: MembershipChange,
  options: { readonly expectedEpoch?: number; readonly timeoutMs?: number } = {},
): Promise<MembershipResult> {
  const { membership } = cluster.leader.member!
  const asked = membership.change(change, { timeoutMs: 2000, ...options })
  let isOver = false
  const over = (): boolean => (isOver = true)
  asked.then(over, over)
  await cluster.until('an answer', () => isOver)
  return asked
}

function isLeading({ member }: Host): boolean {
  return member?.status().role === 'leader'
}

function code(expected: string, details: object = {}): object {
  return expect.objectContaining({ code: expected, details: expect.objectContaining(details) })
}

test('a learner is added once, however often it is asked for', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const first = await ask(cluster, ADD)
  expect(first.confState.learners).toEqual([NEW_ID])
  const again = await ask(cluster, ADD)
  expect(again).toEqual(first)
  await cluster.pass(300)
  for (const host of cluster.hosts) {
    expect(host.member!.stateMachine.members.get(NEW_ID)?.peerUrls).toEqual(['http://n9:2380'])
    expect(host.member!.stateMachine.membershipEpoch).toBe(first.epoch)
  }
})

test('a caller that means another membership is refused', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const { epoch } = await ask(cluster, ADD, { expectedEpoch: 0 })
  const remove = { type: 'remove', id: NEW_ID } as const
  await expect(ask(cluster, remove, { expectedEpoch: 0 })).rejects.toEqual(
    code('MEMBERSHIP_CONFLICT', { expectedEpoch: 0, epoch }),
  )
  const result = await ask(cluster, remove, { expectedEpoch: epoch })
  expect(result.confState.learners).toEqual([])
})

test('a learner that is behind is not promoted, and the figures say how far (F50)', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  await ask(cluster, ADD)
  const { lastIndex } = cluster.leader.member!.status()
  await expect(ask(cluster, { type: 'promote', ids: [NEW_ID] })).rejects.toEqual(
    code('NOT_READY', { member: NEW_ID, match: 0, lastIndex }),
  )
  const stranger = 'ffffffffffffffff' as MemberId
  await expect(ask(cluster, { type: 'promote', ids: [stranger] })).rejects.toEqual(
    code('INVALID_ARGUMENT'),
  )
})

test('a learner that nobody has heard what it is of is not promoted: all must know once it has voted', async () => {
  const cluster = new MemberCluster({ count: 4 })
  const learner = cluster.hosts.at(-1)!
  const founders = cluster.hosts.slice(0, -1).map(({ name }) => {
    return { name, peerUrls: [`http://${name}:2380`] }
  })
  cluster.network.lose(({ type }, from) => type === 'Forward' && from === learner.id)
  for (const host of cluster.hosts) await cluster.start(host, {}, founders)
  await cluster.until('a leader', () => cluster.running.some(isLeading))
  await cluster.pass(2 * HEARTBEAT_MS)
  const { id, name } = learner
  await ask(cluster, { type: 'addLearner', id, name, peerUrls: [`http://${name}:2380`] })
  await cluster.until('all of the log there', () => {
    const { peers, lastIndex } = cluster.leader.member!.status()
    return peers.some((peer) => peer.id === id && peer.match === lastIndex)
  })
  const promote = { type: 'promote', ids: [id] } as const
  await expect(ask(cluster, promote)).rejects.toMatchObject({
    code: 'NOT_READY',
    message: 'the learner has not told the cluster yet what it is',
    details: { member: id },
  })
  cluster.network.lose(() => false)
  await cluster.until('what it is', () => {
    return cluster.leader.member!.stateMachine.members.get(id)?.version !== ''
  })
  expect((await ask(cluster, promote)).confState.voters).toContain(id)
})

test('a member is not added again under other peer URLs: both are named', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const done = await ask(cluster, ADD)
  const peerUrls = ['http://elsewhere:2380']
  await expect(ask(cluster, { ...ADD, peerUrls })).rejects.toEqual(
    code('MEMBERSHIP_CONFLICT', {
      member: NEW_ID,
      peerUrls: ADD.peerUrls,
      asked: peerUrls,
      instead: `update its peer URLs: raftbase member update ${ADD.name}`,
    }),
  )
  // As it was added it is there, whatever the epoch: an answer may have been lost.
  expect(await ask(cluster, ADD)).toEqual(done)
})

test('nobody is added at the address of another member, only the next life of the same name', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const [one] = cluster.hosts
  const peerUrls = [`http://${one!.name}:2380`]
  await expect(ask(cluster, { ...ADD, peerUrls })).rejects.toEqual(
    code('INVALID_ARGUMENT', {
      field: 'peerUrls',
      accepted: `URLs that are not those of ${one!.name}`,
    }),
  )
  await ask(cluster, { ...ADD, name: one!.name, peerUrls })
})

test('a removed id is not used again, and removing it again is done already (F52)', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  await ask(cluster, ADD)
  const removed = await ask(cluster, { type: 'remove', id: NEW_ID })
  expect(await ask(cluster, { type: 'remove', id: NEW_ID })).toEqual(removed)
  await expect(ask(cluster, ADD)).rejects.toEqual(code('MEMBER_REMOVED', { member: NEW_ID }))
})

test('a change that would leave no majority that answers is refused (F53)', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const [dead, alive] = cluster.followers
  cluster.kill(dead!)
  await cluster.pass(1500)
  await expect(ask(cluster, { type: 'remove', id: alive!.id })).rejects.toEqual(
    code('MEMBERSHIP_UNSAFE', {
      voters: 2,
      answering: 1,
      silent: [dead!.id],
      instead: expect.stringContaining(`bring ${dead!.name} back first`),
    }),
  )
  const result = await ask(cluster, { type: 'remove', id: dead!.id })
  expect(result.confState.voters).toHaveLength(2)
})

test('the leader of two hands over before it is removed', async () => {
  const cluster = await MemberCluster.started({ count: 2 })
  await expect(ask(cluster, { type: 'remove', id: cluster.leader.id })).rejects.toEqual(
    code('MEMBERSHIP_UNSAFE', {
      reason: 'confChangeInvalid',
      instead: expect.stringContaining('hand leadership to another voter first'),
    }),
  )
})

function add(number: number): MembershipChange {
  const name = `l${number}`
  const id = memberIdOf('story', name, 1)
  return { type: 'addLearner', id, name, peerUrls: [`http://${name}:2380`] }
}

test('leadership is not offered to a voter that does not answer, and no write waits for it', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const [dead] = cluster.followers
  cluster.kill(dead!)
  await cluster.pass(1500)
  const { leader } = cluster
  await expect(leader.member!.transferLeader(dead!.id, { timeoutMs: 2000 })).rejects.toEqual(
    code('NOT_READY', { reason: 'silent', member: dead!.id }),
  )
  const startMs = cluster.time.monotonicMs()
  const write = put(leader, 'k')
  await cluster.until('a write', () => write.outcome !== 'pending')
  expect(write.outcome).toBe('done')
  expect(cluster.time.monotonicMs() - startMs).toBeLessThan(100)
})

test('a cluster has at most 32 members', async () => {
  const cluster = await MemberCluster.started({ count: 1 })
  for (let number = 2; number <= 32; number++) await ask(cluster, add(number))
  await expect(ask(cluster, add(33))).rejects.toEqual(
    code('MEMBERSHIP_UNSAFE', { instead: 'remove a member first: there are 32' }),
  )
})

test('the last voter is not removed', async () => {
  const cluster = await MemberCluster.started({ count: 1 })
  await expect(ask(cluster, { type: 'remove', id: cluster.leader.id })).rejects.toEqual(
    code('MEMBERSHIP_UNSAFE', { voters: 0, instead: 'add another member and promote it first' }),
  )
})

test('a member is reached elsewhere from an epoch on, and no publishing takes that back', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const moved = cluster.followers[0]!
  const peerUrls = ['http://elsewhere:2380']
  const update: MembershipChange = { type: 'update', id: moved.id, peerUrls }
  await cluster.until('what it tells of itself', () => {
    return cluster.hosts.every(
      ({ member }) => member!.stateMachine.members.get(moved.id)?.version === '0.0.0',
    )
  })
  const first = await ask(cluster, update, { expectedEpoch: 0 })
  expect(first.epoch).toBeGreaterThan(0)
  expect(first.confState.voters).toHaveLength(3)
  expect(await ask(cluster, update, { expectedEpoch: 0 })).toEqual(first)
  // Another leader is what wakes the publisher.
  const before = cluster.leader
  void before.member!.transferLeader(undefined, { timeoutMs: 2000 })
  await cluster.until('another leader', () => {
    return cluster.hosts.some((host) => host !== before && host.member!.status().role === 'leader')
  })
  await cluster.agreedLeader()
  await cluster.pass(3000)
  for (const { member } of cluster.hosts) {
    const { members, membershipEpoch } = member!.stateMachine
    expect(members.get(moved.id)).toMatchObject({ peerUrls, version: '0.0.0' })
    expect(membershipEpoch).toBe(first.epoch)
  }
})

test('what a leader that was cut off believes to be so is not answered as done', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const old = cluster.leader
  const { name } = cluster.followers[0]!
  const { id } = cluster.followers[0]!
  await cluster.until('what it tells of itself', () => {
    return old.member!.stateMachine.members.get(id)?.version === '0.0.0'
  })
  cluster.network.isolate(old.id)
  // Its peer URLs are what it has published: by the old leader's memory the change has been made already.
  const back: MembershipChange = { type: 'update', id, peerUrls: [`http://${name}:2380`] }
  const asked = old.member!.membership.change(back, { timeoutMs: 800 })
  const answer = asked.then(
    () => 'done',
    (error: unknown) => error,
  )
  await cluster.pass(1500)
  expect(['NO_LEADER', 'TIMEOUT']).toContain(((await answer) as { code?: string }).code)
})

test.each([
  { type: 'remove', id: NEW_ID },
  { type: 'promote', ids: [NEW_ID] },
  { type: 'update', id: NEW_ID, peerUrls: ['http://moved:2380'] },
] as const)(
  'a leader that was cut off says nothing for certain of whom it has not heard of: $type',
  async (change) => {
    const cluster = await MemberCluster.started({ count: 3 })
    const old = cluster.leader
    cluster.network.isolate(old.id)
    // As if somebody had just been added through the next leader: this one would call a removal done, and the others wrong.
    const answer = old.member!.membership.change(change, { timeoutMs: 800 }).then(
      () => 'done',
      (error: unknown) => error,
    )
    await cluster.pass(1500)
    expect(['NO_LEADER', 'TIMEOUT', 'NOT_LEADER']).toContain(
      ((await answer) as { code?: string }).code,
    )
  },
)

test('an address of another member, or a member that there is not, is no update', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const [one, other] = cluster.hosts
  const taken = { type: 'update', id: one!.id, peerUrls: [`http://${other!.name}:2380`] } as const
  await expect(ask(cluster, taken)).rejects.toEqual(
    code('INVALID_ARGUMENT', {
      field: 'peerUrls',
      accepted: `URLs that are not those of ${other!.name}`,
    }),
  )
  await expect(ask(cluster, { ...taken, id: NEW_ID })).rejects.toEqual(
    code('INVALID_ARGUMENT', { field: 'id' }),
  )
})

test('a state that has reached its quota does not keep the membership from changing', async () => {
  const cluster = await MemberCluster.started({ count: 3, settings: { quotaBytes: 300 } })
  const [fits, full] = [put(cluster.leader, 'a'), put(cluster.leader, 'b')]
  await cluster.until('answers', () => fits.outcome !== 'pending' && full.outcome !== 'pending')
  expect([fits.outcome, full.outcome]).toEqual(['done', 'NO_SPACE'])
  expect((await ask(cluster, ADD)).confState.learners).toEqual([NEW_ID])
  const result = await ask(cluster, { type: 'remove', id: cluster.followers[0]!.id })
  expect(result.confState.voters).toHaveLength(2)
})

test('only the leader is asked', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const follower = cluster.followers[0]!
  await expect(follower.member!.membership.change(ADD, { timeoutMs: 1000 })).rejects.toEqual(
    code('NOT_LEADER', { leader: cluster.leader.id }),
  )
})

test('a change whose leader was cut off fails for certain, and is not made later', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const old = cluster.leader
  cluster.network.isolate(old.id)
  const asked = old.member!.membership.change(ADD, { timeoutMs: 20_000 })
  const failed = asked.then(
    () => 'done',
    (error: unknown) => error,
  )
  await cluster.until('another leader', () => {
    const others = cluster.running.filter((host) => host !== old)
    return others.some((host) => host.member!.status().role === 'leader')
  })
  cluster.network.healAll()
  await cluster.agreedLeader()
  const written = put(cluster.leader, 'k')
  await cluster.until('a write', () => written.outcome === 'done')
  await cluster.pass(500)
  expect(await failed).toEqual(code('NO_LEADER'))
  for (const host of cluster.hosts)
    expect(host.member!.stateMachine.members.has(NEW_ID)).toBe(false)
})
