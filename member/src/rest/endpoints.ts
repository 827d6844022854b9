// Every endpoint of the REST API, and the only list of them: what is not here does not exist. routes.ts gives each its
// handler and openapi.ts its description; neither compiles while one is missing.

const READ = ['GET', 'HEAD'] as const
/** Answered at once whatever happens, so neither overload nor shutdown refuses it. */
const probe = { methods: READ, isProbe: true } as const
const read = { methods: READ, isProbe: false } as const

/** Changes of the membership, and of who leads. */
const change = { isProbe: false, parameters: ['expectedEpoch', 'timeout'] } as const

const MEMBER_PATH = '/cluster/members/{id}'
const MEMBER_TARGET = /^\/cluster\/members\/([^/]+)(\/promote|\/replace)?$/

/** The id in the path of one member; undefined for any other path. */
export function memberIn(path: string): string | undefined {
  return MEMBER_TARGET.exec(path)?.[1]
}

export const KV_PREFIX = '/v1/kv/'
export const KV_PATH = '/v1/kv/{key}'

/** `parameters` are those of the query; undefined where anything is ignored, as probes of other systems need it. */
export const ENDPOINTS = [
  { id: 'getHealth', path: '/healthz', ...probe, parameters: undefined },
  { id: 'getStartup', path: '/startupz', ...probe, parameters: undefined },
  { id: 'getLiveness', path: '/livez', ...probe, parameters: undefined },
  { id: 'getReadiness', path: '/readyz', ...probe, parameters: undefined },
  { id: 'getMetrics', path: '/metrics', ...probe, parameters: undefined },
  { id: 'getStatus', path: '/v1/status', ...probe, parameters: [] },
  {
    id: 'watchStatus',
    path: '/v1/status/stream',
    methods: ['GET'],
    isProbe: false,
    parameters: [],
  },
  { id: 'getOpenApi', path: '/openapi.json', ...read, parameters: [] },
  { id: 'getCluster', path: '/cluster', ...read, parameters: [] },
  { id: 'getNodes', path: '/cluster/nodes', ...probe, parameters: [] },
  {
    id: 'transferLeader',
    path: '/cluster/leader',
    methods: ['POST'],
    ...change,
  },
  { id: 'finalize', path: '/cluster/finalize', methods: ['POST'], ...change },
  { id: 'getMembers', path: '/cluster/members', ...read, parameters: [] },
  { id: 'addMember', path: '/cluster/members', methods: ['POST'], ...change },
  { id: 'removeMember', path: MEMBER_PATH, methods: ['DELETE'], ...change },
  { id: 'updateMember', path: MEMBER_PATH, methods: ['PATCH'], ...change },
  { id: 'promoteMember', path: `${MEMBER_PATH}/promote`, methods: ['POST'], ...change },
  { id: 'replaceMember', path: `${MEMBER_PATH}/replace`, methods: ['POST'], ...change },
  {
    id: 'getSnapshot',
    path: '/v1/snapshot',
    methods: ['GET'],
    isProbe: false,
    parameters: ['consistency', 'timeout'],
  },
  {
    id: 'compact',
    path: '/v1/compaction',
    methods: ['POST'],
    isProbe: false,
    parameters: ['timeout'],
  },
  { id: 'getKey', path: KV_PATH, ...read, parameters: ['consistency', 'revision', 'timeout'] },
  { id: 'putKey', path: KV_PATH, methods: ['PUT'], isProbe: false, parameters: ['timeout'] },
  { id: 'deleteKey', path: KV_PATH, methods: ['DELETE'], isProbe: false, parameters: ['timeout'] },
] as const

export type Endpoint = (typeof ENDPOINTS)[number]
export type EndpointId = Endpoint['id']
export type Method = Endpoint['methods'][number]

/** What the framework's router sees in place of a path: constant, so that it never decodes what a client wrote. */
export function routerPath(path: string): string {
  if (path.startsWith(KV_PREFIX)) return KV_PATH
  const member = MEMBER_TARGET.exec(path)
  if (member !== null) return `${MEMBER_PATH}${member[2] ?? ''}`
  return ENDPOINTS.some((endpoint) => endpoint.path === path) ? path : '/unmatched'
}

/** The methods that exist at a path, for `Allow`; none when the path does not exist. */
export function methodsAt(path: string): readonly string[] {
  const template = routerPath(path)
  return ENDPOINTS.filter((endpoint) => endpoint.path === template).flatMap(({ methods }) => [
    ...methods,
  ])
}
