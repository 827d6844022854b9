// The ordered index: every key that has a record (also one whose newest record is a deletion) to that newest record. Two
// levels: leaves of up to 128 entries, and the separators between them. An entry is 12 bytes: the newest record's
// sequence number, and a hint that decides most comparisons without touching the record.
//
// The keys of a leaf start with the same bytes (its prefix, at least `#prefixLengths` long); the hint is the next four.
// Example: a leaf with "/pods/a-1", "/pods/a-2", "/pods/b" has prefix length 6 and hints "a-1\0", "a-2\0", "b\0\0\0".

import { invariant } from '../../../lib/assert.ts'
import { LEAF_ENTRIES_MAX, LeafPool } from './leaf-pool.ts'
import type { RecordLog } from './record-log.ts'
import { Separators } from './separators.ts'

/** Place of an entry: position of its leaf times LEAF_ENTRIES_MAX, plus its slot. Valid until an insert or removal. */
export type Place = number

const FIRST_LEAVES = 64
/** Leaves are joined only where the result can take new keys for a while. */
const MERGED_ENTRIES_MAX = (LEAF_ENTRIES_MAX * 3) / 4

export class KeyIndex {
  readonly #log: RecordLog
  readonly #pool = new LeafPool()
  readonly #separators = new Separators()
  /** By leaf number. */
  #counts = new Uint8Array(FIRST_LEAVES)
  #liveCounts = new Uint8Array(FIRST_LEAVES)
  #prefixLengths = new Uint32Array(FIRST_LEAVES)
  #entryCount = 0
  /** What the last {@link seek} found. */
  #seekPosition = 0
  #seekSlot = 0
  #hit = false

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
      this.#pool.allocatedBytes + this.#separators.allocatedBytes + this.#prefixLengths.length * 6
    )
  }

  /** Whether the last {@link seek} found exactly its key. */
  get hit(): boolean {
    return this.#hit
  }

  /** Past the last entry. */
  get end(): Place {
    return this.#separators.count * LEAF_ENTRIES_MAX
  }

  /** The first entry whose key is not below `key`, or {@link end}. */
  seek(key: Uint8Array): Place {
    const position = this.#separators.find(key)
    const leaf = this.#separators.leafAt(position)
    const slot = this.#searchLeaf(leaf, key)
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
    const isLast = slot + 1 === this.#counts[this.#separators.leafAt(position)]!
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
    const leaf = this.#separators.leafAt((place - slot) / LEAF_ENTRIES_MAX)
    const { heads } = this.#pool.block(leaf)
    const at = this.#pool.base(leaf) + slot
    const wasLive = heads[at]! > 0
    heads[at] = isLive ? sequence + 1 : -sequence - 1
    if (wasLive !== isLive) this.#liveCounts[leaf]! += isLive ? 1 : -1
  }

  /** Adds `key`, whose record is in the log already. Directly after a {@link seek} of the same key that found nothing. */
  insert(key: Uint8Array, sequence: number, isLive: boolean): void {
    invariant(!this.#hit, 'key inserted twice')
    const position = this.#seekPosition
    const leaf = this.#separators.leafAt(position)
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
    const shared = count === 0 ? 0 : this.#sharedPrefix(leaf, this.#seekSlot, key)
    if (count === 0 || shared < this.#prefixLengths[leaf]!) this.#rehint(leaf, shared)
    else hints[at] = hintOf(key, 0, key.length, this.#prefixLengths[leaf]!)
  }

  /** Removes the entry at `place`. */
  remove(place: Place): void {
    const slot = place % LEAF_ENTRIES_MAX
    const position = (place - slot) / LEAF_ENTRIES_MAX
    const leaf = this.#separators.leafAt(position)
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
      live += this.#liveCounts[this.#separators.leafAt(position)]!
    }
    return lastSlot === 0 ? live : live + this.#liveInLeaf(last, 0, lastSlot)
  }

  #headAt(place: Place): number {
    const slot = place % LEAF_ENTRIES_MAX
    const leaf = this.#separators.leafAt((place - slot) / LEAF_ENTRIES_MAX)
    return this.#pool.block(leaf).heads[this.#pool.base(leaf) + slot]!
  }

  #sequenceIn(leaf: number, slot: number): number {
    return Math.abs(this.#pool.block(leaf).heads[this.#pool.base(leaf) + slot]!) - 1
  }

  #liveInLeaf(position: number, from: number, to: number): number {
    const leaf = this.#separators.leafAt(position)
    const { heads } = this.#pool.block(leaf)
    const base = this.#pool.base(leaf)
    const end = Math.min(to, this.#counts[leaf]!)
    let live = 0
    for (let slot = from; slot < end; slot++) if (heads[base + slot]! > 0) live++
    return live
  }

  /** Slot of the first key of the leaf that is not below `key`; also sets `#hit`. */
  #searchLeaf(leaf: number, key: Uint8Array): number {
    const count = this.#counts[leaf]!
    this.#hit = false
    if (count === 0) return 0
    const prefixLength = this.#prefixLengths[leaf]!
    if (prefixLength > 0) {
      const order = this.#comparePrefix(leaf, key, prefixLength)
      if (order !== 0) return order < 0 ? count : 0
    }
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
      const order = this.#log.compareKey(this.#sequenceIn(leaf, middle), key, prefixLength)
      if (order === 0) {
        this.#hit = true
        return middle
      }
      if (order < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Zero if `key` starts with the leaf's prefix; otherwise how all keys of the leaf sort against it. */
  #comparePrefix(leaf: number, key: Uint8Array, prefixLength: number): number {
    const location = this.#log.mustLocate(this.#sequenceIn(leaf, 0))
    const slab = this.#log.slabOf(location)
    const start = slab.keyStart(this.#log.wordOf(location))
    const { bytes } = slab
    const length = Math.min(prefixLength, key.length)
    for (let i = 0; i < length; i++) {
      const difference = bytes[start + i]! - key[i]!
      if (difference !== 0) return difference
    }
    return prefixLength > key.length ? 1 : 0
  }

  /** Bytes that `key` shares with the others of the leaf, counted up to the leaf's prefix length. */
  #sharedPrefix(leaf: number, slot: number, key: Uint8Array): number {
    const prefixLength = this.#prefixLengths[leaf]!
    if (prefixLength === 0) return 0
    const other = this.#keyIn(leaf, slot === 0 ? 1 : 0)
    return sharedBytes(other, key, prefixLength)
  }

  #keyIn(leaf: number, slot: number): Uint8Array {
    const location = this.#log.mustLocate(this.#sequenceIn(leaf, slot))
    return this.#log.slabOf(location).key(this.#log.wordOf(location))
  }

  /** Sets the leaf's prefix length and computes all its hints anew. */
  #rehint(leaf: number, prefixLength: number): void {
    this.#prefixLengths[leaf] = prefixLength
    const { hints } = this.#pool.block(leaf)
    const base = this.#pool.base(leaf)
    const count = this.#counts[leaf]!
    for (let slot = 0; slot < count; slot++) {
      const location = this.#log.mustLocate(this.#sequenceIn(leaf, slot))
      const slab = this.#log.slabOf(location)
      const word = this.#log.wordOf(location)
      hints[base + slot] = hintOf(
        slab.bytes,
        slab.keyStart(word),
        slab.keyLength(word),
        prefixLength,
      )
    }
  }

  /** As {@link #rehint}, with the longest prefix the leaf's keys share. */
  #rehintTightly(leaf: number): void {
    const count = this.#counts[leaf]!
    if (count < 2) {
      this.#rehint(leaf, 0)
      return
    }
    const first = this.#keyIn(leaf, 0)
    this.#rehint(leaf, sharedBytes(first, this.#keyIn(leaf, count - 1), first.length))
  }

  /** Makes room in a full leaf. Keys that arrive in order leave full leaves behind. */
  #split(position: number, slot: number, key: Uint8Array): void {
    const leaf = this.#separators.leafAt(position)
    const isAscending = slot === LEAF_ENTRIES_MAX && position === this.#separators.count - 1
    const kept = isAscending ? LEAF_ENTRIES_MAX : LEAF_ENTRIES_MAX / 2
    const above = isAscending ? key : this.#keyIn(leaf, kept)
    const below = this.#keyIn(leaf, kept - 1)
    const separator = above.slice(0, sharedBytes(below, above, above.length) + 1)
    const added = this.#addLeaf(position + 1, separator)
    this.#moveEntries(leaf, kept, added, 0)
    this.#rehintTightly(leaf)
    if (!isAscending) this.#rehintTightly(added)
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
    if (position + 1 < this.#separators.count && this.#maybeJoin(position)) return
    if (position > 0) this.#maybeJoin(position - 1)
  }

  #maybeJoin(left: number): boolean {
    const target = this.#separators.leafAt(left)
    const source = this.#separators.leafAt(left + 1)
    const kept = this.#counts[target]!
    const moved = this.#counts[source]!
    if (kept > 0 && moved > 0 && kept + moved > MERGED_ENTRIES_MAX) return false
    this.#moveEntries(source, 0, target, kept)
    this.#separators.remove(left + 1)
    this.#pool.release(source)
    this.#rehintTightly(target)
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
    this.#separators.insert(position, leaf, separator)
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
