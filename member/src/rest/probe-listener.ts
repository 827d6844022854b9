// Probes and metrics on a plain listener of their own, so that kubelet and Prometheus need no certificate where the API
// requires one. Nothing else is served here, and nothing here waits for the cluster or the disk.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { systemTimers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Registry } from '../../../lib/metrics.ts'
import type { MemberNode } from '../node/member-node.ts'
import { type Answer, problemAnswer } from './errors.ts'
import {
  getHealth,
  getLiveness,
  getMetrics,
  getReadiness,
  getStartup,
  type ProbeServices,
} from './health.ts'

const REQUEST_TIMEOUT_MS = 5_000
/** How often that is looked at. */
const TIMEOUT_CHECK_MS = 1_000
const IDLE_TIMEOUT_MS = 30_000
const CONNECTIONS_MAX = 256
const HEADER_BYTES_MAX = 8 * 1024

const PROBES: ReadonlyMap<
  string,
  (call: { readonly services: ProbeServices }) => Answer | Promise<Answer>
> = new Map(
  Object.entries({
    '/startupz': getStartup,
    '/livez': getLiveness,
    '/readyz': getReadiness,
    '/healthz': getHealth,
    '/health': getHealth,
    '/metrics': getMetrics,
  }),
)

/** Not yet listening: the caller listens and closes. */
export function createProbeServer(options: {
  readonly node: MemberNode
  readonly metrics: Registry
}): Server {
  const services = { ...options, timers: systemTimers }
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
    },
    (request, response) => void respond(request, response, services),
  )
  server.maxConnections = CONNECTIONS_MAX
  return server
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  services: ProbeServices,
): Promise<void> {
  request.resume()
  const { status, headers, body } = await answerTo(request, services)
  response.writeHead(status, {
    ...headers,
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

async function answerTo(
  { method, url = '/' }: IncomingMessage,
  services: ProbeServices,
): Promise<Answer> {
  const [path = '/'] = url.split('?', 1)
  const probe = PROBES.get(path)
  if (probe === undefined) {
    return problemAnswer(new RaftbaseError('ROUTE_NOT_FOUND', 'no such path on this listener'))
  }
  if (method !== 'GET' && method !== 'HEAD') {
    const details = { accepted: 'GET, HEAD' }
    const error = new RaftbaseError('METHOD_NOT_ALLOWED', 'method is not known here', { details })
    return problemAnswer(error, { headers: { allow: 'GET, HEAD' } })
  }
  try {
    return await probe({ services })
  } catch (error) {
    return problemAnswer(error)
  }
}
