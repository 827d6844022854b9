// The fault contract's promises that the core keeps alone, by their numbers. What they promise in milliseconds is shown
// here in ticks; scripts in testdata tell the same faults message by message.

import { describe, expect, test } from 'vitest'
import { Cluster } from './cluster.ts'
import { ELECTION_TICKS, TimedCluster } from './timed.ts'

/** The value below which `share` of `values` lie. */
function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

function elected(voters: number, seed: number, delayTicks = 1): TimedCluster {
  const timed = new TimedCluster({ voters, seed, delayTicks })
  timed.runUntil(() => timed.hasLeader)
  timed.run(ELECTION_TICKS)
  timed.elections = 0
  return timed
}

describe('elections', () => {
  test.each([3, 4, 5])(
    'F17: %i candidates start together, p99 of 1,000 seeds within 3 ET',
    (voters) => {
      const ticks: number[] = []
      for (let seed = 1; seed <= 1000; seed++) {
        const timed = new TimedCluster({ voters, seed, delayTicks: 2 })
        for (const { number } of timed.cluster.running) timed.cluster.campaign(number)
        ticks.push(timed.runUntil(() => timed.hasLeader))
      }
      expect(percentile(ticks, 0.99)).toBeLessThanOrEqual(3 * ELECTION_TICKS)
    },
  )

  test('F17: candidates that have split the vote already, p99 of 1,000 seeds within 3 ET', () => {
    const ticks: number[] = []
    for (let seed = 1; seed <= 1000; seed++) {
      const timed = elected(3, seed)
      const { cluster } = timed
      const { number, id } = cluster.leader!
      cluster.crash(number)
      for (const { number: told, id: to, node } of cluster.running) {
        // Both are told to campaign, so that no pre-vote sorts them out.
        cluster.step(told, { type: 'MsgTimeoutNow', from: id, to, term: node.status().term })
      }
      expect(cluster.running.map(({ node }) => node.role)).toEqual(['candidate', 'candidate'])
      ticks.push(timed.runUntil(() => timed.hasLeader))
    }
    expect(percentile(ticks, 0.99)).toBeLessThanOrEqual(3 * ELECTION_TICKS)
  })

  test('F1: members told that their leader is gone elect another within 30 ticks, 500 seeds', () => {
    const ticks: number[] = []
    for (let seed = 1; seed <= 500; seed++) {
      const timed = elected(3, seed)
      const { cluster } = timed
      const { number, id } = cluster.leader!
      cluster.crash(number)
      for (const member of cluster.running) {
        const to = member.id
        cluster.step(member.number, { type: 'MsgUnreachable', from: id, to, term: 0 })
      }
      ticks.push(timed.runUntil(() => timed.hasLeader))
    }
    expect(Math.max(...ticks)).toBeLessThanOrEqual(30)
  })

  test('F12: a leader cut off from everyone steps down within 1 ET', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const { cluster, ...timed } = withCluster(elected(5, seed))
      const { number } = cluster.leader!
      cluster.isolated.add(number)
      const ticks = timed.runUntil(() => cluster.node(number).role !== 'leader')
      expect(ticks).toBeLessThanOrEqual(ELECTION_TICKS)
    }
  })

  test('F13: a follower cut off for a minute disturbs nobody when it returns', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const timed = elected(3, seed)
      const { cluster } = timed
      const follower = cluster.running.find(({ node }) => node.role === 'follower')!
      cluster.isolated.add(follower.number)
      timed.run(60 * ELECTION_TICKS)
      cluster.heal()
      timed.run(5 * ELECTION_TICKS)
      expect(timed.elections).toBe(0)
      expect(follower.node.status().leader).toBe(cluster.leader!.id)
    }
  })

  test('F14: a member that sends but does not receive, for ever, disturbs nobody', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const timed = elected(3, seed)
      const { cluster } = timed
      const deaf = cluster.running.find(({ node }) => node.role === 'follower')!.number
      for (const other of [1, 2, 3]) cluster.cuts.add(`${other}>${deaf}`)
      timed.run(30 * ELECTION_TICKS)
      expect(timed.elections).toBe(0)
      const leader = cluster.leader!
      const result = leader.node.propose([new Uint8Array(1)])
      expect(result.accepted).toBe(true)
      cluster.settle(leader)
      timed.run(ELECTION_TICKS)
      expect(leader.node.status().committed).toBe(leader.node.status().lastIndex)
    }
  })

  test('F15: a leader that sends but does not receive is replaced within 2 ET', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const timed = elected(3, seed)
      const { cluster } = timed
      const deaf = cluster.leader!.number
      for (const other of [1, 2, 3]) cluster.cuts.add(`${other}>${deaf}`)
      const ticks = timed.runUntil(() => timed.hasLeader && cluster.leader!.number !== deaf)
      expect(ticks).toBeLessThanOrEqual(2 * ELECTION_TICKS)
    }
  })

  test.each([
    [1, 2],
    [1, 3],
    [2, 3],
  ])('F16: members %i and %i cannot talk, both reach the third: a stable leader', (a, b) => {
    for (let seed = 1; seed <= 8; seed++) {
      const timed = elected(3, seed)
      timed.cluster.cuts.add(`${a}>${b}`).add(`${b}>${a}`)
      timed.run(20 * ELECTION_TICKS)
      expect(timed.elections).toBeLessThanOrEqual(2)
      timed.elections = 0
      timed.run(20 * ELECTION_TICKS)
      expect(timed.elections).toBe(0)
      expect(timed.hasLeader).toBe(true)
    }
  })

  test('F19: whatever a crash around the flush of a vote leaves, no member votes twice in a term', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const given = new Map<string, string>()
      const cluster = new Cluster({
        seed,
        onReady: ({ id }, ready) => {
          for (const message of ready.messagesAfterPersist) {
            if (message.type === 'MsgVoteResp' && !message.reject) promised.push({ id, ...message })
          }
        },
      })
      const promised: { id: string; to: string; term: number }[] = []
      cluster.autoPersist = false
      const crashAt = seed % 7
      for (let i = 0; i < 12; i++) {
        for (const { number } of cluster.running) cluster.campaign(number)
        cluster.deliverAll()
        for (const { number } of cluster.running) {
          // Some flushes finish, some die with the process.
          if ((i + number) % 7 !== crashAt) cluster.persist(number)
          else cluster.restart(number)
        }
        for (const message of cluster.network) {
          if (message.type !== 'MsgVoteResp' || message.reject) continue
          const key = `${message.from} in ${message.term}`
          expect(given.get(key) ?? message.to).toBe(message.to)
          given.set(key, message.to)
        }
      }
      expect(promised.length).toBeGreaterThan(0)
    }
  })

  test('F20: a hand-over to a dead target is given up within 1 ET, and proposals go on', () => {
    const timed = elected(3, 1)
    const { cluster } = timed
    const leader = cluster.leader!
    const target = cluster.running.find(({ node }) => node.role === 'follower')!
    cluster.crash(target.number)
    leader.node.propose([new Uint8Array(1)])
    expect(leader.node.transferLeader(target.id)).toEqual({ accepted: true })
    cluster.settle(leader)
    expect(leader.node.propose([new Uint8Array(1)])).toMatchObject({ reason: 'transferring' })
    const ticks = timed.runUntil(() => leader.node.status().transferTarget === undefined)
    expect(ticks).toBeLessThanOrEqual(ELECTION_TICKS)
    expect(leader.node.propose([new Uint8Array(1)])).toMatchObject({ accepted: true })
  })

  test('F21: a link that is down every other 300 ms costs at most five elections a minute', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const timed = elected(3, seed)
      const { cluster } = timed
      const { number } = cluster.leader!
      const other = cluster.running.find(({ node }) => node.role === 'follower')!.number
      for (let i = 0; i < 100; i++) {
        cluster.cuts.add(`${number}>${other}`).add(`${other}>${number}`)
        timed.run(30)
        cluster.heal()
        timed.run(30)
      }
      expect(timed.elections).toBeLessThanOrEqual(5)
      expect(timed.hasLeader).toBe(true)
    }
  })

  test('F23: a connection that resets again and again costs nothing while the leader is fine', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const timed = elected(3, seed)
      const { cluster } = timed
      const { id } = cluster.leader!
      const follower = cluster.running.find(({ node }) => node.role === 'follower')!
      let sent = 0
      for (let i = 0; i < 200; i++) {
        const to = follower.id
        cluster.step(follower.number, { type: 'MsgUnreachable', from: id, to, term: 0 })
        sent += cluster.network.filter(({ type }) => type === 'MsgPreVote').length
        timed.run(20)
      }
      expect(timed.elections).toBe(0)
      // Each reset may ask once; nothing multiplies.
      expect(sent).toBeLessThanOrEqual(2 * 200)
    }
  })
})

/** The cluster beside its clock. */
function withCluster(timed: TimedCluster): Pick<TimedCluster, 'cluster'> & {
  runUntil: TimedCluster['runUntil']
} {
  return { cluster: timed.cluster, runUntil: (condition, max) => timed.runUntil(condition, max) }
}
