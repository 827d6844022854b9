// A Kubernetes API server for tests: real HTTP over a FakeApiStore. Lists in pages, watches with bookmarks, 410, apply, merge
// patches, preconditions, and faults on demand: refusals, lost answers, silence, slowness, cut and held-back watches.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { isRecord, type Json, textOf } from './fake-api-json.ts'
import { ApiRefusal, type Change, FakeApiStore, type StoredObject } from './fake-api-store.ts'
import { parseRequest, type ParsedRequest } from './fake-api-request.ts'
import { matchesSelector } from './fake-api-selector.ts'

/** What happens to a request instead of, or after, being carried out. */
export type Fault =
  /** Refused with a Status of this HTTP code. */
  | {
      readonly kind: 'refuse'
      readonly status: number
      readonly reason?: string
      readonly retryAfter?: number
    }
  /** The connection is reset before anything is done. */
  | { readonly kind: 'reset' }
  /** Carried out; the answer is lost. */
  | { readonly kind: 'loseAnswer' }
  /** Carried out after so long. */
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** Neither carried out nor answered. */
  | { readonly kind: 'hang' }
  /** Answered with something else. */
  | { readonly kind: 'garbage'; readonly body: string }

interface PlannedFault {
  readonly fault: Fault
  readonly matches: (request: ParsedRequest) => boolean
  count: number
}

interface OpenWatch {
  readonly request: ParsedRequest
  readonly response: ServerResponse
  readonly selector: string
  /** Lines that wait while watches are held back. */
  readonly held: string[]
}

export class FakeApiServer {
  readonly store: FakeApiStore
  /** Every request as it arrived. */
  readonly requests: ParsedRequest[] = []
  readonly #server: Server
  readonly #faults: PlannedFault[] = []
  readonly #watches = new Set<OpenWatch>()
  readonly #sockets = new Set<Socket>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #holdsWatches = false
  #hungCount = 0
  /** The token a request must carry; undefined lets everybody in. */
  token: string | undefined
  /** Called before each request is answered; a test that counts side effects throws here, and the answer is lost. */
  beforeAnswer: ((request: ParsedRequest) => void) | undefined

  private constructor(store: FakeApiStore) {
    this.store = store
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : new Error(String(error)))
      })
    })
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    store.onChange((change) => this.#tell(change))
  }

  static async start(store = new FakeApiStore(), port = 0): Promise<FakeApiServer> {
    const server = new FakeApiServer(store)
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', reject)
      server.#server.listen(port, '127.0.0.1', resolve)
    })
    return server
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get watchCount(): number {
    return this.#watches.size
  }

  /** Requests whose clients wait in vain. */
  get hungCount(): number {
    return this.#hungCount
  }

  /** Does this to the next `count` requests that match (`GET /apis/…`, or a test of the parsed request). */
  fail(
    match: RegExp | ((request: ParsedRequest) => boolean),
    fault: Fault,
    count = Number.POSITIVE_INFINITY,
  ): void {
    const matches =
      match instanceof RegExp
        ? (request: ParsedRequest) => match.test(`${request.method} ${request.url}`)
        : match
    this.#faults.push({ fault, matches, count })
  }

  heal(): void {
    this.#faults.length = 0
  }

  /** Ends every watch: `end` as after its timeout, `reset` as when the server dies. */
  cutWatches(how: 'end' | 'reset'): void {
    for (const { response } of this.#watches) {
      if (how === 'end') response.end()
      else response.socket?.resetAndDestroy()
    }
    this.#watches.clear()
  }

  /** Tells no watch anything until they are released: what a slow watch cache looks like. */
  holdWatches(): void {
    this.#holdsWatches = true
  }

  releaseWatches(): void {
    this.#holdsWatches = false
    for (const watch of this.#watches) {
      for (const line of watch.held.splice(0)) watch.response.write(line)
    }
  }

  /** Tells every watch how far it is. */
  sendBookmarks(): void {
    for (const watch of this.#watches) {
      const { apiVersion, kind } = watch.request
      const metadata = { resourceVersion: String(this.store.revision) }
      this.#write(watch, { type: 'BOOKMARK', object: { apiVersion, kind, metadata } })
    }
  }

  /** Sends raw bytes to every watch. */
  sendRaw(bytes: string | Buffer): void {
    for (const { response } of this.#watches) response.write(bytes)
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await parseRequest(incoming)
    this.requests.push(request)
    const fault = this.#nextFault(request)
    if (fault?.kind === 'hang') {
      this.#hungCount++
      response.once('close', () => this.#hungCount--)
      return
    }
    if (fault?.kind === 'delay') await this.#delay(fault.delayMs)
    if (fault?.kind === 'reset') {
      incoming.socket.resetAndDestroy()
      return
    }
    if (fault?.kind === 'garbage') {
      response.writeHead(200, { 'content-type': 'application/json' }).end(fault.body)
      return
    }
    try {
      if (fault?.kind === 'refuse') {
        const { status, reason = 'InternalError', retryAfter } = fault
        if (retryAfter !== undefined) response.setHeader('retry-after', String(retryAfter))
        throw new ApiRefusal(status, reason, 'refused on purpose')
      }
      if (this.token !== undefined && incoming.headers.authorization !== `Bearer ${this.token}`) {
        throw new ApiRefusal(401, 'Unauthorized', 'Unauthorized')
      }
      if (request.isWatch) {
        this.#openWatch(request, response)
        return
      }
      const body = this.#carryOut(request)
      this.beforeAnswer?.(request)
      if (fault?.kind === 'loseAnswer') {
        incoming.socket.resetAndDestroy()
        return
      }
      response.writeHead(request.method === 'POST' ? 201 : 200, {
        'content-type': 'application/json',
      })
      response.end(JSON.stringify(body))
    } catch (error) {
      if (!(error instanceof ApiRefusal)) throw error
      response.writeHead(error.status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(statusOf(error)))
    }
  }

  #carryOut(request: ParsedRequest): Json | StoredObject | Record<string, unknown> {
    const { store } = this
    const { target, body, query, subresource } = request
    switch (request.method) {
      case 'GET':
        return target.name === '' ? this.#list(request) : store.get(target)
      case 'POST': {
        const metadata = isRecord(body['metadata']) ? body['metadata'] : {}
        return store.create({ ...target, name: textOf(metadata['name']) }, body)
      }
      case 'PUT':
        return store.replace(target, body)
      case 'PATCH': {
        if (!request.contentType.includes('apply-patch')) {
          return store.patch(target, body, subresource)
        }
        const fieldManager = query.get('fieldManager') ?? ''
        if (fieldManager === '') throw new ApiRefusal(400, 'BadRequest', 'fieldManager is required')
        return store.apply(target, body, {
          fieldManager,
          force: query.get('force') === 'true',
          subresource,
        })
      }
      case 'DELETE': {
        const preconditions = isRecord(body['preconditions']) ? body['preconditions'] : {}
        return store.delete(target, preconditions)
      }
      default:
        throw new ApiRefusal(405, 'MethodNotAllowed', request.method)
    }
  }

  #list(request: ParsedRequest): Record<string, unknown> {
    const { target, query, apiVersion, kind } = request
    const selector = query.get('labelSelector') ?? ''
    const token = query.get('continue')
    const [from, revision] = token === null ? [0, this.store.revision] : readToken(token)
    if (revision < this.store.compactedRevision) {
      throw new ApiRefusal(410, 'Expired', 'the provided continue parameter is too old')
    }
    const items = this.store
      .list(target.collection, target.namespace)
      .filter((object) => matchesSelector(object, selector))
    const limit = Number(query.get('limit') ?? 0)
    const end = limit > 0 ? from + limit : items.length
    const rest =
      items.length > end ? { continue: Buffer.from(`${end} ${revision}`).toString('base64') } : {}
    return {
      apiVersion,
      kind: `${kind}List`,
      metadata: { resourceVersion: String(revision), ...rest },
      items: items.slice(from, end).map(({ apiVersion: _version, kind: _kind, ...item }) => item),
    }
  }

  #openWatch(request: ParsedRequest, response: ServerResponse): void {
    const from = Number(request.query.get('resourceVersion') ?? 0)
    if (from < this.store.compactedRevision) {
      throw new ApiRefusal(410, 'Expired', `too old resource version: ${from}`)
    }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    const selector = request.query.get('labelSelector') ?? ''
    const watch: OpenWatch = { request, response, selector, held: [] }
    for (const change of this.store.changesSince(request.target.collection, from)) {
      this.#tellOne(watch, change)
    }
    this.#watches.add(watch)
    const seconds = Number(request.query.get('timeoutSeconds') ?? 0)
    if (seconds > 0) {
      this.#after(seconds * 1000, () => {
        this.#watches.delete(watch)
        response.end()
      })
    }
    response.once('close', () => this.#watches.delete(watch))
  }

  #tell(change: Change): void {
    for (const watch of this.#watches) {
      if (watch.request.target.collection === change.collection) this.#tellOne(watch, change)
    }
  }

  #tellOne(watch: OpenWatch, change: Change): void {
    const { namespace } = watch.request.target
    if (namespace !== '' && change.object.metadata.namespace !== namespace) return
    const isIn = change.type !== 'DELETED' && matchesSelector(change.object, watch.selector)
    const wasIn = change.before !== undefined && matchesSelector(change.before, watch.selector)
    if (!isIn && !wasIn) return
    const type = !isIn ? 'DELETED' : wasIn ? 'MODIFIED' : 'ADDED'
    this.#write(watch, { type, object: change.object })
  }

  #write(watch: OpenWatch, event: unknown): void {
    const line = `${JSON.stringify(event)}\n`
    if (this.#holdsWatches) watch.held.push(line)
    else watch.response.write(line)
  }

  #nextFault(request: ParsedRequest): Fault | undefined {
    const planned = this.#faults.find((candidate) => {
      return candidate.count > 0 && candidate.matches(request)
    })
    if (planned === undefined) return undefined
    planned.count--
    return planned.fault
  }

  #delay(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#after(delayMs, resolve))
  }

  #after(delayMs: number, callback: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      callback()
    }, delayMs)
    this.#timers.add(timer)
  }
}

function statusOf({ status, reason, message, causes }: ApiRefusal): Record<string, unknown> {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    message,
    reason,
    code: status,
    details: { causes },
  }
}

function readToken(token: string): [number, number] {
  const [from = '0', revision = '0'] = Buffer.from(token, 'base64').toString().split(' ')
  return [Number(from), Number(revision)]
}
