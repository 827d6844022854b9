// Everything a step of a pass goes by: the facts, what is under way, and what the objects shall say because of both. Pure.

import type { RenderContext } from '../../resources/render.ts'
import type { Observed } from '../observed.ts'
import { type Facts, gatherFacts } from './facts.ts'
import { type Undertaking, undertakingOf } from './operation.ts'
import { renderContextOf } from './wanted.ts'

export interface Model extends Facts {
  readonly undertaking: Undertaking
  readonly render: RenderContext
}

export function buildModel(observed: Observed): Model {
  const facts = gatherFacts(observed)
  const undertaking = undertakingOf(facts)
  return { ...facts, undertaking, render: renderContextOf(facts, undertaking.operation) }
}
