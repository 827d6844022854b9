// A member whose log was compacted away catches up by a snapshot while writes go on (faults.md F39, issue of the log's
// bounds): real processes, a small snapshot threshold, values large enough to push the entries out of memory.

import { join } from 'node:path'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { raftbase } from '../member/cli/support.ts'
import { missingWrites, ProbeWriter } from '../support/probe-writer.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import { sleep } from './support/duration.ts'
import { StallProbe } from './support/stalls.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 30_000 })

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

const VALUE = 'x'.repeat(512 * 1024)
/** Together more than the tail of the log that is kept in memory. */
const VALUES = 40
const SAVES = 3
/** Of writes that nothing holds up. */
const GAP_MS = 50

test('a follower that was away longer than the log lasts catches up by snapshot, and restarts from it', async () => {
  cluster = await ProcessCluster.create(3, ['-snapshot-log-bytes=1048576'])
  const c = cluster
  c.startAll()
  const leader = await c.agreedLeader()
  const follower = c.members.find((member) => member !== leader)!
  await c.kill(follower)
  for (let i = 0; i < VALUES; i++) {
    const put = await fetch(`${leader.api}/v1/kv/large-${i % 4}`, {
      method: 'PUT',
      body: VALUE + i,
    })
    expect(put.status).toBe(200)
  }
  const writer = new ProbeWriter({ endpoints: () => [leader.api] })
  c.start(follower)
  await eventually(
    'an installed snapshot',
    () => (follower.output.includes('snapshot installed') ? true : undefined),
    { timeoutMs: 20_000, explain: () => c.outputs() },
  )
  const report = await writer.stop()
  console.log(
    `writes during the transfer: ${report.writes.length}, longest gap ${Math.round(report.gapMs)} ms`,
  )
  expect(report.writes.filter((write) => write.outcome !== 'done')).toEqual([])
  await eventually('the follower has everything', async () => {
    const missing = await missingWrites(follower.api, writer.acknowledged, 'serializable')
    return missing.length === 0 ? true : undefined
  })
  await c.kill(follower)
  c.start(follower)
  await c.agreedLeader({ among: c.members })
  expect(await missingWrites(follower.api, writer.acknowledged)).toEqual([])
  const large = await (await fetch(`${follower.api}/v1/kv/large-3`)).text()
  expect(large).toBe(VALUE + (VALUES - 1))
  await savesUnnoticed(c, follower)
})

/** That state is saved from the follower, again and again, and writes go on as without it. */
async function savesUnnoticed(c: ProcessCluster, follower: MemberProcess): Promise<void> {
  const leader = await c.agreedLeader()
  const stalls = new StallProbe(() => c.running.map(({ child }) => child!.pid!))
  onTestFinished(() => stalls.stop())
  const during = async (what: () => Promise<unknown>) => {
    const writer = new ProbeWriter({ endpoints: () => [leader.api] })
    const fromMs = performance.now()
    await what()
    const { writes, gapMs } = await writer.stop()
    expect(writes.filter(({ outcome }) => outcome !== 'done')).toEqual([])
    return { count: writes.length, gapMs, heldUpMs: stalls.between(fromMs, performance.now()) }
  }
  const quiet = await during(() => sleep(1500))
  const file = join(c.directory, 'saved.snap')
  const saving = await during(async () => {
    for (let i = 0; i < SAVES; i++) {
      const flags = ['--endpoints', follower.api, '--force']
      expect((await raftbase('snapshot', 'save', file, ...flags)).code).toBe(0)
    }
  })
  console.log(`gaps between writes: ${JSON.stringify({ quiet, saving })}`)
  const limitMs = Math.max(GAP_MS, 2 * quiet.gapMs)
  expect(saving.gapMs).toBeLessThan(limitMs + saving.heldUpMs)
}
