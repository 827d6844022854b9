// Followers that were away for long (faults.md F39, F40): what the leader keeps for them is bounded, and a snapshot that
// crawls or breaks half-way disturbs nobody. The second scenario runs three whole members in one process, on the real disk,
// because a million entries through HTTP would take a machine of its own.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { inParallel, LocalCluster } from '../support/local-cluster.ts'
import { eventually, type MemberProcess } from '../support/process-cluster.ts'
import { IS_LONG } from './support/duration.ts'
import { ELECTION_MS, FaultRun, PATIENCE_MS } from './support/fault-run.ts'

vi.setConfig({ testTimeout: 600_000 })

const MB = 1_000_000

test('a snapshot at 1 MB/s that breaks half-way disturbs neither heartbeats nor clients (F39)', async () => {
  const load = { workers: 3, keys: 2, valueBytes: 60_000, probeEveryMs: 50 }
  const flags = ['-snapshot-log-bytes=1048576']
  await FaultRun.scenario('F39', { members: 3, flags, load, rate: 10 }, async (run) => {
    const leader = await run.leader(run.members)
    const [follower, other] = run.others(leader) as [MemberProcess, MemberProcess]
    const { term } = await run.status(leader)
    await run.cluster.kill(follower)
    const { lastIndex } = await run.status(leader)
    await eventually(
      'the log has moved on',
      async () => ((await run.status(leader)).firstIndex > lastIndex ? true : undefined),
      { timeoutMs: PATIENCE_MS, everyMs: 100, explain: () => run.explain() },
    )
    run.load.valueBytes = 0
    const slow = { bytesPerSecond: MB, closeAfterBytes: 2 * MB }
    for (const from of [leader, other]) run.links.set(from.name, follower.name, slow)
    const fromMs = performance.now()
    run.cluster.start(follower)
    const { name } = follower
    await eventually(
      'the transfer breaks',
      () => (run.links.counts(leader.name, name).closed > 0 ? true : undefined),
      { timeoutMs: PATIENCE_MS, explain: () => run.explain() },
    )
    for (const from of [leader, other]) {
      run.links.set(from.name, name, { bytesPerSecond: MB })
    }
    await eventually(
      'an installed snapshot',
      () => (follower.output.includes('snapshot installed') ? true : undefined),
      { timeoutMs: PATIENCE_MS, explain: () => run.explain() },
    )
    const bytes = run.links.counts(leader.name, name).forwardedBytes
    run.note(
      'sent to the follower',
      `${(bytes / MB).toFixed(1)} MB in ${Math.round((performance.now() - fromMs) / 1000)} s`,
    )
    run.note('ELEC', run.watch.changesAfter(term))
    expect(run.meets('GAP', 2 * ELECTION_MS + 200, run.load.gap(fromMs))).toBe(true)
    expect(run.watch.changesAfter(term)).toBe(0)
    expect(bytes).toBeGreaterThan(4 * MB)
  })
})

const ENTRIES = IS_LONG ? 1_000_000 : 60_000
const IN_FLIGHT = 2048
const VALUE_BYTES = 256
const SNAPSHOT_LOG_BYTES = 4 * 1024 * 1024

async function bytesBelow(directory: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(directory)) {
    // What is renamed or removed in between counts next time.
    const file = await stat(join(directory, name)).catch(() => undefined)
    bytes += file?.size ?? 0
  }
  return bytes
}

test(`a follower that is away for ${ENTRIES} entries costs bounded memory and disk (F40)`, async () => {
  const cluster = await LocalCluster.start({
    count: 3,
    electionMs: 3000,
    snapshotLogBytes: SNAPSHOT_LOG_BYTES,
  })
  const leader = await cluster.leader()
  const away = cluster.members.find((member) => member !== leader)!
  const { name } = away.identity
  await cluster.stopMember(away)
  const fromIndex = leader.status().lastIndex
  const leaderPath = cluster.pathOf(leader.identity.name)
  let logBytesMax = 0
  let keptMax = 0
  const startMs = performance.now()
  await inParallel({ count: ENTRIES, atOnce: IN_FLIGHT }, async (number) => {
    const key = new TextEncoder().encode(`key-${number % 1000}`)
    await leader.put({ key, value: new Uint8Array(VALUE_BYTES) }, { timeoutMs: 60_000 })
    if (number % 5000 !== 0) return
    const { firstIndex, lastIndex } = leader.status()
    keptMax = Math.max(keptMax, lastIndex - firstIndex)
    logBytesMax = Math.max(logBytesMax, await bytesBelow(join(leaderPath, 'wal')))
  })
  const seconds = (performance.now() - startMs) / 1000
  const { stateBytes, firstIndex, lastIndex } = leader.status()
  const snapshotBytes = await bytesBelow(join(leaderPath, 'snap'))
  console.log(
    `F40: ${ENTRIES} entries in ${seconds.toFixed(0)} s; at most ${keptMax} entries in memory, ${Math.round(logBytesMax / MB)} MB of log; state ${Math.round(stateBytes / MB)} MB, snapshots ${Math.round(snapshotBytes / MB)} MB`,
  )
  expect(lastIndex - fromIndex).toBeGreaterThanOrEqual(ENTRIES)
  // The tail in memory: at most 64 MiB, an eighth of the state or 8 MiB; an entry costs 200 bytes beside its data.
  const tailBytes = Math.min(64 * 1024 * 1024, Math.max(8 * 1024 * 1024, stateBytes / 8))
  expect((lastIndex - firstIndex) * (VALUE_BYTES + 200)).toBeLessThan(1.2 * tailBytes)
  // The log on disk: what two snapshots are apart (half the state), a segment begun, one full and two spare ones.
  expect(logBytesMax).toBeLessThan(stateBytes + 2 * SNAPSHOT_LOG_BYTES + 4 * 64 * 1024 * 1024)
  expect(snapshotBytes).toBeLessThan(3 * stateBytes)
  const back = await cluster.startMember(name)
  await eventually(
    'it has caught up',
    () => (back.status().applied >= lastIndex ? true : undefined),
    { timeoutMs: PATIENCE_MS },
  )
  expect(back.status().revision).toBe(leader.status().revision)
  await cluster.destroy()
})
