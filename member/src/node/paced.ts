// Work on the event loop that is large but comes in pieces: done a few milliseconds at a time, with whatever else waits in
// between, and given up when nobody wants it any more.

import type { Clock, Timers } from '../../../lib/clock.ts'

/** How long the pieces of one turn may take together; the last one may run over. */
const HOLD_MS = 2

/**
 * Yields what `pieces` yields. Making a piece, and what the consumer does with it before asking for the next, counts as work:
 * after HOLD_MS of it the other work of the event loop has its turn. Throws the signal's reason once it is aborted.
 */
export async function* paced<Piece>(
  pieces: Iterable<Piece>,
  options: { readonly signal: AbortSignal; readonly clock: Clock; readonly timers: Timers },
): AsyncGenerator<Piece, void, undefined> {
  const { signal, clock, timers } = options
  let sinceMs = clock.monotonicMs()
  for (const piece of pieces) {
    signal.throwIfAborted()
    yield piece
    if (clock.monotonicMs() - sinceMs < HOLD_MS) continue
    await new Promise<void>((resolve) => timers.endOfTurn(resolve))
    sinceMs = clock.monotonicMs()
  }
}
