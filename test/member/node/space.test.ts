// A disk without space: nothing is acknowledged that is not stored, reads go on, and when there is space again everything
// that waited is stored and writes are taken (faults.md F27). In small segments, so that the room made ahead is soon used.

import { describe, expect, test } from 'vitest'
import { memberIdOf } from '../../../member/src/node/identity.ts'
import {
  ELECTION_MS,
  HEARTBEAT_MS,
  type Host,
  MemberCluster,
  put,
  read,
  valueAt,
  type Watched,
} from '../../support/member-cluster.ts'

const SETTINGS = { segmentBytes: 16 * 1024 }
const VALUE = 'x'.repeat(8000)

function fill(host: Host): void {
  host.fs.capacityBytes = 0
}

function makeSpace(host: Host): void {
  host.fs.capacityBytes = Number.POSITIVE_INFINITY
}

/** Puts large values through `host` until one is not done, and returns it. */
async function firstRefused(cluster: MemberCluster, host: Host): Promise<Watched> {
  for (let i = 0; i < 100; i++) {
    const write = put(host, `large-${i}`, VALUE, 2000)
    await cluster.until('an answer', () => write.outcome !== 'pending')
    if (write.outcome !== 'done') return write
  }
  throw new Error('every write found space')
}

async function outcomeOf(cluster: MemberCluster, request: Watched): Promise<string> {
  await cluster.until('an answer', () => request.outcome !== 'pending')
  return request.outcome
}

describe('of a cluster of one', () => {
  test('refuses writes as certainly not done, answers reads, and goes on when there is space again', async () => {
    const cluster = await MemberCluster.started({ count: 1, settings: SETTINGS })
    const [host] = cluster.hosts as [Host]
    const before = put(host, 'a', '1')
    expect(await outcomeOf(cluster, before)).toBe('done')
    fill(host)
    // The one that met it is in the log of the core: nobody can know.
    expect((await firstRefused(cluster, host)).outcome).toBe('OUTCOME_UNKNOWN')
    expect(host.member!.status().alarms).toEqual(['NOSPACE'])
    const startMs = cluster.time.monotonicMs()
    expect(await outcomeOf(cluster, put(host, 'b', '1'))).toBe('NO_SPACE')
    expect(cluster.time.monotonicMs() - startMs).toBeLessThan(HEARTBEAT_MS)
    expect(await outcomeOf(cluster, read(host, 'a'))).toBe('done')
    await cluster.pass(40 * ELECTION_MS)
    expect(host.failure).toBe(undefined)
    expect(host.member!.status()).toMatchObject({ role: 'leader', state: 'running' })
    makeSpace(host)
    await cluster.until('space', () => host.member!.status().alarms.length === 0, 1000)
    expect(await outcomeOf(cluster, put(host, 'c', '1'))).toBe('done')
    expect(await valueAt(host, 'b')).toBe(undefined)
  })

  test('starts on a full disk and tells what was acknowledged before', async () => {
    const cluster = await MemberCluster.started({ count: 1, settings: SETTINGS })
    const [host] = cluster.hosts as [Host]
    expect(await outcomeOf(cluster, put(host, 'a', '1'))).toBe('done')
    fill(host)
    await firstRefused(cluster, host)
    cluster.kill(host)
    host.fs.losePower('none')
    await cluster.start(host)
    await cluster.pass(ELECTION_MS)
    expect(host.failure).toBe(undefined)
    expect(await valueAt(host, 'a')).toBe('1')
    makeSpace(host)
    await cluster.agreedLeader()
    expect(await outcomeOf(cluster, put(host, 'c', '1'))).toBe('done')
  })

  test('stops in order while its disk is full', async () => {
    const cluster = await MemberCluster.started({ count: 1, settings: SETTINGS })
    const [host] = cluster.hosts as [Host]
    fill(host)
    await firstRefused(cluster, host)
    let stopped = false
    void host.member!.stop(0).then(() => (stopped = true))
    await cluster.until('the stop', () => stopped, HEARTBEAT_MS)
    expect(host.failure).toBe(undefined)
  })
})

describe('of one among three', () => {
  test('of a leader costs the leadership, and no write is refused for good', async () => {
    const cluster = await MemberCluster.started({ count: 3, settings: SETTINGS })
    const { leader } = cluster
    const [follower] = cluster.followers as [Host]
    fill(leader)
    for (let i = 0; i < 20; i++) {
      expect(await outcomeOf(cluster, put(follower, `k${i}`, VALUE))).toBe('done')
    }
    expect(leader.failure).toBe(undefined)
    expect(leader.member!.status()).toMatchObject({ role: 'follower', alarms: ['NOSPACE'] })
    // It cannot store the new term, so it says nothing in it: it is not ready, and what it knows may be old.
    expect(leader.member!.isReady()).toBe(false)
    expect(await outcomeOf(cluster, read(leader, 'k0', 'serializable'))).toBe('done')
    makeSpace(leader)
    await cluster.until(
      'the log catches up',
      () => leader.member!.status().persistedIndex === cluster.leader.member!.status().lastIndex,
      2 * ELECTION_MS,
    )
    expect(leader.member!.status().alarms).toEqual([])
    expect(await valueAt(leader, 'k19')).toBe(VALUE)
    expect(await outcomeOf(cluster, put(leader, 'through it', '1'))).toBe('done')
  })

  test('of a leader does not keep the membership from changing: whoever takes over does it', async () => {
    const cluster = await MemberCluster.started({ count: 3, settings: SETTINGS })
    const { leader: full } = cluster
    fill(full)
    // Until it meets the want of space, it leads.
    for (let i = 0; i < 4; i++) {
      await outcomeOf(cluster, put(cluster.followers[0]!, `k${i}`, VALUE))
    }
    await cluster.until('another leader', () => {
      return cluster.hosts.some((host) => host !== full && host.member!.status().role === 'leader')
    })
    const next = cluster.hosts.find((host) => host.member!.status().role === 'leader')!
    const { membership } = next.member!
    const id = memberIdOf('space', 'n9', 1)
    let epoch: number | undefined
    const add = { type: 'addLearner', id, name: 'n9', peerUrls: ['http://n9:2380'] } as const
    void membership.change(add, { timeoutMs: 5000 }).then((result) => (epoch = result.epoch))
    await cluster.until('the learner', () => epoch !== undefined)
    // The full one itself can go: the two that stay both answer.
    let isGone = false
    const remove = { type: 'remove', id: full.id } as const
    void membership.change(remove, { timeoutMs: 5000 }).then(() => (isGone = true))
    await cluster.until('two voters', () => isGone)
    expect(next.member!.stateMachine.confState.voters).not.toContain(full.id)
    expect(full.failure).toBe(undefined)
  })

  test('of a follower disturbs nobody, and it holds no more than a window of entries meanwhile', async () => {
    const cluster = await MemberCluster.started({
      count: 3,
      settings: { ...SETTINGS, tailBytesMax: () => 256 * 1024 },
    })
    const [follower, other] = cluster.followers as [Host, Host]
    const { term } = cluster.leader.member!.status()
    fill(follower)
    for (let i = 0; i < 200; i++) {
      expect(await outcomeOf(cluster, put(other, `k${i % 10}`, VALUE))).toBe('done')
    }
    expect(follower.failure).toBe(undefined)
    expect(follower.member!.status().alarms).toEqual(['NOSPACE'])
    expect(cluster.leader.member!.status().term).toBe(term)
    makeSpace(follower)
    await cluster.until(
      'the state catches up',
      () => follower.member!.status().revision === cluster.leader.member!.status().revision,
      10 * ELECTION_MS,
    )
  })
})

describe('of all three', () => {
  test('refuses writes, answers linearizable reads from the same leader, and takes writes again', async () => {
    const cluster = await MemberCluster.started({ count: 3, settings: SETTINGS })
    const { leader } = cluster
    const [follower] = cluster.followers as [Host]
    const { term } = leader.member!.status()
    expect(await outcomeOf(cluster, put(follower, 'a', '1'))).toBe('done')
    for (const host of cluster.hosts) fill(host)
    const met = await firstRefused(cluster, follower)
    expect(['OUTCOME_UNKNOWN', 'NO_SPACE']).toContain(met.outcome)
    await cluster.pass(5 * ELECTION_MS)
    expect(await outcomeOf(cluster, put(follower, 'b', '1'))).toBe('NO_SPACE')
    expect(await outcomeOf(cluster, put(leader, 'b', '1'))).toBe('NO_SPACE')
    for (const host of cluster.hosts) {
      expect(await outcomeOf(cluster, read(host, 'a'))).toBe('done')
    }
    expect(leader.member!.status()).toMatchObject({ role: 'leader', term })
    for (const host of cluster.hosts) makeSpace(host)
    await cluster.until(
      'space',
      () => cluster.hosts.every((host) => host.member!.status().alarms.length === 0),
      2000,
    )
    expect(await outcomeOf(cluster, put(follower, 'c', '1'))).toBe('done')
    await cluster.pass(HEARTBEAT_MS)
    for (const host of cluster.hosts) expect(await valueAt(host, 'b')).toBe(undefined)
  })
})

test('a snapshot there is no space for is tried again, and the log keeps everything until then', async () => {
  const cluster = await MemberCluster.started({
    count: 1,
    settings: { ...SETTINGS, snapshotLogBytes: 20_000 },
  })
  const [host] = cluster.hosts as [Host]
  let attempts = 0
  host.fs.fault = ({ kind, path, bytes }) => {
    if (kind !== 'write' || bytes === 0 || !path.startsWith('/data/snap')) return undefined
    attempts++
    return { type: 'error', code: 'NO_SPACE' }
  }
  const putSome = async (): Promise<void> => {
    for (let i = 0; i < 60; i++) {
      expect(await outcomeOf(cluster, put(host, `k${i % 2}`, VALUE))).toBe('done')
    }
  }
  await putSome()
  await cluster.pass(10_000)
  expect(host.failure).toBe(undefined)
  expect(attempts).toBeGreaterThan(0)
  expect(attempts).toBeLessThanOrEqual(2)
  host.fs.fault = undefined
  await putSome()
  await cluster.until('a snapshot', () => host.member!.status().snapshotIndex > 0)
  expect(host.failure).toBe(undefined)
})
