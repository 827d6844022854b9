// The state as a stream of bytes: what a snapshot file and a snapshot transfer carry. A capture pins the slabs it was taken
// of; writes and compaction go on beside it. The stream holds what compaction must keep and nothing else, so that the
// state restored from it does not depend on what this member has removed from memory.
//
// Format, in 32-bit little-endian words; longs are two words, low half first:
//
//   magic, format version, revision (long), compactRevision + 1 (long)
//   per record in revision order: as in slab.ts, without the words for newer and older versions of the key
//   (a filler word may stand between records)
//   END, number of records (long), count of compactions, per compaction: revision (long), the one before + 1 (long), hash
//   hash of all words before it

import { invariant } from '../../../lib/assert.ts'
import type { Remembered } from './compaction.ts'
import { HashTask, WORDS_PER_RECORD, WordHash } from './hash.ts'
import { CHAINED, FIXED_WORDS, type Slab } from './slab.ts'
import { isRetained, type State } from './state.ts'

export const SNAPSHOT_MAGIC = 0x53_56_42_52
export const SNAPSHOT_FORMAT = 1
/** In place of a record's first word, which never has all bits set. */
export const SNAPSHOT_END = 0xffff_ffff
/** A word without meaning between records, which keeps a step short where there is nothing to write. */
export const SNAPSHOT_FILLER = 0xffff_fffe

const HIGH = 2 ** 32
/** Records looked at before a chunk is handed out even if it is not full. */
const STEP_RECORDS_MAX = 16_384
const COPY_LOOP_WORDS_MAX = 16

interface Pinned {
  readonly slabs: readonly Slab[]
  /** Records of the last slab at the time; those after it are newer. */
  readonly lastCount: number
  readonly remembered: readonly Remembered[]
}

export class StoreSnapshot {
  readonly revision: number
  readonly compactRevision: number
  /** Memory pinned, in bytes: an upper bound of what chunks() yields, headers aside. */
  readonly bytes: number
  #pinned: Pinned | undefined

  constructor(state: State, remembered: readonly Remembered[]) {
    const slabs = state.log.slabs.slice()
    this.revision = state.revision
    this.compactRevision = state.compactRevision
    this.bytes = state.log.usedBytes
    this.#pinned = { slabs, lastCount: slabs.at(-1)?.count ?? 0, remembered }
  }

  /** The stream in pieces of 4 to `maxBytes` bytes, made when asked for; each belongs to the caller. */
  *chunks(maxBytes = 256 * 1024): Generator<Uint8Array, void, undefined> {
    const out = new WordStream(Math.floor(maxBytes / 4))
    out.addHeader(this)
    const { slabs, lastCount, remembered } = this.#mustBePinned()
    const tasks = remembered.filter((entry) => entry.hash === undefined).map(taskOf)
    let count = 0
    let work = 0
    for (let position = 0; position < slabs.length; position++) {
      const slab = slabs[position]!
      const end = position === slabs.length - 1 ? lastCount : slab.count
      for (let record = 0; record < end; record++) {
        const word = slab.offsetAt(record)
        for (const task of tasks) task.add(slab, word)
        if (isRetained(slab, word, this.compactRevision)) {
          out.addRecord(slab, word)
          count++
        }
        work += 1 + slab.dataWords(word) / WORDS_PER_RECORD
        if (work >= STEP_RECORDS_MAX) out.cut()
        if (!out.hasChunk) continue
        work = 0
        yield* out.take()
        this.#mustBePinned()
      }
    }
    out.addTrailer(count, remembered, tasks)
    yield* out.take()
  }

  /** Lets go of the pinned state; chunks() must not be read afterwards. Calling it again does nothing. */
  release(): void {
    this.#pinned = undefined
  }

  #mustBePinned(): Pinned {
    invariant(this.#pinned !== undefined, 'snapshot read after its release')
    return this.#pinned
  }
}

function taskOf(entry: Remembered): HashTask {
  return new HashTask({
    revision: entry.revision,
    compactRevision: entry.previousCompactRevision,
  })
}

/** Collects words into chunks, and hashes them. */
class WordStream {
  readonly #chunkWords: number
  readonly #hash = new WordHash()
  #current: Uint32Array<ArrayBuffer>
  #used = 0
  #full: Uint8Array[] = []

  constructor(chunkWords: number) {
    invariant(chunkWords > 0, 'snapshot chunk too small')
    this.#chunkWords = chunkWords
    this.#current = new Uint32Array(chunkWords)
  }

  get hasChunk(): boolean {
    return this.#full.length > 0
  }

  /** The chunks that are complete. */
  take(): Uint8Array[] {
    const chunks = this.#full
    this.#full = []
    return chunks
  }

  /** Completes the chunk begun, with a filler if it is empty. */
  cut(): void {
    if (this.#used === 0) this.#add(SNAPSHOT_FILLER)
    if (this.#used > 0) this.#complete()
  }

  addHeader(of: { readonly revision: number; readonly compactRevision: number }): void {
    this.#add(SNAPSHOT_MAGIC)
    this.#add(SNAPSHOT_FORMAT)
    this.#addLong(of.revision)
    this.#addLong(of.compactRevision + 1)
  }

  /** Everything but the references to and from other records. */
  addRecord(slab: Slab, word: number): void {
    const { words } = slab
    const data = slab.dataWord(word)
    const isChained = (words[word]! & CHAINED) !== 0
    this.#add((words[word]! & ~CHAINED) >>> 0)
    this.#addAll(words, word + 1, word + 5)
    this.#addAll(words, word + FIXED_WORDS, isChained ? data - 5 : data)
    this.#addAll(words, data, data + slab.dataWords(word))
  }

  addTrailer(count: number, remembered: readonly Remembered[], tasks: readonly HashTask[]): void {
    this.#add(SNAPSHOT_END)
    this.#addLong(count)
    this.#add(remembered.length)
    for (const entry of remembered) {
      const task = tasks.find((task) => task.revision === entry.revision)
      const hash = entry.hash ?? task?.value
      invariant(hash !== undefined, 'compaction without a hash')
      this.#addLong(entry.revision)
      this.#addLong(entry.previousCompactRevision + 1)
      this.#add(hash)
    }
    this.#add(this.#hash.value)
    if (this.#used > 0) this.#complete()
  }

  #add(word: number): void {
    this.#hash.add(word)
    this.#current[this.#used++] = word
    if (this.#used === this.#chunkWords) this.#complete()
  }

  #addLong(value: number): void {
    this.#add(value % HIGH)
    this.#add(Math.floor(value / HIGH))
  }

  #addAll(words: Uint32Array, from: number, to: number): void {
    this.#hash.addAll(words, from, to)
    let next = from
    while (next < to) {
      const end = Math.min(to, next + this.#chunkWords - this.#used)
      if (end - next <= COPY_LOOP_WORDS_MAX) {
        for (let i = next; i < end; i++) this.#current[this.#used + i - next] = words[i]!
      } else {
        this.#current.set(words.subarray(next, end), this.#used)
      }
      this.#used += end - next
      next = end
      if (this.#used === this.#chunkWords) this.#complete()
    }
  }

  #complete(): void {
    this.#full.push(new Uint8Array(this.#current.buffer, 0, this.#used * 4))
    this.#current = new Uint32Array(this.#chunkWords)
    this.#used = 0
  }
}
