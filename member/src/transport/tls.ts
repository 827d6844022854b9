// TLS between members: one context for those who come, one for dials, both as new as the files they are made of. A member is
// let in by its certificate first, then by what it says of itself, and the certificate has to fit that too.

import { isIP } from 'node:net'
import { connect, type SecureContext, TLSSocket } from 'node:tls'
import type { Timers } from '../../../lib/clock.ts'
import {
  clientContext,
  serverChecks,
  serverOptions,
  type TlsVersions,
} from '../../../lib/tls/context.ts'
import type { TlsHolder } from '../../../lib/tls/holder.ts'
import {
  type AllowedCertificates,
  isRevoked,
  judgeCertificate,
  judgeHosts,
} from '../../../lib/tls/judge.ts'
import type { TlsMaterial } from '../../../lib/tls/material.ts'
import { type SecureServer, secureServer } from '../../../lib/tls/secure-server.ts'
import type { TransportLog } from './options.ts'
import type { PeerSecurity } from './socket.ts'

export interface PeerTlsOptions {
  readonly holder: Pick<TlsHolder, 'material' | 'subscribe'>
  readonly versions: TlsVersions
  readonly allowed: AllowedCertificates
  /** Nobody is checked: certificates sign themselves. */
  readonly isSelfSigned: boolean
  readonly requiresCertificate: boolean
  /** A certificate has to be valid for the host of a peer URL of the member that shows it. */
  readonly checksPeerHosts: boolean
  readonly timers: Timers
  readonly log: TransportLog
}

/** Lives as long as the process. */
export function peerSecurity(options: PeerTlsOptions): PeerSecurity {
  const { holder, versions, allowed, isSelfSigned, requiresCertificate, timers, log } = options
  const servers = new Set<SecureServer>()
  /** Open connections with a certificate that a new list may name. */
  const open = new Set<TLSSocket>()
  let dialContext: SecureContext | undefined
  holder.subscribe((material) => {
    dialContext = undefined
    for (const server of servers) server.use(serverOptions(material, versions))
    cutRevoked(open, material, log)
  })
  const track = (socket: TLSSocket): void => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  }
  return {
    secure(server, accepting) {
      const secured = secureServer(server, {
        context: serverOptions(holder.material, versions),
        requiresCertificate,
        judge: (socket) => {
          const { revocations } = holder.material
          return judgeCertificate(socket.getPeerX509Certificate()!, { revocations, allowed })
        },
        refusalText: accepting.refusalText,
        onSecure: (socket) => {
          track(socket)
          accepting.onConnection(socket)
        },
        onRefused: accepting.onRefused,
        timers,
        handshakeTimeoutMs: accepting.handshakeTimeoutMs,
        handshakesMax: accepting.handshakesMax,
      })
      servers.add(secured)
      server.once('close', () => servers.delete(secured))
    },
    connect(tcp) {
      const { material } = holder
      dialContext ??= clientContext(material, versions)
      const host = String(tcp.host)
      const socket = connect({
        ...tcp,
        secureContext: dialContext,
        rejectUnauthorized: !isSelfSigned,
        ALPNProtocols: ['http/1.1'],
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...(isSelfSigned ? {} : serverChecks(allowed, material)),
      })
      socket.setNoDelay(true)
      track(socket)
      return socket
    },
    judgePeer(socket, peerUrls) {
      if (!requiresCertificate || !options.checksPeerHosts) return undefined
      if (!(socket instanceof TLSSocket)) return undefined
      const hosts = peerUrls.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ''))
      return judgeHosts(socket.getPeerX509Certificate()!, hosts)
    },
  }
}

function cutRevoked(open: Iterable<TLSSocket>, material: TlsMaterial, log: TransportLog): void {
  for (const socket of open) {
    const certificate = socket.getPeerX509Certificate()
    if (certificate === undefined || !isRevoked(certificate, material.revocations)) continue
    const { subject, serialNumber } = certificate
    const { remoteAddress } = socket
    log.warn(
      { remoteAddress, subject, serialNumber },
      'cut a peer connection whose certificate was revoked',
    )
    socket.destroy()
  }
}
