// The state hash: equal on all members at an equal revision, whatever each of them has removed from memory (HSH-2). It
// runs over the words of records in revision order, without what is local (references between records).

import { invariant } from '../../../lib/assert.ts'
import { CHAINED, FIXED_WORDS, type Slab } from './slab.ts'

/** Words hashed that count as one more record of work. */
export const WORDS_PER_RECORD = 128

/** A 32-bit hash over words, in order. */
export class WordHash {
  #state = 0x52_42_4b_56

  add(word: number): void {
    let mixed = Math.imul(word, 0xcc9e2d51)
    mixed = (mixed << 15) | (mixed >>> 17)
    const state = this.#state ^ Math.imul(mixed, 0x1b873593)
    this.#state = (Math.imul((state << 13) | (state >>> 19), 5) + 0xe6546b64) | 0
  }

  addAll(words: Uint32Array, from: number, to: number): void {
    let state = this.#state
    for (let i = from; i < to; i++) {
      let mixed = Math.imul(words[i]!, 0xcc9e2d51)
      mixed = (mixed << 15) | (mixed >>> 17)
      state ^= Math.imul(mixed, 0x1b873593)
      state = (Math.imul((state << 13) | (state >>> 19), 5) + 0xe6546b64) | 0
    }
    this.#state = state
  }

  /** The hash of everything added so far, in [0, 2^32). */
  get value(): number {
    let value = this.#state
    value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
    value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
    return (value ^ (value >>> 16)) >>> 0
  }
}

/** The hash at a revision, computed a bounded number of records at a time. */
export class HashTask {
  readonly revision: number
  readonly compactRevision: number
  readonly #hash = new WordHash()
  #position = 0
  #record = 0
  #lastMain = 0

  /** Of the records with a main revision up to `revision` that compaction at `compactRevision` leaves visible. */
  constructor(options: { readonly revision: number; readonly compactRevision: number }) {
    this.revision = options.revision
    this.compactRevision = options.compactRevision
  }

  get value(): number {
    return this.#hash.value
  }

  /** Continues over `slabs`, which must only have grown at the end since the last call. Returns the budget left. */
  step(slabs: readonly Slab[], budget: number): { left: number; isDone: boolean } {
    let left = budget
    for (; this.#position < slabs.length; this.#position++, this.#record = 0) {
      const slab = slabs[this.#position]!
      for (; this.#record < slab.count; this.#record++) {
        if (left <= 0) return { left, isDone: false }
        const word = slab.offsetAt(this.#record)
        if (slab.main(word) > this.revision) return { left, isDone: true }
        this.add(slab, word)
        left -= 1 + slab.dataWords(word) / WORDS_PER_RECORD
      }
    }
    return { left, isDone: true }
  }

  /** Adds one record, if it belongs in. To be called for all records in revision order. */
  add(slab: Slab, word: number): void {
    const main = slab.main(word)
    invariant(main >= this.#lastMain, 'records hashed out of order', { main })
    this.#lastMain = main
    if (main > this.revision) return
    const isVisible =
      main > this.compactRevision ||
      (!slab.isTombstone(word) && slab.supersededBy(word) > this.compactRevision)
    if (isVisible) addRecord(this.#hash, slab, word)
  }
}

/** Adds what is the same on all members: everything but the references to and from other records. */
function addRecord(hash: WordHash, slab: Slab, word: number): void {
  const { words } = slab
  const isChained = (words[word]! & CHAINED) !== 0
  const data = slab.dataWord(word)
  hash.add(words[word]! & ~CHAINED)
  hash.addAll(words, word + 1, word + 5)
  hash.addAll(words, word + FIXED_WORDS, isChained ? data - 5 : data)
  hash.addAll(words, data, data + slab.dataWords(word))
}
