// Puts TLS in front of an HTTP server: connections reach it after their handshake, and only if they may come in. The others
// are told why with one answer and closed; nothing that they sent is read. Handshakes are bounded in number and time.

import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import {
  createSecureContext,
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls'
import { invariant } from '../assert.ts'
import type { TimerHandle, Timers } from '../clock.ts'
import { type CertificateRefusal, judgeVerification } from './judge.ts'

export interface SecureServerOptions {
  readonly context: SecureContextOptions
  /** Whether a certificate that an authority of the context signed is demanded. */
  readonly requiresCertificate: boolean
  /** Judges a certificate that was verified. */
  readonly judge: (socket: TLSSocket) => CertificateRefusal | undefined
  /** The whole answer, head and body, to somebody who may not come in. */
  readonly refusalText: (refusal: CertificateRefusal) => Uint8Array
  readonly onSecure?: (socket: TLSSocket) => void
  readonly onRefused: (refusal: CertificateRefusal | HandshakeFailure, socket: TLSSocket) => void
  readonly timers: Timers
  readonly handshakeTimeoutMs: number
  /** Beyond, the oldest handshake under way is cut. */
  readonly handshakesMax: number
}

/** No certificate was judged: not TLS, no version or cipher in common, too slow, cut. */
export interface HandshakeFailure {
  readonly reason: 'handshake'
  /** OpenSSL's or the system's code. */
  readonly detail: string
}

export interface SecureServer {
  /** For handshakes from now on; connections that are open stay. Throws what OpenSSL finds wrong, and changes nothing then. */
  use(context: SecureContextOptions): void
}

export function secureServer(server: Server, options: SecureServerOptions): SecureServer {
  const { timers, handshakesMax, handshakeTimeoutMs } = options
  // The constructor's own; whoever else listens counts connections.
  const [serve] = server.listeners('connection') as ((socket: Socket) => void)[]
  invariant(serve?.name === 'connectionListener', 'HTTP serves connections by another name', {})
  server.removeListener('connection', serve)
  const handshakes = new Handshakes({ timers, handshakesMax, handshakeTimeoutMs })
  const tls = createServer({
    ...options.context,
    requestCert: options.requiresCertificate,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    // The bound above is ours; this one would leave the connection open.
    handshakeTimeout: 2 * handshakeTimeoutMs,
  })
  useContext(tls, options.context)
  server.on('connection', (socket) => {
    // It is gone already, and with it what it is known by.
    if (socket.remotePort === undefined) {
      socket.destroy()
      return
    }
    handshakes.add(socket)
    tls.emit('connection', socket)
  })
  tls.on('secureConnection', (socket) => {
    handshakes.end(socket)
    const refusal = judge(socket, options)
    if (refusal === undefined) {
      options.onSecure?.(socket)
      serve.call(server, socket)
      return
    }
    options.onRefused(refusal, socket)
    refuse(socket, refusal, options)
  })
  tls.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    options.onRefused({ reason: 'handshake', detail: error.code ?? error.message }, socket)
    socket.destroy()
  })
  cutWith(server, handshakes)
  return { use: (context) => useContext(tls, context) }
}

/**
 * Node.js' own `setSecureContext` takes a fixed list of options, and `allowPartialTrustChain` is not among them: whoever shows a
 * certificate of an intermediate that is trusted without its root would be turned away here, and let in where we connect.
 */
function useContext(tls: TlsServer, context: SecureContextOptions): void {
  const inside = tls as unknown as { _sharedCreds?: SecureContext }
  const made = createSecureContext({ ...context, sessionIdContext: SESSION_ID_CONTEXT })
  invariant(inside._sharedCreds !== undefined, 'TLS keeps its context under another name', {})
  inside._sharedCreds = made
}

/** OpenSSL demands one where clients show certificates; no session is ever resumed. */
const SESSION_ID_CONTEXT = 'raftbase'

function judge(socket: TLSSocket, options: SecureServerOptions): CertificateRefusal | undefined {
  if (!options.requiresCertificate) return undefined
  const hasCertificate = socket.getPeerX509Certificate() !== undefined
  // Its type says Error, its value is a code.
  const error = socket.authorizationError as string | Error | null
  const verdict = typeof error === 'string' ? error : 'UNSPECIFIED'
  const code = socket.authorized ? undefined : verdict
  return judgeVerification(code, hasCertificate) ?? options.judge(socket)
}

/** Answers and closes, at the latest after the time that a handshake may take. */
function refuse(
  socket: TLSSocket,
  refusal: CertificateRefusal,
  { timers, handshakeTimeoutMs, refusalText }: SecureServerOptions,
): void {
  const cut = timers.after(handshakeTimeoutMs, () => socket.destroy())
  socket.once('close', () => cut.cancel())
  // The other side may be gone already; that it is closed says it all.
  socket.on('error', () => {})
  socket.end(refusalText(refusal))
  socket.resume()
}

/** A server that stops waits for every connection it accepted; it does not know those in a handshake. */
function cutWith(server: Server, handshakes: Handshakes): void {
  const close = server.close.bind(server)
  const closeAll = server.closeAllConnections.bind(server)
  server.close = (callback) => {
    handshakes.cut()
    return close(callback)
  }
  server.closeAllConnections = () => {
    handshakes.cut()
    closeAll()
  }
}

/** Connections whose handshake has not ended, oldest first. A secure socket is known by where it comes from. */
class Handshakes {
  readonly #options: Pick<SecureServerOptions, 'timers' | 'handshakeTimeoutMs' | 'handshakesMax'>
  readonly #pending = new Map<string, { readonly socket: Socket; readonly deadline: TimerHandle }>()

  constructor(
    options: Pick<SecureServerOptions, 'timers' | 'handshakeTimeoutMs' | 'handshakesMax'>,
  ) {
    this.#options = options
  }

  add(socket: Socket): void {
    const { timers, handshakeTimeoutMs, handshakesMax } = this.#options
    for (const [oldest, { socket: evicted }] of this.#pending) {
      if (this.#pending.size < handshakesMax) break
      this.#remove(oldest)
      evicted.destroy()
    }
    const from = originOf(socket)
    const deadline = timers.after(handshakeTimeoutMs, () => socket.destroy())
    this.#pending.set(from, { socket, deadline })
    socket.once('close', () => this.#remove(from))
  }

  end(socket: TLSSocket): void {
    this.#remove(originOf(socket))
  }

  cut(): void {
    for (const { socket } of this.#pending.values()) socket.destroy()
  }

  #remove(from: string): void {
    this.#pending.get(from)?.deadline.cancel()
    this.#pending.delete(from)
  }
}

function originOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
