// Compaction as a member does it: through the log, alike on all members, by itself or because somebody asks; and what becomes of a
// quota that history has filled (faults.md F35). Time is the test’s.

import { describe, expect, test } from 'vitest'
import type { Host } from '../../support/member-cluster.ts'
import { MemberCluster } from '../../support/member-cluster.ts'

const CALL = { timeoutMs: 5000 }
const encoder = new TextEncoder()

/** Lets time pass until the request has ended. */
async function ended<T>(cluster: MemberCluster, request: Promise<T>): Promise<T> {
  let isOver = false
  const over = (): void => {
    isOver = true
  }
  request.then(over, over)
  await cluster.until('an answer', () => isOver)
  return request
}

async function put(cluster: MemberCluster, host: Host, key: string, value = 'v'): Promise<number> {
  const request = { key: encoder.encode(key), value: encoder.encode(value) }
  return (await ended(cluster, host.member!.put(request, CALL))).revision
}

/** Every member has applied what the leader has, and nothing is left to be removed. */
async function atRest(cluster: MemberCluster): Promise<void> {
  await cluster.until('all have applied the same', () => {
    const applied = cluster.running.map(({ member }) => member!.stateMachine.appliedIndex)
    return new Set(applied).size === 1
  })
  await cluster.pass(5)
}

function views(cluster: MemberCluster): readonly unknown[] {
  return cluster.running.map(({ member }) => {
    const { store } = member!.stateMachine
    return [store.compactRevision, store.revision, member!.stateMachine.hash()]
  })
}

function expectAlike(cluster: MemberCluster): void {
  const all = views(cluster)
  for (const view of all) expect(view).toEqual(all[0])
}

describe('asked for through any member', () => {
  test('compacts on all of them alike, once; a repetition and the future are refused', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const follower = cluster.followers[0]!
    for (let i = 0; i < 30; i++) await put(cluster, follower, `k${i % 3}`, `value ${i}`)
    const revision = await put(cluster, follower, 'last')
    const compacted = await ended(cluster, follower.member!.compact({ revision: 20 }, CALL))
    expect(compacted).toEqual({ revision })
    await atRest(cluster)
    expectAlike(cluster)
    for (const { member } of cluster.running) {
      expect(member!.status().compactRevision).toBe(20)
      const read = { key: encoder.encode('k0'), consistency: 'serializable' } as const
      await expect(member!.get({ ...read, revision: 19 }, CALL)).rejects.toMatchObject({
        code: 'REVISION_COMPACTED',
        details: { compactRevision: 20 },
      })
      expect((await member!.get({ ...read, revision: 20 }, CALL)).kv?.modRevision).toBe(20)
    }
    for (const again of [20, 3]) {
      await expect(
        ended(cluster, follower.member!.compact({ revision: again }, CALL)),
      ).rejects.toMatchObject({ code: 'REVISION_COMPACTED', details: { compactRevision: 20 } })
    }
    await expect(
      ended(cluster, follower.member!.compact({ revision: revision + 1 }, CALL)),
    ).rejects.toMatchObject({ code: 'REVISION_FUTURE', details: { revision } })
  })

  test('holds after a restart, from the log and from a snapshot', async () => {
    const cluster = await MemberCluster.started({
      count: 1,
      settings: { snapshotLogBytes: 20_000, segmentBytes: 64 * 1024 },
    })
    const host = cluster.leader
    for (let i = 0; i < 10; i++) await put(cluster, host, 'k', `value ${i}`)
    await ended(cluster, host.member!.compact({ revision: 8 }, CALL))
    const stored = (): object => {
      const { store } = host.member!.stateMachine
      return { hash: store.hash(0), old: store.hash(8), keys: store.keyCount }
    }
    const before = stored()
    cluster.kill(host)
    await cluster.start(host)
    await cluster.agreedLeader()
    expect(stored()).toEqual(before)
    for (let i = 0; i < 150; i++) await put(cluster, host, `fill${i}`, 'x'.repeat(1000))
    await cluster.until('a snapshot', () => host.member!.snapshotIndex > 0)
    const later = stored()
    cluster.kill(host)
    await cluster.start(host)
    await cluster.agreedLeader()
    expect(stored()).toEqual(later)
    expect(host.member!.status().compactRevision).toBe(8)
  })
})

describe('by itself', () => {
  const settings = { autoCompaction: { mode: 'periodic', retentionMs: 1000 } } as const

  test('the leader lets go what is older than the retention, and its successor goes on', async () => {
    const cluster = await MemberCluster.started({ count: 3, settings })
    const first = cluster.leader
    for (let i = 0; i < 10; i++) await put(cluster, first, 'k', `early ${i}`)
    const early = first.member!.stateMachine.store.revision
    await cluster.until('the early revisions are gone', () => {
      return cluster.running.every(({ member }) => member!.status().compactRevision === early)
    })
    await cluster.pass(3000)
    // Nothing has happened since: nothing is written either.
    const { lastIndex } = first.member!.status()
    await cluster.pass(3000)
    expect(first.member!.status().lastIndex).toBe(lastIndex)

    for (let i = 0; i < 10; i++) await put(cluster, first, 'k', `late ${i}`)
    cluster.kill(first)
    const next = await cluster.agreedLeader()
    const late = next.member!.stateMachine.store.revision
    expect(late).toBeGreaterThanOrEqual(early + 10)
    await cluster.until('the late revisions are gone too', () => {
      return cluster.running.every(({ member }) => member!.status().compactRevision === late)
    })
    await cluster.start(first)
    await cluster.agreedLeader()
    await atRest(cluster)
    expectAlike(cluster)
  })

  test('a full disk is asked for nothing, and history goes once there is space (F27)', async () => {
    const cluster = await MemberCluster.started({
      count: 1,
      settings: { ...settings, segmentBytes: 16 * 1024 },
    })
    const host = cluster.leader
    for (let i = 0; i < 5; i++) await put(cluster, host, 'k', `early ${i}`)
    host.fs.capacityBytes = 0
    const large = async (): Promise<void> => {
      for (;;) await put(cluster, host, 'k', 'x'.repeat(8000))
    }
    await expect(large()).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    const { lastIndex, compactRevision } = host.member!.status()
    await cluster.pass(12_000)
    expect(host.member!.status()).toMatchObject({ lastIndex, compactRevision, alarms: ['NOSPACE'] })
    host.fs.capacityBytes = Number.POSITIVE_INFINITY
    await cluster.until('history goes', () => {
      const { revision, ...now } = host.member!.status()
      return now.compactRevision === revision && now.alarms.length === 0
    })
  })

  test('a leader that cannot commit says so once, and tries on', async () => {
    const cluster = await MemberCluster.started({ count: 1, settings })
    const host = cluster.leader
    for (let i = 0; i < 5; i++) await put(cluster, host, 'k', `early ${i}`)
    const { driver } = host.member!
    const proposeHere = driver.proposeHere.bind(driver)
    driver.proposeHere = () => ({ accepted: false, reason: 'overloaded' })
    await cluster.pass(3000)
    const failures = host.lines.filter((line) => line.includes('history not compacted'))
    expect(failures).toHaveLength(1)
    driver.proposeHere = proposeHere
    await cluster.until('compacted', () => host.member!.status().compactRevision > 1)
  })
})

describe('a quota that history has filled', () => {
  test('refuses puts, lets deletes pass, and is left by compacting', async () => {
    const cluster = await MemberCluster.started({ count: 1, settings: { quotaBytes: 100_000 } })
    const host = cluster.leader
    const fill = async (): Promise<number> => {
      for (;;) await put(cluster, host, 'k', 'x'.repeat(5000))
    }
    await expect(fill()).rejects.toMatchObject({
      code: 'NO_SPACE',
      details: { reason: 'history', compactRevision: -1 },
    })
    expect(host.member!.status().alarms).toEqual(['NOSPACE'])
    expect(host.member!.stateMachine.quotaUsedBytes).toBeLessThan(6000)
    await put(cluster, host, 'small').then(
      () => expect.unreachable(),
      () => undefined,
    )
    const key = encoder.encode('none')
    await ended(cluster, host.member!.delete({ key }, CALL))
    const { revision } = host.member!.stateMachine.store
    await ended(cluster, host.member!.compact({ revision }, CALL))
    await cluster.pass(5)
    expect(host.member!.status().alarms).toEqual([])
    await put(cluster, host, 'k', 'again')
  })
})
