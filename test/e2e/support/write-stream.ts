// A stream of writes through the REST API: several lanes, each one write after the other, each to
// the next member in turn. Every key is written once with a value of its own; what was acknowledged
// must never be missing again.

import type { MemberApi } from './member-api.ts'

const LANES = 4
const WRITE_TIMEOUT_MS = 3_000

export class WriteStream {
  readonly #members: readonly MemberApi[]
  readonly #prefix: string
  readonly #acknowledged = new Map<string, string>()
  readonly #lanes: Promise<void>[] = []
  #sequence = 0
  #failures = 0
  #stopped = false
  #lastAckMs = performance.now()
  #longestGapMs = 0

  constructor(members: readonly MemberApi[], prefix: string) {
    this.#members = members
    this.#prefix = prefix
  }

  start(): void {
    for (let lane = 0; lane < LANES; lane++) this.#lanes.push(this.#run(lane))
  }

  /** Resolves when the writes under way have been answered or have timed out. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#lanes)
  }

  get acknowledged(): ReadonlyMap<string, string> {
    return this.#acknowledged
  }

  /** Writes refused, timed out or cut off: they may or may not have happened. */
  get failures(): number {
    return this.#failures
  }

  /** The longest time between two acknowledgements, in milliseconds, since the last call. */
  takeLongestGapMs(): number {
    const gap = this.#longestGapMs
    this.#longestGapMs = 0
    return gap
  }

  async #run(lane: number): Promise<void> {
    for (let turn = lane; !this.#stopped; turn++) {
      const key = `${this.#prefix}/${this.#sequence++}`
      const value = `${key}#${lane}`
      const member = this.#members[turn % this.#members.length]!
      // A refused connection or a time-out is an outcome like any other here: the write is not
      // counted on.
      const done = await member.put(key, value, WRITE_TIMEOUT_MS).catch(() => false)
      if (!done) {
        this.#failures++
        continue
      }
      const nowMs = performance.now()
      this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastAckMs)
      this.#lastAckMs = nowMs
      this.#acknowledged.set(key, value)
    }
  }
}
