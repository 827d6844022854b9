// One slab: a block of memory off the JS heap that holds records, one per change of a key, in revision order. A record
// is written once; its key and value never change or move within the slab, so views into it stay valid for ever. Which
// slabs exist and what they mean belongs to record-log.ts.
//
// A record is a run of 32-bit little-endian words. Example, the first put of key "abcde" with value "v" at revision 7:
//
//   word 0     flags << 24 | key length (5)          5,6   main revision of the next version of the key, 0 while newest
//   word 1     value length (1)                      then  [created at, version: 4 words]  unless created here, version 1
//   word 2,3   main revision, low and high half            [lease: 2 words]                if attached to a lease
//   word 4     sub revision                                [previous, jump, depth: 5 words] if the key had a version before
//                                                    then  key and value bytes, zeros up to the next word

import { invariant } from '../../../lib/assert.ts'

/** A deletion: no value, no lease, no creation. */
export const TOMBSTONE = 1 << 24
/** Carries creation revision and version. */
export const REWRITTEN = 1 << 25
/** Carries a lease. */
export const LEASED = 1 << 26
/** Carries references to older versions of its key. */
export const CHAINED = 1 << 27
export const KEY_BYTES_MASK = (1 << 24) - 1
/** Bytes of a value: far above what a request may carry. */
export const VALUE_BYTES_MAX = 2 ** 26
/** Words of the part of the header that every record has. */
export const FIXED_WORDS = 7
const SUPERSEDED_WORD = 5
const HIGH = 2 ** 32

/** Records a slab holds at most: bounds the work of rewriting one. */
export const SLAB_RECORDS_MAX = 8192
/** Words of a slab, except for one that holds a single larger record. */
export const SLAB_WORDS_MAX = 2 ** 18

/** A lease as two 32-bit halves; both zero is none. */
export interface LeaseHalves {
  readonly high: number
  readonly low: number
}

export interface NewRecord {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly main: number
  readonly sub: number
  /** 0 for a deletion. */
  readonly createRevision: number
  /** 0 for a deletion. */
  readonly version: number
  readonly leaseHigh: number
  readonly leaseLow: number
  /** Sequence numbers of older versions, -1 without one; and how many older versions there have been. */
  readonly previous: number
  readonly jump: number
  readonly depth: number
}

function bytesToWords(bytes: number): number {
  return (bytes + 3) >>> 2
}

/** Words between the fixed header and the key. */
function optionalWords(flags: number): number {
  return (
    ((flags & REWRITTEN) === 0 ? 0 : 4) +
    ((flags & LEASED) === 0 ? 0 : 2) +
    ((flags & CHAINED) === 0 ? 0 : 5)
  )
}

export function flagsOf(record: NewRecord): number {
  if (record.version === 0) return TOMBSTONE | (record.previous < 0 ? 0 : CHAINED)
  return (
    (record.version === 1 && record.createRevision === record.main ? 0 : REWRITTEN) |
    (record.leaseHigh === 0 && record.leaseLow === 0 ? 0 : LEASED) |
    (record.previous < 0 ? 0 : CHAINED)
  )
}

export function wordsOf(record: NewRecord, flags: number): number {
  return FIXED_WORDS + optionalWords(flags) + bytesToWords(record.key.length + record.value.length)
}

export class Slab {
  bytes: Uint8Array
  words: Uint32Array
  /** Sequence number of the first record; the others follow without gap unless `sequences` says otherwise. */
  readonly firstSequence: number
  count = 0
  usedWords = 0
  /** Records that are deletions or have a newer version: nothing to compact while it is zero. */
  obsoleteCount = 0
  firstMain = 0
  lastMain = 0
  #offsets: Uint32Array
  /** Sequence number of each record, once records have been taken out. */
  readonly #sequences: Float64Array | undefined

  constructor(options: { words: number; firstSequence: number; sparseRecords?: number }) {
    const buffer = new ArrayBuffer(options.words * 4)
    this.bytes = new Uint8Array(buffer)
    this.words = new Uint32Array(buffer)
    this.firstSequence = options.firstSequence
    const sparse = options.sparseRecords
    this.#offsets = new Uint32Array(sparse ?? 64)
    this.#sequences = sparse === undefined ? undefined : new Float64Array(sparse)
  }

  /** Bytes of memory behind this slab. */
  get allocatedBytes(): number {
    return this.bytes.length + this.#offsets.byteLength + (this.#sequences?.byteLength ?? 0)
  }

  hasRoomFor(words: number): boolean {
    return this.count < SLAB_RECORDS_MAX && this.usedWords + words <= this.words.length
  }

  /** Word offset of the record with this sequence number, or -1 if it is not here. */
  find(sequence: number): number {
    const sequences = this.#sequences
    if (sequences === undefined) {
      const at = sequence - this.firstSequence
      return at >= 0 && at < this.count ? this.#offsets[at]! : -1
    }
    let low = 0
    let high = this.count - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const found = sequences[middle]!
      if (found === sequence) return this.#offsets[middle]!
      if (found < sequence) low = middle + 1
      else high = middle - 1
    }
    return -1
  }

  /** Word offset of the record at this position, counted from 0. */
  offsetAt(index: number): number {
    return this.#offsets[index]!
  }

  sequenceAt(index: number): number {
    return this.#sequences === undefined ? this.firstSequence + index : this.#sequences[index]!
  }

  /** Position of the first record whose main revision is at least `main`; `count` if there is none. */
  positionOfMain(main: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.main(this.#offsets[middle]!) < main) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Writes `record` at the end; the caller has checked that there is room. */
  append(record: NewRecord, flags: number, words: number): void {
    const at = this.#claim(words)
    const target = this.words
    const { key, value } = record
    target[at] = flags | key.length
    target[at + 1] = value.length
    this.#writeLong(at + 2, record.main)
    target[at + 4] = record.sub
    let next = at + FIXED_WORDS
    if ((flags & REWRITTEN) !== 0) {
      this.#writeLong(next, record.createRevision)
      this.#writeLong(next + 2, record.version)
      next += 4
    }
    if ((flags & LEASED) !== 0) {
      target[next] = record.leaseHigh
      target[next + 1] = record.leaseLow
      next += 2
    }
    if ((flags & CHAINED) !== 0) {
      this.#writeLong(next, record.previous)
      this.#writeLong(next + 2, record.jump)
      target[next + 4] = record.depth
      next += 5
    }
    const start = next * 4
    copyInto(this.bytes, start, key)
    copyInto(this.bytes, start + key.length, value)
    if ((flags & TOMBSTONE) !== 0) this.obsoleteCount++
    this.#noteMain(record.main)
  }

  /** Copies the record at word `from` of `source`, keeping its sequence number. Only into a slab made sparse. */
  adopt(source: Slab, from: number, sequence: number): void {
    invariant(this.#sequences !== undefined, 'record adopted by a dense slab')
    const words = source.sizeWords(from)
    const index = this.count
    const at = this.#claim(words)
    this.words.set(source.words.subarray(from, from + words), at)
    this.#sequences[index] = sequence
    if (source.isObsolete(from)) this.obsoleteCount++
    this.#noteMain(source.main(from))
  }

  /** No more records: gives back unused memory where that is worth a copy. */
  seal(): void {
    this.#offsets = this.#offsets.slice(0, this.count)
    if (this.usedWords * 4 >= this.words.length * 3) return
    this.words = this.words.slice(0, this.usedWords)
    this.bytes = new Uint8Array(this.words.buffer)
  }

  main(at: number): number {
    return this.words[at + 2]! + this.words[at + 3]! * HIGH
  }

  sub(at: number): number {
    return this.words[at + 4]!
  }

  isTombstone(at: number): boolean {
    return (this.words[at]! & TOMBSTONE) !== 0
  }

  /** Main revision of the next version of the same key; Infinity for the newest. */
  supersededBy(at: number): number {
    const main = this.words[at + SUPERSEDED_WORD]! + this.words[at + SUPERSEDED_WORD + 1]! * HIGH
    return main === 0 ? Infinity : main
  }

  /** The one thing about a record that changes: it stops being the newest version of its key. */
  supersede(at: number, main: number): void {
    if (!this.isTombstone(at)) this.obsoleteCount++
    this.#writeLong(at + SUPERSEDED_WORD, main)
  }

  isObsolete(at: number): boolean {
    return this.isTombstone(at) || this.supersededBy(at) !== Infinity
  }

  keyLength(at: number): number {
    return this.words[at]! & KEY_BYTES_MASK
  }

  valueLength(at: number): number {
    return this.words[at + 1]!
  }

  createRevision(at: number): number {
    const flags = this.words[at]!
    if ((flags & TOMBSTONE) !== 0) return 0
    return (flags & REWRITTEN) === 0 ? this.main(at) : this.#readLong(at + FIXED_WORDS)
  }

  version(at: number): number {
    const flags = this.words[at]!
    if ((flags & TOMBSTONE) !== 0) return 0
    return (flags & REWRITTEN) === 0 ? 1 : this.#readLong(at + FIXED_WORDS + 2)
  }

  leaseHigh(at: number): number {
    const word = this.#leaseWord(at)
    return word < 0 ? 0 : this.words[word]!
  }

  leaseLow(at: number): number {
    const word = this.#leaseWord(at)
    return word < 0 ? 0 : this.words[word + 1]!
  }

  /** Sequence number of the version before, -1 without one. It may have been compacted away. */
  previous(at: number): number {
    const word = this.#chainWord(at)
    return word < 0 ? -1 : this.#readLong(word)
  }

  /** Sequence number of some older version, further back the older; see record-log.ts. -1 without one. */
  jump(at: number): number {
    const word = this.#chainWord(at)
    return word < 0 ? -1 : this.#readLong(word + 2)
  }

  depth(at: number): number {
    const word = this.#chainWord(at)
    return word < 0 ? 0 : this.words[word + 4]!
  }

  /** Byte offset of the key. The value follows it. */
  keyStart(at: number): number {
    return this.dataWord(at) * 4
  }

  /** Word offset of the key. */
  dataWord(at: number): number {
    return at + FIXED_WORDS + optionalWords(this.words[at]!)
  }

  key(at: number): Uint8Array {
    const start = this.keyStart(at)
    return this.bytes.subarray(start, start + this.keyLength(at))
  }

  value(at: number): Uint8Array {
    const start = this.keyStart(at) + this.keyLength(at)
    return this.bytes.subarray(start, start + this.valueLength(at))
  }

  dataWords(at: number): number {
    return bytesToWords(this.keyLength(at) + this.valueLength(at))
  }

  sizeWords(at: number): number {
    return this.dataWord(at) - at + this.dataWords(at)
  }

  #leaseWord(at: number): number {
    const flags = this.words[at]!
    if ((flags & LEASED) === 0) return -1
    return at + FIXED_WORDS + ((flags & REWRITTEN) === 0 ? 0 : 4)
  }

  #chainWord(at: number): number {
    const flags = this.words[at]!
    if ((flags & CHAINED) === 0) return -1
    return at + FIXED_WORDS + optionalWords(flags & ~CHAINED)
  }

  #claim(words: number): number {
    const at = this.usedWords
    invariant(at + words <= this.words.length, 'record past the end of its slab', { at, words })
    if (this.count === this.#offsets.length) {
      const grown = new Uint32Array(this.count * 2)
      grown.set(this.#offsets)
      this.#offsets = grown
    }
    this.#offsets[this.count] = at
    this.count++
    this.usedWords += words
    return at
  }

  #noteMain(main: number): void {
    if (this.count === 1) this.firstMain = main
    this.lastMain = main
  }

  #readLong(at: number): number {
    return this.words[at]! + this.words[at + 1]! * HIGH
  }

  #writeLong(at: number, value: number): void {
    this.words[at] = value % HIGH
    this.words[at + 1] = value / HIGH
  }
}

/** Below this a loop beats the call into the runtime (measured: 24 to 40 bytes). */
const LOOP_BYTES_MAX = 24

function copyInto(target: Uint8Array, at: number, source: Uint8Array): void {
  if (source.length > LOOP_BYTES_MAX) {
    target.set(source, at)
    return
  }
  for (let i = 0; i < source.length; i++) target[at + i] = source[i]!
}
