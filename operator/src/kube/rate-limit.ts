// Our own limit on requests to the API server: a token bucket with two lanes. Renewals of the Lease pass everybody who
// waits, so that a burst of work never costs leadership. When the server asks to slow down, the normal lane pauses.

import { BoundedQueue } from '../../../lib/bounded-queue.ts'
import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'
import { KubeError } from './errors.ts'

const WAITING_MAX = 1000
const PAUSE_MS_MAX = 30_000

export interface RateLimitOptions {
  readonly clock: Clock
  readonly timers: Timers
  readonly requestsPerSecond: number
  readonly burst: number
}

interface Waiting {
  readonly grant: () => void
  readonly isGone: () => boolean
}

export class RateLimit {
  readonly #options: RateLimitOptions
  readonly #lanes = {
    lease: new BoundedQueue<Waiting>(WAITING_MAX),
    normal: new BoundedQueue<Waiting>(WAITING_MAX),
  }
  /** Invariant: 0 <= tokens <= burst. */
  #tokens: number
  #refilledAtMs: number
  #pausedUntilMs = 0
  #timer: TimerHandle | undefined

  constructor(options: RateLimitOptions) {
    this.#options = options
    this.#tokens = options.burst
    this.#refilledAtMs = options.clock.monotonicMs()
  }

  /** Requests that wait for their turn. */
  get waitingCount(): number {
    return this.#lanes.lease.count + this.#lanes.normal.count
  }

  /** Resolves when the request may be sent; rejects with `aborted` when `signal` is, with `throttled` when too many wait. */
  take(lane: 'lease' | 'normal', signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(aborted())
    return new Promise((resolve, reject) => {
      let isGone = false
      const onAbort = () => {
        isGone = true
        reject(aborted())
      }
      const grant = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      if (!this.#lanes[lane].maybePush({ grant, isGone: () => isGone })) {
        reject(new KubeError('throttled', 'too many requests wait', { retryAfterMs: 1000 }))
        return
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#grant()
    })
  }

  /** The server asked to slow down: nothing but the Lease for so long. */
  pause(delayMs: number): void {
    const untilMs = this.#options.clock.monotonicMs() + Math.min(delayMs, PAUSE_MS_MAX)
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, untilMs)
  }

  #grant(): void {
    this.#refill()
    for (;;) {
      const lane = this.#nextLane()
      if (lane === undefined) break
      if (this.#tokens < 1) break
      const waiting = lane.shift()
      if (waiting === undefined || waiting.isGone()) continue
      this.#tokens--
      waiting.grant()
    }
    this.#schedule()
  }

  #nextLane(): BoundedQueue<Waiting> | undefined {
    if (this.#lanes.lease.count > 0) return this.#lanes.lease
    const isPaused = this.#options.clock.monotonicMs() < this.#pausedUntilMs
    return this.#lanes.normal.count > 0 && !isPaused ? this.#lanes.normal : undefined
  }

  #refill(): void {
    const { clock, requestsPerSecond, burst } = this.#options
    const nowMs = clock.monotonicMs()
    const grown = this.#tokens + ((nowMs - this.#refilledAtMs) / 1000) * requestsPerSecond
    this.#tokens = Math.min(burst, grown)
    this.#refilledAtMs = nowMs
  }

  #schedule(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.waitingCount === 0) return
    const { clock, timers, requestsPerSecond } = this.#options
    const untilTokenMs = ((1 - this.#tokens) / requestsPerSecond) * 1000
    const untilResumedMs =
      this.#lanes.lease.count > 0 ? 0 : this.#pausedUntilMs - clock.monotonicMs()
    const delayMs = Math.ceil(Math.max(1, untilTokenMs, untilResumedMs))
    this.#timer = timers.after(delayMs, () => this.#grant())
  }
}

function aborted(): KubeError {
  return new KubeError('aborted', 'given up before it was sent')
}
