// Glue: informers fill caches, changes become keys of RaftClusters, workers reconcile one key each and never two the same.
// Caches are kept warm by a process that does not lead too; it only starts no workers.

import { invariant } from '../../../lib/assert.ts'
import type { Clock, Timers } from '../../../lib/clock.ts'
import type { Logger } from '../../../lib/logger.ts'
import { type Prng, randomId } from '../../../lib/prng.ts'
import type { KubeObject, ObjectKey, ResourceType } from '../api/kube-object.ts'
import { Deadline } from '../deadline.ts'
import { isKubeError } from '../kube/errors.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import { fraction } from './backoff.ts'
import type { CacheSet, ObjectCache } from './cache.ts'
import { Informer, type InformerObserver, type InformerTimes } from './informer.ts'
import { type Delta, ObjectStore } from './object-store.ts'
import type { Reconciler, ReconcileResult } from './reconciler.ts'
import { WorkQueue, type WorkQueueObserver } from './work-queue.ts'

const WORKERS_DEFAULT = 4
/** A pass that takes longer is ended: each of its requests has a much shorter deadline. */
const PASS_MS_MAX = 60_000
const RESYNC_MS = 10 * 60_000

/** A type that is watched. */
export interface WatchSpec {
  readonly type: ResourceType
  readonly labelSelector?: string | undefined
  /** The cluster an object belongs to; undefined: none of ours. */
  readonly clusterOf: (object: KubeObject) => ObjectKey | undefined
  /** Whether an update is worth a look; each is unless this says no. */
  readonly isRelevant?: ((before: KubeObject, object: KubeObject) => boolean) | undefined
  /** What of an object is held in memory; unless this says otherwise, all but who manages which field. */
  readonly lean?: ((object: KubeObject) => KubeObject) | undefined
}

export interface ControllerObserver {
  readonly queue: WorkQueueObserver
  informer(kind: string): InformerObserver
  reconciled(result: ReconcileResult['kind'] | 'error', durationMs: number): void
}

export interface ControllerOptions {
  readonly api: KubeApi
  readonly watches: readonly WatchSpec[]
  /** Undefined: all of them. */
  readonly namespaces?: readonly string[] | undefined
  readonly indexedLabels: readonly string[]
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  readonly log: Logger
  readonly observer: ControllerObserver
  readonly workerCount?: number | undefined
  readonly passMsMax?: number | undefined
  readonly informerTimes?: InformerTimes | undefined
}

export class Controller {
  readonly queue: WorkQueue
  readonly #options: ControllerOptions
  readonly #stores = new Map<ResourceType, ObjectStore>()
  readonly #informers: Informer[] = []
  /** Passes under way, by key, with the time they began. */
  readonly #passes = new Map<string, number>()
  /** What a key last failed with: repeated failures are told once. */
  readonly #complaints = new Map<string, string>()

  constructor(options: ControllerOptions) {
    const { clock, timers, prng, observer } = options
    this.#options = options
    this.queue = new WorkQueue({ clock, timers, prng, observer: observer.queue })
    for (const watch of options.watches) this.#addWatch(watch)
  }

  get caches(): CacheSet {
    return {
      of: (type: ResourceType): ObjectCache => {
        const store = this.#stores.get(type)
        invariant(store !== undefined, 'type is not watched', { kind: type.kind })
        return store
      },
    }
  }

  /** Whether every cache has completed its first list. */
  get hasSynced(): boolean {
    return this.#informers.every(({ hasSynced }) => hasSynced)
  }

  /** How long the oldest pass under way has been going on; 0 when there is none. */
  get oldestPassMs(): number {
    const nowMs = this.#options.clock.monotonicMs()
    return Math.max(0, ...[...this.#passes.values()].map((startMs) => nowMs - startMs))
  }

  /** Has the cluster looked at soon. */
  enqueue(key: ObjectKey): void {
    this.queue.add(`${key.namespace}/${key.name}`)
  }

  /** Keeps the caches up to date until `signal` is aborted. */
  async runCaches(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.run(signal)))
  }

  /**
   * Reconciles until `signal` is aborted, then resolves once no pass is under way. Call when the caches have synced and
   * this process leads.
   */
  async runWorkers(reconciler: Reconciler, signal: AbortSignal): Promise<void> {
    invariant(this.hasSynced, 'workers would start on caches that are not complete')
    const { workerCount = WORKERS_DEFAULT } = this.#options
    const onAbort = () => void this.queue.shutDown()
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    await Promise.all(Array.from({ length: workerCount }, () => this.#work(reconciler, signal)))
  }

  #addWatch(watch: WatchSpec): void {
    const { api, namespaces, indexedLabels, clock, timers, prng, log, observer, informerTimes } =
      this.#options
    const own: Informer[] = []
    const store = new ObjectStore({
      indexedLabels,
      hasSynced: () => own.every(({ hasSynced }) => hasSynced),
    })
    for (const namespace of namespaces ?? [undefined]) {
      own.push(
        new Informer({
          api,
          type: watch.type,
          store,
          namespace,
          labelSelector: watch.labelSelector,
          lean: watch.lean,
          clock,
          timers,
          prng,
          log,
          observer: observer.informer(watch.type.kind),
          times: informerTimes,
          onDelta: (delta) => this.#enqueueOwner(watch, delta),
        }),
      )
    }
    this.#stores.set(watch.type, store)
    this.#informers.push(...own)
  }

  #enqueueOwner({ clusterOf, isRelevant }: WatchSpec, delta: Delta): void {
    const objects = [
      ...('before' in delta ? [delta.before] : []),
      ...('object' in delta ? [delta.object] : []),
    ]
    if (delta.kind === 'updated' && isRelevant?.(delta.before, delta.object) === false) return
    // An object that moved from one cluster to another wakes both; usually they are the same.
    const keys = objects.flatMap((object) => {
      const key = clusterOf(object)
      return key === undefined ? [] : [`${key.namespace}/${key.name}`]
    })
    for (const key of new Set(keys)) this.queue.add(key)
  }

  async #work(reconciler: Reconciler, signal: AbortSignal): Promise<void> {
    for (;;) {
      const key = await this.queue.get()
      if (key === undefined) return
      try {
        await this.#pass(key, reconciler, signal)
      } finally {
        this.queue.done(key)
      }
    }
  }

  async #pass(key: string, reconciler: Reconciler, signal: AbortSignal): Promise<void> {
    const { clock, timers, observer, passMsMax = PASS_MS_MAX } = this.#options
    const startMs = clock.monotonicMs()
    const [namespace = '', name = ''] = key.split('/')
    const reconcileId = randomId()
    this.#passes.set(key, startMs)
    const deadline = new Deadline({ timers, timeoutMs: passMsMax, signal })
    let result: ReconcileResult | { readonly kind: 'error'; readonly cause: unknown }
    try {
      result = await reconciler.reconcile(
        { namespace, name },
        { signal: deadline.signal, reconcileId },
      )
    } catch (cause) {
      result = { kind: 'error', cause }
    } finally {
      deadline.cancel()
      this.#passes.delete(key)
    }
    observer.reconciled(result.kind, clock.monotonicMs() - startMs)
    // Ended by us: whoever leads next looks at every cluster anyway.
    if (!signal.aborted) this.#schedule(key, result)
  }

  #schedule(
    key: string,
    result: ReconcileResult | { readonly kind: 'error'; readonly cause: unknown },
  ): void {
    const { prng } = this.#options
    if (result.kind === 'retry' || result.kind === 'error') {
      const cause = result.cause
      const askedMs = isKubeError(cause) ? (cause.retryAfterMs ?? 0) : 0
      const retryInMs = this.queue.addRateLimited(key, askedMs)
      this.#complain(key, { result, retryInMs })
      return
    }
    this.queue.forget(key)
    if (this.#complaints.delete(key)) {
      this.#options.log.info({ cluster: key }, 'reconciled again')
    }
    // Spread out: clusters that were looked at together, after a restart all of them, need not be so for ever.
    const afterMs = result.kind === 'wait' ? result.afterMs : RESYNC_MS
    this.queue.addAfter(key, afterMs * (1 + fraction(prng) / 10))
  }

  #complain(
    key: string,
    failure: {
      readonly result: {
        readonly kind: 'retry' | 'error'
        readonly cause?: unknown
        readonly reason?: string
      }
      readonly retryInMs: number
    },
  ): void {
    const { result, retryInMs } = failure
    const { cause, reason } = result
    const code = isKubeError(cause) ? cause.code : cause instanceof Error ? cause.name : ''
    const complaint = `${reason ?? ''} ${code}`
    const fields = { err: cause, cluster: key, reason, retryInMs }
    if (this.#complaints.get(key) === complaint) {
      this.#options.log.debug(fields, 'reconcile failed again')
      return
    }
    this.#complaints.set(key, complaint)
    // What the world refuses is handled by trying again; anything else is a bug that a person should look at.
    const isBug = result.kind === 'error' && !isKubeError(cause)
    if (isBug) this.#options.log.error(fields, 'reconcile failed')
    else this.#options.log.warn(fields, 'reconcile failed')
  }
}

/** The cluster that an object's label names: everything of a cluster carries it. */
export function clusterOfLabel(label: string): (object: KubeObject) => ObjectKey | undefined {
  return ({ metadata: { namespace = '', labels = {} } }) => {
    const name = labels[label]
    return name === undefined || name === '' ? undefined : { namespace, name }
  }
}

/** A resource of ours: an update that only changes its status is our own doing. */
export function isMoreThanStatus(before: KubeObject, object: KubeObject): boolean {
  return relevantText(before) !== relevantText(object)
}

function relevantText({ metadata, ...object }: KubeObject): string {
  const { generation, deletionTimestamp, labels, annotations, finalizers, ownerReferences } =
    metadata
  const kept = { generation, deletionTimestamp, labels, annotations, finalizers, ownerReferences }
  return JSON.stringify([kept, object['spec']])
}
