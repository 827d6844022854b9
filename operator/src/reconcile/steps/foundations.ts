// Every object of the cluster as it shall be: made when absent, written again when it is wanted different or when somebody
// has changed it, deleted when it is not wanted any more. Pure.

import { includes } from '../../api/canonical.ts'
import type { KubeObject } from '../../api/kube-object.ts'
import { APPLIED_ANNOTATION } from '../../api/labels.ts'
import {
  CHILDREN,
  type ChildKind,
  CONFIGURATION,
  desired,
  MEMBERSHIP,
  STATEFUL_SET,
} from '../../resources/children.ts'
import { act, type Action, stop, type StepResult } from '../actions.ts'
import type { Model } from './model.ts'
import { replicasOf } from './wanted.ts'

export function planFoundations(model: Model): StepResult {
  const actions = CHILDREN.flatMap((kind) => actionsFor(kind, model))
  // Nothing is done to the members before what they are told, and how many there are, has taken effect.
  const isHeavy = actions.some(
    (action) => action.type === 'scale' || (action.type === 'apply' && HEAVY.has(action.title)),
  )
  return model.hasFormed && isHeavy ? stop(APPLIED_SECONDS, 'Applied', actions) : act(...actions)
}

const APPLIED_SECONDS = 1

const HEAVY: ReadonlySet<string> = new Set([MEMBERSHIP.title, STATEFUL_SET.title])
/** Written only over the version that was seen: what it says follows from that. */
const VERSIONED: ReadonlySet<string> = new Set([...HEAVY, CONFIGURATION.title])

function actionsFor(kind: ChildKind, model: Model): readonly Action[] {
  const { cluster, ours, render, renderer } = model
  const live = ours.get(kind.title)
  if (renderer.isForeign && (kind === STATEFUL_SET || kind === CONFIGURATION)) {
    return kind === STATEFUL_SET && live !== undefined ? resized(live, render.replicas) : []
  }
  if (!kind.isWanted(cluster, render)) {
    const isThere = live !== undefined && live.metadata.deletionTimestamp === undefined
    return isThere && kind.isKept !== true ? [deleteChild(kind, live)] : []
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
  const version =
    VERSIONED.has(kind.title) && resourceVersion !== undefined ? { resourceVersion } : {}
  const metadata = { ...object.metadata, ...(uid === undefined ? {} : { uid }), ...version }
  return { ...object, metadata }
}

/** A template that a newer operator has made stays as it is; only the number of pods follows the membership. */
function resized(live: KubeObject, replicas: number): readonly Action[] {
  const { name, uid = '', resourceVersion, deletionTimestamp } = live.metadata
  if (deletionTimestamp !== undefined || replicasOf(live) === replicas) return []
  const over = resourceVersion === undefined ? {} : { resourceVersion }
  return [{ type: 'scale', name, uid, replicas, ...over }]
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
