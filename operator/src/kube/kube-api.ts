// What the operator asks of a Kubernetes API server, and nothing more. Every request has a deadline, follows an
// AbortSignal, and fails with a KubeError whose code says what to do about it. Objects are raw JSON both ways.

import type { KubeObject, ObjectKey, ResourceType } from '../api/kube-object.ts'

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined
  /** From the call to its answer, the wait for our own rate limit included; 10 s if left out. */
  readonly timeoutMs?: number | undefined
  /** `lease` requests pass the others that wait for our own rate limit. */
  readonly priority?: 'lease' | 'normal' | undefined
  /** Called right before the request leaves; a throw keeps it from leaving and is what the call fails with. */
  readonly guard?: (() => void) | undefined
}

export interface ListOptions extends RequestOptions {
  /** Undefined: every namespace. */
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  /** Objects on one page; the API server's default is all of them. */
  readonly limit?: number | undefined
  /** From the page before. */
  readonly continueToken?: string | undefined
  /** Undefined: the newest state, through a quorum. `0`: whatever the server has in its cache. */
  readonly resourceVersion?: string | undefined
}

export interface ListPage {
  readonly items: readonly KubeObject[]
  /** Of the whole list: where a watch continues. */
  readonly resourceVersion: string
  /** Undefined on the last page. */
  readonly continueToken: string | undefined
}

export interface WatchOptions {
  readonly signal: AbortSignal
  readonly namespace?: string | undefined
  readonly labelSelector?: string | undefined
  /** Events after this one. */
  readonly resourceVersion: string
  /** After which the server ends the watch by itself, in seconds. */
  readonly timeoutSeconds: number
  /** Without a byte from the server for so long the connection counts as dead. */
  readonly inactivityMs: number
}

export type WatchEvent =
  | { readonly type: 'added' | 'modified' | 'deleted'; readonly object: KubeObject }
  /** Nothing happened to any object; the watch has come this far. */
  | { readonly type: 'bookmark'; readonly resourceVersion: string }

export interface ApplyOptions extends RequestOptions {
  readonly fieldManager: string
  /** Takes over fields that other managers own; without it they make a `conflict`. */
  readonly force: boolean
}

/** What must still be true of the object, or the request is a `conflict`. */
export interface Preconditions {
  readonly uid?: string | undefined
  readonly resourceVersion?: string | undefined
}

export interface PatchOptions extends RequestOptions {
  readonly fieldManager: string
  readonly preconditions?: Preconditions | undefined
}

export interface DeleteOptions extends RequestOptions {
  readonly preconditions?: Preconditions | undefined
  /** What becomes of its dependents; the API server's default for the kind if left out. */
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan' | undefined
}

/** `deleted`: accepted, finalizers may keep it for a while. `conflict`: it exists, but a precondition does not hold. */
export type DeleteResult = 'deleted' | 'absent' | 'conflict'

export interface KubeApi {
  /** The newest state of one object, through a quorum; undefined when it does not exist. */
  get(type: ResourceType, key: ObjectKey, options?: RequestOptions): Promise<KubeObject | undefined>

  /** One page. */
  list(type: ResourceType, options: ListOptions): Promise<ListPage>

  /**
   * Changes in their order, until the server ends the watch (the iteration ends) or something breaks it (it throws; code
   * `expired` means that the resourceVersion is too old). An event that is not consumed holds the connection back.
   */
  watch(type: ResourceType, options: WatchOptions): AsyncIterable<WatchEvent>

  /** Fails with `alreadyExists` when the name is taken. */
  create(type: ResourceType, object: KubeObject, options?: RequestOptions): Promise<KubeObject>

  /** Replaces the whole object; its `metadata.resourceVersion` must be current, or it is a `conflict`. */
  replace(type: ResourceType, object: KubeObject, options?: RequestOptions): Promise<KubeObject>

  /** Server-side apply: creates it or sets exactly these fields, and drops those this manager set before and now leaves out. */
  apply(type: ResourceType, object: KubeObject, options: ApplyOptions): Promise<KubeObject>

  /** Server-side apply of the status subresource. The object must exist: `notFound` otherwise. */
  applyStatus(type: ResourceType, object: KubeObject, options: ApplyOptions): Promise<KubeObject>

  /** JSON merge patch (RFC 7386), for what others own too: finalizers, labels of pods. */
  patch(
    type: ResourceType,
    key: ObjectKey,
    patch: Readonly<Record<string, unknown>>,
    options: PatchOptions,
  ): Promise<KubeObject>

  delete(type: ResourceType, key: ObjectKey, options?: DeleteOptions): Promise<DeleteResult>
}
