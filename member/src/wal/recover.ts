// What opening a log does before the first save: finds the segments, checks that they belong together and to this member,
// replays them, judges and repairs the end of the last one, and makes durable what a killed process may have left in the
// system's memory only. Nothing is changed before everything that can be wrong has been looked at.

import { Buffer } from 'node:buffer'
import { join } from 'node:path'
import type { Prng } from '../../../lib/prng.ts'
import type { HardState, Index, SnapshotMeta, Term } from '../raft/types.ts'
import type { FileHandle, FileSystem } from './file-system.ts'
import { removeIfPresent } from './files.ts'
import type { LogRecord } from './record.ts'
import { eraseTail, inspectTail, writeAgain } from './repair.ts'
import { replaySegment } from './replay.ts'
import {
  decodeSegmentHeader,
  type LogIdentity,
  PAGE_BYTES,
  parseSegmentName,
  readMark,
  segmentName,
  type SegmentHeader,
  walCorrupt,
} from './segment.ts'
import { SegmentWriter, type SegmentWriterOptions } from './segment-writer.ts'
import { type BatchConsumer, LogView } from './log-view.ts'

export interface RecoverOptions {
  readonly fs: FileSystem
  readonly directory: string
  readonly identity: LogIdentity
  readonly after: SnapshotMeta | undefined
  readonly mustExist?: boolean
  readonly prng: Prng
  readonly onBatch: BatchConsumer
}

/** A torn write that was removed. */
export interface Repair {
  readonly file: string
  readonly offset: number
  readonly bytes: number
}

export interface SegmentStart {
  readonly sequence: number
  /** Of the log when the segment was begun. */
  readonly lastIndex: Index
}

/** A log that has been read to its end. */
export interface LogTail {
  readonly writer: SegmentWriter
  readonly segments: readonly SegmentStart[]
  readonly spares: readonly string[]
  readonly hardState: HardState | undefined
  readonly lastIndex: Index
  readonly lastTerm: Term
  readonly repaired: Repair | undefined
  /** The log does not contain the snapshot: it must start over behind it. */
  readonly mustRestart: boolean
}

export async function recoverLog(
  options: RecoverOptions,
  writerOptions: SegmentWriterOptions,
  sparesMax: number,
): Promise<LogTail> {
  const { fs, directory } = options
  await fs.makeDirectory(directory)
  const names = await fs.readDirectory(directory)
  const sequences = names.map(parseSegmentName).filter((sequence) => sequence !== undefined)
  const headers = await readHeaders(options, sequences)
  // Spares are what is left of segments that others followed.
  const hasSpares = names.some((name) => name.endsWith('.spare'))
  if (headers.length === 0 && (options.mustExist === true || hasSpares)) {
    throw walCorrupt('log is missing', { file: join(directory, segmentName(1)), offset: 0 })
  }
  const log =
    headers.length === 0
      ? await createLog(options, writerOptions)
      : await readLog(options, writerOptions, headers)
  try {
    return { ...log, spares: await cleanUp({ fs, directory, names, sparesMax }) }
  } catch (error) {
    await log.writer.close()
    throw error
  }
}

/** The headers of all segments, oldest first. Throws unless they follow one another without a gap. */
async function readHeaders(
  options: RecoverOptions,
  sequences: readonly number[],
): Promise<SegmentHeader[]> {
  const { fs, directory, identity } = options
  const headers: SegmentHeader[] = []
  for (const sequence of sequences) {
    const before = headers.at(-1)
    if (before !== undefined && before.sequence + 1 !== sequence) {
      const missing = segmentName(before.sequence + 1)
      throw walCorrupt('segment is missing', { file: join(directory, missing), offset: 0 })
    }
    const path = join(directory, segmentName(sequence))
    const file = await fs.open(path, 'read')
    try {
      const page = Buffer.alloc(PAGE_BYTES)
      await file.read(page, 0)
      headers.push(decodeSegmentHeader(page, { file: path, sequence, identity }))
    } finally {
      await file.close()
    }
  }
  return headers
}

async function createLog(
  options: RecoverOptions,
  writerOptions: SegmentWriterOptions,
): Promise<Omit<LogTail, 'spares'>> {
  const { fs, directory, identity, after, prng } = options
  const lastIndex = after?.index ?? 0
  const lastTerm = after?.term ?? 0
  const sequence = 1
  await removeIfPresent(fs, join(directory, `${segmentName(sequence)}.tmp`))
  const header: SegmentHeader = {
    ...identity,
    sequence,
    salt: prng.next(2 ** 32),
    recycled: false,
    lastIndex,
    lastTerm,
    hardState: undefined,
    previousEnd: 0,
  }
  const writer = await SegmentWriter.create(writerOptions, header, undefined)
  return {
    writer,
    segments: [{ sequence, lastIndex }],
    hardState: undefined,
    lastIndex,
    lastTerm,
    repaired: undefined,
    mustRestart: false,
  }
}

async function readLog(
  options: RecoverOptions,
  writerOptions: SegmentWriterOptions,
  headers: readonly SegmentHeader[],
): Promise<Omit<LogTail, 'spares'>> {
  const { fs, directory, after, onBatch } = options
  const first = firstNeeded(headers, after?.index ?? 0)
  const view = new LogView({ start: headers[first]!, after, onBatch })
  mustReachBack(options, headers[first]!)
  for (let i = first; i < headers.length - 1; i++) {
    await readSealed(options, { header: headers[i]!, end: headers[i + 1]!.previousEnd, view })
  }
  const header = headers.at(-1)!
  const path = join(directory, segmentName(header.sequence))
  const file = await fs.open(path, 'readWrite')
  try {
    const last = await readLast(options, { header, file, view })
    const { tail, flushedThrough, size, mark, tornBytes } = last
    const mustRestart = await view.finish()
    await eraseTail(file, tail, tornBytes)
    // What an earlier process wrote may be in the system's memory only; from here on it counts as stored.
    if (flushedThrough < tail) await writeAgain(file, flushedThrough, tail)
    else await file.flush()
    await fs.flushDirectory(directory)
    return {
      writer: new SegmentWriter(writerOptions, { file, header, tail, room: size, mark }),
      segments: headers.map(({ sequence, lastIndex }) => ({ sequence, lastIndex })),
      hardState: view.hardState,
      lastIndex: view.lastIndex,
      lastTerm: view.lastTerm,
      repaired: tornBytes === 0 ? undefined : { file: path, offset: tail, bytes: tornBytes },
      mustRestart,
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** The newest segment that was begun when the log ended at or before `index`: none before it is needed. */
function firstNeeded(headers: readonly SegmentHeader[], index: Index): number {
  let first = 0
  while (first + 1 < headers.length && headers[first + 1]!.lastIndex <= index) first++
  return first
}

function mustReachBack({ directory, after }: RecoverOptions, oldest: SegmentHeader): void {
  const needed = (after?.index ?? 0) + 1
  if (oldest.lastIndex < needed) return
  throw walCorrupt('log starts behind the newest snapshot', {
    file: join(directory, segmentName(oldest.sequence)),
    offset: 0,
    firstIndex: oldest.lastIndex + 1,
    neededIndex: needed,
  })
}

interface SegmentToRead {
  readonly header: SegmentHeader
  readonly view: LogView
}

/** A segment that others follow was flushed to its end before the next one began: whatever is wrong in it is damage. */
async function readSealed(
  { fs, directory }: RecoverOptions,
  { header, end, view }: SegmentToRead & { readonly end: number },
): Promise<void> {
  const path = join(directory, segmentName(header.sequence))
  const file = await fs.open(path, 'read')
  try {
    const read = await replaySegment({ file, header, end, onRecord: recordTaker(view, file) })
    if (read.end === end) return
    const details = { file: path, offset: read.end, flushedThrough: end }
    throw walCorrupt('record does not validate though it was flushed', details)
  } finally {
    await file.close()
  }
}

async function readLast(
  { directory }: RecoverOptions,
  { header, file, view }: SegmentToRead & { readonly file: FileHandle },
) {
  const size = await file.size()
  const mark = await readMark(file, header)
  const onRecord = recordTaker(view, file)
  const read = await replaySegment({ file, header, end: size, onRecord })
  const tail = read.end
  const flushedThrough = Math.max(read.flushedThrough, mark.flushed)
  const tornBytes = await inspectTail({ file, header, mark, offset: tail, size })
  if (mark.sealed) {
    const missing = join(directory, segmentName(header.sequence + 1))
    throw walCorrupt('segment is missing', { file: missing, offset: 0 })
  }
  return { tail, flushedThrough, size, mark, tornBytes }
}

function recordTaker(view: LogView, file: FileHandle) {
  return (record: LogRecord, offset: number) => view.take(record, { file: file.path, offset })
}

/** Removes what an unfinished creation left, and spares beyond those that are kept. */
async function cleanUp(options: {
  readonly fs: FileSystem
  readonly directory: string
  readonly names: readonly string[]
  readonly sparesMax: number
}): Promise<string[]> {
  const { fs, directory, names, sparesMax } = options
  const spares = names.filter((name) => name.endsWith('.spare'))
  const superfluous = [
    ...spares.splice(sparesMax),
    ...names.filter((name) => name.endsWith('.tmp')),
  ]
  for (const name of superfluous) await removeIfPresent(fs, join(directory, name))
  return spares
}
