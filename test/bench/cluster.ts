// Three whole members in one process, on the real disk, with the transport in memory: committed puts per second with many
// in flight, what one costs, and the latency of one. The keys exist before the clock starts: making them is no member's work.
// `node test/bench/cluster.ts [runs]`

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { createLogger } from '../../lib/logger.ts'
import { randomId, systemPrng } from '../../lib/prng.ts'
import { openDataDirectory } from '../../member/src/node/data-directory.ts'
import { identityOf } from '../../member/src/node/identity.ts'
import { Member } from '../../member/src/node/member.ts'
import { nodeSettings } from '../../member/src/node/settings.ts'
import { DiskFileSystem } from '../../member/src/wal/disk.ts'
import { MemoryNetwork } from '../support/memory-transport.ts'

const MEMBERS = [1, 2, 3].map((n) => ({ name: `n${n}`, peerUrls: [`http://127.0.0.1:${n}`] }))
const VALUE = new Uint8Array(256).fill(120)
const PUTS = 200_000
const IN_FLIGHT = 2048
const KEYS = 100_000
const RUNS = Number(process.argv[2] ?? 5)

const keys = Array.from({ length: KEYS }, (_, n) =>
  new TextEncoder().encode(`key-${String(n).padStart(28, '0')}`),
)

async function startMember(name: string, network: MemoryNetwork, root: string): Promise<Member> {
  const identity = identityOf({ token: 'bench', name, members: MEMBERS })
  const fs = new DiskFileSystem()
  const path = join(root, name)
  const directory = await openDataDirectory({ fs, path, identity, isNewCluster: true })
  const member = await Member.open({
    directory,
    initialMembers: MEMBERS,
    attributes: { peerUrls: [], clientUrls: [], apiUrls: [], version: 'bench' },
    settings: nodeSettings({
      heartbeatMs: 100,
      electionMs: 1000,
      requestBytesMax: 1_572_864,
      snapshotLogBytes: 64 * 1024 * 1024,
      quotaBytes: Number.POSITIVE_INFINITY,
    }),
    fs,
    transport: network.transport(identity.memberId),
    clock: systemClock,
    timers: systemTimers,
    prng: systemPrng(),
    log: createLogger({ level: 'warn' }),
    origin: randomId(),
    onFailure: (error) => {
      throw error
    },
  })
  await member.start()
  return member
}

async function leaderOf(members: readonly Member[]): Promise<Member> {
  for (;;) {
    const leader = members.find((member) => member.status().role === 'leader' && member.isReady())
    if (leader !== undefined) return leader
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

interface Throughput {
  readonly perSecond: number
  /** Microseconds of CPU per put: of the event loop, and of the whole process with its helpers (disk, garbage collection). */
  readonly loopMicros: number
  readonly processMicros: number
}

async function throughput(leader: Member): Promise<Throughput> {
  let next = 0
  const before = leader.status().revision
  const startMs = performance.now()
  const loop = process.threadCpuUsage()
  const all = process.cpuUsage()
  const worker = async (): Promise<void> => {
    while (next < PUTS) {
      const key = keys[next++ % KEYS]!
      await leader.put({ key, value: VALUE }, { timeoutMs: 30_000 })
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  const seconds = (performance.now() - startMs) / 1000
  const written = leader.status().revision - before
  if (written !== PUTS) throw new Error(`${PUTS} puts made ${written} revisions`)
  return {
    perSecond: PUTS / seconds,
    loopMicros: sumOf(process.threadCpuUsage(loop)) / PUTS,
    processMicros: sumOf(process.cpuUsage(all)) / PUTS,
  }
}

function sumOf({ user, system }: NodeJS.CpuUsage): number {
  return user + system
}

async function latency(leader: Member): Promise<{ p50: number; p99: number }> {
  const times: number[] = []
  for (let i = 0; i < 1000; i++) {
    const startMs = performance.now()
    await leader.put({ key: keys[i]!, value: VALUE }, { timeoutMs: 30_000 })
    times.push(performance.now() - startMs)
  }
  times.sort((a, b) => a - b)
  return { p50: times[500]!, p99: times[990]! }
}

const root = await mkdtemp(join(tmpdir(), 'raftbase-bench-'))
const network = new MemoryNetwork({
  schedule: (deliver) => void setImmediate(deliver),
  nowMs: () => systemClock.monotonicMs(),
  encoded: true,
})
const members: Member[] = []
for (const { name } of MEMBERS) members.push(await startMember(name, network, root))
const leader = await leaderOf(members)
const { term } = leader.status()
const results: Throughput[] = []
console.log(
  `| run | puts of 256 B per second, ${IN_FLIGHT} in flight | event loop, us a put | process, us a put |`,
)
console.log('| --- | --- | --- | --- |')
for (let run = 1; run <= RUNS; run++) {
  const result = await throughput(leader)
  results.push(result)
  const { perSecond, loopMicros, processMicros } = result
  console.log(
    `| ${run} | ${Math.round(perSecond)} | ${loopMicros.toFixed(1)} | ${processMicros.toFixed(1)} |`,
  )
}
const { p50, p99 } = await latency(leader)
console.log(`one in flight: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`)
console.log(
  `state of one member: ${Math.round(leader.status().stateBytes / 1e6)} MB for ${leader.status().keyCount} keys`,
)
if (leader.status().term !== term) console.log('the leader changed: these figures do not count')
for (const member of members) await member.stop(100)
await rm(root, { recursive: true, force: true })
