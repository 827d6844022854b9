// Random histories of whole clusters of cores. A seed that fails replays with
// RAFTBASE_CHAOS_SEED=<seed> npx vitest run test/member/raft/chaos.test.ts

import { expect, test } from 'vitest'
import { runChaos } from './chaos.ts'

const STEPS = 1000
/** About ten seconds on two cores. */
const SEEDS = 400
/** It computes all the time: on a busy machine that takes long. */
const TIMEOUT_MS = 180_000

/** Seeds that found something: see docs/testing.md. */
const FOUND = [1489, 7175, 14_230]

function seeds(): readonly number[] {
  const given = process.env.RAFTBASE_CHAOS_SEED
  if (given !== undefined) return [Number(given)]
  return [...FOUND, ...Array.from({ length: SEEDS }, (_, i) => i + 1)]
}

test(
  'whatever is lost, doubled, reordered or crashes, the invariants of Figure 3 hold and progress follows',
  () => {
    for (const seed of seeds()) {
      try {
        runChaos({ seed, steps: STEPS })
      } catch (cause) {
        throw new Error(`replay with RAFTBASE_CHAOS_SEED=${seed}`, { cause })
      }
    }
    expect(seeds().length).toBeGreaterThan(0)
  },
  TIMEOUT_MS,
)
