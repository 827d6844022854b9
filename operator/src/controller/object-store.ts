// The objects of one type, indexed by name, owner and label: what an informer fills and everybody else reads. Replacing the
// content of a namespace tells what changed, objects that were deleted and made again under the same name included.

import { invariant } from '../../../lib/assert.ts'
import type { KubeObject, ObjectKey } from '../api/kube-object.ts'
import type { ObjectCache } from './cache.ts'

/** One difference between how it was and how it is. An object that was replaced by another of its name makes two. */
export type Delta =
  | { readonly kind: 'added'; readonly object: KubeObject }
  | { readonly kind: 'updated'; readonly object: KubeObject; readonly before: KubeObject }
  | { readonly kind: 'deleted'; readonly before: KubeObject }

export interface ObjectStoreOptions {
  /** Labels that {@link ObjectCache.byLabel} can be asked for. */
  readonly indexedLabels: readonly string[]
  /** Whether every informer that fills it has completed its first list. */
  readonly hasSynced: () => boolean
}

export class ObjectStore implements ObjectCache {
  readonly #options: ObjectStoreOptions
  /** By namespace, then by name. */
  readonly #namespaces = new Map<string, Map<string, KubeObject>>()
  readonly #index = new Map<string, Set<KubeObject>>()
  #count = 0

  constructor(options: ObjectStoreOptions) {
    this.#options = options
  }

  get hasSynced(): boolean {
    return this.#options.hasSynced()
  }

  /** Objects held. */
  get count(): number {
    return this.#count
  }

  get({ namespace, name }: ObjectKey): KubeObject | undefined {
    return this.#namespaces.get(namespace)?.get(name)
  }

  list(namespace?: string): readonly KubeObject[] {
    if (namespace !== undefined) return sorted(this.#namespaces.get(namespace)?.values() ?? [])
    const names = [...this.#namespaces.keys()].toSorted()
    return names.flatMap((name) => sorted(this.#namespaces.get(name)!.values()))
  }

  byOwner(uid: string): readonly KubeObject[] {
    return sorted(this.#index.get(ownerEntry(uid)) ?? [])
  }

  byLabel(query: {
    readonly namespace: string
    readonly label: string
    readonly value: string
  }): readonly KubeObject[] {
    const { namespace, label, value } = query
    invariant(this.#options.indexedLabels.includes(label), 'label is not indexed', { label })
    return sorted(this.#index.get(labelEntry(namespace, label, value)) ?? [])
  }

  /** Takes an object as it is now. No deltas when it is known in this very version. */
  put(object: KubeObject): readonly Delta[] {
    const key = keyOf(object)
    const before = this.get(key)
    if (before !== undefined && before.metadata.uid !== object.metadata.uid) {
      return [...this.remove(key), ...this.put(object)]
    }
    if (before !== undefined) {
      if (before.metadata.resourceVersion === object.metadata.resourceVersion) return []
      this.#unindex(before)
    } else {
      this.#count++
    }
    let names = this.#namespaces.get(key.namespace)
    if (names === undefined) this.#namespaces.set(key.namespace, (names = new Map()))
    names.set(key.name, object)
    for (const entry of this.#entriesOf(object)) {
      let objects = this.#index.get(entry)
      if (objects === undefined) this.#index.set(entry, (objects = new Set()))
      objects.add(object)
    }
    if (before === undefined) return [{ kind: 'added', object }]
    return [{ kind: 'updated', object, before }]
  }

  /** Forgets an object. No deltas when it is not known. */
  remove(key: ObjectKey): readonly Delta[] {
    const before = this.get(key)
    if (before === undefined) return []
    const names = this.#namespaces.get(key.namespace)!
    names.delete(key.name)
    if (names.size === 0) this.#namespaces.delete(key.namespace)
    this.#unindex(before)
    this.#count--
    return [{ kind: 'deleted', before }]
  }

  /** From now on a namespace (all of them if undefined) holds these objects and no others. */
  replace(namespace: string | undefined, objects: readonly KubeObject[]): readonly Delta[] {
    const wanted = new Set(objects.map((object) => pathOf(keyOf(object))))
    const gone = this.list(namespace).filter((object) => !wanted.has(pathOf(keyOf(object))))
    return [
      ...gone.flatMap((object) => this.remove(keyOf(object))),
      ...objects.flatMap((object) => this.put(object)),
    ]
  }

  #unindex(object: KubeObject): void {
    for (const entry of this.#entriesOf(object)) {
      const objects = this.#index.get(entry)
      objects?.delete(object)
      if (objects?.size === 0) this.#index.delete(entry)
    }
  }

  #entriesOf(object: KubeObject): string[] {
    const { ownerReferences = [], labels = {}, namespace = '' } = object.metadata
    const owners = ownerReferences.map(({ uid }) => ownerEntry(uid))
    const labelled = this.#options.indexedLabels.flatMap((label) => {
      const value = labels[label]
      return value === undefined ? [] : [labelEntry(namespace, label, value)]
    })
    return [...owners, ...labelled]
  }
}

export function keyOf({ metadata }: KubeObject): ObjectKey {
  return { namespace: metadata.namespace ?? '', name: metadata.name }
}

function pathOf({ namespace, name }: ObjectKey): string {
  return `${namespace}/${name}`
}

function ownerEntry(uid: string): string {
  return `owner ${uid}`
}

function labelEntry(namespace: string, label: string, value: string): string {
  return `label ${namespace} ${label} ${value}`
}

function sorted(objects: Iterable<KubeObject>): KubeObject[] {
  return [...objects].toSorted(({ metadata: a }, { metadata: b }) => {
    if (a.name === b.name) return 0
    return a.name < b.name ? -1 : 1
  })
}
