// The key space's data and its two elementary changes, shared by the modules behind store.ts. Everything that is visible
// (ranges, hashes, changes) is a function of the changes made and of the compact revision; which obsolete records are
// still in memory is not visible.

import { EMPTY_BYTES } from '../../../lib/bytes.ts'
import { KeyIndex, type Place } from './key-index.ts'
import { type Location, RecordLog } from './record-log.ts'
import type { Slab } from './slab.ts'

/** Main revision of a store that was never written to (REV-1). */
export const FIRST_REVISION = 1

export interface Change {
  readonly main: number
  readonly sub: number
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly leaseHigh: number
  readonly leaseLow: number
}

export class State {
  readonly log = new RecordLog()
  readonly index = new KeyIndex(this.log)
  revision = FIRST_REVISION
  /** -1: never compacted. Invariant: compactRevision <= revision. */
  compactRevision = -1
  /** Keys that exist at the latest revision, and the bytes of these keys and their values. */
  keyCount = 0
  liveBytes = 0

  /** Location of the newest record of `key`, also if it is a deletion, or -1. */
  locate(key: Uint8Array): Location {
    this.index.seek(key)
    return this.index.hitLocation
  }

  /** Location of the version of `key` that exists at `main`, or -1. */
  locateLive(key: Uint8Array, main: number): Location {
    const newest = this.locate(key)
    return newest < 0 ? -1 : this.liveAt(newest, main)
  }

  /** The version that exists at `main` in the chain from `newest`, or -1. */
  liveAt(newest: Location, main: number): Location {
    const at = this.log.locateAt(newest, main)
    return at >= 0 && !this.log.slabOf(at).isTombstone(this.log.wordOf(at)) ? at : -1
  }

  /** One put: returns the location of the version it replaces, or -1 if it starts a life of the key. */
  put(change: Change): Location {
    const { key, value, main, sub, leaseHigh, leaseLow } = change
    const place = this.index.seek(key)
    if (!this.index.hit) {
      this.#countLife(key, value)
      const added = this.log.append({
        key,
        value,
        main,
        sub,
        createRevision: main,
        version: 1,
        leaseHigh,
        leaseLow,
        previous: -1,
        jump: -1,
        depth: 0,
      })
      this.index.insert(key, added, true)
      return -1
    }
    const previous = this.index.sequenceAt(place)
    const location = this.index.hitLocation
    const slab = this.log.slabOf(location)
    const word = this.log.wordOf(location)
    const isRewrite = !slab.isTombstone(word)
    if (isRewrite) this.#uncountLife(key, slab.valueLength(word))
    this.#countLife(key, value)
    const createRevision = isRewrite ? slab.createRevision(word) : main
    const version = isRewrite ? slab.version(word) + 1 : 1
    const { jump, depth } = this.log.chainAfter(location, previous)
    const added = this.log.append({
      key,
      value,
      main,
      sub,
      createRevision,
      version,
      leaseHigh,
      leaseLow,
      previous,
      jump,
      depth,
    })
    slab.supersede(word, main)
    this.index.update(place, added, true)
    return isRewrite ? location : -1
  }

  /** Deletes the key at `place`, which must exist at the latest revision. */
  delete(place: Place, main: number, sub: number): void {
    const sequence = this.index.sequenceAt(place)
    const location = this.log.mustLocate(sequence)
    const slab = this.log.slabOf(location)
    const word = this.log.wordOf(location)
    const key = slab.key(word)
    this.#uncountLife(key, slab.valueLength(word))
    const { jump, depth } = this.log.chainAfter(location, sequence)
    const added = this.log.append({
      key,
      value: EMPTY_BYTES,
      main,
      sub,
      createRevision: 0,
      version: 0,
      leaseHigh: 0,
      leaseLow: 0,
      previous: sequence,
      jump,
      depth,
    })
    slab.supersede(word, main)
    this.index.update(place, added, false)
  }

  /**
   * Adds a record of a snapshot, in revision order. Returns false, having changed nothing, if it does not continue the
   * life of its key; what came before a compaction is not there to be compared with.
   */
  adopt(record: AdoptedRecord): boolean {
    const { key, value, version } = record
    const place = this.index.seek(key)
    if (!this.index.hit) {
      if (version > 0) this.#countLife(key, value)
      this.index.insert(key, this.log.append({ ...record, ...NO_HISTORY }), version > 0)
      return true
    }
    const previous = this.index.sequenceAt(place)
    const location = this.index.hitLocation
    const slab = this.log.slabOf(location)
    const word = this.log.wordOf(location)
    const wasLive = !slab.isTombstone(word)
    const startsLife = version === 1 && record.createRevision === record.main
    const continues =
      version === slab.version(word) + 1 && record.createRevision === slab.createRevision(word)
    if (!(version === 0 ? wasLive : wasLive ? continues : startsLife)) return false
    if (wasLive) this.#uncountLife(key, slab.valueLength(word))
    if (version > 0) this.#countLife(key, value)
    const chain = this.log.chainAfter(location, previous)
    const added = this.log.append({ ...record, previous, ...chain })
    slab.supersede(word, record.main)
    this.index.update(place, added, version > 0)
    return true
  }

  #countLife(key: Uint8Array, value: Uint8Array): void {
    this.keyCount++
    this.liveBytes += key.length + value.length
  }

  #uncountLife(key: Uint8Array, valueLength: number): void {
    this.keyCount--
    this.liveBytes -= key.length + valueLength
  }
}

export interface AdoptedRecord extends Change {
  readonly createRevision: number
  readonly version: number
}

const NO_HISTORY = { previous: -1, jump: -1, depth: 0 } as const

/**
 * Whether compaction at `compactRevision` keeps this record: everything of that revision and after, and of what is older
 * the version that still existed then (CPT-3). Kept records of a key are always its newest ones, without a gap.
 */
export function isRetained(slab: Slab, word: number, compactRevision: number): boolean {
  if (slab.main(word) >= compactRevision) return true
  return !slab.isTombstone(word) && slab.supersededBy(word) > compactRevision
}
