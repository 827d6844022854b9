// Every object of the cluster as it shall be: made when absent, written again when it is wanted different or when somebody
// has changed it, deleted when it is not wanted any more. Pure.

import { includes } from '../../api/canonical.ts'
import type { KubeObject } from '../../api/kube-object.ts'
import { APPLIED_ANNOTATION } from '../../api/labels.ts'
import { CHILDREN, type ChildKind, desired } from '../../resources/children.ts'
import { act, type Action, type StepResult } from '../actions.ts'
import type { Model } from './model.ts'

export function planFoundations(model: Model): StepResult {
  return act(...CHILDREN.flatMap((kind) => actionsFor(kind, model)))
}

function actionsFor(kind: ChildKind, model: Model): readonly Action[] {
  const { cluster, replicas, ours, render } = model
  const live = ours.get(kind.title)
  if (!kind.isWanted(cluster, replicas)) {
    const isThere = live !== undefined && live.metadata.deletionTimestamp === undefined
    return isThere ? [deleteChild(kind, live)] : []
  }
  const object = desired(kind, render)
  if (live === undefined) return [apply(kind, object, 'create')]
  // Its owner went or its deletion was asked for; a new one is made once it is gone.
  if (live.metadata.deletionTimestamp !== undefined) return []
  const why = differenceOf(live, object)
  if (why === undefined) return []
  return [apply(kind, withUid(object, live), why)]
}

function differenceOf(live: KubeObject, object: KubeObject): 'update' | 'drift' | undefined {
  const { annotations } = live.metadata
  const mark = object.metadata.annotations?.[APPLIED_ANNOTATION]
  if (annotations?.[APPLIED_ANNOTATION] !== mark) return 'update'
  return includes(live, object) ? undefined : 'drift'
}

function apply(kind: ChildKind, object: KubeObject, why: 'create' | 'update' | 'drift'): Action {
  return { type: 'apply', title: kind.title, resource: kind.type, object, why }
}

/** If the live object has been replaced meanwhile, the write is a conflict. */
function withUid(object: KubeObject, live: KubeObject): KubeObject {
  if (live.metadata.uid === undefined) return object
  return { ...object, metadata: { ...object.metadata, uid: live.metadata.uid } }
}

function deleteChild(kind: ChildKind, live: KubeObject): Action {
  return {
    type: 'deleteChild',
    title: kind.title,
    resource: kind.type,
    name: live.metadata.name,
    uid: live.metadata.uid ?? '',
  }
}
