// What a segment file holds besides records: three pages in front of them. Page 0 identifies the segment and says how the
// log stood when it was begun; it is flushed before the file gets its name and never changes afterwards. Pages 1 and 2
// hold one mark each, written in turn, on pages of their own so that a torn mark harms neither its twin nor page 0.
// docs/storage.md has the byte tables.

import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { HardState, Index, MemberId, Term } from '../raft/types.ts'
import type { FileHandle } from './file-system.ts'

export const PAGE_BYTES = 4096
/** Offset of the first record. */
export const RECORDS_AT = 3 * PAGE_BYTES

/** What room is made of, and what an unused tail is compared with. Never written to. */
export const ZEROS: Buffer = Buffer.alloc(1024 * 1024)

export const SEGMENT_FORMAT_VERSION = 1
const SEGMENT_MAGIC = 0x4c41_5774_6672_6252n
const MARK_MAGIC = 0x4b52_414d
const CHECKSUM_AT = PAGE_BYTES - 4
const MARK_BYTES = 32

const HAS_HARD_STATE = 1
const HAS_VOTE = 2
const IS_RECYCLED = 4

export interface LogIdentity {
  readonly clusterId: string
  readonly memberId: MemberId
}

export interface SegmentHeader extends LogIdentity {
  /** 1, 2, 3, …; never used twice. */
  readonly sequence: number
  /** Random, so that nobody outside can make up bytes that validate as a record. */
  readonly salt: number
  /** Whether the file held another segment before: then what lies behind the last record means nothing. */
  readonly recycled: boolean
  /** How the log ended when the segment was begun. */
  readonly lastIndex: Index
  readonly lastTerm: Term
  readonly hardState: HardState | undefined
  /** Where the records of the segment before end, all of them flushed; 0 for the first. */
  readonly previousEnd: number
}

/** Everything before `flushed` was flushed. Kept apart from the records it speaks of. */
export interface Mark {
  /** 1, 2, 3, …: the newer one counts; it goes to page 1 + number % 2. */
  readonly number: number
  readonly flushed: number
  /** The log went on in the next segment, whose file was durable by then. */
  readonly sealed: boolean
}

export function segmentName(sequence: number): string {
  return `${sequence.toString(16).padStart(16, '0')}.wal`
}

/** The sequence number, or undefined when it is not the name of a segment. */
export function parseSegmentName(name: string): number | undefined {
  if (!/^[0-9a-f]{16}\.wal$/.test(name)) return undefined
  const sequence = Number.parseInt(name.slice(0, 16), 16)
  return Number.isSafeInteger(sequence) && sequence > 0 ? sequence : undefined
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const page = Buffer.alloc(PAGE_BYTES)
  const { hardState } = header
  page.writeBigUInt64LE(SEGMENT_MAGIC, 0)
  page.writeUInt32LE(SEGMENT_FORMAT_VERSION, 8)
  const flags =
    (hardState === undefined ? 0 : HAS_HARD_STATE) |
    (hardState?.vote === undefined ? 0 : HAS_VOTE) |
    (header.recycled ? IS_RECYCLED : 0)
  page.writeUInt32LE(flags, 12)
  page.writeBigUInt64LE(BigInt(header.sequence), 16)
  page.writeBigUInt64LE(BigInt(`0x${header.clusterId}`), 24)
  page.writeBigUInt64LE(BigInt(`0x${header.memberId}`), 32)
  page.writeUInt32LE(header.salt, 40)
  page.writeUInt32LE(header.previousEnd, 44)
  page.writeBigUInt64LE(BigInt(header.lastIndex), 48)
  page.writeBigUInt64LE(BigInt(header.lastTerm), 56)
  page.writeBigUInt64LE(BigInt(hardState?.term ?? 0), 64)
  page.writeBigUInt64LE(BigInt(hardState?.commit ?? 0), 72)
  page.writeBigUInt64LE(BigInt(`0x${hardState?.vote ?? '0'}`), 80)
  page.writeUInt32LE(crc32(page.subarray(0, CHECKSUM_AT)), CHECKSUM_AT)
  return page
}

export interface HeaderContext {
  readonly file: string
  readonly sequence: number
  readonly identity: LogIdentity
}

/** Throws WAL_CORRUPT, DATA_DIR_FOREIGN, or DATA_DIR_UNUSABLE for a format newer than this program. */
export function decodeSegmentHeader(page: Buffer, context: HeaderContext): SegmentHeader {
  const { file, sequence, identity } = context
  const valid = crc32(page.subarray(0, CHECKSUM_AT)) === page.readUInt32LE(CHECKSUM_AT)
  if (!valid || page.readBigUInt64LE(0) !== SEGMENT_MAGIC) {
    throw walCorrupt('segment header does not validate', { file, offset: 0 })
  }
  const version = page.readUInt32LE(8)
  if (version > SEGMENT_FORMAT_VERSION) {
    throw new RaftbaseError('DATA_DIR_UNUSABLE', 'log was written by a newer version', {
      details: { file, formatVersion: version, formatVersionMax: SEGMENT_FORMAT_VERSION },
    })
  }
  const flags = page.readUInt32LE(12)
  const header: SegmentHeader = {
    sequence: Number(page.readBigUInt64LE(16)),
    clusterId: hexAt(page, 24),
    memberId: hexAt(page, 32) as MemberId,
    salt: page.readUInt32LE(40),
    recycled: (flags & IS_RECYCLED) !== 0,
    previousEnd: page.readUInt32LE(44),
    lastIndex: Number(page.readBigUInt64LE(48)),
    lastTerm: Number(page.readBigUInt64LE(56)),
    hardState: (flags & HAS_HARD_STATE) === 0 ? undefined : readHardState(page, flags),
  }
  if (header.clusterId !== identity.clusterId || header.memberId !== identity.memberId) {
    const found = { clusterId: header.clusterId, memberId: header.memberId }
    throw new RaftbaseError('DATA_DIR_FOREIGN', 'log belongs to another cluster or member', {
      details: { file, expected: { ...identity }, found },
    })
  }
  if (header.sequence !== sequence) {
    const details = { file, offset: 16, expected: sequence, found: header.sequence }
    throw walCorrupt('segment has the name of another', details)
  }
  return header
}

function readHardState(page: Buffer, flags: number): HardState {
  return {
    term: Number(page.readBigUInt64LE(64)),
    commit: Number(page.readBigUInt64LE(72)),
    vote: (flags & HAS_VOTE) === 0 ? undefined : (hexAt(page, 80) as MemberId),
  }
}

function hexAt(page: Buffer, at: number): string {
  return page.readBigUInt64LE(at).toString(16).padStart(16, '0')
}

/** Where in its segment the mark goes. */
export function markOffset(mark: Mark): number {
  return (1 + (mark.number % 2)) * PAGE_BYTES
}

export function encodeMark(mark: Mark, header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(MARK_BYTES)
  bytes.writeUInt32LE(MARK_MAGIC, 0)
  bytes.writeUInt32LE(mark.sealed ? 1 : 0, 4)
  bytes.writeBigUInt64LE(BigInt(header.sequence), 8)
  bytes.writeUInt32LE(mark.number, 16)
  bytes.writeUInt32LE(mark.flushed, 20)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, MARK_BYTES - 4), header.salt), MARK_BYTES - 4)
  return bytes
}

/** The newest mark that validates; number 0, nothing flushed, when there is none. */
export async function readMark(file: FileHandle, header: SegmentHeader): Promise<Mark> {
  const pages = Buffer.alloc(2 * PAGE_BYTES)
  await file.read(pages, PAGE_BYTES)
  let newest: Mark = { number: 0, flushed: 0, sealed: false }
  for (const at of [0, PAGE_BYTES]) {
    const bytes = pages.subarray(at, at + MARK_BYTES)
    const checksum = crc32(bytes.subarray(0, MARK_BYTES - 4), header.salt)
    if (bytes.readUInt32LE(0) !== MARK_MAGIC) continue
    if (bytes.readUInt32LE(MARK_BYTES - 4) !== checksum) continue
    if (bytes.readBigUInt64LE(8) !== BigInt(header.sequence)) continue
    const mark: Mark = {
      number: bytes.readUInt32LE(16),
      flushed: bytes.readUInt32LE(20),
      sealed: bytes.readUInt32LE(4) === 1,
    }
    if (mark.number > newest.number) newest = mark
  }
  return newest
}

export function walCorrupt(
  message: string,
  details: Readonly<Record<string, unknown>>,
  cause?: unknown,
): RaftbaseError {
  return new RaftbaseError('WAL_CORRUPT', message, { details, cause })
}
