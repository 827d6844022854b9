// A cluster that is busy in every turn of its event loop keeps its leader: time passes for the core under load as well
// (faults.md F43). Three whole members in one process, on the real disk, with the transport in memory.

import { expect, test } from 'vitest'
import { inParallel, LocalCluster } from '../support/local-cluster.ts'

const VALUE = new Uint8Array(256)
const PUTS = 60_000
const IN_FLIGHT = 2048

test('a leader under load for many election timeouts stays the leader and applies each put once (F43)', async () => {
  const cluster = await LocalCluster.start({ count: 3, heartbeatMs: 50, electionMs: 500 })
  const leader = await cluster.leader()
  const { term, revision } = leader.status()
  const startMs = performance.now()
  await inParallel({ count: PUTS, atOnce: IN_FLIGHT }, async (number) => {
    const key = new TextEncoder().encode(`key-${number % 1000}`)
    await leader.put({ key, value: VALUE }, { timeoutMs: 30_000 })
  })
  console.log(
    `F43: busy for ${Math.round(performance.now() - startMs)} ms, election timeout 500 ms`,
  )
  expect(leader.status().term).toBe(term)
  expect(leader.status().revision).toBe(revision + PUTS)
  await cluster.destroy()
}, 60_000)
