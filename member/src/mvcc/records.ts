// Results: lists of records that copy nothing. A row is read on demand; its key and value are views into a slab, valid for
// as long as somebody holds them (they keep that slab's memory, up to 1 MiB, alive).

import { EMPTY_BYTES } from '../../../lib/bytes.ts'
import type { Slab } from './slab.ts'

/** A version of a key. For a deletion only `key` and `modRevision` are set. */
export interface KeyValue {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  /** 16 lower-case hex digits, or '' for none. */
  readonly lease: string
}

export class Records {
  /** Rows whose value reads as empty (RNG-4). */
  readonly keysOnly: boolean
  #slabs: Slab[] = []
  #words: number[] = []

  constructor(options: { keysOnly?: boolean } = {}) {
    this.keysOnly = options.keysOnly ?? false
  }

  get length(): number {
    return this.#words.length
  }

  /** Only mvcc adds rows. */
  push(slab: Slab, word: number): void {
    this.#slabs.push(slab)
    this.#words.push(word)
  }

  key(row: number): Uint8Array {
    return this.#slabs[row]!.key(this.#words[row]!)
  }

  value(row: number): Uint8Array {
    return this.keysOnly ? EMPTY_BYTES : this.storedValue(row)
  }

  /** The value also where rows are shown without one. */
  storedValue(row: number): Uint8Array {
    return this.#slabs[row]!.value(this.#words[row]!)
  }

  createRevision(row: number): number {
    return this.#slabs[row]!.createRevision(this.#words[row]!)
  }

  modRevision(row: number): number {
    return this.#slabs[row]!.main(this.#words[row]!)
  }

  subRevision(row: number): number {
    return this.#slabs[row]!.sub(this.#words[row]!)
  }

  version(row: number): number {
    return this.#slabs[row]!.version(this.#words[row]!)
  }

  lease(row: number): string {
    const slab = this.#slabs[row]!
    const word = this.#words[row]!
    return leaseText(slab.leaseHigh(word), slab.leaseLow(word))
  }

  isTombstone(row: number): boolean {
    return this.#slabs[row]!.isTombstone(this.#words[row]!)
  }

  at(row: number): KeyValue {
    return {
      key: this.key(row),
      value: this.value(row),
      createRevision: this.createRevision(row),
      modRevision: this.modRevision(row),
      version: this.version(row),
      lease: this.lease(row),
    }
  }

  /** The rows in another order, and only the first `limit` of them. */
  picked(rows: readonly number[], limit: number): Records {
    const result = new Records({ keysOnly: this.keysOnly })
    const count = Math.min(rows.length, limit)
    for (let i = 0; i < count; i++) {
      const row = rows[i]!
      result.push(this.#slabs[row]!, this.#words[row]!)
    }
    return result
  }
}

export const NO_LEASE = ''

/** The text of a lease identifier: '' for none. */
export function leaseText(high: number, low: number): string {
  if (high === 0 && low === 0) return NO_LEASE
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0')
}

/** Half of a lease identifier as a number; 0 for none. */
export function leaseHalf(lease: string | undefined, half: 'high' | 'low'): number {
  if (lease === undefined || lease === NO_LEASE) return 0
  return Number.parseInt(half === 'high' ? lease.slice(0, 8) : lease.slice(8), 16)
}
