// What a run did, one line an event: what makes two runs comparable byte for byte, and a failure readable. Lines are made
// only while somebody wants them.

import type { World } from './world.ts'

/** How much is told: nothing, what people want to see, or every message and disk operation. */
export type TraceLevel = 'off' | 'timeline' | 'all'

export class Trace {
  readonly level: TraceLevel
  readonly #world: World
  readonly #lines: string[] = []
  readonly #linesMax: number

  constructor(options: { world: World; level: TraceLevel; linesMax?: number }) {
    this.level = options.level
    this.#world = options.world
    this.#linesMax = options.linesMax ?? Number.POSITIVE_INFINITY
  }

  get lines(): readonly string[] {
    return this.#lines
  }

  get isOn(): boolean {
    return this.level !== 'off'
  }

  get isFull(): boolean {
    return this.level === 'all'
  }

  /** Something a reader of the timeline wants to know. */
  tell(who: string, what: string): void {
    if (this.level !== 'off') this.#add(who, what)
  }

  /** A message or an operation of a disk: ask `isFull` before making the text. */
  detail(who: string, what: string): void {
    if (this.level === 'all') this.#add(who, what)
  }

  #add(who: string, what: string): void {
    if (this.#lines.length >= this.#linesMax) return
    const ms = this.#world.nowMs.toFixed(3).padStart(12)
    this.#lines.push(`${ms}  ${who.padEnd(4)}  ${what}`)
  }
}
