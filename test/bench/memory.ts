// What a member of a real cluster occupies: three processes as `make run` starts them, or compiled ones with `make build`
// before. Resident memory when idle, and what 100,000 keys add when they are written once, and once more.
// `node test/bench/memory.ts`

import { existsSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { NODE_FLAGS } from '../../member/src/cli/dev-members.ts'
import { type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import { report } from './support.ts'

const KEYS = 100_000
const IN_FLIGHT = 256
const VALUE = Buffer.alloc(256, 120)
const IDLE_GOAL_MB = 90
const KEYS_GOAL_MB = 60
/** Garbage of the writes is gone after this long without one. */
const SETTLE_MS = 15_000

const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT })
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function put(api: string, key: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { method: 'PUT', agent, headers: { 'content-length': VALUE.length } }
    const sent = request(`${api}/v1/kv/${key}`, options, (response) => {
      response.resume()
      response.on('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`a put was answered ${response.statusCode}`))
      })
    })
    sent.on('error', reject)
    sent.end(VALUE)
  })
}

async function writeAll(api: string): Promise<void> {
  let next = 0
  const writer = async (): Promise<void> => {
    while (next < KEYS) await put(api, `key-${String(next++).padStart(28, '0')}`)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, writer))
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
  cluster.nodeFlags = NODE_FLAGS
  if (program !== undefined) cluster.program = program
  try {
    cluster.startAll()
    const leader = await cluster.agreedLeader()
    await wait(SETTLE_MS)
    console.log(`\n${name}: resident MB of each member, the leader is ${leader.name} (anonymous)`)
    console.log(`| | ${cluster.members.map((member) => member.name).join(' | ')} |`)
    console.log('| --- | --- | --- | --- |')
    const idle = row('idle', cluster)
    await writeAll(leader.api)
    await wait(SETTLE_MS)
    const written = row(`${KEYS} keys of 256 B, written once`, cluster)
    await writeAll(leader.api)
    await wait(SETTLE_MS)
    const rewritten = row('each written once more', cluster)
    const most = { bound: 'most', unit: 'MB' } as const
    report({ what: 'idle member', value: idle.resident, goal: IDLE_GOAL_MB, ...most })
    const added = written.resident - idle.resident
    report({ what: `${KEYS} keys of 256 B add`, value: added, goal: KEYS_GOAL_MB, ...most })
    const history = rewritten.resident - written.resident
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
