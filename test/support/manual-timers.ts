// Clock and Timers that stand still until a test moves them.

import type { Clock, TimerHandle, Timers } from '../../lib/clock.ts'

interface Pending {
  readonly callback: () => void
  readonly periodMs: number | undefined
  dueMs: number
}

export class ManualTimers implements Timers, Clock {
  #nowMs = 0
  #pending = new Set<Pending>()

  /** Timers that are set. */
  get count(): number {
    return this.#pending.size
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): TimerHandle {
    return this.#add({ callback, periodMs: undefined, dueMs: this.#nowMs + delayMs })
  }

  every(periodMs: number, callback: () => void): TimerHandle {
    return this.#add({ callback, periodMs, dueMs: this.#nowMs + periodMs })
  }

  endOfTurn(callback: () => void): void {
    queueMicrotask(callback)
  }

  /** Fires what falls due within `ms`, in the order it does. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      let next: Pending | undefined
      for (const timer of this.#pending) {
        if (timer.dueMs <= endMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer
      }
      if (next === undefined) break
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      if (next.periodMs === undefined) this.#pending.delete(next)
      else next.dueMs += next.periodMs
      next.callback()
    }
    this.#nowMs = endMs
  }

  #add(timer: Pending): TimerHandle {
    this.#pending.add(timer)
    return { cancel: () => void this.#pending.delete(timer) }
  }
}
