// Compaction in two parts. Logically it is one number, raised at once. Physically, bounded steps later (a) hash the state
// as it was before, which members remember for their last compactions (HSH-4), and (b) sweep the slabs: keys whose
// newest record is an old deletion leave the index, and slabs that are a quarter or more dead are copied without what is
// dead, and joined with the one before if both are small. Nothing visible depends on how far the steps have come.

import { HashTask, WORDS_PER_RECORD } from './hash.ts'
import { type Refusal, refuse } from './refusal.ts'
import { Slab, SLAB_RECORDS_MAX, SLAB_WORDS_MAX } from './slab.ts'
import { isRetained, type State } from './state.ts'

/** Compactions whose hash is remembered (HSH-4). */
export const REMEMBERED_MAX = 10
/** Copying a record is cheaper than looking at it by about this factor. */
const COPIES_PER_RECORD = 8
/** A slab is copied once this part of it is dead: 1/4. */
const DEAD_PART = 4

export interface HashResult {
  readonly ok: true
  /** In [0, 2^32). */
  readonly hash: number
  /** The revision hashed. */
  readonly hashRevision: number
  /** The compaction point used; -1 if the store had never been compacted. */
  readonly compactRevision: number
  /** The store's current revision. */
  readonly revision: number
}

/** A compaction and the hash of the state at its revision, seen from the compaction before. */
export interface Remembered {
  readonly revision: number
  readonly previousCompactRevision: number
  /** Undefined until a step or a reader has computed it; nothing is removed before. */
  hash: number | undefined
}

interface Sweep {
  readonly revision: number
  /** The next record: position of its slab, and its own there. */
  position: number
  record: number
  /** Found dead in the current slab. */
  deadWords: number
  deadCount: number
}

export class Compactor {
  readonly #state: State
  /** Oldest first. Invariant: those without a hash are at the end. */
  #remembered: Remembered[]
  #task: HashTask | undefined
  #sweep: Sweep | undefined

  constructor(state: State, remembered: readonly Remembered[] = []) {
    this.#state = state
    this.#remembered = remembered.map((entry) => ({ ...entry }))
  }

  /** The last compactions, oldest first, as they are now. */
  get remembered(): readonly Remembered[] {
    return this.#remembered.map((entry) => ({ ...entry }))
  }

  compact(revision: number): { readonly ok: true } | Refusal {
    const state = this.#state
    if (revision <= state.compactRevision) return refuse('compacted', state)
    if (revision > state.revision) return refuse('future', state)
    const previousCompactRevision = state.compactRevision
    this.#remembered.push({ revision, previousCompactRevision, hash: undefined })
    if (this.#remembered.length > REMEMBERED_MAX) this.#remembered.shift()
    state.compactRevision = revision
    this.#sweep = { revision, position: 0, record: 0, deadWords: 0, deadCount: 0 }
    return { ok: true }
  }

  hash(asked: number): HashResult | Refusal {
    const state = this.#state
    const hashRevision = asked <= 0 ? state.revision : asked
    const { revision, compactRevision } = state
    const remembered = this.#remembered.find((entry) => entry.revision === hashRevision)
    if (remembered !== undefined) {
      const hash = (remembered.hash ??= this.#hashNow(remembered))
      const point = remembered.previousCompactRevision
      return { ok: true, hash, hashRevision, compactRevision: point, revision }
    }
    if (hashRevision > revision) return refuse('future', state)
    if (hashRevision < compactRevision) return refuse('compacted', state)
    const hash = this.#hashNow({
      revision: hashRevision,
      previousCompactRevision: compactRevision,
    })
    return { ok: true, hash, hashRevision, compactRevision, revision }
  }

  /** Does part of the physical work, about `maxRecords` records of ordinary size. Returns whether more is left. */
  step(maxRecords: number): boolean {
    let left = maxRecords
    for (;;) {
      const pending = this.#remembered.find((entry) => entry.hash === undefined)
      if (pending === undefined) break
      left = this.#stepHash(pending, left)
      if (left <= 0) return true
    }
    while (this.#sweep !== undefined) {
      if (left <= 0) return true
      left = this.#stepSweep(this.#sweep, left)
    }
    return false
  }

  #hashNow(of: { readonly revision: number; readonly previousCompactRevision: number }): number {
    const { revision, previousCompactRevision: compactRevision } = of
    const task = new HashTask({ revision, compactRevision })
    task.step(this.#state.log.slabs, Infinity)
    return task.value
  }

  #stepHash(pending: Remembered, budget: number): number {
    const { revision, previousCompactRevision: compactRevision } = pending
    if (this.#task?.revision !== revision) this.#task = new HashTask({ revision, compactRevision })
    const { left, isDone } = this.#task.step(this.#state.log.slabs, budget)
    if (isDone) {
      pending.hash = this.#task.value
      this.#task = undefined
    }
    return left
  }

  /** Looks at records of one slab, and finishes the slab if that was the last one. Returns the budget left. */
  #stepSweep(sweep: Sweep, budget: number): number {
    const slab = this.#state.log.slabs[sweep.position]
    if (slab === undefined || slab.firstMain >= sweep.revision) {
      this.#sweep = undefined
      return budget
    }
    if (slab.obsoleteCount === 0) {
      sweep.position++
      return budget - 1
    }
    const end = Math.min(slab.count, sweep.record + Math.ceil(budget))
    const looked = end - sweep.record
    for (; sweep.record < end; sweep.record++) this.#lookAt(slab, sweep)
    if (sweep.record < slab.count) return budget - looked
    return budget - looked - this.#finishSlab(slab, sweep)
  }

  #lookAt(slab: Slab, sweep: Sweep): void {
    const word = slab.offsetAt(sweep.record)
    if (isRetained(slab, word, sweep.revision)) return
    sweep.deadCount++
    sweep.deadWords += slab.sizeWords(word)
    if (!slab.isTombstone(word) || slab.supersededBy(word) !== Infinity) return
    const { index } = this.#state
    const place = index.seek(slab.key(word))
    // A later life of the key has an entry of its own if this one was removed before.
    const isNewest = index.hit && index.sequenceAt(place) === slab.sequenceAt(sweep.record)
    if (isNewest) index.remove(place)
  }

  /** Copies the slab without its dead records if that is worth it. Returns the work done, in records. */
  #finishSlab(slab: Slab, sweep: Sweep): number {
    const { log } = this.#state
    const { position, deadWords, deadCount } = sweep
    sweep.record = 0
    sweep.deadWords = 0
    sweep.deadCount = 0
    if (deadWords * DEAD_PART < slab.usedWords) {
      sweep.position++
      return 0
    }
    if (position === log.slabs.length - 1) log.sealLast()
    if (deadCount === slab.count) {
      log.replace(position, 1, undefined)
      return 1
    }
    const first = this.#canJoinBefore(position, slab.usedWords - deadWords)
      ? position - 1
      : position
    const sources = log.slabs.slice(first, position + 1)
    const { slab: copy, work } = copyRetained(sources, sweep.revision)
    log.replace(first, sources.length, copy)
    sweep.position = first + 1
    return work
  }

  #canJoinBefore(position: number, words: number): boolean {
    const before = this.#state.log.slabs[position - 1]
    const slab = this.#state.log.slabs[position]!
    if (before === undefined) return false
    return (
      before.usedWords + words <= SLAB_WORDS_MAX / 2 &&
      before.count + slab.count <= SLAB_RECORDS_MAX
    )
  }
}

/** A new slab with the records of `sources` that compaction keeps; there is at least one. */
function copyRetained(
  sources: readonly Slab[],
  revision: number,
): { readonly slab: Slab; readonly work: number } {
  let words = 0
  let count = 0
  let firstSequence = -1
  for (const source of sources) {
    for (let record = 0; record < source.count; record++) {
      const word = source.offsetAt(record)
      if (!isRetained(source, word, revision)) continue
      if (count === 0) firstSequence = source.sequenceAt(record)
      words += source.sizeWords(word)
      count++
    }
  }
  const slab = new Slab({ words, firstSequence, sparseRecords: count })
  for (const source of sources) {
    for (let record = 0; record < source.count; record++) {
      const word = source.offsetAt(record)
      if (isRetained(source, word, revision)) slab.adopt(source, word, source.sequenceAt(record))
    }
  }
  return { slab, work: Math.ceil(count / COPIES_PER_RECORD + words / WORDS_PER_RECORD / 4) }
}
