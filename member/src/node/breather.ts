// Lets the event loop turn during long work that has no wait of its own: status and probes are answered meanwhile.

import type { Clock, Timers } from '../../../lib/clock.ts'

/** How long work may hold the event loop, in milliseconds: several such slices fit what a status may take. */
const SLICE_MS = 5

export class Breather {
  readonly #clock: Clock
  readonly #timers: Timers
  #sinceMs: number

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock
    this.#timers = timers
    this.#sinceMs = clock.monotonicMs()
  }

  /** A promise to wait for when a slice is over; undefined otherwise. */
  pause(): Promise<void> | undefined {
    if (this.#clock.monotonicMs() - this.#sinceMs < SLICE_MS) return undefined
    return new Promise((resolve) => {
      this.#timers.endOfTurn(() => {
        this.#sinceMs = this.#clock.monotonicMs()
        resolve()
      })
    })
  }
}
