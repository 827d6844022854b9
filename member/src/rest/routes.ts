// Every route of the REST API, and the only list of them: what is not here does not exist. openapi.ts describes each one
// and does not compile while one is missing.

import { getCluster, getNodes, postLeader } from './cluster.ts'
import { getHealth, getMetrics, getOpenApi, getReadiness, getStatus } from './health.ts'
import { KV_PREFIX, deleteKey, getKey, putKey } from './kv.ts'
import type { Route } from './route.ts'

const READ = ['GET', 'HEAD'] as const
const probe = { methods: READ, parameters: undefined, isProbe: true } as const
const read = { methods: READ, parameters: [], isProbe: false } as const

export const ROUTES = [
  { path: '/healthz', ...probe, handle: getHealth },
  { path: '/readyz', ...probe, handle: getReadiness },
  { path: '/metrics', ...probe, handle: getMetrics },
  { path: '/v1/status', ...probe, parameters: [], handle: getStatus },
  { path: '/openapi.json', ...read, handle: getOpenApi },
  { path: '/cluster', ...read, handle: getCluster },
  { path: '/cluster/nodes', ...probe, parameters: [], handle: getNodes },
  {
    path: '/cluster/leader',
    methods: ['POST'],
    parameters: ['timeout'],
    isProbe: false,
    handle: postLeader,
  },
  {
    path: '/v1/kv/{key}',
    methods: READ,
    parameters: ['consistency', 'revision', 'timeout'],
    isProbe: false,
    handle: getKey,
  },
  {
    path: '/v1/kv/{key}',
    methods: ['PUT'],
    parameters: ['timeout'],
    isProbe: false,
    handle: putKey,
  },
  {
    path: '/v1/kv/{key}',
    methods: ['DELETE'],
    parameters: ['timeout'],
    isProbe: false,
    handle: deleteKey,
  },
] as const satisfies readonly Route[]

/** What the framework's router sees in place of a path: constant, so that it never decodes what a client wrote. */
export function routerPath(path: string): string {
  if (path.startsWith(KV_PREFIX)) return '/v1/kv/{key}'
  return ROUTES.some((route) => route.path === path) ? path : '/unmatched'
}

/** The methods that exist at a path, for `Allow`; none when the path does not exist. */
export function methodsAt(path: string): readonly string[] {
  const template = routerPath(path)
  return ROUTES.filter((route) => route.path === template).flatMap((route) => [...route.methods])
}
