// How long to wait before trying again. Randomised, so that many who failed together do not come back together.

import { invariant } from '../../../lib/assert.ts'
import type { Prng } from '../../../lib/prng.ts'

export interface BackoffOptions {
  readonly baseMs: number
  readonly maxMs: number
  readonly prng: Prng
}

const RESOLUTION = 1_000_000

/** A uniform value in [0, 1). */
export function fraction(prng: Prng): number {
  return prng.next(RESOLUTION) / RESOLUTION
}

/**
 * Exponential with full jitter: a uniform delay up to `baseMs * 2^(attempt-1)`, never above `maxMs`, at least a tenth of
 * `baseMs`. `attempt` counts failures in a row, from 1.
 */
export function fullJitterMs(attempt: number, { baseMs, maxMs, prng }: BackoffOptions): number {
  invariant(attempt >= 1, 'attempt is below one', { attempt })
  const ceilingMs = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30))
  return Math.max(baseMs / 10, fraction(prng) * ceilingMs)
}

/** Decorrelated jitter: each delay lies between `baseMs` and three times the one before it, never above `maxMs`. */
export class DecorrelatedBackoff {
  readonly #options: BackoffOptions
  #previousMs: number

  constructor(options: BackoffOptions) {
    this.#options = options
    this.#previousMs = options.baseMs
  }

  nextMs(): number {
    const { baseMs, maxMs, prng } = this.#options
    const ceilingMs = Math.min(maxMs, this.#previousMs * 3)
    this.#previousMs = baseMs + fraction(prng) * Math.max(0, ceilingMs - baseMs)
    return this.#previousMs
  }

  reset(): void {
    this.#previousMs = this.#options.baseMs
  }
}
