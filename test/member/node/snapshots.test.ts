// Snapshots between whole members: installed in an order that no slow disk and no second sender upsets (faults.md F34, F39).

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import {
  ELECTION_MS,
  HEARTBEAT_MS,
  type Host,
  MemberCluster,
  put,
  valueAt,
} from '../../support/member-cluster.ts'

const VALUE = 'x'.repeat(2000)

/** A cluster whose leader has forgotten what the last host, which is down, needs. */
async function withOneBehind(): Promise<{ cluster: MemberCluster; behind: Host }> {
  const cluster = await MemberCluster.started({
    count: 3,
    settings: { tailBytesMax: () => 1000 },
  })
  const [behind] = cluster.followers as [Host]
  cluster.kill(behind)
  // Entries are forgotten in stretches of 128 KiB.
  for (let i = 0; i < 150; i++) {
    const write = put(cluster.leader, `k${i}`, VALUE)
    await cluster.until('an answer', () => write.outcome !== 'pending')
  }
  const { firstIndex } = cluster.leader.member!.status()
  expect(firstIndex).toBeGreaterThan(10)
  return { cluster, behind }
}

test('entries that arrive while a snapshot gets its name wait behind it (F34)', async () => {
  const { cluster, behind } = await withOneBehind()
  const gate = Promise.withResolvers<void>()
  behind.fs.delay = ({ kind, path }) =>
    kind === 'rename' && path.startsWith('/data/snap') ? gate.promise : Promise.resolve()
  await cluster.start(behind)
  await cluster.pass(2 * ELECTION_MS)
  const write = put(cluster.leader, 'later', '1')
  await cluster.until('an answer', () => write.outcome !== 'pending')
  await cluster.pass(10 * HEARTBEAT_MS)
  expect(behind.failure).toBe(undefined)
  // Nothing was promised on top of a snapshot that has no name yet.
  const { progress } = cluster.leader.member!.driver.raft.status()
  expect(progress.find((peer) => peer.id === behind.id)!.match).toBeLessThan(10)
  gate.resolve()
  await cluster.until('the rest', () => behind.member!.status().keyCount === 151, ELECTION_MS)
  expect(await valueAt(behind, 'later')).toBe('1')
  // And it is what a restart finds.
  cluster.kill(behind)
  behind.fs.losePower('none')
  await cluster.start(behind)
  expect(behind.member!.status().keyCount).toBeGreaterThanOrEqual(150)
})

test('a log of nothing but new keys and history is released as well, across restarts too', async () => {
  const cluster = await MemberCluster.started({
    count: 1,
    settings: { segmentBytes: 16 * 1024, snapshotLogBytes: 50_000 },
  })
  const [host] = cluster.hosts as [Host]
  for (let i = 0; i < 600; i++) {
    const write = put(host, `k${i}`, VALUE)
    await cluster.until('an answer', () => write.outcome !== 'pending')
    // Never so long in one life that a snapshot would be due by what this life has applied.
    if (i % 10 !== 9) continue
    cluster.kill(host)
    await cluster.start(host)
    await cluster.agreedLeader()
  }
  expect(host.failure).toBe(undefined)
  const { snapshotIndex, lastIndex } = host.member!.status()
  expect(snapshotIndex).toBeGreaterThan(300)
  // A segment this small holds one put.
  const segments = host.fs.names('/data/wal').length
  expect(segments).toBeLessThanOrEqual(lastIndex - snapshotIndex + 5)
})

test('a snapshot that is being installed is not thrown away for the next one that arrives (F39)', async () => {
  const { cluster, behind } = await withOneBehind()
  const { leader } = cluster
  // The next transfer begins in the turn in which the core accepts the first.
  let second: Promise<void> | undefined
  await cluster.start(behind)
  const driver = behind.member!.driver
  const onMessage = driver.onMessage.bind(driver)
  driver.onMessage = (message) => {
    onMessage(message)
    if (message.type !== 'MsgSnap' || second !== undefined) return
    second = driver.onSnapshot(leader.id, chunksThatNeverEnd()).catch(() => undefined)
  }
  await cluster.until('the snapshot', () => behind.member!.status().keyCount === 150, 5000)
  expect(second).not.toBe(undefined)
  expect(behind.failure).toBe(undefined)
})

test('a transfer that fails again and again is told once, and its success again (F27)', async () => {
  const { cluster, behind } = await withOneBehind()
  const { leader } = cluster
  behind.fs.fault = ({ kind, path, bytes }) =>
    kind === 'write' && bytes > 0 && path.startsWith('/data/snap')
      ? { type: 'error', code: 'NO_SPACE' }
      : undefined
  await cluster.start(behind)
  await cluster.pass(10 * ELECTION_MS)
  const told = (text: string): number => leader.lines.filter((line) => line.includes(text)).length
  expect([told('transfer started'), told('transfer failed')]).toEqual([1, 1])
  behind.fs.fault = undefined
  await cluster.until('the snapshot', () => behind.member!.status().keyCount === 150, 5000)
  expect(told('transfer finished')).toBe(1)
  expect(behind.failure).toBe(undefined)
})

async function* chunksThatNeverEnd(): AsyncGenerator<Uint8Array> {
  await new Promise(() => undefined)
  yield new Uint8Array(0)
}

test('what a start keeps of the log in memory counts towards what may be kept', async () => {
  const tailBytes = 300_000
  const cluster = await MemberCluster.started({
    count: 1,
    settings: { tailBytesMax: () => tailBytes },
  })
  const [host] = cluster.hosts as [Host]
  const kept = (): number => {
    const { firstIndex, lastIndex } = host.member!.status()
    return (lastIndex - firstIndex) * VALUE.length
  }
  for (let i = 0; i < 200; i++) {
    const answer = put(host, `k${i}`, VALUE)
    await cluster.until('an answer', () => answer.outcome !== 'pending')
  }
  cluster.kill(host)
  await cluster.start(host)
  await cluster.agreedLeader()
  expect(kept()).toBeGreaterThan(tailBytes / 2)
  for (let i = 0; i < 200; i++) {
    const answer = put(host, `later${i}`, VALUE)
    await cluster.until('an answer', () => answer.outcome !== 'pending')
    // Entries are forgotten in stretches of 128 KiB.
    expect(kept()).toBeLessThan(tailBytes + 2 * 128 * 1024)
  }
})

test('the state that a snapshot has replaced is let go of (promise 8)', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const { cluster, behind } = await withOneBehind()
  await cluster.start(behind)
  const replaced = new WeakRef(behind.member!.stateMachine)
  await cluster.until('the rest', () => behind.member!.status().keyCount === 150, ELECTION_MS)
  for (let i = 0; i < 100 && replaced.deref() !== undefined; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    collect()
  }
  expect(replaced.deref()).toBe(undefined)
})
