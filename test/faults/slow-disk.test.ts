// Disks that fail, crawl or jitter under real members (faults.md F26, F32, F33), by failpoints before the write to the log.

import { once } from 'node:events'
import { expect, test, vi } from 'vitest'
import type { MemberProcess } from '../support/process-cluster.ts'
import { lasting, sleep } from './support/duration.ts'
import { ELECTION_MS, FaultRun } from './support/fault-run.ts'

vi.setConfig({ testTimeout: 300_000 })

const CONTROLLED = { members: 3, environment: { RAFTBASE_FAILPOINTS: '' } } as const
const EXIT_MS = 100

test('a flush that fails ends the process at once, and nothing of its batch was acknowledged (F26)', async () => {
  await FaultRun.scenario('F26', CONTROLLED, async (run) => {
    for (const role of ['follower', 'leader'] as const) {
      await run.once(async () => {
        const leader = await run.leader(run.members)
        const member = role === 'leader' ? leader : run.others(leader)[0]!
        await run.loaded()
        const exited = once(member.child!, 'exit') as Promise<[number | null, string | null]>
        const ended = exited.then(([code]) => ({ code, atMs: performance.now() }))
        await run.failpoint(member, 'walBeforeWrite=error(DISK_FAILED)')
        const fromMs = performance.now()
        const { code, atMs } = await ended
        expect(code).toBe(1)
        expect(member.output).toContain('DISK_FAILED')
        run.cluster.start(member)
        await run.ready(member)
        const figure = { ms: Math.max(0, atMs - fromMs), fromMs, toMs: Math.max(fromMs, atMs) }
        return run.meets(`${role} ends after the failed flush`, EXIT_MS, figure)
      })
    }
  })
})

/** Acknowledged operations a second during `forMs`. */
async function rateDuring(run: FaultRun, forMs: number): Promise<number> {
  const before = run.load.acknowledged
  const fromMs = performance.now()
  await sleep(forMs)
  return (1000 * (run.load.acknowledged - before)) / (performance.now() - fromMs)
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

test('a follower that flushes a hundred times slower slows nobody down (F32)', async () => {
  const load = { workers: 8, thinkMs: 0 }
  await FaultRun.scenario('F32', { ...CONTROLLED, load }, async (run) => {
    const leader = await run.leader(run.members)
    const [slow] = run.others(leader) as [MemberProcess]
    run.avoided.add(slow)
    const { term } = await run.status(leader)
    const { residentBytes } = await run.status(slow)
    await run.loaded()
    await run.once(async () => {
      // In turn, because what else the machine does changes all the time.
      const normal: number[] = []
      const slowed: number[] = []
      for (let i = 0; i < 3; i++) {
        slow.child!.send({ failpoints: '' })
        normal.push(await rateDuring(run, lasting({ quick: 1.5, long: 5 })))
        await run.failpoint(slow, 'walBeforeWrite=sleep(60)')
        slowed.push(await rateDuring(run, lasting({ quick: 1.5, long: 5 })))
      }
      const share = median(slowed) / median(normal)
      run.note('operations a second, normal', normal.map(Math.round).join(' '))
      run.note('operations a second, slow follower', slowed.map(Math.round).join(' '))
      run.note('rate kept', `${Math.round(100 * share)} % (limit 90 %)`)
      return share >= 0.9
    })
    slow.child!.send({ failpoints: '' })
    const grownMiB = ((await run.status(slow)).residentBytes - residentBytes) / 1024 / 1024
    run.note('memory of the slow follower grew by', `${Math.round(grownMiB)} MiB`)
    expect(grownMiB).toBeLessThan(100)
    expect(run.watch.changesAfter(term)).toBe(0)
  })
})

/** The time that 99 of 100 probes acknowledged since then took at most. */
function p99(run: FaultRun, fromMs: number): number {
  const times = run.load.probes
    .filter(({ startedMs, outcome }) => startedMs >= fromMs && outcome.type === 'done')
    .map(({ startedMs, endedMs }) => endedMs! - startedMs)
    .toSorted((a, b) => a - b)
  return times[Math.floor(times.length * 0.99)] ?? Number.POSITIVE_INFINITY
}

test('a leader whose flushes take up to two seconds loses the lead, and writes go on (F33)', async () => {
  await FaultRun.scenario('F33 leader', CONTROLLED, async (run) => {
    const leader = await run.leader(run.members)
    run.avoided.add(leader)
    const { term } = await run.status(leader)
    await run.loaded()
    const beforeMs = performance.now()
    await sleep(lasting({ quick: 2, long: 10 }))
    const normal = p99(run, beforeMs)
    const fromMs = performance.now()
    await run.failpoint(leader, 'walBeforeWrite=sleep(100..2000)')
    await sleep(lasting({ quick: 6, long: 30 }))
    const toMs = performance.now()
    run.note(
      'p99',
      `${normal.toFixed(0)} ms before, ${p99(run, fromMs).toFixed(0)} ms with the slow disk`,
    )
    run.note('ELEC', run.watch.changesAfter(term))
    const gap = run.load.gap(fromMs)
    expect(run.meets('GAP', 2 * ELECTION_MS + 200, gap)).toBe(true)
    const figure = { ms: p99(run, fromMs), fromMs, toMs }
    expect(run.meets('p99 within three times', Math.max(3 * normal, 50), figure)).toBe(true)
    expect((await run.leader(run.others(leader))).name).not.toBe(leader.name)
    leader.child!.send({ failpoints: '' })
  })
})

test('flushes that jitter up to 200 ms everywhere elect nobody (F33)', async () => {
  await FaultRun.scenario('F33 jitter', CONTROLLED, async (run) => {
    const { term } = await run.status(await run.leader(run.members))
    await run.loaded()
    for (const member of run.members) await run.failpoint(member, 'walBeforeWrite=sleep(0..200)')
    const fromMs = performance.now()
    await sleep(lasting({ quick: 6, long: 30 }))
    const toMs = performance.now()
    run.note('ELEC', run.watch.changesAfter(term))
    // A write waits for the flush that is under way and for its own, at most.
    const figure = { ms: p99(run, fromMs), fromMs, toMs }
    expect(run.meets('p99 within three times the jitter', 600, figure)).toBe(true)
    expect(run.watch.changesAfter(term)).toBe(0)
    for (const member of run.members) member.child!.send({ failpoints: '' })
  })
})
