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
    from: Type.Optional(
      Type.String({
        pattern: '^[0-9a-f]{16}$',
        description:
          'The leader that is to hand over. Done already when another one leads, so that repeating is safe.',
      }),
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
  progress: Type.Optional(
    Type.Enum(['probe', 'replicate', 'snapshot'], {
      description:
        'Leader only: looking for the end of its log, sending entries, or sending a snapshot.',
    }),
  ),
  active: Type.Optional(
    Type.Boolean({ description: 'Leader only: heard of within an election timeout.' }),
  ),
})
export type Peer = Static<typeof PeerSchema>

/** A member of the configuration, as the state of the member that answers has it. */
export const ConfiguredMemberSchema = Type.Object({
  id: memberId,
  name: Type.String({ description: 'Empty while it has not told.' }),
  role: Type.Enum(['voter', 'learner']),
  peerUrls: strings('Where other members reach it.'),
  clientUrls: strings('Where etcd clients reach it.'),
  apiUrls: strings('Where this API of it is.'),
  version: Type.String({ description: 'Of raftbase; empty while unknown.' }),
  featureLevel: Type.Optional(count('The highest it understands, as far as it has told.')),
})
export type ConfiguredMember = Static<typeof ConfiguredMemberSchema>

const state = Type.Enum(['starting', 'recovering', 'running', 'parked', 'stopping', 'failed'], {
  description:
    'parked: it does not take part, for the reason that dataDirectory gives, and stays up to say so.',
})
const startupPhase = Type.Enum(
  ['openingDirectory', 'askingPeers', 'readingLog', 'openingPeers', 'complete', 'parked'],
  { description: 'How far the start is. complete and parked are its two ends.' },
)
const dataDirectoryState = Type.Enum(
  ['Unknown', 'Fresh', 'Valid', 'Tombstoned', 'ForeignCluster', 'Corrupt', 'AwaitingReplacement'],
  {
    description:
      'Unknown: not looked at yet. Fresh: empty, this member is about to be made. Valid: of this member. ' +
      'Tombstoned: of a member that was removed. ForeignCluster: of another cluster or member. Corrupt: damaged. ' +
      'AwaitingReplacement: empty, although the cluster knows this member already.',
  },
)
const role = Type.Enum(['follower', 'preCandidate', 'candidate', 'leader', 'learner'])

export const DataDirectorySchema = Type.Object({
  state: dataDirectoryState,
  code: Type.Optional(Type.String({ description: 'Of docs/errors.md, when something is wrong.' })),
  detail: Type.Optional(Type.String({ description: 'One sentence for people.' })),
  file: Type.Optional(Type.String({ description: 'The damaged file.' })),
  offset: Type.Optional(count('Bytes from its beginning to the damage.')),
})
export type DataDirectory = Static<typeof DataDirectorySchema>
export type DataDirectoryState = DataDirectory['state']

export const MembershipFileSchema = Type.Object({
  epoch: Type.Optional(count('Of the newest document that was read and is sound.')),
  phase: Type.Optional(Type.Enum(['Bootstrapping', 'Running', 'Recovering'])),
  listed: Type.Optional(
    Type.Enum(['Voter', 'Learner', 'absent'], { description: 'How it lists this member.' }),
  ),
  problem: Type.Optional(
    Type.String({
      description: 'Why the file as it is now cannot be used; the one before counts.',
    }),
  ),
})
export type MembershipFile = Static<typeof MembershipFileSchema>

const TlsUseSchema = Type.Object({
  certificate: Type.Optional(
    Type.Object({
      sha256: Type.String({ description: 'Of the certificate in force, hex.' }),
      notAfter: Type.String({ description: 'When it expires, RFC 3339.' }),
    }),
  ),
  trusts: Type.Optional(strings('SHA-256 of each authority that is trusted, hex.')),
  problem: Type.Optional(
    Type.String({ description: 'Why newer files are not in force; the ones before are.' }),
  ),
})

export const TlsSchema = Type.Object({
  client: Type.Optional(TlsUseSchema),
  peer: Type.Optional(TlsUseSchema),
})

export const ConfigFileSchema = Type.Object({
  epoch: Type.Optional(count('Of the newest content that was taken over, if it says one.')),
  pendingRestart: strings(
    'Settings that it changed and that take effect at the next start of the member.',
  ),
  problem: Type.Optional(
    Type.String({ description: 'Why the file as it is now is refused; the one before counts.' }),
  ),
})
export type ConfigFile = Static<typeof ConfigFileSchema>

/**
 * Positions are absent until the log has been read, and on a member that is parked before. Raft figures (role, term,
 * leader, peers, members) come with them.
 */
export const StatusSchema = Type.Object({
  clusterId: Type.Optional(Type.String({ description: 'Absent until it is known.' })),
  memberId: Type.Optional(memberId),
  name: Type.String(),
  incarnation: Type.Optional(count('How often this member was started on a blank disk.')),
  version: Type.String(),
  storageFormatVersion: count('Of the files this version writes.'),
  knownFeatureLevel: Type.Optional(count('The highest that this version understands.')),
  featureLevel: Type.Optional(
    count(
      'Of the cluster, as POST /cluster/finalize raised it: what its requests and files may need.',
    ),
  ),
  state,
  startupPhase,
  dataDirectory: DataDirectorySchema,
  membershipFile: Type.Optional(MembershipFileSchema),
  configFile: Type.Optional(ConfigFileSchema),
  tls: Type.Optional(TlsSchema),
  ready: Type.Boolean({ description: 'What /readyz says.' }),
  notReadyReason: Type.Optional(Type.String({ description: 'What /readyz gives as reason.' })),
  alarms: Type.Array(Type.Enum(['NOSPACE', 'CORRUPT']), {
    description: 'As this member sees them.',
  }),
  diskBytes: Type.Optional(count('Size of the file system that the data is on.')),
  diskFreeBytes: Type.Optional(count('Of it, free for this process; seconds old.')),
  role: Type.Optional(role),
  term: Type.Optional(count('The Raft term.')),
  leader: Type.Optional(memberId),
  committed: Type.Optional(count('Highest log index known to be committed.')),
  applied: Type.Optional(count('Highest log index in the state.')),
  firstIndex: Type.Optional(count('Of the log.')),
  lastIndex: Type.Optional(count('Of the log.')),
  lastLogTerm: Type.Optional(count('Term of the entry at lastIndex.')),
  persistedIndex: Type.Optional(count('Highest log index that is flushed here.')),
  membershipEpoch: Type.Optional(
    count('Log index of the newest membership change applied here; 0: as the cluster was made.'),
  ),
  revision: Type.Optional(count('Of the state.')),
  compactRevision: Type.Optional(count('Revisions below this one cannot be read any more.')),
  keyCount: Type.Optional(count('Keys alive.')),
  stateBytes: Type.Optional(count('Memory of the state.')),
  quotaBytes: Type.Optional(count('The space quota in force; absent: none.')),
  quotaUsedBytes: Type.Optional(
    count('What counts against it: keys, values and the history of them that is kept.'),
  ),
  snapshotIndex: Type.Optional(count('Log index of the newest snapshot file.')),
  members: Type.Array(ConfiguredMemberSchema, { description: 'The configuration applied here.' }),
  peers: Type.Array(PeerSchema),
  uptimeSeconds: Type.Number({ minimum: 0 }),
  residentBytes: count('Memory of the process.'),
})
export type Status = Static<typeof StatusSchema>

/**
 * Data of the events named `status` of GET /v1/status/stream: first how it is, then again whenever one of these changes.
 * Each is complete; when a reader is slow, those it has not read are replaced by the newest.
 */
export const StatusEventSchema = Type.Object({
  name: Type.String(),
  clusterId: Type.Optional(Type.String()),
  memberId: Type.Optional(memberId),
  state,
  startupPhase,
  dataDirectory: dataDirectoryState,
  ready: Type.Boolean(),
  role: Type.Optional(role),
  term: Type.Optional(count('The Raft term.')),
  leader: Type.Optional(memberId),
  leaderName: Type.Optional(Type.String()),
  membershipEpoch: Type.Optional(count('As in Status.')),
})
export type StatusEvent = Static<typeof StatusEventSchema>

export const MembershipSchema = Type.Object({
  epoch: count('Log index of the newest change of the membership; 0: as the cluster was made.'),
  id: Type.Optional(memberId),
  members: Type.Array(ConfiguredMemberSchema, {
    description: 'As the member that answers has it.',
  }),
})
export type Membership = Static<typeof MembershipSchema>

export const FinalizeRequestSchema = Type.Object(
  {
    level: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 65_535,
        description: 'The highest that every member understands, if absent.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type FinalizeRequest = Static<typeof FinalizeRequestSchema>

export const FinalizeResultSchema = Type.Object({
  featureLevel: count('Of the cluster from now on.'),
  epoch: count('Log index of the newest change of the membership.'),
})
export type FinalizeResult = Static<typeof FinalizeResultSchema>

export const AddMemberRequestSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 63 }),
    incarnation: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'Which disk of this name it is; 1 unless given. Never that of a removed member.',
      }),
    ),
    peerUrls: Type.Array(Type.String(), { minItems: 1, maxItems: 8 }),
  },
  { additionalProperties: false },
)
export type AddMemberRequest = Static<typeof AddMemberRequestSchema>

export const PromoteRequestSchema = Type.Object(
  {
    together: Type.Optional(
      Type.Array(memberId, {
        description: 'Other learners, in the same change: 1 to 3 voters at once.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type PromoteRequest = Static<typeof PromoteRequestSchema>

export const UpdateRequestSchema = Type.Object(
  {
    peerUrls: Type.Array(Type.String(), {
      minItems: 1,
      maxItems: 8,
      description: 'Where the other members reach it from now on.',
    }),
  },
  { additionalProperties: false },
)
export type UpdateRequest = Static<typeof UpdateRequestSchema>

export const ReplaceRequestSchema = Type.Object(
  { by: memberId },
  { additionalProperties: false, description: 'The learner that takes its place.' },
)
export type ReplaceRequest = Static<typeof ReplaceRequestSchema>

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

export const CompactionRequestSchema = Type.Object(
  {
    revision: Type.Integer({
      minimum: 1,
      description: 'The oldest that can still be read afterwards; up to the current one.',
    }),
  },
  { additionalProperties: false },
)
export type CompactionRequest = Static<typeof CompactionRequestSchema>

export const CompactionResultSchema = Type.Object({
  compactRevision: count('The oldest revision that can be read from now on.'),
  revision: count('The current one; a compaction leaves it alone.'),
})
export type CompactionResult = Static<typeof CompactionResultSchema>

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
