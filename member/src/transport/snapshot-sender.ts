// Sends a snapshot: POST /raftbase/snapshot on a connection of its own, so that heartbeats never queue behind it. Waits
// for the receiver's leave before the first byte, for room before each further one, for its answer after the last.

import { Buffer } from 'node:buffer'
import type { TimerHandle, Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { MemberId } from '../raft/types.ts'
import { helloFields, SNAPSHOT_PATH } from './handshake.ts'
import type { PeerIdentity, TransportLimits } from './options.ts'
import { decodeProblem, PROBLEM_BYTES_MAX, problemError } from './problem.ts'
import { type ClientRequest, type IncomingMessage, requestOn, type Socket } from './socket.ts'

export interface SnapshotUploadOptions {
  readonly url: string
  readonly to: MemberId
  readonly self: PeerIdentity
  readonly connect: (url: URL) => Socket
  readonly timers: Timers
  readonly limits: TransportLimits
  readonly signal: AbortSignal
}

/** Resolves once the receiver has it; rejects with the receiver's reason, PEER_UNREACHABLE, or the signal's. */
export async function uploadSnapshot(
  chunks: AsyncIterable<Uint8Array>,
  options: SnapshotUploadOptions,
): Promise<void> {
  const upload = new SnapshotUpload(options)
  const iterator = chunks[Symbol.asyncIterator]()
  try {
    await upload.leave()
    while (true) {
      const next = await upload.orEnd(iterator.next())
      if (next === ENDED || next.done === true) break
      if (!(await upload.write(next.value))) break
    }
    await upload.finish()
  } catch (error) {
    upload.destroy()
    throw error
  } finally {
    // Not awaited: a source that hangs must not hold us, and what it fails with now concerns nobody.
    Promise.resolve(iterator.return?.()).catch(() => {})
  }
}

const ENDED = Symbol('the receiver answered')

/** One request; `#outcome` settles exactly once, with the receiver's answer or with what went wrong. */
class SnapshotUpload {
  readonly #options: SnapshotUploadOptions
  readonly #request: ClientRequest
  readonly #socket: Socket
  readonly #outcome: Promise<typeof ENDED>
  readonly #leave: Promise<void>
  #settle: (error: unknown) => void = () => {}
  #deadline: TimerHandle | undefined

  constructor(options: SnapshotUploadOptions) {
    this.#options = options
    const { signal } = options
    signal.throwIfAborted()
    const { url, socket } = connectTo(options)
    this.#socket = socket
    const headers = {
      ...helloFields(options.self, options.to),
      'Content-Type': 'application/octet-stream',
      'Transfer-Encoding': 'chunked',
      Connection: 'close',
      Expect: '100-continue',
    }
    const request = requestOn(this.#socket, { url, method: 'POST', path: SNAPSHOT_PATH, headers })
    this.#request = request
    this.#leave = new Promise((resolve) => request.once('continue', resolve))
    const abort = (): void => this.#settle(signal.reason)
    this.#outcome = new Promise((resolve, reject) => {
      this.#settle = (error) => {
        this.#deadline?.cancel()
        signal.removeEventListener('abort', abort)
        if (error === undefined) resolve(ENDED)
        else reject(error)
      }
    })
    // Awaited wherever we wait for something else; here only so that no rejection is unobserved in between.
    this.#outcome.catch(() => {})
    signal.addEventListener('abort', abort, { once: true })
    request.on('error', (error) => this.#settle(this.#unreachable('connection', error)))
    request.on('close', () => this.#settle(this.#unreachable('closed', undefined)))
    request.on('response', (response) => this.#readAnswer(response))
    request.flushHeaders()
  }

  /** Resolves when the receiver wants the body. */
  async leave(): Promise<void> {
    this.#within(this.#options.limits.handshakeTimeoutMs)
    await Promise.race([this.#leave, this.#outcome])
  }

  /** `promise`, unless the request ends first. */
  async orEnd<T>(promise: Promise<T>): Promise<T | typeof ENDED> {
    // The source reads a local file; its own failures end the wait.
    this.#deadline?.cancel()
    return await Promise.race([promise, this.#outcome])
  }

  /** Returns once there is room for more; false when the receiver has answered already. */
  async write(chunk: Uint8Array): Promise<boolean> {
    if (this.#request.write(chunk)) return true
    this.#within(this.#options.limits.snapshotIdleMs)
    const drained = new Promise<void>((resolve) => this.#request.once('drain', resolve))
    return (await Promise.race([drained, this.#outcome])) !== ENDED
  }

  async finish(): Promise<void> {
    this.#request.end()
    this.#within(this.#options.limits.snapshotInstallMs)
    await this.#outcome
    this.destroy()
  }

  destroy(): void {
    this.#deadline?.cancel()
    this.#settle(this.#unreachable('closed', undefined))
    this.#request.destroy()
    this.#socket.destroy()
  }

  #within(delayMs: number): void {
    this.#deadline?.cancel()
    this.#deadline = this.#options.timers.after(delayMs, () => {
      this.#settle(this.#unreachable('timeout', undefined))
    })
  }

  #readAnswer(response: IncomingMessage): void {
    const status = response.statusCode ?? 0
    if (status === 204) {
      response.resume()
      this.#settle(undefined)
      return
    }
    const body: Buffer[] = []
    let bytes = 0
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= PROBLEM_BYTES_MAX) body.push(chunk)
    })
    response.on('error', (error) => this.#settle(this.#unreachable('connection', error)))
    response.on('end', () => {
      const problem = decodeProblem(status, Buffer.concat(body))
      this.#settle(problemError(problem, { url: this.#options.url }))
    })
  }

  #unreachable(reason: string, cause: unknown): RaftbaseError {
    const code = (cause as NodeJS.ErrnoException | undefined)?.code
    const details = { url: this.#options.url, reason: code ?? reason }
    const options = cause === undefined ? { details } : { details, cause }
    return new RaftbaseError('PEER_UNREACHABLE', 'snapshot could not be sent', options)
  }
}

function connectTo({ url, connect }: SnapshotUploadOptions): { url: URL; socket: Socket } {
  try {
    const parsed = new URL(url)
    return { url: parsed, socket: connect(parsed) }
  } catch (cause) {
    const details = { url, reason: 'url' }
    throw new RaftbaseError('PEER_UNREACHABLE', 'peer url cannot be used', { details, cause })
  }
}
