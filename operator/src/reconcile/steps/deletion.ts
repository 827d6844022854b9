// The way out: members stop, volumes are kept or deleted as the spec says, and only then the RaftCluster goes. It comes
// before everything else, so that a cluster that is paused or broken can be deleted too. Creates nothing. Pure.

import type { Action, StepResult } from '../actions.ts'
import { NOTHING, stop } from '../actions.ts'
import type { Model } from './model.ts'

/**
 * A protected cluster stays as it is. Once its StatefulSet goes, its namespace is being deleted, and holding on would
 * protect nothing: then only the volumes are left alone.
 */
export function isHeld({ cluster, isDeleting, statefulSet }: Model): boolean {
  return (
    isDeleting &&
    cluster.spec.deletionProtection &&
    statefulSet !== undefined &&
    statefulSet.metadata.deletionTimestamp === undefined
  )
}

/** Where a deletion is, and what it waits for; undefined when none is under way. */
export function deletionStep(
  model: Model,
): { readonly step: string; readonly message: string } | undefined {
  const { observed, isDeleting } = model
  if (!isDeleting) return undefined
  if (isHeld(model)) {
    return {
      step: 'Held',
      message: 'spec.deletionProtection holds the deletion; set it to false to let it go on',
    }
  }
  if (observed.pods.length > 0) {
    const names = observed.pods.map(({ name }) => name).join(', ')
    return { step: 'StopMembers', message: `waiting for ${names} to end` }
  }
  const claims = doomedClaims(model)
  if (claims.length > 0) {
    const names = claims.map(({ name }) => name).join(', ')
    return { step: 'DeleteVolumes', message: `waiting for ${names} to be gone` }
  }
  return { step: 'Release', message: 'nothing is left to do' }
}

export function planDeletion(model: Model): StepResult {
  const { isDeleting, hasFinalizer, statefulSet, observed } = model
  if (!isDeleting) return NOTHING
  if (!hasFinalizer) return { actions: [], stop: { kind: 'done' } }
  if (isHeld(model)) return stop(10, 'Held')
  const stopping = stopMembers(model)
  if (stopping !== undefined) return stop(2, 'StopMembers', stopping)
  if (observed.pods.length > 0 || replicasOf(statefulSet) > 0) return stop(2, 'StopMembers')
  const claims = doomedClaims(model)
  if (claims.length > 0) {
    const actions = claims
      .filter(({ isTerminating }) => !isTerminating)
      .map(({ name, uid }): Action => ({ type: 'deleteClaim', name, uid }))
    return stop(2, 'DeleteVolumes', actions)
  }
  return { actions: [{ type: 'removeFinalizer' }], stop: { kind: 'done' } }
}

/** Scales to none; pods that no StatefulSet looks after any more are deleted one by one. */
function stopMembers({ statefulSet, observed, cluster }: Model): readonly Action[] | undefined {
  if (statefulSet === undefined) {
    const orphan = observed.pods.find(({ isTerminating }) => !isTerminating)
    if (orphan === undefined) return undefined
    const reason = 'its cluster is being deleted'
    return [{ type: 'replacePod', name: orphan.name, uid: orphan.uid, reason }]
  }
  if (replicasOf(statefulSet) === 0) return undefined
  const { uid = '' } = statefulSet.metadata
  return [{ type: 'scale', name: cluster.metadata.name, uid, replicas: 0 }]
}

function replicasOf(statefulSet: Model['statefulSet']): number {
  if (statefulSet === undefined || statefulSet.metadata.deletionTimestamp !== undefined) return 0
  const spec = statefulSet['spec'] as { readonly replicas?: number } | undefined
  return spec?.replicas ?? 1
}

/** Of this cluster by their own mark, whatever their name: what is not marked is not ours to delete. */
function doomedClaims({ cluster, observed, token }: Model): Model['observed']['claims'] {
  const { storage, deletionProtection } = cluster.spec
  if (storage.whenDeleted !== 'Delete' || deletionProtection) return []
  return observed.claims.filter(({ clusterUid }) => clusterUid === token)
}
