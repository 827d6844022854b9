// What a leader does about its leadership before it stops: tries to hand it over until it has, or time is up.

import type { Clock, Timers } from '../../../lib/clock.ts'
import { hasCode } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'

/** Between attempts. */
const PAUSE_MS = 50

export interface HandOverOptions {
  readonly timeoutMs: number
  /** Of one attempt. */
  readonly attemptMs: number
  readonly isLeader: () => boolean
  /** Whether there are other voters. */
  readonly hasOthers: () => boolean
  readonly transfer: (timeoutMs: number) => Promise<unknown>
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Pick<Logger, 'warn'>
}

/** Resolves at the latest after `timeoutMs`. */
export async function handOver(options: HandOverOptions): Promise<void> {
  const { timeoutMs, attemptMs, isLeader, hasOthers, transfer, clock, timers, log } = options
  const deadlineMs = clock.monotonicMs() + timeoutMs
  for (;;) {
    const leftMs = deadlineMs - clock.monotonicMs()
    if (!isLeader() || leftMs < 1 || !hasOthers()) return
    try {
      await transfer(Math.min(leftMs, attemptMs))
      return
    } catch (err) {
      log.warn({ err }, 'leadership not handed over')
      // Nobody to hand it to: waiting would not bring one.
      if (hasCode(err, 'NO_LEADER')) return
    }
    await new Promise<void>((resolve) => void timers.after(PAUSE_MS, resolve))
  }
}
