// Which requests of clients begin, which wait for others to end, and which are refused before anything of them is read
// (docs/adr/0026). So many are carried out at a time; the others wait in line. A burst may wait longer than a line that does
// not go away: then what waits would only make what comes later wait as well. How many are carried out follows from how long a
// linearizable read of nothing takes at the moment, in which everything has its part but the disk: event loops that turn
// slowly, here, on the leader or on a majority, and what has to be applied first. A slow disk makes requests wait without
// being any work, and fewer of them would not make it faster.

import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'
import type { AdmissionLimits } from '../limits.ts'

/** How often those that wait are looked at. */
const SWEEP_MS = 20
/** Between measurements, while there is anything to measure. */
const MEASURE_MS = 100
/** Longer than this is overload whatever it is in the end. */
const MEASURE_TIMEOUT_MS = 10_000
/** Of the time, what refusing may take, however many have waited too long: it serves nobody. */
const REFUSING_SHARE = 0.05
/** How long there has to be little to do before it counts as quiet: an overload has its lulls. */
const QUIET_MS = 1000
/** What one measurement may make of the number carried out. */
const SHRINK_MAX = 0.1
const GROW = 1.25

export interface AdmissionOptions {
  readonly limits: AdmissionLimits
  readonly clock: Clock
  readonly timers: Timers
  /** One linearizable read of next to nothing, which is admitted without asking. */
  readonly read: (timeoutMs: number) => Promise<unknown>
}

/** Why a request was not begun; it never will be. */
export type NotBegun =
  /** It waited too long, or too many wait. */
  | 'overloaded'
  /** Its own time was over first. */
  | 'timeout'

/** A request in line. Exactly one of the two callbacks is called, once, or none if nobody waits for it any more. */
export interface Waiter {
  /** Of the request's own patience, when it began to wait. */
  readonly timeoutMs: number
  /** Whether its client has gone. */
  readonly isAborted: boolean
  /** It has a place now, which `leave` gives back. */
  begin(waitedMs: number): void
  refuse(reason: NotBegun): void
}

interface Place {
  readonly waiter: Waiter
  readonly sinceMs: number
}

export class Admission {
  readonly #options: AdmissionOptions
  #running = 0
  #runningMax: number
  /** Somebody found no place since the last measurement: more would be carried out if they were let. */
  #wasFull = false
  #line: Place[] = []
  /** Since when there was always somebody in line; undefined while there is nobody. */
  #standingSinceMs: number | undefined
  /** Of the line, before which nobody waits any more. */
  #next = 0
  #refused = 0
  #timer: TimerHandle | undefined
  #isMeasuring = false
  #measuredAtMs = Number.NEGATIVE_INFINITY
  #sweptAtMs = Number.NEGATIVE_INFINITY
  /** Since when there has been little to do; undefined while there is much. */
  #quietSinceMs: number | undefined

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#runningMax = options.limits.runningStart
  }

  /** Of the clock that waits are measured by. */
  nowMs(): number {
    return this.#options.clock.monotonicMs()
  }

  get running(): number {
    return this.#running
  }

  /** How many may be carried out at a time, as things are. */
  get runningMax(): number {
    return this.#runningMax
  }

  get waiting(): number {
    return this.#line.length - this.#next
  }

  /** Refused since the start, for having waited too long or for the length of the line. */
  get refused(): number {
    return this.#refused
  }

  /** Takes a place, which `leave` gives back; false when there is none and the request has to `wait`. */
  maybeEnter(): boolean {
    if (this.#running >= this.#runningMax || this.waiting > 0) return false
    this.#enter()
    return true
  }

  /** Waits for a place, when there was none. May refuse at once. */
  wait(waiter: Waiter): void {
    const { waitingMax } = this.#options.limits
    this.#wasFull = true
    if (this.waiting >= waitingMax) {
      this.#refused++
      waiter.refuse('overloaded')
      return
    }
    this.#watch()
    const sinceMs = this.nowMs()
    this.#standingSinceMs ??= sinceMs
    this.#line.push({ waiter, sinceMs })
  }

  leave(): void {
    this.#running--
    this.#admit()
  }

  #enter(): void {
    this.#running++
    if (this.#running >= this.#options.limits.runningMin) this.#watch()
  }

  /** Those at the front of the line take what places there are. */
  #admit(): void {
    if (this.waiting === 0) return
    const nowMs = this.nowMs()
    while (this.#running < this.#runningMax && this.#next < this.#line.length) {
      const { waiter, sinceMs } = this.#line[this.#next++]!
      if (waiter.isAborted) continue
      this.#enter()
      waiter.begin(nowMs - sinceMs)
    }
    if (this.#next === this.#line.length) this.#setLine([])
  }

  #setLine(line: Place[]): void {
    this.#line = line
    this.#next = 0
    if (line.length === 0) this.#standingSinceMs = undefined
  }

  #watch(): void {
    this.#timer ??= this.#options.timers.every(SWEEP_MS, () => this.#sweep())
  }

  #sweep(): void {
    const nowMs = this.nowMs()
    const passedMs = Math.min(nowMs - this.#sweptAtMs, MEASURE_MS)
    this.#sweptAtMs = nowMs
    if (this.waiting > 0) this.#refuseLate(nowMs, REFUSING_SHARE * passedMs)
    const isBusy = this.#running >= this.#options.limits.runningMin
    if (isBusy && nowMs - this.#measuredAtMs >= MEASURE_MS && !this.#isMeasuring) {
      void this.#measure(nowMs)
    }
    if (isBusy || this.waiting > 0) this.#quietSinceMs = undefined
    else this.#maybeRest(nowMs)
  }

  #maybeRest(nowMs: number): void {
    this.#quietSinceMs ??= nowMs
    if (nowMs - this.#quietSinceMs < QUIET_MS) return
    this.#quietSinceMs = undefined
    this.#timer?.cancel()
    this.#timer = undefined
    // What was found out holds for a while only.
    this.#runningMax = this.#options.limits.runningStart
  }

  #refuseLate(nowMs: number, holdMs: number): void {
    const { waitMsMax, waitMsStanding } = this.#options.limits
    const isStanding = nowMs - this.#standingSinceMs! > waitMsMax
    const waitMs = isStanding ? waitMsStanding : waitMsMax
    const kept: Place[] = []
    let hasTime = true
    for (const place of this.#line.slice(this.#next)) {
      const { waiter, sinceMs } = place
      if (waiter.isAborted) continue
      if (!hasTime || nowMs - sinceMs < Math.min(waiter.timeoutMs, waitMs)) {
        kept.push(place)
        continue
      }
      this.#refused++
      waiter.refuse(waiter.timeoutMs < waitMs ? 'timeout' : 'overloaded')
      hasTime = this.nowMs() - nowMs < holdMs
    }
    this.#setLine(kept)
  }

  async #measure(nowMs: number): Promise<void> {
    const { read } = this.#options
    this.#isMeasuring = true
    this.#measuredAtMs = nowMs
    try {
      await read(MEASURE_TIMEOUT_MS)
      this.#judge(this.nowMs() - nowMs)
    } catch {
      // No leader, or a stop: says nothing about how much work there is.
    }
    this.#isMeasuring = false
  }

  #judge(readMs: number): void {
    // It has become quiet meanwhile.
    if (this.#timer === undefined) return
    const { runningMin, runningMax, readMsMax } = this.#options.limits
    const wasFull = this.#wasFull
    this.#wasFull = this.waiting > 0
    if (readMs > readMsMax) {
      const factor = Math.max(SHRINK_MAX, readMsMax / readMs)
      const busy = Math.min(this.#runningMax, Math.max(this.#running, runningMin))
      this.#runningMax = Math.max(runningMin, Math.floor(busy * factor))
    } else if (wasFull && readMs < readMsMax / 2) {
      this.#runningMax = Math.min(runningMax, Math.ceil(this.#runningMax * GROW))
      this.#admit()
    }
  }
}
