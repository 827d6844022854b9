// Whether a snapshot stops writes: a member with its state on the real disk takes writes without a pause while it grows to
// 1 GB and stores a snapshot of that. Prints the longest gap between two acknowledged writes and the delay of the event
// loop, with and without a snapshot under way: `node test/bench/snapshot.ts [megabytes]`. On a busy machine other programs
// hold the event loop as well; the CPU time of its longest turn is what this one does.

import { LocalCluster } from '../support/local-cluster.ts'
import { Observation, ROW_HEADINGS } from './observation.ts'
import { report } from './support.ts'

const VALUE_BYTES = 1000
const GOAL_MEGABYTES = Number(process.argv[2] ?? 1000)
const IN_FLIGHT = 64
const value = new Uint8Array(VALUE_BYTES).fill(120)

const cluster = await LocalCluster.start({ count: 1 })
const member = await cluster.leader()
const encoder = new TextEncoder()
let next = 0
let observation = new Observation()
const stop = new AbortController()

async function write(): Promise<void> {
  while (!stop.signal.aborted) {
    const key = encoder.encode(`key-${String(next++).padStart(28, '0')}`)
    await member.put({ key, value }, { timeoutMs: 30_000 })
    observation.acknowledged()
  }
}

const writers = Array.from({ length: IN_FLIGHT }, write)
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const rows: string[] = []
const isLarge = (): boolean => member.status().stateBytes >= GOAL_MEGABYTES * 1e6
let longestGapMs = 0
let longestDelayMs = 0
let longestTurnMs = 0
for (let done = false; !done; ) {
  // The member decides when a snapshot is due; from the outside it is seen to have begun and to be there.
  observation.end()
  observation = new Observation()
  while (!member.isSavingSnapshot) await wait(1)
  observation.end()
  const megabytes = Math.round(member.status().stateBytes / 1e6)
  rows.push(observation.row(`no snapshot, up to ${megabytes} MB`))
  done = isLarge()
  observation = new Observation()
  while (member.isSavingSnapshot) await wait(1)
  observation.end()
  rows.push(observation.row(`snapshot of ${megabytes} MB`))
  longestGapMs = observation.longestGapMs
  longestDelayMs = observation.delay.max / 1e6
  longestTurnMs = observation.longestTurnMs
}
stop.abort()
await Promise.all(writers)
console.log(`| ${IN_FLIGHT} writes of ${VALUE_BYTES} B in flight ${ROW_HEADINGS}`)
for (const row of rows) console.log(row)
const last = `during the snapshot of ${Math.round(member.status().stateBytes / 1e6)} MB`
const goal = { goal: 50, bound: 'most', unit: 'ms', digits: 1 } as const
report({ what: `longest gap between acknowledged writes ${last}`, value: longestGapMs, ...goal })
report({ what: `longest event-loop delay ${last}`, value: longestDelayMs, ...goal })
report({ what: `longest turn of the event loop ${last}, CPU time`, value: longestTurnMs, ...goal })
console.log(`resident: ${Math.round(process.memoryUsage.rss() / 1e6)} MB`)
await cluster.destroy()
