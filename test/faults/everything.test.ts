// Everything together (F57): faults at random under load, with small snapshots and a small log, while an operator changes the
// membership, replaces lost disks, moves members to other peer URLs, rewrites configuration files, hands leadership over and
// finalizes. A few seconds in every run of the tests; RAFTBASE_FAULT_SECONDS makes it minutes or a night, RAFTBASE_FAULT_SEED
// chooses other faults.

import { expect, test, vi } from 'vitest'
import type { MemberProcess } from '../support/process-cluster.ts'
import { withConfigFile } from './support/config-rewriter.ts'
import { IS_LONG, LEFT_TO_LONG } from './support/duration.ts'
import { FaultRun } from './support/fault-run.ts'
import { Nemesis } from './support/nemesis.ts'
import { Operations } from './support/operations.ts'

const SECONDS = Number(process.env['RAFTBASE_FAULT_SECONDS'] ?? (IS_LONG ? 60 : 5))
const SEED = Number(process.env['RAFTBASE_FAULT_SEED'] ?? Date.now() % 1_000_000)
/** Fewer are no mixture. */
const KINDS_MIN = 4

vi.setConfig({ testTimeout: 120_000 + 3000 * SECONDS })

const BASE = {
  flags: ['-snapshot-log-bytes=65536'],
  load: { workers: 8, keys: 4, valueBytes: 600, timeoutMs: 2000 },
} as const

if (!IS_LONG) console.log(`skipped, F57 with five members: ${LEFT_TO_LONG}`)
const configured = (member: MemberProcess) => ({
  RAFTBASE_FAILPOINTS: '',
  ...withConfigFile(member),
})

test.each(IS_LONG ? [3, 5] : [3])(
  '%i members under faults at random, while an operator changes everything, keep every promise (F50 to F53, F57)',
  async (members) => {
    const seconds = members === 3 ? SECONDS : SECONDS / 2
    const options = { ...BASE, members, spares: 1, environment: configured }
    await FaultRun.scenario(`F57/${members}`, options, async (run) => {
      const nemesis = new Nemesis(run, SEED + members)
      const operations = new Operations(run, nemesis)
      let isOver = false
      const operating = operations.goOn(() => isOver)
      await Promise.race([nemesis.rage(seconds * 1000, KINDS_MIN), operating])
      isOver = true
      await operating
      await operations.settled()
      run.note('seed and faults', `${SEED}: ${nemesis.summary}`)
      run.note('operations', operations.summary)
      expect(nemesis.counts.size, 'kinds of faults').toBeGreaterThanOrEqual(KINDS_MIN)
      const wanted = [
        'configured',
        'disk lost',
        'peer URL updated',
        'came and went',
        'answers lost',
      ]
      expect(wanted.filter((what) => (operations.counts.get(what) ?? 0) === 0)).toEqual([])
    })
  },
)

test('one member under faults at random keeps every promise (F57)', async () => {
  const options = { ...BASE, members: 1, environment: { RAFTBASE_FAILPOINTS: '' } }
  await FaultRun.scenario('F57/1', options, async (run) => {
    const nemesis = new Nemesis(run, SEED + 1)
    await nemesis.rage(SECONDS * 500, KINDS_MIN)
    run.note('seed and faults', `${SEED}: ${nemesis.summary}`)
    expect(nemesis.counts.size, 'kinds of faults').toBeGreaterThanOrEqual(KINDS_MIN)
  })
})
