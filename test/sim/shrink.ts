// Finds the fewest faults that still make a run fail in the same way: takes away halves, quarters, … down to single ones
// (delta debugging), as long as there is patience left. The cluster and its clients stay those of the seed.

import type { Plan } from './plan.ts'
import { type RunFailure, runPlan } from './run.ts'

export interface Shrunk {
  /** Numbers of the faults that are left. */
  readonly faults: readonly number[]
  readonly failure: RunFailure
  readonly runs: number
}

export async function shrink(options: {
  readonly plan: Plan
  readonly failure: RunFailure
  readonly runsMax: number
}): Promise<Shrunk> {
  const search = new Search(options)
  await search.run()
  return search
}

class Search implements Shrunk {
  readonly #plan: Plan
  readonly #runsMax: number
  faults: readonly number[]
  failure: RunFailure
  runs = 0

  constructor(options: { plan: Plan; failure: RunFailure; runsMax: number }) {
    this.#plan = options.plan
    this.#runsMax = options.runsMax
    this.failure = options.failure
    this.faults = options.plan.faults.map((_, i) => i)
  }

  async run(): Promise<void> {
    if (await this.#fails([])) return
    let size = Math.ceil(this.faults.length / 2)
    while (size >= 1 && !this.#isTired) {
      const isShorter = await this.#pass(size)
      if (size > 1) size = Math.ceil(size / 2)
      else if (!isShorter) return
    }
  }

  get #isTired(): boolean {
    return this.runs >= this.#runsMax
  }

  /** Tries to do without each stretch of `size` faults; returns whether it could without any. */
  async #pass(size: number): Promise<boolean> {
    let isShorter = false
    let at = 0
    while (at < this.faults.length && !this.#isTired) {
      const left = [...this.faults.slice(0, at), ...this.faults.slice(at + size)]
      if (await this.#fails(left)) isShorter = true
      else at += size
    }
    return isShorter
  }

  async #fails(faults: readonly number[]): Promise<boolean> {
    this.runs++
    const { failure } = await runPlan({ plan: this.#plan, faults })
    if (failure?.checker !== this.failure.checker) return false
    this.failure = failure
    this.faults = faults
    return true
  }
}
