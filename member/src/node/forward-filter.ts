// Makes forwarded requests safe to send again: within its term a leader proposes each request of an origin at most once.
// A leader of a term exists once (a restart loses it), so the memory of one term is enough.

import type { MemberId, Term } from '../raft/types.ts'

/** How far back a request may be sent again. Older ones are not proposed and not answered. */
const WINDOW = 65_536

export type FilterVerdict = 'new' | 'seen' | 'tooOld'

interface OriginWindow {
  readonly origin: string
  highest: number
  /** One byte per sequence modulo WINDOW: 1 when it was accepted. */
  readonly accepted: Uint8Array
}

/** One window per peer; a peer that restarts (another origin) starts anew. */
export class ForwardFilter {
  #term: Term = 0
  readonly #windows = new Map<MemberId, OriginWindow>()

  /** Whether this request may be proposed in `term`; it is remembered only by `accept`. */
  check(term: Term, from: MemberId, origin: string, sequence: number): FilterVerdict {
    const window = this.#windowOf(term, from, origin)
    if (sequence > window.highest) return 'new'
    if (sequence <= window.highest - WINDOW) return 'tooOld'
    return window.accepted[sequence % WINDOW] === 1 ? 'seen' : 'new'
  }

  accept(term: Term, from: MemberId, origin: string, sequence: number): void {
    const window = this.#windowOf(term, from, origin)
    if (sequence > window.highest) {
      const gap = sequence - window.highest
      if (gap >= WINDOW) window.accepted.fill(0)
      else for (let s = window.highest + 1; s < sequence; s++) window.accepted[s % WINDOW] = 0
      window.highest = sequence
    }
    window.accepted[sequence % WINDOW] = 1
  }

  #windowOf(term: Term, from: MemberId, origin: string): OriginWindow {
    if (term !== this.#term) {
      this.#windows.clear()
      this.#term = term
    }
    let window = this.#windows.get(from)
    if (window === undefined || window.origin !== origin) {
      window = { origin, highest: 0, accepted: new Uint8Array(WINDOW) }
      this.#windows.set(from, window)
    }
    return window
  }
}
