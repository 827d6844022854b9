// Carries out one action. Each names its object by uid, so that a decision made from old facts fails with a conflict
// instead of hitting another object of the same name. What is gone already counts as done.

import { unreachable } from '../../../lib/assert.ts'
import type { KubeObject } from '../api/kube-object.ts'
import { CLEANUP_FINALIZER, FIELD_MANAGER } from '../api/labels.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { PODS, RAFT_CLUSTERS, STATEFUL_SETS, VOLUME_CLAIMS } from '../api/resource-types.ts'
import { isKubeError, KubeError } from '../kube/errors.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import type { Action, PlannedEvent } from './actions.ts'

/** What is asked of the API server. */
export type KubeAction = Exclude<Action, { readonly type: 'changeMembership' | 'writeCertificate' }>

export interface ExecuteContext {
  readonly api: KubeApi
  readonly cluster: RaftCluster
  /** As it was observed, by title: tells whether a write changed anything. */
  readonly children: ReadonlyMap<string, KubeObject>
  readonly signal: AbortSignal
}

/** What is worth telling about it. Throws a KubeError when it did not happen. */
export async function execute(
  action: KubeAction,
  context: ExecuteContext,
): Promise<readonly PlannedEvent[]> {
  const { api, cluster, signal } = context
  const { namespace } = cluster.metadata
  switch (action.type) {
    case 'addFinalizer':
      await patchFinalizers(context, [...(cluster.metadata.finalizers ?? []), CLEANUP_FINALIZER])
      return []
    case 'removeFinalizer':
      await ignoreAbsent(
        patchFinalizers(
          context,
          (cluster.metadata.finalizers ?? []).filter((one) => one !== CLEANUP_FINALIZER),
        ),
      )
      return []
    case 'apply':
      return await applyChild(action, context)
    case 'deleteChild':
      await deleteChild(action, context)
      return []
    case 'labelPod': {
      const patch = { metadata: { labels: action.labels } }
      const preconditions = { uid: action.uid }
      const key = { namespace, name: action.name }
      const options = { fieldManager: FIELD_MANAGER, preconditions, signal }
      await ignoreAbsent(api.patch(PODS, key, patch, options))
      return []
    }
    case 'annotatePod': {
      const patch = { metadata: { annotations: action.annotations } }
      const preconditions = { uid: action.uid }
      const key = { namespace, name: action.name }
      const options = { fieldManager: FIELD_MANAGER, preconditions, signal }
      await ignoreAbsent(api.patch(PODS, key, patch, options))
      return []
    }
    case 'replacePod':
      await mustDelete(context, PODS, action)
      return [podReplaced(action)]
    case 'scale': {
      const { uid, resourceVersion } = action
      const preconditions = { uid, resourceVersion }
      const key = { namespace, name: action.name }
      const options = { fieldManager: FIELD_MANAGER, preconditions, signal }
      await ignoreAbsent(
        api.patch(STATEFUL_SETS, key, { spec: { replicas: action.replicas } }, options),
      )
      return []
    }
    case 'deleteClaim':
      await mustDelete(context, VOLUME_CLAIMS, action)
      return []
    default:
      return unreachable(action)
  }
}

async function patchFinalizers(
  { api, cluster, signal }: ExecuteContext,
  finalizers: readonly string[],
): Promise<void> {
  const { namespace, name, uid, resourceVersion } = cluster.metadata
  await api.patch(
    RAFT_CLUSTERS,
    { namespace, name },
    { metadata: { finalizers } },
    // A merge patch writes the whole list: somebody else's finalizer must not get lost.
    { fieldManager: FIELD_MANAGER, preconditions: { uid, resourceVersion }, signal },
  )
}

async function applyChild(
  action: Extract<Action, { type: 'apply' }>,
  { api, children, signal }: ExecuteContext,
): Promise<readonly PlannedEvent[]> {
  const options = { fieldManager: FIELD_MANAGER, force: true, signal }
  const applied = await api.apply(action.resource, action.object, options)
  const before = children.get(action.title)?.metadata.resourceVersion
  if (action.why !== 'drift' || applied.metadata.resourceVersion === before) return []
  return [
    {
      type: 'Warning',
      reason: 'DriftReverted',
      action: 'Apply',
      message: `${action.title} ${action.object.metadata.name} had been changed, and was set back`,
      occasion: action.title,
    },
  ]
}

async function deleteChild(
  action: Extract<Action, { type: 'deleteChild' }>,
  context: ExecuteContext,
): Promise<void> {
  try {
    await mustDelete(context, action.resource, action)
  } catch (error) {
    if (action.isOptional !== true || !isKubeError(error, 'forbidden')) throw error
  }
}

async function mustDelete(
  { api, cluster, signal }: ExecuteContext,
  type: Parameters<KubeApi['delete']>[0],
  { name, uid }: { readonly name: string; readonly uid: string },
): Promise<void> {
  const { namespace } = cluster.metadata
  const result = await api.delete(type, { namespace, name }, { preconditions: { uid }, signal })
  if (result !== 'conflict') return
  throw new KubeError('conflict', 'the object has been replaced by another one', {
    details: { resource: type.resource, name },
  })
}

async function ignoreAbsent(request: Promise<unknown>): Promise<void> {
  try {
    await request
  } catch (error) {
    if (!isKubeError(error, 'notFound')) throw error
  }
}

function podReplaced({
  name,
  uid,
  reason,
  isRollout,
}: Extract<Action, { type: 'replacePod' }>): PlannedEvent {
  const message = `${name} is deleted: ${reason}`
  if (isRollout === true) {
    const base = { type: 'Normal', reason: 'PodRolled', action: 'ReplacePod' } as const
    return { ...base, message, member: name, occasion: uid }
  }
  return { type: 'Normal', reason: 'PodReplaced', action: 'ReplacePod', message, member: name }
}
