// Reads the records of one segment in order: large reads with one read ahead, checksums, decoding. Says where the last
// record that validates ends; what lies behind it is repair.ts's to judge. Memory: three reads, or two and the longest record,
// the same from the first record to the last: a start leaves no garbage behind that the process would keep.

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

const READ_BYTES = 256 * 1024

export interface ReplayOptions {
  readonly file: FileHandle
  readonly header: SegmentHeader
  /** Records end here at the latest: the end of the file, or where the next segment says. */
  readonly end: number
  /** Byte fields of the record are views that the next record overwrites: whoever keeps one copies it. */
  readonly onRecord: (record: LogRecord, offset: number) => void | Promise<void>
}

export interface Replayed {
  /** The offset behind the last record that validates. */
  readonly end: number
  /** What that record knew to be flushed when it was written; nothing says so of the record itself. */
  readonly flushedThrough: number
}

export async function replaySegment(options: ReplayOptions): Promise<Replayed> {
  const { file, header, end, onRecord } = options
  const { salt, sequence } = header
  const reader = new Window(file, RECORDS_AT, end)
  let window = reader.bytes
  let at = 0
  let offset = RECORDS_AT
  let flushedThrough = RECORDS_AT
  const reached = (): Replayed => ({ end: offset, flushedThrough })
  for (;;) {
    if (window.length - at < RECORD_HEADER_BYTES) {
      window = await reader.refill(at, RECORD_HEADER_BYTES)
      at = 0
      if (window.length < RECORD_HEADER_BYTES) return reached()
    }
    const place = { salt, sequence, offset }
    const recordHeader = readRecordHeader(window, at, place)
    if (recordHeader === undefined) return reached()
    const size = RECORD_HEADER_BYTES + recordHeader.payloadBytes
    if (offset + size > end) return reached()
    if (window.length - at < size) {
      window = await reader.refill(at, size)
      at = 0
      if (window.length < size) return reached()
    }
    const payload = window.subarray(at + RECORD_HEADER_BYTES, at + size)
    if (!isPayloadValid(payload, recordHeader, place)) return reached()
    const pending = onRecord(decode(payload, recordHeader.flags, { file, offset }), offset)
    if (pending !== undefined) await pending
    at += size
    offset += size
    flushedThrough = recordHeader.flushedThrough
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

/** A stretch of the file in memory that moves on over it, the next read always under way. */
class Window {
  readonly #file: FileHandle
  readonly #end: number
  /** Where the next read starts. */
  #position: number
  readonly #ahead: Buffer
  /** How many bytes of `#ahead` the read under way fills. */
  #next: Promise<number>
  #memory = Buffer.allocUnsafeSlow(2 * READ_BYTES)
  #length = 0

  constructor(file: FileHandle, position: number, end: number) {
    this.#file = file
    this.#position = position
    this.#end = end
    this.#ahead = Buffer.allocUnsafeSlow(Math.max(0, Math.min(READ_BYTES, end - position)))
    this.#next = this.#read()
  }

  /** What is in memory; changed by `refill`. */
  get bytes(): Buffer {
    return this.#memory.subarray(0, this.#length)
  }

  /** Drops `consumed` bytes at the front and reads on until there are `size`, or the file ends. */
  async refill(consumed: number, size: number): Promise<Buffer> {
    this.#drop(consumed, size)
    while (this.#length < size) {
      const count = await this.#next
      if (count === 0) break
      this.#append(count)
      this.#next = this.#read()
    }
    return this.bytes
  }

  /** Makes room for `size` bytes and one more read. */
  #drop(consumed: number, size: number): void {
    const rest = this.#memory.subarray(consumed, this.#length)
    const needed = size + READ_BYTES
    if (needed > this.#memory.length) this.#memory = Buffer.allocUnsafeSlow(needed)
    // Between two parts of one memory `set` copies as if through a third.
    this.#memory.set(rest)
    this.#length = rest.length
  }

  #append(count: number): void {
    this.#memory.set(this.#ahead.subarray(0, count), this.#length)
    this.#length += count
  }

  #read(): Promise<number> {
    const position = this.#position
    const size = Math.min(this.#ahead.length, this.#end - position)
    if (size <= 0) return Promise.resolve(0)
    this.#position += size
    const reading = this.#file.read(this.#ahead.subarray(0, size), position)
    // The reader may stop before it asks for this one; the failure of a read nobody asked for means nothing.
    reading.catch(() => undefined)
    return reading
  }
}
