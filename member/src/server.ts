// The composition root: builds every module of a member from its configuration and owns the order in which they start and
// stop. The front ends come first, so that a member tells how it is while it reads its disk, or waits for an operator; at a
// stop leadership goes first, then the front ends, then the member itself, and the probes last.

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Server } from 'node:http'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { descriptorsMax } from '../../lib/descriptors.ts'
import { RaftbaseError } from '../../lib/errors.ts'
import { Lifecycle } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/logger.ts'
import { MEMBERSHIP_BYTES_MAX } from '../../lib/membership-file.ts'
import { Registry } from '../../lib/metrics.ts'
import { randomId, systemPrng } from '../../lib/prng.ts'
import { registerProcessMetrics } from '../../lib/process-metrics.ts'
import type { HostPort, ListenAddress } from './address.ts'
import type { MemberConfig } from './config.ts'
import { DiskSpace } from './disk-space.ts'
import { createClientServer } from './gateway/client-listener.ts'
import { checkLimits, clientConnectionsMax, HAND_OVER_TIMEOUT_MS } from './limits.ts'
import type { DynamicSettings, LiveConfig } from './live-config.ts'
import { MemberHost } from './node/host.ts'
import { memberIdOf } from './node/identity.ts'
import { describeCluster } from './node/join-plan.ts'
import { Member } from './node/member.ts'
import { MembershipSource } from './node/membership-source.ts'
import { NodeMetrics } from './metrics.ts'
import { nodeSettings, type UserSettings } from './node/settings.ts'
import { type OpenMemberOptions, Starter } from './node/starter.ts'
import { askForCluster, askPeers } from './questions.ts'
import { createRestApp, type RestServer } from './rest/app.ts'
import { REST_LIMITS } from './rest/limits.ts'
import { createProbeServer } from './rest/probe-listener.ts'
import { type MemberSecurity, openSecurity } from './security.ts'
import {
  DEFAULT_TRANSPORT_LIMITS,
  PEER_PROTOCOL_VERSION,
  type PeerNetwork,
  PeerTransport,
  tcpNetwork,
} from './transport/peer-transport.ts'
import { VERSION } from './version.ts'
import { DiskFileSystem } from './wal/disk.ts'

/** How long frames already accepted may take to leave at a stop. */
const TRANSPORT_GRACE_MS = 200
/** How many heartbeats without a word from a peer close its connections. */
const SILENT_ELECTIONS = 2

export interface RunningMember {
  stop(): Promise<void>
  /** Resolves when the member must end by itself: the disk failed or an invariant broke. Never rejects. */
  readonly failed: Promise<Error>
}

/** Rejects, with everything that was opened closed again, when the member cannot start or `signal` aborts. */
export async function startMember(
  config: MemberConfig,
  deps: { readonly log: Logger; readonly signal?: AbortSignal; readonly live?: LiveConfig },
): Promise<RunningMember> {
  checkLimits()
  const failed = Promise.withResolvers<Error>()
  const lifecycle = new Lifecycle({ log: deps.log })
  try {
    const { log, live } = deps
    const opened = openAll({ config, live, log, lifecycle, onFailure: failed.resolve })
    await Promise.race([opened, aborted(deps.signal)])
  } catch (error) {
    await lifecycle.stop()
    throw error
  }
  return { stop: () => lifecycle.stop(), failed: failed.promise }
}

interface OpenOptions {
  readonly config: MemberConfig
  /** Absent: nothing changes. */
  readonly live: LiveConfig | undefined
  readonly log: Logger
  readonly lifecycle: Lifecycle
  readonly onFailure: (error: Error) => void
}

/** Who asks is answered from the first moment: only the member itself waits for its disk. */
async function openAll(options: OpenOptions): Promise<void> {
  const { config, live, log, lifecycle } = options
  const registry = new Registry()
  const startedAtMs = systemClock.wallMs() - process.uptime() * 1000
  const stopSampling = registerProcessMetrics(registry, { version: VERSION, startedAtMs })
  const { name, electionMs } = config
  const host = new MemberHost({
    name,
    version: VERSION,
    electionMs,
    clock: systemClock,
    timers: systemTimers,
  })
  if (live !== undefined) await followConfig(live, host, lifecycle)
  await followDisk(config, host, lifecycle)
  const metrics = new NodeMetrics(registry)
  metrics.observe(host)
  const security = await lifecycle.start({
    name: 'certificates',
    open: () => openSecurity({ config, log, registry }),
    close: async (opened) => opened.stop(),
  })
  if (security.status !== undefined) host.reportTls(security.status)
  const starter = createStarter({ ...options, host, metrics, security })
  for (const address of config.listenMetrics) {
    await lifecycle.start({
      name: 'probes',
      open: () => openProbes({ address, host, registry }),
      close: closeServer,
    })
  }
  await lifecycle.start({
    name: 'member',
    open: () => Promise.resolve(),
    close: async () => {
      stopSampling()
      await starter.stop()
    },
  })
  await lifecycle.start({
    name: 'rest',
    open: () => openRest({ config, live, host, log, registry, security }),
    close: (app) => app.close(),
  })
  for (const address of config.listenClient) {
    await lifecycle.start({
      name: 'client listener',
      open: () => openClient({ address, host, config, security }),
      close: closeServer,
    })
  }
  await lifecycle.start({
    name: 'peers',
    open: () => starter.start(),
    close: async () => {
      host.stopping()
      await host.member?.handOver(HAND_OVER_TIMEOUT_MS)
    },
  })
}

function followConfig(live: LiveConfig, host: MemberHost, lifecycle: Lifecycle): Promise<void> {
  host.reportConfigFile(() => live.status)
  live.onStatus(() => host.changed())
  return lifecycle.start({
    name: 'configuration',
    open: () => live.start(),
    close: async () => live.stop(),
  })
}

function followDisk(
  { dataDir }: MemberConfig,
  host: MemberHost,
  lifecycle: Lifecycle,
): Promise<DiskSpace> {
  const disk = new DiskSpace({ directory: dataDir, timers: systemTimers })
  host.reportDisk(() => disk.room)
  return lifecycle.start({
    name: 'disk space',
    open: async () => {
      disk.start()
      return disk
    },
    close: async () => disk.stop(),
  })
}

function createStarter(
  options: OpenOptions & {
    readonly host: MemberHost
    readonly metrics: NodeMetrics
    readonly security: MemberSecurity
  },
): Starter {
  const { config, log, host } = options
  const onFailure = (error: unknown): void => options.onFailure(asError(error))
  const membership = membershipSource(config, { log, host })
  // One for everything that resolves names: each name is looked up once at a time.
  const network = tcpNetwork(options.security.peer)
  return new Starter({
    host,
    configured: {
      name: config.name,
      token: config.initialClusterToken,
      advertisePeerUrls: config.advertisePeerUrls,
      initialCluster: config.initialCluster,
      initialClusterState: config.initialClusterState,
    },
    dataDir: config.dataDir,
    fs: new DiskFileSystem(),
    timers: systemTimers,
    log,
    membership,
    askPeers: (identity, members) => askPeers(network, identity, members),
    askForCluster: (members) => askForCluster(network, members),
    openMember: (opening) => openMember({ ...options, ...opening, network }),
    onFailure,
    graceMs: TRANSPORT_GRACE_MS,
  })
}

function membershipSource(
  { name, membershipFile }: MemberConfig,
  { log, host }: { log: Logger; host: MemberHost },
): MembershipSource | undefined {
  if (membershipFile === undefined) return undefined
  const source = new MembershipSource({
    name,
    read: () => readStart(membershipFile, MEMBERSHIP_BYTES_MAX + 1),
    timers: systemTimers,
    log,
    onChange: () => host.changed(),
  })
  host.reportMembershipFile(() => source.status)
  return source
}

/** Of a file of any length, or of none, no more than so many bytes. */
async function readStart(path: string, bytesMax: number): Promise<string> {
  // Opened as any file, a pipe that nobody writes to would hold a thread of the pool, and the end of the process with it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const { size } = await file.stat()
    const buffer = Buffer.alloc(Math.min(size, bytesMax))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

async function openMember(
  options: OpenMemberOptions & {
    readonly config: MemberConfig
    readonly live: LiveConfig | undefined
    readonly log: Logger
    readonly metrics: NodeMetrics
    readonly network: PeerNetwork
  },
): Promise<Member> {
  const { config, metrics, network, directory, plan, onFailure, onRemoved } = options
  const { identity } = directory
  const log = options.log.child({ memberId: identity.memberId, cluster: identity.clusterId })
  const [clock, timers, prng] = [systemClock, systemTimers, systemPrng()]
  let member: Member | undefined
  const transport = new PeerTransport({
    identity: {
      ...identity,
      protocolVersion: PEER_PROTOCOL_VERSION,
      peerUrls: config.advertisePeerUrls,
    },
    listen: config.listenPeer,
    network,
    clock,
    timers,
    prng,
    log,
    limits: {
      ...DEFAULT_TRANSPORT_LIMITS,
      keepAliveMs: Math.ceil(config.electionMs / 2),
      keepAliveTimeoutMs: SILENT_ELECTIONS * config.electionMs,
    },
    metrics: metrics.transport,
    isRemoved: (id) => member?.stateMachine.removed.has(id) ?? false,
    hasTakenPart: (id) => member?.hasTakenPart(id) ?? false,
    describeCluster: () => member && describeCluster(member.stateMachine),
    isOneOfOurs: ({ memberId, name, incarnation }) =>
      memberId === memberIdOf(identity.token, name, incarnation),
    onRemoved: () => member?.removedBy(),
  })
  member = await Member.open({
    directory,
    initialMembers: plan.members,
    joinPeers: plan.peers,
    attributes: {
      peerUrls: config.advertisePeerUrls,
      clientUrls: config.advertiseClientUrls,
      apiUrls: config.advertiseApiUrls,
      version: VERSION,
    },
    settings: nodeSettings(userSettings(config, options.live)),
    fs: new DiskFileSystem(),
    transport,
    clock,
    timers,
    prng,
    log,
    metrics,
    origin: randomId(),
    onFailure,
    onRemoved,
  })
  return member
}

/** Whoever asks for a limit gets the one that is in force. */
function userSettings(config: MemberConfig, live: LiveConfig | undefined): UserSettings {
  const now = (): DynamicSettings => live?.current ?? config
  return {
    heartbeatMs: config.heartbeatMs,
    electionMs: config.electionMs,
    get requestBytesMax() {
      return now().maxRequestBytes
    },
    get snapshotLogBytes() {
      return now().snapshotLogBytes
    },
    get quotaBytes() {
      return now().quotaBackendBytes ?? Number.POSITIVE_INFINITY
    },
    get autoCompaction() {
      return now().autoCompaction
    },
  }
}

async function openProbes(options: {
  address: HostPort
  host: MemberHost
  registry: Registry
}): Promise<Server> {
  const { address, host, registry } = options
  const server = createProbeServer({ node: host, metrics: registry })
  return listening(server, address, 'listen-metrics-urls')
}

async function openRest(options: {
  config: MemberConfig
  live: LiveConfig | undefined
  host: MemberHost
  log: Logger
  registry: Registry
  security: MemberSecurity
}): Promise<RestServer> {
  const { config, live, host, log, registry, security } = options
  const limits = {
    ...REST_LIMITS,
    get requestBytesMax() {
      return (live?.current ?? config).maxRequestBytes
    },
    connectionsMax: Math.min(REST_LIMITS.connectionsMax, connectionsMax(config)),
  }
  const { admission } = host
  const app = createRestApp({ node: host, admission, log, metrics: registry, limits })
  security.secureFront(app.server)
  try {
    await app.listen({ ...config.apiListen })
  } catch (error) {
    await app.close()
    throw listenError(error, config.apiListen, 'api-addr')
  }
  return app
}

function openClient(options: {
  address: ListenAddress
  host: MemberHost
  config: MemberConfig
  security: MemberSecurity
}): Promise<Server> {
  const { address, host, config, security } = options
  const server = createClientServer({
    node: host,
    healthTimeoutMs: 5 * config.electionMs,
    connectionsMax: connectionsMax(config),
  })
  if (address.isSecure) security.secureFront(server)
  return listening(server, address, 'client-url')
}

/** Of each listener that serves clients. */
function connectionsMax(config: MemberConfig): number {
  return clientConnectionsMax(descriptorsMax(), 1 + config.listenClient.length)
}

function listening(server: Server, address: HostPort, field: string): Promise<Server> {
  const { host, port } = address
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, address, field)))
    server.listen({ host, port }, () => resolve(server))
  })
}

/** Rejects when `signal` aborts; never resolves. */
function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    const stop = (): void =>
      reject(new RaftbaseError('SHUTTING_DOWN', 'stopped before it had started'))
    if (signal?.aborted === true) stop()
    signal?.addEventListener('abort', stop, { once: true })
  })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

function listenError(error: unknown, address: HostPort, field: string): RaftbaseError {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
  const details = { field, host: address.host, port: address.port, reason: code }
  if (code === 'EADDRINUSE') {
    const message = `listen tcp ${address.host}:${address.port}: bind: address already in use`
    return new RaftbaseError('ADDRESS_IN_USE', message, { details })
  }
  return new RaftbaseError('CONFIG_INVALID', 'address cannot be listened on', {
    details,
    cause: error,
  })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('failed', { cause: error })
}
