// PURE: the OpenAPI 3.1 document, built from the endpoints and the schemas of contract.ts. Loaded when somebody asks for
// it. The committed copy is member/openapi.json; a test compares the two and rewrites it with UPDATE_GOLDEN=1.

import type { TSchema } from 'typebox'
import {
  AddMemberRequestSchema,
  ClusterSchema,
  CompactionRequestSchema,
  CompactionResultSchema,
  DeleteResultSchema,
  FinalizeRequestSchema,
  FinalizeResultSchema,
  MembershipSchema,
  NodesSchema,
  ProblemSchema,
  PromoteRequestSchema,
  PutResultSchema,
  ReplaceRequestSchema,
  UpdateRequestSchema,
  StatusSchema,
  StatusEventSchema,
  TransferRequestSchema,
  TransferResultSchema,
} from './contract.ts'
import { ENDPOINTS, type Endpoint, type EndpointId, type Method } from './endpoints.ts'
import { REST_LIMITS } from './limits.ts'

/** Of this API: the second number grows when something is added, the first when something breaks. */
const API_VERSION = '1.0.0'

const SCHEMAS = {
  Cluster: ClusterSchema,
  CompactionRequest: CompactionRequestSchema,
  CompactionResult: CompactionResultSchema,
  DeleteResult: DeleteResultSchema,
  FinalizeRequest: FinalizeRequestSchema,
  FinalizeResult: FinalizeResultSchema,
  AddMemberRequest: AddMemberRequestSchema,
  Membership: MembershipSchema,
  Nodes: NodesSchema,
  Problem: ProblemSchema,
  PromoteRequest: PromoteRequestSchema,
  PutResult: PutResultSchema,
  ReplaceRequest: ReplaceRequestSchema,
  UpdateRequest: UpdateRequestSchema,
  Status: StatusSchema,
  StatusEvent: StatusEventSchema,
  TransferRequest: TransferRequestSchema,
  TransferResult: TransferResultSchema,
} satisfies Record<string, TSchema>

type SchemaName = keyof typeof SCHEMAS

interface Description {
  readonly summary: string
  readonly ok: object
  readonly problems: readonly number[]
  readonly body?: object
}

const bytes = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } }
const text = { 'text/plain': { schema: { type: 'string' } } }
const waits = [400, 503, 504] as const
const CHANGE_PROBLEMS = [400, 403, 409, 413, 415, 500, 503, 504] as const

const DESCRIPTIONS: Record<EndpointId, Description> = {
  getHealth: {
    summary: 'Whether the process answers; says nothing about the cluster',
    ok: { description: 'The text `ok`.', content: text },
    problems: [],
  },
  getStartup: {
    summary: 'Whether the start is over: the member takes part, or is parked for a known reason',
    ok: { description: 'The text `ok`.', content: text },
    problems: [503],
  },
  getLiveness: {
    summary: 'Whether the process works; never depends on quorum, disk or load',
    ok: { description: 'The text `ok`.', content: text },
    problems: [503],
  },
  getReadiness: {
    summary: 'Whether this member can serve linearizable requests',
    ok: { description: 'The text `ok`.', content: text },
    problems: [503],
  },
  getMetrics: {
    summary: 'Metrics in Prometheus text format 0.0.4',
    ok: { description: 'See docs/metrics.md.', content: text },
    problems: [],
  },
  getOpenApi: {
    summary: 'This document',
    ok: {
      description: 'OpenAPI 3.1.',
      content: { 'application/json': { schema: { type: 'object' } } },
    },
    problems: [400, 503],
  },
  getStatus: {
    summary: 'Everything about this member; never waits for the cluster',
    ok: json('Status', 'Its status.'),
    problems: [400],
  },
  watchStatus: {
    summary:
      'Changes of role, term, leader, state, readiness and membership, as server-sent events',
    ok: {
      description: 'Events named `status`; the data of each is a StatusEvent. Comments in between.',
      content: { 'text/event-stream': { schema: reference('StatusEvent') } },
    },
    problems: [400, 503],
  },
  getNodes: {
    summary: 'Every member as this one sees it',
    ok: json('Nodes', 'The members, by name.'),
    problems: [400],
  },
  getCluster: {
    summary: 'Ids, term, leader and revision',
    ok: json('Cluster', 'The cluster as this member sees it.'),
    problems: [400, 503],
  },
  transferLeader: {
    summary: 'Hand leadership over; answered once the new leader is confirmed. Leader only',
    ok: json('TransferResult', 'The new leader.'),
    problems: [400, 403, 409, 413, 415, 500, 503, 504],
    body: {
      required: false,
      content: { 'application/json': { schema: reference('TransferRequest') } },
    },
  },
  finalize: {
    summary: 'Raise the feature level of the cluster, after which no older version can take part',
    ok: json('FinalizeResult', 'It is so high, or was higher already. Safe to repeat.'),
    problems: [...CHANGE_PROBLEMS, 507],
    body: {
      required: false,
      content: { 'application/json': { schema: reference('FinalizeRequest') } },
    },
  },
  getMembers: {
    summary: 'The configuration: who has a vote, who learns, and the epoch of the newest change',
    ok: json('Membership', 'As this member has it.'),
    problems: [400, 503],
  },
  addMember: {
    summary: 'Add a learner. Leader only, as all changes; safe to repeat',
    ok: json('Membership', 'Added, or it was a member already; `id` is its id.'),
    problems: CHANGE_PROBLEMS,
    body: {
      required: true,
      content: { 'application/json': { schema: reference('AddMemberRequest') } },
    },
  },
  removeMember: {
    summary: 'Remove a member; its id is never used again',
    ok: json('Membership', 'Removed, or it was no member.'),
    problems: CHANGE_PROBLEMS,
  },
  promoteMember: {
    summary: 'Give a learner that has caught up a vote',
    ok: json('Membership', 'It has a vote.'),
    problems: CHANGE_PROBLEMS,
    body: {
      required: false,
      content: { 'application/json': { schema: reference('PromoteRequest') } },
    },
  },
  replaceMember: {
    summary: 'A learner that has caught up takes the place of a voter, in one change',
    ok: json('Membership', 'Replaced.'),
    problems: CHANGE_PROBLEMS,
    body: {
      required: true,
      content: { 'application/json': { schema: reference('ReplaceRequest') } },
    },
  },
  getSnapshot: {
    summary: 'The whole state as a file, for `raftbase snapshot restore`',
    ok: {
      description: 'The file; complete only if its end is, which says its SHA-256.',
      headers: snapshotHeaders(),
      content: bytes,
    },
    problems: [...waits],
  },
  updateMember: {
    summary: 'Change where the other members reach a member',
    ok: json('Membership', 'They dial it there from now on.'),
    problems: CHANGE_PROBLEMS,
    body: {
      required: true,
      content: { 'application/json': { schema: reference('UpdateRequest') } },
    },
  },
  compact: {
    summary: 'Forget history: earlier revisions cannot be read any more',
    ok: json('CompactionResult', 'In force on every member; their memory comes back by and by.'),
    problems: [...waits, 403, 410, 413, 415, 500, 507],
    body: {
      required: true,
      content: { 'application/json': { schema: reference('CompactionRequest') } },
    },
  },
  getKey: {
    summary: 'Read a value',
    ok: { description: 'The value as it was put.', headers: valueHeaders(), content: bytes },
    problems: [...waits, 404, 410, 413, 500],
  },
  putKey: {
    summary: 'Write a value: the body as it is, whatever its type',
    ok: json('PutResult', 'Written, flushed by a majority.'),
    problems: [...waits, 403, 413, 500, 507],
    body: { required: false, content: { '*/*': { schema: { type: 'string', format: 'binary' } } } },
  },
  deleteKey: {
    summary: 'Delete a key',
    ok: json('DeleteResult', 'Deleted, or there was none.'),
    problems: [...waits, 403, 413, 500, 507],
  },
}

const PARAMETERS = {
  key: {
    name: 'key',
    in: 'path',
    required: true,
    description: `The rest of the path, slashes included, percent-decoded to 1 to ${REST_LIMITS.keyBytesMax} bytes.`,
    schema: { type: 'string', minLength: 1 },
  },
  id: {
    name: 'id',
    in: 'path',
    required: true,
    description: 'Of a member, 16 hex digits.',
    schema: { type: 'string', pattern: '^[0-9a-f]{16}$' },
  },
  expectedEpoch: {
    name: 'expectedEpoch',
    in: 'query',
    description:
      'The membership that is meant: refused with 409 when another change came in between.',
    schema: { type: 'integer', minimum: 0 },
  },
  consistency: {
    name: 'consistency',
    in: 'query',
    description: 'serializable: from the state of this member as it is, which may be old.',
    schema: { enum: ['linearizable', 'serializable'], default: 'linearizable' },
  },
  revision: {
    name: 'revision',
    in: 'query',
    description: 'As it was at this revision.',
    schema: { type: 'integer', minimum: 1 },
  },
  timeout: {
    name: 'timeout',
    in: 'query',
    description: `500ms, 5s or 1m; up to ${REST_LIMITS.deadlineMsMax / 1000}s, counted from the end of the request.`,
    schema: {
      type: 'string',
      pattern: '^[0-9]+(ms|s|m)$',
      default: `${REST_LIMITS.deadlineMsDefault / 1000}s`,
    },
  },
} as const

const PROBLEM_TITLES: Readonly<Record<number, string>> = {
  400: 'The request is malformed.',
  403: 'A browser sent it for a page of another site.',
  404: 'There is no such key.',
  409: 'Not the leader, a stale epoch, or a change that is not safe now; the problem says which.',
  410: 'The revision was compacted.',
  413: 'Key or body are too large.',
  415: 'The body is not JSON.',
  500: 'The member failed; the outcome is unknown.',
  503: 'Not now; not applied. Try again.',
  504: 'The deadline passed; `outcome` says whether it may have been applied.',
  507: 'The space quota is used up; not applied.',
}

/** The document, formatted, with a newline at its end. */
export function renderOpenApi(): string {
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'raftbase',
      version: API_VERSION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths: paths(),
    components: { schemas: SCHEMAS },
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

function paths(): Record<string, object> {
  const result: Record<string, Record<string, unknown>> = {}
  for (const endpoint of ENDPOINTS) {
    const item = (result[endpoint.path] ??= {})
    if (endpoint.path.includes('{key}')) item['parameters'] = [PARAMETERS.key]
    if (endpoint.path.includes('{id}')) item['parameters'] = [PARAMETERS.id]
    for (const method of endpoint.methods) item[method.toLowerCase()] = operation(endpoint, method)
  }
  return result
}

/** HEAD is GET without the body. */
function operation(endpoint: Endpoint, method: Method): object {
  const isHead = method === 'HEAD'
  const description = DESCRIPTIONS[endpoint.id]
  const names: readonly (keyof typeof PARAMETERS)[] = endpoint.parameters ?? []
  return {
    operationId: isHead ? endpoint.id.replace('get', 'head') : endpoint.id,
    summary: isHead ? 'As GET, without the body' : description.summary,
    ...(names.length === 0 ? {} : { parameters: names.map((name) => PARAMETERS[name]) }),
    ...(description.body === undefined ? {} : { requestBody: description.body }),
    responses: responses(description),
  }
}

function responses(description: Description): Record<string, object> {
  const content = { 'application/problem+json': { schema: reference('Problem') } }
  const problems = [...description.problems].map((status) => {
    return [String(status), { description: PROBLEM_TITLES[status], content }] as const
  })
  return { '200': description.ok, ...Object.fromEntries(problems) }
}

function json(name: SchemaName, description: string): object {
  return { description, content: { 'application/json': { schema: reference(name) } } }
}

function reference(name: SchemaName): object {
  return { $ref: `#/components/schemas/${name}` }
}

function valueHeaders(): object {
  return {
    ETag: { description: 'Of this value at this key.', schema: { type: 'string' } },
    'Raftbase-Revision': integer('Of the state when the value was read.'),
    'Raftbase-Create-Revision': integer('At which the key was created.'),
    'Raftbase-Mod-Revision': integer('At which the value was put.'),
    'Raftbase-Version': integer('Puts since the key was created.'),
  }
}

function snapshotHeaders(): object {
  return {
    'Raftbase-Snapshot-Format': integer('Version of the file.'),
    'Raftbase-Cluster-Id': { description: 'Of the cluster it is of.', schema: { type: 'string' } },
    'Raftbase-Revision': integer('Of the state in it.'),
    'Raftbase-Raft-Index': integer('Log position that the state stands for.'),
    'Raftbase-Raft-Term': integer('Of the log entry at that position.'),
    'Raftbase-Member-Count': integer('Members of the cluster at that position, learners included.'),
  }
}

function integer(description: string): object {
  return { description, schema: { type: 'integer' } }
}
