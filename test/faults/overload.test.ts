// Ten times the load that a cluster can bear (faults.md F43): what is too much is refused early, what is not is done as before,
// nobody is elected, and it is over when the load is. Applying is slowed down, so that ten times the load is something that this
// machine can offer, and the members refuse, while they do what they can; capacity is measured in the same run, before and after.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test, vi } from 'vitest'
import { eventually } from '../support/process-cluster.ts'
import { lasting } from './support/duration.ts'
import { FaultRun, PATIENCE_MS } from './support/fault-run.ts'
import type { FloodCount, FloodOrder } from './support/flood.ts'

vi.setConfig({ testTimeout: 300_000 })

const SLOW = 'beforeApply=sleep(3)'
/** Of each member: enough to keep it busy, and enough for ten times that rate. */
const BUSY_CONNECTIONS = 64
const FLOOD_CONNECTIONS = 400
const READ_PERCENT = 20
const GOODPUT_MIN = 0.85
const RECOVERY_MS = 5000
/** What a request waits for its turn under a standing overload, what was begun before it takes, and what the machine is. */
const REFUSED_MS = 1000
const GROWTH_MIB_MAX = 256

interface Flooded extends FloodCount {
  /** Done a second, of the time in which no process had to wait for a processor. */
  readonly rate: number
  readonly fromMs: number
  readonly toMs: number
}

class FloodProgram {
  readonly #child = fork(fileURLToPath(new URL('support/flood.ts', import.meta.url)))
  readonly #run: FaultRun

  constructor(run: FaultRun) {
    this.#run = run
  }

  async obey(order: Omit<FloodOrder, 'ports' | 'readPercent'>): Promise<Flooded> {
    const ports = this.#run.members.map(({ apiPort }) => apiPort)
    this.#child.send({ ...order, ports, readPercent: READ_PERCENT } satisfies FloodOrder)
    const [count] = (await once(this.#child, 'message')) as [FloodCount]
    const toMs = performance.now()
    const fromMs = toMs - 1000 * order.seconds
    const heldUpMs = this.#run.stalls.between(fromMs, toMs)
    const rate = count.done.count / (order.seconds - heldUpMs / 1000)
    return { ...count, rate, fromMs, toMs }
  }

  stop(): void {
    this.#child.kill()
  }
}

function rounded(count: FloodCount): string {
  return JSON.stringify(count, (_, value: unknown) =>
    typeof value === 'number' ? Math.round(value * 100) / 100 : value,
  )
}

async function residentMiB(run: FaultRun): Promise<number> {
  const all = await Promise.all(run.members.map((member) => run.status(member)))
  return Math.max(...all.map(({ residentBytes }) => residentBytes)) / 2 ** 20
}

/** Figures of one flood at ten times the capacity; returns whether they are met. */
async function overload(run: FaultRun, flood: FloodProgram): Promise<boolean> {
  const seconds = lasting({ quick: 6, long: 60 }) / 1000
  const busy = { seconds: 3, connections: BUSY_CONNECTIONS }
  const before = await flood.obey(busy)
  const { term } = await run.status(await run.leader(run.members))
  const grownFromMiB = await residentMiB(run)
  const perSecond = Math.round((10 * before.done.count) / busy.seconds)
  const over = await flood.obey({ seconds, connections: FLOOD_CONNECTIONS, perSecond })
  await eventually(
    'probes are answered at their own pace again',
    () => (run.load.rate >= 80 ? true : undefined),
    { timeoutMs: PATIENCE_MS, everyMs: 20, explain: () => run.explain() },
  )
  // The rate is that of the last second.
  const recoveredMs = Math.max(over.toMs, performance.now() - 1000)
  const grownMiB = (await residentMiB(run)) - grownFromMiB
  const changes = run.watch.changesAfter(term)
  const after = await flood.obey(busy)
  const capacity = (before.rate + after.rate) / 2
  const goodput = over.rate / capacity
  run.note('sustainable', `${Math.round(before.rate)} and ${Math.round(after.rate)} a second`)
  run.note('ten times that', rounded(over))
  run.note('goodput', `${Math.round(100 * goodput)} % (limit ${100 * GOODPUT_MIN} %)`)
  run.note('memory grew by', `${Math.round(grownMiB)} MiB`)
  run.note('ELEC', changes)
  // Far more was sent than can be done, and nothing was left in doubt.
  const isOverload = over.sent > 5 * over.done.count
  const isDefinite = Object.keys(over.other).length === 0
  const { fromMs, toMs } = over
  const isEarly = run.meets('refused, p99', REFUSED_MS, { ms: over.refused.p99Ms, fromMs, toMs })
  const recovery = { ms: recoveredMs - toMs, fromMs: toMs, toMs: recoveredMs }
  const isQuick = run.meets('recovery', RECOVERY_MS, recovery)
  const isBounded = grownMiB < GROWTH_MIB_MAX
  const isKept = goodput >= GOODPUT_MIN && changes === 0
  return isOverload && isDefinite && isEarly && isQuick && isBounded && isKept
}

test('ten times the load is refused early, elects nobody and is over at once (F43)', async () => {
  const options = { members: 3, load: { workers: 2 }, environment: { RAFTBASE_FAILPOINTS: '' } }
  await FaultRun.scenario('F43', options, async (run) => {
    const flood = new FloodProgram(run)
    try {
      for (const member of run.members) await run.failpoint(member, SLOW)
      // Connections are made once.
      await flood.obey({ seconds: 3, connections: FLOOD_CONNECTIONS })
      await run.once(() => overload(run, flood))
    } finally {
      flood.stop()
    }
    for (const member of run.members) await run.failpoint(member, '')
  })
})
