// Waits for leadership to arrive somewhere: at a target it was handed to.

import type { Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { MemberId, SoftState } from '../raft/types.ts'

export class LeaderWatch {
  readonly #timers: Timers
  readonly #listeners = new Set<(leader: MemberId) => void>()

  constructor(timers: Timers) {
    this.#timers = timers
  }

  saw({ leader }: SoftState): void {
    if (leader === undefined) return
    for (const listener of this.#listeners) listener(leader)
  }

  /** Resolves once `target` leads; rejects with NOT_LEADER when another does, or with TIMEOUT. */
  becomes(target: MemberId, { timeoutMs }: { readonly timeoutMs: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#timers.after(timeoutMs, () => {
        this.#listeners.delete(listener)
        reject(new RaftbaseError('TIMEOUT', 'the target did not take over in time'))
      })
      const listener = (leader: MemberId): void => {
        timer.cancel()
        this.#listeners.delete(listener)
        if (leader === target) return resolve()
        const details = { leader }
        reject(new RaftbaseError('NOT_LEADER', 'another member took over', { details }))
      }
      this.#listeners.add(listener)
    })
  }
}
