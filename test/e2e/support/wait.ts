// Waiting for a condition, never for a duration: a probe is repeated until it is content or the
// deadline has passed, and the failure says what was awaited and what was last seen.

import { setTimeout as delay } from 'node:timers/promises'

export interface WaitOptions {
  /** Completes the sentence "waited in vain for …". */
  readonly what: string
  readonly timeoutMs: number
  /** Between the end of one probe and the start of the next. */
  readonly periodMs?: number
}

/** Not yet: with what was seen instead, for the failure's message. */
export interface NotYet {
  readonly notYet: unknown
}

/**
 * Repeats `probe` until it returns something else than {@link NotYet}. A probe that throws counts
 * as not yet.
 */
export async function waitFor<R>(
  { what, timeoutMs, periodMs = 50 }: WaitOptions,
  probe: () => Promise<R>,
): Promise<Exclude<R, NotYet>> {
  const deadlineMs = performance.now() + timeoutMs
  let seen: unknown
  do {
    try {
      const result = await probe()
      if (!isNotYet(result)) return result as Exclude<R, NotYet>
      seen = result.notYet
    } catch (error) {
      seen = error instanceof Error ? (error.cause ?? error) : error
    }
    await delay(periodMs)
  } while (performance.now() < deadlineMs)
  const last = seen instanceof Error ? String(seen) : JSON.stringify(seen)
  throw new Error(`waited in vain for ${what} (${timeoutMs} ms); last seen: ${last}`)
}

function isNotYet(result: unknown): result is NotYet {
  return typeof result === 'object' && result !== null && 'notYet' in result
}
