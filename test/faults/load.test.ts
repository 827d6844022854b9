// What the figures of a run are made of.

import { expect, test } from 'vitest'
import { DEFAULT_LOAD, Load } from './support/load.ts'

test('a stretch in which no probe was acknowledged is one long gap, and no gap of 0', () => {
  const load = new Load({ ...DEFAULT_LOAD, endpoints: () => [] })
  const nowMs = performance.now()
  expect(load.gap(nowMs - 500).ms).toBeGreaterThanOrEqual(500)
  expect(load.gap(nowMs - 500, nowMs - 200).ms).toBe(300)
})
