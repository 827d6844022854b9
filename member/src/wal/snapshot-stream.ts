// A snapshot as bytes, the same in a file and on the network. Every byte is covered by a checksum, so that a piece can be
// used as soon as it is complete, and the end proves that nothing is missing. Layout (little-endian):
//
//   preamble  "RbrftSNP", u32 format version, u32 0
//   frame     u32 kind (1 header, 2 data, 3 end), u32 payload bytes, u32 checksum, payload
//   header    cluster id (u64), then the snapshot's meta      data   bytes of the state, at most 1 MiB
//   end       u64 data frames, u64 data bytes, SHA-256 of the data; nothing follows it
//
// The checksum (CRC-32) starts from the frame's number and covers kind, length and payload.

import { Buffer } from 'node:buffer'
import { createHash, type Hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { unreachable } from '../../../lib/assert.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { SnapshotMeta } from '../raft/types.ts'
import { decodeSnapshotMeta, encodeSnapshotMeta } from '../wire/raft-codec.ts'
import { isMalformed } from '../wire/reader.ts'

export const SNAPSHOT_FORMAT_VERSION = 1
export const PREAMBLE_BYTES = 16
export const FRAME_HEADER_BYTES = 12
export const END_PAYLOAD_BYTES = 48
export const DATA_FRAME_BYTES_MAX = 1024 * 1024
/** A header is a few identifiers per member. */
export const HEADER_PAYLOAD_BYTES_MAX = 1024 * 1024

const MAGIC = Buffer.from('RbrftSNP')
const HEADER = 1
const DATA = 2
const END = 3

export interface SnapshotHeader {
  readonly clusterId: string
  readonly meta: SnapshotMeta
}

export interface SnapshotEnd {
  readonly frameCount: number
  readonly dataBytes: number
  readonly digest: Buffer
}

/** Pieces of at most 1 MiB and a frame's header. `chunks` are not copied: the caller leaves them alone until consumed. */
export async function* encodeSnapshotStream(
  header: SnapshotHeader,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const clusterId = Buffer.alloc(8)
  clusterId.writeBigUInt64LE(BigInt(`0x${header.clusterId}`))
  const preamble = Buffer.alloc(PREAMBLE_BYTES)
  MAGIC.copy(preamble)
  preamble.writeUInt32LE(SNAPSHOT_FORMAT_VERSION, 8)
  const meta = Buffer.concat([clusterId, encodeSnapshotMeta(header.meta)])
  yield Buffer.concat([preamble, frameHeader(HEADER, 0, meta), meta])
  const hash = createHash('sha256')
  let frameCount = 0
  let dataBytes = 0
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += DATA_FRAME_BYTES_MAX) {
      const data = chunk.subarray(at, at + DATA_FRAME_BYTES_MAX)
      frameCount++
      dataBytes += data.length
      hash.update(data)
      yield frameHeader(DATA, frameCount, data)
      yield data
    }
  }
  const end = Buffer.alloc(END_PAYLOAD_BYTES)
  end.writeBigUInt64LE(BigInt(frameCount), 0)
  end.writeBigUInt64LE(BigInt(dataBytes), 8)
  hash.digest().copy(end, 16)
  yield Buffer.concat([frameHeader(END, frameCount + 1, end), end])
}

function frameHeader(kind: number, number: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  header.writeUInt32LE(kind, 0)
  header.writeUInt32LE(payload.length, 4)
  header.writeUInt32LE(checksumOf(header, number, payload), 8)
  return header
}

function checksumOf(header: Buffer, number: number, payload: Uint8Array): number {
  return crc32(payload, crc32(header.subarray(0, 8), number >>> 0))
}

/** The end of a complete snapshot from its last bytes; undefined if they are not one. */
export function decodeSnapshotEnd(bytes: Buffer): SnapshotEnd | undefined {
  if (bytes.length !== FRAME_HEADER_BYTES + END_PAYLOAD_BYTES) return undefined
  const payload = bytes.subarray(FRAME_HEADER_BYTES)
  if (bytes.readUInt32LE(0) !== END || bytes.readUInt32LE(4) !== END_PAYLOAD_BYTES) return undefined
  const end = readEnd(payload)
  const checksum = checksumOf(bytes.subarray(0, FRAME_HEADER_BYTES), end.frameCount + 1, payload)
  return checksum === bytes.readUInt32LE(8) ? end : undefined
}

/** How long a snapshot with this header and this end is. */
export function snapshotBytes(header: SnapshotHeader, end: SnapshotEnd): number {
  const headerBytes = 8 + encodeSnapshotMeta(header.meta).length
  const frames = (end.frameCount + 2) * FRAME_HEADER_BYTES
  return PREAMBLE_BYTES + frames + headerBytes + end.dataBytes + END_PAYLOAD_BYTES
}

function readEnd(payload: Buffer): SnapshotEnd {
  return {
    frameCount: Number(payload.readBigUInt64LE(0)),
    dataBytes: Number(payload.readBigUInt64LE(8)),
    digest: Buffer.from(payload.subarray(16)),
  }
}

/**
 * Takes a stream in pieces of any size and gives back the data of each frame once it is verified. Throws SNAPSHOT_CORRUPT
 * (details: offset in the stream, and what `context` adds). Memory: one frame.
 */
export class SnapshotDecoder {
  readonly #context: Readonly<Record<string, unknown>>
  readonly #hash: Hash = createHash('sha256')
  #header: SnapshotHeader | undefined
  #parts: Uint8Array[] = []
  #buffered = 0
  /** Of the first byte in `#parts` in the stream. */
  #offset = 0
  #wanted = PREAMBLE_BYTES
  #state: 'preamble' | 'frame' | 'payload' | 'end' = 'preamble'
  #frame: Buffer = Buffer.alloc(FRAME_HEADER_BYTES)
  #frameNumber = 0
  #dataBytes = 0

  constructor(context: Readonly<Record<string, unknown>>) {
    this.#context = context
  }

  /** Set once its frame has been read. */
  get header(): SnapshotHeader | undefined {
    return this.#header
  }

  /** Verified data, in order. The returned arrays may be views into what was pushed. */
  push(chunk: Uint8Array): Uint8Array[] {
    const { data, rest } = this.pushUntilEnd(chunk)
    if (rest.length > 0) throw this.#corrupt('snapshot has bytes behind its end')
    return data
  }

  /** As `push`, for a stream that something else follows: `rest` is what was pushed of that. */
  pushUntilEnd(chunk: Uint8Array): { readonly data: Uint8Array[]; readonly rest: Uint8Array } {
    const data: Uint8Array[] = []
    let rest = chunk
    while (rest.length > 0 && this.#state !== 'end') {
      const taken = rest.subarray(0, this.#wanted - this.#buffered)
      rest = rest.subarray(taken.length)
      this.#parts.push(taken)
      this.#buffered += taken.length
      if (this.#buffered < this.#wanted) break
      const unit = this.#takeUnit()
      const verified = this.#accept(unit)
      this.#offset += unit.length
      if (verified !== undefined) data.push(verified)
    }
    return { data, rest }
  }

  /** Call when the stream has ended: throws unless it was complete. */
  finish(): SnapshotHeader {
    if (this.#state !== 'end' || this.#header === undefined) {
      throw this.#corrupt('snapshot is cut short')
    }
    return this.#header
  }

  #takeUnit(): Buffer {
    const [first] = this.#parts
    const unit =
      this.#parts.length === 1 && first !== undefined
        ? Buffer.from(first.buffer, first.byteOffset, first.length)
        : Buffer.concat(this.#parts, this.#buffered)
    this.#parts = []
    this.#buffered = 0
    return unit
  }

  #accept(unit: Buffer): Uint8Array | undefined {
    switch (this.#state) {
      case 'preamble':
        this.#acceptPreamble(unit)
        return undefined
      case 'frame':
        this.#acceptFrame(unit)
        return undefined
      case 'payload':
        return this.#acceptPayload(unit)
      case 'end':
        throw this.#corrupt('snapshot has bytes behind its end')
      default:
        return unreachable(this.#state)
    }
  }

  #acceptPreamble(unit: Buffer): void {
    if (!unit.subarray(0, 8).equals(MAGIC)) throw this.#corrupt('not a snapshot')
    const formatVersion = unit.readUInt32LE(8)
    if (formatVersion > SNAPSHOT_FORMAT_VERSION) {
      throw new RaftbaseError('SNAPSHOT_REFUSED', 'snapshot was written by a newer version', {
        details: { ...this.#context, formatVersion, formatVersionMax: SNAPSHOT_FORMAT_VERSION },
      })
    }
    if (formatVersion === 0 || unit.readUInt32LE(12) !== 0) throw this.#corrupt('not a snapshot')
    this.#expect('frame', FRAME_HEADER_BYTES)
  }

  #acceptFrame(unit: Buffer): void {
    const kind = unit.readUInt32LE(0)
    const size = unit.readUInt32LE(4)
    const isFirst = this.#header === undefined
    // Before anything is kept of it: a length that no frame of its kind has is damage.
    const possible = isFirst
      ? kind === HEADER && size > 8 && size <= HEADER_PAYLOAD_BYTES_MAX
      : (kind === DATA && size > 0 && size <= DATA_FRAME_BYTES_MAX) ||
        (kind === END && size === END_PAYLOAD_BYTES)
    if (!possible) throw this.#corrupt('snapshot frame does not validate')
    this.#frame = Buffer.from(unit)
    this.#expect('payload', size)
  }

  #acceptPayload(payload: Buffer): Uint8Array | undefined {
    const checksum = checksumOf(this.#frame, this.#frameNumber, payload)
    if (checksum !== this.#frame.readUInt32LE(8)) {
      throw this.#corrupt('snapshot frame does not validate')
    }
    this.#frameNumber++
    this.#expect('frame', FRAME_HEADER_BYTES)
    switch (this.#frame.readUInt32LE(0)) {
      case HEADER:
        this.#header = this.#decodeHeader(payload)
        return undefined
      case DATA:
        this.#hash.update(payload)
        this.#dataBytes += payload.length
        return payload
      default:
        this.#acceptEnd(readEnd(payload))
        return undefined
    }
  }

  #decodeHeader(payload: Buffer): SnapshotHeader {
    try {
      const clusterId = payload.readBigUInt64LE(0).toString(16).padStart(16, '0')
      return { clusterId, meta: decodeSnapshotMeta(payload.subarray(8)) }
    } catch (error) {
      if (!isMalformed(error)) throw error
      throw this.#corrupt('snapshot header does not decode', error)
    }
  }

  #acceptEnd(end: SnapshotEnd): void {
    // Frame numbers: the header is 0, the end is the last.
    const dataFrames = this.#frameNumber - 2
    if (end.frameCount !== dataFrames || end.dataBytes !== this.#dataBytes) {
      throw this.#corrupt('snapshot has lost frames')
    }
    if (!this.#hash.digest().equals(end.digest)) throw this.#corrupt('snapshot digest differs')
    this.#expect('end', 1)
  }

  #expect(state: 'frame' | 'payload' | 'end', bytes: number): void {
    this.#state = state
    this.#wanted = bytes
  }

  #corrupt(message: string, cause?: unknown): RaftbaseError {
    const details = { ...this.#context, offset: this.#offset }
    return new RaftbaseError('SNAPSHOT_CORRUPT', message, { details, cause })
  }
}
