// Everything together (F57): faults at random under load, with small snapshots and a small log. A few seconds in every run of
// the tests; RAFTBASE_FAULT_SECONDS makes it minutes or a night, RAFTBASE_FAULT_SEED chooses other faults.

import { expect, test, vi } from 'vitest'
import { IS_LONG } from './support/duration.ts'
import { FaultRun } from './support/fault-run.ts'
import { Nemesis } from './support/nemesis.ts'

const SECONDS = Number(process.env['RAFTBASE_FAULT_SECONDS'] ?? (IS_LONG ? 60 : 8))
const SEED = Number(process.env['RAFTBASE_FAULT_SEED'] ?? Date.now() % 1_000_000)

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
        await nemesis.rage(seconds * 1000)
        run.note('seed and faults', `${SEED}: ${nemesis.summary}`)
        expect(nemesis.counts.size, 'kinds of faults that happened').toBeGreaterThan(3)
      },
    )
  },
)
