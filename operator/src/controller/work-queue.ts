// Keys that want work, with client-go's semantics: a key waits once however often it is added; one that is added while it
// is worked on waits again as soon as that is done; nobody works on a key twice at a time. Failures come back with growing
// delays. Bounded by the number of keys: it holds each at most once in each of its places.

import { invariant } from '../../../lib/assert.ts'
import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'
import type { Prng } from '../../../lib/prng.ts'
import { fullJitterMs } from './backoff.ts'

const BASE_MS_DEFAULT = 5
const MAX_MS_DEFAULT = 5 * 60_000
/** Retries of all keys together: a burst of failures does not become a burst of work. */
const RETRIES_PER_SECOND = 10
const RETRY_BURST = 100

export interface WorkQueueOptions {
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  readonly baseMs?: number
  readonly maxMs?: number
  readonly observer?: WorkQueueObserver | undefined
}

export interface WorkQueueObserver {
  /** A key is handed out that waited so long. */
  waited(durationMs: number): void
  retried(): void
}

export class WorkQueue {
  readonly #options: WorkQueueOptions
  /** Keys that are ready, oldest first, with the time they became it. */
  readonly #ready = new Map<string, number>()
  /** Invariant: no key is both ready and processing. */
  readonly #processing = new Set<string>()
  /** Added while being processed. */
  readonly #again = new Set<string>()
  readonly #delayed = new Map<string, { readonly dueMs: number; readonly timer: TimerHandle }>()
  readonly #failures = new Map<string, number>()
  readonly #waiters: ((key: string | undefined) => void)[] = []
  readonly #retryBucket: RetryBucket
  #drained = Promise.withResolvers<void>()
  #isShutDown = false

  constructor(options: WorkQueueOptions) {
    this.#options = options
    this.#retryBucket = new RetryBucket(options.clock)
  }

  /** Keys that are ready. */
  get depth(): number {
    return this.#ready.size
  }

  /** Keys that will be ready at a later time. */
  get delayedCount(): number {
    return this.#delayed.size
  }

  get processingCount(): number {
    return this.#processing.size
  }

  /** Has `key` worked on as soon as a worker is free. A delayed one need not wait any longer. */
  add(key: string): void {
    if (this.#isShutDown) return
    this.#cancelDelay(key)
    if (this.#processing.has(key)) {
      this.#again.add(key)
      return
    }
    if (this.#ready.has(key)) return
    this.#ready.set(key, this.#options.clock.monotonicMs())
    this.#handOut()
  }

  /** As {@link add}, after `delayMs`. Of several delays of a key the shortest counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isShutDown) return
    if (delayMs <= 0) {
      this.add(key)
      return
    }
    if (this.#ready.has(key)) return
    const dueMs = this.#options.clock.monotonicMs() + delayMs
    const known = this.#delayed.get(key)
    if (known !== undefined && known.dueMs <= dueMs) return
    known?.timer.cancel()
    const timer = this.#options.timers.after(delayMs, () => {
      this.#delayed.delete(key)
      this.add(key)
    })
    this.#delayed.set(key, { dueMs, timer })
  }

  /** As {@link addAfter}, with a delay that grows with each failure of `key` in a row. Returns the delay. */
  addRateLimited(key: string, minDelayMs = 0): number {
    const { prng, baseMs = BASE_MS_DEFAULT, maxMs = MAX_MS_DEFAULT, observer } = this.#options
    const attempt = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, attempt)
    observer?.retried()
    const ownMs = fullJitterMs(attempt, { baseMs, maxMs, prng })
    const delayMs = Math.max(ownMs, this.#retryBucket.takeMs(), minDelayMs)
    this.addAfter(key, delayMs)
    return delayMs
  }

  /** `key` has succeeded, or is gone: its next failure is its first. */
  forget(key: string): void {
    this.#failures.delete(key)
  }

  failureCount(key: string): number {
    return this.#failures.get(key) ?? 0
  }

  /** The next key, once there is one; undefined once the queue is shut down. Whoever gets one calls {@link done}. */
  get(): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve)
      this.#handOut()
    })
  }

  /** The work on `key` has ended, well or not. */
  done(key: string): void {
    invariant(this.#processing.delete(key), 'key was not being processed', { key })
    if (this.#again.delete(key)) this.add(key)
    if (this.#isShutDown && this.#processing.size === 0) this.#drained.resolve()
  }

  /** Hands nothing out any more; resolves when no key is worked on. Idempotent. */
  shutDown(): Promise<void> {
    this.#isShutDown = true
    for (const key of this.#delayed.keys()) this.#cancelDelay(key)
    this.#ready.clear()
    this.#again.clear()
    for (const waiter of this.#waiters.splice(0)) waiter(undefined)
    if (this.#processing.size === 0) this.#drained.resolve()
    return this.#drained.promise
  }

  #handOut(): void {
    if (this.#isShutDown) {
      for (const waiter of this.#waiters.splice(0)) waiter(undefined)
      return
    }
    while (this.#waiters.length > 0 && this.#ready.size > 0) {
      const [key, sinceMs] = this.#ready.entries().next().value!
      this.#ready.delete(key)
      this.#processing.add(key)
      this.#options.observer?.waited(this.#options.clock.monotonicMs() - sinceMs)
      this.#waiters.shift()!(key)
    }
  }

  #cancelDelay(key: string): void {
    this.#delayed.get(key)?.timer.cancel()
    this.#delayed.delete(key)
  }
}

/** A token bucket that never refuses: it says how long a retry has to wait for its token. */
class RetryBucket {
  readonly #clock: Clock
  /** Negative while retries wait that have been promised a token. */
  #tokens = RETRY_BURST
  #refilledAtMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#refilledAtMs = clock.monotonicMs()
  }

  takeMs(): number {
    const nowMs = this.#clock.monotonicMs()
    const grown = this.#tokens + ((nowMs - this.#refilledAtMs) / 1000) * RETRIES_PER_SECOND
    this.#tokens = Math.min(RETRY_BURST, grown) - 1
    this.#refilledAtMs = nowMs
    return this.#tokens >= 0 ? 0 : (-this.#tokens / RETRIES_PER_SECOND) * 1000
  }
}
