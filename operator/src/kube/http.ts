// One HTTP/1.1 exchange with the API server over kept-alive connections. Says what came back, or fails with `unavailable`,
// `aborted` or `malformed`; what a status means is decided elsewhere.

import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { createHash } from 'node:crypto'
import type { TlsMaterial } from './cluster-access.ts'
import { KubeError } from './errors.ts'

/** An answer larger than this is refused: 500 objects of more than 100 KiB each. */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024
const SOCKETS_MAX = 32
const IDLE_SOCKETS_MAX = 8
const TCP_KEEP_ALIVE_MS = 15_000
/** The API server closes idle connections after 90 s or more; we do it first, so that a request never meets a closed one. */
const IDLE_SOCKET_MS = 60_000

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly tls: TlsMaterial
  readonly signal: AbortSignal
  /** A connection of its own that is not reused. */
  readonly isLongLived: boolean
}

/** The answer's head; `message` is consumed or destroyed by whoever gets it. */
export type HttpAnswer = IncomingMessage

/** Connections by the TLS material they were opened with: rotated credentials get new ones. */
export class HttpConnections {
  readonly #plain = new http.Agent(agentOptions())
  #secure: { readonly fingerprint: string; readonly agent: https.Agent } | undefined

  /** Sends a request and resolves with the head of its answer. */
  send(request: HttpRequest): Promise<HttpAnswer> {
    const { method, url, headers, body, tls, signal, isLongLived } = request
    const isSecure = url.protocol === 'https:'
    const agent = isLongLived ? false : isSecure ? this.#agentFor(tls) : this.#plain
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const options = { method, headers: { ...headers, ...length }, agent, ...(isSecure ? tls : {}) }
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(new KubeError('aborted', 'given up before it was sent'))
        return
      }
      const sent = isSecure ? https.request(url, options) : http.request(url, options)
      const onAbort = () => sent.destroy(new KubeError('aborted', 'given up'))
      signal.addEventListener('abort', onAbort, { once: true })
      sent.once('close', () => signal.removeEventListener('abort', onAbort))
      sent.once('socket', (socket) => socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS))
      sent.on('error', (cause) => reject(broken(cause, sent.reusedSocket)))
      sent.once('response', resolve)
      sent.end(body)
    })
  }

  close(): void {
    this.#plain.destroy()
    this.#secure?.agent.destroy()
  }

  #agentFor(tls: TlsMaterial): https.Agent {
    const fingerprint = fingerprintOf(tls)
    if (this.#secure?.fingerprint !== fingerprint) {
      // Requests under way keep their sockets; idle ones of the old material are not used again and time out.
      this.#secure = { fingerprint, agent: new https.Agent(agentOptions()) }
    }
    return this.#secure.agent
  }
}

/** The whole body as text. */
export async function readBody(answer: HttpAnswer): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > ANSWER_BYTES_MAX) {
        throw new KubeError('malformed', 'answer is too large', { details: { size } })
      }
      chunks.push(chunk)
    }
  } catch (cause) {
    throw broken(cause, false)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** What broke the exchange, as a KubeError; `isReused` marks a kept-alive connection that the server had closed. */
export function broken(cause: unknown, isReused: boolean): KubeError {
  if (cause instanceof KubeError) return cause
  const systemCode =
    typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : 'unknown'
  return new KubeError('unavailable', 'connection to the API server broke', {
    details: { systemCode, ...(isReused ? { isReused } : {}) },
    cause,
  })
}

function agentOptions(): http.AgentOptions {
  return {
    keepAlive: true,
    keepAliveMsecs: TCP_KEEP_ALIVE_MS,
    maxSockets: SOCKETS_MAX,
    maxFreeSockets: IDLE_SOCKETS_MAX,
    timeout: IDLE_SOCKET_MS,
  }
}

function fingerprintOf(tls: TlsMaterial): string {
  const hash = createHash('sha256')
  for (const part of [tls.ca, tls.cert, tls.key, tls.passphrase, tls.servername]) {
    hash.update(part ?? '').update('\u0000')
  }
  return hash.update(String(tls.rejectUnauthorized)).digest('hex')
}
