// The order of effects of whole members on a simulated disk and network: nothing leaves before what it promises is durable,
// and nothing that does not depend on the disk waits for it (faults.md promise 1, section 5).

import { describe, expect, test } from 'vitest'
import type { MsgAppResp, MsgVoteResp, PeerMessage } from '../../../member/src/raft/message.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
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
import type { OperationKind } from '../../support/memory-file-system.ts'

/** Holds operations of one kind on a disk until `release`. */
function hold(host: Host, kind: OperationKind): { readonly count: number; release(): void } {
  const gate = Promise.withResolvers<void>()
  let count = 0
  host.fs.delay = (operation) => {
    if (operation.kind !== kind) return Promise.resolve()
    count++
    return gate.promise
  }
  return {
    get count() {
      return count
    },
    release() {
      host.fs.delay = undefined
      gate.resolve()
    },
  }
}

/** Every message of the core that was sent from now on. */
function tap(cluster: MemberCluster): { readonly from: MemberId; readonly message: PeerMessage }[] {
  const sent: { from: MemberId; message: PeerMessage }[] = []
  cluster.network.lose((message, from) => {
    if (message.type !== 'Forward' && message.type !== 'ForwardRefused') {
      sent.push({ from, message })
    }
    return false
  })
  return sent
}

function acknowledged(sent: ReturnType<typeof tap>, host: Host): MsgAppResp[] {
  return sent
    .filter(({ from }) => from === host.id)
    .map(({ message }) => message)
    .filter((message): message is MsgAppResp => message.type === 'MsgAppResp' && !message.reject)
}

function votesOf(sent: ReturnType<typeof tap>, host: Host): MsgVoteResp[] {
  return sent
    .filter(({ from }) => from === host.id)
    .map(({ message }) => message)
    .filter((message): message is MsgVoteResp => message.type === 'MsgVoteResp' && !message.reject)
}

describe('a write', () => {
  test('is answered when a majority has flushed it and not before, the own flush counting like any other', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [first, second] = cluster.followers as [Host, Host]
    const gates = new Map(
      [leader, first, second].map((host) => [host, hold(host, 'writeAndFlush')]),
    )
    const write = put(leader, 'a', '1')
    await cluster.pass(ELECTION_MS / 2)
    // Sent to both beside the own flush, stored by nobody.
    expect([...gates.values()].map((gate) => gate.count)).toEqual([1, 1, 1])
    expect(write.outcome).toBe('pending')
    gates.get(first)!.release()
    await cluster.pass(HEARTBEAT_MS)
    expect(write.outcome).toBe('pending')
    gates.get(leader)!.release()
    await cluster.until('an answer', () => write.outcome !== 'pending', HEARTBEAT_MS)
    expect(write.outcome).toBe('done')
    gates.get(second)!.release()
  })

  test('does not wait for a slow disk of the leader when the others have it (F33)', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const gate = hold(leader, 'writeAndFlush')
    const write = put(leader, 'a', '1')
    await cluster.until('an answer', () => write.outcome !== 'pending', HEARTBEAT_MS)
    expect(write.outcome).toBe('done')
    expect(gate.count).toBe(1)
    gate.release()
  })

  test('is still there when both who flushed it are all that is left of power', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    hold(leader, 'writeAndFlush')
    const write = put(leader, 'a', '1')
    await cluster.until('an answer', () => write.outcome !== 'pending', HEARTBEAT_MS)
    for (const host of cluster.hosts) {
      cluster.kill(host)
      host.fs.delay = undefined
      host.fs.losePower('none')
    }
    await Promise.all(cluster.hosts.map((host) => cluster.start(host)))
    await cluster.agreedLeader()
    const after = read(leader, 'a')
    await cluster.until('an answer', () => after.outcome !== 'pending')
    expect(await valueAt(leader, 'a')).toBe('1')
  })
})

describe('what depends on the disk waits for it', () => {
  test("a follower's acknowledgement leaves after its flush", async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [slow] = cluster.followers as [Host]
    const gate = hold(slow, 'writeAndFlush')
    const sent = tap(cluster)
    const write = put(leader, 'a', '1')
    await cluster.until('an answer', () => write.outcome !== 'pending', HEARTBEAT_MS)
    await cluster.pass(HEARTBEAT_MS)
    const { lastIndex } = leader.member!.status()
    expect(acknowledged(sent, slow).filter(({ index }) => index >= lastIndex)).toEqual([])
    gate.release()
    await cluster.until('the acknowledgement', () =>
      acknowledged(sent, slow).some(({ index }) => index >= lastIndex),
    )
  })

  test('a vote leaves after its flush, and so does the question for one (F19)', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const { term } = leader.member!.status()
    const voters = cluster.followers
    const gates = voters.map((host) => hold(host, 'writeAndFlush'))
    const sent = tap(cluster)
    cluster.kill(leader)
    await cluster.until('an election', () =>
      voters.some((host) => host.member!.status().term > term),
    )
    await cluster.pass(ELECTION_MS)
    for (const voter of voters) expect(votesOf(sent, voter)).toEqual([])
    // Nor does a candidate ask before its own vote is durable.
    expect(sent.filter(({ message }) => message.type === 'MsgVote')).toEqual([])
    for (const gate of gates) gate.release()
    await cluster.agreedLeader()
    expect(voters.some((host) => host.member!.status().role === 'leader')).toBe(true)
  })

  test('heartbeats and reads do not: a cluster whose disks all hang keeps its leader and answers reads (F33)', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const { term } = leader.member!.status()
    const gates = cluster.hosts.map((host) => hold(host, 'writeAndFlush'))
    const sent = tap(cluster)
    const write = put(leader, 'a', '1', 20_000)
    for (let i = 0; i < 50; i++) {
      const reading = read(cluster.hosts[i % 3]!, 'b')
      await cluster.pass(HEARTBEAT_MS)
      expect([write.outcome, reading.outcome]).toEqual(['pending', 'done'])
    }
    expect(leader.member!.status()).toMatchObject({ role: 'leader', term })
    // Nobody's disk does better: leadership is not offered around meanwhile.
    expect(sent.filter(({ message }) => message.type === 'MsgTimeoutNow')).toEqual([])
    expect(leader.member!.driver.raft.status().transferTarget).toBe(undefined)
    for (const gate of gates) gate.release()
    await cluster.until('an answer', () => write.outcome !== 'pending', HEARTBEAT_MS)
    expect(write.outcome).toBe('done')
  })

  test('a leader whose disk alone hangs hands leadership over once that lasts (F33)', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [follower] = cluster.followers as [Host]
    const gate = hold(leader, 'writeAndFlush')
    const writes: Watched[] = []
    for (let i = 0; i < 30; i++) {
      writes.push(put(follower, `k${i}`))
      await cluster.pass(HEARTBEAT_MS)
    }
    const successor = cluster.hosts.find((host) => host.member!.status().role === 'leader')!
    expect(successor.name).not.toBe(leader.name)
    expect(new Set(writes.map(({ outcome }) => outcome))).toEqual(new Set(['done']))
    gate.release()
    await cluster.until(
      'the slow one catches up',
      () => leader.member!.status().revision === successor.member!.status().revision,
    )
    expect(leader.failure).toBe(undefined)
  })
})

describe('a disk that fails', () => {
  test('ends the member at once, and nothing of that batch is acknowledged or sent as stored (F26)', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    const [failing, other] = cluster.followers as [Host, Host]
    const sent = tap(cluster)
    failing.fs.fault = ({ kind }) =>
      kind === 'writeAndFlush' ? { type: 'error', code: 'DISK_FAILED' } : undefined
    const write = put(leader, 'a', '1')
    await cluster.until('the failure', () => failing.failure !== undefined, HEARTBEAT_MS)
    expect(failing.failure).toMatchObject({ code: 'DISK_FAILED' })
    expect(failing.member!.status().state).toBe('failed')
    const { lastIndex } = leader.member!.status()
    await cluster.pass(3 * ELECTION_MS)
    expect(acknowledged(sent, failing).filter(({ index }) => index >= lastIndex)).toEqual([])
    expect(write.outcome).toBe('done')
    expect(await valueAt(other, 'a')).toBe('1')
  })

  test('of a leader: the request it could not store is done by the next or unknown, never refused and then done', async () => {
    const cluster = await MemberCluster.started({ count: 3 })
    const { leader } = cluster
    leader.fs.fault = ({ kind }) =>
      kind === 'writeAndFlush' ? { type: 'error', code: 'DISK_FAILED' } : undefined
    const write = put(leader, 'a', '1')
    await cluster.until('the failure', () => leader.failure !== undefined, HEARTBEAT_MS)
    await cluster.pass(HEARTBEAT_MS)
    cluster.kill(leader)
    const successor = await cluster.agreedLeader()
    expect(['pending', 'done', 'OUTCOME_UNKNOWN']).toContain(write.outcome)
    // The followers have it: it was sent beside the flush.
    expect(await valueAt(successor, 'a')).toBe('1')
  })
})
