// Informers whose watches lag: each change arrives when the test delivers it, in order within a type, late across types.

import type { KubeObject, ObjectKey, ResourceType } from '../../../operator/src/api/kube-object.ts'
import type { CacheSet, ObjectCache } from '../../../operator/src/controller/cache.ts'
import type { Change, FakeApiStore } from '../../support/fake-api-store.ts'
import { collectionOf } from './sim-api.ts'

export class SimCaches implements CacheSet {
  readonly #store: FakeApiStore
  readonly #caches = new Map<string, SimCache>()
  readonly #stop: () => void

  constructor(store: FakeApiStore) {
    this.#store = store
    this.#stop = store.onChange((change) => this.#caches.get(change.collection)?.take(change))
  }

  /** Complete from its first use on, as after a first list. */
  of(type: ResourceType): ObjectCache {
    const collection = collectionOf(type)
    let cache = this.#caches.get(collection)
    if (cache === undefined) {
      cache = new SimCache(this.#store.list(collection))
      this.#caches.set(collection, cache)
    }
    return cache
  }

  /** Lets up to so many of the waiting changes of each type arrive. */
  deliver(countOf: () => number): void {
    for (const cache of this.#caches.values()) cache.deliver(countOf())
  }

  close(): void {
    this.#stop()
  }
}

class SimCache implements ObjectCache {
  readonly hasSynced = true
  readonly #objects = new Map<string, KubeObject>()
  readonly #waiting: Change[] = []
  /** In the order of their names; undefined after something has arrived. */
  #sorted: readonly KubeObject[] | undefined

  constructor(objects: readonly KubeObject[]) {
    for (const object of objects) this.#objects.set(pathOf(object), object)
  }

  take(change: Change): void {
    this.#waiting.push(change)
  }

  deliver(count: number): void {
    if (this.#waiting.length > 0) this.#sorted = undefined
    for (const { type, object } of this.#waiting.splice(0, count)) {
      const raw = object as unknown as KubeObject
      if (type === 'DELETED') this.#objects.delete(pathOf(raw))
      else this.#objects.set(pathOf(raw), raw)
    }
  }

  get({ namespace, name }: ObjectKey): KubeObject | undefined {
    return this.#objects.get(`${namespace}/${name}`)
  }

  list(namespace?: string): readonly KubeObject[] {
    this.#sorted ??= [...this.#objects.values()].toSorted((left, right) =>
      left.metadata.name < right.metadata.name ? -1 : 1,
    )
    if (namespace === undefined) return this.#sorted
    return this.#sorted.filter(({ metadata }) => metadata.namespace === namespace)
  }

  byOwner(uid: string): readonly KubeObject[] {
    return this.list().filter(({ metadata }) =>
      metadata.ownerReferences?.some((owner) => owner.uid === uid),
    )
  }

  byLabel(query: {
    readonly namespace: string
    readonly label: string
    readonly value: string
  }): readonly KubeObject[] {
    return this.list(query.namespace).filter(
      ({ metadata }) => metadata.labels?.[query.label] === query.value,
    )
  }
}

function pathOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}
