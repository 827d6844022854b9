// OperatorConfig: the settings with their types, defaults and cross-field checks. Everything is checked before anything
// starts, and every problem is reported, under the name its user wrote.

import { isIP } from 'node:net'
import {
  type ConfigProblem,
  type ConfigWarning,
  deepFreeze,
  type GatheredSettings,
  gatherSettings,
} from '../../lib/config.ts'
import { LOG_LEVELS, type LogLevel } from '../../lib/log-level.ts'
import { ELECTION_TIMES, type ElectionTimes } from './controller/leader-election.ts'
import {
  ENVIRONMENT_PREFIX,
  OPERATOR_SETTINGS,
  OPERATOR_SWITCHES,
  type SettingName,
} from './settings.ts'

/** Frozen. */
export interface OperatorConfig {
  /** Undefined: the pod's ServiceAccount. */
  readonly kubeconfig: string | undefined
  /** Undefined: what the credentials say. */
  readonly namespace: string | undefined
  /** Undefined: all. */
  readonly watchNamespaces: readonly string[] | undefined
  readonly memberRepository: string
  /** Whether the operator has the right to read nodes and volumes. */
  readonly readsNodes: boolean
  /** Where the documents lie; no slash at the end. */
  readonly docsUrl: string
  readonly metricsListen: { readonly host: string; readonly port: number }
  readonly workers: number
  readonly kubeQps: number
  readonly kubeBurst: number
  readonly identity: string
  readonly leaseName: string
  readonly election: ElectionTimes
  readonly logLevel: LogLevel
}

export interface ConfigSources {
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly readFile: (path: string) => string
  readonly hostName: string
}

export type LoadedConfig =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'refused'; readonly problems: readonly ConfigProblem[] }
  | {
      readonly kind: 'config'
      readonly config: OperatorConfig
      readonly warnings: readonly ConfigWarning[]
    }

const RETRY_MS_MIN = 100

/** Reads every source and checks everything; never throws and never stops at the first problem. */
export function loadOperatorConfig(sources: ConfigSources): LoadedConfig {
  const gathered = gatherSettings({
    settings: [...OPERATOR_SETTINGS, ...OPERATOR_SWITCHES],
    unsupported: new Set(),
    argv: sources.argv,
    environment: sources.environment,
    environmentPrefix: ENVIRONMENT_PREFIX,
    isForeignVariable,
    fileSetting: 'config',
    readFile: sources.readFile,
  })
  if (gathered.switches.has('help')) return { kind: 'help' }
  if (gathered.switches.has('version')) return { kind: 'version' }
  const reader = new Reader(gathered)
  const { environment } = sources
  const config: OperatorConfig = {
    kubeconfig: reader.read('kubeconfig', kubeconfigOf(environment), parseText),
    namespace: reader.read('namespace', environment['POD_NAMESPACE'] || undefined, parseLabel),
    watchNamespaces: reader.read('watch-namespaces', undefined, parseLabels),
    memberRepository: reader.read('member-image', 'raftbase/member', parseRepository),
    readsNodes: reader.read('read-nodes', false, parseFlag),
    docsUrl: reader.read('docs-url', 'docs', parseDocsUrl),
    metricsListen: reader.read('metrics-addr', { host: '::', port: 8080 }, parseListen),
    workers: reader.read('workers', 4, integerIn(1, 64)),
    kubeQps: reader.read('kube-qps', 50, integerIn(1, 1000)),
    kubeBurst: reader.read('kube-burst', 100, integerIn(1, 5000)),
    identity: reader.read(
      'identity',
      identityOf(environment['POD_NAME'] || sources.hostName),
      parseIdentity,
    ),
    leaseName: reader.read('lease-name', 'raftbase-operator', parseLabel),
    election: {
      leaseMs: reader.read('lease-duration', ELECTION_TIMES.leaseMs, parseDuration),
      renewDeadlineMs: reader.read('renew-deadline', ELECTION_TIMES.renewDeadlineMs, parseDuration),
      retryMs: reader.read('retry-period', ELECTION_TIMES.retryMs, parseDuration),
    },
    logLevel: reader.read('log-level', 'info', parseLogLevel),
  }
  checkElection(config.election, reader)
  const problems = [...gathered.problems, ...reader.problems]
  if (problems.length > 0) return { kind: 'refused', problems }
  return { kind: 'config', config: deepFreeze(config), warnings: gathered.warnings }
}

/** A process that acts on after its Lease may be taken would be one operator too many. */
function checkElection({ leaseMs, renewDeadlineMs, retryMs }: ElectionTimes, reader: Reader): void {
  if (retryMs < RETRY_MS_MIN) reader.refuse('retry-period', 'is too short')
  if (renewDeadlineMs <= retryMs) reader.refuse('renew-deadline', 'is not longer than retry-period')
  if (leaseMs <= renewDeadlineMs + retryMs) {
    reader.refuse('lease-duration', 'is not longer than renew-deadline and retry-period together')
  }
}

/** Kubernetes adds variables named after services (RAFTBASE_OPERATOR_METRICS_PORT, …). */
function isForeignVariable(field: string): boolean {
  return /_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_.*)?)$/.test(field)
}

/** In a pod its ServiceAccount is what counts, whatever else is set. */
function kubeconfigOf(environment: ConfigSources['environment']): string | undefined {
  const isInPod = (environment['KUBERNETES_SERVICE_HOST'] ?? '') !== ''
  const given = environment['KUBECONFIG'] ?? ''
  return isInPod || given === '' ? undefined : given
}

function identityOf(hostName: string): string {
  const name = hostName.replaceAll(/[^A-Za-z0-9.-]/g, '-').slice(0, 63)
  return name === '' ? 'operator' : name
}

/** Values by setting; what cannot be read is noted and the default stands in. */
class Reader {
  readonly problems: ConfigProblem[] = []
  readonly #gathered: GatheredSettings

  constructor(gathered: GatheredSettings) {
    this.#gathered = gathered
  }

  read<Value>(
    name: SettingName,
    fallback: Value,
    parse: (text: string) => Value | undefined,
  ): Value {
    const given = this.#gathered.values.get(name)
    if (given === undefined) return fallback
    const value = parse(given.text.trim())
    if (value !== undefined) return value
    this.refuse(name, 'has a value that is not accepted')
    return fallback
  }

  refuse(name: SettingName, reason: string): void {
    const given = this.#gathered.values.get(name)
    const setting = OPERATOR_SETTINGS.find((candidate) => candidate.name === name)
    this.problems.push({
      kind: 'refused',
      field: given?.field ?? `-${name}`,
      given: given?.text,
      reason,
      accepted: setting?.accepted,
    })
  }
}

function parseText(text: string): string | undefined {
  return text === '' ? undefined : text
}

function parseFlag(text: string): boolean | undefined {
  if (text === 'true' || text === 'false') return text === 'true'
  return undefined
}

/** What is cut from a terminal has to be the whole of it. */
function parseDocsUrl(text: string): string | undefined {
  const isSound = /^[!-~]{1,200}$/.test(text) && !/[?#()<>"\\]/.test(text)
  return isSound ? text.replace(/\/+$/, '') || undefined : undefined
}

function parseLabel(text: string): string | undefined {
  return /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text) ? text : undefined
}

function parseLabels(text: string): readonly string[] | undefined {
  const labels = text.split(',').map((part) => parseLabel(part.trim()))
  if (labels.some((label) => label === undefined)) return undefined
  return [...new Set(labels.filter((label) => label !== undefined))].toSorted()
}

function parseIdentity(text: string): string | undefined {
  return /^[A-Za-z0-9.-]{1,63}$/.test(text) ? text : undefined
}

/** `registry.example.org:5000/team/member`: no tag, no digest. */
function parseRepository(text: string): string | undefined {
  const part = '[a-z0-9]+(?:[._-]+[a-z0-9]+)*'
  const host = '(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?'
  return new RegExp(`^${host}${part}(?:/${part})*$`).test(text) ? text : undefined
}

function parseListen(text: string): { host: string; port: number } | undefined {
  const [, rawHost = '', port = ''] = /^(.*):([0-9]{1,5})$/.exec(text) ?? []
  const host = rawHost.replace(/^\[(.*)\]$/, '$1')
  if (port === '' || Number(port) > 65_535) return undefined
  if (host === '') return { host: '::', port: Number(port) }
  return isIP(host) === 0 ? undefined : { host, port: Number(port) }
}

function integerIn(low: number, high: number): (text: string) => number | undefined {
  return (text) => {
    const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN
    return value >= low && value <= high ? value : undefined
  }
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

function parseDuration(text: string): number | undefined {
  const [, count = '', unit = ''] = /^([0-9]{1,9})(ms|s|m)$/.exec(text) ?? []
  const unitMs = UNIT_MS[unit]
  return unitMs === undefined ? undefined : Number(count) * unitMs
}

function parseLogLevel(text: string): LogLevel | undefined {
  return LOG_LEVELS.find((level) => level === text)
}
