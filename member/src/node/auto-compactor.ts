// Lets the leader compact history as the settings say (compaction-schedule.ts). The request goes into the leader's own log, in its
// own term, and never a second time: whoever leads after it decides anew.

import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'
import { hasCode, RaftbaseError } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'
import { encodeRequest } from '../apply/request.ts'
import type { ApplyResult, StateMachine } from '../apply/state-machine.ts'
import { type AutoCompaction, CompactionSchedule, lookAgainMs } from './compaction-schedule.ts'
import type { Driver } from './driver.ts'
import { compactionResult } from './outcomes.ts'
import type { Proposals } from './proposals.ts'

export interface AutoCompactorOptions {
  readonly settings: { readonly autoCompaction: AutoCompaction; readonly publishTimeoutMs: number }
  readonly origin: string
  readonly driver: Driver
  readonly proposals: Proposals<ApplyResult>
  readonly stateMachine: () => StateMachine
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Logger
}

export class AutoCompactor {
  readonly #options: AutoCompactorOptions
  readonly #schedule = new CompactionSchedule()
  #timer: TimerHandle | undefined
  #isBusy = false
  #isFailing = false
  #isStopped = false

  constructor(options: AutoCompactorOptions) {
    this.#options = options
  }

  start(): void {
    this.#look()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #look(): void {
    if (this.#isStopped) return
    const { settings, driver, stateMachine, clock, timers } = this.#options
    const setting = settings.autoCompaction
    if (!this.#isBusy) {
      const { store } = stateMachine()
      // What a full disk cannot take would only wait in memory.
      const isLeader = driver.raft.role === 'leader' && !driver.isDiskFull
      const nowMs = clock.monotonicMs()
      const revision = this.#schedule.due({ nowMs, setting, store, isLeader })
      if (revision !== undefined) void this.#compact(revision)
    }
    this.#timer = timers.after(lookAgainMs(setting), () => this.#look())
  }

  async #compact(revision: number): Promise<void> {
    const { clock, log } = this.#options
    this.#isBusy = true
    try {
      await this.#propose(revision)
      this.#isFailing = false
      this.#schedule.done(clock.monotonicMs())
      log.info({ revision }, 'history compacted')
    } catch (err) {
      // Whoever has compacted further has done what was due.
      if (hasCode(err, 'REVISION_COMPACTED')) this.#schedule.done(clock.monotonicMs())
      else this.#failed(err)
    }
    this.#isBusy = false
  }

  async #propose(revision: number): Promise<void> {
    const { origin, settings, driver, proposals } = this.#options
    const proposed = proposals.addOnce(
      { timeoutMs: settings.publishTimeoutMs, read: compactionResult },
      (sequence) => {
        const request = { type: 'compaction', revision } as const
        return driver.proposeHere(encodeRequest({ origin, sequence, request }))
      },
    )
    if ('answer' in proposed) await proposed.answer
    else {
      const details = { reason: proposed.refused }
      throw new RaftbaseError('NOT_LEADER', 'the leader did not take the request', { details })
    }
  }

  /** Tried again by itself, and told once. */
  #failed(err: unknown): void {
    if (this.#isStopped) return
    const { log } = this.#options
    const message = 'history not compacted, trying again'
    if (this.#isFailing) log.debug({ err }, message)
    else log.warn({ err }, message)
    this.#isFailing = true
  }
}
