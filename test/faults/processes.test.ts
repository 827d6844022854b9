// Processes that die, freeze and leave under load (faults.md, F1 to F8). The run checks what every scenario promises; here
// is what each adds: figures and what clients may and may not see.

import { expect, test, vi } from 'vitest'
import { eventually, type MemberProcess } from '../support/process-cluster.ts'
import { ELECTION_MS, FaultRun } from './support/fault-run.ts'

vi.setConfig({ testTimeout: 240_000 })

const READY_MS = 5000

test('a killed leader is replaced within 300 ms (F1)', async () => {
  await FaultRun.scenario('F1', { members: 3 }, async (run) => {
    await run.once(async () => {
      const leader = await run.leader(run.members)
      run.avoided.add(leader)
      await run.acknowledges(30)
      await run.loaded()
      const fromMs = performance.now()
      await run.cluster.kill(leader)
      await run.acknowledges(100)
      const gap = run.load.gap(fromMs - 100)
      const isMet = [
        run.meets('GAP', 300, gap),
        run.meets('SLOW', gap.ms + 250, run.load.slow(fromMs)),
      ]
      run.cluster.start(leader)
      await run.leader(run.members)
      run.avoided.clear()
      return isMet.every(Boolean)
    })
  })
})

test('a follower that is killed, or stopped and continued, is not noticed by clients (F2)', async () => {
  await FaultRun.scenario('F2', { members: 3 }, async (run) => {
    const leader = await run.leader()
    const [follower] = run.others(leader) as [MemberProcess]
    run.avoided.add(follower)
    await run.acknowledges(50)
    const { term } = await run.status(leader)
    for (const fault of ['killed', 'stopped'] as const) {
      await run.once(async () => {
        await run.loaded()
        const fromMs = performance.now()
        if (fault === 'killed') await run.cluster.kill(follower)
        else await run.freeze(follower)
        await run.acknowledges(200)
        const isMet = run.meets(`GAP, follower ${fault}`, 50, run.load.gap(fromMs))
        if (fault === 'killed') run.cluster.start(follower)
        else run.thaw(follower)
        await run.leader(run.members)
        return isMet
      })
    }
    run.note('ELEC', run.watch.changesAfter(term))
    expect(run.watch.changesAfter(term)).toBe(0)
    expect(run.load.withOutcome('failed'), 'requests that failed').toEqual([])
    expect(run.load.withOutcome('unknown'), 'requests nobody knows about').toEqual([])
  })
})

test('members killed all at once are back within 5 s, in any order (F3)', async () => {
  await FaultRun.scenario('F3', { members: 3 }, async (run) => {
    for (const order of [
      [0, 1, 2],
      [2, 0, 1],
    ]) {
      await run.once(async () => {
        await run.loaded()
        await Promise.all(run.members.map((member) => run.cluster.kill(member)))
        const fromMs = performance.now()
        for (const i of order) {
          run.cluster.start(run.members[i]!)
          await eventually(`${run.members[i]!.name} says something`, () =>
            run.members[i]!.child?.pid === undefined ? undefined : true,
          )
        }
        await Promise.all(run.members.map((member) => run.ready(member)))
        const toMs = performance.now()
        return run.meets('ready again', READY_MS, { ms: toMs - fromMs, fromMs, toMs })
      })
    }
  })
})

test('members terminated one after the other hand leadership over and lose no request (F4)', async () => {
  await FaultRun.scenario('F4', { members: 3 }, async (run) => {
    let isMet = false
    for (let i = 0; i < run.members.length; i++) {
      const leader = await run.leader(run.members)
      run.avoided.add(leader)
      await run.acknowledges(50)
      const { term } = await run.status(leader)
      const fromMs = performance.now()
      expect(await run.cluster.kill(leader, 'SIGTERM'), 'exit code').toBe(0)
      const toMs = performance.now()
      await run.acknowledges(50)
      // Starting a process takes both processors of a small machine: that is not the hand-over's.
      isMet = run.meets('GAP', 100, run.load.gap(fromMs - 50, toMs + 200)) || isMet
      expect(run.watch.changesAfter(term)).toBeGreaterThan(0)
      run.cluster.start(leader)
      await run.leader(run.members)
      run.avoided.clear()
    }
    expect(isMet, 'GAP of at least one of three').toBe(true)
    expect(run.load.withOutcome('failed'), 'requests that failed').toEqual([])
    expect(run.load.withOutcome('unknown'), 'requests nobody knows about').toEqual([])
  })
})

test('a leader frozen for five election timeouts is replaced and notices when it goes on (F6)', async () => {
  await FaultRun.scenario('F6', { members: 3 }, async (run) => {
    const leader = await run.leader()
    run.avoided.add(leader)
    await run.acknowledges(30)
    await run.loaded()
    const { term } = await run.status(leader)
    const fromMs = performance.now()
    await run.freeze(leader)
    await run.acknowledges(100)
    const isMet = run.meets('GAP', 2 * ELECTION_MS, run.load.gap(fromMs - 100))
    // Wait in its sockets: it finds them before it finds out that it slept.
    const early = Array.from({ length: 8 }, (_, i) => [
      run.load.run({ client: 'early', via: leader, request: { type: 'get', key: `key-${i % 5}` } }),
      run.load.run({
        client: 'early',
        via: leader,
        request: { type: 'put', key: 'early', value: `early-${i}` },
      }),
    ]).flat()
    const leftMs = 5 * ELECTION_MS - (performance.now() - fromMs)
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, leftMs)))
    const successor = await run.leader(run.others(leader))
    run.thaw(leader)
    run.avoided.clear()
    const ended = await Promise.all(early)
    run.note('answers to what waited', ended.map(({ outcome }) => outcome.type).join(' '))
    await run.acknowledges(100)
    expect((await run.leader(run.members)).name).toBe(successor.name)
    expect(run.watch.changesAfter(term)).toBe(1)
    expect(isMet).toBe(true)
  })
})

test('a leader whose event loop is blocked for two seconds is replaced once at most (F7)', async () => {
  const environment = { RAFTBASE_FAILPOINTS: '' }
  await FaultRun.scenario('F7', { members: 3, environment }, async (run) => {
    const leader = await run.leader()
    run.avoided.add(leader)
    await run.acknowledges(30)
    await run.loaded()
    const { term } = await run.status(leader)
    const fromMs = performance.now()
    await run.failpoint(leader, 'beforeAppliedIndex=sleep(2000)*1')
    await run.acknowledges(200)
    const isMet = run.meets('GAP', 2 * ELECTION_MS, run.load.gap(fromMs - 100))
    await eventually('the blocked leader answers again', async () =>
      (await run.status(leader)).term > term ? true : undefined,
    )
    run.avoided.clear()
    await run.acknowledges(100)
    run.note('ELEC', run.watch.changesAfter(term))
    expect(run.watch.changesAfter(term)).toBe(1)
    expect(isMet).toBe(true)
  })
})

test('requests under way through every member while the leader dies end soon and honestly (F8)', async () => {
  const load = { workers: 24, thinkMs: 0 }
  await FaultRun.scenario('F8', { members: 3, load }, async (run) => {
    await run.once(async () => {
      const leader = await run.leader(run.members)
      await run.loaded(200)
      const fromMs = performance.now()
      await run.cluster.kill(leader)
      await run.acknowledges(200)
      const slow = run.load.slow(fromMs)
      const pending = run.load.history.operations.filter(
        ({ startedMs, endedMs }) => startedMs < fromMs && (endedMs ?? Infinity) > fromMs,
      )
      run.note('under way when the leader died', pending.length)
      const isMet = run.meets('SLOW', 700, slow) && pending.length > 0
      run.cluster.start(leader)
      await run.leader(run.members)
      return isMet
    })
  })
})
