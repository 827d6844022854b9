// The segment that takes new records: where the next one goes, room made for it ahead of time, marks. One append at a
// time; room is made beside it. A file that does not grow costs half per flush, so zeros are written and flushed ahead of
// the tail in steps of 1 MiB; a recycled file has its room already.

import type { Buffer } from 'node:buffer'
import { join } from 'node:path'
import { invariant } from '../../../lib/assert.ts'
import { hasCode } from '../../../lib/errors.ts'
import type { FileHandle, FileSystem } from './file-system.ts'
import { flushed, withFile } from './files.ts'
import { sealRecord } from './record.ts'
import {
  encodeMark,
  encodeSegmentHeader,
  type Mark,
  markOffset,
  PAGE_BYTES,
  RECORDS_AT,
  segmentName,
  type SegmentHeader,
  ZEROS,
} from './segment.ts'

/** Room of a new segment before the first step: small, so that a fresh member starts at once. */
const FIRST_ROOM_BYTES = 64 * 1024
const STEP_BYTES = ZEROS.length
/** How far ahead of the tail there is room under a steady load. */
const AHEAD_BYTES = 4 * STEP_BYTES

export interface SegmentWriterOptions {
  readonly fs: FileSystem
  readonly directory: string
  readonly segmentBytes: number
  /** Making room ahead failed other than for want of space. */
  readonly onFailure: (error: unknown) => void
}

interface SegmentState {
  readonly file: FileHandle
  readonly header: SegmentHeader
  readonly tail: number
  /** Everything before it is zeros or records, allocated and durable. */
  readonly room: number
  readonly mark: Mark
}

export class SegmentWriter {
  readonly header: SegmentHeader
  readonly #options: SegmentWriterOptions
  readonly #file: FileHandle
  /** Invariant: RECORDS_AT <= tail, everything before it flushed. */
  #tail: number
  #room: number
  #mark: Mark
  /** Never rejects. */
  #growing: Promise<void> | undefined
  #failure: { readonly cause: unknown } | undefined
  #closed = false

  /**
   * Begins a segment: its file is complete and durable under its name when this resolves. `spare` names a released file to
   * use again. NO_SPACE leaves everything as it was.
   */
  static async create(
    options: SegmentWriterOptions,
    header: SegmentHeader,
    spare: string | undefined,
  ): Promise<SegmentWriter> {
    const { fs, directory, segmentBytes } = options
    const path = join(directory, segmentName(header.sequence))
    const temporary = spare === undefined ? `${path}.tmp` : join(directory, spare)
    const firstRoom = Math.min(FIRST_ROOM_BYTES, segmentBytes)
    const room = await writeUnnamed(fs, { path: temporary, header, firstRoom })
    // failpoint: await segmentCreated
    await flushed(async () => {
      await fs.rename(temporary, path)
      // failpoint: await segmentRenamed
      await fs.flushDirectory(directory)
    })
    // failpoint: await segmentNamed
    const file = await fs.open(path, 'readWrite')
    const mark = { number: 0, flushed: 0, sealed: false }
    return new SegmentWriter(options, { file, header, tail: RECORDS_AT, room, mark })
  }

  constructor(options: SegmentWriterOptions, state: SegmentState) {
    this.#options = options
    this.header = state.header
    this.#file = state.file
    this.#tail = state.tail
    this.#room = state.room
    this.#mark = state.mark
    this.#growAhead()
  }

  /** Where the next record goes. */
  get tail(): number {
    return this.#tail
  }

  get isMarked(): boolean {
    return this.#mark.flushed === this.#tail
  }

  /** Whether a record of this size belongs here; one larger than a segment gets a segment to itself. */
  fits(bytes: number): boolean {
    return this.#tail + bytes <= this.#options.segmentBytes || this.#tail === RECORDS_AT
  }

  /** Makes room for a record. NO_SPACE leaves everything as it was. */
  async reserve(bytes: number): Promise<void> {
    while (this.#tail + bytes > this.#room) {
      if (this.#failure !== undefined) throw this.#failure.cause
      await (this.#growing ?? this.#grow())
    }
  }

  /** Writes and flushes a record for which there is room. After a failure the segment takes no further ones. */
  async append(record: Buffer): Promise<void> {
    const { salt, sequence } = this.header
    invariant(this.#tail + record.length <= this.#room, 'record without room', {
      tail: this.#tail,
      bytes: record.length,
      room: this.#room,
    })
    sealRecord(record, { salt, sequence, offset: this.#tail }, this.#tail)
    await this.#file.writeAndFlush([record], this.#tail)
    // failpoint: await walAfterWrite
    this.#tail += record.length
    this.#growAhead()
  }

  /** Stores, away from the records, how far they are flushed. */
  async mark(options: { readonly sealed: boolean }): Promise<void> {
    const mark = { number: this.#mark.number + 1, flushed: this.#tail, sealed: options.sealed }
    await this.#file.writeAndFlush([encodeMark(mark, this.header)], markOffset(mark))
    // failpoint: await walMarked
    this.#mark = mark
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#growing
    await this.#file.close()
  }

  /** Starts a step ahead unless there is room enough or one is under way; the steps follow one another by themselves. */
  #growAhead(): void {
    if (this.#closed || this.#growing !== undefined) return
    const goal = Math.min(this.#options.segmentBytes, this.#tail + AHEAD_BYTES)
    if (this.#room >= goal) return
    this.#growing = this.#growBeside()
  }

  async #growBeside(): Promise<void> {
    try {
      await this.#grow()
    } catch (error) {
      this.#growing = undefined
      // Want of space is the next save's to find out: it may not need the room.
      if (hasCode(error, 'NO_SPACE')) return
      this.#failure = { cause: error }
      this.#options.onFailure(error)
      return
    }
    this.#growing = undefined
    this.#growAhead()
  }

  async #grow(): Promise<void> {
    const from = this.#room
    const { segmentBytes } = this.#options
    const left = from < segmentBytes ? segmentBytes - from : segmentBytes
    const bytes = Math.min(STEP_BYTES, left)
    await this.#file.write([ZEROS.subarray(0, bytes)], from)
    await flushed(() => this.#file.flush())
    this.#room = from + bytes
  }
}

/** A complete segment under a name that means nothing yet; returns its room. A failure leaves no file behind. */
async function writeUnnamed(
  fs: FileSystem,
  request: { readonly path: string; readonly header: SegmentHeader; readonly firstRoom: number },
): Promise<number> {
  const { path, header, firstRoom } = request
  const file = await fs.open(path, header.recycled ? 'readWrite' : 'create')
  try {
    return await withFile(file, async () => {
      const room = header.recycled ? Math.max(await file.size(), RECORDS_AT) : firstRoom
      const zeros = ZEROS.subarray(PAGE_BYTES, header.recycled ? RECORDS_AT : firstRoom)
      await file.writeAndFlush([encodeSegmentHeader(header), zeros], 0)
      return room
    })
  } catch (error) {
    await fs.unlink(path)
    throw error
  }
}
