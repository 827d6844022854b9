// The TLS settings of a member with their types, and everything about them that can be checked before anything starts: that
// they fit the URLs and each other, and that the files can be used.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readMaterial, type TlsFiles } from '../../lib/tls/material.ts'
import type { FileContent } from '../../lib/watched-files.ts'
import { isSecureUrl, type ListenAddress, type Parsed } from './address.ts'
import {
  type InitialMember,
  integerIn,
  oneOf,
  parsePath,
  type SettingsReader,
} from './setting-values.ts'
import {
  ALLOWED_NAMES_MAX,
  CIPHER_SUITES,
  SELF_SIGNED_YEARS_DEFAULT,
  SELF_SIGNED_YEARS_MAX,
  TLS_VERSIONS,
  type TlsSettingName,
} from './tls-settings.ts'

/** TLS of one use. */
export interface TlsUse {
  readonly files: TlsFiles
  /** The files are made by the member itself; whoever answers is not checked. */
  readonly isSelfSigned: boolean
  readonly requiresCertificate: boolean
  readonly allowed: {
    readonly commonNames: readonly string[]
    readonly hostNames: readonly string[]
  }
}

export interface MemberTls {
  /** Of client listeners with https and of the REST API. */
  readonly client: TlsUse | undefined
  readonly peer: TlsUse | undefined
  /** A peer's certificate has to be valid for the host of its peer URL. */
  readonly checksPeerHosts: boolean
  readonly versions: {
    readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
    readonly maxVersion: 'TLSv1.2' | 'TLSv1.3'
    /** OpenSSL's names. */
    readonly ciphers: readonly string[] | undefined
  }
  readonly selfSignedYears: number
}

type Kind = 'client' | 'peer'

/** The settings of each kind, under the names they have there. */
const NAMES = {
  client: {
    certificate: 'cert-file',
    key: 'key-file',
    clientCertificate: undefined,
    clientKey: undefined,
    authorities: 'trusted-ca-file',
    revocations: 'client-crl-file',
    demand: 'client-cert-auth',
    commonNames: 'client-cert-allowed-cn',
    hostNames: 'client-cert-allowed-hostname',
    auto: 'auto-tls',
  },
  peer: {
    certificate: 'peer-cert-file',
    key: 'peer-key-file',
    clientCertificate: 'peer-client-cert-file',
    clientKey: 'peer-client-key-file',
    authorities: 'peer-trusted-ca-file',
    revocations: 'peer-crl-file',
    demand: 'peer-client-cert-auth',
    commonNames: 'peer-cert-allowed-cn',
    hostNames: 'peer-cert-allowed-hostname',
    auto: 'peer-auto-tls',
  },
} as const satisfies Record<Kind, Record<string, TlsSettingName | undefined>>

export function readTls(
  reader: SettingsReader,
  { dataDir, workingDirectory }: { dataDir: string; workingDirectory: string },
): MemberTls {
  const minVersion = reader.read('tls-min-version', 'TLS1.2', oneOf(TLS_VERSIONS))
  const maxVersion = reader.read('tls-max-version', 'TLS1.3', oneOf(TLS_VERSIONS))
  const ciphers = reader.read('cipher-suites', undefined, parseCipherSuites)
  if (minVersion > maxVersion && reader.areSound('tls-min-version', 'tls-max-version')) {
    const reason = `min version (${minVersion}) is greater than max version (${maxVersion})`
    reader.refuse('tls-min-version', reason)
  }
  if (ciphers !== undefined && minVersion === 'TLS1.3') {
    reader.refuse('cipher-suites', 'cipher suites cannot be configured when only TLS1.3 is enabled')
  }
  const years = integerIn(1, SELF_SIGNED_YEARS_MAX)
  const folders = { dataDir, workingDirectory }
  return {
    client: readUse(reader, 'client', folders),
    peer: readUse(reader, 'peer', folders),
    checksPeerHosts: !reader.read('peer-skip-client-san-verification', false, parseBoolean),
    versions: { minVersion: openssl(minVersion), maxVersion: openssl(maxVersion), ciphers },
    selfSignedYears: reader.read('self-signed-cert-validity', SELF_SIGNED_YEARS_DEFAULT, years),
  }
}

function readUse(
  reader: SettingsReader,
  kind: Kind,
  folders: { readonly dataDir: string; readonly workingDirectory: string },
): TlsUse | undefined {
  const names = NAMES[kind]
  const path = (name: TlsSettingName | undefined): string | undefined =>
    name === undefined
      ? undefined
      : reader.read(name, undefined, (text) => parsePath(text, folders.workingDirectory))
  const files: TlsFiles = {
    certificate: path(names.certificate),
    key: path(names.key),
    clientCertificate: path(names.clientCertificate),
    clientKey: path(names.clientKey),
    authorities: path(names.authorities),
    revocations: path(names.revocations),
  }
  const demands = reader.read(names.demand, false, parseBoolean)
  const allowed = {
    commonNames: reader.read(names.commonNames, [], parseNames),
    hostNames: reader.read(names.hostNames, [], parseNames),
  }
  const isAuto = reader.read(names.auto, false, parseBoolean)
  if (!isAuto || reader.isGiven(names.certificate) || reader.isGiven(names.key)) {
    checkUse(reader, kind, { files, demands, allowed })
    if (files.certificate === undefined) return undefined
    const requiresCertificate = files.authorities !== undefined
    return { files, isSelfSigned: false, requiresCertificate, allowed }
  }
  for (const name of [names.authorities, names.revocations, names.commonNames, names.hostNames]) {
    if (reader.isGiven(name)) reader.refuse(name, `has no effect with ${reader.field(names.auto)}`)
  }
  if (demands) reader.refuse(names.demand, `has no effect with ${reader.field(names.auto)}`)
  // Where etcd has them.
  const folder = join(folders.dataDir, 'fixtures', kind)
  const pair = { certificate: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  const made = { ...pair, authorities: undefined, revocations: undefined }
  return { files: made, isSelfSigned: true, requiresCertificate: false, allowed }
}

function checkUse(
  reader: SettingsReader,
  kind: Kind,
  use: { readonly files: TlsFiles; readonly demands: boolean; readonly allowed: TlsUse['allowed'] },
): void {
  const names = NAMES[kind]
  const needs = (name: TlsSettingName, needed: TlsSettingName): void => {
    if (!reader.areSound(name, needed)) return
    if (reader.isGiven(name) && !reader.isGiven(needed)) {
      reader.refuse(name, `needs -${needed} as well`)
    }
  }
  needs(names.certificate, names.key)
  needs(names.key, names.certificate)
  needs(names.authorities, names.certificate)
  for (const name of [names.revocations, names.commonNames, names.hostNames]) {
    needs(name, names.authorities)
  }
  if (use.demands) needs(names.demand, names.authorities)
  if (use.allowed.commonNames.length > 0 && use.allowed.hostNames.length > 0) {
    const other = reader.field(names.commonNames)
    reader.refuse(names.hostNames, `and ${other} are mutually exclusive`)
  }
  if (kind === 'client') return
  needs(NAMES.peer.clientCertificate, NAMES.peer.clientKey)
  needs(NAMES.peer.clientKey, NAMES.peer.clientCertificate)
  needs(NAMES.peer.clientCertificate, NAMES.peer.certificate)
  // Without authorities anybody could be a peer.
  needs(names.certificate, names.authorities)
}

/** That URLs and certificates speak of the same. */
export function checkTlsUrls(
  config: {
    readonly tls: MemberTls
    readonly listenClient: readonly ListenAddress[]
    readonly listenPeer: readonly ListenAddress[]
    readonly advertisePeerUrls: readonly string[]
    readonly initialCluster: readonly InitialMember[]
  },
  reader: SettingsReader,
): void {
  const { tls, listenClient, listenPeer } = config
  for (const [kind, listen] of [
    ['client', listenClient],
    ['peer', listenPeer],
  ] as const) {
    const { certificate, key, auto } = NAMES[kind]
    const secure = listen.find(({ isSecure }) => isSecure)
    const isSound = reader.areSound(`${kind}-url`, certificate, key, auto)
    if (secure === undefined || tls[kind] !== undefined || !isSound) continue
    const reason = `TLS key/cert (--${certificate}, --${key}) must be provided for ${kind} url ${secure.url} with HTTPS scheme`
    reader.refuse(`${kind}-url`, reason)
  }
  if (!reader.areSound('peer-url', 'advertise-peer-url', 'initial-cluster')) return
  const isListening = (url: string) => listenPeer.some((own) => own.isSecure === isSecureUrl(url))
  const unheard = config.advertisePeerUrls.find((url) => !isListening(url))
  if (unheard !== undefined) {
    const [own] = listenPeer
    const reason = `tells others ${unheard} while ${reader.field('peer-url')} listens on ${own?.url}`
    reader.refuse('advertise-peer-url', reason)
  }
  const secure = config.initialCluster.flatMap(({ peerUrls }) => peerUrls).find(isSecureUrl)
  if (secure === undefined || tls.peer !== undefined || !reader.isGiven('initial-cluster')) return
  if (!reader.areSound('peer-cert-file', 'peer-key-file', 'peer-trusted-ca-file')) return
  const reason = `has ${secure}, and no --peer-cert-file to connect to it with`
  reader.refuse('initial-cluster', reason)
}

/** Reads the files once, so that what is wrong with them is said with everything else. */
export function checkTlsFiles(tls: MemberTls, reader: SettingsReader): void {
  for (const kind of ['client', 'peer'] as const) {
    const use = tls[kind]
    if (use === undefined || use.isSelfSigned) continue
    const read = readMaterial(use.files, readNow)
    if (read.ok) continue
    for (const { role, reason } of read.problems) {
      const name = NAMES[kind][role]
      if (name !== undefined && reader.areSound(name)) reader.refuse(name, reason)
    }
  }
}

function readNow(path: string): FileContent {
  try {
    return { bytes: readFileSync(path) }
  } catch (error) {
    return { error: (error as NodeJS.ErrnoException).code ?? 'unknown' }
  }
}

function openssl(version: (typeof TLS_VERSIONS)[number]): 'TLSv1.2' | 'TLSv1.3' {
  return version === 'TLS1.2' ? 'TLSv1.2' : 'TLSv1.3'
}

export function parseBoolean(text: string): Parsed<boolean> {
  if (text === 'true' || text === 'false') return { ok: true, value: text === 'true' }
  return { ok: false, reason: 'is neither true nor false' }
}

function parseNames(text: string): Parsed<readonly string[]> {
  const names = text.split(',').map((name) => name.trim())
  if (names.includes('')) return { ok: false, reason: 'has an empty name' }
  if (names.length > ALLOWED_NAMES_MAX) {
    return { ok: false, reason: `has more than ${ALLOWED_NAMES_MAX} names` }
  }
  return { ok: true, value: names }
}

function parseCipherSuites(text: string): Parsed<readonly string[] | undefined> {
  const ciphers: string[] = []
  for (const name of text.split(',')) {
    const cipher = CIPHER_SUITES.get(name.trim())
    if (cipher === undefined)
      return { ok: false, reason: `unexpected TLS cipher suite ${name.trim()}` }
    ciphers.push(cipher)
  }
  return { ok: true, value: [...new Set(ciphers)] }
}
