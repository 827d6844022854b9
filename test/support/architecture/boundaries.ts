// The boundary table as data: which module may import what, through which files, and which of them
// may touch the outside world. Whoever changes a line here changes the architecture;
// docs/architecture.md tells the same story in prose.

/** A file that may be imported, and how. A trailing slash in `path` means everything below it. */
export interface AllowedImport {
  readonly path: string
  /** Only its types: nothing of it runs. */
  readonly typesOnly?: boolean
  /** Only these exports. */
  readonly names?: readonly string[]
}

export interface ModuleBoundary {
  /** Files that belong to it; the longest matching prefix wins. */
  readonly root: string
  /** What other modules may import of it; undefined: each of its files. */
  readonly facade?: readonly string[]
  /**
   * Of the repository, beside itself. Undefined: anything, through façades (composition roots and
   * tests).
   */
  readonly imports?: readonly AllowedImport[]
  /** `node:` modules and packages. Undefined: any. */
  readonly externals?: readonly string[]
}

const types = (path: string, names?: readonly string[]): AllowedImport =>
  names === undefined ? { path, typesOnly: true } : { path, typesOnly: true, names }

const LIB: AllowedImport = { path: 'lib/' }
const ASSERT: AllowedImport = { path: 'lib/assert.ts' }
const BYTES: AllowedImport = { path: 'lib/bytes.ts' }
/** Snapshots come from disks and networks: damage in one is a failure with a code, not a violation. */
const ERRORS: AllowedImport = { path: 'lib/errors.ts' }
/** What operator and member agree on beforehand: both compute it. */
const SHARED_WITH_MEMBER: readonly AllowedImport[] = [
  { path: 'lib/identity.ts' },
  { path: 'lib/membership-file.ts' },
]
const LIMITS: AllowedImport = { path: 'member/src/limits.ts' }
const WIRE: AllowedImport = { path: 'member/src/wire/' }
const OPERATOR_DEADLINE: AllowedImport = { path: 'operator/src/deadline.ts' }
const RAFT_TYPES: readonly AllowedImport[] = [
  types('member/src/raft/types.ts'),
  types('member/src/raft/message.ts'),
]

const PURE_STATE: Pick<ModuleBoundary, 'imports' | 'externals'> = {
  imports: [ASSERT, BYTES, ERRORS],
  externals: ['node:buffer'],
}

export const BOUNDARIES: readonly ModuleBoundary[] = [
  { root: 'lib/', imports: [] },
  {
    root: 'member/src/raft/',
    facade: ['raw-node.ts', 'types.ts', 'message.ts', 'ready.ts', 'trace.ts', 'config.ts'],
    imports: [ASSERT, types('lib/prng.ts', ['Prng'])],
    externals: [],
  },
  { root: 'member/src/mvcc/', facade: ['store.ts', 'restore.ts'], ...PURE_STATE },
  { root: 'member/src/lease/', facade: ['lessor.ts'], ...PURE_STATE },
  { root: 'member/src/auth/', ...PURE_STATE },
  {
    root: 'member/src/apply/',
    facade: ['state-machine.ts', 'request.ts'],
    imports: [
      ASSERT,
      BYTES,
      ERRORS,
      WIRE,
      types('member/src/raft/types.ts', ['ConfState', 'MemberId', 'SnapshotMeta']),
      { path: 'member/src/mvcc/' },
      { path: 'member/src/lease/' },
      { path: 'member/src/auth/' },
    ],
    externals: ['node:buffer'],
  },
  {
    root: 'member/src/wire/',
    imports: [
      ASSERT,
      BYTES,
      ERRORS,
      LIMITS,
      ...RAFT_TYPES,
      types('member/src/transport/transport.ts'),
      types('member/src/apply/request.ts'),
    ],
    externals: ['node:buffer', 'node:zlib'],
  },
  {
    root: 'member/src/wal/',
    facade: [
      'wal.ts',
      'snapshot-file.ts',
      'portable-snapshot.ts',
      'disk.ts',
      'metadata.ts',
      'file-system.ts',
    ],
    imports: [LIB, LIMITS, WIRE, types('member/src/raft/types.ts')],
  },
  {
    root: 'member/src/transport/',
    facade: ['transport.ts', 'peer-transport.ts', 'tls.ts'],
    imports: [LIB, LIMITS, WIRE, ...RAFT_TYPES],
  },
  {
    root: 'member/src/node/',
    facade: ['driver.ts', 'member-node.ts', 'admission.ts', 'restore.ts'],
    imports: [
      LIB,
      LIMITS,
      { path: 'member/src/raft/' },
      { path: 'member/src/apply/' },
      { path: 'member/src/wal/' },
      { path: 'member/src/wire/' },
      types('member/src/transport/transport.ts'),
    ],
  },
  {
    root: 'member/src/rest/',
    facade: ['app.ts', 'contract.ts'],
    imports: [LIB, LIMITS, { path: 'member/src/address.ts' }, WIRE, { path: 'member/src/node/' }],
  },
  {
    root: 'member/src/grpc/',
    facade: ['server.ts'],
    imports: [LIB, LIMITS, WIRE, { path: 'member/src/node/' }],
  },
  {
    root: 'member/src/gateway/',
    facade: ['server.ts'],
    imports: [LIB, LIMITS, WIRE, { path: 'member/src/node/' }],
  },
  { root: 'member/src/limits.ts', imports: [LIB] },
  { root: 'member/src/' },
  { root: 'operator/src/api/', imports: [ASSERT, ...SHARED_WITH_MEMBER], externals: [] },
  {
    root: 'operator/src/resources/',
    imports: [ASSERT, ...SHARED_WITH_MEMBER, { path: 'operator/src/api/' }],
    externals: [],
  },
  {
    root: 'operator/src/reconcile/steps/',
    imports: [
      ASSERT,
      ...SHARED_WITH_MEMBER,
      { path: 'operator/src/api/' },
      { path: 'operator/src/resources/' },
      { path: 'operator/src/reconcile/actions.ts' },
      types('operator/src/reconcile/observed.ts'),
    ],
    externals: [],
  },
  {
    root: 'operator/src/reconcile/plan.ts',
    imports: [
      ASSERT,
      ...SHARED_WITH_MEMBER,
      { path: 'operator/src/api/' },
      { path: 'operator/src/resources/' },
      { path: 'operator/src/reconcile/steps/' },
      { path: 'operator/src/reconcile/actions.ts' },
      types('operator/src/reconcile/observed.ts'),
    ],
    externals: [],
  },
  {
    // What acts on a plan: it knows the runtime by its interfaces only, so that tests can put others in their place.
    root: 'operator/src/reconcile/',
    imports: [
      LIB,
      { path: 'operator/src/api/' },
      { path: 'operator/src/resources/' },
      types('operator/src/controller/'),
      { path: 'operator/src/kube/errors.ts' },
      types('operator/src/kube/'),
      types('operator/src/member-client/'),
      { path: 'operator/src/pki/' },
      types('member/src/rest/contract.ts'),
    ],
    externals: [],
  },
  {
    // Makes keys and signs with them: the only place in the operator that sees any.
    root: 'operator/src/pki/',
    imports: [LIB, { path: 'operator/src/api/' }],
    externals: ['node:buffer', 'node:crypto', 'node:tls'],
  },
  {
    root: 'operator/src/kube/',
    imports: [LIB, { path: 'operator/src/api/' }, OPERATOR_DEADLINE],
  },
  {
    root: 'operator/src/controller/',
    imports: [
      LIB,
      { path: 'operator/src/api/' },
      { path: 'operator/src/kube/errors.ts' },
      { path: 'operator/src/kube/micro-time.ts' },
      types('operator/src/kube/kube-api.ts'),
      OPERATOR_DEADLINE,
    ],
    externals: [],
  },
  {
    root: 'operator/src/member-client/',
    imports: [
      LIB,
      types('operator/src/api/kube-object.ts'),
      { path: 'operator/src/controller/backoff.ts' },
      types('operator/src/controller/reconciler.ts'),
      types('member/src/rest/contract.ts'),
      OPERATOR_DEADLINE,
    ],
    externals: ['node:http', 'node:https'],
  },
  {
    root: 'operator/src/',
    imports: [LIB, { path: 'operator/src/' }, types('member/src/rest/contract.ts')],
  },
]

/** A package and the only places that import it, so that replacing it touches one place. */
export const PACKAGE_HOMES: readonly {
  readonly name: string
  readonly homes: readonly string[]
}[] = [
  { name: '@kubernetes/client-node', homes: ['operator/src/kube/'] },
  { name: 'pino', homes: ['lib/logger.ts'] },
  { name: 'fastify', homes: ['member/src/rest/'] },
  { name: 'typebox', homes: ['member/src/rest/', 'lib/config.ts'] },
]

/** Something of the outside world, how code reaches it, and the only files that do. */
export interface Seam {
  readonly name: string
  /** Identifiers, as a regular expression over code without comments and strings. */
  readonly code: RegExp
  /** `node:` modules that give the same. */
  readonly modules: readonly string[]
  /** Where it is forbidden: prefixes. */
  readonly within: readonly string[]
  /** Files and folders inside `within` that are the seam itself. */
  readonly homes: readonly string[]
}

/** The simulator owns time, randomness, disk and network: a real one in it would make runs differ. */
const SIMULATOR = 'test/sim/'
const SIMULATOR_HOMES = [
  'test/sim/main.ts',
  'test/sim/mutate.ts',
  'test/sim/teeth.ts',
  'test/sim/drain.ts',
  'test/sim/seeds.ts',
  'test/sim/checkers/linearizability.test.ts',
] as const
const SOURCES = ['lib/', 'member/src/', 'operator/src/', SIMULATOR] as const
const SIMULATED = [
  'member/src/raft/',
  'member/src/mvcc/',
  'member/src/lease/',
  'member/src/auth/',
  'member/src/apply/',
  'member/src/wire/',
  'member/src/wal/',
  'member/src/node/',
  'member/src/transport/',
] as const

export const SEAMS: readonly Seam[] = [
  {
    name: 'time',
    code: /\bDate\s*\.\s*now\b|(?<![\w$.#])Date\s*\(\s*\)|\bnew\s+Date\b(?!\s*\(\s*[^)\s])|(?<![\w$.#])(?:performance|setTimeout|setInterval|setImmediate|clearTimeout|clearInterval|clearImmediate)\b(?!\s*[:?])|\bprocess\s*\.\s*(?:hrtime|nextTick)\b|\bAbortSignal\s*\.\s*timeout\b/,
    modules: ['node:timers', 'node:timers/promises', 'node:perf_hooks'],
    within: SOURCES,
    // The second only measures this process; the third is a client, outside every simulation.
    homes: [
      'lib/clock.ts',
      'lib/process-metrics.ts',
      'member/src/cli/member-client.ts',
      ...SIMULATOR_HOMES,
    ],
  },
  {
    name: 'randomness',
    code: /\bMath\s*\.\s*random\b|\b(?:randomBytes|randomUUID|randomInt|getRandomValues|randomFill(?:Sync)?)\b/,
    modules: [],
    within: SOURCES,
    homes: ['lib/prng.ts'],
  },
  {
    name: 'the disk',
    code: /(?!)/,
    modules: ['node:fs', 'node:fs/promises'],
    within: [...SIMULATED, SIMULATOR],
    homes: ['member/src/wal/disk.ts', ...SIMULATOR_HOMES],
  },
  {
    name: 'the network',
    code: /(?<![\w$.#])(?:fetch|WebSocket|EventSource)\s*\(/,
    modules: [
      'node:net',
      'node:tls',
      'node:http',
      'node:https',
      'node:http2',
      'node:dgram',
      'node:dns',
      'node:dns/promises',
    ],
    within: [...SIMULATED, SIMULATOR],
    homes: ['member/src/transport/socket.ts', 'member/src/transport/tls.ts'],
  },
  {
    name: 'the process',
    code: /(?<![\w$.#])process\b(?!\s*[:(?])|\bglobalThis\b/,
    modules: ['node:process', 'node:child_process', 'node:cluster', 'node:os'],
    within: SIMULATED,
    homes: ['member/src/wal/disk.ts'],
  },
  {
    name: 'the console',
    code: /(?<![\w$.#])console\s*\./,
    modules: ['node:console'],
    within: SOURCES,
    homes: SIMULATOR_HOMES,
  },
]

/** The core is synchronous: nothing in it waits. */
export const SYNCHRONOUS = ['member/src/raft/'] as const
