// The upper level of the key index: for each leaf, in key order, a byte string (its label) that is above every key of the
// leaf before it and not above any of its own; where its keys start alike, it also holds how. The first leaf takes every
// key below the second label. Packed in one buffer; labels given up are squeezed out when it is full.
//
// Example: the leaves [/a/1, /a/2] [/b/31, /b/32] [/x] may have the labels "/a/", "/b/3", "/x".

const FIRST_BYTES = 4096
const FIRST_LEAVES = 64

export class LeafDirectory {
  #count = 0
  /** By position in key order: leaf number, start and length of its label. */
  #leaves = new Uint32Array(FIRST_LEAVES)
  #starts = new Uint32Array(FIRST_LEAVES)
  #lengths = new Uint32Array(FIRST_LEAVES)
  #bytes = new Uint8Array(FIRST_BYTES)
  #usedBytes = 0

  get count(): number {
    return this.#count
  }

  get allocatedBytes(): number {
    return this.#leaves.byteLength * 3 + this.#bytes.byteLength
  }

  leafAt(position: number): number {
    return this.#leaves[position]!
  }

  /** Position of the only leaf that may hold `key`. There must be one. */
  find(key: Uint8Array): number {
    const bytes = this.#bytes
    let low = 0
    let high = this.#count - 1
    // All labels between two share what both share with the key: no need to look at that again.
    let lowShared = 0
    let highShared = 0
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      const start = this.#starts[middle]!
      const labelLength = this.#lengths[middle]!
      const length = labelLength < key.length ? labelLength : key.length
      let shared = lowShared < highShared ? lowShared : highShared
      while (shared < length && bytes[start + shared] === key[shared]) shared++
      const isAbove =
        shared < length ? bytes[start + shared]! > key[shared]! : labelLength > key.length
      if (isAbove) {
        high = middle - 1
        highShared = shared
      } else {
        low = middle
        lowShared = shared
      }
    }
    return low
  }

  insert(position: number, leaf: number, label: Uint8Array): void {
    if (this.#count === this.#leaves.length) this.#growLeaves()
    if (this.#usedBytes + label.length > this.#bytes.length) this.#growBytes(label.length)
    this.#leaves.copyWithin(position + 1, position, this.#count)
    this.#starts.copyWithin(position + 1, position, this.#count)
    this.#lengths.copyWithin(position + 1, position, this.#count)
    this.#leaves[position] = leaf
    this.#starts[position] = this.#usedBytes
    this.#lengths[position] = label.length
    this.#bytes.set(label, this.#usedBytes)
    this.#usedBytes += label.length
    this.#count++
  }

  /** Gives the leaf another label, on which its keys and its neighbours' agree as well. */
  relabel(position: number, label: Uint8Array): void {
    if (this.#usedBytes + label.length > this.#bytes.length) this.#growBytes(label.length)
    this.#starts[position] = this.#usedBytes
    this.#lengths[position] = label.length
    this.#bytes.set(label, this.#usedBytes)
    this.#usedBytes += label.length
  }

  labelLength(position: number): number {
    return this.#lengths[position]!
  }

  /** Bytes that the label and `key` share at their start. */
  sharedBytes(position: number, key: Uint8Array): number {
    const bytes = this.#bytes
    const start = this.#starts[position]!
    const length = Math.min(this.#lengths[position]!, key.length)
    for (let i = 0; i < length; i++) if (bytes[start + i] !== key[i]) return i
    return length
  }

  /** Negative, zero or positive as the first `length` bytes of the label sort before, as or after those of `key`. */
  comparePrefix(position: number, key: Uint8Array, length: number): number {
    const bytes = this.#bytes
    const start = this.#starts[position]!
    const end = Math.min(length, key.length)
    for (let i = 0; i < end; i++) {
      const difference = bytes[start + i]! - key[i]!
      if (difference !== 0) return difference
    }
    return length > key.length ? 1 : 0
  }

  /** Gives the keys from this label on to the leaf before it. Not for the first leaf. */
  remove(position: number): void {
    this.#leaves.copyWithin(position, position + 1, this.#count)
    this.#starts.copyWithin(position, position + 1, this.#count)
    this.#lengths.copyWithin(position, position + 1, this.#count)
    this.#count--
  }

  #growLeaves(): void {
    this.#leaves = doubled(this.#leaves)
    this.#starts = doubled(this.#starts)
    this.#lengths = doubled(this.#lengths)
  }

  #growBytes(needed: number): void {
    let live = needed
    for (let i = 0; i < this.#count; i++) live += this.#lengths[i]!
    const target = new Uint8Array(Math.max(FIRST_BYTES, live * 2))
    let used = 0
    for (let i = 0; i < this.#count; i++) {
      const start = this.#starts[i]!
      const length = this.#lengths[i]!
      target.set(this.#bytes.subarray(start, start + length), used)
      this.#starts[i] = used
      used += length
    }
    this.#bytes = target
    this.#usedBytes = used
  }
}

function doubled(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(array.length * 2)
  grown.set(array)
  return grown
}
