// Every object of the cluster as it shall be: made when absent, written again when it is wanted different or when somebody
// has changed it, deleted when it is not wanted any more. Pure.

import { includes } from '../../api/canonical.ts'
import type { KubeObject } from '../../api/kube-object.ts'
import { APPLIED_ANNOTATION } from '../../api/labels.ts'
import {
  CHILDREN,
  type ChildKind,
  desired,
  MEMBERSHIP,
  STATEFUL_SET,
} from '../../resources/children.ts'
import { act, type Action, stop, type StepResult } from '../actions.ts'
import type { Model } from './model.ts'

export function planFoundations(model: Model): StepResult {
  const actions = CHILDREN.flatMap((kind) => actionsFor(kind, model))
  // Nothing is done to the members before what they are told, and how many there are, has taken effect.
  const isHeavy = actions.some((action) => action.type === 'apply' && HEAVY.has(action.title))
  return model.hasFormed && isHeavy ? stop(APPLIED_SECONDS, 'Applied', actions) : act(...actions)
}

const APPLIED_SECONDS = 1

const HEAVY: ReadonlySet<string> = new Set([MEMBERSHIP.title, STATEFUL_SET.title])

function actionsFor(kind: ChildKind, model: Model): readonly Action[] {
  const { cluster, ours, render } = model
  const live = ours.get(kind.title)
  if (!kind.isWanted(cluster, render.voters)) {
    const isThere = live !== undefined && live.metadata.deletionTimestamp === undefined
    return isThere ? [deleteChild(kind, live)] : []
  }
  const object = desired(kind, render)
  if (live === undefined) return [apply(kind, object, 'create')]
  // Its owner went or its deletion was asked for; a new one is made once it is gone.
  if (live.metadata.deletionTimestamp !== undefined) return []
  const why = differenceOf(live, object)
  if (why === undefined) return []
  return [apply(kind, onlyOver(live, object, kind), why)]
}

export function differenceOf(live: KubeObject, object: KubeObject): 'update' | 'drift' | undefined {
  const { annotations } = live.metadata
  const mark = object.metadata.annotations?.[APPLIED_ANNOTATION]
  if (annotations?.[APPLIED_ANNOTATION] !== mark) return 'update'
  return includes(live, object) ? undefined : 'drift'
}

function apply(kind: ChildKind, object: KubeObject, why: 'create' | 'update' | 'drift'): Action {
  return { type: 'apply', title: kind.title, resource: kind.type, object, why }
}

/** If the live object has been replaced or, where that matters, changed meanwhile, the write is a conflict. */
function onlyOver(live: KubeObject, object: KubeObject, kind: ChildKind): KubeObject {
  const { uid, resourceVersion } = live.metadata
  const version = HEAVY.has(kind.title) && resourceVersion !== undefined ? { resourceVersion } : {}
  const metadata = { ...object.metadata, ...(uid === undefined ? {} : { uid }), ...version }
  return { ...object, metadata }
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
