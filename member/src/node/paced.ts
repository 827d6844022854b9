// Work on the event loop that is large but comes in pieces: done a few milliseconds at a time, with whatever else waits in
// between, and given up when nobody wants it any more.

import type { Clock, Timers } from '../../../lib/clock.ts'

/** How long the pieces of one turn may take together; the last one may run over. */
const HOLD_MS = 2

export interface Pace {
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly timers: Timers
  /** While it says so, other work gets as much time as this: requests pass the loop several times before they are answered. */
  readonly isBusy?: () => boolean
}

/**
 * Yields what `pieces` yields. Making a piece, and what the consumer does with it before asking for the next, counts as work:
 * after HOLD_MS of it the other work of the event loop has its turn. Throws the signal's reason once it is aborted.
 */
export async function* paced<Piece>(
  pieces: Iterable<Piece>,
  { signal, clock, timers, isBusy }: Pace,
): AsyncGenerator<Piece, void, undefined> {
  let sinceMs = clock.monotonicMs()
  for (const piece of pieces) {
    signal.throwIfAborted()
    yield piece
    if (clock.monotonicMs() - sinceMs < HOLD_MS) continue
    await new Promise<void>((resolve) => {
      if (isBusy?.() === true) timers.after(HOLD_MS, resolve)
      else timers.endOfTurn(resolve)
    })
    sinceMs = clock.monotonicMs()
  }
}
