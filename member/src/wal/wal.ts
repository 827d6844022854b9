// The log on disk: one record and one flush per save(), in segments of preallocated or recycled files. Promises: what a
// synced save stored is there after any crash; a torn tail is cut, damage never is; after a failed write or flush nothing
// is accepted any more. Leaves to others: what the entries mean, and the snapshots the log starts from.

import type { Buffer } from 'node:buffer'
import { join } from 'node:path'
import { invariant } from '../../../lib/assert.ts'
import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'
import { RaftbaseError, hasCode } from '../../../lib/errors.ts'
import type { Prng } from '../../../lib/prng.ts'
import type { Entry, HardState, Index, SnapshotMeta, Term } from '../raft/types.ts'
import type { FileSystem } from './file-system.ts'
import { type LogTail, recoverLog, type Repair, type SegmentStart } from './recover.ts'
import { type LogRecord, RecordEncoder } from './record.ts'
import { type LogIdentity, segmentName } from './segment.ts'
import { SegmentWriter, type SegmentWriterOptions } from './segment-writer.ts'

export type { LogRecord } from './record.ts'
export type { Repair } from './recover.ts'
export type { LogIdentity } from './segment.ts'

export const SEGMENT_BYTES_DEFAULT = 64 * 1024 * 1024
export const SEGMENT_BYTES_MIN = 16 * 1024
export const SEGMENT_BYTES_MAX = 1024 * 1024 * 1024
/** Released segments kept to be used again. */
const SPARES_MAX = 2
/** A mark follows the last flush after one to two of these, in milliseconds. */
const IDLE_MS = 100

export interface WalOptions {
  readonly fs: FileSystem
  /** Absolute; made if it is not there. Nobody else puts files into it. */
  readonly directory: string
  readonly identity: LogIdentity
  /** The newest durable snapshot; undefined before the first. The log is read from behind it. */
  readonly after: SnapshotMeta | undefined
  /** Set when there must be a log: its absence is WAL_CORRUPT instead of a fresh start. */
  readonly mustExist?: boolean
  readonly segmentBytes?: number
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  /**
   * Receives what the log holds behind `after`, in order. A batch with a snapshot (always `after`) empties the consumer's
   * log down to it; the first entry of a batch is at most one beyond the consumer's last and cuts its log there. Entry
   * data are views that the next batch overwrites: whoever keeps one copies it. The next batch waits for a returned promise.
   */
  readonly onBatch: (batch: LogRecord) => void | Promise<void>
  /** After each synced save: how long the write with its flush took, and its size. */
  readonly onFlush?: (durationMs: number, bytes: number) => void
  /** Work beside the saves failed (room ahead, a mark): the log takes nothing more. At most once. */
  readonly onFailure?: (error: unknown) => void
}

export interface OpenedWal {
  readonly wal: Wal
  /** Undefined in a log that never stored one. */
  readonly hardState: HardState | undefined
  readonly lastIndex: Index
  /** What a crash had cut short and opening removed. */
  readonly repaired: Repair | undefined
}

export interface SaveBatch {
  readonly entries: readonly Entry[]
  readonly hardState: HardState | undefined
  /** The log starts over behind it; its file is durable already. */
  readonly snapshot?: SnapshotMeta | undefined
  /** False only for a new commit index: it becomes durable with the next synced save, or when the log is idle. */
  readonly sync: boolean
}

/** Not who read the log at the start, and with it all that was read. */
type KeptOptions = Omit<WalOptions, 'onBatch'>

export class Wal {
  readonly #options: KeptOptions
  readonly #writerOptions: SegmentWriterOptions
  /** All segments on disk, oldest first; the last one is the writer's. */
  readonly #segments: SegmentStart[]
  /** Names of released files. Invariant: at most SPARES_MAX. */
  readonly #spares: string[]
  readonly #encoder = new RecordEncoder()
  #isAppending = false
  #writer: SegmentWriter
  #lastIndex: Index
  #lastTerm: Term
  #hardState: HardState | undefined
  /** Whether `#hardState` is newer than what the records hold. */
  #isUnwritten = false
  #isSaving = false
  /** Counts saves, to find out whether one came while the idle timer ran. */
  #saveCount = 0
  #idleTimer: TimerHandle | undefined
  #settling: Promise<void> | undefined
  #releasing: Promise<void> = Promise.resolve()
  #failure: { readonly cause: unknown } | undefined
  #isClosed = false

  /**
   * Reads the log and makes it ready for saves. Rejects with WAL_CORRUPT (details: file, offset; nothing was changed),
   * DATA_DIR_FOREIGN, DATA_DIR_UNUSABLE (written by a newer version), DISK_FAILED or NO_SPACE.
   */
  static async open(options: WalOptions): Promise<OpenedWal> {
    const segmentBytes = options.segmentBytes ?? SEGMENT_BYTES_DEFAULT
    const inRange = segmentBytes >= SEGMENT_BYTES_MIN && segmentBytes <= SEGMENT_BYTES_MAX
    invariant(inRange, 'segment size out of range', { segmentBytes })
    let wal: Wal | undefined
    let early: { readonly cause: unknown } | undefined
    const writerOptions = {
      fs: options.fs,
      directory: options.directory,
      segmentBytes,
      onFailure: (error: unknown) => {
        if (wal === undefined) early = { cause: error }
        else wal.#failBeside(error)
      },
    }
    const { onBatch, ...kept } = options
    const tail = await recoverLog({ ...kept, onBatch }, writerOptions, SPARES_MAX)
    wal = new Wal(kept, writerOptions, tail)
    try {
      if (early !== undefined) throw early.cause
      if (tail.mustRestart) await wal.#restart()
    } catch (error) {
      await tail.writer.close()
      throw error
    }
    wal.#armIdle()
    const { repaired } = tail
    return { wal, hardState: wal.#hardState, lastIndex: wal.#lastIndex, repaired }
  }

  private constructor(options: KeptOptions, writerOptions: SegmentWriterOptions, tail: LogTail) {
    this.#options = options
    this.#writerOptions = writerOptions
    this.#segments = [...tail.segments]
    this.#spares = [...tail.spares]
    this.#writer = tail.writer
    this.#lastIndex = tail.lastIndex
    this.#lastTerm = tail.lastTerm
    this.#hardState = tail.hardState
  }

  /** Whether an earlier failure made the log refuse everything. */
  get isFailed(): boolean {
    return this.#failure !== undefined
  }

  /**
   * Stores a batch; durable when it resolves, if `sync`. One at a time. Rejects with NO_SPACE and `isFailed` false if there
   * was no room for it: nothing was written and the same batch may be saved again. Any other rejection is for good: what
   * became of the batch is unknown, and nothing is tried again.
   */
  async save(batch: SaveBatch): Promise<void> {
    invariant(!this.#isSaving, 'a save is under way already')
    this.#mustBeUsable()
    this.#isSaving = true
    this.#saveCount++
    try {
      if (this.#needsFlush(batch)) await this.#store(batch)
      else this.#defer(batch.hardState)
    } finally {
      this.#isSaving = false
      this.#armIdle()
    }
  }

  /** Removes or keeps for reuse the segments whose entries are all at or below `index`, which a durable snapshot covers. */
  release(index: Index): Promise<void> {
    const released = this.#releasing.then(() => this.#release(index))
    // The caller has the failure; whoever waits for earlier releases to end does not want it again.
    this.#releasing = released.catch(() => undefined)
    return released
  }

  /** Stores what was deferred, marks the end and closes the file. After a failure it only closes. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    invariant(!this.#isSaving, 'closed during a save')
    this.#isClosed = true
    this.#idleTimer?.cancel()
    await this.#settling
    await this.#releasing
    try {
      if (this.#failure === undefined) await this.#settle()
    } finally {
      await this.#writer.close()
    }
  }

  // Saving

  #needsFlush({ entries, hardState, snapshot, sync }: SaveBatch): boolean {
    if (sync || entries.length > 0 || snapshot !== undefined) return true
    if (hardState === undefined) return false
    return hardState.term !== this.#hardState?.term || hardState.vote !== this.#hardState.vote
  }

  #defer(hardState: HardState | undefined): void {
    if (hardState === undefined) return
    this.#hardState = hardState
    this.#isUnwritten = true
  }

  async #store(batch: SaveBatch): Promise<void> {
    const { entries, snapshot } = batch
    const hardState = batch.hardState ?? (this.#isUnwritten ? this.#hardState : undefined)
    this.#checkContinuity(entries, snapshot)
    if (this.#settling !== undefined) await this.#settling
    this.#mustBeUsable()
    await this.#append({ entries, hardState, snapshot })
    const last = entries.at(-1) ?? snapshot
    if (last !== undefined) {
      this.#lastIndex = last.index
      this.#lastTerm = last.term
    }
    if (hardState !== undefined) {
      this.#hardState = hardState
      this.#isUnwritten = false
    }
  }

  async #append(record: LogRecord): Promise<void> {
    // The record lies in memory that the next one is encoded into.
    invariant(!this.#isAppending, 'two records are written at once')
    this.#isAppending = true
    try {
      await this.#write(this.#encoder.encode(record))
    } finally {
      this.#isAppending = false
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    const { clock, onFlush } = this.#options
    try {
      if (!this.#writer.fits(bytes.length)) await this.#cut()
      // failpoint: await walReserve
      await this.#writer.reserve(bytes.length)
    } catch (error) {
      if (!hasCode(error, 'NO_SPACE')) this.#fail(error)
      throw error
    }
    try {
      const startMs = clock.monotonicMs()
      // failpoint: await walBeforeWrite
      await this.#writer.append(bytes)
      // failpoint: await walAfterFlush
      // A failure beside this write may have been about its bytes, where a flush is one of the whole file.
      this.#throwIfFailed()
      onFlush?.(clock.monotonicMs() - startMs, bytes.length)
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  /** Goes on in a new segment, which is durable before the old one is sealed and before anything is written to it. */
  async #cut(): Promise<void> {
    const full = this.#writer
    const spare = this.#spares.pop()
    const header = {
      ...this.#options.identity,
      sequence: full.header.sequence + 1,
      salt: this.#options.prng.next(2 ** 32),
      recycled: spare !== undefined,
      lastIndex: this.#lastIndex,
      lastTerm: this.#lastTerm,
      hardState: this.#hardState,
      previousEnd: full.tail,
    }
    this.#writer = await SegmentWriter.create(this.#writerOptions, header, spare)
    this.#segments.push({ sequence: header.sequence, lastIndex: header.lastIndex })
    try {
      await full.mark({ sealed: true })
      // failpoint: await segmentSealed
      await full.close()
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  #checkContinuity(entries: readonly Entry[], snapshot: SnapshotMeta | undefined): void {
    let next = (snapshot?.index ?? this.#lastIndex) + 1
    const first = entries[0]
    if (first === undefined) return
    invariant(first.index <= next, 'entries leave a gap', { first: first.index, next })
    next = first.index
    for (const entry of entries) {
      invariant(entry.index === next, 'entries are not consecutive', { index: entry.index, next })
      next++
    }
  }

  /** The log does not contain the snapshot it is to follow: it goes on from the snapshot. */
  async #restart(): Promise<void> {
    const snapshot = this.#options.after
    invariant(snapshot !== undefined, 'log restarts without a snapshot')
    await this.save({ snapshot, entries: [], hardState: this.#hardState, sync: true })
  }

  // Idle

  #armIdle(): void {
    const settled = this.#writer.isMarked && !this.#isUnwritten
    if (this.#idleTimer !== undefined || settled || this.#isClosed || this.isFailed) return
    const saveCount = this.#saveCount
    this.#idleTimer = this.#options.timers.after(IDLE_MS, () => {
      this.#idleTimer = undefined
      if (this.#isSaving || this.#saveCount !== saveCount) this.#armIdle()
      else this.#settleBeside()
    })
  }

  #settleBeside(): void {
    if (this.#failure !== undefined || this.#isClosed || this.#settling !== undefined) return
    this.#settling = this.#settle()
      .catch((error: unknown) => this.#failBeside(error))
      .finally(() => {
        this.#settling = undefined
      })
  }

  /** Nothing is under way: stores the deferred commit index, then how far the log is flushed. */
  async #settle(): Promise<void> {
    if (this.#isUnwritten) await this.#storeDeferred()
    if (this.#writer.isMarked) return
    try {
      await this.#writer.mark({ sealed: false })
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  async #storeDeferred(): Promise<void> {
    const hardState = this.#hardState
    try {
      await this.#append({ entries: [], snapshot: undefined, hardState })
      // A newer one may have been deferred meanwhile.
      this.#isUnwritten = this.#hardState !== hardState
    } catch (error) {
      // A commit index is only a help: without room for it, the next synced save carries it or meets the same.
      if (this.isFailed || !hasCode(error, 'NO_SPACE')) throw error
    }
  }

  // Release

  async #release(index: Index): Promise<void> {
    const { fs, directory } = this.#options
    while (this.#segments.length > 1 && this.#segments[1]!.lastIndex <= index) {
      if (this.#isClosed) return
      this.#throwIfFailed()
      const name = segmentName(this.#segments[0]!.sequence)
      const spare = this.#spares.length < SPARES_MAX ? `${name}.spare` : undefined
      try {
        if (spare === undefined) await fs.unlink(join(directory, name))
        else await fs.rename(join(directory, name), join(directory, spare))
        // One flush each: a later segment must not be gone while an earlier one is back.
        await fs.flushDirectory(directory)
        // failpoint: await segmentReleased
      } catch (error) {
        this.#fail(error)
        throw error
      }
      this.#segments.shift()
      if (spare !== undefined) this.#spares.push(spare)
    }
  }

  // Failure

  #mustBeUsable(): void {
    invariant(!this.#isClosed, 'log is closed')
    this.#throwIfFailed()
  }

  #throwIfFailed(): void {
    if (this.#failure === undefined) return
    throw new RaftbaseError('DISK_FAILED', 'log refuses everything after a failure', {
      details: { directory: this.#options.directory },
      cause: this.#failure.cause,
    })
  }

  #fail(error: unknown): void {
    this.#failure ??= { cause: error }
  }

  #failBeside(error: unknown): void {
    const reported = this.#failure?.cause
    this.#fail(error)
    if (reported === undefined || reported === error) this.#options.onFailure?.(error)
  }
}
