// Which of several operators acts: the one whose name is in the Lease. Time is this process's monotonic clock only, never a
// date somebody else wrote: a Lease is stale when it has not been seen to change for its duration, and this process leads
// while less than the renew deadline has passed since it sent the last renewal that succeeded. That the second is shorter
// than the first is what keeps two from acting at once, whatever was stopped, slow or unreachable in between.

import { invariant } from '../../../lib/assert.ts'
import type { Clock, Timers } from '../../../lib/clock.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { KubeObject } from '../api/kube-object.ts'
import { LEASES } from '../api/resource-types.ts'
import { Deadline, pause } from '../deadline.ts'
import { isKubeError } from '../kube/errors.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import { microTime } from '../kube/micro-time.ts'
import { leaseObject, type LeaseRecord, readLease } from './lease-record.ts'

export interface ElectionTimes {
  /** A Lease that was not renewed for so long may be taken. */
  readonly leaseMs: number
  /** A leader that could not renew for so long stops acting. */
  readonly renewDeadlineMs: number
  /** Between two renewals, and between two looks at somebody else's Lease. */
  readonly retryMs: number
}

/** The API server rounds durations to seconds; client-go's defaults. */
export const ELECTION_TIMES: ElectionTimes = {
  leaseMs: 15_000,
  renewDeadlineMs: 10_000,
  retryMs: 2000,
}

const REQUEST_MS_MAX = 5000
const RELEASE_MS_MAX = 3000

export interface LeaderElectionOptions {
  readonly api: KubeApi
  readonly namespace: string
  readonly name: string
  /** Of this process; no other one has it, also not the one before a restart. */
  readonly identity: string
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Logger
  readonly times?: ElectionTimes | undefined
}

/** What was last seen of the Lease, and since when it has been like that for all we know. */
interface Observed {
  readonly object: KubeObject
  readonly record: LeaseRecord
  readonly sinceMs: number
}

export class LeaderElection {
  readonly #options: LeaderElectionOptions
  readonly #times: ElectionTimes
  #observed: Observed | undefined
  /** When the last look at the Lease was sent. */
  #lookedAtMs: number | undefined
  /** When the last renewal that succeeded was sent; undefined: this process does not hold the Lease. */
  #renewedAtMs: number | undefined
  #isReleased = false
  #failureCode = ''
  #roundAtMs: number

  constructor(options: LeaderElectionOptions) {
    this.#options = options
    this.#times = options.times ?? ELECTION_TIMES
    const { leaseMs, renewDeadlineMs, retryMs } = this.#times
    invariant(
      leaseMs > renewDeadlineMs + retryMs && renewDeadlineMs > retryMs,
      'a Lease would end before its holder stops acting',
      { ...this.#times },
    )
    this.#roundAtMs = options.clock.monotonicMs()
  }

  /** Whether this process may act right now. Asked before each action: it becomes false by time alone. */
  isLeader(): boolean {
    if (this.#renewedAtMs === undefined || this.#isReleased) return false
    return this.#nowMs() - this.#renewedAtMs < this.#times.renewDeadlineMs
  }

  /** Who holds the Lease as far as we know; empty: nobody. */
  get holder(): string {
    return this.#observed?.record.holder ?? ''
  }

  /** How long ago the loop below last came round: a loop that hangs cannot renew. */
  get roundAgeMs(): number {
    return this.#nowMs() - this.#roundAtMs
  }

  /** Resolves once this process leads, or when `signal` is aborted (false). */
  async acquire(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      if (await this.#round(signal)) return true
      await pause(this.#options.timers, this.#untilNextLookMs(), signal)
    }
    return false
  }

  /** Renews until leadership is lost (`lost`) or `signal` is aborted (`stopped`). Never takes the Lease again. */
  async hold(signal: AbortSignal): Promise<'lost' | 'stopped'> {
    let isRenewed = true
    for (;;) {
      // After a failure sooner: it is the last attempts before the deadline that count.
      const { retryMs } = this.#times
      await pause(this.#options.timers, isRenewed ? retryMs : retryMs / 2, signal)
      if (signal.aborted) return 'stopped'
      // A process that was stopped finds out here that its time was over, even if nobody has taken the Lease.
      if (!this.isLeader()) return this.#lose('renew deadline has passed')
      isRenewed = await this.#round(signal)
      if (isRenewed) continue
      if (!this.isLeader()) return this.#lose('renew deadline has passed')
      const isTaken = this.holder !== '' && this.holder !== this.#options.identity
      if (isTaken) return this.#lose('taken by another')
    }
  }

  /** Gives the Lease back, so that another process need not wait until it is stale. Call when nothing acts any more. */
  async release(): Promise<void> {
    const observed = this.#observed
    const isHeld = this.isLeader() && observed?.record.holder === this.#options.identity
    this.#isReleased = true
    if (!isHeld || observed === undefined) return
    const { api, timers, log } = this.#options
    const deadline = new Deadline({ timers, timeoutMs: RELEASE_MS_MAX })
    const request = { signal: deadline.signal, priority: 'lease' } as const
    const give = async ({ record, object }: typeof observed): Promise<void> => {
      const free = { ...record, holder: '', durationSeconds: 1 }
      await api.replace(LEASES, this.#lease(free, object), request)
    }
    try {
      try {
        await give(observed)
      } catch (error) {
        if (!isKubeError(error, 'conflict')) throw error
        // A renewal may have been made whose answer nobody waited for any more.
        this.#look(await this.#read(request))
        const current = this.#observed
        if (current === undefined || current.record.holder !== this.#options.identity) throw error
        await give(current)
      }
      log.info('leadership released')
    } catch (err) {
      log.warn({ err }, 'leadership could not be released and will end by itself')
    } finally {
      deadline.cancel()
    }
  }

  /** One look at the Lease, and one attempt to write it when it is ours or nobody's. True when we hold it now. */
  async #round(signal: AbortSignal): Promise<boolean> {
    this.#roundAtMs = this.#nowMs()
    const timeoutMs = this.#requestMs()
    try {
      const isHeld = await this.#tryHold({ signal, timeoutMs, priority: 'lease' })
      this.#failureCode = ''
      return isHeld
    } catch (error) {
      if (signal.aborted) return false
      const code = isKubeError(error) ? error.code : 'unknown'
      // Somebody else was quicker: no failure, the next look shows who.
      const isRace = code === 'conflict' || code === 'alreadyExists'
      if (!isRace && code !== this.#failureCode) {
        this.#options.log.warn({ err: error }, 'lease cannot be read or written')
      }
      this.#failureCode = isRace ? '' : code
      return false
    }
  }

  async #tryHold(request: {
    readonly signal: AbortSignal
    readonly timeoutMs: number
    readonly priority: 'lease'
  }): Promise<boolean> {
    const { api, namespace, name, identity, log } = this.#options
    // A leader's own last answer is current unless somebody interfered, which the conflict then shows.
    const isRenewal = this.#renewedAtMs !== undefined && this.holder === identity
    if (!isRenewal) this.#look(await this.#read(request))
    const observed = this.#observed
    const sentAtMs = this.#nowMs()
    if (observed === undefined) {
      const record = this.#ownRecord(undefined)
      const object = await api.create(LEASES, this.#lease(record, undefined), request)
      this.#note(object, sentAtMs)
    } else {
      if (!this.#mayTake(observed)) return false
      const lease = this.#lease(this.#ownRecord(observed.record), observed.object)
      try {
        this.#note(await api.replace(LEASES, lease, request), sentAtMs)
      } catch (error) {
        if (isKubeError(error, 'conflict', 'notFound')) this.#look(await this.#read(request))
        throw error
      }
    }
    if (this.#renewedAtMs === undefined) log.info({ namespace, lease: name, identity }, 'leading')
    this.#renewedAtMs = sentAtMs
    return true
  }

  async #read(request: { readonly signal: AbortSignal }): Promise<SentLook> {
    const { api, namespace, name } = this.#options
    const sentAtMs = this.#nowMs()
    return { object: await api.get(LEASES, { namespace, name }, request), sentAtMs }
  }

  /**
   * Notes what the Lease looks like now. When it has changed, that was after the look before this one was sent: from then
   * on its time runs, but for gaps longer than the usual one, which prove nothing.
   */
  #look({ object, sentAtMs }: SentLook): void {
    const previousLookMs = this.#lookedAtMs
    this.#lookedAtMs = sentAtMs
    if (object === undefined) {
      this.#observed = undefined
      return
    }
    if (object.metadata.resourceVersion === this.#observed?.object.metadata.resourceVersion) return
    const nowMs = this.#nowMs()
    const earliestMs = nowMs - this.#times.retryMs
    this.#note(object, previousLookMs === undefined ? nowMs : Math.max(previousLookMs, earliestMs))
  }

  #note(object: KubeObject, sinceMs: number): void {
    const record = readLease(object)
    if (record.holder !== this.holder && record.holder !== this.#options.identity) {
      this.#options.log.info({ holder: record.holder }, 'lease has another holder')
    }
    this.#observed = { object, record, sinceMs }
  }

  #mayTake({ record, sinceMs }: Observed): boolean {
    if (record.holder === '' || record.holder === this.#options.identity) return true
    return this.#nowMs() >= sinceMs + this.#staleAfterMs(record)
  }

  /** The holder's own word counts when it promised to renew less often than we would. */
  #staleAfterMs({ durationSeconds }: LeaseRecord): number {
    return Math.max(this.#times.leaseMs, durationSeconds * 1000)
  }

  #untilNextLookMs(): number {
    const observed = this.#observed
    if (observed === undefined || observed.record.holder === '') return this.#times.retryMs
    const staleInMs = observed.sinceMs + this.#staleAfterMs(observed.record) - this.#nowMs()
    return Math.max(1, Math.min(this.#times.retryMs, staleInMs > 0 ? staleInMs : Infinity))
  }

  /** A renewal must fail early enough for another attempt before the deadline. */
  #requestMs(): number {
    if (this.#renewedAtMs === undefined) return REQUEST_MS_MAX
    const leftMs = this.#renewedAtMs + this.#times.renewDeadlineMs - this.#nowMs()
    return Math.max(1, Math.min(REQUEST_MS_MAX, leftMs))
  }

  #ownRecord(before: LeaseRecord | undefined): LeaseRecord {
    const { identity, clock } = this.#options
    const isOurs = before?.holder === identity
    const transitions = before === undefined ? 0 : before.transitions + (isOurs ? 0 : 1)
    const acquireTime = isOurs ? before.acquireTime : microTime(clock.wallMs())
    const durationSeconds = Math.ceil(this.#times.leaseMs / 1000)
    return { holder: identity, durationSeconds, transitions, acquireTime }
  }

  #lease(record: LeaseRecord, current: KubeObject | undefined): KubeObject {
    const { namespace, name, clock } = this.#options
    const renewTime = microTime(clock.wallMs())
    return leaseObject({ namespace, name, record, renewTime, current })
  }

  #lose(reason: string): 'lost' {
    const { log } = this.#options
    log.error({ reason, holder: this.holder }, 'leadership lost')
    this.#renewedAtMs = undefined
    return 'lost'
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }
}

/** An answer to a look at the Lease, with the time the question was sent. */
interface SentLook {
  readonly object: KubeObject | undefined
  readonly sentAtMs: number
}
