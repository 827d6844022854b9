// The linearizable reads of this process (§6.4): all that arrive in one turn share one read-index round; each is let
// through once the state machine has applied the index the round returned. Asking again is always safe, so a round whose
// answer is late or refused is asked again until the reads' deadlines.

import type { Clock } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Index } from '../raft/types.ts'

interface WaitingRead {
  readonly deadlineMs: number
  readonly resolve: () => void
  readonly reject: (error: RaftbaseError) => void
  settled: boolean
}

interface Round {
  readonly reads: WaitingRead[]
  readonly askedAtMs: number
}

export class Reads {
  readonly #clock: Clock
  readonly #readsMax: number
  readonly #retryMs: number
  readonly #origin: string
  #round = 0
  #count = 0
  #unasked: WaitingRead[] = []
  /** Refused: asked again at the next tick, lest a member without a leader asks itself in every turn. */
  #refused: WaitingRead[] = []
  readonly #rounds = new Map<string, Round>()
  /** Confirmed, waiting for the state machine. Few: one element per round. */
  #confirmed: { readonly index: Index; readonly reads: WaitingRead[] }[] = []
  #closed: RaftbaseError | undefined

  /** @param options.origin 16 hex digits, new at each start: makes every context unique for ever. */
  constructor(options: { clock: Clock; readsMax: number; retryMs: number; origin: string }) {
    this.#clock = options.clock
    this.#readsMax = options.readsMax
    this.#retryMs = options.retryMs
    this.#origin = options.origin
  }

  get count(): number {
    return this.#count
  }

  get hasUnasked(): boolean {
    return this.#unasked.length > 0
  }

  /** Resolves when a local read is linearizable; rejects with TIMEOUT, OVERLOADED or SHUTTING_DOWN. */
  wait(timeoutMs: number): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    if (this.#count >= this.#readsMax) {
      return Promise.reject(
        new RaftbaseError('OVERLOADED', 'too many reads are waiting', {
          details: { waiting: this.#count },
        }),
      )
    }
    this.#count++
    return new Promise<void>((resolve, reject) => {
      const deadlineMs = this.#clock.monotonicMs() + timeoutMs
      this.#unasked.push({ deadlineMs, resolve, reject, settled: false })
    })
  }

  /** Starts a round for everything that waits and returns its context; undefined when nothing waits. */
  startRound(): string | undefined {
    if (this.#unasked.length === 0) return undefined
    const context = `${this.#origin}.${++this.#round}`
    this.#rounds.set(context, { reads: this.#unasked, askedAtMs: this.#clock.monotonicMs() })
    this.#unasked = []
    return context
  }

  /** The leader answered a round. A round asked again meanwhile is unknown here and ignored. */
  confirmed(context: string, index: Index, applied: Index): void {
    const round = this.#rounds.get(context)
    if (round === undefined) return
    this.#rounds.delete(context)
    if (index <= applied) this.#release(round.reads)
    else this.#confirmed.push({ index, reads: round.reads })
  }

  refused(context: string): void {
    const round = this.#rounds.get(context)
    if (round === undefined) return
    this.#rounds.delete(context)
    for (const read of round.reads) if (!read.settled) this.#refused.push(read)
  }

  /** A tick has passed: what was refused may be asked again. */
  retryRefused(): void {
    if (this.#refused.length === 0) return
    this.#unasked =
      this.#unasked.length === 0 ? this.#refused : [...this.#refused, ...this.#unasked]
    this.#refused = []
  }

  applied(index: Index): void {
    if (this.#confirmed.length === 0) return
    const ready = this.#confirmed.filter((entry) => entry.index <= index)
    if (ready.length === 0) return
    this.#confirmed = this.#confirmed.filter((entry) => entry.index > index)
    for (const { reads } of ready) this.#release(reads)
  }

  /** Ends what is past its deadline and asks late rounds again. */
  sweep(nowMs: number): void {
    if (this.#count === 0) return
    for (const [context, round] of this.#rounds) {
      this.#expire(round.reads, nowMs)
      if (nowMs - round.askedAtMs >= this.#retryMs) this.refused(context)
    }
    for (const { reads } of this.#confirmed) this.#expire(reads, nowMs)
    this.#expire(this.#unasked, nowMs)
    this.#unasked = this.#unasked.filter((read) => !read.settled)
    this.#expire(this.#refused, nowMs)
    this.#refused = this.#refused.filter((read) => !read.settled)
  }

  close(error: RaftbaseError): void {
    this.#closed = error
    const all = [
      ...this.#unasked,
      ...this.#refused,
      ...[...this.#rounds.values()].flatMap((round) => round.reads),
      ...this.#confirmed.flatMap((entry) => entry.reads),
    ]
    for (const read of all) this.#fail(read, error)
    this.#unasked = []
    this.#refused = []
    this.#rounds.clear()
    this.#confirmed = []
  }

  #release(reads: readonly WaitingRead[]): void {
    for (const read of reads) {
      if (read.settled) continue
      read.settled = true
      this.#count--
      read.resolve()
    }
  }

  #expire(reads: readonly WaitingRead[], nowMs: number): void {
    for (const read of reads) {
      if (read.deadlineMs > nowMs) continue
      this.#fail(
        read,
        new RaftbaseError('TIMEOUT', 'leadership was not confirmed before the deadline'),
      )
    }
  }

  #fail(read: WaitingRead, error: RaftbaseError): void {
    if (read.settled) return
    read.settled = true
    this.#count--
    read.reject(error)
  }
}
