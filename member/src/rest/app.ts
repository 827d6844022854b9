// The REST API on Fastify, its only importer. Fastify routes, runs requests and owns the server; it parses no body and no
// query, compiles no schema and logs nothing. Keys are bytes, so its router gets constant paths (see target.ts). Every
// answer is written here, and every refusal is a problem document, also those of the HTTP parser. Listening is the caller's.

import { Buffer } from 'node:buffer'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import { InvariantViolation } from '../../../lib/assert.ts'
import { asBuffer } from '../../../lib/bytes.ts'
import { type Clock, systemClock, systemTimers, type Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { Registry } from '../../../lib/metrics.ts'
import type { Admission } from '../node/admission.ts'
import type { MemberNode } from '../node/member-node.ts'
import { readBody } from './body.ts'
import { clientErrorText } from './client-error.ts'
import { methodsAt, routerPath } from './endpoints.ts'
import { type Answer, isFault, problemAnswer } from './errors.ts'
import { Gate } from './gate.ts'
import { RequestLedger, type RequestScope } from './ledger.ts'
import { checkRestLimits, REST_LIMITS, type RestLimits } from './limits.ts'
import { type RestMetrics, registerRestMetrics } from './metrics.ts'
import type { Call, Route, Services, StreamedAnswer } from './route.ts'
import { ROUTES } from './routes.ts'
import { StatusStreams } from './status-stream.ts'
import { parseDuration, parseQuery, parseTarget } from './target.ts'

export interface RestAppOptions {
  readonly node: MemberNode
  readonly admission: Admission
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>
  readonly metrics: Registry
  readonly limits?: RestLimits
  readonly clock?: Clock
  readonly timers?: Timers
}

/** `listen({ host, port })` opens it, `close()` ends it, `server` is the HTTP server below. */
export type RestServer = FastifyInstance

/** What Fastify is told beside our limits: everything that it would do by itself is off. */
const QUIET = {
  logger: false,
  exposeHeadRoutes: false,
  return503OnClosing: false,
  bodyLimit: Number.MAX_SAFE_INTEGER,
  rewriteUrl: (request) => routerPath(parseTarget(request.url ?? '/').path),
  // No route has a schema. Without these two, the compilers' libraries are loaded all the same.
  schemaController: {
    compilersFactory: {
      buildValidator: refuseSchemas,
      buildSerializer: refuseSchemas,
    },
  },
} satisfies FastifyServerOptions

/**
 * The application, not yet listening: call `listen({ host, port })`, and `close()` at the end. After `close()` requests
 * that wait for the cluster are refused with SHUTTING_DOWN, those in flight have `closeGraceMs`, then connections are cut.
 */
export function createRestApp(options: RestAppOptions): RestServer {
  return new RestApp(options).app
}

class RestApp {
  readonly app: RestServer
  readonly #log: RestAppOptions['log']
  readonly #limits: RestLimits
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #services: Services
  readonly #gate: Gate
  readonly #streams: StatusStreams
  readonly #metrics: RestMetrics
  readonly #ledger: RequestLedger
  #connectionCount = 0
  #isClosing = false

  constructor(options: RestAppOptions) {
    const limits = options.limits ?? REST_LIMITS
    checkRestLimits(limits)
    this.#log = options.log
    this.#limits = limits
    this.#clock = options.clock ?? systemClock
    this.#timers = options.timers ?? systemTimers
    const { node, admission, metrics } = options
    const timers = this.#timers
    this.#streams = new StatusStreams({ node, timers, streamsMax: limits.statusStreamsMax })
    this.#services = {
      node,
      metrics,
      limits,
      timers,
      streams: this.#streams,
      uptimeSeconds: () => process.uptime(),
    }
    this.#ledger = new RequestLedger({
      bodyBytesMax: limits.bodyBytesInFlightMax,
      pipelinedMax: limits.pipelinedMax,
      onLeave: (scope, status) => {
        this.#gate.leave(scope)
        this.#count(scope, status)
      },
    })
    this.#gate = new Gate({
      admission,
      ledger: this.#ledger,
      limits,
      timers,
      isClosing: () => this.#isClosing,
    })
    this.#metrics = registerRestMetrics(metrics, {
      inFlight: () => this.#ledger.inFlightCount,
      heldBodyBytes: () => this.#ledger.heldBytes,
      openConnections: () => this.#connectionCount,
    })
    this.app = fastify({
      ...QUIET,
      ...serverTimeouts(limits),
      clientErrorHandler: (error, socket) => this.#onClientError(error, socket),
    })
    this.#prepareRoutes()
    this.#prepareServer()
  }

  #prepareRoutes(): void {
    const app = this.app
    app.removeAllContentTypeParsers()
    // Bodies are read by the handlers, straight from the request.
    app.addContentTypeParser('*', (_request, _payload, done) => done(null))
    app.addHook('onRequest', (request, reply, done) => {
      this.#scopeOf(request.raw, reply.raw)
      // The scope remembers it. Fastify would refuse a malformed one, and a value may be of any type.
      request.raw.headers['content-type'] = undefined
      done()
    })
    const handler = (request: FastifyRequest, reply: FastifyReply) => this.#handle(request, reply)
    for (const route of ROUTES) {
      app.route({ url: route.path, method: [...route.methods], handler })
    }
    app.setNotFoundHandler(handler)
    app.setErrorHandler((error, _request, reply) => {
      this.#log.error({ err: error }, 'request failed in the framework')
      this.#send(reply, problemAnswer(error))
    })
  }

  #prepareServer(): void {
    const { server } = this.app
    server.maxConnections = this.#limits.connectionsMax
    server.on('drop', () => this.#metrics.droppedConnections.increment())
    const listeners = server.listeners('request') as RequestListener[]
    server.removeAllListeners('request')
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const scope = this.#scopeOf(request, response)
      // Nobody waits for an answer, and its connection is about to end.
      if (scope.standing === 'ignored') return
      this.#gate.pass(scope, () => {
        for (const listener of listeners) listener.call(server, request, response)
      })
    })
    server.on('connection', (socket: Socket) => {
      this.#connectionCount++
      socket.once('close', () => this.#connectionCount--)
    })
    // Told to go on by readBody, once nothing speaks against the body.
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      server.emit('request', request, response)
    })
    this.app.addHook('preClose', (done) => {
      this.#isClosing = true
      this.#streams.close()
      const grace = this.#timers.after(this.#limits.closeGraceMs, () => {
        this.#log.warn({ requests: this.#ledger.inFlightCount }, 'rest connections cut at stop')
        server.closeAllConnections()
      })
      server.once('close', () => grace.cancel())
      if (!server.listening) grace.cancel()
      done()
    })
  }

  /** Of a request that has entered, or enters now: those of `inject` come from no server. */
  #scopeOf(request: IncomingMessage, response: ServerResponse): RequestScope {
    const known = this.#ledger.scopeOf(request)
    if (known !== undefined) return known
    const template = routerPath(parseTarget(request.url ?? '/').path)
    const route = ROUTES.find(
      ({ path, methods }) => path === template && methods.some((m) => m === request.method),
    )
    return this.#ledger.enter({ request, response, route, nowMs: this.#clock.monotonicMs() })
  }

  async #handle(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const scope = this.#scopeOf(request.raw, reply.raw)
    let answer: Answer | StreamedAnswer
    try {
      answer = await this.#answer(request, scope)
    } catch (error) {
      const fields = { method: request.method, route: scope.route?.path }
      if (isFault(error)) this.#log.error({ ...fields, err: error }, 'request failed')
      answer = problemAnswer(error)
    }
    this.#gate.leave(scope)
    if ('stream' in answer) {
      reply.hijack()
      await this.#stream(answer, reply.raw, scope)
    } else {
      this.#send(reply, answer)
    }
  }

  async #stream(answer: StreamedAnswer, response: ServerResponse, scope: RequestScope) {
    try {
      await answer.stream(response)
    } catch (err) {
      this.#log.warn({ err, route: scope.route?.path }, 'answer cut off')
    }
  }

  async #answer(request: FastifyRequest, scope: RequestScope): Promise<Answer | StreamedAnswer> {
    const { route } = scope
    const { path, query } = parseTarget(request.originalUrl)
    this.#refuse(request.raw, route)
    if (scope.standing === 'last') return pipelinedAnswer()
    if (route === undefined) return unmatchedAnswer(path)
    const parameters =
      route.parameters === undefined ? new Map() : parseQuery(query, route.parameters)
    return await route.handle(this.#call(scope, path, parameters))
  }

  /** Throws what is the same for every route. */
  #refuse(request: IncomingMessage, route: Route | undefined): void {
    const { headers } = request
    if (headers.host === undefined && request.httpVersionMinor === 1) {
      throw new RaftbaseError('INVALID_ARGUMENT', 'request has no host', {
        details: { field: 'host', accepted: 'the header, once' },
      })
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') refuseForeignOrigin(request)
    if (route?.isProbe === true) return
    if (this.#isClosing) throw new RaftbaseError('SHUTTING_DOWN', 'member is stopping')
  }

  #call(scope: RequestScope, path: string, query: ReadonlyMap<string, string>): Call {
    const limits = this.#limits
    const timeout = query.get('timeout')
    return {
      services: this.#services,
      path,
      query,
      headers: scope.request.headers,
      contentType: scope.contentType,
      body: ({ limitBytes, overheadBytes }) => {
        const bodyBytesMax = limitBytes - overheadBytes
        const options = { scope, ledger: this.#ledger, bodyBytesMax, limitBytes }
        return this.#gate.receive(scope, () => readBody(options))
      },
      options: () => {
        const range = { minMs: limits.deadlineMsMin, maxMs: limits.deadlineMsMax }
        const timeoutMs =
          timeout === undefined
            ? limits.deadlineMsDefault
            : parseDuration(timeout, { field: 'timeout', ...range })
        // From its arrival: what it has waited is gone.
        return { timeoutMs: Math.max(1, timeoutMs - scope.waitedMs), signal: scope.signal }
      },
    }
  }

  #send(reply: FastifyReply, answer: Answer): void {
    // Always bytes: to a text Fastify would add a character set, which JSON types do not have.
    const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body
    reply.code(answer.status)
    reply.headers(answer.headers)
    reply.header('cache-control', 'no-store')
    reply.header('x-content-type-options', 'nosniff')
    if (this.#isClosing) reply.header('connection', 'close')
    if (answer.status === 304) reply.send()
    else reply.send(asBuffer(body))
  }

  #count(scope: RequestScope, status: number | undefined): void {
    const { route } = scope
    const method = scope.request.method ?? ''
    const durationMs = this.#clock.monotonicMs() - scope.startedAtMs
    this.#metrics.count({ route, method, status, durationMs })
    this.#log.debug({ method, route: route?.path, status, durationMs }, 'request ended')
  }

  #onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET') {
      socket.destroy()
      return
    }
    this.#metrics.malformedRequests.increment()
    if (socket.writable && this.#ledger.maySpeakFor(socket)) {
      socket.write(clientErrorText(error.code))
    }
    socket.destroy()
  }
}

function refuseSchemas(): never {
  throw new InvariantViolation('a route has a schema', {})
}

function serverTimeouts(limits: RestLimits) {
  return {
    connectionTimeout: limits.idleTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    http: {
      maxHeaderSize: limits.headerBytesMax,
      headersTimeout: Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs),
      connectionsCheckingInterval: limits.timeoutCheckMs,
      keepAlive: true,
      // Ours is a problem document.
      requireHostHeader: false,
    },
  }
}

/** To the first request too many; nothing behind it is carried out, and its connection ends. */
function pipelinedAnswer(): Answer {
  const error = new RaftbaseError('OVERLOADED', 'too many requests on one connection')
  return problemAnswer(error, { headers: { connection: 'close' } })
}

function unmatchedAnswer(path: string): Answer {
  const methods = methodsAt(path)
  if (methods.length === 0) {
    return problemAnswer(new RaftbaseError('ROUTE_NOT_FOUND', 'no such path'))
  }
  const allow = methods.join(', ')
  const error = new RaftbaseError('METHOD_NOT_ALLOWED', 'method is not known here', {
    details: { accepted: allow },
  })
  return problemAnswer(error, { headers: { allow } })
}

/**
 * A page of another site may make a browser send a request, if not read the answer: what changes something is refused
 * when the browser says that it comes from elsewhere. Other clients send neither header.
 */
function refuseForeignOrigin({ headers }: IncomingMessage): void {
  const { origin } = headers
  const site = headers['sec-fetch-site']
  const isForeign =
    site === 'cross-site' ||
    site === 'same-site' ||
    (origin !== undefined && origin.replace(/^https?:\/\//, '') !== headers.host)
  if (isForeign) throw new RaftbaseError('ORIGIN_REFUSED', 'request comes from a page elsewhere')
}
