// What a member of a real cluster occupies: three processes as `make run` starts them, or compiled ones with `make build`
// before. Resident memory when idle, and what 100,000 keys add: just written, held after a restart, written once more.
// `node test/bench/memory.ts`

import { existsSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import { report } from './support.ts'

const KEYS = 100_000
const IN_FLIGHT = 64
const VALUE = Buffer.alloc(256, 120)
const IDLE_GOAL_MB = 90
const KEYS_GOAL_MB = 60
/** Garbage of the writes is collected after this long without one (lib/quiet-collection.ts), and what a start needed. */
const SETTLE_MS = 15_000

/** Generous: this is not about how long a start takes. */
const START_MS = 120_000

const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT })
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** The status of the answer. */
function put(api: string, key: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = { method: 'PUT', agent, headers: { 'content-length': VALUE.length } }
    const sent = request(`${api}/v1/kv/${key}`, options, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode))
    })
    sent.on('error', reject)
    sent.end(VALUE)
  })
}

async function writeAll(api: string): Promise<void> {
  let next = 0
  let retries = 0
  const writer = async (): Promise<void> => {
    while (next < KEYS) {
      const key = `key-${String(next++).padStart(28, '0')}`
      // On a machine that does much else a put may be late. What counts is that all keys are there.
      while ((await put(api, key)) !== 200) retries++
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, writer))
  if (retries > 0) console.log(`${retries} puts were written once more`)
}

interface Memory {
  /** All of it, and the part that is neither program text nor another file. */
  readonly resident: number
  readonly anonymous: number
}

/** In MB, from the kernel. */
function memoryOf({ child }: MemberProcess): Memory {
  const status = readFileSync(`/proc/${child!.pid}/status`, 'utf8')
  const megabytes = (field: string): number =>
    (Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)![1]) * 1024) / 1e6
  return { resident: megabytes('VmRSS'), anonymous: megabytes('RssAnon') }
}

function row(name: string, cluster: ProcessCluster): Memory {
  const memories = cluster.members.map(memoryOf)
  const columns = memories.map((m) => `${m.resident.toFixed(0)} (${m.anonymous.toFixed(0)})`)
  console.log(`| ${name} | ${columns.join(' | ')} |`)
  return {
    resident: Math.max(...memories.map((memory) => memory.resident)),
    anonymous: Math.max(...memories.map((memory) => memory.anonymous)),
  }
}

async function measure(name: string, program: string | undefined): Promise<void> {
  const cluster = await ProcessCluster.create(3)
  if (program !== undefined) cluster.program = program
  try {
    cluster.startAll()
    const leader = await cluster.agreedLeader({ timeoutMs: START_MS })
    await wait(SETTLE_MS)
    console.log(`\n${name}: resident MB of each member, the leader is ${leader.name} (anonymous)`)
    console.log(`| | ${cluster.members.map((member) => member.name).join(' | ')} |`)
    console.log('| --- | --- | --- | --- |')
    const idle = row('idle', cluster)
    await writeAll(leader.api)
    await wait(SETTLE_MS)
    const written = row(`${KEYS} keys of 256 B, written once`, cluster)
    for (const member of cluster.members) {
      await cluster.kill(member, 'SIGTERM')
      cluster.start(member)
      await cluster.agreedLeader({ timeoutMs: START_MS })
    }
    await wait(SETTLE_MS)
    const restarted = row('restarted with these keys', cluster)
    await writeAll((await cluster.agreedLeader()).api)
    await wait(SETTLE_MS)
    const rewritten = row('each key written once more', cluster)
    const most = { bound: 'most', unit: 'MB' } as const
    report({ what: 'idle member', value: idle.resident, goal: IDLE_GOAL_MB, ...most })
    const added = restarted.resident - idle.resident
    report({ what: `${KEYS} keys of 256 B add`, value: added, goal: KEYS_GOAL_MB, ...most })
    const writing = written.resident - idle.resident
    report({ what: 'the same, just written', value: writing, goal: KEYS_GOAL_MB, ...most })
    const history = rewritten.resident - restarted.resident
    console.log(`a second version of each key adds ${history.toFixed(0)} MB until it is compacted`)
  } finally {
    await cluster.destroy()
  }
}

const compiled = fileURLToPath(new URL('../../dist/member/src/main.js', import.meta.url))
await measure('as make run starts it', undefined)
if (existsSync(compiled)) await measure('compiled, as in an image', compiled)
else console.log('no dist/: make build first to measure the compiled program as well')
agent.destroy()
