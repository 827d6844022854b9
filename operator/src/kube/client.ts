// KubeApi over HTTP: builds the requests, keeps to our rate limit and the deadlines, renews credentials that are refused,
// counts what was asked and answered. It retries two things only, which are safe: a read on a kept-alive connection that
// had been closed, and a request whose credentials were too old.

import type { Clock, Timers } from '../../../lib/clock.ts'
import type { KubeObject, ObjectKey, ResourceType } from '../api/kube-object.ts'
import { Deadline } from '../deadline.ts'
import { failureOf, readListPage, readObject } from './answer.ts'
import type { ClusterAccess } from './cluster-access.ts'
import { isKubeError, KubeError } from './errors.ts'
import { type HttpAnswer, HttpConnections, type HttpRequest, readBody } from './http.ts'
import type {
  ApplyOptions,
  DeleteOptions,
  DeleteResult,
  KubeApi,
  ListOptions,
  ListPage,
  PatchOptions,
  RequestOptions,
  WatchEvent,
  WatchOptions,
} from './kube-api.ts'
import type { RateLimit } from './rate-limit.ts'
import { objectUrl } from './urls.ts'
import { readWatch } from './watch-stream.ts'

const TIMEOUT_MS_DEFAULT = 10_000
/** How long the head of a watch's answer may take: the API server sends it at once. */
const WATCH_START_MS = 30_000

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'replace' | 'apply' | 'patch' | 'delete'

export interface KubeClientOptions {
  readonly access: ClusterAccess
  readonly rateLimit: RateLimit
  readonly timers: Timers
  readonly clock: Clock
  readonly userAgent: string
  /** Called once for each answer; `code` is the HTTP status, or our error code when there was none. */
  readonly onRequest?: ((request: AnsweredRequest) => void) | undefined
}

export interface AnsweredRequest {
  readonly verb: Verb
  readonly code: string
  readonly durationMs: number
}

/** What varies between two requests. */
interface Exchange {
  readonly verb: Verb
  readonly method: HttpRequest['method']
  readonly url: URL
  readonly contentType?: string
  readonly body?: unknown
}

export class KubeClient implements KubeApi {
  readonly #options: KubeClientOptions
  readonly #connections = new HttpConnections()

  constructor(options: KubeClientOptions) {
    this.#options = options
  }

  async get(
    type: ResourceType,
    key: ObjectKey,
    options: RequestOptions = {},
  ): Promise<KubeObject | undefined> {
    try {
      return readObject(
        await this.#ask({ verb: 'get', method: 'GET', url: this.#url(type, key) }, options),
      )
    } catch (error) {
      if (isKubeError(error, 'notFound')) return undefined
      throw error
    }
  }

  async list(type: ResourceType, options: ListOptions): Promise<ListPage> {
    const { namespace, labelSelector, limit, continueToken, resourceVersion } = options
    const url = this.#url(type, { namespace: namespace ?? '', name: '' }, { labelSelector, limit })
    if (continueToken !== undefined) url.searchParams.set('continue', continueToken)
    else if (resourceVersion !== undefined) url.searchParams.set('resourceVersion', resourceVersion)
    return readListPage(await this.#ask({ verb: 'list', method: 'GET', url }, options), type)
  }

  async *watch(type: ResourceType, options: WatchOptions): AsyncIterable<WatchEvent> {
    const { namespace, labelSelector, resourceVersion, timeoutSeconds, inactivityMs } = options
    const url = this.#url(
      type,
      { namespace: namespace ?? '', name: '' },
      { labelSelector, resourceVersion, timeoutSeconds, watch: true, allowWatchBookmarks: true },
    )
    const { timers } = this.#options
    // Ends the connection when the consumer leaves the loop, whatever state it is in.
    const ending = new AbortController()
    const onAbort = () => ending.abort()
    options.signal.addEventListener('abort', onAbort, { once: true })
    const starting = new Deadline({ timers, timeoutMs: WATCH_START_MS, signal: options.signal })
    starting.signal.addEventListener('abort', onAbort, { once: true })
    try {
      if (options.signal.aborted) throw new KubeError('aborted', 'given up before it was sent')
      const answer = await this.#open(
        { verb: 'watch', method: 'GET', url },
        { signal: ending.signal },
      )
      starting.cancel()
      yield* readWatch(answer, { timers, inactivityMs })
    } catch (error) {
      throw whyEnded(error, options.signal, starting)
    } finally {
      starting.cancel()
      options.signal.removeEventListener('abort', onAbort)
      ending.abort()
    }
  }

  async create(
    type: ResourceType,
    object: KubeObject,
    options: RequestOptions = {},
  ): Promise<KubeObject> {
    const url = this.#url(type, { namespace: object.metadata.namespace ?? '', name: '' })
    return readObject(
      await this.#ask({ verb: 'create', method: 'POST', url, body: object }, options),
    )
  }

  async replace(
    type: ResourceType,
    object: KubeObject,
    options: RequestOptions = {},
  ): Promise<KubeObject> {
    const url = this.#url(type, keyOf(object))
    return readObject(
      await this.#ask({ verb: 'replace', method: 'PUT', url, body: object }, options),
    )
  }

  apply(type: ResourceType, object: KubeObject, options: ApplyOptions): Promise<KubeObject> {
    return this.#apply(type, object, { ...options, subresource: '' })
  }

  applyStatus(type: ResourceType, object: KubeObject, options: ApplyOptions): Promise<KubeObject> {
    return this.#apply(type, object, { ...options, subresource: '/status' })
  }

  async patch(
    type: ResourceType,
    key: ObjectKey,
    patch: Readonly<Record<string, unknown>>,
    options: PatchOptions,
  ): Promise<KubeObject> {
    const url = this.#url(type, key, { fieldManager: options.fieldManager })
    const exchange = {
      verb: 'patch',
      method: 'PATCH',
      url,
      contentType: 'application/merge-patch+json',
      body: withPreconditions(patch, options),
    } as const
    return readObject(await this.#ask(exchange, options))
  }

  async delete(
    type: ResourceType,
    key: ObjectKey,
    options: DeleteOptions = {},
  ): Promise<DeleteResult> {
    const { preconditions, propagation } = options
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...(preconditions === undefined ? {} : { preconditions }),
      ...(propagation === undefined ? {} : { propagationPolicy: propagation }),
    }
    try {
      await this.#ask(
        { verb: 'delete', method: 'DELETE', url: this.#url(type, key), body },
        options,
      )
      return 'deleted'
    } catch (error) {
      if (isKubeError(error, 'notFound')) return 'absent'
      if (isKubeError(error, 'conflict')) return 'conflict'
      throw error
    }
  }

  /** Closes the idle connections; requests under way end by their own signals. */
  close(): void {
    this.#connections.close()
  }

  async #apply(
    type: ResourceType,
    object: KubeObject,
    options: ApplyOptions & { readonly subresource: string },
  ): Promise<KubeObject> {
    const { fieldManager, force, subresource } = options
    const url = this.#url(type, keyOf(object), { fieldManager, force })
    url.pathname += subresource
    const exchange = {
      verb: 'apply',
      method: 'PATCH',
      url,
      contentType: 'application/apply-patch+yaml',
      body: object,
    } as const
    return readObject(await this.#ask(exchange, options))
  }

  #url(
    type: ResourceType,
    key: ObjectKey,
    query: Readonly<Record<string, string | number | boolean | undefined>> = {},
  ): URL {
    return objectUrl(this.#options.access.server, { type, key, query })
  }

  /** The body of a successful answer within the deadline, or the failure. */
  async #ask(exchange: Exchange, options: RequestOptions): Promise<string> {
    const { signal, timeoutMs = TIMEOUT_MS_DEFAULT } = options
    const deadline = new Deadline({ timers: this.#options.timers, timeoutMs, signal })
    try {
      return await readBody(await this.#open(exchange, { ...options, signal: deadline.signal }))
    } catch (error) {
      throw whyEnded(error, signal, deadline)
    } finally {
      deadline.cancel()
    }
  }

  /** An answer with a status below 400; its body is still to be read. */
  async #open(
    exchange: Exchange,
    options: RequestOptions & { readonly signal: AbortSignal },
  ): Promise<HttpAnswer> {
    const { signal, priority = 'normal', guard } = options
    let hasRenewed = false
    let hasRepeated = false
    for (;;) {
      await this.#options.rateLimit.take(priority, signal)
      try {
        return await this.#send(exchange, { signal, guard })
      } catch (error) {
        if (isKubeError(error, 'unauthorized') && error.status === 401 && !hasRenewed) {
          hasRenewed = true
          this.#options.access.invalidate()
        } else if (isClosedConnection(error) && exchange.method === 'GET' && !hasRepeated) {
          hasRepeated = true
        } else {
          if (isKubeError(error, 'throttled') && error.retryAfterMs !== undefined) {
            this.#options.rateLimit.pause(error.retryAfterMs)
          }
          throw error
        }
      }
    }
  }

  async #send(
    exchange: Exchange,
    { signal, guard }: { readonly signal: AbortSignal; readonly guard: RequestOptions['guard'] },
  ): Promise<HttpAnswer> {
    const { verb, method, url, body, contentType = 'application/json' } = exchange
    const { access, clock, userAgent, onRequest } = this.#options
    const startMs = clock.monotonicMs()
    let code = 'unknown'
    try {
      const { headers, tls } = await access.credentials()
      guard?.()
      const answer = await this.#connections.send({
        method,
        url,
        headers: {
          ...headers,
          accept: 'application/json',
          'user-agent': userAgent,
          ...(body === undefined ? {} : { 'content-type': contentType }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        tls,
        signal,
        isLongLived: verb === 'watch',
      })
      const status = answer.statusCode ?? 0
      code = String(status)
      if (status >= 200 && status < 300) return answer
      throw failureOf(status, await readBody(answer), answer.headers['retry-after'])
    } catch (error) {
      if (code === 'unknown' && isKubeError(error)) code = error.code
      throw error
    } finally {
      onRequest?.({ verb, code, durationMs: clock.monotonicMs() - startMs })
    }
  }
}

function keyOf(object: KubeObject): ObjectKey {
  return { namespace: object.metadata.namespace ?? '', name: object.metadata.name }
}

/** In a merge patch, uid and resourceVersion are preconditions: the server refuses to change them. */
function withPreconditions(
  patch: Readonly<Record<string, unknown>>,
  { preconditions = {} }: PatchOptions,
): Readonly<Record<string, unknown>> {
  const { uid, resourceVersion } = preconditions
  const metadata = {
    ...(patch['metadata'] as Record<string, unknown> | undefined),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  }
  return { ...patch, metadata }
}

function isClosedConnection(error: unknown): boolean {
  return isKubeError(error, 'unavailable') && error.details['isReused'] === true
}

/** What ended it: the caller, our deadline, or what went wrong. */
function whyEnded(error: unknown, signal: AbortSignal | undefined, deadline: Deadline): unknown {
  if (signal?.aborted === true) return new KubeError('aborted', 'given up', { cause: error })
  const isConsequence = isKubeError(error, 'aborted', 'unavailable')
  if (deadline.hasPassed && isConsequence) {
    return new KubeError('timeout', 'no answer in time', { cause: error })
  }
  return error
}
