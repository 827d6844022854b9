// Asks members over their REST API. On node:http, because the built-in fetch costs a command more to load than everything
// else it does.

import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { systemTimers, type TimerHandle } from '../../../lib/clock.ts'
import type { Nodes, Problem, Status } from '../rest/contract.ts'
import type { ClientTls } from './client-tls.ts'

const ANSWER_BYTES_MAX = 1024 * 1024
/** A host that is gone answers nothing at all, not even a refusal: the next one is asked sooner than the answer is due. */
const CONNECT_TIMEOUT_MS = 2000
/** Of an answer that has begun, between two pieces of it. */
const STALL_TIMEOUT_MS = 30_000

export interface MemberRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly apiUrl: string
  /** With its query. */
  readonly path: string
  /** Sent as JSON. */
  readonly body?: object
  /** Instead of the client's own. */
  readonly timeoutMs?: number
}

/** An answer that is too large to be held. */
export interface Download {
  readonly headers: IncomingHttpHeaders
  readonly chunks: AsyncIterable<Uint8Array>
  /** Closes the connection. */
  abort(): void
}

/** A member's answer that is a refusal: the problem document of docs/errors.md. */
export class ProblemError extends Error {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.detail)
    this.name = 'ProblemError'
    this.problem = problem
  }
}

/** No member took the request: nothing was sent, or what answered is no member. */
export class UnreachableError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'UnreachableError'
  }
}

export class MemberClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 })
  /** Made when the first https URL is asked. */
  #secureAgent: Agent | undefined
  readonly #timeoutMs: number
  readonly #tls: ClientTls | undefined

  constructor(options: { readonly timeoutMs: number; readonly tls?: ClientTls }) {
    this.#timeoutMs = options.timeoutMs
    this.#tls = options.tls
  }

  /** What this member says about itself. Rejects when it does not answer in time or not as a member does. */
  async status(apiUrl: string): Promise<Status> {
    const answer = await this.request({ method: 'GET', apiUrl, path: '/v1/status' })
    // One that is parked may not know its id.
    if (typeof answer['dataDirectory'] !== 'object') throw notAMember(apiUrl)
    return answer as unknown as Status
  }

  /** Every member as this one sees it. Rejects as {@link status}. */
  async nodes(apiUrl: string): Promise<Nodes['nodes']> {
    const answer = await this.request({ method: 'GET', apiUrl, path: '/cluster/nodes' })
    if (!Array.isArray(answer['nodes'])) throw notAMember(apiUrl)
    return answer['nodes'] as Nodes['nodes']
  }

  /**
   * The JSON object of a successful answer. Rejects with ProblemError for a refusal, with UnreachableError when the request
   * certainly did not reach a member, and with any other error when it may have.
   */
  async request(options: MemberRequest): Promise<Readonly<Record<string, unknown>>> {
    const { apiUrl, timeoutMs = this.#timeoutMs } = options
    const response = await this.#send(options, AbortSignal.timeout(Math.max(1, timeoutMs)))
    const answer = parseObject(await readText(response))
    const { statusCode = 0 } = response
    if (statusCode >= 400 && answer !== undefined && isProblem(answer)) {
      throw new ProblemError(answer)
    }
    if (statusCode !== 200) throw new UnreachableError(`answered with status ${statusCode}`)
    if (answer === undefined) throw notAMember(apiUrl)
    return answer
  }

  /**
   * The body of a successful answer, as it arrives. Rejects as `request` until the answer has begun, within `timeoutMs`;
   * afterwards `chunks` throws when the connection breaks, when nothing comes for STALL_TIMEOUT_MS or when `signal` aborts.
   */
  async download(
    options: Omit<MemberRequest, 'method' | 'body'> & { readonly signal: AbortSignal },
  ): Promise<Download> {
    const { apiUrl, path, timeoutMs = this.#timeoutMs } = options
    const abort = new AbortController()
    const signal = AbortSignal.any([options.signal, abort.signal])
    const timer = systemTimers.after(timeoutMs, () => abort.abort(new Error('no answer in time')))
    try {
      const response = await this.#send({ method: 'GET', apiUrl, path }, signal)
      const { statusCode = 0, headers } = response
      if (statusCode === 200) {
        return { headers, chunks: arriving(response, abort), abort: () => abort.abort() }
      }
      const answer = parseObject(await readText(response))
      if (answer !== undefined && isProblem(answer)) throw new ProblemError(answer)
      throw new UnreachableError(`answered with status ${statusCode}`)
    } catch (error) {
      throw signal.aborted && !(error instanceof ProblemError) ? signal.reason : error
    } finally {
      timer.cancel()
    }
  }

  close(): void {
    this.#agent.destroy()
    this.#secureAgent?.destroy()
  }

  #secure(): Agent {
    const { ca, cert, key } = this.#tls ?? {}
    // Loaded only now: most commands never need it.
    const { Agent: SecureAgent } = process.getBuiltinModule('node:https')
    this.#secureAgent ??= new SecureAgent({
      keepAlive: true,
      maxSockets: 4,
      ca,
      cert,
      key,
      // As Go's programs do: an authority that is given counts, whoever signed it.
      allowPartialTrustChain: true,
    })
    return this.#secureAgent
  }

  #send(
    { method, apiUrl, path, body }: MemberRequest,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers =
      text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    return new Promise((resolve, reject) => {
      let isConnected = false
      const url = new URL(path, apiUrl)
      const isSecure = url.protocol === 'https:'
      const sent = (isSecure ? process.getBuiltinModule('node:https') : { request }).request(url, {
        agent: isSecure ? this.#secure() : this.#agent,
        method,
        headers,
        signal,
      })
      sent.once('response', resolve)
      sent.once('error', (error) => {
        reject(isConnected ? error : new UnreachableError(reasonOf(error), error))
      })
      sent.once('socket', (socket) => {
        if (!socket.connecting) {
          isConnected = true
          return
        }
        const timer = systemTimers.after(CONNECT_TIMEOUT_MS, () => {
          sent.destroy(new Error('no connection in time'))
        })
        socket.once(isSecure ? 'secureConnect' : 'connect', () => {
          isConnected = true
          timer.cancel()
        })
        socket.once('close', () => timer.cancel())
      })
      sent.end(text)
    })
  }
}

async function* arriving(
  response: IncomingMessage,
  abort: AbortController,
): AsyncGenerator<Uint8Array, void, undefined> {
  const watch = (): TimerHandle =>
    systemTimers.after(STALL_TIMEOUT_MS, () => abort.abort(new Error('nothing more came')))
  let timer = watch()
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      timer.cancel()
      yield chunk
      timer = watch()
    }
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : error
  } finally {
    timer.cancel()
  }
}

/** Why a request failed, in a few words for one line. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return 'no answer in time'
  if ('code' in error && error.code === 'ECONNREFUSED') return 'connection refused'
  if ('code' in error && error.code === 'ENOTFOUND') return 'no such host'
  return error.message === '' && 'code' in error ? String(error.code) : error.message
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX) throw new Error('the answer is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? { ...value } : undefined
  } catch {
    // No JSON: not a member's answer, which is what the caller is told.
    return undefined
  }
}

function isProblem(answer: Readonly<Record<string, unknown>>): answer is Problem {
  return typeof answer['code'] === 'string' && typeof answer['detail'] === 'string'
}

function notAMember(apiUrl: string): Error {
  return new UnreachableError(`${apiUrl} does not answer as a member does`)
}
