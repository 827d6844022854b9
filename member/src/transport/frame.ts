// Frames on an established peer link: u32 length | u32 crc32 | u8 type | payload, integers big-endian; length and checksum
// cover type and payload. Packs what is sent into few buffers and cuts what arrives into frames without copying, except
// for a frame that is spread over several chunks, which is copied once. What a payload means is left to others.

import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'

/** Numbers are for ever: a type that goes out of use is not reused. */
export const FRAME_TYPE = {
  /** A PeerMessage of the Raft core. */
  raft: 1,
  /** A NodeMessage. */
  node: 2,
  /** A u32 that the receiver sends back in a pong. */
  ping: 3,
  pong: 4,
  /** The sender closes this connection on purpose; no payload. */
  goodbye: 5,
} as const

export type FrameType = (typeof FRAME_TYPE)[keyof typeof FRAME_TYPE]

/** A frame that waits to be sent. Two peers may share one. Nobody writes to `payload` again. */
export interface Frame {
  readonly type: FrameType
  readonly crc: number
  readonly payload: Uint8Array
}

/** Bytes before the payload: length, checksum, type. */
export const FRAME_HEADER_BYTES = 9

/** Bytes before the type, which belongs to the part that length and checksum cover. */
const PREFIX_BYTES = 8

/** Payloads up to this size are copied next to each other; larger ones are handed to the socket as they are. */
const COPY_BYTES_MAX = 2048

const TYPE_CRC: readonly number[] = [0, 1, 2, 3, 4, 5].map((type) => crc32(Buffer.from([type])))

export function frameOf(type: FrameType, payload: Uint8Array): Frame {
  return { type, payload, crc: crc32(payload, TYPE_CRC[type]) }
}

/** Bytes of `frame` on the wire. */
export function frameBytes(frame: Frame): number {
  return FRAME_HEADER_BYTES + frame.payload.length
}

/** The frames one after the other, in as few buffers as pays off: large payloads are not copied. */
export function packFrames(frames: readonly Frame[]): Uint8Array[] {
  let copiedBytes = 0
  for (const { payload } of frames) {
    copiedBytes += FRAME_HEADER_BYTES + (payload.length <= COPY_BYTES_MAX ? payload.length : 0)
  }
  const copied = Buffer.allocUnsafe(copiedBytes)
  const chunks: Uint8Array[] = []
  let start = 0
  let position = 0
  for (const { type, crc, payload } of frames) {
    copied.writeUInt32BE(payload.length + 1, position)
    copied.writeUInt32BE(crc, position + 4)
    copied[position + PREFIX_BYTES] = type
    position += FRAME_HEADER_BYTES
    if (payload.length <= COPY_BYTES_MAX) {
      copied.set(payload, position)
      position += payload.length
    } else {
      chunks.push(copied.subarray(start, position), payload)
      start = position
    }
  }
  if (position > start) chunks.push(copied.subarray(start, position))
  return chunks
}

/** Why the rest of a connection cannot be read. */
export type FrameFault = 'frameLength' | 'frameChecksum'

/** Called for each whole frame; returns false to stop parsing. Owns `payload`, which is a view into received bytes. */
export type OnFrame = (type: number, payload: Uint8Array) => boolean

/**
 * Cuts received chunks into frames. After a fault, or once `onFrame` returned false, it must not be used again.
 * Invariant: holds fewer than `maxFrameBytes` received bytes, whatever a length prefix claims.
 */
export class FrameParser {
  readonly #frameBytesMax: number
  readonly #onFrame: OnFrame
  readonly #prefix = Buffer.allocUnsafe(PREFIX_BYTES)
  #prefixFilled = 0
  /** Type and payload of a frame that began in an earlier chunk. */
  #body: Buffer | undefined
  #bodyFilled = 0

  constructor(options: { maxFrameBytes: number; onFrame: OnFrame }) {
    this.#frameBytesMax = options.maxFrameBytes
    this.#onFrame = options.onFrame
  }

  /** Takes ownership of `chunk`. Returns what is wrong with the stream, or undefined. */
  push(chunk: Buffer): FrameFault | undefined {
    let position = 0
    while (position < chunk.length) {
      if (this.#body !== undefined) {
        position = this.#fillBody(this.#body, chunk, position)
        if (this.#bodyFilled < this.#body.length) return undefined
        const body = this.#body
        this.#body = undefined
        if (crc32(body) !== this.#prefix.readUInt32BE(4)) return 'frameChecksum'
        if (!this.#onFrame(body[0]!, body.subarray(1))) return undefined
        continue
      }
      const prefix = this.#nextPrefix(chunk, position)
      position += prefix.consumed
      if (!prefix.whole) return undefined
      const length = prefix.bytes.readUInt32BE(prefix.offset)
      if (length < 1 || length > this.#frameBytesMax) return 'frameLength'
      if (chunk.length - position < length) {
        if (prefix.bytes !== this.#prefix) {
          chunk.copy(this.#prefix, 0, prefix.offset, prefix.offset + PREFIX_BYTES)
        }
        this.#body = Buffer.allocUnsafeSlow(length)
        this.#bodyFilled = 0
        continue
      }
      const body = chunk.subarray(position, position + length)
      position += length
      if (crc32(body) !== prefix.bytes.readUInt32BE(prefix.offset + 4)) return 'frameChecksum'
      if (!this.#onFrame(body[0]!, body.subarray(1))) return undefined
    }
    return undefined
  }

  #fillBody(body: Buffer, chunk: Buffer, position: number): number {
    const count = Math.min(body.length - this.#bodyFilled, chunk.length - position)
    chunk.copy(body, this.#bodyFilled, position, position + count)
    this.#bodyFilled += count
    return position + count
  }

  /** Length and checksum: in place when the chunk has them whole, gathered in `#prefix` otherwise. */
  #nextPrefix(chunk: Buffer, position: number): PrefixRead {
    const available = chunk.length - position
    if (this.#prefixFilled === 0 && available >= PREFIX_BYTES) {
      return { bytes: chunk, offset: position, consumed: PREFIX_BYTES, whole: true }
    }
    const consumed = Math.min(PREFIX_BYTES - this.#prefixFilled, available)
    chunk.copy(this.#prefix, this.#prefixFilled, position, position + consumed)
    this.#prefixFilled += consumed
    const whole = this.#prefixFilled === PREFIX_BYTES
    if (whole) this.#prefixFilled = 0
    return { bytes: this.#prefix, offset: 0, consumed, whole }
  }
}

interface PrefixRead {
  readonly bytes: Buffer
  readonly offset: number
  readonly consumed: number
  readonly whole: boolean
}
