// Builds a store from the stream of a snapshot (format: snapshot.ts). The bytes come from a disk or another member: every
// length, order and hash is checked, and damage is an error, never a store.

import { RaftbaseError } from '../../../lib/errors.ts'
import { REMEMBERED_MAX, type Remembered } from './compaction.ts'
import { WordHash } from './hash.ts'
import { KEY_BYTES_MASK, LEASED, REWRITTEN, TOMBSTONE, VALUE_BYTES_MAX } from './slab.ts'
import { SNAPSHOT_END, SNAPSHOT_FILLER, SNAPSHOT_FORMAT, SNAPSHOT_MAGIC } from './snapshot.ts'
import { State } from './state.ts'
import { Store } from './store.ts'

const HIGH = 2 ** 32
const HEADER_WORDS = 6
/** Of a record in the stream: flags and key length, value length, main (long), sub. */
const RECORD_WORDS_MIN = 5
/** END, number of records, number of compactions. */
const TRAILER_WORDS_MIN = 4
const COMPACTION_WORDS = 5
const KNOWN_FLAGS = TOMBSTONE | REWRITTEN | LEASED

export class StoreRestorer {
  readonly #state = new State()
  readonly #hash = new WordHash()
  /** Bytes not yet understood: from `#start` to `#end`. */
  #buffer = new Uint8Array(0)
  /** Invariant: `#start` is a multiple of 4. */
  #words = new Uint32Array(this.#buffer.buffer)
  #start = 0
  #end = 0
  #offset = 0
  #stage: 'header' | 'records' | 'done' = 'header'
  #revision = 0
  #compactRevision = -1
  #count = 0
  #lastMain = 0
  #lastSub = -1
  #remembered: Remembered[] = []

  /** Takes the next bytes of the stream, cut anywhere; keeps no reference. Throws SNAPSHOT_CORRUPT. */
  addChunk(bytes: Uint8Array): void {
    this.#keep(bytes)
    while (this.#maybeReadItem());
  }

  /** The store, once all bytes have been added. Throws SNAPSHOT_CORRUPT if they are not a whole stream. */
  finish(): Store {
    this.#check(this.#stage === 'done', 'snapshot ends early')
    const state = this.#state
    state.revision = this.#revision
    state.compactRevision = this.#compactRevision
    return new Store({ state, remembered: this.#remembered })
  }

  /** Reads one header, record or trailer if all of it is here. */
  #maybeReadItem(): boolean {
    const available = Math.floor((this.#end - this.#start) / 4)
    if (this.#stage === 'done') {
      this.#check(this.#end === this.#start, 'bytes after the end of the snapshot')
      return false
    }
    if (this.#stage === 'header') return available >= HEADER_WORDS && this.#readHeader()
    if (available === 0) return false
    const first = this.#word(0)
    if (first === SNAPSHOT_FILLER) {
      this.#consume(1)
      return true
    }
    return first === SNAPSHOT_END
      ? this.#maybeReadTrailer(available)
      : this.#maybeReadRecord(available)
  }

  #readHeader(): boolean {
    this.#check(this.#word(0) === SNAPSHOT_MAGIC, 'not a snapshot')
    const format = this.#word(1)
    if (format > SNAPSHOT_FORMAT) {
      throw new RaftbaseError('SNAPSHOT_REFUSED', 'snapshot was written by a newer version', {
        details: { formatVersion: format, formatVersionMax: SNAPSHOT_FORMAT },
      })
    }
    this.#check(format === SNAPSHOT_FORMAT, 'unknown snapshot format')
    this.#revision = this.#long(2)
    this.#compactRevision = this.#long(4) - 1
    this.#check(this.#revision >= 1, 'snapshot revision out of range')
    this.#check(this.#compactRevision <= this.#revision, 'compact revision above the revision')
    this.#consume(HEADER_WORDS)
    this.#stage = 'records'
    return true
  }

  #maybeReadRecord(available: number): boolean {
    if (available < RECORD_WORDS_MIN) return false
    const flags = this.#word(0) & ~KEY_BYTES_MASK
    const keyLength = this.#word(0) & KEY_BYTES_MASK
    const valueLength = this.#word(1)
    this.#check((flags & ~KNOWN_FLAGS) === 0, 'unknown record flags')
    this.#check(keyLength > 0, 'record without a key')
    this.#check(valueLength <= VALUE_BYTES_MAX, 'record value too long')
    const optional = ((flags & REWRITTEN) === 0 ? 0 : 4) + ((flags & LEASED) === 0 ? 0 : 2)
    const data = RECORD_WORDS_MIN + optional
    const words = data + Math.ceil((keyLength + valueLength) / 4)
    if (available < words) return false
    this.#addRecord({ flags, data, keyLength, valueLength })
    this.#consume(words)
    return true
  }

  #addRecord(at: { flags: number; data: number; keyLength: number; valueLength: number }): void {
    const { flags, data, keyLength, valueLength } = at
    const main = this.#long(2)
    const sub = this.#word(4)
    const isTombstone = (flags & TOMBSTONE) !== 0
    const isRewritten = (flags & REWRITTEN) !== 0
    const isNext = main > this.#lastMain || (main === this.#lastMain && sub > this.#lastSub)
    this.#check(isNext, 'records out of order')
    this.#check(main > 1 && main <= this.#revision, 'record revision out of range')
    this.#check(!isTombstone || (flags === TOMBSTONE && valueLength === 0), 'deletion with a value')
    this.#lastMain = main
    this.#lastSub = sub
    this.#count++
    const start = this.#start + data * 4
    const lease = (flags & LEASED) === 0 ? -1 : data - 2
    const isConsistent = this.#state.adopt({
      main,
      sub,
      key: this.#buffer.subarray(start, start + keyLength),
      value: this.#buffer.subarray(start + keyLength, start + keyLength + valueLength),
      leaseHigh: lease < 0 ? 0 : this.#word(lease),
      leaseLow: lease < 0 ? 0 : this.#word(lease + 1),
      createRevision: isTombstone ? 0 : isRewritten ? this.#long(5) : main,
      version: isTombstone ? 0 : isRewritten ? this.#long(7) : 1,
    })
    this.#check(isConsistent, 'record does not follow from the one before')
  }

  #maybeReadTrailer(available: number): boolean {
    if (available < TRAILER_WORDS_MIN) return false
    const compactions = this.#word(3)
    this.#check(compactions <= REMEMBERED_MAX, 'too many compactions remembered')
    const words = TRAILER_WORDS_MIN + compactions * COMPACTION_WORDS
    if (available < words + 1) return false
    this.#check(this.#long(1) === this.#count, 'number of records differs')
    for (let i = 0; i < compactions; i++) {
      const at = TRAILER_WORDS_MIN + i * COMPACTION_WORDS
      this.#remembered.push({
        revision: this.#long(at),
        previousCompactRevision: this.#long(at + 2) - 1,
        hash: this.#word(at + 4),
      })
    }
    this.#consume(words)
    this.#check(this.#word(0) === this.#hash.value, 'snapshot hash differs')
    this.#consume(1)
    this.#stage = 'done'
    return true
  }

  #word(index: number): number {
    return this.#words[this.#start / 4 + index]!
  }

  #long(index: number): number {
    const value = this.#word(index) + this.#word(index + 1) * HIGH
    this.#check(Number.isSafeInteger(value), 'number out of range')
    return value
  }

  /** Moves past words that have been understood, and hashes them. */
  #consume(words: number): void {
    const first = this.#start / 4
    this.#hash.addAll(this.#words, first, first + words)
    this.#start += words * 4
    this.#offset += words * 4
  }

  #keep(bytes: Uint8Array): void {
    const rest = this.#end - this.#start
    const needed = rest + bytes.length
    const source = this.#buffer.subarray(this.#start, this.#end)
    if (needed > this.#buffer.length) {
      this.#buffer = new Uint8Array((needed >>> 1) * 4 + 4)
      this.#words = new Uint32Array(this.#buffer.buffer)
    }
    this.#buffer.set(source)
    this.#buffer.set(bytes, rest)
    this.#start = 0
    this.#end = needed
  }

  #check(isGood: boolean, message: string): asserts isGood {
    if (isGood) return
    throw new RaftbaseError('SNAPSHOT_CORRUPT', message, { details: { offset: this.#offset } })
  }
}
