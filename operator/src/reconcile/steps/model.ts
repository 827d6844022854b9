// Everything a step of a pass goes by: the facts, what is under way, and what the objects shall say because of both. Pure.

import type { RenderContext } from '../../resources/render.ts'
import type { Observed } from '../observed.ts'
import { type Facts, gatherFacts } from './facts.ts'
import { withoutWayBack } from './finalize.ts'
import { type Undertaking, undertakingOf, versionsFor } from './operation.ts'
import type { Versions } from './revision.ts'
import { renderContextOf } from './wanted.ts'

export interface Model extends Facts {
  readonly undertaking: Undertaking
  readonly versions: Versions
  readonly render: RenderContext
}

export function buildModel(observed: Observed): Model {
  const facts = gatherFacts(observed)
  const undertaking = undertakingOf(facts)
  const versions = withoutWayBack(facts, { undertaking, versions: versionsFor(facts, undertaking) })
  const { cluster } = facts
  const rendered = { ...cluster, spec: { ...cluster.spec, version: versions.wanted } }
  const render = renderContextOf({ ...facts, cluster: rendered }, undertaking.operation)
  return { ...facts, undertaking, versions, render }
}
