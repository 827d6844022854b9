// Reads that wait for an answer (§6.4): on a leader, those that wait for a round of heartbeats to confirm that it still
// leads; on a follower, those it has asked its leader for. Bounded; knows nothing of messages.

import type { Index, MemberId } from './types.ts'

export interface ReadRequest {
  /** Who asked; the leader itself for its own reads. */
  readonly from: MemberId
  readonly context: string
}

interface Round {
  readonly number: number
  /** The commit index when the round began: what its reads must see. */
  readonly index: Index
  readonly requests: readonly ReadRequest[]
}

export class ReadRounds {
  readonly #limit: number
  #waiting: ReadRequest[] = []
  #rounds: Round[] = []
  #count = 0
  #newest = 0
  /** Asked of the leader: context and the tick of asking, oldest first. */
  readonly #asked = new Map<string, number>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Reads that wait for a round to begin. */
  get hasWaiting(): boolean {
    return this.#waiting.length > 0
  }

  /** The number of the newest round that is not confirmed; undefined when there is none. */
  get unconfirmed(): number | undefined {
    return this.#rounds.length === 0 ? undefined : this.#newest
  }

  /** Numbers of rounds grow by one and begin at 1. */
  get newest(): number {
    return this.#newest
  }

  get count(): number {
    return this.#count + this.#asked.size
  }

  /** Queues a read for the next round; returns false when too many wait. */
  maybeAdd(request: ReadRequest): boolean {
    if (this.#count >= this.#limit) return false
    this.#waiting.push(request)
    this.#count++
    return true
  }

  /** Begins a round for everything that waits. */
  begin(index: Index): void {
    this.#newest++
    this.#rounds.push({ number: this.#newest, index, requests: this.#waiting })
    this.#waiting = []
  }

  /** Takes out all rounds up to `number`: confirming one confirms all that began before it. */
  confirm(number: number): readonly Round[] {
    let count = 0
    while (count < this.#rounds.length && this.#rounds[count]!.number <= number) {
      this.#count -= this.#rounds[count]!.requests.length
      count++
    }
    return this.#rounds.splice(0, count)
  }

  /** Takes out every read of a leader: it leads no more. */
  drain(): readonly ReadRequest[] {
    const requests = [...this.#rounds.flatMap((round) => round.requests), ...this.#waiting]
    this.#rounds = []
    this.#waiting = []
    this.#count = 0
    return requests
  }

  /** Notes a read asked of the leader; returns false when too many wait. */
  maybeAsk(context: string, now: number): boolean {
    if (this.#asked.size >= this.#limit) return false
    this.#asked.set(context, now)
    return true
  }

  /** Whether the answered read was waiting; it is not any more. */
  answered(context: string): boolean {
    return this.#asked.delete(context)
  }

  /** Takes out the reads asked at `tick` or before. */
  expire(tick: number): readonly string[] {
    const expired: string[] = []
    for (const [context, askedAt] of this.#asked) {
      if (askedAt > tick) break
      expired.push(context)
      this.#asked.delete(context)
    }
    return expired
  }
}
