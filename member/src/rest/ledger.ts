// Which requests are in flight, on which connection, and how much of their bodies is held. Each request enters once and
// leaves once, however it ends: answered, cut off in the middle, or cut off while its answer queued behind another one
// (Node.js 24 closes the queued ones too; a test holds it to that).

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Route } from './route.ts'

/** Undefined status: the client had gone before it was answered. */
export type OnLeave = (scope: RequestScope, status: number | undefined) => void

interface Connection {
  readonly active: Set<RequestScope>
  newest: IncomingMessage
  /** Took more requests than it may leave unanswered: nothing more of it is carried out. */
  isOver: boolean
}

/** One request from its headers to the end of its answer. */
export class RequestScope {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Undefined when no route has this path and method. */
  readonly route: Route | undefined
  readonly contentType: string | undefined
  readonly startedAtMs: number
  /** Of its body, as charged to the ledger. */
  heldBytes = 0
  /** Among those that are carried out; to be given back, see gate.ts. */
  hasPlace = false
  /** How long it waited before it began. */
  waitedMs = 0
  /** What the connection may still expect: its answer, the last one of the connection, or none. */
  standing: 'answered' | 'last' | 'ignored' = 'answered'
  /** While true nothing has been asked of the cluster: whatever ends the request now, it was not applied. */
  isReading = false
  #controller: AbortController | undefined
  #isAborted = false

  constructor(options: EnterOptions) {
    this.request = options.request
    this.response = options.response
    this.route = options.route
    this.contentType = options.request.headers['content-type']
    this.startedAtMs = options.nowMs
  }

  /** Whether the client has gone. */
  get isAborted(): boolean {
    return this.#isAborted
  }

  /** Aborts when the client goes away. Made when first asked for: most routes never wait. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#isAborted) this.#controller.abort()
    }
    return this.#controller.signal
  }

  abort(): void {
    this.#isAborted = true
    this.#controller?.abort()
  }
}

export interface EnterOptions {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly route: Route | undefined
  readonly nowMs: number
}

export class RequestLedger {
  readonly #bodyBytesMax: number
  readonly #pipelinedMax: number
  readonly #onLeave: OnLeave
  readonly #scopes = new WeakMap<IncomingMessage, RequestScope>()
  readonly #connections = new WeakMap<Socket, Connection>()
  #inFlightCount = 0
  #heldBytes = 0

  constructor(options: {
    readonly bodyBytesMax: number
    readonly pipelinedMax: number
    readonly onLeave: OnLeave
  }) {
    this.#bodyBytesMax = options.bodyBytesMax
    this.#pipelinedMax = options.pipelinedMax
    this.#onLeave = options.onLeave
  }

  get inFlightCount(): number {
    return this.#inFlightCount
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  enter(options: EnterOptions): RequestScope {
    const scope = new RequestScope(options)
    this.#scopes.set(options.request, scope)
    const connection = this.#connectionOf(options.request)
    if (connection.isOver) scope.standing = 'ignored'
    else if (connection.active.size >= this.#pipelinedMax) {
      connection.isOver = true
      scope.standing = 'last'
      options.request.socket.pause()
    }
    connection.active.add(scope)
    this.#inFlightCount++
    options.response.once('finish', () => this.#leave(scope, options.response.statusCode))
    options.response.once('close', () => this.#leave(scope, undefined))
    return scope
  }

  scopeOf(request: IncomingMessage): RequestScope | undefined {
    return this.#scopes.get(request)
  }

  /** Charges `byteCount` more to the request until it leaves; false, and nothing charged, when too much is held. */
  maybeHold(scope: RequestScope, byteCount: number): boolean {
    if (this.#heldBytes + byteCount > this.#bodyBytesMax) return false
    this.#heldBytes += byteCount
    scope.heldBytes += byteCount
    return true
  }

  /** Gives back what was charged to the request so far. */
  release(scope: RequestScope): void {
    this.#heldBytes -= scope.heldBytes
    scope.heldBytes = 0
  }

  /**
   * Whether an answer written to the bare socket now would certainly be read as the answer to what is being received,
   * and would certainly be true. Otherwise it could be taken for the answer to a write that is still under way.
   */
  maySpeakFor(socket: Socket): boolean {
    const connection = this.#connections.get(socket)
    if (connection === undefined) return true
    const { active, newest } = connection
    if (active.size === 0) return newest.complete
    const [only] = active
    return active.size === 1 && only!.isReading && !only!.response.headersSent
  }

  #connectionOf(request: IncomingMessage): Connection {
    const known = this.#connections.get(request.socket)
    if (known !== undefined) {
      known.newest = request
      return known
    }
    const connection: Connection = { active: new Set(), newest: request, isOver: false }
    this.#connections.set(request.socket, connection)
    return connection
  }

  #leave(scope: RequestScope, status: number | undefined): void {
    const connection = this.#connections.get(scope.request.socket)
    if (connection === undefined || !connection.active.delete(scope)) return
    this.#inFlightCount--
    this.release(scope)
    if (status === undefined) scope.abort()
    this.#onLeave(scope, status)
  }
}
