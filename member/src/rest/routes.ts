// Endpoints with their handlers.

import { finalize, getCluster, getNodes, postLeader } from './cluster.ts'
import { ENDPOINTS, type EndpointId, KV_PATH } from './endpoints.ts'
import {
  getHealth,
  getLiveness,
  getMetrics,
  getOpenApi,
  getReadiness,
  getStartup,
} from './health.ts'
import { compact, deleteKey, getKey, putKey } from './kv.ts'
import {
  addMember,
  getMembers,
  promoteMember,
  removeMember,
  replaceMember,
  updateMember,
} from './members.ts'
import type { Handler, Route } from './route.ts'
import { getSnapshot } from './snapshot.ts'
import { getStatus, watchStatus } from './status.ts'

const HANDLERS = {
  getHealth,
  getStartup,
  getLiveness,
  getReadiness,
  getMetrics,
  getStatus,
  watchStatus,
  getOpenApi,
  getCluster,
  getNodes,
  transferLeader: postLeader,
  finalize,
  getMembers,
  addMember,
  removeMember,
  promoteMember,
  replaceMember,
  getSnapshot,
  updateMember,
  compact,
  getKey,
  putKey,
  deleteKey,
} satisfies Record<EndpointId, Handler>

export const ROUTES: readonly Route[] = ENDPOINTS.map((endpoint) => ({
  ...endpoint,
  isAdmitted: endpoint.path === KV_PATH,
  handle: HANDLERS[endpoint.id],
}))
