// Request bodies as raw bytes. A declared length above the limit is refused before anything is read, a chunked body as soon
// as it passes the limit, and memory follows what has arrived, never what was promised.

import { Buffer } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { EMPTY_BYTES } from '../../../lib/bytes.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { RequestLedger, RequestScope } from './ledger.ts'

const FIRST_BYTES = 16_384

export interface ReadBodyOptions {
  readonly scope: RequestScope
  readonly ledger: RequestLedger
  /** The longest body that is accepted. */
  readonly bodyBytesMax: number
  /** The limit as the client knows it, for the error. */
  readonly limitBytes: number
}

/**
 * The whole body; the caller owns it. Rejects with REQUEST_TOO_LARGE, with OVERLOADED when too many bodies are held, or
 * with INVALID_ARGUMENT when it breaks off. What a refused client still sends is read and dropped, so that it gets to see
 * the answer; the request timeout bounds for how long.
 */
export async function readBody(options: ReadBodyOptions): Promise<Uint8Array> {
  const { request } = options.scope
  const declared = request.headers['content-length']
  const declaredBytes = declared === undefined ? undefined : Number(declared)
  if (declaredBytes !== undefined && declaredBytes > options.bodyBytesMax) throw tooLarge(options)
  if (declaredBytes === 0) return EMPTY_BYTES
  if (declaredBytes === undefined && request.headers['transfer-encoding'] === undefined) {
    return EMPTY_BYTES
  }
  if (awaitsContinue(request)) options.scope.response.writeContinue()
  const body = new GrowingBody(options, declaredBytes)
  options.scope.isReading = true
  try {
    return await collect(options, body)
  } finally {
    options.scope.isReading = false
  }
}

/** Whether the client sends the body only when told so; one that is refused beforehand need not send it at all. */
function awaitsContinue(request: IncomingMessage): boolean {
  const { expect } = request.headers
  return expect?.toLowerCase() === '100-continue' && request.httpVersionMinor >= 1
}

function collect(options: ReadBodyOptions, body: GrowingBody): Promise<Uint8Array> {
  const { request } = options.scope
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      request.off('data', onData)
      request.off('end', onEnd)
      request.off('close', onClose)
      settle()
    }
    const onData = (chunk: Uint8Array) => {
      const refusal = body.append(chunk)
      if (refusal === undefined) return
      finish(() => reject(refusal))
      request.resume()
    }
    const onEnd = () => finish(() => resolve(body.bytes()))
    const onClose = () =>
      finish(() => reject(new RaftbaseError('INVALID_ARGUMENT', 'request body breaks off')))
    request.on('data', onData)
    request.on('end', onEnd)
    request.on('close', onClose)
    // The close that follows tells the same; without a listener the error would end the process.
    request.on('error', () => undefined)
  })
}

/** One buffer that doubles: a body that comes in chunks of one byte costs no more than any other. */
class GrowingBody {
  readonly #options: ReadBodyOptions
  readonly #capacityMax: number
  #buffer: Uint8Array = EMPTY_BYTES
  #length = 0

  constructor(options: ReadBodyOptions, declaredBytes: number | undefined) {
    this.#options = options
    this.#capacityMax = declaredBytes ?? options.bodyBytesMax
  }

  /** Copies `chunk`, or returns why it cannot. */
  append(chunk: Uint8Array): RaftbaseError | undefined {
    const length = this.#length + chunk.length
    if (length > this.#capacityMax) return tooLarge(this.#options)
    if (length > this.#buffer.length) {
      const capacity = Math.max(length, FIRST_BYTES, this.#buffer.length * 2)
      const refusal = this.#grow(Math.min(capacity, this.#capacityMax))
      if (refusal !== undefined) return refusal
    }
    this.#buffer.set(chunk, this.#length)
    this.#length = length
    return undefined
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  #grow(capacity: number): RaftbaseError | undefined {
    const { ledger, scope } = this.#options
    if (!ledger.maybeHold(scope, capacity - this.#buffer.length)) {
      return new RaftbaseError('OVERLOADED', 'too many request bodies are held')
    }
    const grown = Buffer.allocUnsafe(capacity)
    grown.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = grown
    return undefined
  }
}

function tooLarge(options: ReadBodyOptions): RaftbaseError {
  return new RaftbaseError('REQUEST_TOO_LARGE', 'request exceeds the limit', {
    details: { limitBytes: options.limitBytes },
  })
}
