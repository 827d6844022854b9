// The state taken along and brought back, as a user does it: a member that takes writes without a pause hands out 1 GB over
// HTTP to `raftbase snapshot save`; then `snapshot verify`, `snapshot restore`, and a member started from that.
// `node test/bench/round-trip.ts [megabytes]`. Prints how long each takes, and what the writes and the event loop of the
// member met while the snapshot was read.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { createLogger } from '../../lib/logger.ts'
import { Registry } from '../../lib/metrics.ts'
import { admissionLimits } from '../../member/src/limits.ts'
import { Admission } from '../../member/src/node/admission.ts'
import { createRestApp } from '../../member/src/rest/app.ts'
import { LocalCluster } from '../support/local-cluster.ts'
import { freePorts } from '../support/process-cluster.ts'
import { Observation, ROW_HEADINGS } from './observation.ts'
import { report } from './support.ts'

const VALUE_BYTES = 1000
const GOAL_MEGABYTES = Number(process.argv[2] ?? 1000)
const IN_FLIGHT = 64
/** Of writers that leave the machine room for the rest: what is compared are gaps. */
const PACED_IN_FLIGHT = 4
const LAUNCHER = join(import.meta.dirname, '../../member/raftbase.js')
const value = new Uint8Array(VALUE_BYTES).fill(120)

const cluster = await LocalCluster.start({ count: 1 })
const member = await cluster.leader()
const admission = new Admission({
  limits: admissionLimits(1000),
  clock: systemClock,
  timers: systemTimers,
  read: () => Promise.resolve(),
})
const app = createRestApp({
  node: member,
  admission,
  log: createLogger({ level: 'silent' }),
  metrics: new Registry(),
})
await app.listen({ host: '127.0.0.1', port: 0 })
const endpoint = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
const encoder = new TextEncoder()
let next = 0
let observation = new Observation()

async function write(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const key = encoder.encode(`key-${String(next++).padStart(28, '0')}`)
    await member.put({ key, value }, { timeoutMs: 30_000 })
    observation.acknowledged()
  }
}

/** Writes until `done` resolves. */
async function writing<T>(inFlight: number, done: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const writers = Array.from({ length: inFlight }, () => write(stop.signal))
  const result = await done(stop.signal)
  stop.abort()
  await Promise.all(writers)
  return result
}

/** Milliseconds until the command has succeeded. */
async function timed(...argv: string[]): Promise<number> {
  const startMs = performance.now()
  const child = spawn(process.execPath, [LAUNCHER, ...argv], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code] = (await once(child, 'exit')) as [number]
  if (code !== 0) throw new Error(`${argv.join(' ')}: exit code ${code}`)
  return performance.now() - startMs
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const rows: string[] = []
await writing(IN_FLIGHT, async () => {
  while (member.status().stateBytes < GOAL_MEGABYTES * 1e6) await wait(10)
})
while (member.isSavingSnapshot) await wait(10)
const file = join(cluster.directory, 'state.snap')
const saveMs = await writing(PACED_IN_FLIGHT, async () => {
  observation.end()
  observation = new Observation()
  await wait(5000)
  observation.end()
  rows.push(observation.row('nothing else'))
  observation = new Observation()
  const ms = await timed('snapshot', 'save', file, '--endpoints', endpoint)
  observation.end()
  rows.push(observation.row('snapshot save'))
  return ms
})
const { keyCount } = member.status()
await app.close()
const megabytes = Math.round((await stat(file)).size / 1e6)
const verifyMs = await timed('snapshot', 'verify', file)
const [peer, api, client] = await freePorts(3)
const at = [
  '-name=r1',
  `-data-dir=${join(cluster.directory, 'r1')}`,
  '-initial-cluster-token=bench',
]
const advertised = `-initial-advertise-peer-urls=http://127.0.0.1:${peer}`
const restoreMs = await timed('snapshot', 'restore', file, ...at, advertised)
const startMs = performance.now()
const listens = [`-client-url=http://127.0.0.1:${client}`, `-api-addr=127.0.0.1:${api}`]
const flags = [...at, ...listens, `-peer-url=http://127.0.0.1:${peer}`]
const restored = spawn(process.execPath, [LAUNCHER, ...flags], { stdio: 'ignore' })
const read = `http://127.0.0.1:${api}/v1/kv/key-${'0'.repeat(28)}`
while ((await fetch(read).catch(() => undefined))?.status !== 200) await wait(5)
const firstReadMs = performance.now() - startMs
restored.kill('SIGKILL')
await once(restored, 'exit')

console.log(`| ${PACED_IN_FLIGHT} writes of ${VALUE_BYTES} B in flight ${ROW_HEADINGS}`)
for (const row of rows) console.log(row)
console.log(`a file of ${megabytes} MB with ${keyCount} keys or a few less:`)
for (const [what, ms] of [
  ['snapshot save', saveMs],
  ['snapshot verify', verifyMs],
  ['snapshot restore', restoreMs],
  ['start of the restored member to its first linearizable read', firstReadMs],
] as const) {
  console.log(`  ${what}: ${(ms / 1000).toFixed(1)} s, ${Math.round(megabytes / (ms / 1000))} MB/s`)
}
report({
  what: `longest turn of the event loop while ${megabytes} MB were handed out, CPU time`,
  value: observation.longestTurnMs,
  goal: 50,
  bound: 'most',
  unit: 'ms',
  digits: 1,
})
await cluster.destroy()
