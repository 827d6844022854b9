// /healthz, /readyz and /metrics on one plain port. Health looks at this process only: that its loops come round; readiness
// at whether its caches are complete, on a process that does not lead too. Neither looks at the clusters.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { RaftbaseError } from '../../lib/errors.ts'

const CONNECTIONS_MAX = 100
const REQUEST_TIMEOUT_MS = 10_000

export interface HealthServerOptions {
  readonly host: string
  readonly port: number
  /** What keeps it from being alive, or from being ready; empty: nothing. */
  readonly unhealthy: () => readonly string[]
  readonly unready: () => readonly string[]
  readonly renderMetrics: () => string
}

export class HealthServer {
  readonly #server: Server
  readonly #options: HealthServerOptions

  private constructor(options: HealthServerOptions) {
    this.#options = options
    this.#server = createServer((request, response) => this.#answer(request, response))
    this.#server.maxConnections = CONNECTIONS_MAX
    this.#server.requestTimeout = REQUEST_TIMEOUT_MS
    this.#server.headersTimeout = REQUEST_TIMEOUT_MS
  }

  /** Listens; fails with ADDRESS_IN_USE or CONFIG_INVALID when it cannot. */
  static async start(options: HealthServerOptions): Promise<HealthServer> {
    const health = new HealthServer(options)
    const { host, port } = options
    try {
      await new Promise<void>((resolve, reject) => {
        health.#server.once('error', reject)
        health.#server.listen({ host, port }, resolve)
      })
    } catch (cause) {
      const isTaken = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE'
      throw new RaftbaseError(
        isTaken ? 'ADDRESS_IN_USE' : 'CONFIG_INVALID',
        'metrics address cannot be listened on',
        { details: { host, port }, cause },
      )
    }
    return health
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      respond(response, { status: 405, text: 'only GET\n' })
      return
    }
    const { unhealthy, unready, renderMetrics } = this.#options
    switch ((request.url ?? '').split('?')[0]) {
      case '/healthz':
        respond(response, verdict(unhealthy()))
        return
      case '/readyz':
        respond(response, verdict(unready()))
        return
      case '/metrics': {
        const type = 'text/plain; version=0.0.4; charset=utf-8'
        respond(response, { status: 200, text: renderMetrics(), type })
        return
      }
      default:
        respond(response, { status: 404, text: 'there is /healthz, /readyz and /metrics\n' })
    }
  }
}

function verdict(problems: readonly string[]): { status: number; text: string } {
  if (problems.length === 0) return { status: 200, text: 'ok\n' }
  return { status: 503, text: `${problems.join('\n')}\n` }
}

function respond(
  response: ServerResponse,
  answer: { readonly status: number; readonly text: string; readonly type?: string },
): void {
  const { status, text, type = 'text/plain; charset=utf-8' } = answer
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
