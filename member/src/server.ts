// The composition root: builds every module of a member from its configuration and owns the order in which they start and
// stop. Listeners that can be refused are opened before the member takes part in the cluster; at a stop leadership goes
// first, then the front ends, then the member itself.

import type { Server } from 'node:http'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { RaftbaseError } from '../../lib/errors.ts'
import { Lifecycle } from '../../lib/lifecycle.ts'
import type { Logger } from '../../lib/logger.ts'
import { Registry } from '../../lib/metrics.ts'
import { randomId, systemPrng } from '../../lib/prng.ts'
import { registerProcessMetrics } from '../../lib/process-metrics.ts'
import type { HostPort } from './address.ts'
import type { MemberConfig } from './config.ts'
import { createClientServer } from './gateway/client-listener.ts'
import { checkLimits } from './limits.ts'
import { openDataDirectory } from './node/data-directory.ts'
import { identityOf } from './node/identity.ts'
import { Member } from './node/member.ts'
import { NodeMetrics } from './metrics.ts'
import { nodeSettings } from './node/settings.ts'
import { createRestApp, type RestServer } from './rest/app.ts'
import { REST_LIMITS } from './rest/limits.ts'
import {
  DEFAULT_TRANSPORT_LIMITS,
  PEER_PROTOCOL_VERSION,
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

/** Rejects, with everything that was opened closed again, when the member cannot start. */
export async function startMember(
  config: MemberConfig,
  deps: { readonly log: Logger },
): Promise<RunningMember> {
  checkLimits()
  const failed = Promise.withResolvers<Error>()
  const lifecycle = new Lifecycle({ log: deps.log })
  try {
    await open({ config, log: deps.log, lifecycle, onFailure: failed.resolve })
  } catch (error) {
    await lifecycle.stop()
    throw error
  }
  return { stop: () => lifecycle.stop(), failed: failed.promise }
}

interface OpenOptions {
  readonly config: MemberConfig
  readonly log: Logger
  readonly lifecycle: Lifecycle
  readonly onFailure: (error: Error) => void
}

async function open(options: OpenOptions): Promise<void> {
  const { config, lifecycle } = options
  const registry = new Registry()
  const startedAtMs = systemClock.wallMs() - process.uptime() * 1000
  const stopSampling = registerProcessMetrics(registry, { version: VERSION, startedAtMs })
  const { member, log } = await openMember({ ...options, registry })
  await lifecycle.start({
    name: 'member',
    open: () => Promise.resolve(member),
    close: async () => {
      stopSampling()
      await member.stop(TRANSPORT_GRACE_MS)
    },
  })
  await lifecycle.start({
    name: 'rest',
    open: () => openRest({ config, member, log, registry }),
    close: (app) => app.close(),
  })
  for (const address of config.listenClient) {
    await lifecycle.start({
      name: 'client listener',
      open: () => openClient({ address, member, config }),
      close: closeServer,
    })
  }
  await lifecycle.start({
    name: 'peers',
    open: () => member.start(),
    close: () => member.handOver(2 * config.electionMs),
  })
  log.info({ api: config.advertiseApiUrls, peers: config.advertisePeerUrls }, 'member started')
}

async function openMember(
  options: OpenOptions & { readonly registry: Registry },
): Promise<{ member: Member; log: Logger }> {
  const { config, registry } = options
  const fs = new DiskFileSystem()
  const directory = await openDataDirectory({
    fs,
    path: config.dataDir,
    identity: identityOf({
      token: config.initialClusterToken,
      name: config.name,
      members: config.initialCluster,
    }),
    isNewCluster: config.initialClusterState === 'new',
  })
  const { identity } = directory
  const log = options.log.child({ memberId: identity.memberId, cluster: identity.clusterId })
  const clock = systemClock
  const timers = systemTimers
  const prng = systemPrng()
  const metrics = new NodeMetrics(registry)
  const transport = new PeerTransport({
    identity: { ...identity, protocolVersion: PEER_PROTOCOL_VERSION },
    listen: config.listenPeer,
    network: tcpNetwork(),
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
  })
  const member = await Member.open({
    directory,
    initialMembers: config.initialCluster,
    attributes: {
      peerUrls: config.advertisePeerUrls,
      clientUrls: config.advertiseClientUrls,
      apiUrls: config.advertiseApiUrls,
      version: VERSION,
    },
    settings: nodeSettings({
      heartbeatMs: config.heartbeatMs,
      electionMs: config.electionMs,
      requestBytesMax: config.maxRequestBytes,
      snapshotLogBytes: config.snapshotLogBytes,
      quotaBytes: config.quotaBackendBytes ?? Number.POSITIVE_INFINITY,
    }),
    fs,
    transport,
    clock,
    timers,
    prng,
    log,
    metrics,
    origin: randomId(),
    onFailure: (error) => options.onFailure(asError(error)),
  })
  metrics.observe(member)
  return { member, log }
}

async function openRest(options: {
  config: MemberConfig
  member: Member
  log: Logger
  registry: Registry
}): Promise<RestServer> {
  const { config, member, log, registry } = options
  const limits = { ...REST_LIMITS, requestBytesMax: config.maxRequestBytes }
  const app = createRestApp({ node: member, log, metrics: registry, limits })
  try {
    await app.listen({ ...config.apiListen })
  } catch (error) {
    await app.close()
    throw listenError(error, config.apiListen, 'api-addr')
  }
  return app
}

function openClient(options: {
  address: HostPort
  member: Member
  config: MemberConfig
}): Promise<Server> {
  const { address, member, config } = options
  const server = createClientServer({ node: member, healthTimeoutMs: 5 * config.electionMs })
  const { host, port } = address
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, address, 'client-url')))
    server.listen({ host, port }, () => resolve(server))
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
    return new RaftbaseError('ADDRESS_IN_USE', 'address is already in use', { details })
  }
  return new RaftbaseError('CONFIG_INVALID', 'address cannot be listened on', {
    details,
    cause: error,
  })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('failed', { cause: error })
}
