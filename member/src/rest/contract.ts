// The REST API's JSON, as TypeBox schemas and the static types that follow from them. /openapi.json is generated from this
// file; the operator imports its types and nothing else of the member. The server imports types only, so that the schema
// library is not loaded until somebody asks for /openapi.json.

import { type Static, Type } from 'typebox'

const memberId = Type.String({
  pattern: '^[0-9a-f]{16}$',
  description: 'Member identity, 16 hex digits; never reused.',
})
const count = (description: string) => Type.Integer({ minimum: 0, description })
const strings = (description: string) => Type.Array(Type.String(), { description })

export const NodeSchema = Type.Object({
  id: memberId,
  name: Type.String(),
  status: Type.Enum(['leader', 'follower', 'learner', 'unreachable']),
  peerUrls: strings('Where other members reach it.'),
  clientUrls: strings('Where etcd clients reach it.'),
  apiUrls: strings('Where this API of it is.'),
  version: Type.String({ description: 'Of raftbase; empty while unknown.' }),
})
export type Node = Static<typeof NodeSchema>

export const NodesSchema = Type.Object({
  nodes: Type.Array(NodeSchema, { description: 'Every member as this one sees it, by name.' }),
})
export type Nodes = Static<typeof NodesSchema>

export const ClusterSchema = Type.Object({
  clusterId: Type.String(),
  memberId,
  name: Type.String({ description: 'Of the member that answers.' }),
  term: count('The Raft term.'),
  leader: Type.Optional(memberId),
  leaderName: Type.Optional(Type.String()),
  revision: count("Of this member's state; older than the leader's while it catches up."),
})
export type Cluster = Static<typeof ClusterSchema>

export const TransferRequestSchema = Type.Object(
  {
    target: Type.Optional(
      Type.String({ minLength: 1, description: 'Id or name; the most caught-up voter if absent.' }),
    ),
  },
  { additionalProperties: false },
)
export type TransferRequest = Static<typeof TransferRequestSchema>

export const TransferResultSchema = Type.Object({
  leader: memberId,
  leaderName: Type.Optional(Type.String()),
})
export type TransferResult = Static<typeof TransferResultSchema>

export const PeerSchema = Type.Object({
  id: memberId,
  name: Type.String(),
  connected: Type.Boolean(),
  match: Type.Optional(count('Leader only: up to where its log is known to be equal.')),
})
export type Peer = Static<typeof PeerSchema>

export const StatusSchema = Type.Object({
  clusterId: Type.String(),
  memberId,
  name: Type.String(),
  incarnation: count('How often this member was started on a blank disk.'),
  version: Type.String(),
  state: Type.Enum(['recovering', 'running', 'stopping', 'failed']),
  ready: Type.Boolean({ description: 'What /readyz says.' }),
  role: Type.Enum(['follower', 'preCandidate', 'candidate', 'leader', 'learner']),
  term: count('The Raft term.'),
  leader: Type.Optional(memberId),
  committed: count('Highest log index known to be committed.'),
  applied: count('Highest log index in the state.'),
  firstIndex: count('Of the log.'),
  lastIndex: count('Of the log.'),
  persistedIndex: count('Highest log index that is flushed here.'),
  revision: count('Of the state.'),
  compactRevision: count('Revisions below this one cannot be read any more.'),
  keyCount: count('Keys alive.'),
  stateBytes: count('Memory of the state.'),
  snapshotIndex: count('Log index of the newest snapshot file.'),
  peers: Type.Array(PeerSchema),
  uptimeSeconds: Type.Number({ minimum: 0 }),
  residentBytes: count('Memory of the process.'),
})
export type Status = Static<typeof StatusSchema>

export const PutResultSchema = Type.Object({
  revision: count('At which this put happened.'),
  version: count('Puts since the key was created; 1 for the one that created it.'),
  createRevision: count('At which the key was created.'),
})
export type PutResult = Static<typeof PutResultSchema>

export const DeleteResultSchema = Type.Object({
  deleted: count('Keys deleted, 0 or 1.'),
  revision: count('At which the key was deleted; the current one when there was none.'),
})
export type DeleteResult = Static<typeof DeleteResultSchema>

/** RFC 9457. Everything from `field` on is present where the code has it; docs/errors.md lists the codes. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({ format: 'uri-reference', description: 'Where the code is explained.' }),
    title: Type.String(),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    detail: Type.String(),
    code: Type.String({ description: 'Branch on this, never on a text.' }),
    outcome: Type.Optional(
      Type.Enum(['notApplied', 'unknown'], {
        description: 'notApplied: certainly not done, and will not be. unknown: may be done.',
      }),
    ),
    field: Type.Optional(Type.String()),
    accepted: Type.Optional(Type.String()),
    limitBytes: Type.Optional(count('The limit that was exceeded.')),
    reason: Type.Optional(Type.String()),
    revision: Type.Optional(count('The current one.')),
    compactRevision: Type.Optional(count('The oldest one that can be read.')),
    leader: Type.Optional(memberId),
    leaderName: Type.Optional(Type.String()),
    leaderApiUrls: Type.Optional(strings('Where to send this request instead.')),
  },
  { additionalProperties: true },
)
export type Problem = Static<typeof ProblemSchema>
