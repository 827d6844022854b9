// One established peer connection, in either direction: a bounded send queue that leaves in one write for each turn, a
// parser, and keep-alive. Frames go from the dialler to the acceptor; only pongs come back. Knows sockets and frames,
// not members or messages.

import { Buffer } from 'node:buffer'
import { FRAME_TYPE, type Frame, FrameParser, frameBytes, frameOf, packFrames } from './frame.ts'
import type { TransportLimits, TransportMetrics } from './options.ts'
import type { Socket } from './socket.ts'

/** Why a link closed without our asking. */
export type LinkClosure =
  /** By the other side; `goodbye` when it said so first. */
  | { readonly kind: 'ended'; readonly goodbye: boolean }
  | { readonly kind: 'failed'; readonly cause: Error }
  /** What arrived is not what may arrive: the frame layer's fault, or the payload's. */
  | { readonly kind: 'malformed'; readonly fault: string }
  /** Keep-alive heard nothing. */
  | { readonly kind: 'silent' }

export interface LinkOptions {
  readonly socket: Socket
  /** `dialled` links send messages and pings, `accepted` ones receive them and send pongs. */
  readonly direction: 'dialled' | 'accepted'
  readonly limits: TransportLimits
  readonly metrics: TransportMetrics
  /** A message arrived; returns what is wrong with it, or undefined. Only on accepted links. */
  readonly onMessage: (type: number, payload: Uint8Array) => string | undefined
  /** Anything arrived. */
  readonly onHeard: () => void
  /** Called at most once, and never after `end` or `destroy`. */
  readonly onClosed: (closure: LinkClosure) => void
}

const GOODBYE: Frame = frameOf(FRAME_TYPE.goodbye, new Uint8Array(0))

export class Link {
  readonly #options: LinkOptions
  readonly #socket: Socket
  readonly #parser: FrameParser
  #state: 'open' | 'ending' | 'closed' = 'open'
  #queue: Frame[] = []
  #queueBytes = 0
  /** A flush is due at the end of this turn. */
  #scheduled = false
  /** The socket has more than it wants; `drain` follows. */
  #blocked = false
  #goodbye = false
  #failure: Error | undefined
  #heardFrames = 0
  #pings = 0
  /** Keep-alive periods since anything was heard. */
  #silentPeriods = 0
  /** Bytes that had left for the system's buffers one period ago, while more were waiting. */
  #leftBytes: number | undefined

  constructor(options: LinkOptions) {
    this.#options = options
    this.#socket = options.socket
    this.#parser = new FrameParser({
      maxFrameBytes: options.limits.maxFrameBytes,
      onFrame: (type, payload) => this.#receive(type, payload),
    })
  }

  /** Starts reading. `head` is what came right behind the handshake. */
  start(head: Buffer): void {
    const socket = this.#socket
    socket.setNoDelay(true)
    socket.setTimeout(0)
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('drain', () => {
      this.#blocked = false
      this.#flush()
    })
    socket.on('error', (error) => {
      this.#failure = error
    })
    socket.on('end', () => this.#close({ kind: 'ended', goodbye: this.#goodbye }))
    socket.on('close', () => {
      const cause = this.#failure
      this.#close(
        cause === undefined ? { kind: 'ended', goodbye: this.#goodbye } : { kind: 'failed', cause },
      )
    })
    if (head.length > 0) this.#onData(head)
    if (this.#state === 'open') socket.resume()
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Queues a frame for the write at the end of this turn; false: there is no room, it was certainly not sent. */
  maybeSend(frame: Frame): boolean {
    if (this.#state !== 'open') return false
    const { sendQueueBytes, sendQueueCount } = this.#options.limits
    const bytes = this.#queueBytes + this.#socket.writableLength + frameBytes(frame)
    if (this.#queue.length >= sendQueueCount || bytes > sendQueueBytes) return false
    this.#enqueue(frame)
    return true
  }

  /** One period of keep-alive: closes a link that was silent for too long, and asks a dialled one for a pong. */
  keepAlive(): void {
    if (this.#state !== 'open') return
    this.#silentPeriods = this.#isMoving() ? 0 : this.#silentPeriods + 1
    const { keepAliveMs, keepAliveTimeoutMs } = this.#options.limits
    // Whole periods are counted, not time: after a pause of this process late calls are not made up for, so what waits
    // in the socket is read before anything counts as silent.
    if (this.#silentPeriods >= Math.max(2, Math.ceil(keepAliveTimeoutMs / keepAliveMs))) {
      this.#close({ kind: 'silent' })
      return
    }
    if (this.#options.direction !== 'dialled') return
    const number = Buffer.allocUnsafe(4)
    number.writeUInt32BE(this.#pings++ >>> 0)
    // A full queue needs no ping: its progress shows whether the peer reads.
    this.maybeSend(frameOf(FRAME_TYPE.ping, number))
  }

  /** Writes what is queued, says goodbye and ends the connection. Nothing is reported any more. */
  end(): void {
    if (this.#state !== 'open') return
    if (this.#options.direction === 'dialled') this.#enqueue(GOODBYE)
    this.#state = 'ending'
    this.#flush()
  }

  /** Closes at once; what is queued is lost. Nothing is reported any more. */
  destroy(): void {
    this.#state = 'closed'
    this.#queue = []
    this.#queueBytes = 0
    this.#socket.destroy()
  }

  #enqueue(frame: Frame): void {
    this.#queue.push(frame)
    this.#queueBytes += frameBytes(frame)
    if (this.#scheduled || this.#blocked) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.#state === 'closed' || this.#blocked) return
    while (this.#queue.length > 0 && !this.#blocked) this.#writeBatch()
    if (this.#state === 'ending' && this.#queue.length === 0) this.#socket.end()
  }

  /** One write: everything that waits, or the first part of a long queue, so that keep-alive sees it move. */
  #writeBatch(): void {
    let count = 0
    let bytes = 0
    while (count < this.#queue.length && (count === 0 || bytes < WRITE_BYTES)) {
      bytes += frameBytes(this.#queue[count]!)
      count++
    }
    const batch = count === this.#queue.length ? this.#queue : this.#queue.slice(0, count)
    this.#queue = count === this.#queue.length ? [] : this.#queue.slice(count)
    this.#queueBytes -= bytes
    const socket = this.#socket
    const chunks = packFrames(batch)
    if (chunks.length > 1) socket.cork()
    for (const chunk of chunks) this.#blocked = !socket.write(chunk)
    if (chunks.length > 1) socket.uncork()
    this.#options.metrics.sent(count, bytes)
  }

  #onData(chunk: Buffer): void {
    if (this.#state !== 'open') return
    this.#heardFrames = 0
    const fault = this.#parser.push(chunk)
    if (this.#heardFrames > 0) {
      this.#options.metrics.received(this.#heardFrames, chunk.length)
      this.#silentPeriods = 0
      this.#options.onHeard()
    }
    if (fault !== undefined) this.#close({ kind: 'malformed', fault })
  }

  /** Returns false when nothing more may be read. */
  #receive(type: number, payload: Uint8Array): boolean {
    this.#heardFrames++
    const fault = this.#accept(type, payload)
    if (fault !== undefined) this.#close({ kind: 'malformed', fault })
    return this.#state === 'open'
  }

  #accept(type: number, payload: Uint8Array): string | undefined {
    if (this.#options.direction === 'dialled') {
      if (type !== FRAME_TYPE.pong) return 'frameType'
      return payload.length === 4 ? undefined : 'pongLength'
    }
    switch (type) {
      case FRAME_TYPE.raft:
      case FRAME_TYPE.node:
        return this.#options.onMessage(type, payload)
      case FRAME_TYPE.ping:
        if (payload.length !== 4) return 'pingLength'
        // One pong waits at most: who does not read them gets no more.
        if (!this.#blocked && this.#queue.length < PONGS_MAX) {
          this.maybeSend(frameOf(FRAME_TYPE.pong, payload))
        }
        return undefined
      case FRAME_TYPE.goodbye:
        this.#goodbye = true
        return undefined
      default:
        return 'frameType'
    }
  }

  /** Whether bytes that waited for room have left since the last period: then somebody reads them. */
  #isMoving(): boolean {
    const socket = this.#socket
    const left = socket.bytesWritten - socket.writableLength
    const moving = this.#leftBytes !== undefined && left > this.#leftBytes
    this.#leftBytes = socket.writableLength > 0 ? left : undefined
    return moving
  }

  #close(closure: LinkClosure): void {
    const wasOpen = this.#state === 'open'
    this.destroy()
    if (wasOpen) this.#options.onClosed(closure)
  }
}

/** Bytes after which a write takes no further frame. */
const WRITE_BYTES = 256 * 1024

/** Pongs that wait at the same time; a dialler sends one ping a period. */
const PONGS_MAX = 16
