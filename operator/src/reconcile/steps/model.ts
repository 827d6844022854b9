// Everything a step of a pass goes by: the facts, what is under way, and what the objects shall say because of both. Pure.

import type { RenderContext } from '../../resources/render.ts'
import type { Observed } from '../observed.ts'
import { whyNotMutual, withMode } from './client-mode.ts'
import { type Facts, gatherFacts } from './facts.ts'
import { withoutWayBack } from './finalize.ts'
import { type Undertaking, undertakingOf, versionsFor } from './operation.ts'
import { type Renderer, rendererOf } from './renderer.ts'
import type { Versions } from './revision.ts'
import { renderContextOf } from './wanted.ts'

export interface Model extends Facts {
  readonly undertaking: Undertaking
  readonly versions: Versions
  /** Why members do not ask their clients who they are yet, as the spec wants it. */
  readonly modeDeferred: string | undefined
  readonly renderer: Renderer
  readonly render: RenderContext
}

export function buildModel(observed: Observed): Model {
  const facts = gatherFacts(observed)
  const undertaking = undertakingOf(facts)
  const versions = withoutWayBack(facts, { undertaking, versions: versionsFor(facts, undertaking) })
  const { cluster } = facts
  const modeDeferred = whyNotMutual(facts)
  const spec = { ...withMode(cluster.spec, modeDeferred), version: versions.wanted }
  const rendered = { ...facts, cluster: { ...cluster, spec } }
  const renderer = rendererOf(rendered, versions)
  const { operation } = undertaking
  const render = renderContextOf(rendered, { operation, renderer: renderer.revision })
  return { ...facts, undertaking, versions, modeDeferred, renderer, render }
}
