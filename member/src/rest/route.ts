// What a route is and what its handler gets. Handlers decide and return an Answer; app.ts alone touches the framework.

import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { Timers } from '../../../lib/clock.ts'
import type { Registry } from '../../../lib/metrics.ts'
import type { CallOptions, MemberNode } from '../node/member-node.ts'
import type { EndpointId, Method } from './endpoints.ts'
import type { Answer } from './errors.ts'
import type { RestLimits } from './limits.ts'
import type { StatusStreams } from './status-stream.ts'

/** What the server gives to every handler. */
export interface Services {
  readonly node: MemberNode
  readonly metrics: Registry
  readonly timers: Timers
  readonly limits: RestLimits
  readonly streams: StatusStreams
  /** Seconds since the process started. */
  readonly uptimeSeconds: () => number
}

/** One request, as its handler sees it. */
export interface Call {
  readonly services: Services
  /** As it stood on the request line, undecoded. */
  readonly path: string
  readonly query: ReadonlyMap<string, string>
  readonly headers: IncomingHttpHeaders
  /** Of the body; not parsed. */
  readonly contentType: string | undefined
  /** The raw body. Rejects as body.ts says. `overheadBytes` counts towards the limit. */
  readonly body: (options: {
    readonly limitBytes: number
    readonly overheadBytes: number
  }) => Promise<Uint8Array>
  /** From `?timeout=`, counted from now; its signal aborts when the client goes away. */
  readonly options: () => CallOptions
}

/** An answer that the handler writes: it has no end of its own, or is too large to be held. */
export interface StreamedAnswer {
  /** Ends or destroys the response; a rejection says what cut the answer off. */
  readonly stream: (response: ServerResponse) => void | Promise<void>
}

export type Handler = (
  call: Call,
) => Answer | StreamedAnswer | Promise<Answer> | Promise<StreamedAnswer>

export interface Route {
  readonly id: EndpointId
  readonly path: string
  readonly methods: readonly Method[]
  readonly parameters: readonly string[] | undefined
  readonly isProbe: boolean
  /** Whether it is work that there may be too much of, and not what a person or an operator needs to look after it. */
  readonly isAdmitted: boolean
  readonly handle: Handler
}
