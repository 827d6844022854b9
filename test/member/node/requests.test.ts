// What becomes of requests in a whole cluster: carried to the leader, answered once, applied at most once whatever is lost
// or sent twice, and honest about what nobody can know (faults.md promise 4, docs/adr/0009).

import { describe, expect, test } from 'vitest'
import type { Forward } from '../../../member/src/transport/transport.ts'
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

const encoder = new TextEncoder()

/** How often the key was put. */
async function versionAt(host: Host, key: string): Promise<number> {
  const { kv } = await host.member!.get(
    { key: encoder.encode(key), consistency: 'serializable' },
    { timeoutMs: 1000 },
  )
  return kv?.version ?? 0
}

function answered(cluster: MemberCluster, request: Watched, withinMs = 10_000): Promise<boolean> {
  return cluster.until('an answer', () => request.outcome !== 'pending', withinMs)
}

function others(cluster: MemberCluster, host: Host): readonly Host[] {
  return cluster.hosts.filter((other) => other !== host)
}

describe('a request at a follower', () => {
  test('is carried to the leader and answered by what the follower applies', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const [follower] = cluster.followers as [Host]
    const write = put(follower, 'a', '1')
    await answered(cluster, write, HEARTBEAT_MS)
    expect(write.outcome).toBe('done')
    expect(await valueAt(follower, 'a')).toBe('1')
    const after = read(cluster.leader, 'a')
    await answered(cluster, after, HEARTBEAT_MS)
    expect(await valueAt(cluster.leader, 'a')).toBe('1')
  })

  test('requests of one turn travel together', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const forwards: Forward[] = []
    cluster.network.lose((message) => {
      if (message.type === 'Forward') forwards.push(message)
      return false
    })
    const [follower] = cluster.followers as [Host]
    const writes = Array.from({ length: 50 }, (_, i) => put(follower, `k${i}`))
    for (const write of writes) await answered(cluster, write)
    expect(writes.every((write) => write.outcome === 'done')).toBe(true)
    expect(forwards.map((forward) => forward.requests.length)).toEqual([50])
  })

  test('waits through an election and is done within its deadline', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [follower] = cluster.followers as [Host]
    cluster.kill(leader)
    await cluster.pass(2)
    const write = put(follower, 'a', '1')
    await answered(cluster, write, 5000)
    expect(write.outcome).toBe('done')
    expect(await versionAt(follower, 'a')).toBe(1)
  })

  test('that a leader took to its grave unsent is proposed anew, once', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [follower, other] = cluster.followers as [Host, Host]
    // The leader has it and cannot tell anybody.
    for (const host of [follower, other]) cluster.network.cut(leader.id, host.id)
    const write = put(follower, 'a', '1')
    await cluster.pass(5)
    expect(leader.member!.status().lastIndex).toBeGreaterThan(follower.member!.status().lastIndex)
    cluster.kill(leader)
    await answered(cluster, write)
    expect(write.outcome).toBe('done')
    cluster.network.healAll()
    await cluster.start(leader)
    await cluster.agreedLeader()
    const later = put(follower, 'b')
    await answered(cluster, later)
    await cluster.pass(HEARTBEAT_MS)
    for (const host of cluster.hosts) expect(await versionAt(host, 'a')).toBe(1)
  })
})

describe('a request that is sent twice', () => {
  test('is proposed once when the connection to the leader was made anew', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [follower] = cluster.followers as [Host]
    let carried = 0
    cluster.network.lose((message) => {
      if (message.type === 'Forward') carried++
      // Nothing is acknowledged meanwhile: the requests stay open.
      return message.type === 'MsgAppResp'
    })
    const writes = Array.from({ length: 10 }, (_, i) => put(follower, `k${i}`))
    await cluster.pass(5)
    const driver = follower.member!.driver
    driver.onPeerDown(leader.id)
    driver.onPeerUp(leader.id)
    await cluster.pass(5)
    expect(carried).toBe(2)
    cluster.network.lose(() => false)
    for (const write of writes) await answered(cluster, write)
    for (let i = 0; i < writes.length; i++) {
      expect([writes[i]!.outcome, await versionAt(follower, `k${i}`)]).toEqual(['done', 1])
    }
  })

  test('arrives minutes later from an old connection and changes nothing (F22)', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [follower] = cluster.followers as [Host]
    let forward: Forward | undefined
    cluster.network.lose((message) => {
      if (message.type === 'Forward') forward = message
      return false
    })
    const write = put(follower, 'a', '1')
    await answered(cluster, write)
    await cluster.pass(3 * ELECTION_MS)
    leader.member!.driver.onNodeMessage(follower.id, forward!)
    await cluster.pass(HEARTBEAT_MS)
    expect(await versionAt(leader, 'a')).toBe(1)
    // Nor in a later term, at another leader.
    cluster.kill(leader)
    const successor = await cluster.agreedLeader()
    successor.member!.driver.onNodeMessage(follower.id, forward!)
    await cluster.pass(HEARTBEAT_MS)
    for (const host of cluster.running) expect(await versionAt(host, 'a')).toBe(1)
  })

  test('under lost and doubled messages every request that is done was applied once, and none else twice', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    let count = 0
    cluster.network.lose(() => ++count % 4 === 0)
    const writes: { readonly key: string; readonly write: Watched }[] = []
    for (let i = 0; i < 60; i++) {
      const host = cluster.hosts[i % 3]!
      writes.push({ key: `k${i}`, write: put(host, `k${i}`, 'v', 3000) })
      if (i % 10 === 9) {
        for (const a of cluster.hosts) {
          for (const b of others(cluster, a)) {
            a.member!.driver.onPeerDown(b.id)
            a.member!.driver.onPeerUp(b.id)
          }
        }
      }
      await cluster.pass(20)
    }
    cluster.network.lose(() => false)
    for (const { write } of writes) await answered(cluster, write)
    await cluster.agreedLeader()
    const [host] = cluster.hosts as [Host]
    const last = read(host, 'k0')
    await answered(cluster, last)
    expect(last.outcome).toBe('done')
    const wrong: string[] = []
    for (const { key, write } of writes) {
      const version = await versionAt(host, key)
      const allowed = { done: [1], OUTCOME_UNKNOWN: [0, 1] }[write.outcome] ?? [0]
      if (!allowed.includes(version)) wrong.push(`${key}: ${write.outcome}, version ${version}`)
    }
    expect(wrong).toEqual([])
    expect(writes.filter(({ write }) => write.outcome === 'done').length).toBeGreaterThan(30)
  })
})

describe('a request that cannot be done', () => {
  test('at a leader cut off from everybody ends as unknown at its deadline, and no earlier', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    cluster.network.isolate(leader.id)
    const startMs = cluster.time.monotonicMs()
    const write = put(leader, 'a', '1', 2000)
    await answered(cluster, write, 3000)
    const tookMs = cluster.time.monotonicMs() - startMs
    expect(write.outcome).toBe('OUTCOME_UNKNOWN')
    expect(tookMs).toBeGreaterThanOrEqual(2000)
    expect(tookMs).toBeLessThanOrEqual(2000 + 250)
  })

  test('without a leader ends as certainly not done, and really is not (promise 4)', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [follower, other] = cluster.followers as [Host, Host]
    cluster.network.isolate(follower.id)
    await cluster.until('no leader', () => follower.member!.status().leader === undefined)
    const write = put(follower, 'a', '1', 500)
    await answered(cluster, write, 1000)
    expect(write.outcome).toBe('TIMEOUT')
    cluster.network.healAll()
    await cluster.pass(3 * ELECTION_MS)
    for (const host of [leader, follower, other]) expect(await versionAt(host, 'a')).toBe(0)
  })

  test('because the member stops is answered at once: not sent as not done, sent as unknown', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [follower] = cluster.followers as [Host]
    for (const host of others(cluster, leader)) cluster.network.cut(host.id, leader.id)
    const sent = put(leader, 'a', '1')
    await cluster.pass(5)
    cluster.network.isolate(follower.id)
    await cluster.until('no leader', () => follower.member!.status().leader === undefined)
    const unsent = put(follower, 'b', '1')
    await cluster.pass(5)
    const stops = [leader, follower].map((host) => host.member!.stop(0))
    await cluster.pass(5)
    expect([sent.outcome, unsent.outcome]).toEqual(['OUTCOME_UNKNOWN', 'SHUTTING_DOWN'])
    await cluster.pass(HEARTBEAT_MS)
    await Promise.all(stops)
  })
})

describe('a linearizable read', () => {
  test('at a leader that was replaced without knowing it never shows the old state (F47)', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader: old } = cluster
    const first = put(old, 'a', 'old')
    await answered(cluster, first)
    await cluster.pass(HEARTBEAT_MS)
    cluster.network.isolate(old.id)
    const rest = others(cluster, old)
    const successor = await cluster.until('a successor', () =>
      rest.find((host) => host.member!.status().role === 'leader' && host.member!.isReady()),
    )
    const second = put(successor, 'a', 'new')
    await answered(cluster, second)
    const stale = read(old, 'a', 'linearizable', 1000)
    await answered(cluster, stale, 1300)
    expect(stale.outcome).toBe('TIMEOUT')
    // What was asked for explicitly is still answered.
    expect(await valueAt(old, 'a')).toBe('old')
  })

  test('at a follower sees every write that was answered before it, whoever answered', async () => {
    const cluster = await MemberCluster.started({ count: 3, delayMs: 7 })
    const [first, second] = cluster.followers as [Host, Host]
    for (let i = 0; i < 20; i++) {
      const write = put(i % 2 === 0 ? cluster.leader : first, 'a', String(i))
      await answered(cluster, write)
      const reading = second.member!.get(
        { key: encoder.encode('a'), consistency: 'linearizable' },
        { timeoutMs: 1000 },
      )
      let value: string | undefined
      void reading.then(({ kv }) => (value = Buffer.from(kv!.value).toString()))
      await cluster.until('the value', () => value !== undefined)
      expect(value).toBe(String(i))
    }
  })

  test('is asked again when question or answer is lost', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const [follower] = cluster.followers as [Host]
    let lost = 0
    cluster.network.lose((message) => {
      const isLost =
        lost < 4 && (message.type === 'MsgReadIndex' || message.type === 'MsgReadIndexResp')
      if (isLost) lost++
      return isLost
    })
    const reading = read(follower, 'a')
    await answered(cluster, reading, 3 * ELECTION_MS)
    expect([reading.outcome, lost]).toEqual(['done', 4])
  })
})
