// Everything together (F57): faults at random under load, with small snapshots and a small log. A few seconds in every run of
// the tests; RAFTBASE_FAULT_SECONDS makes it minutes or a night, RAFTBASE_FAULT_SEED chooses other faults.

import { expect, test, vi } from 'vitest'
import { Churn } from './support/churn.ts'
import { IS_LONG, LEFT_TO_LONG } from './support/duration.ts'
import { FaultRun } from './support/fault-run.ts'
import { Nemesis } from './support/nemesis.ts'

const SECONDS = Number(process.env['RAFTBASE_FAULT_SECONDS'] ?? (IS_LONG ? 60 : 8))
const SEED = Number(process.env['RAFTBASE_FAULT_SEED'] ?? Date.now() % 1_000_000)
/** Fewer are no mixture. */
const KINDS_MIN = 4

vi.setConfig({ testTimeout: 90_000 + 2000 * SECONDS })

test.each(IS_LONG ? [3, 1, 5] : [3, 1])(
  '%i members under faults at random keep every promise (F57)',
  async (members) => {
    const seconds = members === 3 ? SECONDS : SECONDS / 2
    await FaultRun.scenario(
      `F57/${members}`,
      {
        members,
        flags: ['-snapshot-log-bytes=65536'],
        environment: { RAFTBASE_FAILPOINTS: '' },
        load: { workers: 8, keys: 4, valueBytes: 600, timeoutMs: 2000 },
      },
      async (run) => {
        const nemesis = new Nemesis(run, SEED + members)
        await nemesis.rage(seconds * 1000, KINDS_MIN)
        run.note('seed and faults', `${SEED}: ${nemesis.summary}`)
        expect(nemesis.counts.size, 'kinds of faults').toBeGreaterThanOrEqual(KINDS_MIN)
      },
    )
  },
)

if (!IS_LONG) console.log(`skipped, F57 with changes of membership: ${LEFT_TO_LONG}`)
test.runIf(IS_LONG)(
  'a membership that changes all the while stays one cluster (F50 to F53, F57)',
  async () => {
    await FaultRun.scenario(
      'F57 membership',
      {
        members: 3,
        spares: 1,
        flags: ['-snapshot-log-bytes=65536'],
        environment: { RAFTBASE_FAILPOINTS: '' },
        load: { workers: 6, keys: 4, valueBytes: 600, timeoutMs: 2000 },
      },
      async (run) => {
        const nemesis = new Nemesis(run, SEED + 7)
        const churn = new Churn(run, nemesis)
        let isOver = false
        const changing = churn.goOn(() => isOver)
        await Promise.race([nemesis.rage(SECONDS * 1000), changing])
        isOver = true
        await changing
        const { promoted, unanswered } = churn
        run.note('seed and faults', `${SEED}: ${nemesis.summary}`)
        run.note('changes', `${promoted} times in and out, ${unanswered} calls without an answer`)
        expect(promoted).toBeGreaterThan(0)
      },
    )
  },
)
