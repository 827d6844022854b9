// Makes forwarded requests safe to send again: within its term a leader proposes each request of an origin at most once.
// A leader of a term exists once (a restart loses it), so the memory of one term is enough.

import type { MemberId, Term } from '../raft/types.ts'

/** How far back a request may be sent again. Older ones are not proposed and not answered. */
const WINDOW = 65_536
/** Lives of a peer whose requests are told apart; those of earlier lives are not proposed any more. */
const LIVES_MAX = 2
/** Ended lives of a peer that are remembered within a term: far more than a process can start in one. */
const ENDED_MAX = 10_000

export type FilterVerdict = 'new' | 'seen' | 'tooOld'

interface OriginWindow {
  readonly origin: string
  highest: number
  /** One byte per sequence modulo WINDOW: 1 when it was accepted. */
  readonly accepted: Uint8Array
}

interface PeerLives {
  /** Newest first. Invariant: at most LIVES_MAX. */
  readonly windows: OriginWindow[]
  /** A message of one of these was under way all the time: nobody waits for it. */
  readonly ended: Set<string>
}

/** A window for each life of a peer that may still have requests under way. */
export class ForwardFilter {
  #term: Term = 0
  readonly #peers = new Map<MemberId, PeerLives>()

  /** Whether this request may be proposed in `term`; it is remembered only by `accept`. */
  check(term: Term, from: MemberId, origin: string, sequence: number): FilterVerdict {
    const window = this.#windowOf(term, from, origin)
    if (window === undefined) return 'tooOld'
    if (sequence > window.highest) return 'new'
    if (sequence <= window.highest - WINDOW) return 'tooOld'
    return window.accepted[sequence % WINDOW] === 1 ? 'seen' : 'new'
  }

  accept(term: Term, from: MemberId, origin: string, sequence: number): void {
    const window = this.#windowOf(term, from, origin)
    if (window === undefined) return
    if (sequence > window.highest) {
      const gap = sequence - window.highest
      if (gap >= WINDOW) window.accepted.fill(0)
      else for (let s = window.highest + 1; s < sequence; s++) window.accepted[s % WINDOW] = 0
      window.highest = sequence
    }
    window.accepted[sequence % WINDOW] = 1
  }

  /** Undefined for a life that has ended. */
  #windowOf(term: Term, from: MemberId, origin: string): OriginWindow | undefined {
    if (term !== this.#term) {
      this.#peers.clear()
      this.#term = term
    }
    let peer = this.#peers.get(from)
    if (peer === undefined) {
      peer = { windows: [], ended: new Set() }
      this.#peers.set(from, peer)
    }
    const { windows, ended } = peer
    const known = windows.find((window) => window.origin === origin)
    if (known !== undefined || ended.has(origin)) return known
    const window = { origin, highest: 0, accepted: new Uint8Array(WINDOW) }
    windows.unshift(window)
    if (windows.length > LIVES_MAX) {
      ended.add(windows.pop()!.origin)
      if (ended.size > ENDED_MAX) ended.delete(ended.values().next().value!)
    }
    return window
  }
}
