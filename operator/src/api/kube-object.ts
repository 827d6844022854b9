// Kubernetes objects as they travel: raw JSON, nothing converted, nothing dropped. A typed model would silently lose the
// fields of a newer API server; whoever needs a field reads it here and checks it. Types only.

/** A kind of object and where the API server keeps it. */
export interface ResourceType {
  /** The empty string is the core group. */
  readonly group: string
  readonly version: string
  /** Plural, as in URLs and in RBAC rules. */
  readonly resource: string
  readonly kind: string
  readonly namespaced: boolean
}

export interface OwnerReference {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

/** What every object says about itself. Times are RFC 3339 strings. */
export interface ObjectMeta {
  readonly name: string
  /** Absent on objects of the whole cluster. */
  readonly namespace?: string
  readonly uid?: string
  /** Opaque: compared for equality only. */
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly finalizers?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: readonly OwnerReference[]
  readonly [field: string]: unknown
}

/** Never written to: caches share it. */
export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
  readonly [field: string]: unknown
}

/** Names one object of a type; `namespace` is the empty string for objects of the whole cluster. */
export interface ObjectKey {
  readonly namespace: string
  readonly name: string
}
