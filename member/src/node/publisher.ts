// Tells the cluster what this member is: name, URLs and version, through the log, whenever what the cluster has recorded
// differs. Tries again until it is recorded; one attempt at a time. Where its peers reach it is told once for each start:
// afterwards whoever changes the membership has the last word on that.

import type { TimerHandle, Timers } from '../../../lib/clock.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { MemberRecord } from '../apply/state-machine.ts'

/** Between attempts: long enough not to matter, short enough that a lost one is not missed. */
const RETRY_MS = 1000

export interface PublisherOptions {
  readonly record: MemberRecord
  /** What the state machine holds about this member now. */
  readonly recorded: () => MemberRecord | undefined
  readonly propose: (request: { type: 'memberAttributes' } & MemberRecord) => Promise<unknown>
  readonly timers: Timers
  readonly log: Logger
}

export class Publisher {
  readonly #options: PublisherOptions
  #busy = false
  #stopped = false
  #retry: TimerHandle | undefined
  #seen: MemberRecord | undefined
  #werePeerUrlsRecorded = false

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** There is a leader: publishes if needed. */
  wake(): void {
    if (this.#busy || this.#stopped || this.#isRecorded()) return
    this.#busy = true
    this.#retry?.cancel()
    void this.#publish()
  }

  /**
   * Entries were applied: publishes if they changed what is recorded into something else. After a restart the state may be older
   * than what an earlier process published last, and look right until then.
   */
  applied(): void {
    const recorded = this.#options.recorded()
    if (recorded === this.#seen) return
    this.#seen = recorded
    this.wake()
  }

  stop(): void {
    this.#stopped = true
    this.#retry?.cancel()
  }

  async #publish(): Promise<void> {
    const { record, propose, log, timers } = this.#options
    try {
      const peerUrls = this.#werePeerUrlsRecorded ? [] : record.peerUrls
      await propose({ type: 'memberAttributes', ...record, peerUrls })
      log.info(
        { clientUrls: record.clientUrls, apiUrls: record.apiUrls },
        'published local member to cluster through raft',
      )
    } catch (err) {
      log.debug({ err }, 'local member not published yet')
    }
    this.#busy = false
    if (!this.#stopped && !this.#isRecorded())
      this.#retry = timers.after(RETRY_MS, () => this.wake())
  }

  #isRecorded(): boolean {
    const { record } = this.#options
    const recorded = this.#options.recorded()
    if (recorded === undefined) return false
    const areSame = recorded.peerUrls.join(' ') === record.peerUrls.join(' ')
    this.#werePeerUrlsRecorded ||= areSame
    return this.#werePeerUrlsRecorded && describe(recorded) === describe(record)
  }
}

/** All but its peer URLs. */
function describe(record: MemberRecord): string {
  const { id, name, clientUrls, apiUrls, version, level } = record
  return JSON.stringify([id, name, clientUrls, apiUrls, version, level])
}
