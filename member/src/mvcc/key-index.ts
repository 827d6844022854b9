// The ordered index: every key that has a record (also one whose newest record is a deletion) to that newest record. Two
// levels: leaves of up to 128 entries, and a directory of the leaves. An entry is 12 bytes: the newest record's
// sequence number, and a hint that decides most comparisons without touching the record.
//
// The keys of a leaf share the first bytes of its label, as many as `#prefixLengths` says; the hint is the next four.
// Example: a leaf with "/pods/a-1", "/pods/a-2", "/pods/b" has prefix length 6 and hints "a-1\0", "a-2\0", "b\0\0\0".

import { invariant } from '../../../lib/assert.ts'
import { LeafDirectory } from './leaf-directory.ts'
import { LEAF_ENTRIES_MAX, LeafPool } from './leaf-pool.ts'
import type { Location, RecordLog } from './record-log.ts'

/** Place of an entry: position of its leaf times LEAF_ENTRIES_MAX, plus its slot. Valid until an insert or removal. */
export type Place = number

const FIRST_LEAVES = 64
/** Leaves are joined only where the result can take new keys for a while. */
const MERGED_ENTRIES_MAX = (LEAF_ENTRIES_MAX * 3) / 4

export class KeyIndex {
  readonly #log: RecordLog
  readonly #pool = new LeafPool()
  readonly #directory = new LeafDirectory()
  /** By leaf number. */
  #counts = new Uint8Array(FIRST_LEAVES)
  #liveCounts = new Uint8Array(FIRST_LEAVES)
  #prefixLengths = new Uint32Array(FIRST_LEAVES)
  #entryCount = 0
  /** What the last {@link seek} found. */
  #seekPosition = 0
  #seekSlot = 0
  #hitLocation = -1

  constructor(log: RecordLog) {
    this.#log = log
    this.#addLeaf(0, new Uint8Array(0))
  }

  /** Keys in the index, those whose newest record is a deletion included. */
  get entryCount(): number {
    return this.#entryCount
  }

  get allocatedBytes(): number {
    return (
      this.#pool.allocatedBytes + this.#directory.allocatedBytes + this.#prefixLengths.length * 6
    )
  }

  /** Whether the last {@link seek} found exactly its key, and where the newest record of it lies; -1 if not. */
  get hit(): boolean {
    return this.#hitLocation >= 0
  }

  get hitLocation(): Location {
    return this.#hitLocation
  }

  /** Past the last entry. */
  get end(): Place {
    return this.#directory.count * LEAF_ENTRIES_MAX
  }

  /** The first entry whose key is not below `key`, or {@link end}. */
  seek(key: Uint8Array): Place {
    const position = this.#directory.find(key)
    const leaf = this.#directory.leafAt(position)
    const slot = this.#searchLeaf(position, leaf, key)
    this.#seekPosition = position
    this.#seekSlot = slot
    return slot < this.#counts[leaf]!
      ? position * LEAF_ENTRIES_MAX + slot
      : (position + 1) * LEAF_ENTRIES_MAX
  }

  /** The entry after `place`, or {@link end}. */
  next(place: Place): Place {
    const slot = place % LEAF_ENTRIES_MAX
    const position = (place - slot) / LEAF_ENTRIES_MAX
    const isLast = slot + 1 === this.#counts[this.#directory.leafAt(position)]!
    return isLast ? (position + 1) * LEAF_ENTRIES_MAX : place + 1
  }

  /** Sequence number of the newest record of the key at `place`. */
  sequenceAt(place: Place): number {
    return Math.abs(this.#headAt(place)) - 1
  }

  /** Whether the key at `place` exists at the latest revision. */
  isLiveAt(place: Place): boolean {
    return this.#headAt(place) > 0
  }

  /** Makes another record the newest of the key at `place`. */
  update(place: Place, sequence: number, isLive: boolean): void {
    const slot = place % LEAF_ENTRIES_MAX
    const leaf = this.#directory.leafAt((place - slot) / LEAF_ENTRIES_MAX)
    const { heads } = this.#pool.block(leaf)
    const at = this.#pool.base(leaf) + slot
    const wasLive = heads[at]! > 0
    heads[at] = isLive ? sequence + 1 : -sequence - 1
    if (wasLive !== isLive) this.#liveCounts[leaf]! += isLive ? 1 : -1
  }

  /** Adds `key`, whose record is in the log already. Directly after a {@link seek} of the same key that found nothing. */
  insert(key: Uint8Array, sequence: number, isLive: boolean): void {
    invariant(!this.hit, 'key inserted twice')
    const position = this.#seekPosition
    const leaf = this.#directory.leafAt(position)
    if (this.#counts[leaf] === LEAF_ENTRIES_MAX) {
      this.#split(position, this.#seekSlot, key)
      this.seek(key)
      this.insert(key, sequence, isLive)
      return
    }
    const count = this.#counts[leaf]!
    const base = this.#pool.base(leaf)
    const at = base + this.#seekSlot
    const { heads, hints } = this.#pool.block(leaf)
    heads.copyWithin(at + 1, at, base + count)
    hints.copyWithin(at + 1, at, base + count)
    heads[at] = isLive ? sequence + 1 : -sequence - 1
    this.#counts[leaf] = count + 1
    this.#entryCount++
    if (isLive) this.#liveCounts[leaf]!++
    const prefixLength = this.#prefixLengths[leaf]!
    const isPrefixed = this.#directory.sharedBytes(position, key) >= prefixLength
    if (isPrefixed) hints[at] = hintOf(key, 0, key.length, prefixLength)
    if (!isPrefixed || isMilestone(count + 1)) this.#rehint(position)
  }

  /** Removes the entry at `place`. */
  remove(place: Place): void {
    const slot = place % LEAF_ENTRIES_MAX
    const position = (place - slot) / LEAF_ENTRIES_MAX
    const leaf = this.#directory.leafAt(position)
    const { heads, hints } = this.#pool.block(leaf)
    const base = this.#pool.base(leaf)
    const count = this.#counts[leaf]!
    if (heads[base + slot]! > 0) this.#liveCounts[leaf]!--
    heads.copyWithin(base + slot, base + slot + 1, base + count)
    hints.copyWithin(base + slot, base + slot + 1, base + count)
    this.#counts[leaf] = count - 1
    this.#entryCount--
    if (count - 1 < LEAF_ENTRIES_MAX / 4) this.#maybeMerge(position)
  }

  /** Keys that exist at the latest revision from `from` up to, not including, `to`. */
  liveCount(from: Place, to: Place): number {
    if (from >= to) return 0
    const firstSlot = from % LEAF_ENTRIES_MAX
    const lastSlot = to % LEAF_ENTRIES_MAX
    const first = (from - firstSlot) / LEAF_ENTRIES_MAX
    const last = (to - lastSlot) / LEAF_ENTRIES_MAX
    if (first === last) return this.#liveInLeaf(first, firstSlot, lastSlot)
    let live = this.#liveInLeaf(first, firstSlot, LEAF_ENTRIES_MAX)
    for (let position = first + 1; position < last; position++) {
      live += this.#liveCounts[this.#directory.leafAt(position)]!
    }
    return lastSlot === 0 ? live : live + this.#liveInLeaf(last, 0, lastSlot)
  }

  #headAt(place: Place): number {
    const slot = place % LEAF_ENTRIES_MAX
    const leaf = this.#directory.leafAt((place - slot) / LEAF_ENTRIES_MAX)
    return this.#pool.block(leaf).heads[this.#pool.base(leaf) + slot]!
  }

  #sequenceIn(leaf: number, slot: number): number {
    return Math.abs(this.#pool.block(leaf).heads[this.#pool.base(leaf) + slot]!) - 1
  }

  #liveInLeaf(position: number, from: number, to: number): number {
    const leaf = this.#directory.leafAt(position)
    const { heads } = this.#pool.block(leaf)
    const base = this.#pool.base(leaf)
    const end = Math.min(to, this.#counts[leaf]!)
    let live = 0
    for (let slot = from; slot < end; slot++) if (heads[base + slot]! > 0) live++
    return live
  }

  /** Slot of the first key of the leaf that is not below `key`; also sets `#hitLocation`. */
  #searchLeaf(position: number, leaf: number, key: Uint8Array): number {
    const count = this.#counts[leaf]!
    this.#hitLocation = -1
    const prefixLength = this.#prefixLengths[leaf]!
    const prefixOrder = this.#directory.comparePrefix(position, key, prefixLength)
    if (prefixOrder !== 0) return prefixOrder < 0 ? count : 0
    const hint = hintOf(key, 0, key.length, prefixLength)
    const { hints } = this.#pool.block(leaf)
    const base = this.#pool.base(leaf)
    let low = base
    let high = base + count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (hints[middle]! < hint) low = middle + 1
      else high = middle
    }
    low -= base
    // Equal hints: the keys themselves decide. Usually there is one candidate.
    high = low
    while (high < count && hints[base + high] === hint) high++
    while (low < high) {
      const middle = (low + high) >>> 1
      const location = this.#log.mustLocate(this.#sequenceIn(leaf, middle))
      const order = this.#log.compareKey(location, key, prefixLength)
      if (order === 0) {
        this.#hitLocation = location
        return middle
      }
      if (order < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  #keyIn(leaf: number, slot: number): Uint8Array {
    const location = this.#log.mustLocate(this.#sequenceIn(leaf, slot))
    return this.#log.slabOf(location).key(this.#log.wordOf(location))
  }

  /** Finds out how the keys of the leaf start, and computes all its hints anew. */
  #rehint(position: number): void {
    const leaf = this.#directory.leafAt(position)
    const { hints } = this.#pool.block(leaf)
    const base = this.#pool.base(leaf)
    const count = this.#counts[leaf]!
    const prefixLength = count === 0 ? 0 : this.#fitLabel(position, leaf, count)
    this.#prefixLengths[leaf] = prefixLength
    for (let slot = 0; slot < count; slot++) {
      const location = this.#log.mustLocate(this.#sequenceIn(leaf, slot))
      const slab = this.#log.slabOf(location)
      const word = this.#log.wordOf(location)
      const start = slab.keyStart(word)
      hints[base + slot] = hintOf(slab.bytes, start, slab.keyLength(word), prefixLength)
    }
  }

  /** Lengthens the label if the keys share more bytes than it has. Returns how many of its bytes they share. */
  #fitLabel(position: number, leaf: number, count: number): number {
    const first = this.#keyIn(leaf, 0)
    const last = this.#keyIn(leaf, count - 1)
    const shared = sharedBytes(first, last, first.length)
    const labelled = Math.min(this.#directory.sharedBytes(position, first), shared)
    if (shared <= this.#directory.labelLength(position) || count === 1) return labelled
    this.#directory.relabel(position, first.slice(0, shared))
    return shared
  }

  /** Makes room in a full leaf. Keys that arrive in order leave full leaves behind. */
  #split(position: number, slot: number, key: Uint8Array): void {
    const leaf = this.#directory.leafAt(position)
    const isAscending = slot === LEAF_ENTRIES_MAX && position === this.#directory.count - 1
    const kept = isAscending ? LEAF_ENTRIES_MAX : LEAF_ENTRIES_MAX / 2
    const above = isAscending ? key : this.#keyIn(leaf, kept)
    const below = this.#keyIn(leaf, kept - 1)
    const label = above.slice(0, sharedBytes(below, above, above.length) + 1)
    const added = this.#addLeaf(position + 1, label)
    this.#moveEntries(leaf, kept, added, 0)
    this.#rehint(position)
    this.#rehint(position + 1)
  }

  /** Appends the entries of `source` from slot `from` on to `target` at slot `to`, and cuts them off. */
  #moveEntries(source: number, from: number, target: number, to: number): void {
    const moved = this.#counts[source]! - from
    const base = this.#pool.base(source)
    const heads = this.#pool.block(source).heads.subarray(base + from, base + from + moved)
    this.#pool.block(target).heads.set(heads, this.#pool.base(target) + to)
    let live = 0
    for (const head of heads) if (head > 0) live++
    this.#counts[source] = from
    this.#counts[target] = to + moved
    this.#liveCounts[source]! -= live
    this.#liveCounts[target]! += live
  }

  /** Joins a leaf that has become small with a neighbour; one that is empty always, unless it is the only one. */
  #maybeMerge(position: number): void {
    if (position + 1 < this.#directory.count && this.#maybeJoin(position)) return
    if (position > 0) this.#maybeJoin(position - 1)
  }

  #maybeJoin(left: number): boolean {
    const target = this.#directory.leafAt(left)
    const source = this.#directory.leafAt(left + 1)
    const kept = this.#counts[target]!
    const moved = this.#counts[source]!
    if (kept > 0 && moved > 0 && kept + moved > MERGED_ENTRIES_MAX) return false
    this.#moveEntries(source, 0, target, kept)
    this.#directory.remove(left + 1)
    this.#pool.release(source)
    this.#rehint(left)
    return true
  }

  #addLeaf(position: number, separator: Uint8Array): number {
    const leaf = this.#pool.allocate()
    if (leaf >= this.#counts.length) {
      this.#counts = grownTo(new Uint8Array(leaf * 2), this.#counts)
      this.#liveCounts = grownTo(new Uint8Array(leaf * 2), this.#liveCounts)
      this.#prefixLengths = grownTo(new Uint32Array(leaf * 2), this.#prefixLengths)
    }
    this.#counts[leaf] = 0
    this.#liveCounts[leaf] = 0
    this.#prefixLengths[leaf] = 0
    this.#directory.insert(position, leaf, separator)
    return leaf
  }
}

/** The four bytes from `offset` of a key of `length` bytes that starts at `start`; zeros where it has ended. */
function hintOf(bytes: Uint8Array, start: number, length: number, offset: number): number {
  let hint = 0
  for (let i = offset; i < offset + 4; i++)
    hint = (hint << 8) | (i < length ? bytes[start + i]! : 0)
  return hint >>> 0
}

/** Sizes of a leaf at which it is worth finding out again what its keys share. */
function isMilestone(count: number): boolean {
  return count === 8 || count === 32
}

/** Length of the common start of two keys, counted up to `limit`. */
function sharedBytes(a: Uint8Array, b: Uint8Array, limit: number): number {
  const length = Math.min(a.length, b.length, limit)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i
  return length
}

function grownTo<T extends Uint8Array | Uint32Array>(target: T, source: T): T {
  target.set(source)
  return target
}
