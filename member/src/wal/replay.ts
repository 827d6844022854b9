// Reads the records of one segment in order: large reads with one read ahead, checksums, decoding. Says where the last
// record that validates ends; what lies behind it is repair.ts's to judge. Memory: two reads and the longest record.

import { Buffer } from 'node:buffer'
import { isMalformed } from '../wire/reader.ts'
import type { FileHandle } from './file-system.ts'
import {
  decodePayload,
  isPayloadValid,
  type LogRecord,
  readRecordHeader,
  RECORD_HEADER_BYTES,
} from './record.ts'
import { RECORDS_AT, type SegmentHeader, walCorrupt } from './segment.ts'

const READ_BYTES = 1024 * 1024

export interface ReplayOptions {
  readonly file: FileHandle
  readonly header: SegmentHeader
  /** Records end here at the latest: the end of the file, or where the next segment says. */
  readonly end: number
  /** Entry data are views into memory that is not used for anything else. */
  readonly onRecord: (record: LogRecord, offset: number) => void | Promise<void>
}

/** Returns the offset behind the last record that validates. */
export async function replaySegment(options: ReplayOptions): Promise<number> {
  const { file, header, end, onRecord } = options
  const { salt, sequence } = header
  const reader = new ReadAhead(file, RECORDS_AT, end)
  let window: Buffer = Buffer.alloc(0)
  let at = 0
  let offset = RECORDS_AT
  for (;;) {
    if (window.length - at < RECORD_HEADER_BYTES) {
      window = await reader.refill(window.subarray(at), RECORD_HEADER_BYTES)
      at = 0
      if (window.length < RECORD_HEADER_BYTES) return offset
    }
    const place = { salt, sequence, offset }
    const recordHeader = readRecordHeader(window, at, place)
    if (recordHeader === undefined) return offset
    const size = RECORD_HEADER_BYTES + recordHeader.payloadBytes
    if (offset + size > end) return offset
    if (window.length - at < size) {
      window = await reader.refill(window.subarray(at), size)
      at = 0
      if (window.length < size) return offset
    }
    const payload = window.subarray(at + RECORD_HEADER_BYTES, at + size)
    if (!isPayloadValid(payload, recordHeader, place)) return offset
    const pending = onRecord(decode(payload, recordHeader.flags, { file, offset }), offset)
    if (pending !== undefined) await pending
    at += size
    offset += size
  }
}

function decode(
  payload: Uint8Array,
  flags: number,
  where: { readonly file: FileHandle; readonly offset: number },
): LogRecord {
  try {
    return decodePayload(payload, flags)
  } catch (error) {
    if (!isMalformed(error)) throw error
    const details = { file: where.file.path, offset: where.offset }
    throw walCorrupt('record validates but does not decode', details, error)
  }
}

/** Consecutive reads of [position, end), the next one always under way. Each returns memory of its own. */
class ReadAhead {
  readonly #file: FileHandle
  readonly #end: number
  #position: number
  #next: Promise<Buffer>

  constructor(file: FileHandle, position: number, end: number) {
    this.#file = file
    this.#position = position
    this.#end = end
    this.#next = this.#read()
  }

  /** `rest` followed by what comes next in the file: at least `size` bytes, unless the file ends before. */
  async refill(rest: Buffer, size: number): Promise<Buffer> {
    const parts = rest.length === 0 ? [] : [rest]
    let length = rest.length
    while (length < size) {
      const chunk = await this.#next
      if (chunk.length === 0) break
      this.#next = this.#read()
      parts.push(chunk)
      length += chunk.length
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts, length)
  }

  #read(): Promise<Buffer> {
    const position = this.#position
    const size = Math.max(0, Math.min(READ_BYTES, this.#end - position))
    this.#position += size
    const reading = size === 0 ? Promise.resolve(Buffer.alloc(0)) : this.#fill(position, size)
    // The reader may stop before it asks for this one; the failure of a read nobody asked for means nothing.
    reading.catch(() => undefined)
    return reading
  }

  async #fill(position: number, size: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafeSlow(size)
    const count = await this.#file.read(buffer, position)
    return count === size ? buffer : buffer.subarray(0, count)
  }
}
