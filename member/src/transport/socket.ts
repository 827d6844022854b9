// The only file that reaches the network: listening, connecting, and HTTP/1.1 on a connection. The pair of functions in
// PeerNetwork is all that TLS has to replace.

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
import { type LookupFunction, type Socket, connect } from 'node:net'

export type { ClientRequest, IncomingHttpHeaders, IncomingMessage, Server, ServerResponse, Socket }

export interface PeerNetwork {
  /** An HTTP/1.1 server that does not listen yet. */
  createServer(options: ServerOptions): Server
  /** The server's event for a connection on which HTTP may be spoken. */
  readonly acceptEvent: 'connection' | 'secureConnection'
  /** Starts to connect to a peer URL; failures arrive as the socket's error. Throws for a URL it cannot serve. */
  connect(url: URL): Socket
}

/** Plain TCP. Names are resolved anew at each connect, never twice at the same time. */
export function tcpNetwork(): PeerNetwork {
  const lookupShared = sharedLookup()
  return {
    acceptEvent: 'connection',
    createServer: (options) => createServer(options),
    connect(url) {
      if (url.protocol !== 'http:') throw new TypeError(`scheme of ${url.protocol}// is not http`)
      const host = url.hostname.replace(/^\[|\]$/g, '')
      const port = url.port === '' ? 80 : Number(url.port)
      return connect({ host, port, noDelay: true, lookup: lookupShared })
    },
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
