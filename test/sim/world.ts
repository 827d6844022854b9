// Simulated time: one queue of events, run in the order of their time and, at equal times, of their making. Between two
// events every promise that can go on does. Events may belong to a process: those of a dead one never happen, those of a
// paused one wait until it goes on. Nothing here reads a real clock.

import { drain } from './drain.ts'

/** Whose events they are. */
export interface Owner {
  readonly isAlive: boolean
  readonly isPaused: boolean
  /** Takes an event that fell due during a pause. */
  defer(run: () => void): void
}

export interface Scheduled {
  /** After the event has happened it does nothing. */
  cancel(): void
}

interface Event {
  readonly atMs: number
  readonly order: number
  readonly owner: Owner | undefined
  run: (() => void) | undefined
}

export interface ScheduleOptions {
  readonly delayMs: number
  readonly owner?: Owner | undefined
  readonly run: () => void
}

/** Events without a moment passing: whoever makes so many never stops. */
const STANDSTILL_MAX = 20_000

export class World {
  #nowMs = 0
  #order = 0
  readonly #queue = new EventQueue()
  #mustDrain = false
  #failure: unknown
  readonly #observers: ((owner: Owner | undefined) => void)[] = []
  #sameMomentCount = 0

  /** Milliseconds since the run began. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** What a callback threw; the run is over. */
  get failure(): unknown {
    return this.#failure
  }

  get eventCount(): number {
    return this.#order
  }

  /** Called after each event that may have changed something, with its owner and every promise settled. */
  observe(onEvent: (owner: Owner | undefined) => void): void {
    this.#observers.push(onEvent)
  }

  schedule({ delayMs, owner, run }: ScheduleOptions): Scheduled {
    const event: Event = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      owner,
      run,
    }
    this.#queue.push(event)
    return {
      cancel: () => {
        event.run = undefined
      },
    }
  }

  sleep(delayMs: number, owner?: Owner): Promise<void> {
    return new Promise((resolve) => {
      this.schedule({ delayMs, owner, run: () => this.act(resolve) })
    })
  }

  /** Everything but a tick says so: promises may go on, and observers look. */
  act(action: () => void): void {
    this.#mustDrain = true
    action()
  }

  /** A callback made something happen that its own kind of event seldom does. */
  touch(): void {
    this.#mustDrain = true
  }

  fail(error: unknown): void {
    this.#failure ??= error
  }

  /** Runs until `untilMs`, or until `isDone` says so after an event, or something failed. */
  async run(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    await drain()
    while (this.#failure === undefined) {
      const event = this.#queue.peek()
      if (event === undefined || event.atMs > untilMs) break
      this.#queue.pop()
      this.#sameMomentCount = event.atMs === this.#nowMs ? this.#sameMomentCount + 1 : 0
      if (this.#sameMomentCount > STANDSTILL_MAX)
        this.fail(new Error('time stands still: something spins'))
      this.#nowMs = event.atMs
      if (!this.#dispatch(event)) continue
      if (!this.#mustDrain) continue
      await drain()
      this.#mustDrain = false
      for (const observer of this.#observers) this.#guard(() => observer(event.owner))
      if (isDone()) return
    }
    if (this.#failure === undefined) this.#nowMs = Math.max(this.#nowMs, untilMs)
  }

  /** Returns whether anything was run. */
  #dispatch({ owner, run }: Event): boolean {
    if (run === undefined) return false
    if (owner !== undefined) {
      if (!owner.isAlive) return false
      if (owner.isPaused) {
        owner.defer(run)
        return false
      }
    }
    this.#guard(run)
    return true
  }

  #guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.fail(error)
    }
  }
}

/** A binary heap by time, then order. */
class EventQueue {
  readonly #events: Event[] = []

  peek(): Event | undefined {
    return this.#events[0]
  }

  push(event: Event): void {
    const events = this.#events
    let at = events.length
    events.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, events[parent]!)) break
      events[at] = events[parent]!
      at = parent
    }
    events[at] = event
  }

  pop(): void {
    const events = this.#events
    const last = events.pop()
    if (last === undefined || events.length === 0) return
    const { length } = events
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && isBefore(events[child + 1]!, events[child]!)) child++
      if (!isBefore(events[child]!, last)) break
      events[at] = events[child]!
      at = child
    }
    events[at] = last
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
