// One life of a member's process in the simulation: its clock (which may run fast or slow and whose wall time jumps), its
// timers and its end. A killed process runs nothing any more; a stopped one (SIGSTOP) finds everything that fell due
// waiting when it goes on.

import type { Clock, TimerHandle, Timers } from '../../lib/clock.ts'
import type { Owner, World } from './world.ts'

/** When a run begins for people: nothing depends on it. */
const EPOCH_MS = Date.UTC(2030, 0, 1)

export interface SimProcessOptions {
  readonly world: World
  /** How fast its monotonic clock runs: 1 is right. */
  readonly clockRate: number
  /** How long after its first input a turn of the event loop ends. */
  readonly turnMs: number
}

export class SimProcess implements Clock, Timers, Owner {
  readonly #world: World
  readonly #rate: number
  readonly #turnMs: number
  readonly #bornMs: number
  #isAlive = true
  #isPaused = false
  #wallOffsetMs = 0
  #deferred: (() => void)[] = []
  readonly #onKill = new Set<() => void>()
  /** Requests of clients that wait in it: a tick may end one at its deadline. */
  callCount = 0
  pauseCount = 0

  constructor({ world, clockRate, turnMs }: SimProcessOptions) {
    this.#world = world
    this.#rate = clockRate
    this.#turnMs = turnMs
    this.#bornMs = world.nowMs
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  kill(): void {
    if (!this.#isAlive) return
    this.#isAlive = false
    this.#deferred = []
    for (const onKill of this.#onKill) onKill()
    this.#onKill.clear()
  }

  /** Calls back when this life ends; the returned function forgets it. */
  onKill(callback: () => void): () => void {
    this.#onKill.add(callback)
    return () => this.#onKill.delete(callback)
  }

  pause(): void {
    this.#isPaused = true
    this.pauseCount++
  }

  /** What fell due meanwhile happens now, in the order it fell due. */
  resume(): void {
    this.#isPaused = false
    const deferred = this.#deferred
    this.#deferred = []
    for (const run of deferred) this.#world.schedule({ delayMs: 0, owner: this, run })
  }

  jumpWallClock(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  // Owner

  defer(run: () => void): void {
    this.#deferred.push(run)
  }

  // Clock

  monotonicMs(): number {
    return (this.#world.nowMs - this.#bornMs) * this.#rate
  }

  wallMs(): number {
    return EPOCH_MS + this.#world.nowMs + this.#wallOffsetMs
  }

  // Timers

  after(delayMs: number, callback: () => void): TimerHandle {
    const run = (): void => this.#world.act(callback)
    return this.#world.schedule({ delayMs: delayMs / this.#rate, owner: this, run })
  }

  every(periodMs: number, callback: () => void): TimerHandle {
    let isCancelled = false
    const delayMs = periodMs / this.#rate
    // What a tick leads to says itself that it happened: most lead to nothing.
    const run = (): void => {
      if (isCancelled) return
      this.#world.schedule({ delayMs, owner: this, run })
      callback()
      if (this.callCount > 0) this.#world.touch()
    }
    this.#world.schedule({ delayMs, owner: this, run })
    return {
      cancel: () => {
        isCancelled = true
      },
    }
  }

  endOfTurn(callback: () => void): void {
    const run = (): void => this.#world.act(callback)
    this.#world.schedule({ delayMs: this.#turnMs, owner: this, run })
  }

  /** Resolves in this process, if it is still there by then. */
  sleep(delayMs: number): Promise<void> {
    return this.#world.sleep(delayMs, this)
  }
}
