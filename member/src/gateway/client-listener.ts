// The plain HTTP side of the client URL. Of etcd's API it serves `/health` (contract etcd-v3 section 5.2) today and says of
// everything else, gRPC included, that it is not served yet: a client learns it from the first answer, not from a hang.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { MemberNode } from '../node/member-node.ts'

const REQUEST_TIMEOUT_MS = 10_000
const HEADER_TIMEOUT_MS = 5_000
/** How often the two above are looked at. */
const TIMEOUT_CHECK_MS = 1_000
const IDLE_TIMEOUT_MS = 60_000
const CONNECTIONS_MAX = 1_000
const HEADER_BYTES_MAX = 16 * 1024

/** One byte: the read that `/health` makes is of a key that need not exist. */
const HEALTH_KEY = new Uint8Array(1)

const NOT_SERVED = `${JSON.stringify({
  title: 'Not Implemented',
  status: 501,
  detail: 'the etcd v3 API is not served yet; use the REST API of -api-addr',
})}\n`

/** A server for one client URL; the caller listens and closes. `healthTimeoutMs` bounds the read behind `/health`. */
export function createClientServer(options: {
  node: MemberNode
  healthTimeoutMs: number
  /** Beside the bound of its own. */
  connectionsMax: number
}): Server {
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: HEADER_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
    },
    (request, response) => void answer(request, response, options),
  )
  server.maxConnections = Math.min(CONNECTIONS_MAX, options.connectionsMax)
  return server
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: { node: MemberNode; healthTimeoutMs: number },
): Promise<void> {
  request.resume()
  const url = new URL(request.url ?? '/', 'http://member')
  if (url.pathname !== '/health') {
    response.writeHead(501, { 'content-type': 'application/problem+json' }).end(NOT_SERVED)
    return
  }
  if (request.method !== 'GET') {
    response
      .writeHead(405, { allow: 'GET', 'content-type': 'text/plain' })
      .end('Method Not Allowed')
    return
  }
  const reason = await unhealthyBecause(options, url.searchParams.get('serializable') === 'true')
  if (reason === undefined) {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end('{"health":"true","reason":""}')
  } else {
    response.writeHead(503, { 'content-type': 'text/plain; charset=utf-8' })
    response.end(`${JSON.stringify({ health: 'false', reason })}\n`)
  }
}

/** HLT-2, HLT-4. Undefined when healthy. */
async function unhealthyBecause(
  { node, healthTimeoutMs }: { node: MemberNode; healthTimeoutMs: number },
  serializable: boolean,
): Promise<string | undefined> {
  if (!serializable && node.status().leader === undefined) return 'RAFT NO LEADER'
  try {
    const consistency = serializable ? 'serializable' : 'linearizable'
    await node.get({ key: HEALTH_KEY, consistency }, { timeoutMs: healthTimeoutMs })
    return undefined
  } catch (error) {
    if (error instanceof RaftbaseError) return `RANGE ERROR:${error.message}`
    throw error
  }
}
