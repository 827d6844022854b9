// Random operations; what is compared is in comparison.ts. More seeds: MVCC_SEEDS=500 MVCC_FIRST_SEED=1000.

import { describe, expect, test } from 'vitest'
import { Comparison } from './comparison.ts'

const SEEDS = Number(process.env['MVCC_SEEDS'] ?? 12)
const FIRST_SEED = Number(process.env['MVCC_FIRST_SEED'] ?? 1)
const OPERATIONS = 700

describe('store', () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    test(`answers random operations as the naive model does, compacted and restored or not (seed ${seed})`, () => {
      const comparison = new Comparison(seed)
      for (let i = 0; i < OPERATIONS; i++) {
        comparison.step()
        if (i % 350 === 349) comparison.checkAll()
      }
      while (comparison.eager.compactStep(1000));
      comparison.checkAll()
      expect(comparison.eager.hash(0)).toEqual(comparison.lazy.hash(0))
    })
  }
})
