// Probes and what is asked without a cluster: none of these waits for anything. /healthz looks at the process only, so that
// a member without a quorum is not restarted; /readyz says whether requests should be sent here.

import { RaftbaseError } from '../../../lib/errors.ts'
import type { MemberNode } from '../node/member-node.ts'
import { type Answer, problemAnswer, textAnswer } from './errors.ts'
import type { Call } from './route.ts'

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export function getHealth(): Answer {
  return textAnswer('ok')
}

export function getReadiness({ services }: Call): Answer {
  if (services.node.isReady()) return textAnswer('ok')
  const reason = whyNotReady(services.node)
  return problemAnswer(
    new RaftbaseError('NOT_READY', 'member cannot serve linearizable requests', {
      details: { reason },
    }),
  )
}

export function getMetrics({ services }: Call): Answer {
  return textAnswer(services.metrics.render(), METRICS_CONTENT_TYPE)
}

/** Loaded when first asked for: the schemas and their library stay out of a member that nobody asks. */
export async function getOpenApi(): Promise<Answer> {
  const { renderOpenApi } = await import('./openapi.ts')
  return { ...textAnswer(renderOpenApi(), 'application/json') }
}

/** The reason that /readyz gives. */
export function whyNotReady(node: MemberNode): string {
  const { state, leader } = node.status()
  if (state !== 'running') return state
  return leader === undefined ? 'noLeader' : 'catchingUp'
}
