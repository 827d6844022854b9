// Keeps an ObjectStore equal to a part of the API server: a paged list, then watches from where it ended, for ever. It
// never stops by itself: whatever breaks, it waits a little and goes on from the last known position, or lists anew when
// that is too old. Every ten minutes it lists anyway and counts what the watches had missed.

import { invariant } from '../../../lib/assert.ts'
import type { Clock, Timers } from '../../../lib/clock.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { Prng } from '../../../lib/prng.ts'
import type { KubeObject, ResourceType } from '../api/kube-object.ts'
import { Deadline, pause } from '../deadline.ts'
import { isKubeError } from '../kube/errors.ts'
import type { KubeApi, WatchEvent } from '../kube/kube-api.ts'
import { DecorrelatedBackoff } from './backoff.ts'
import { type Delta, keyOf, type ObjectStore } from './object-store.ts'

const PAGE_LIMIT = 500
const LIST_TIMEOUT_MS = 30_000
const BACKOFF_BASE_MS = 100
const BACKOFF_MAX_MS = 30_000
/** A watch that lasted so long was a good one, even if nothing happened in it. */
const HEALTHY_WATCH_MS = 1000
const MS = 1000

export interface InformerTimes {
  /** The server ends each watch after a random time between these. */
  readonly watchSecondsMin: number
  readonly watchSecondsMax: number
  /** Without a byte for so long a watch counts as dead; the server sends a bookmark each minute. */
  readonly inactivityMs: number
  readonly relistMs: number
}

export const INFORMER_TIMES: InformerTimes = {
  watchSecondsMin: 240,
  watchSecondsMax: 480,
  inactivityMs: 90_000,
  relistMs: 10 * 60_000,
}
/** How much longer than agreed a watch may last before we end it. */
const WATCH_GRACE_MS = 30_000

export type RestartReason = 'ended' | 'relist' | 'expired' | 'silent' | 'broken' | 'refused'

export interface InformerObserver {
  synced(isSynced: boolean): void
  /** An event or a bookmark has arrived, or a list has been completed. */
  heard(): void
  restarted(reason: RestartReason): void
  /** Objects that a relist found different from the store although the watch had come past them. */
  missed(count: number): void
}

export interface InformerOptions {
  readonly api: KubeApi
  readonly type: ResourceType
  readonly store: ObjectStore
  /** Undefined: all of them. */
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  /** What of an object is kept; its metadata stays as it is. */
  readonly lean?: ((object: KubeObject) => KubeObject) | undefined
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  readonly log: Logger
  readonly observer?: InformerObserver | undefined
  readonly times?: InformerTimes | undefined
  /** Called for each difference in order. It only notes what to do; a throw is a bug, logged, and stops nothing. */
  readonly onDelta: (delta: Delta) => void
}

export class Informer {
  readonly #options: InformerOptions
  readonly #log: Logger
  readonly #times: InformerTimes
  readonly #backoff: DecorrelatedBackoff
  #hasStarted = false
  #hasSynced = false
  /** Where the next watch starts; undefined: nothing is known, list first. */
  #position: string | undefined
  #lastReason = ''

  constructor(options: InformerOptions) {
    this.#options = options
    this.#times = options.times ?? INFORMER_TIMES
    this.#log = options.log.child({ kind: options.type.kind })
    const { prng } = options
    this.#backoff = new DecorrelatedBackoff({
      baseMs: BACKOFF_BASE_MS,
      maxMs: BACKOFF_MAX_MS,
      prng,
    })
  }

  /** Whether the first list is complete. */
  get hasSynced(): boolean {
    return this.#hasSynced
  }

  /** Runs until `signal` is aborted, then resolves; after that no delta is told any more. Called once. */
  async run(signal: AbortSignal): Promise<void> {
    invariant(!this.#hasStarted, 'informer runs already', { kind: this.#options.type.kind })
    this.#hasStarted = true
    let relistAtMs = 0
    while (!signal.aborted) {
      try {
        if (this.#position === undefined || this.#nowMs() >= relistAtMs) {
          await this.#relist(signal)
          relistAtMs = this.#nowMs() + this.#times.relistMs
        }
        const startMs = this.#nowMs()
        await this.#watch(signal, relistAtMs)
        this.#restarted(this.#nowMs() >= relistAtMs ? 'relist' : 'ended')
        const isHealthy = this.#nowMs() - startMs >= HEALTHY_WATCH_MS
        if (isHealthy) this.#backoff.reset()
        else await pause(this.#options.timers, this.#backoff.nextMs(), signal)
      } catch (error) {
        if (signal.aborted) break
        await this.#recover(error, signal)
      }
    }
    if (this.#hasSynced) this.#options.observer?.synced(false)
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const { api, type, namespace, labelSelector, store, observer } = this.#options
    const objects: KubeObject[] = []
    let continueToken: string | undefined
    let resourceVersion: string
    do {
      const page = await api.list(type, {
        namespace,
        labelSelector,
        limit: PAGE_LIMIT,
        continueToken,
        signal,
        timeoutMs: LIST_TIMEOUT_MS,
      })
      if (signal.aborted) return
      for (const item of page.items) objects.push(this.#lean(item))
      continueToken = page.continueToken
      resourceVersion = page.resourceVersion
    } while (continueToken !== undefined)
    const deltas = store.replace(namespace, objects)
    const position = this.#position
    if (position !== undefined) observer?.missed(countMissed(deltas, { position, resourceVersion }))
    this.#position = resourceVersion
    observer?.heard()
    // First the deltas, then "synced": whoever waits for it finds every key enqueued.
    for (const delta of deltas) this.#tell(delta)
    if (!this.#hasSynced) {
      this.#hasSynced = true
      observer?.synced(true)
      this.#log.debug({ namespace, objects: store.count }, 'cache synced')
    }
  }

  async #watch(signal: AbortSignal, relistAtMs: number): Promise<void> {
    const { api, type, namespace, labelSelector, timers, prng } = this.#options
    const { watchSecondsMin, watchSecondsMax, inactivityMs } = this.#times
    const randomSeconds = watchSecondsMin + prng.next(watchSecondsMax - watchSecondsMin + 1)
    const untilRelistSeconds = Math.ceil((relistAtMs - this.#nowMs()) / MS)
    const timeoutSeconds = Math.max(1, Math.min(randomSeconds, untilRelistSeconds))
    // The server is asked to end it; should it not, we do.
    const timeoutMs = timeoutSeconds * MS + WATCH_GRACE_MS
    const deadline = new Deadline({ timers, timeoutMs, signal })
    try {
      const events = api.watch(type, {
        namespace,
        labelSelector,
        resourceVersion: this.#position ?? '',
        timeoutSeconds,
        inactivityMs,
        signal: deadline.signal,
      })
      for await (const event of events) {
        if (signal.aborted) return
        this.#take(event)
      }
    } catch (error) {
      if (!deadline.hasPassed) throw error
    } finally {
      deadline.cancel()
    }
  }

  #take(event: WatchEvent): void {
    this.#heard()
    if (event.type === 'bookmark') {
      this.#position = event.resourceVersion
      return
    }
    const { store } = this.#options
    const object = this.#lean(event.object)
    const deltas = event.type === 'deleted' ? store.remove(keyOf(object)) : store.put(object)
    this.#position = object.metadata.resourceVersion ?? this.#position
    for (const delta of deltas) this.#tell(delta)
  }

  #lean(object: KubeObject): KubeObject {
    const { lean: leaner } = this.#options
    const unmanaged = withoutManagers(object)
    return leaner === undefined ? unmanaged : leaner(unmanaged)
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const reason = reasonOf(error)
    if (reason === 'expired') this.#position = undefined
    this.#restarted(reason)
    const retryAfterMs = isKubeError(error) ? (error.retryAfterMs ?? 0) : 0
    const retryInMs = Math.max(this.#backoff.nextMs(), retryAfterMs)
    if (reason === this.#lastReason) {
      this.#log.debug({ err: error, reason, retryInMs }, 'list or watch failed again')
    } else if (reason !== 'expired') {
      this.#log.warn({ err: error, reason, retryInMs }, 'list or watch failed')
    }
    this.#lastReason = reason
    await pause(this.#options.timers, retryInMs, signal)
  }

  #heard(): void {
    this.#backoff.reset()
    if (this.#lastReason !== '') {
      this.#log.info({ after: this.#lastReason }, 'watching again')
      this.#lastReason = ''
    }
    this.#options.observer?.heard()
  }

  #tell(delta: Delta): void {
    try {
      this.#options.onDelta(delta)
    } catch (err) {
      this.#log.error({ err }, 'handler of a change failed')
    }
  }

  #restarted(reason: RestartReason): void {
    this.#options.observer?.restarted(reason)
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }
}

function reasonOf(error: unknown): RestartReason {
  if (!isKubeError(error)) return 'broken'
  switch (error.code) {
    case 'expired':
      return 'expired'
    case 'timeout':
      return 'silent'
    case 'forbidden':
    case 'unauthorized':
    case 'notFound':
    case 'invalid':
    case 'throttled':
      return 'refused'
    default:
      return 'broken'
  }
}

/** Without the field managers, which are half of an object and which nobody reads from a cache. */
function withoutManagers(object: KubeObject): KubeObject {
  if (object.metadata['managedFields'] === undefined) return object
  const { managedFields: _managedFields, ...metadata } = object.metadata
  return { ...object, metadata }
}

/**
 * Differences a watch that had come to `position` should have told. Versions are compared as numbers, as the API server
 * makes them; where they are none, nothing is counted. A deletion leaves no version: it counts when nothing at all
 * happened between the watch and the list.
 */
function countMissed(
  deltas: readonly Delta[],
  at: { readonly position: string; readonly resourceVersion: string },
): number {
  const position = Number(at.position)
  return deltas.filter((delta) => {
    if (delta.kind === 'deleted') return at.position === at.resourceVersion
    return Number(delta.object.metadata.resourceVersion) <= position
  }).length
}
