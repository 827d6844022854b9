// The end of the last segment: a write that a crash cut short may be cut off, a damaged record may not. The record itself
// cannot tell the two apart; what can is stored away from it. Bytes that were flushed and do not validate are damage, and
// "flushed through" is said by the marks of the segment and by every later record that validates.

import { Buffer } from 'node:buffer'
import type { FileHandle } from './file-system.ts'
import {
  isPayloadValid,
  readRecordHeader,
  RECORD_ALIGNMENT,
  RECORD_HEADER_BYTES,
  RECORD_MAGIC,
  RECORD_MAGIC_AT,
  type RecordPlace,
} from './record.ts'
import { type Mark, type SegmentHeader, walCorrupt, ZEROS } from './segment.ts'

const SCAN_BYTES = ZEROS.length

export interface TailOptions {
  readonly file: FileHandle
  readonly header: SegmentHeader
  readonly mark: Mark
  /** Where the first record that does not validate would start. */
  readonly offset: number
  readonly size: number
}

/**
 * How many bytes from `offset` on a torn write left behind; 0 when there is nothing that looks like one. Throws
 * WAL_CORRUPT, with the file and the offset, if those bytes had been flushed. Changes nothing.
 */
export async function inspectTail(options: TailOptions): Promise<number> {
  const { file, header, mark, offset, size } = options
  if (offset < mark.flushed) {
    throw walCorrupt('record does not validate though it was flushed', {
      file: file.path,
      offset,
      flushedThrough: mark.flushed,
    })
  }
  const place = { salt: header.salt, sequence: header.sequence, offset }
  let tornEnd = await claimedEnd(options, place)
  for (let start = offset; start < size; start += SCAN_BYTES) {
    const chunk = await readUpTo(
      file,
      start,
      Math.min(SCAN_BYTES + RECORD_HEADER_BYTES, size - start),
    )
    const own = chunk.subarray(0, SCAN_BYTES)
    if (own.equals(ZEROS.subarray(0, own.length))) continue
    await rejectLaterRecord(options, chunk, start)
    if (!header.recycled) tornEnd = Math.max(tornEnd, start + lengthWithoutZeros(own))
  }
  return tornEnd - offset
}

/** Where the record at the tail would end if its header validates: then a write of ours was cut short here. */
async function claimedEnd(options: TailOptions, place: RecordPlace): Promise<number> {
  const { file, offset, size } = options
  const bytes = await readUpTo(file, offset, RECORD_HEADER_BYTES)
  if (bytes.length < RECORD_HEADER_BYTES) return offset
  const found = readRecordHeader(bytes, 0, place)
  if (found === undefined) return offset
  return Math.min(size, offset + RECORD_HEADER_BYTES + found.payloadBytes)
}

/** Throws if a record that starts in `chunk` validates and says that `offset` was flushed before it was written. */
async function rejectLaterRecord(
  options: TailOptions,
  chunk: Buffer,
  start: number,
): Promise<void> {
  const { file, header, offset, size } = options
  const last = Math.min(chunk.length - RECORD_HEADER_BYTES, SCAN_BYTES - RECORD_ALIGNMENT)
  for (let at = 0; at <= last; at += RECORD_ALIGNMENT) {
    const magicAt = at + RECORD_MAGIC_AT
    if (chunk[magicAt] !== (RECORD_MAGIC & 0xff) || chunk[magicAt + 1] !== RECORD_MAGIC >> 8)
      continue
    const place = { salt: header.salt, sequence: header.sequence, offset: start + at }
    const found = readRecordHeader(chunk, at, place)
    if (found === undefined || found.flushedThrough <= offset) continue
    const payloadAt = place.offset + RECORD_HEADER_BYTES
    if (payloadAt + found.payloadBytes > size) continue
    const payload = await readUpTo(file, payloadAt, found.payloadBytes)
    if (!isPayloadValid(payload, found, place)) continue
    throw walCorrupt('record does not validate though a later one does', {
      file: file.path,
      offset,
      laterOffset: place.offset,
      flushedThrough: found.flushedThrough,
    })
  }
}

/** Makes the torn bytes zeros for good, so that they are nobody's again. */
export async function eraseTail(file: FileHandle, offset: number, bytes: number): Promise<void> {
  for (let done = 0; done < bytes; done += SCAN_BYTES) {
    const piece = ZEROS.subarray(0, Math.min(SCAN_BYTES, bytes - done))
    await file.writeAndFlush([piece], offset + done)
  }
}

/**
 * Writes bytes as they are read, and flushes them. A flush alone would not do: after one that failed the system may take
 * what it holds for written, and the next flush succeeds without them (F26).
 */
export async function writeAgain(file: FileHandle, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += SCAN_BYTES) {
    const bytes = await readUpTo(file, at, Math.min(SCAN_BYTES, to - at))
    await file.writeAndFlush([bytes], at)
  }
}

async function readUpTo(file: FileHandle, position: number, size: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(size)
  return buffer.subarray(0, await file.read(buffer, position))
}

function lengthWithoutZeros(bytes: Buffer): number {
  let length = bytes.length
  while (length > 0 && bytes[length - 1] === 0) length--
  return length
}
