// What clients meet while `raftbase snapshot save` reads a large state from a follower: three real members, a probe write every
// 10 ms and writers beside them, stretches with a save and without one in turns. `node test/bench/save.ts [megabytes] [rounds]`.
// Members, clients and the saving program share one machine; how long the members waited for a processor is printed as well.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { StallProbe } from '../faults/support/stalls.ts'
import { type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import { quantile } from './support.ts'

const GOAL_MEGABYTES = Number(process.argv[2] ?? 1000)
const ROUNDS = Number(process.argv[3] ?? 3)
const FILL_BYTES = 8000
const FILL_IN_FLIGHT = 64
const PROBE_MS = 10
/** Beside the probes, each with one write of 1,000 B in flight and a pause behind it. */
const WRITERS = 4
const PAUSE_MS = 5
const LAUNCHER = join(import.meta.dirname, '../../member/raftbase.js')

const agent = new Agent({ keepAlive: true, maxSockets: 256 })
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function put({ apiPort }: MemberProcess, key: string, value: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const to = { agent, host: '127.0.0.1', port: apiPort, method: 'PUT', path: `/v1/kv/${key}` }
    const call = request(to, (response) => {
      response.resume().once('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`${key}: ${response.statusCode}`))
      })
    })
    call.once('error', reject).end(value)
  })
}

interface Stretch {
  readonly seconds: number
  readonly writes: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly slowestMs: number
  readonly gapMs: number
  readonly heldUpMs: number
}

/** Writes at a steady pace while `during` goes on; probes are sent on schedule, whether or not earlier ones were answered. */
async function writing(leader: MemberProcess, during: () => Promise<void>): Promise<Stretch> {
  const durations: number[] = []
  const ends: number[] = []
  const stalls = new StallProbe(() => cluster.running.map(({ child }) => child!.pid!))
  const [probe, value] = [Buffer.from('probe'), Buffer.alloc(1000, 'w')]
  const pending: Promise<void>[] = []
  const startMs = performance.now()
  const sendProbe = async (): Promise<void> => {
    const sentMs = performance.now()
    await put(leader, `probe-${ends.length % 1000}`, probe)
    const endMs = performance.now()
    durations.push(endMs - sentMs)
    ends.push(endMs)
  }
  const timer = setInterval(() => {
    pending.push(sendProbe())
  }, PROBE_MS)
  const over = new AbortController()
  const writers = Array.from({ length: WRITERS }, async (_, worker) => {
    for (let i = 0; !over.signal.aborted; i++) {
      await put(leader, `writer-${worker}-${i % 1000}`, value)
      await wait(PAUSE_MS)
    }
  })
  await during()
  over.abort()
  clearInterval(timer)
  await Promise.all([...pending, ...writers])
  const endMs = performance.now()
  const heldUpMs = stalls.between(startMs, endMs)
  stalls.stop()
  durations.sort((a, b) => a - b)
  const gaps = ends.map((at, i) => at - (ends[i - 1] ?? startMs))
  return {
    seconds: (endMs - startMs) / 1000,
    writes: ends.length,
    p50Ms: quantile(durations, 0.5),
    p99Ms: quantile(durations, 0.99),
    slowestMs: durations.at(-1)!,
    gapMs: gaps.reduce((longest, gap) => Math.max(longest, gap), 0),
    heldUpMs,
  }
}

function row(name: string, { seconds, writes, heldUpMs, ...times }: Stretch): string {
  const told = Object.values(times).map((ms) => ms.toFixed(1))
  return `| ${name} | ${seconds.toFixed(1)} | ${writes} | ${told.join(' | ')} | ${heldUpMs.toFixed(0)} |`
}

async function fill(leader: MemberProcess): Promise<void> {
  const count = Math.ceil((GOAL_MEGABYTES * 1e6) / FILL_BYTES)
  const value = Buffer.alloc(FILL_BYTES, 'f')
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) await put(leader, `fill-${next++}`, value)
  }
  await Promise.all(Array.from({ length: FILL_IN_FLIGHT }, work))
}

async function save(file: string, from: MemberProcess): Promise<void> {
  const argv = ['snapshot', 'save', file, '--endpoints', from.api]
  const stdio = ['ignore', 'ignore', 'inherit'] as const
  const child = spawn(process.execPath, [LAUNCHER, ...argv], { stdio: [...stdio] })
  const [code] = (await once(child, 'exit')) as [number]
  if (code !== 0) throw new Error(`snapshot save: exit code ${code}`)
}

const cluster = await ProcessCluster.create(3, ['-quota-backend-bytes=8000000000'])
try {
  cluster.startAll()
  const leader = await cluster.agreedLeader()
  const follower = cluster.members.find((member) => member !== leader)!
  await fill(leader)
  // Snapshots of their own that the filling has caused are over by then.
  await wait(15_000)
  console.log(
    '| | s | probes | p50 ms | p99 ms | slowest ms | longest gap ms | waited for a processor, ms |',
  )
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- |')
  let [seconds, bytes] = [20, 0]
  for (let round = 0; round < ROUNDS; round++) {
    const quiet = await writing(leader, () => wait(1000 * seconds))
    console.log(row('no save', quiet))
    // A new one each time: to free a file of this size holds up every flush of the same file system.
    const file = join(cluster.directory, `state-${round}.snap`)
    const saving = await writing(leader, () => save(file, follower))
    console.log(row(`save from ${follower.name}`, saving))
    seconds = Math.ceil(saving.seconds)
    bytes = (await stat(file)).size
    await rm(file)
    await wait(5000)
  }
  console.log(`files of ${Math.round(bytes / 1e6)} MB`)
} finally {
  agent.destroy()
  await cluster.destroy()
}
