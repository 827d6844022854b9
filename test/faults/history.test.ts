// History that goes while everything else goes on, with real members: processes that end in the middle of a compaction (faults.md
// F35), and memory that stays where it is while keys are rewritten all the time (F59).

import { once } from 'node:events'
import { expect, test, vi } from 'vitest'
import { eventually, type MemberProcess } from '../support/process-cluster.ts'
import { Churner } from './support/churner.ts'
import { IS_LONG, lasting, sleep } from './support/duration.ts'
import { FaultRun, PATIENCE_MS } from './support/fault-run.ts'

const CHURN_MS = lasting({ quick: 6, long: Number(process.env['RAFTBASE_FAULT_SECONDS'] ?? 1800) })

vi.setConfig({ testTimeout: 180_000 + 2 * CHURN_MS })

/** Revisions that make more than a few steps of a compaction. */
const REVISIONS = 1600
/** What a member may still hold of a state that is far smaller, in bytes: slabs that are three quarters full, and open ones. */
const STATE_BYTES_MAX = 2 * 1024 * 1024
const CHURN_BYTES_MIN = 3 * STATE_BYTES_MAX
/** Growth of a process, in bytes an hour; and what one collection of garbage more or less makes of a single figure. */
const GROWTH_BYTES_MAX = 1024 * 1024
const NOISE_BYTES = 2 * 1024 * 1024

const ROLES = ['leader', 'follower'] as const

interface Answer {
  readonly status: number
  readonly code?: string
  readonly compactRevision?: number
}

async function compact(member: MemberProcess, revision: number): Promise<Answer> {
  const response = await fetch(`${member.api}/v1/compaction`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ revision }),
  })
  return { ...((await response.json()) as object), status: response.status }
}

interface Figures {
  readonly revision: number
  readonly compactRevision: number
  readonly stateBytes: number
  readonly residentBytes: number
}

async function figuresOf(member: MemberProcess): Promise<Figures> {
  const response = await fetch(`${member.api}/v1/status`)
  return (await response.json()) as Figures
}

/** Where a member ends: after the first step, and further on. */
const PLACES = ['compactionStep=exit', 'compactionStep=exit@4'] as const

test('a member that ends in the middle of a compaction loses no key and brings none back (F35)', async () => {
  const options = {
    members: 3,
    flags: ['-snapshot-log-bytes=262144'],
    environment: { RAFTBASE_FAILPOINTS: '' },
    load: { workers: 4, keys: 4, probeEveryMs: 0, timeoutMs: 5000 },
    rate: 20,
  } as const
  await FaultRun.scenario('F35', options, async (run) => {
    for (const [round, place] of PLACES.entries()) {
      for (const role of IS_LONG ? ROLES : [ROLES[round % 2]!]) {
        const leader = await run.leader(run.members)
        const dying = role === 'leader' ? leader : run.others(leader)[0]!
        const asked = run.others(dying)[0]!
        await Churner.revisions({ run, via: asked, count: REVISIONS })
        const { revision } = await figuresOf(asked)
        const ended = once(dying.child!, 'exit')
        const reached = run.failpoint(dying, place)
        const answer = await compact(asked, revision - 50)
        // The answer may be lost with the leader; that it has been done is told by asking again.
        expect([200, 410, 503, 504]).toContain(answer.status)
        await Promise.all([reached, ended])
        run.cluster.start(dying)
        await run.ready(dying)
        const again = await compact(dying, revision - 50)
        expect([200, 410]).toContain(again.status)
        await eventually(
          'compacted on all',
          async () => {
            const all = await Promise.all(run.members.map(figuresOf))
            return all.every(({ compactRevision }) => compactRevision === revision - 50)
              ? true
              : undefined
          },
          { timeoutMs: PATIENCE_MS, explain: () => run.explain() },
        )
        run.note(`round ${round + 1}`, `${role} ended at ${place}, compacted to ${revision - 50}`)
      }
    }
  })
})

test('rewriting keys for ever takes no more memory, with compaction and snapshots (F59)', async () => {
  const options = {
    members: 3,
    flags: ['-snapshot-log-bytes=4194304', '-auto-compaction-retention=1s'],
    load: { workers: 2, keys: 3, probeEveryMs: 0, thinkMs: 50, timeoutMs: 5000 },
    rate: 5,
  } as const
  await FaultRun.scenario('F59', options, async (run) => {
    const churner = new Churner({ run, workers: 6, keys: 40, valueBytes: 8000 })
    const samples: (readonly Figures[])[] = []
    const fromMs = performance.now()
    churner.start()
    try {
      const lasts = (ms: number): boolean => performance.now() - fromMs < ms
      // However slow the machine is: enough of it that keeping it would show.
      while (
        lasts(CHURN_MS) ||
        (churner.bytes < CHURN_BYTES_MIN && lasts(CHURN_MS + PATIENCE_MS))
      ) {
        await sleep(IS_LONG ? 5000 : 500)
        samples.push(await Promise.all(run.members.map(figuresOf)))
      }
    } finally {
      await churner.stop()
    }
    await run.load.stop()
    // Once nothing happens any more, all but the present goes within the retention and one look.
    const rested = await eventually(
      'all history is gone',
      async () => {
        const all = await Promise.all(run.members.map(figuresOf))
        const isGone = all.every(({ revision, compactRevision }) => revision === compactRevision)
        return isGone && all.every(({ stateBytes }) => stateBytes < STATE_BYTES_MAX)
          ? all
          : undefined
      },
      { timeoutMs: PATIENCE_MS, everyMs: 200, explain: () => run.explain() },
    )
    run.note('written', `${megabytes(churner.bytes)} MB in ${churner.count} writes`)
    for (const [i, member] of run.members.entries()) {
      const of = samples.map((sample) => sample[i]!)
      const most = Math.max(...of.map(({ stateBytes }) => stateBytes))
      const { stateBytes } = rested[i]!
      run.note(
        `${member.name} state`,
        `at most ${megabytes(most)} MB, ${megabytes(stateBytes)} MB at rest`,
      )
      if (!IS_LONG) continue
      const growth = growthOf(of.map(({ residentBytes }) => residentBytes))
      const hours = (growth.spans * CHURN_MS) / 3_600_000
      const limit = GROWTH_BYTES_MAX * hours + NOISE_BYTES
      run.note(
        `${member.name} resident`,
        `${megabytes(growth.bytes)} MB more, limit ${megabytes(limit)} MB`,
      )
      expect(growth.bytes, `${member.name} grows`).toBeLessThan(limit)
    }
    expect(churner.bytes).toBeGreaterThanOrEqual(CHURN_BYTES_MIN)
    const compactions = run.members.filter(({ output }) => output.includes('history compacted'))
    expect(compactions.length).toBeGreaterThan(0)
  })
})

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}

/** The least of the last quarter against the least of the one before: half of the time is for warming up. */
function growthOf(figures: readonly number[]): { readonly bytes: number; readonly spans: number } {
  const quarter = Math.floor(figures.length / 4)
  const least = (from: number): number => Math.min(...figures.slice(from, from + quarter))
  return { bytes: least(3 * quarter) - least(2 * quarter), spans: 0.25 }
}
