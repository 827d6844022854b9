// A member whose log was compacted away catches up by a snapshot while writes go on (faults.md F39, issue of the log's
// bounds): real processes, a small snapshot threshold, values large enough to push the entries out of memory.

import { afterEach, expect, test, vi } from 'vitest'
import { missingWrites, ProbeWriter } from '../support/probe-writer.ts'
import { eventually, ProcessCluster } from '../support/process-cluster.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 30_000 })

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

const VALUE = 'x'.repeat(512 * 1024)
/** Together more than the tail of the log that is kept in memory. */
const VALUES = 40

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
})
