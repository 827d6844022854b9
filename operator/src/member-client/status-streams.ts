// Holds `GET /v1/status/stream` of each member open and wakes its cluster's worker when something there changes: a failover
// is seen when it happens, not at the next poll. What an event says is not used; the worker asks the members itself.

import type { Timers } from '../../../lib/clock.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { Prng } from '../../../lib/prng.ts'
import type { ObjectKey } from '../api/kube-object.ts'
import { DecorrelatedBackoff } from '../controller/backoff.ts'
import type { Enqueue } from '../controller/reconciler.ts'
import { Deadline, pause } from '../deadline.ts'
import { EventParser } from './event-stream.ts'
import { openGet } from './http-get.ts'
import type { FollowedMember, MemberStreams } from './member-client.ts'
import type { MemberTrust } from './trust.ts'

const CONNECT_TIMEOUT_MS = 5000
/** Members send a comment every few seconds. */
const INACTIVITY_MS = 30_000
const BACKOFF_BASE_MS = 200
const BACKOFF_MAX_MS = 10_000
/** Streams of all clusters together; members beyond are polled only. */
const STREAMS_MAX = 4000

export interface StatusStreamsOptions {
  readonly timers: Timers
  readonly trust: MemberTrust
  readonly prng: Prng
  readonly log: Logger
  /** Called for each event, and when a stream that was open breaks. */
  readonly enqueue: Enqueue
  readonly inactivityMs?: number | undefined
}

interface Follower {
  readonly baseUrl: string
  readonly stop: () => void
  readonly run: Promise<void>
}

export class StatusStreams implements MemberStreams {
  readonly #options: StatusStreamsOptions
  /** By cluster, then by member. */
  readonly #clusters = new Map<string, Map<string, Follower>>()
  readonly #ending = new Set<Promise<void>>()
  #count = 0
  #openCount = 0
  #isStopped = false

  constructor(options: StatusStreamsOptions) {
    this.#options = options
  }

  /** Streams that are connected. */
  get openCount(): number {
    return this.#openCount
  }

  follow(cluster: ObjectKey, members: readonly FollowedMember[]): void {
    if (this.#isStopped) return
    const at = `${cluster.namespace}/${cluster.name}`
    const followers = this.#clusters.get(at) ?? new Map<string, Follower>()
    const wanted = new Map(members.map(({ name, baseUrl }) => [name, baseUrl]))
    for (const [name, follower] of followers) {
      if (wanted.get(name) === follower.baseUrl) continue
      this.#end(follower)
      followers.delete(name)
    }
    for (const { name, baseUrl } of members) {
      if (followers.has(name)) continue
      if (this.#count >= STREAMS_MAX) {
        this.#options.log.warn({ ...cluster, member: name }, 'too many status streams: polled only')
        break
      }
      followers.set(name, this.#start(cluster, baseUrl))
    }
    if (followers.size === 0) this.#clusters.delete(at)
    else this.#clusters.set(at, followers)
  }

  /** Ends every stream; resolves when none is open. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const followers of this.#clusters.values()) {
      for (const follower of followers.values()) this.#end(follower)
    }
    this.#clusters.clear()
    await Promise.all(this.#ending)
  }

  #start(cluster: ObjectKey, baseUrl: string): Follower {
    const aborter = new AbortController()
    this.#count++
    const run = this.#run(cluster, baseUrl, aborter.signal)
    return { baseUrl, stop: () => aborter.abort(), run }
  }

  #end({ stop, run }: Follower): void {
    this.#count--
    stop()
    this.#ending.add(run)
    void run.finally(() => this.#ending.delete(run))
  }

  async #run(cluster: ObjectKey, baseUrl: string, signal: AbortSignal): Promise<void> {
    const { timers, prng, log, enqueue } = this.#options
    const times = { baseMs: BACKOFF_BASE_MS, maxMs: BACKOFF_MAX_MS, prng }
    const backoff = new DecorrelatedBackoff(times)
    while (!signal.aborted) {
      const wasOpen = await this.#read(baseUrl, signal, () => {
        backoff.reset()
        enqueue(cluster)
      })
      if (signal.aborted) return
      // Its end is often the first sign that a member is gone.
      if (wasOpen) enqueue(cluster)
      const retryInMs = backoff.nextMs()
      log.debug({ ...cluster, baseUrl, wasOpen, retryInMs }, 'status stream closed')
      await pause(timers, retryInMs, signal)
    }
  }

  /** Reads one stream to its end, whatever that is; returns whether it had been open. Never throws. */
  async #read(baseUrl: string, signal: AbortSignal, onEvent: () => void): Promise<boolean> {
    const { timers, inactivityMs = INACTIVITY_MS, log } = this.#options
    const connecting = new Deadline({ timers, timeoutMs: CONNECT_TIMEOUT_MS, signal })
    let isOpen = false
    try {
      const answer = await openGet(new URL('/v1/status/stream', baseUrl), {
        agents: false,
        trust: this.#options.trust,
        accept: 'text/event-stream',
        signal: connecting.signal,
      })
      connecting.stopTimer()
      if (answer.statusCode !== 200) {
        answer.destroy()
        return false
      }
      isOpen = true
      this.#openCount++
      const parser = new EventParser()
      let silence = timers.after(inactivityMs, () => answer.destroy())
      try {
        for await (const chunk of answer as AsyncIterable<Uint8Array>) {
          silence.cancel()
          silence = timers.after(inactivityMs, () => answer.destroy())
          const events = parser.push(chunk)
          if (events === undefined) break
          if (events.some(({ name }) => name === 'status')) onEvent()
        }
      } finally {
        silence.cancel()
        answer.destroy()
      }
    } catch (err) {
      // Members come and go: the reconcile that an end triggers says what is wrong, if anything is.
      log.debug({ err, baseUrl }, 'status stream failed')
    } finally {
      connecting.cancel()
      if (isOpen) this.#openCount--
    }
    return isOpen
  }
}
