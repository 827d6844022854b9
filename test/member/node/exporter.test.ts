// The state handed out to a client: as it was at one log position, whatever happens meanwhile; few at a time; ended with the
// member (faults.md F54, X5).

import { expect, test } from 'vitest'
import type { SnapshotExport } from '../../../member/src/node/member-node.ts'
import { SnapshotBuilder } from '../../../member/src/node/restore.ts'
import { PortableSnapshotDecoder } from '../../../member/src/wal/portable-snapshot.ts'
import { type Host, MemberCluster, put, watch } from '../../support/member-cluster.ts'

const OPTIONS = { timeoutMs: 5000 }

async function open(cluster: MemberCluster, host: Host): Promise<SnapshotExport> {
  const pending = host.member!.exportSnapshot({ consistency: 'linearizable' }, OPTIONS)
  const watched = watch(pending)
  await cluster.until('the snapshot', () => watched.outcome !== 'pending')
  return pending
}

async function write(cluster: MemberCluster, key: string, value: string): Promise<void> {
  const written = put(cluster.leader, key, value)
  await cluster.until('an answer', () => written.outcome !== 'pending')
  expect(written.outcome).toBe('done')
}

test('is the state at one position, however late it is read, and whatever is written and compacted meanwhile', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  const [follower] = cluster.followers as [Host]
  for (let i = 0; i < 50; i++) await write(cluster, `k${i % 10}`, `before ${i}`)
  const snapshot = await open(cluster, follower)
  const { stateMachine } = follower.member!
  const hash = stateMachine.store.hash(0)
  expect(snapshot).toMatchObject({ revision: 51, memberCount: 3, index: stateMachine.appliedIndex })
  const iterator = snapshot.chunks()[Symbol.asyncIterator]()
  const pieces = [(await iterator.next()).value as Uint8Array]
  for (let i = 0; i < 50; i++) await write(cluster, `k${i % 20}`, `after ${i}`)
  for (;;) {
    const { done, value } = await iterator.next()
    if (done === true) break
    pieces.push(value)
  }
  snapshot.release()
  const decoder = new PortableSnapshotDecoder()
  const builder = new SnapshotBuilder()
  for (const piece of pieces) for (const data of decoder.push(piece)) builder.add(data)
  const { description } = builder.finish(decoder.finish())
  expect(description).toMatchObject({ revision: 51, keyCount: 10, index: snapshot.index })
  expect(description.hash).toBe((hash as { hash: number }).hash.toString(16).padStart(8, '0'))
})

test('a third one at a time is refused, until one is released, once', async () => {
  const cluster = await MemberCluster.started({ count: 1 })
  const [host] = cluster.hosts as [Host]
  const first = await open(cluster, host)
  const second = await open(cluster, host)
  await expect(open(cluster, host)).rejects.toMatchObject({ code: 'OVERLOADED' })
  first.release()
  first.release()
  const third = await open(cluster, host)
  await expect(open(cluster, host)).rejects.toMatchObject({ code: 'OVERLOADED' })
  second.release()
  third.release()
})

test('without a majority it is to be had as the member has it, and only so', async () => {
  const cluster = await MemberCluster.started({ count: 3 })
  await write(cluster, 'k', 'v')
  const [alone, ...others] = cluster.hosts as [Host, Host, Host]
  for (const other of others) cluster.kill(other)
  const confirmed = watch(alone.member!.exportSnapshot({ consistency: 'linearizable' }, OPTIONS))
  await cluster.until('a refusal', () => confirmed.outcome !== 'pending', 20_000)
  expect(['TIMEOUT', 'NO_LEADER']).toContain(confirmed.outcome)
  const snapshot = await alone.member!.exportSnapshot({ consistency: 'serializable' }, OPTIONS)
  expect(snapshot.revision).toBeGreaterThanOrEqual(1)
  snapshot.release()
})

test('a member that stops ends what is being read, and begins nothing', async () => {
  const cluster = await MemberCluster.started({ count: 1 })
  const [host] = cluster.hosts as [Host]
  // More than one piece of the state.
  for (let i = 0; i < 3; i++) await write(cluster, `k${i}`, 'x'.repeat(200_000))
  const snapshot = await open(cluster, host)
  const iterator = snapshot.chunks()[Symbol.asyncIterator]()
  await iterator.next()
  const member = host.member!
  const stopped = watch(member.stop(0))
  await cluster.until('the stop', () => stopped.outcome !== 'pending')
  const rest = (async () => {
    while ((await iterator.next()).done !== true);
  })()
  await expect(rest).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  snapshot.release()
  const late = member.exportSnapshot({ consistency: 'serializable' }, OPTIONS)
  await expect(late).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
})
