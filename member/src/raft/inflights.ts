// The MsgApp sent to one peer and not answered yet: a ring of (last index, bytes), bounded by both.

import { invariant } from '../../../lib/assert.ts'
import type { Index } from './types.ts'

export class Inflights {
  readonly #countMax: number
  readonly #bytesMax: number
  /** Grow up to `countMax` as needed: most peers never fill their window. */
  #indexes: Index[] = []
  #sizes: number[] = []
  #start = 0
  #count = 0
  #bytes = 0

  constructor(limits: { readonly countMax: number; readonly bytesMax: number }) {
    this.#countMax = limits.countMax
    this.#bytesMax = limits.bytesMax
  }

  get count(): number {
    return this.#count
  }

  get isFull(): boolean {
    return this.#count === this.#countMax || this.#bytes >= this.#bytesMax
  }

  /** `last` is larger than that of any message before. */
  add(last: Index, bytes: number): void {
    invariant(!this.isFull, 'window is full', { last })
    if (this.#count === this.#indexes.length) this.#grow()
    const slot = (this.#start + this.#count) % this.#indexes.length
    this.#indexes[slot] = last
    this.#sizes[slot] = bytes
    this.#count++
    this.#bytes += bytes
  }

  /** The peer has everything up to `index`. */
  freeTo(index: Index): void {
    while (this.#count > 0 && this.#indexes[this.#start]! <= index) {
      this.#bytes -= this.#sizes[this.#start]!
      this.#start = (this.#start + 1) % this.#indexes.length
      this.#count--
    }
  }

  clear(): void {
    this.#start = 0
    this.#count = 0
    this.#bytes = 0
  }

  #grow(): void {
    const size = Math.min(this.#countMax, Math.max(8, this.#indexes.length * 2))
    const indexes: Index[] = []
    const sizes: number[] = []
    for (let i = 0; i < size; i++) {
      const slot = (this.#start + i) % Math.max(1, this.#indexes.length)
      indexes.push(i < this.#count ? this.#indexes[slot]! : 0)
      sizes.push(i < this.#count ? this.#sizes[slot]! : 0)
    }
    this.#indexes = indexes
    this.#sizes = sizes
    this.#start = 0
  }
}
