// Receives snapshots: one at a time, with back-pressure, a deadline for each piece, and an answer that says whether it is
// durable here. The HTTP body's own end tells a whole snapshot from one whose sender died.

import type { Buffer } from 'node:buffer'
import type { Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { MemberId } from '../raft/types.ts'
import type { Refusal } from './handshake.ts'
import { sendProblem, type Upload } from './listener.ts'
import type { PeerIdentity, TransportLimits, TransportLog } from './options.ts'

export interface SnapshotReceiverOptions {
  readonly timers: Timers
  readonly limits: TransportLimits
  readonly log: TransportLog
  /** See TransportHandler.onSnapshot. */
  readonly onSnapshot: (from: MemberId, chunks: AsyncIterable<Uint8Array>) => Promise<void>
}

export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions
  /** Invariant: one at most (fault contract, section 5). */
  #current: Upload | undefined

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options
  }

  accept(from: PeerIdentity, upload: Upload): void {
    if (this.#current !== undefined) {
      sendProblem(upload.response, BUSY)
      upload.request.resume()
      this.#closeSoon(upload)
      return
    }
    this.#current = upload
    const { log } = this.#options
    this.#receive(from, upload).catch((error: unknown) => {
      log.error({ err: error, peer: from.memberId }, 'answering a snapshot failed')
      upload.request.destroy()
    })
  }

  /** Cuts the one that is arriving; its chunks end with an error. */
  abort(): void {
    this.#current?.request.destroy()
  }

  async #receive(from: PeerIdentity, upload: Upload): Promise<void> {
    const { request, response, expectsContinue } = upload
    const { log, onSnapshot } = this.#options
    const peer = { peer: from.memberId, peerName: from.name }
    try {
      if (expectsContinue) response.writeContinue()
      await onSnapshot(from.memberId, this.#chunks(upload))
      response.writeHead(204, { Connection: 'close' }).end()
    } catch (error) {
      log.warn({ ...peer, err: error }, 'refused a snapshot')
      if (!response.headersSent && !request.destroyed) sendProblem(response, refusalOf(error))
    } finally {
      this.#current = undefined
      // What is left of the body is thrown away so that the answer is not lost to a reset.
      request.resume()
      this.#closeSoon(upload)
    }
  }

  async *#chunks(upload: Upload): AsyncGenerator<Uint8Array, void, undefined> {
    const { request } = upload
    const { timers, limits } = this.#options
    let timedOut = false
    const expire = (): void => {
      timedOut = true
      request.destroy()
    }
    const iterator = request.iterator({ destroyOnReturn: false })
    try {
      while (true) {
        // Not while the consumer is busy with the piece before.
        const deadline = timers.after(limits.snapshotIdleMs, expire)
        const next = (await iterator
          .next()
          .finally(() => deadline.cancel())) as IteratorResult<Buffer>
        if (next.done === true) return
        yield next.value
      }
    } catch (cause) {
      const details = { reason: timedOut ? 'timeout' : 'closed' }
      throw new RaftbaseError('PEER_UNREACHABLE', 'snapshot ended early', { details, cause })
    } finally {
      await iterator.return?.()
    }
  }

  /** The sender closes when it has read the answer; one that does not is cut. */
  #closeSoon({ request }: Upload): void {
    const { timers, limits } = this.#options
    const { socket } = request
    const timer = timers.after(limits.handshakeTimeoutMs, () => socket.destroy())
    socket.once('close', () => timer.cancel())
    if (socket.destroyed) timer.cancel()
  }
}

const BUSY: Refusal = {
  status: 409,
  code: 'SNAPSHOT_REFUSED',
  reason: 'busy',
  detail: 'another snapshot is arriving',
}

function refusalOf(error: unknown): Refusal {
  const code = error instanceof RaftbaseError ? error.code : 'INTERNAL'
  const detail = error instanceof RaftbaseError ? error.message : 'the snapshot was not taken'
  return { status: code === 'INTERNAL' ? 500 : 503, code, reason: 'failed', detail }
}
