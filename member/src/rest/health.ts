// Probes and what is asked without a cluster: none of these waits for the cluster or the disk. /healthz and /livez look at
// the process only, so that a member without a quorum is not restarted; /startupz says whether the start is over, /readyz
// whether requests should be sent here.

import type { Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Registry } from '../../../lib/metrics.ts'
import type { MemberNode } from '../node/member-node.ts'
import { type Answer, problemAnswer, textAnswer } from './errors.ts'

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** The core is given its time every few milliseconds; without it for so long, the process hangs. */
const TICK_AGE_MAX_MS = 20_000
/** A process that was stopped and goes on is given so long to make up for it before it is called dead. */
const SECOND_LOOK_MS = 250

/** What probes need of the server. */
export interface ProbeServices {
  readonly node: MemberNode
  readonly metrics: Registry
  readonly timers: Timers
}

interface ProbeCall {
  readonly services: ProbeServices
}

export function getHealth(): Answer {
  return textAnswer('ok')
}

/** Over when the member takes part, or is parked for a reason it knows. */
export function getStartup({ services }: ProbeCall): Answer {
  const { startupPhase } = services.node.status()
  if (startupPhase === 'complete' || startupPhase === 'parked') return textAnswer('ok')
  return notReady('the start is not over', startupPhase)
}

/** Never looks at quorum, disk or load: an answer says that the event loop turns, and the tick that the core gets its time. */
export async function getLiveness({ services }: ProbeCall): Promise<Answer> {
  const { node, timers } = services
  if (isTickStale(node))
    await new Promise<void>((resolve) => void timers.after(SECOND_LOOK_MS, resolve))
  if (node.status().state === 'failed') return notReady('the member has failed', 'failed')
  return isTickStale(node)
    ? notReady('the core is not given its time', 'stalled')
    : textAnswer('ok')
}

export function getReadiness({ services }: ProbeCall): Answer {
  const reason = services.node.notReadyReason()
  if (reason === undefined) return textAnswer('ok')
  return notReady('member cannot serve linearizable requests', reason)
}

export function getMetrics({ services }: ProbeCall): Answer {
  return textAnswer(services.metrics.render(), METRICS_CONTENT_TYPE)
}

/** Loaded when first asked for: the schemas and their library stay out of a member that nobody asks. */
export async function getOpenApi(): Promise<Answer> {
  const { renderOpenApi } = await import('./openapi.ts')
  return { ...textAnswer(renderOpenApi(), 'application/json') }
}

function isTickStale(node: MemberNode): boolean {
  return (node.tickAgeMs() ?? 0) > TICK_AGE_MAX_MS
}

function notReady(message: string, reason: string): Answer {
  return problemAnswer(new RaftbaseError('NOT_READY', message, { details: { reason } }))
}
