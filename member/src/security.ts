// TLS of a running member: opens the certificates of its configuration, keeps them new, and puts them in front of its
// listeners. Where nothing is configured, nothing of TLS is even loaded.

import type { Server } from 'node:http'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { RaftbaseError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/logger.ts'
import type { Registry } from '../../lib/metrics.ts'
import type { TlsHolder } from '../../lib/tls/holder.ts'
import type { CertificateRefusal } from '../../lib/tls/judge.ts'
import { hostOf, isSecureUrl } from './address.ts'
import type { MemberConfig } from './config.ts'
import type { TlsReport } from './node/member-node.ts'
import type { TlsUse } from './tls-config.ts'
import type { PeerSecurity } from './transport/peer-transport.ts'

const HANDSHAKE_TIMEOUT_MS = 5000
/** Of clients, on each listener. */
const HANDSHAKES_MAX = 256
/** Addresses whose rejection is remembered, so that each is logged once for each reason. */
const COMPLAINTS_MAX = 64
const COMPLAINT_PERIOD_MS = 600_000

export interface MemberSecurity {
  readonly peer: PeerSecurity | undefined
  /** Puts TLS in front of a server for clients that does not listen yet, if there are certificates for it. */
  secureFront(server: Server): void
  /** Undefined where nothing is configured. */
  readonly status: (() => TlsReport) | undefined
  stop(): void
}

const NONE: MemberSecurity = {
  peer: undefined,
  secureFront() {},
  status: undefined,
  stop() {},
}

interface Opened {
  readonly use: TlsUse
  readonly holder: TlsHolder
}

/** Rejects with CONFIG_INVALID when certificates cannot be used, DATA_DIR_UNUSABLE when they cannot be made. */
export async function openSecurity(options: {
  readonly config: MemberConfig
  readonly log: Logger
  readonly registry: Registry
}): Promise<MemberSecurity> {
  const { config, log, registry } = options
  const { client, peer } = config.tls
  if (client === undefined && peer === undefined) return NONE
  const opened = {
    client: client === undefined ? undefined : await openUse('client', client, options),
    peer: peer === undefined ? undefined : await openUse('peer', peer, options),
  }
  registerExpiry(registry, () => holdersOf(opened))
  warnOfNames(config, opened, log)
  return {
    peer: opened.peer === undefined ? undefined : await securePeers(config, opened.peer, log),
    secureFront: await frontSecurer(config, opened.client, log),
    status: () => ({
      ...(opened.client === undefined ? {} : { client: opened.client.holder.status }),
      ...(opened.peer === undefined ? {} : { peer: opened.peer.holder.status }),
    }),
    stop() {
      for (const { holder } of holdersOf(opened)) holder.stop()
    },
  }
}

/** The expiry of each certificate that is in force. */
export function registerExpiry(
  registry: Registry,
  read: () => readonly { readonly name: string; readonly holder: Pick<TlsHolder, 'material'> }[],
): void {
  registry.gaugeFrom(
    {
      name: 'raftbase_tls_certificate_expiry_seconds',
      help: 'When the certificate in force expires, since the Unix epoch.',
      labelNames: ['use'],
    },
    () =>
      read().flatMap(({ name, holder }) => {
        const { server } = holder.material
        if (server === undefined) return []
        return [{ labels: [name], value: server.leaf.validToDate.getTime() / 1000 }]
      }),
  )
}

type OpenedUses = Readonly<Record<'client' | 'peer', Opened | undefined>>

function holdersOf(opened: OpenedUses): { readonly name: string; readonly holder: TlsHolder }[] {
  return Object.entries(opened).flatMap(([name, found]) =>
    found === undefined ? [] : [{ name, holder: found.holder }],
  )
}

async function openUse(
  name: 'client' | 'peer',
  use: TlsUse,
  { config, log }: { readonly config: MemberConfig; readonly log: Logger },
): Promise<Opened> {
  const { TlsHolder } = await import('../../lib/tls/holder.ts')
  if (use.isSelfSigned) await makeSelfSigned(name, use, { config, log })
  const { files } = use
  const options = { use: name, files, clock: systemClock, timers: systemTimers, log }
  return { use, holder: await TlsHolder.open(options) }
}

async function makeSelfSigned(
  name: 'client' | 'peer',
  { files }: TlsUse,
  { config, log }: { readonly config: MemberConfig; readonly log: Logger },
): Promise<void> {
  const { ensureSelfSigned } = await import('../../lib/tls/self-signed.ts')
  const hosts = new Set(['localhost', '127.0.0.1', '::1', ...advertisedHosts(config, name)])
  try {
    const isNew = await ensureSelfSigned({
      certificatePath: files.certificate!,
      keyPath: files.key!,
      commonName: config.name,
      hosts: [...hosts],
      years: config.tls.selfSignedYears,
      clock: systemClock,
    })
    const what = 'serving with a certificate that signs itself: nobody can tell who answers'
    log.warn({ use: name, isNew, certificate: files.certificate }, what)
  } catch (cause) {
    const details = { directory: config.dataDir, reason: (cause as NodeJS.ErrnoException).code }
    const message = 'certificates cannot be made in the data directory'
    throw new RaftbaseError('DATA_DIR_UNUSABLE', message, { details, cause })
  }
}

function advertisedHosts(config: MemberConfig, name: 'client' | 'peer'): readonly string[] {
  const urls =
    name === 'peer'
      ? config.advertisePeerUrls
      : [...config.advertiseClientUrls, ...config.advertiseApiUrls]
  return [...new Set(urls.filter(isSecureUrl).map(hostOf))]
}

/** A name that is missing makes others refuse this member; a new file cures it without a restart. */
function warnOfNames(config: MemberConfig, opened: OpenedUses, log: Logger): void {
  for (const { name, holder } of holdersOf(opened)) {
    const { server } = holder.material
    const missing = advertisedHosts(config, name as 'client' | 'peer').filter((host) => {
      const leaf = server?.leaf
      return leaf?.checkHost(host) === undefined && leaf?.checkIP(host) === undefined
    })
    if (missing.length === 0) continue
    const certificate = server?.leaf.subjectAltName
    log.warn({ use: name, missing, certificate }, 'certificate is not valid for advertised hosts')
  }
  if (opened.peer !== undefined && !config.listenPeer.some(({ isSecure }) => isSecure)) {
    const peerUrls = config.listenPeer.map(({ url }) => url)
    log.warn({ peerUrls }, 'there are peer certificates, and no peer URL with https to use them on')
  }
}

async function securePeers(
  config: MemberConfig,
  { use, holder }: Opened,
  log: Logger,
): Promise<PeerSecurity> {
  const { peerSecurity } = await import('./transport/tls.ts')
  const { versions, checksPeerHosts } = config.tls
  const { allowed, isSelfSigned, requiresCertificate } = use
  const options = { holder, versions, allowed, isSelfSigned, requiresCertificate, checksPeerHosts }
  return peerSecurity({ ...options, timers: systemTimers, log })
}

async function frontSecurer(
  config: MemberConfig,
  opened: Opened | undefined,
  log: Logger,
): Promise<(server: Server) => void> {
  if (opened === undefined) return () => {}
  const [{ secureServer }, { serverOptions }, { judgeCertificate }] = await Promise.all([
    import('../../lib/tls/secure-server.ts'),
    import('../../lib/tls/context.ts'),
    import('../../lib/tls/judge.ts'),
  ])
  const { use, holder } = opened
  const { versions } = config.tls
  const complain = complainer(log)
  return (server) => {
    const secured = secureServer(server, {
      context: serverOptions(holder.material, versions),
      requiresCertificate: use.requiresCertificate,
      judge: (socket) =>
        judgeCertificate(socket.getPeerX509Certificate()!, {
          revocations: holder.material.revocations,
          allowed: use.allowed,
        }),
      refusalText,
      onRefused: (refusal, socket) => {
        const subject = socket.getPeerX509Certificate()?.subject
        complain({ ...refusal, remoteAddress: socket.remoteAddress, subject })
      },
      timers: systemTimers,
      handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
      handshakesMax: HANDSHAKES_MAX,
    })
    const unsubscribe = holder.subscribe((material) => {
      secured.use(serverOptions(material, versions))
    })
    server.once('close', unsubscribe)
  }
}

interface Complaint {
  readonly reason: string
  readonly detail: string
  readonly remoteAddress: string | undefined
  readonly subject: string | undefined
}

/** One line in ten minutes for each address and reason, not for each attempt. */
function complainer(log: Logger): (complaint: Complaint) => void {
  const saidAtMs = new Map<string, number>()
  return (complaint) => {
    const { reason, detail, remoteAddress, subject } = complaint
    const about = [remoteAddress, subject, reason, detail].join(' ')
    const nowMs = systemClock.monotonicMs()
    const before = saidAtMs.get(about)
    // Whoever only connects and goes is a probe of a port.
    const isProbe = reason === 'handshake' && detail === 'ECONNRESET'
    if (isProbe || (before !== undefined && nowMs - before < COMPLAINT_PERIOD_MS)) {
      log.debug(complaint, 'rejected connection on client endpoint')
      return
    }
    saidAtMs.delete(about)
    saidAtMs.set(about, nowMs)
    for (const oldest of saidAtMs.keys()) {
      if (saidAtMs.size <= COMPLAINTS_MAX) break
      saidAtMs.delete(oldest)
    }
    log.warn(complaint, 'rejected connection on client endpoint')
  }
}

function refusalText({ reason, detail, expected, got }: CertificateRefusal): Uint8Array {
  const code = 'CERTIFICATE_REFUSED'
  const type = `urn:raftbase:error:${code}`
  const head = { type, title: 'Certificate refused', status: 403, outcome: 'notApplied' }
  const body = JSON.stringify({ ...head, code, reason, detail, expected, got })
  return Buffer.from(
    `HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
