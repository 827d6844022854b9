// MemberConfig: the settings of a member with their types, defaults and cross-field checks. Everything is checked before
// anything starts, and every problem is reported, under the name its user wrote.

import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import {
  type ConfigProblem,
  type ConfigWarning,
  deepFreeze,
  gatherSettings,
} from '../../lib/config.ts'
import { LOG_LEVELS, type LogLevel } from '../../lib/log-level.ts'
import {
  type HostPort,
  hostOf,
  httpUrl,
  isOverlapping,
  isWildcard,
  type ListenAddress,
  parseAdvertiseUrl,
  parseListenAddress,
  parseListenUrl,
  parsePlainListenUrl,
} from './address.ts'
import { readAutoCompaction } from './compaction-config.ts'
import {
  ELECTION_HEARTBEATS_MIN,
  ELECTION_MS_DEFAULT,
  ELECTION_MS_MAX,
  HEARTBEAT_MS_DEFAULT,
  HEARTBEAT_MS_MAX,
  HEARTBEAT_MS_MIN,
  QUOTA_BACKEND_BYTES_DEFAULT,
  QUOTA_BACKEND_BYTES_MAX,
  QUOTA_BACKEND_BYTES_MIN,
  REQUEST_BYTES_DEFAULT,
  REQUEST_BYTES_MAX,
  REQUEST_BYTES_MIN,
  SNAPSHOT_LOG_BYTES_DEFAULT,
  SNAPSHOT_LOG_BYTES_MAX,
  SNAPSHOT_LOG_BYTES_MIN,
} from './limits.ts'
import type { AutoCompaction } from './node/member-node.ts'
import {
  type InitialMember,
  integerIn,
  listOf,
  oneOf,
  parseDataDir,
  parsePath,
  parseInitialCluster,
  parseInteger,
  parseName,
  parseToken,
  SettingsReader,
} from './setting-values.ts'
import {
  ENVIRONMENT_PREFIX,
  MEMBER_SETTINGS,
  MEMBER_SWITCHES,
  UNSUPPORTED_ETCD_SETTINGS,
} from './settings.ts'
import { checkTlsFiles, checkTlsUrls, type MemberTls, readTls } from './tls-config.ts'

/** Frozen. URLs are canonical: lower case, port always given, no trailing slash. */
export interface MemberConfig {
  readonly name: string
  /** Absolute. */
  readonly dataDir: string
  readonly listenClient: readonly ListenAddress[]
  readonly listenPeer: readonly ListenAddress[]
  readonly advertiseClientUrls: readonly string[]
  readonly advertisePeerUrls: readonly string[]
  readonly apiListen: HostPort
  readonly advertiseApiUrls: readonly string[]
  /** This member included. A member that has data ignores it. */
  readonly initialCluster: readonly InitialMember[]
  readonly initialClusterState: 'new' | 'existing'
  readonly initialClusterToken: string
  /** Probes and metrics only; may be none. */
  readonly listenMetrics: readonly ListenAddress[]
  /** Absolute. Given, the three before it do not count. */
  readonly membershipFile: string | undefined
  /** Absolute; undefined: the system's, if there is one. */
  readonly terminationLog: string | undefined
  readonly heartbeatMs: number
  readonly electionMs: number
  readonly snapshotLogBytes: number
  /** Undefined: no quota. */
  readonly quotaBackendBytes: number | undefined
  readonly maxRequestBytes: number
  readonly autoCompaction: AutoCompaction
  readonly logLevel: LogLevel
  readonly tls: MemberTls
}

/** What a configuration is read from; tests bring their own. */
export interface ConfigSources {
  /** Without the program and the command. */
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Returns the text of the file or throws the system's error. */
  readonly readFile: (path: string) => string
  /** Relative paths are relative to it. */
  readonly workingDirectory: string
}

export type LoadedConfig =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | {
      readonly kind: 'refused'
      readonly problems: readonly ConfigProblem[]
      /** Where to leave them, as far as that was said properly. */
      readonly terminationLog: string | undefined
    }
  | {
      readonly kind: 'config'
      readonly config: MemberConfig
      readonly warnings: readonly ConfigWarning[]
      /** What each setting that somebody gave was given as. */
      readonly given: ReadonlyMap<string, string>
      /** Absolute; undefined without a file. */
      readonly file: string | undefined
      /** What the file says its epoch is. */
      readonly fileEpoch: number | undefined
    }

/** Reads every source and checks everything; never throws and never stops at the first problem. */
export function loadMemberConfig(sources: ConfigSources): LoadedConfig {
  const gathered = gatherSettings({
    settings: [...MEMBER_SETTINGS, ...MEMBER_SWITCHES],
    unsupported: UNSUPPORTED_ETCD_SETTINGS,
    argv: sources.argv,
    environment: sources.environment,
    environmentPrefix: ENVIRONMENT_PREFIX,
    isForeignVariable,
    fileSetting: 'config',
    fileEpochKey: 'epoch',
    readFile: (path) => sources.readFile(resolve(sources.workingDirectory, path)),
  })
  if (gathered.switches.has('help')) return { kind: 'help' }
  if (gathered.switches.has('version')) return { kind: 'version' }
  const reader = new SettingsReader(gathered)
  const config = readConfig(reader, sources.workingDirectory)
  checkCluster(config, reader)
  checkMembership(config, reader)
  checkListeners(config, reader)
  checkTiming(config, reader)
  checkDataDir(config, reader)
  checkTlsUrls(config, reader)
  checkTlsFiles(config.tls, reader)
  const problems = [...gathered.problems, ...reader.problems]
  if (problems.length > 0) {
    return { kind: 'refused', problems, terminationLog: config.terminationLog }
  }
  const { values, warnings, fileEpoch } = gathered
  const given = new Map([...values].map(([name, { text }]) => [name, text]))
  const named = given.get('config')
  const file = named === undefined ? undefined : resolve(sources.workingDirectory, named)
  return { kind: 'config', config: deepFreeze(config), warnings, given, file, fileEpoch }
}

/** Kubernetes adds variables named after services (RAFTBASE_PEER_PORT, …); the others are ours but no settings. */
function isForeignVariable(field: string): boolean {
  if (/^RAFTBASE_(LIFELINE_FD|GIT_SHA|READY_URL|TEST_RESULTS)$/.test(field)) return true
  return /_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_.*)?)$/.test(field)
}

function readConfig(reader: SettingsReader, workingDirectory: string): MemberConfig {
  const name = reader.read('name', 'n1', parseName)
  const client = readUrls(reader, 'client', { host: '127.0.0.1', port: 2379 })
  const peer = readUrls(reader, 'peer', { host: '127.0.0.1', port: 2380 })
  const apiListen = reader.read('api-addr', { host: '::', port: 8080 }, parseListenAddress)
  const apiHost = isWildcard(apiListen.host) ? hostOf(client.advertise[0]!) : apiListen.host
  const dataDir = reader.read('data-dir', resolve(workingDirectory, 'data', name), (text) =>
    parseDataDir(text, workingDirectory),
  )
  const tls = readTls(reader, { dataDir, workingDirectory })
  const isApiSecure = tls.client !== undefined
  const apiUrl = httpUrl({ host: apiHost, port: apiListen.port, isSecure: isApiSecure })
  const self = { name, peerUrls: peer.advertise }
  reader.read('log-format', 'json', oneOf(['json']))
  const quotaBackendBytes = reader.read(
    'quota-backend-bytes',
    QUOTA_BACKEND_BYTES_DEFAULT,
    parseQuota,
  )
  return {
    name,
    dataDir,
    listenClient: client.listen,
    listenPeer: peer.listen,
    advertiseClientUrls: client.advertise,
    advertisePeerUrls: peer.advertise,
    apiListen,
    advertiseApiUrls: reader.read('advertise-api-url', [apiUrl], listOf(parseAdvertiseUrl)),
    initialCluster: reader.read('initial-cluster', [self], parseInitialCluster),
    initialClusterState: reader.read('initial-cluster-state', 'new', parseClusterState),
    initialClusterToken: reader.read('initial-cluster-token', 'raftbase', parseToken),
    listenMetrics: reader.read('listen-metrics-urls', [], listOf(parsePlainListenUrl)),
    membershipFile: reader.read('membership-file', undefined, (text) =>
      parsePath(text, workingDirectory),
    ),
    terminationLog: reader.read('termination-log', undefined, (text) =>
      parsePath(text, workingDirectory),
    ),
    heartbeatMs: reader.read('heartbeat-interval', HEARTBEAT_MS_DEFAULT, parseHeartbeat),
    electionMs: reader.read('election-timeout', ELECTION_MS_DEFAULT, parseInteger),
    snapshotLogBytes: reader.read(
      'snapshot-log-bytes',
      SNAPSHOT_LOG_BYTES_DEFAULT,
      integerIn(SNAPSHOT_LOG_BYTES_MIN, SNAPSHOT_LOG_BYTES_MAX),
    ),
    quotaBackendBytes: quotaBackendBytes < 0 ? undefined : quotaBackendBytes,
    maxRequestBytes: reader.read(
      'max-request-bytes',
      REQUEST_BYTES_DEFAULT,
      integerIn(REQUEST_BYTES_MIN, REQUEST_BYTES_MAX),
    ),
    autoCompaction: readAutoCompaction(reader),
    logLevel: reader.read('log-level', 'info', oneOf(LOG_LEVELS)),
    tls,
  }
}

/** Listen and advertise URLs of one kind: what is not advertised explicitly is what is listened on. */
function readUrls(
  reader: SettingsReader,
  kind: 'client' | 'peer',
  fallback: HostPort,
): { readonly listen: readonly ListenAddress[]; readonly advertise: readonly string[] } {
  const listenName = `${kind}-url` as const
  const advertiseName = `advertise-${kind}-url` as const
  const listen = reader.read(
    listenName,
    [{ ...fallback, isSecure: false, url: httpUrl(fallback) }],
    listOf(parseListenUrl),
  )
  const urls = listen.map((address) => address.url)
  const wildcard = listen.find((address) => isWildcard(address.host))
  if (wildcard !== undefined && !reader.isGiven(advertiseName)) {
    const [etcdListen, etcdAdvertise] = ETCD_NAMES[kind]
    const reason = `--${etcdAdvertise} is required when --${etcdListen} is set explicitly to every address (${wildcard.url})`
    reader.refuse(advertiseName, reason)
  }
  return { listen, advertise: reader.read(advertiseName, urls, listOf(parseAdvertiseUrl)) }
}

/** As a user of etcd knows them. */
const ETCD_NAMES = {
  client: ['listen-client-urls', 'advertise-client-urls'],
  peer: ['listen-peer-urls', 'initial-advertise-peer-urls'],
} as const

function parseClusterState(text: string) {
  const parsed = oneOf(['new', 'existing'])(text)
  return parsed.ok ? parsed : ({ ok: false, reason: `unexpected clusterState "${text}"` } as const)
}

function parseHeartbeat(text: string) {
  const parsed = integerIn(HEARTBEAT_MS_MIN, HEARTBEAT_MS_MAX)(text)
  if (!parsed.ok && Number(text) <= 0) {
    return {
      ok: false,
      reason: `--heartbeat-interval must be >0 (set to ${Number(text)}ms)`,
    } as const
  }
  return parsed
}

/** 0 means the default, as for etcd; a negative number means no quota. */
function parseQuota(text: string) {
  const parsed = parseInteger(text)
  if (!parsed.ok || parsed.value < 0) return parsed
  if (parsed.value === 0) return { ok: true, value: QUOTA_BACKEND_BYTES_DEFAULT } as const
  return integerIn(QUOTA_BACKEND_BYTES_MIN, QUOTA_BACKEND_BYTES_MAX)(text)
}

/** This member must be in the initial cluster under exactly the peer URLs it advertises. */
function checkCluster(config: MemberConfig, reader: SettingsReader): void {
  const { name, advertisePeerUrls } = config
  if (!reader.isGiven('initial-cluster') || !reader.areSound('name', 'initial-cluster')) return
  const own = config.initialCluster.find((member) => member.name === name)
  if (own === undefined) {
    const names = config.initialCluster.map((member) => member.name).join(', ')
    const reason = `couldn't find local name "${name}" in the initial cluster configuration, which has ${names}`
    return reader.refuse('initial-cluster', reason)
  }
  if (!reader.areSound('peer-url', 'advertise-peer-url')) return
  if (own.peerUrls.toSorted().join(',') === advertisePeerUrls.toSorted().join(',')) return
  const isDerived = !reader.isGiven('advertise-peer-url')
  const advertised = `--initial-advertise-peer-urls=${advertisePeerUrls.join(',')}`
  const source = isDerived ? ` (${reader.field('peer-url')}, as nothing else is advertised)` : ''
  const reason = `--initial-cluster has ${name}=${own.peerUrls.join(',')} but missing from ${advertised}${source}`
  reader.refuse('advertise-peer-url', reason)
}

/** Two sources of the same truth: one of them would be wrong. */
function checkMembership({ membershipFile }: MemberConfig, reader: SettingsReader): void {
  if (membershipFile === undefined) return
  for (const name of [
    'initial-cluster',
    'initial-cluster-state',
    'initial-cluster-token',
  ] as const) {
    if (!reader.isGiven(name)) continue
    const given = `${reader.field('membership-file')} is given as well`
    reader.refuse(name, `multiple discovery or bootstrap flags are set: ${given}`)
  }
}

/** No two listeners of this member may take the same port of the same address. */
function checkListeners(config: MemberConfig, reader: SettingsReader): void {
  const listeners = [
    ...config.listenClient.map((address) => ({ setting: 'client-url' as const, address })),
    ...config.listenPeer.map((address) => ({ setting: 'peer-url' as const, address })),
    { setting: 'api-addr' as const, address: config.apiListen },
    ...config.listenMetrics.map((address) => ({
      setting: 'listen-metrics-urls' as const,
      address,
    })),
  ]
  for (const [position, later] of listeners.entries()) {
    const clash = listeners
      .slice(0, position)
      .find(
        (earlier) =>
          isOverlapping(earlier.address, later.address) &&
          reader.areSound(earlier.setting, later.setting),
      )
    if (clash === undefined) continue
    const { port } = later.address
    reader.refuse(
      later.setting,
      `takes port ${port}, which ${reader.field(clash.setting)} takes too`,
    )
  }
}

function checkTiming(config: MemberConfig, reader: SettingsReader): void {
  const { electionMs, heartbeatMs } = config
  if (!reader.areSound('election-timeout')) return
  if (electionMs > ELECTION_MS_MAX) {
    const reason = `--election-timeout[${electionMs}ms] is too long, and should be set less than ${ELECTION_MS_MAX}ms`
    return reader.refuse('election-timeout', reason)
  }
  if (!reader.areSound('heartbeat-interval')) return
  if (electionMs >= ELECTION_HEARTBEATS_MIN * heartbeatMs) return
  const reason = `--election-timeout[${electionMs}ms] should be at least as ${ELECTION_HEARTBEATS_MIN} times as --heartbeat-interval[${heartbeatMs}ms]`
  reader.refuse('election-timeout', reason)
}

/** Only that it is no file: whether it can be used shows when it is opened. */
function checkDataDir(config: MemberConfig, reader: SettingsReader): void {
  if (!reader.areSound('data-dir')) return
  try {
    if (!statSync(config.dataDir).isDirectory()) reader.refuse('data-dir', 'is not a directory')
  } catch {
    // It does not exist yet, or cannot be looked at: opening it says more.
  }
}
