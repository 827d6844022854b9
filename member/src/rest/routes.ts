// Endpoints with their handlers.

import { getCluster, getNodes, postLeader } from './cluster.ts'
import { ENDPOINTS, type EndpointId } from './endpoints.ts'
import { getHealth, getMetrics, getOpenApi, getReadiness } from './health.ts'
import { deleteKey, getKey, putKey } from './kv.ts'
import type { Handler, Route } from './route.ts'
import { getStatus } from './status.ts'

const HANDLERS = {
  getHealth,
  getReadiness,
  getMetrics,
  getStatus,
  getOpenApi,
  getCluster,
  getNodes,
  transferLeader: postLeader,
  getKey,
  putKey,
  deleteKey,
} satisfies Record<EndpointId, Handler>

export const ROUTES: readonly Route[] = ENDPOINTS.map((endpoint) => ({
  ...endpoint,
  handle: HANDLERS[endpoint.id],
}))
