// From what was observed to what is done about it: a pure function, so that every decision of the operator can be replayed
// from a file. The order of the steps is the order of concerns; a step that stops the pass hides those after it.

import type { Action, Next, Plan, StepResult } from './actions.ts'
import type { Observed } from './observed.ts'
import { planFinalizer, planFreeze, planOwnership, planPause } from './steps/admission.ts'
import { planBootstrap, planForeignVolumes } from './steps/bootstrap.ts'
import { planDeletion } from './steps/deletion.ts'
import { eventsOf } from './steps/events.ts'
import { planFinalize } from './steps/finalize.ts'
import { planFoundations } from './steps/foundations.ts'
import { buildModel, type Model } from './steps/model.ts'
import { planOperation } from './steps/operation.ts'
import { planLabels, planStuckPods } from './steps/pods.ts'
import { planRenderer } from './steps/renderer.ts'
import { deriveStatus } from './steps/status.ts'
import { planFormerRequest, planTls } from './steps/tls.ts'

const STEPS: readonly ((model: Model) => StepResult)[] = [
  planDeletion,
  planFinalizer,
  planOwnership,
  planPause,
  planFreeze,
  planForeignVolumes,
  planTls,
  planRenderer,
  planFoundations,
  planStuckPods,
  planLabels,
  planFormerRequest,
  planBootstrap,
  planOperation,
  planFinalize,
]

/** How often a cluster is looked at while nothing happens. Its members' status streams tell what does. */
const STEADY_SECONDS = 10
const UNSETTLED_SECONDS = 2

export function plan(observed: Observed): Plan {
  const model = buildModel(observed)
  const status = deriveStatus(model)
  const isSettled = status.phase === 'Healthy' && model.members.every(({ isFresh }) => isFresh)
  const { actions, next } = runSteps(model, isSettled)
  const { denied } = model.undertaking
  const told = { status, events: eventsOf(model, status), actions, next }
  return denied === undefined ? told : { ...told, denied }
}

function runSteps(
  model: Model,
  isSettled: boolean,
): { readonly actions: readonly Action[]; readonly next: Next } {
  const actions: Action[] = []
  for (const step of STEPS) {
    const result = step(model)
    actions.push(...result.actions)
    if (result.stop !== undefined) return { actions, next: result.stop }
  }
  const next: Next = isSettled
    ? { kind: 'wait', seconds: STEADY_SECONDS, reason: 'Settled' }
    : { kind: 'wait', seconds: UNSETTLED_SECONDS, reason: 'Unsettled' }
  return { actions, next }
}
