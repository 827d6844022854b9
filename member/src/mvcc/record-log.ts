// The log of all changes: slabs in revision order. A record is known by its sequence number, which never changes, also
// when compaction moves it; the place where it lies now is a location, valid until the next compaction step.
//
// The versions of one key form a chain, newest first. Besides the version before, each record names one further back (its
// jump), chosen so that any older version is reached in a logarithmic number of steps: the jumps of a chain cover
// distances 1, 1, 3, 1, 1, 3, 7, ... as in a skew binary number. A reference to a record that is gone ends the chain.

import { invariant } from '../../../lib/assert.ts'
import {
  flagsOf,
  KEY_BYTES_MASK,
  type NewRecord,
  Slab,
  SLAB_WORDS_MAX,
  VALUE_BYTES_MAX,
  wordsOf,
} from './slab.ts'

/** Larger records get a slab of their own, so that they do not waste the rest of a shared one. */
const SHARED_RECORD_WORDS_MAX = SLAB_WORDS_MAX / 4
const FIRST_SLAB_WORDS = 2 ** 14
const NONE = -1

/** Where a record lies: position of its slab times SLAB_WORDS_MAX, plus its word offset there. */
export type Location = number

export class RecordLog {
  /** Invariant: ordered by sequence number, which is revision order; only the last one is appended to. */
  #slabs: Slab[] = []
  #firstSequences: number[] = []
  #nextSequence = 0
  #open = false
  #allocatedBytes = 0
  #usedBytes = 0

  /** The slabs, oldest first. Not to be changed; valid until the next append or compaction step. */
  get slabs(): readonly Slab[] {
    return this.#slabs
  }

  /** Memory behind all slabs, in bytes, and the part of it that records occupy. */
  get allocatedBytes(): number {
    const last = this.#open ? this.#slabs.at(-1) : undefined
    return this.#allocatedBytes + (last?.allocatedBytes ?? 0)
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  slabOf(location: Location): Slab {
    const word = location & (SLAB_WORDS_MAX - 1)
    return this.#slabs[(location - word) / SLAB_WORDS_MAX]!
  }

  wordOf(location: Location): number {
    return location & (SLAB_WORDS_MAX - 1)
  }

  /** The record with this sequence number, or -1 if it has been compacted away. */
  locate(sequence: number): Location {
    const firsts = this.#firstSequences
    let low = 0
    let high = firsts.length - 1
    if (high < 0 || sequence < firsts[0]!) return NONE
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (firsts[middle]! <= sequence) low = middle
      else high = middle - 1
    }
    const word = this.#slabs[low]!.find(sequence)
    return word < 0 ? NONE : low * SLAB_WORDS_MAX + word
  }

  /** As {@link locate}, for a record that must be there. */
  mustLocate(sequence: number): Location {
    const location = this.locate(sequence)
    invariant(location >= 0, 'record is missing', { sequence })
    return location
  }

  /** The newest version with a main revision of at most `main` in the chain that starts at `location`, or -1. */
  locateAt(location: Location, main: number): Location {
    let at = location
    while (at >= 0) {
      const slab = this.slabOf(at)
      const word = this.wordOf(at)
      if (slab.main(word) <= main) return at
      const jumped = this.#locateChained(slab.jump(word))
      const isTooNew = jumped >= 0 && this.slabOf(jumped).main(this.wordOf(jumped)) > main
      at = isTooNew ? jumped : this.#locateChained(slab.previous(word))
    }
    return NONE
  }

  /** The jump and depth of a record whose version before is at `previous` with the given sequence number. */
  chainAfter(previous: Location, sequence: number): { jump: number; depth: number } {
    const slab = this.slabOf(previous)
    const word = this.wordOf(previous)
    const depth = slab.depth(word)
    const next = (depth + 1) >>> 0
    const first = this.#locateChained(slab.jump(word))
    if (first < 0) return { jump: sequence, depth: next }
    const firstSlab = this.slabOf(first)
    const firstWord = this.wordOf(first)
    const firstDepth = firstSlab.depth(firstWord)
    const secondSequence = firstSlab.jump(firstWord)
    const second = this.#locateChained(secondSequence)
    if (second < 0) return { jump: sequence, depth: next }
    const secondDepth = this.slabOf(second).depth(this.wordOf(second))
    const isEven = depth - firstDepth === firstDepth - secondDepth
    return { jump: isEven ? secondSequence : sequence, depth: next }
  }

  /** Adds a record at the end and returns its sequence number. Copies key and value. */
  append(record: NewRecord): number {
    invariant(record.key.length <= KEY_BYTES_MASK, 'key too long', { bytes: record.key.length })
    invariant(record.value.length <= VALUE_BYTES_MAX, 'value too long', {
      bytes: record.value.length,
    })
    const flags = flagsOf(record)
    const words = wordsOf(record, flags)
    let slab = this.#open ? this.#slabs.at(-1) : undefined
    if (slab === undefined || !slab.hasRoomFor(words)) slab = this.#addSlab(words)
    slab.append(record, flags, words)
    this.#usedBytes += words * 4
    if (words > SHARED_RECORD_WORDS_MAX) this.sealLast()
    return this.#nextSequence++
  }

  /** Lets compaction have the last slab; the next record opens a new one. */
  sealLast(): void {
    if (!this.#open) return
    const slab = this.#slabs.at(-1)!
    slab.seal()
    this.#allocatedBytes += slab.allocatedBytes
    this.#open = false
  }

  /** Puts `replacement` (or nothing) in the place of `count` sealed slabs from `position` on. */
  replace(position: number, count: number, replacement: Slab | undefined): void {
    for (const slab of this.#slabs.slice(position, position + count)) {
      this.#allocatedBytes -= slab.allocatedBytes
      this.#usedBytes -= slab.usedWords * 4
    }
    if (replacement === undefined) {
      this.#slabs.splice(position, count)
      this.#firstSequences.splice(position, count)
      return
    }
    this.#allocatedBytes += replacement.allocatedBytes
    this.#usedBytes += replacement.usedWords * 4
    this.#slabs.splice(position, count, replacement)
    this.#firstSequences.splice(position, count, replacement.firstSequence)
  }

  /** Position of the first slab that holds a main revision of at least `main`; the number of slabs if none does. */
  slabPositionOfMain(main: number): number {
    let low = 0
    let high = this.#slabs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#slabs[middle]!.lastMain < main) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Negative, zero or positive as the key of the record sorts before, equal to or after `key`, both from byte `from` on. */
  compareKey(location: Location, key: Uint8Array, from: number): number {
    const slab = this.slabOf(location)
    const word = this.wordOf(location)
    const { bytes } = slab
    const start = slab.keyStart(word)
    const keyLength = slab.keyLength(word)
    const length = Math.min(keyLength, key.length)
    for (let i = from; i < length; i++) {
      const difference = bytes[start + i]! - key[i]!
      if (difference !== 0) return difference
    }
    return keyLength - key.length
  }

  #locateChained(sequence: number): Location {
    return sequence < 0 ? NONE : this.locate(sequence)
  }

  #addSlab(words: number): Slab {
    this.sealLast()
    const shared = Math.min(SLAB_WORDS_MAX, Math.max(FIRST_SLAB_WORDS, this.#usedBytes >>> 2))
    const size = words > SHARED_RECORD_WORDS_MAX ? words : Math.max(words, shared)
    const slab = new Slab({ words: size, firstSequence: this.#nextSequence })
    this.#slabs.push(slab)
    this.#firstSequences.push(this.#nextSequence)
    this.#open = true
    return slab
  }
}
