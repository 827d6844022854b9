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
import { planMonitoring } from './steps/monitoring.ts'
import { planOperation } from './steps/operation.ts'
import { planLabels, planStuckPods } from './steps/pods.ts'
import { planRenderer } from './steps/renderer.ts'
import { deriveStatus } from './steps/status.ts'
import { planFormerRequest, planTls } from './steps/tls.ts'

type Step = (model: Model) => StepResult

/** Whether the cluster may be touched at all. */
const ADMISSION: readonly Step[] = [
  planDeletion,
  planFinalizer,
  planOwnership,
  planPause,
  planFreeze,
]

const WORK: readonly Step[] = [
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
  const admitted = runThrough(ADMISSION, model)
  if (admitted.stop !== undefined) return { actions: admitted.actions, next: admitted.stop }
  const worked = runThrough(WORK, model)
  // A cluster that waits for something is watched as well, and is not kept waiting for what watches it: hence last.
  const actions = [...admitted.actions, ...worked.actions, ...planMonitoring(model)]
  if (worked.stop !== undefined) return { actions, next: worked.stop }
  const next: Next = isSettled
    ? { kind: 'wait', seconds: STEADY_SECONDS, reason: 'Settled' }
    : { kind: 'wait', seconds: UNSETTLED_SECONDS, reason: 'Unsettled' }
  return { actions, next }
}

function runThrough(steps: readonly Step[], model: Model): StepResult {
  const actions: Action[] = []
  for (const step of steps) {
    const result = step(model)
    actions.push(...result.actions)
    if (result.stop !== undefined) return { actions, stop: result.stop }
  }
  return { actions }
}
