// Long work that lets the event loop turn: how often, and that a log of any length is read in such slices.

import { expect, test } from 'vitest'
import type { Clock, Timers } from '../../../lib/clock.ts'
import { Breather } from '../../../member/src/node/breather.ts'

/** Every look at the clock is a millisecond of work. */
class WorkingClock implements Clock, Timers {
  nowMs = 0
  turns = 0

  monotonicMs(): number {
    return this.nowMs++
  }

  wallMs(): number {
    return this.nowMs
  }

  after(): never {
    throw new Error('no timer is needed')
  }

  every(): never {
    throw new Error('no timer is needed')
  }

  endOfTurn(callback: () => void): void {
    this.turns++
    queueMicrotask(callback)
  }
}

test('a slice of work ends after five milliseconds, and the next begins with the next turn', async () => {
  const clock = new WorkingClock()
  const breather = new Breather(clock, clock)
  let pauses = 0
  for (let i = 0; i < 1000; i++) {
    const pause = breather.pause()
    if (pause === undefined) continue
    pauses++
    await pause
  }
  expect(pauses).toBe(clock.turns)
  // Five looks a slice and one at its end.
  expect(pauses).toBeGreaterThanOrEqual(1000 / 6 - 1)
  expect(pauses).toBeLessThanOrEqual(1000 / 5)
})

test('work that takes no time is never interrupted', () => {
  const clock = new WorkingClock()
  const breather = new Breather({ monotonicMs: () => 7, wallMs: () => 7 }, clock)
  for (let i = 0; i < 1000; i++) expect(breather.pause()).toBeUndefined()
  expect(clock.turns).toBe(0)
})
