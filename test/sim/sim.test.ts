// The simulator's part of every test run: a fixed set of seeds, those that once found a bug, and the proof that a seed means
// one run. `make sim` goes on from here with fresh seeds.

import { expect, test } from 'vitest'
import { planOf } from './plan.ts'
import { runPlan } from './run.ts'
import { knownSeeds } from './seeds.ts'

/** About 1,200 virtual seconds. */
const SEEDS = Array.from({ length: 12 }, (_, i) => 1001 + i)

async function mustHold(seed: number): Promise<number> {
  const { failure, virtualMs } = await runPlan({ plan: planOf(seed) })
  if (failure !== undefined) {
    throw new Error(`${failure.checker}: ${failure.what}; replay with: make sim SEED=${seed}`)
  }
  return virtualMs
}

test('whole clusters keep every promise under random faults (F35, F50, F57)', {
  timeout: 120_000,
}, async () => {
  let virtualMs = 0
  for (const seed of SEEDS) virtualMs += await mustHold(seed)
  expect(virtualMs).toBeGreaterThan(800_000)
})

test.for(knownSeeds())(
  'seed $seed holds that once showed: $found',
  { timeout: 60_000 },
  async ({ seed }) => {
    expect(await mustHold(seed)).toBeGreaterThan(0)
  },
)

test('the same seed gives the same trace, byte for byte', { timeout: 60_000 }, async () => {
  for (const seed of [6, 1004]) {
    const [one, other] = [
      await runPlan({ plan: planOf(seed), traceLevel: 'all' }),
      await runPlan({ plan: planOf(seed), traceLevel: 'all' }),
    ]
    expect(one.trace.length).toBeGreaterThan(1000)
    expect(other.trace.join('\n')).toBe(one.trace.join('\n'))
    expect(other.digest).toBe(one.digest)
  }
})

test('another seed gives another trace', async () => {
  const [one, other] = [await runPlan({ plan: planOf(3) }), await runPlan({ plan: planOf(4) })]
  expect(other.digest).not.toBe(one.digest)
})
