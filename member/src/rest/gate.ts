// Where requests wait for their turn when there is too much to do, or are refused: after the headers, before the framework
// and before the body. What is refused here is answered from prepared bytes, at a fifth of the price of a request that is
// carried out. Whose turn it is decides node/admission.ts. A body that is slow to arrive keeps no place from others.

import { Buffer } from 'node:buffer'
import type { Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Admission, NotBegun, Waiter } from '../node/admission.ts'
import { problemAnswer } from './errors.ts'
import type { RequestLedger, RequestScope } from './ledger.ts'
import type { RestLimits } from './limits.ts'
import { parseDuration, parseTarget } from './target.ts'

/** Of a body that nobody reads Node.js takes no more into memory: what fits its buffer, and one read from the socket. */
const UNREAD_BYTES_MAX = 131_072
/** How long a body may take to arrive before the place of its request is somebody else's. */
const BODY_MS_MAX = 100

export interface GateOptions {
  readonly admission: Admission
  readonly ledger: RequestLedger
  readonly limits: RestLimits
  readonly timers: Timers
  readonly isClosing: () => boolean
}

export class Gate {
  readonly #options: GateOptions
  readonly #refusals: Readonly<Record<NotBegun, Refusal>>

  constructor(options: GateOptions) {
    this.#options = options
    this.#refusals = {
      overloaded: refusal(notBegun('overloaded')),
      timeout: refusal(notBegun('timeout')),
    }
  }

  /** Calls `begin`, now or when it is the request's turn, with a place in its scope; or answers that it never will be. */
  pass(scope: RequestScope, begin: () => void): void {
    const { admission, ledger, limits } = this.#options
    if (scope.route?.isAdmitted !== true || scope.standing !== 'answered') return begin()
    if (ledger.inFlightCount > limits.requestsInFlightMax) return this.#refuse(scope, 'overloaded')
    if (admission.maybeEnter()) {
      scope.hasPlace = true
      return begin()
    }
    // What of the body arrives by itself is held meanwhile.
    if (!ledger.maybeHold(scope, unreadBytes(scope))) return this.#refuse(scope, 'overloaded')
    // Whatever ends the request now, it was not applied.
    scope.isReading = true
    admission.wait(this.#waiter(scope, begin))
  }

  /**
   * Reads the body of a request by `read`. One that is slow to arrive gives its place back, so that those who send theirs byte
   * by byte keep nobody out, and waits in line once more when all of it is there. Rejects as `read` does, and with OVERLOADED or
   * TIMEOUT as that wait ends.
   */
  async receive<T>(scope: RequestScope, read: () => Promise<T>): Promise<T> {
    if (!scope.hasPlace) return read()
    const late = this.#options.timers.after(BODY_MS_MAX, () => this.leave(scope))
    let body: T
    try {
      body = await read()
    } finally {
      late.cancel()
    }
    if (!scope.hasPlace) await this.#enterAgain(scope)
    return body
  }

  /** The request is over, or what is left of it is up to its client. To be called once at least. */
  leave(scope: RequestScope): void {
    if (!scope.hasPlace) return
    scope.hasPlace = false
    this.#options.admission.leave()
  }

  #enterAgain(scope: RequestScope): Promise<void> {
    const { admission, limits } = this.#options
    const entered = Promise.withResolvers<void>()
    const begin = (): void => {
      scope.isReading = false
      scope.hasPlace = true
      entered.resolve()
    }
    if (admission.maybeEnter()) {
      begin()
      return entered.promise
    }
    // Still nothing has been asked of the cluster.
    scope.isReading = true
    // Then neither of the two below is called.
    const gone = new RaftbaseError('INVALID_ARGUMENT', 'client has gone')
    scope.signal.addEventListener('abort', () => entered.reject(gone), { once: true })
    admission.wait({
      timeoutMs: Math.max(1, timeoutMsOf(scope, limits) - scope.waitedMs),
      get isAborted() {
        return scope.isAborted
      },
      begin,
      refuse: (reason) => entered.reject(notBegun(reason)),
    })
    return entered.promise
  }

  #waiter(scope: RequestScope, begin: () => void): Waiter {
    const { ledger, limits } = this.#options
    return {
      timeoutMs: timeoutMsOf(scope, limits),
      get isAborted() {
        return scope.isAborted
      },
      begin: (waitedMs) => {
        scope.isReading = false
        scope.hasPlace = true
        scope.waitedMs = waitedMs
        ledger.release(scope)
        begin()
      },
      refuse: (reason) => this.#refuse(scope, reason),
    }
  }

  #refuse({ request, response }: RequestScope, reason: NotBegun): void {
    const { status, headers, body } = this.#refusals[reason]
    if (this.#options.isClosing()) response.setHeader('connection', 'close')
    response.writeHead(status, headers)
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}

interface Refusal {
  readonly status: number
  readonly headers: Readonly<Record<string, string | number>>
  /** As text: head and body leave in one piece. */
  readonly body: string
}

function notBegun(reason: NotBegun): RaftbaseError {
  if (reason === 'timeout') return new RaftbaseError('TIMEOUT', 'not begun before its deadline')
  return new RaftbaseError('OVERLOADED', 'too many requests are waiting')
}

function refusal(error: RaftbaseError): Refusal {
  const { status, headers, body } = problemAnswer(error)
  const text = String(body)
  return {
    status,
    headers: {
      ...headers,
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    },
    body: text,
  }
}

/** The request's own patience; what is malformed is found later, by whoever carries it out. */
function timeoutMsOf({ request }: RequestScope, limits: RestLimits): number {
  const { query } = parseTarget(request.url ?? '/')
  const text = /(?:^|&)timeout=([0-9a-z]+)(?:&|$)/.exec(query ?? '')?.[1]
  if (text === undefined) return limits.deadlineMsDefault
  try {
    const [minMs, maxMs] = [limits.deadlineMsMin, limits.deadlineMsMax]
    return parseDuration(text, { field: 'timeout', minMs, maxMs })
  } catch {
    return limits.deadlineMsDefault // As above.
  }
}

function unreadBytes({ request }: RequestScope): number {
  const { headers } = request
  if (headers['transfer-encoding'] !== undefined) return UNREAD_BYTES_MAX
  return Math.min(Number(headers['content-length'] ?? 0), UNREAD_BYTES_MAX)
}
