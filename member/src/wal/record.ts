// One record of the log: everything one save() stores, framed so that it validates only whole, only in its segment and
// only at its offset. Layout (little-endian; a record starts at a multiple of 8):
//
//    0 u32 checksum of bytes 4-23       8 u32 payload bytes, a multiple of 8    16 u32 flushed through this offset
//    4 u32 checksum of the payload     12 u16 magic, u16 flags                  20 u32 segment sequence, low half
//   24 payload: [hard state] [snapshot] entry count, entries (each with its length), zeros up to a multiple of 8
//
// Both checksums (CRC-32) start from the segment's salt and the record's offset.

import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { invariant } from '../../../lib/assert.ts'
import { asBuffer } from '../../../lib/bytes.ts'
import type { Entry, HardState, SnapshotMeta } from '../raft/types.ts'
import {
  decodeHardState,
  decodeSnapshotMeta,
  encodeHardState,
  encodeSnapshotMeta,
  entrySize,
  readEntry,
  writeEntry,
} from '../wire/raft-codec.ts'
import { Reader, malformed } from '../wire/reader.ts'
import { Writer, varintSize } from '../wire/writer.ts'

export const RECORD_HEADER_BYTES = 24
export const RECORD_ALIGNMENT = 8
/** A record is at most this long, header included; what a driver saves at once is far below. */
export const RECORD_BYTES_MAX = 512 * 1024 * 1024

export const RECORD_MAGIC = 0x4252
/** Offset of the magic inside a record. */
export const RECORD_MAGIC_AT = 12

const HAS_HARD_STATE = 1
const HAS_SNAPSHOT = 2

/** What one save() stores and one replayed record gives back. */
export interface LogRecord {
  readonly snapshot: SnapshotMeta | undefined
  readonly entries: readonly Entry[]
  readonly hardState: HardState | undefined
}

/** What ties a record to its place. */
export interface RecordPlace {
  readonly salt: number
  readonly sequence: number
  /** Of the record in its segment, below 2^32. */
  readonly offset: number
}

export interface RecordHeader {
  readonly payloadBytes: number
  readonly payloadChecksum: number
  readonly flags: number
  /** The writer knew everything before this offset to be flushed when it wrote the record. */
  readonly flushedThrough: number
}

/** Memory for records that is kept; a larger record has memory of its own. */
const KEPT_BYTES_MIN = 16 * 1024
const KEPT_BYTES_MAX = 1024 * 1024

const HEADER_ROOM = new Uint8Array(RECORD_HEADER_BYTES)
const PADDING = new Uint8Array(RECORD_ALIGNMENT)

/**
 * Encodes one record after the other into the same memory, so that a busy log does not ask the system for new pages, and the
 * garbage collector to give them back, with every flush. A record is valid until the next one is encoded.
 */
export class RecordEncoder {
  #memory = Buffer.alloc(0)

  /** The record with its payload in place and its header still open: `sealRecord` closes it once its place is known. */
  encode(record: LogRecord): Buffer {
    const hardState = record.hardState && encodeHardState(record.hardState)
    const snapshot = record.snapshot && encodeSnapshotMeta(record.snapshot)
    const writer = this.#writer(recordBytesBound(record, hardState, snapshot))
    writer.raw(HEADER_ROOM)
    if (hardState !== undefined) writer.bytes(hardState)
    if (snapshot !== undefined) writer.bytes(snapshot)
    writer.safeUint(record.entries.length)
    for (const entry of record.entries) {
      writer.safeUint(entrySize(entry))
      writeEntry(writer, entry)
    }
    const excess = writer.length % RECORD_ALIGNMENT
    if (excess > 0) writer.raw(PADDING.subarray(excess))
    const bytes = asBuffer(writer.finish())
    invariant(bytes.length <= RECORD_BYTES_MAX, 'record is too large', { bytes: bytes.length })
    bytes.writeUInt32LE(bytes.length - RECORD_HEADER_BYTES, 8)
    bytes.writeUInt16LE(RECORD_MAGIC, RECORD_MAGIC_AT)
    const flags = (hardState ? HAS_HARD_STATE : 0) | (snapshot ? HAS_SNAPSHOT : 0)
    bytes.writeUInt16LE(flags, 14)
    return bytes
  }

  #writer(capacity: number): Writer {
    if (capacity > KEPT_BYTES_MAX) return new Writer(capacity)
    if (capacity > this.#memory.length) {
      const bytes = Math.min(KEPT_BYTES_MAX, Math.max(KEPT_BYTES_MIN, 2 * capacity))
      this.#memory = Buffer.allocUnsafeSlow(bytes)
    }
    return new Writer(capacity, this.#memory)
  }
}

function recordBytesBound(
  record: LogRecord,
  hardState: Uint8Array | undefined,
  snapshot: Uint8Array | undefined,
): number {
  let size = RECORD_HEADER_BYTES + RECORD_ALIGNMENT + 32
  size += (hardState?.length ?? 0) + (snapshot?.length ?? 0)
  for (const entry of record.entries) {
    const entryBytes = entrySize(entry)
    // The writer reserves the longest form of each field before it writes it.
    size += varintSize(entryBytes) + entryBytes
  }
  return size
}

/** Fills in everything that depends on where the record goes. */
export function sealRecord(record: Buffer, place: RecordPlace, flushedThrough: number): void {
  const seed = seedOf(place)
  record.writeUInt32LE(flushedThrough, 16)
  record.writeUInt32LE(place.sequence >>> 0, 20)
  record.writeUInt32LE(crc32(record.subarray(RECORD_HEADER_BYTES), seed), 4)
  record.writeUInt32LE(crc32(record.subarray(4, RECORD_HEADER_BYTES), seed), 0)
}

/** The header at `at` of `bytes` if it validates at this place; undefined otherwise. */
export function readRecordHeader(
  bytes: Buffer,
  at: number,
  place: RecordPlace,
): RecordHeader | undefined {
  if (bytes.readUInt16LE(at + RECORD_MAGIC_AT) !== RECORD_MAGIC) return undefined
  if (bytes.readUInt32LE(at + 20) !== place.sequence >>> 0) return undefined
  const payloadBytes = bytes.readUInt32LE(at + 8)
  if (payloadBytes === 0 || payloadBytes % RECORD_ALIGNMENT !== 0) return undefined
  if (payloadBytes > RECORD_BYTES_MAX) return undefined
  const flushedThrough = bytes.readUInt32LE(at + 16)
  if (flushedThrough > place.offset) return undefined
  const checksum = crc32(bytes.subarray(at + 4, at + RECORD_HEADER_BYTES), seedOf(place))
  if (checksum !== bytes.readUInt32LE(at)) return undefined
  return {
    payloadBytes,
    payloadChecksum: bytes.readUInt32LE(at + 4),
    flags: bytes.readUInt16LE(at + 14),
    flushedThrough,
  }
}

/** Whether `payload` is what this header was written with. */
export function isPayloadValid(
  payload: Uint8Array,
  header: RecordHeader,
  place: RecordPlace,
): boolean {
  return crc32(payload, seedOf(place)) === header.payloadChecksum
}

/** Throws WIRE_MALFORMED: a payload that validates and yet does not decode. Entry data are views into `payload`. */
export function decodePayload(payload: Uint8Array, flags: number): LogRecord {
  const reader = new Reader(payload)
  const hardState = flags & HAS_HARD_STATE ? decodeHardState(reader.bytes()) : undefined
  const snapshot = flags & HAS_SNAPSHOT ? decodeSnapshotMeta(reader.bytes()) : undefined
  const count = reader.safeUint()
  const entries: Entry[] = []
  let index = 0
  for (let i = 0; i < count; i++) {
    const outerEnd = reader.enter()
    const entry = readEntry(reader)
    reader.leave(outerEnd)
    if (i > 0 && entry.index !== index + 1) malformed('entries of a record are not consecutive')
    index = entry.index
    entries.push(entry)
  }
  if (reader.remaining >= RECORD_ALIGNMENT) malformed('record has bytes behind its entries')
  return { snapshot, entries, hardState }
}

/** Differs between any two offsets of a segment; the header names the sequence besides. */
function seedOf({ salt, offset }: RecordPlace): number {
  return (salt ^ offset) >>> 0
}
