// Whether this cluster may be touched at all: the finalizer comes before anything that has to be cleaned up, foreign
// objects are never taken over, a pause is kept, and contradictions are left to people. Pure.

import { NOTHING, type StepResult, stop } from '../actions.ts'
import type { Model } from './model.ts'

export function planFinalizer({ hasFinalizer }: Model): StepResult {
  return hasFinalizer ? NOTHING : stop(1, 'Finalizer', [{ type: 'addFinalizer' }])
}

export function planOwnership({ conflicts }: Model): StepResult {
  return conflicts.length === 0 ? NOTHING : stop(30, 'NameConflict')
}

export function planPause({ cluster }: Model): StepResult {
  return cluster.spec.paused ? stop(10, 'Paused') : NOTHING
}

export function planFreeze({ freeze }: Model): StepResult {
  return freeze === undefined ? NOTHING : stop(10, freeze.reason)
}
