// Three whole members in one process, on the real disk, with the transport in memory: committed puts per second with many
// in flight, what one costs, and the latency of one. The keys exist before the clock starts: making them is no member's work.
// `node test/bench/cluster.ts [runs]`

import type { Member } from '../../member/src/node/member.ts'
import { LocalCluster } from '../support/local-cluster.ts'
import { quantile, report } from './support.ts'

const VALUE = new Uint8Array(256).fill(120)
const PUTS = 200_000
const IN_FLIGHT = 2048
const KEYS = 100_000
const GOAL_PER_SECOND = 50_000
const RUNS = Number(process.argv[2] ?? 5)

const keys = Array.from({ length: KEYS }, (_, n) =>
  new TextEncoder().encode(`key-${String(n).padStart(28, '0')}`),
)

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
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
}

const cluster = await LocalCluster.start({ count: 3 })
const leader = await cluster.leader()
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
if (leader.status().term !== term) console.log('the leader changed: these figures do not count')
const best = Math.max(...results.map(({ perSecond }) => perSecond))
const sorted = results.map(({ perSecond }) => perSecond).toSorted((a, b) => a - b)
const least = { goal: GOAL_PER_SECOND, bound: 'least', unit: 'puts/s' } as const
report({ what: 'committed puts of 256 B, median run', value: quantile(sorted, 0.5), ...least })
report({ what: 'committed puts of 256 B, best run', value: best, ...least })
const { p50, p99 } = await latency(leader)
console.log(`one in flight: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`)
await cluster.destroy()
