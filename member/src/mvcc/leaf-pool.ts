// Memory for the leaves of the key index: typed arrays in blocks, so that growing never copies what is there and a million
// keys are a few hundred objects to the garbage collector. What the numbers mean belongs to key-index.ts.

/** Entries of a leaf. Measured: 64 is slower to search from above, 256 slower to insert into. */
export const LEAF_ENTRIES_MAX = 128
const BLOCK_LEAVES = 64
const BLOCK_ENTRIES = BLOCK_LEAVES * LEAF_ENTRIES_MAX

/** The entries of a run of leaves; a leaf's own begin at {@link LeafPool.base}. */
export interface LeafBlock {
  /** Sequence number of the newest record of the key, plus one; negated if that record is a deletion. */
  readonly heads: Float64Array
  /** Four bytes of the key, from where the keys of the leaf begin to differ. */
  readonly hints: Uint32Array
}

export class LeafPool {
  readonly #blocks: LeafBlock[] = []
  readonly #free: number[] = []
  #used = 0

  get allocatedBytes(): number {
    return this.#blocks.length * BLOCK_ENTRIES * 12
  }

  /** A leaf's number. Its entries hold whatever they held before. */
  allocate(): number {
    const reused = this.#free.pop()
    if (reused !== undefined) return reused
    if (this.#used === this.#blocks.length * BLOCK_LEAVES) {
      this.#blocks.push({
        heads: new Float64Array(BLOCK_ENTRIES),
        hints: new Uint32Array(BLOCK_ENTRIES),
      })
    }
    return this.#used++
  }

  release(leaf: number): void {
    this.#free.push(leaf)
  }

  block(leaf: number): LeafBlock {
    return this.#blocks[Math.floor(leaf / BLOCK_LEAVES)]!
  }

  base(leaf: number): number {
    return (leaf % BLOCK_LEAVES) * LEAF_ENTRIES_MAX
  }
}
