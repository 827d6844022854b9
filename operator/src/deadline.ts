// Deadlines and pauses over Timers, as AbortSignals: every request and every wait of the operator ends by one of them.

import type { Timers } from '../../lib/clock.ts'

/** A signal that is aborted with its parent, or once its time is over. Whoever made it cancels it. */
export class Deadline {
  readonly #controller = new AbortController()
  readonly #parent: AbortSignal | undefined
  readonly #cancelTimer: () => void
  readonly #onParentAbort: () => void
  #hasPassed = false

  constructor(options: {
    readonly timers: Timers
    readonly timeoutMs: number
    readonly signal?: AbortSignal | undefined
  }) {
    this.#parent = options.signal
    this.#onParentAbort = () => this.#controller.abort()
    const timer = options.timers.after(options.timeoutMs, () => {
      this.#hasPassed = true
      this.#controller.abort()
    })
    this.#cancelTimer = () => timer.cancel()
    if (this.#parent?.aborted === true) this.#controller.abort()
    else this.#parent?.addEventListener('abort', this.#onParentAbort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether the time was over first; false when the parent was aborted. */
  get hasPassed(): boolean {
    return this.#hasPassed
  }

  /** From now on only the parent ends it. */
  stopTimer(): void {
    this.#cancelTimer()
  }

  cancel(): void {
    this.#cancelTimer()
    this.#parent?.removeEventListener('abort', this.#onParentAbort)
  }
}

/** Resolves after `delayMs`, or at once when `signal` is aborted; never rejects. */
export function pause(timers: Timers, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const finish = () => {
      timer.cancel()
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = timers.after(delayMs, finish)
    signal.addEventListener('abort', finish, { once: true })
  })
}
