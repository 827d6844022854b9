// Whether a linearizable read of this member was answered lately. One small read a second in the background, and one at
// once when something has changed: a probe is answered from memory, however many ask.

import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'

export interface ReadinessOptions {
  /** One linearizable read. */
  readonly read: (timeoutMs: number) => Promise<unknown>
  readonly clock: Clock
  readonly timers: Timers
  readonly periodMs: number
  /** How long an answer counts, from when it was asked for. */
  readonly freshMs: number
  /** It became fresh, or stale. */
  readonly onChange: () => void
}

export class Readiness {
  readonly #options: ReadinessOptions
  #timer: TimerHandle | undefined
  #isAsking = false
  #confirmedAtMs: number | undefined
  #wasFresh = false

  constructor(options: ReadinessOptions) {
    this.#options = options
  }

  get isFresh(): boolean {
    const { clock, freshMs } = this.#options
    const at = this.#confirmedAtMs
    return at !== undefined && clock.monotonicMs() - at <= freshMs
  }

  start(): void {
    const { timers, periodMs, onChange } = this.#options
    this.#timer = timers.every(periodMs, () => {
      this.wake()
      // What else readiness depends on may have changed without a sound.
      onChange()
    })
    this.wake()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** Asks now, unless an answer is awaited. */
  wake(): void {
    this.#tell()
    if (this.#isAsking || this.#timer === undefined) return
    this.#isAsking = true
    void this.#ask()
  }

  async #ask(): Promise<void> {
    const { clock, read, freshMs } = this.#options
    const askedAtMs = clock.monotonicMs()
    try {
      await read(freshMs)
      this.#confirmedAtMs = askedAtMs
    } catch {
      // No leader, overload or a stop: what was confirmed before grows old, and the probe says so.
    }
    this.#isAsking = false
    this.#tell()
  }

  #tell(): void {
    const { isFresh } = this
    if (isFresh === this.#wasFresh) return
    this.#wasFresh = isFresh
    this.#options.onChange()
  }
}
