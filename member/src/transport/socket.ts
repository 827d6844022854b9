// The only file that reaches the network, beside tls.ts, which it is given: listening, connecting, and HTTP/1.1 on a
// connection.

import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import {
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerOptions,
  type ServerResponse,
  createServer,
  request,
} from 'node:http'
import { type LookupFunction, type Socket, type TcpNetConnectOpts, connect } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { CertificateRefusal } from '../../../lib/tls/judge.ts'
import type { HandshakeFailure } from '../../../lib/tls/secure-server.ts'

export type {
  ClientRequest,
  IncomingHttpHeaders,
  IncomingMessage,
  Server,
  ServerResponse,
  Socket,
  TLSSocket,
}

export interface PeerNetwork {
  /** An HTTP/1.1 server that does not listen yet. */
  createServer(options: ServerOptions, accepting: Accepting): Server
  /** Starts to connect to a peer URL; failures arrive as the socket's error. Throws for a URL it cannot serve. */
  connect(url: URL): Socket
  /** What is wrong with the certificate of an accepted connection for a member that is reached at these URLs. */
  judgePeer?(socket: Socket, peerUrls: readonly string[]): CertificateRefusal | undefined
}

/** What becomes of the connections of a server. */
export interface Accepting {
  readonly isSecure: boolean
  /** HTTP may be spoken on it. */
  readonly onConnection: (socket: Socket) => void
  /** It was turned away before a word of HTTP. */
  readonly onRefused: (refusal: CertificateRefusal | HandshakeFailure, socket: Socket) => void
  /** The whole answer to somebody who is turned away for a certificate. */
  readonly refusalText: (refusal: CertificateRefusal) => Uint8Array
  readonly handshakeTimeoutMs: number
  readonly handshakesMax: number
}

/** How TLS is put between; see tls.ts. */
export interface PeerSecurity {
  secure(server: Server, accepting: Accepting): void
  connect(options: TcpNetConnectOpts): Socket
  judgePeer(socket: Socket, peerUrls: readonly string[]): CertificateRefusal | undefined
}

/** TCP, with TLS where the URL says https. Names are resolved anew at each connect, never twice at the same time. */
export function tcpNetwork(security?: PeerSecurity): PeerNetwork {
  const lookupShared = sharedLookup()
  return {
    createServer(options, accepting) {
      const server = createServer(options)
      if (!accepting.isSecure) server.on('connection', accepting.onConnection)
      else if (security !== undefined) security.secure(server, accepting)
      else throw new TypeError('a secure listener without certificates')
      return server
    },
    connect(url) {
      const isSecure = url.protocol === 'https:'
      if (url.protocol !== 'http:' && !isSecure) {
        throw new TypeError(`scheme of ${url.protocol}// is neither http nor https`)
      }
      const host = url.hostname.replace(/^\[|\]$/g, '')
      const port = url.port === '' ? (isSecure ? 443 : 80) : Number(url.port)
      const options = { host, port, noDelay: true, lookup: lookupShared }
      if (!isSecure) return connect(options)
      if (security === undefined) throw new TypeError('https without certificates')
      return security.connect(options)
    },
    judgePeer: (socket, peerUrls) => security?.judgePeer(socket, peerUrls),
  }
}

/** An HTTP/1.1 request on `socket`, which it closes after the answer. No redirect is followed. */
export function requestOn(
  socket: Socket,
  options: { url: URL; method: string; path: string; headers: OutgoingHttpHeaders },
): ClientRequest {
  return request({
    createConnection: () => socket,
    method: options.method,
    path: options.path,
    headers: { Host: options.url.host, ...options.headers },
    maxHeaderSize: HEADER_BYTES_MAX,
  })
}

/** Bound of a request's or an answer's header; the largest part of it is the initial cluster. */
export const HEADER_BYTES_MAX = 16 * 1024

/** Dials of one name that wait for the same answer. */
const LOOKUP_CALLBACKS_MAX = 16

type LookupCallback = Parameters<LookupFunction>[2]

/** Names that are looked up at the same time: the pool has four threads, and the disk must find one. */
const LOOKUPS_MAX = 2

/** The system's lookup, or one that a test brings. */
export type Lookup = (
  hostname: string,
  options: LookupOptions,
  callback: (
    error: NodeJS.ErrnoException | null,
    address: string | LookupAddress[],
    family?: number,
  ) => void,
) => void

/**
 * A name server that does not answer holds a thread of libuv's pool, which the disk needs as well: one at a time for each
 * name, however often it is dialled, and two at a time altogether. The number of names is the number of peer URLs.
 */
export function sharedLookup(lookupOne: Lookup = lookup): LookupFunction {
  const waiting = new Map<string, LookupCallback[]>()
  const queue: (() => void)[] = []
  let running = 0
  const runNext = (): void => {
    if (running >= LOOKUPS_MAX) return
    const run = queue.shift()
    if (run === undefined) return
    running++
    run()
  }
  return (hostname: string, options: LookupOptions, callback: LookupCallback) => {
    const key = `${hostname} ${options.family ?? 0} ${options.all === true}`
    const callbacks = waiting.get(key)
    if (callbacks !== undefined) {
      // Those that came first belong to dials that have timed out.
      if (callbacks.length >= LOOKUP_CALLBACKS_MAX) callbacks.shift()
      callbacks.push(callback)
      return
    }
    waiting.set(key, [callback])
    queue.push(() => {
      lookupOne(hostname, options, (error, address, family) => {
        running--
        const answered = waiting.get(key) ?? []
        waiting.delete(key)
        runNext()
        for (const answer of answered) answer(error, address, family)
      })
    })
    runNext()
  }
}
