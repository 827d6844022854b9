// The read side of an informer: the objects of one type as the watch last showed them, indexed. Reading is synchronous and
// never fails; what is read may be behind the API server by the delay of the watch, so whoever is about to destroy
// something asks the server again. Objects are shared and must not be changed.

import type { KubeObject, ObjectKey, ResourceType } from '../api/kube-object.ts'

export interface ObjectCache {
  /** Whether the first list is complete. Before that everything seems absent. */
  readonly hasSynced: boolean

  get(key: ObjectKey): KubeObject | undefined

  /** All of one namespace, or of all of them; by name within a namespace. */
  list(namespace?: string): readonly KubeObject[]

  /** Objects with an owner reference to this uid, controller or not, by name. */
  byOwner(uid: string): readonly KubeObject[]

  /** Objects of a namespace with this label value, by name. Only labels the informer indexes can be asked for. */
  byLabel(query: {
    readonly namespace: string
    readonly label: string
    readonly value: string
  }): readonly KubeObject[]
}

export interface CacheSet {
  /** The cache of a type that is watched; asking for another one is a bug. */
  of(type: ResourceType): ObjectCache
}
