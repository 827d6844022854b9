// Turns elapsed monotonic time into ticks of the core. The process may have been stopped, or its event loop blocked, for
// any time: the ticks that were missed are made up for before the next input is handled, so that a leader that slept
// notices it before it acts as leader again (faults.md F6, F7).

import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'

export class Ticker {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #followerTicksMax: number
  #lastMs: number
  #timer: TimerHandle | undefined

  /**
   * @param options.followerTicksMax how many missed ticks a member that does not lead makes up for at once: fewer than
   *   an election timeout, so that the heartbeats waiting in its sockets are read before it campaigns.
   */
  constructor(options: { clock: Clock; tickMs: number; followerTicksMax: number }) {
    this.#clock = options.clock
    this.#tickMs = options.tickMs
    this.#followerTicksMax = options.followerTicksMax
    this.#lastMs = options.clock.monotonicMs()
  }

  /** Milliseconds since a tick was last due. */
  get ageMs(): number {
    return this.#clock.monotonicMs() - this.#lastMs
  }

  start(timers: Timers, onTick: () => void): void {
    this.#lastMs = this.#clock.monotonicMs()
    this.#timer = timers.every(this.#tickMs, onTick)
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** Whole ticks since the last call; 0 when less than one has passed. */
  due(leads: boolean): number {
    const ticks = Math.floor((this.#clock.monotonicMs() - this.#lastMs) / this.#tickMs)
    if (ticks <= 0) return 0
    this.#lastMs += ticks * this.#tickMs
    return leads ? ticks : Math.min(ticks, this.#followerTicksMax)
  }
}
