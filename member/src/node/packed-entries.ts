// Consecutive entries of a log as a few columns and blocks of bytes, appended and cut at the end, forgotten at the front.
// Blocks are used again, so that any number of entries passes through the same memory.

import { Buffer } from 'node:buffer'
import { EMPTY_BYTES } from '../../../lib/bytes.ts'
import { invariant } from '../../../lib/assert.ts'
import type { ConfChange, Entry, Index, Term } from '../raft/types.ts'

const BLOCK_BYTES = 256 * 1024
/** Emptied blocks that are kept for the next entries. */
const SPARE_BLOCKS_MAX = 2
/** Forgotten rows at the front are reclaimed once there are this many and they are half of all. */
const RECLAIM_COUNT_MIN = 1024

interface Block {
  readonly memory: Buffer
  used: number
  /** Entries whose data lie here. */
  count: number
}

export interface Start {
  readonly index: Index
  readonly term: Term
}

export class PackedEntries {
  /** The position before the first entry. */
  #start: Start
  /** Row `#head + i` is entry `start.index + 1 + i`. */
  #head = 0
  #terms: Term[] = []
  #blocks: (Block | undefined)[] = []
  #offsets: number[] = []
  #lengths: number[] = []
  readonly #changes = new Map<Index, ConfChange>()
  #dataBytes = 0
  #open: Block | undefined
  #spares: Block[] = []

  constructor(start: Start) {
    this.#start = start
  }

  get start(): Start {
    return this.#start
  }

  get count(): number {
    return this.#terms.length - this.#head
  }

  get lastIndex(): Index {
    return this.#start.index + this.count
  }

  get dataBytes(): number {
    return this.#dataBytes
  }

  lengthAt(index: Index): number {
    return this.#lengths[this.#row(index)]!
  }

  /** Its data are a view that is valid until the entry is cut or forgotten. */
  at(index: Index): Entry {
    const row = this.#row(index)
    const term = this.#terms[row]!
    const change = this.#changes.get(index)
    const data = this.#dataAt(row)
    return { index, term, type: change === undefined ? 'normal' : 'confChange', data, change }
  }

  /** Copies all of it. The entry must be the next. */
  push(entry: Entry): void {
    const { index, term, data, change } = entry
    invariant(index === this.lastIndex + 1, 'entry is not the next', { index })
    if (change !== undefined)
      this.#changes.set(index, { ...change, context: change.context.slice() })
    const block = data.length === 0 ? undefined : this.#blockFor(data.length)
    this.#terms.push(term)
    this.#blocks.push(block)
    this.#offsets.push(block?.used ?? 0)
    this.#lengths.push(data.length)
    if (block === undefined) return
    block.memory.set(data, block.used)
    block.used += data.length
    block.count++
    this.#dataBytes += data.length
  }

  /** Cuts away everything behind `index`, which may lie behind the end: then nothing. */
  cutAfter(index: Index): void {
    while (this.lastIndex > Math.max(index, this.#start.index)) {
      this.#changes.delete(this.lastIndex)
      this.#release(this.#terms.length - 1)
      this.#terms.pop()
      this.#blocks.pop()
      this.#offsets.pop()
      this.#lengths.pop()
    }
  }

  /** Forgets everything up to `index`. */
  dropThrough(index: Index): void {
    const count = index - this.#start.index
    if (count <= 0) return
    const term = this.#terms[this.#row(index)]!
    for (let i = 0; i < count; i++) this.#release(this.#head + i)
    for (const change of this.#changes.keys()) if (change <= index) this.#changes.delete(change)
    this.#head += count
    this.#start = { index, term }
    if (this.#head < RECLAIM_COUNT_MIN || this.#head * 2 < this.#terms.length) return
    this.#terms = this.#terms.slice(this.#head)
    this.#blocks = this.#blocks.slice(this.#head)
    this.#offsets = this.#offsets.slice(this.#head)
    this.#lengths = this.#lengths.slice(this.#head)
    this.#head = 0
  }

  /** All entries. Their memory is theirs from now on: this is not used again. */
  unpack(): Entry[] {
    return Array.from({ length: this.count }, (_, i) => this.at(this.#start.index + 1 + i))
  }

  #row(index: Index): number {
    const row = this.#head + index - this.#start.index - 1
    invariant(row >= this.#head && row < this.#terms.length, 'entry is not there', { index })
    return row
  }

  #dataAt(row: number): Uint8Array {
    const block = this.#blocks[row]
    if (block === undefined) return EMPTY_BYTES
    const { buffer, byteOffset } = block.memory
    return new Uint8Array(buffer, byteOffset + this.#offsets[row]!, this.#lengths[row])
  }

  #blockFor(bytes: number): Block {
    const open = this.#open
    if (open !== undefined && open.memory.length - open.used >= bytes) return open
    if (bytes > BLOCK_BYTES) return newBlock(bytes)
    const block = this.#spares.pop() ?? newBlock(BLOCK_BYTES)
    block.used = 0
    this.#open = block
    return block
  }

  #release(row: number): void {
    const block = this.#blocks[row]
    this.#dataBytes -= this.#lengths[row]!
    // A forgotten row stays for a while, and must not hold on to memory meanwhile.
    this.#blocks[row] = undefined
    if (block === undefined || --block.count > 0) return
    if (block === this.#open) block.used = 0
    else if (block.memory.length === BLOCK_BYTES && this.#spares.length < SPARE_BLOCKS_MAX)
      this.#spares.push(block)
  }
}

function newBlock(bytes: number): Block {
  return { memory: Buffer.allocUnsafeSlow(bytes), used: 0, count: 0 }
}
