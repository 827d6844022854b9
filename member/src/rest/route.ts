// What a route is and what its handler gets. Handlers decide and return an Answer; app.ts alone touches the framework.

import type { IncomingHttpHeaders } from 'node:http'
import type { Registry } from '../../../lib/metrics.ts'
import type { CallOptions, MemberNode } from '../node/member-node.ts'
import type { Answer } from './errors.ts'
import type { RestLimits } from './limits.ts'

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'

/** What the server gives to every handler. */
export interface Services {
  readonly node: MemberNode
  readonly metrics: Registry
  readonly limits: RestLimits
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

export interface Route {
  readonly path: string
  readonly methods: readonly Method[]
  /** The query parameters it knows; undefined where anything is ignored, as probes need it. */
  readonly parameters: readonly string[] | undefined
  /** Answered at once whatever happens: overload and shutdown do not refuse it. */
  readonly isProbe: boolean
  readonly handle: (call: Call) => Answer | Promise<Answer>
}
