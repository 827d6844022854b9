// What the controller calls for a key of its queue, and what it learns from the answer. One key is never reconciled twice
// at the same time; different keys are.

import type { ObjectKey } from '../api/kube-object.ts'

export type ReconcileResult =
  /** Nothing to do until something changes. The controller looks again at its resync anyway. */
  | { readonly kind: 'done' }
  /** Nothing is wrong; look again after this time, or at the next change. */
  | { readonly kind: 'wait'; readonly afterMs: number; readonly reason?: string }
  /** It did not get through; look again with growing delays. */
  | { readonly kind: 'retry'; readonly reason: string; readonly cause?: unknown }
  /** Useless until the user changes the resource; its conditions say why. */
  | { readonly kind: 'terminal'; readonly reason: string }

export interface ReconcileContext {
  /** Aborted when leadership is lost, at shutdown, and when the pass has taken too long. */
  readonly signal: AbortSignal
  /** Identifies this pass in logs. */
  readonly reconcileId: string
}

export interface Reconciler {
  /** One pass over one RaftCluster, which may not exist (any more). A throw counts as `retry`. */
  reconcile(key: ObjectKey, context: ReconcileContext): Promise<ReconcileResult>
}

/** Wakes the worker of a key: something that no watch of the API server shows has changed. */
export interface Enqueue {
  (key: ObjectKey): void
}
