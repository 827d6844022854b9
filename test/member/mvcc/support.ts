// Shared by the tests of the key space: bytes from text, plain rows, and requests drawn from a seed.

import { type Prng } from '../../../lib/prng.ts'
import { StoreRestorer } from '../../../member/src/mvcc/restore.ts'
import type {
  Compare,
  Interval,
  KeyValue,
  PutRequest,
  RangeQuery,
  Records,
  Refusal,
  Store,
  TxnOp,
  TxnRequest,
} from '../../../member/src/mvcc/store.ts'

export const FROM = new Uint8Array(1)
export const NO_BYTES = new Uint8Array(0)

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function text(value: Uint8Array): string {
  return new TextDecoder().decode(value)
}

export function rows(records: Records): KeyValue[] {
  return Array.from({ length: records.length }, (_, row) => records.at(row))
}

/** The result of an operation that is not refused. */
export function accepted<T extends { readonly ok: true }>(result: T | Refusal): T {
  if (!result.ok) throw new Error(`refused: ${result.reason}`)
  return result
}

export function reasonOf(result: { readonly ok: true } | Refusal): string {
  return result.ok ? 'accepted' : result.reason
}

export function put(store: Store, key: string, value = ''): number {
  return accepted(store.put({ key: bytes(key), value: bytes(value) })).revision
}

/** A store through the stream of its snapshot, cut into pieces of at most `chunkBytes`. */
export function copyOf(store: Store, chunkBytes?: number): Store {
  const snapshot = store.capture()
  const restorer = new StoreRestorer()
  for (const chunk of snapshot.chunks(chunkBytes)) restorer.addChunk(chunk)
  snapshot.release()
  return restorer.finish()
}

const PREFIXES = ['', 'a', '/registry/pods/kube-system/', '/registry/pods/', 'a'.repeat(60)]
const EDGE_BYTES = [0x00, 0x01, 0x61, 0x62, 0xfe, 0xff]

/** Distinct keys that are prefixes of one another, share long starts, and hold the extreme bytes. */
export function edgeKeys(prng: Prng, count: number): Uint8Array[] {
  const keys = new Map<string, Uint8Array>()
  while (keys.size < count) {
    const prefix = bytes(PREFIXES[prng.next(PREFIXES.length)]!)
    const tail = new Uint8Array(1 + prng.next(7)).map(() => EDGE_BYTES[prng.next(6)]!)
    const key = new Uint8Array([...prefix, ...tail])
    keys.set(Buffer.from(key).toString('hex'), key)
  }
  return [...keys.values()]
}

export class RequestSource {
  readonly #prng: Prng
  readonly #keys: readonly Uint8Array[]
  readonly leases = ['00000000000000ff', '0a00000000000001', 'f000000000000002']

  constructor(prng: Prng, keys: readonly Uint8Array[]) {
    this.#prng = prng
    this.#keys = keys
  }

  chance(percent: number): boolean {
    return this.#prng.next(100) < percent
  }

  pick<T>(from: readonly T[]): T {
    return from[this.#prng.next(from.length)]!
  }

  key(): Uint8Array {
    return this.pick(this.#keys)
  }

  value(): Uint8Array {
    const kind = this.#prng.next(1000)
    const size = kind < 2 ? 300_000 : kind < 20 ? 9_000 : kind < 300 ? 0 : this.#prng.next(120)
    return new Uint8Array(size).fill(this.#prng.next(256))
  }

  interval(): Interval {
    const key = this.key()
    const kind = this.#prng.next(10)
    if (kind < 4) return { key }
    if (kind < 5) return { key, rangeEnd: NO_BYTES }
    if (kind < 6) return { key, rangeEnd: FROM }
    if (kind < 7) return { key: FROM, rangeEnd: FROM }
    return { key, rangeEnd: this.key() }
  }

  put(): PutRequest {
    const kind = this.#prng.next(20)
    const shared = { key: this.key(), prevKv: this.chance(30) }
    if (kind === 0) return { ...shared, value: NO_BYTES, ignoreValue: true }
    if (kind === 1) return { ...shared, value: this.value(), ignoreLease: true }
    const lease = this.chance(20) ? { lease: this.pick(this.leases) } : {}
    if (kind === 2) return { ...shared, value: NO_BYTES, ignoreValue: true, ...lease }
    return { ...shared, value: this.value(), ...lease }
  }

  range(revision: number): RangeQuery {
    const bound = (): number => this.#prng.next(revision + 2)
    return {
      ...this.interval(),
      ...(this.chance(40) ? { revision: bound() } : {}),
      ...(this.chance(40) ? { limit: this.#prng.next(12) - 1 } : {}),
      ...(this.chance(40) ? { sortOrder: this.pick(['none', 'ascend', 'descend'] as const) } : {}),
      ...(this.chance(40)
        ? { sortTarget: this.pick(['key', 'version', 'create', 'mod', 'value'] as const) }
        : {}),
      ...(this.chance(15) ? { keysOnly: true } : {}),
      ...(this.chance(10) ? { countOnly: true } : {}),
      ...(this.chance(15) ? { minModRevision: bound() } : {}),
      ...(this.chance(15) ? { maxModRevision: bound() } : {}),
      ...(this.chance(10) ? { minCreateRevision: bound() } : {}),
      ...(this.chance(10) ? { maxCreateRevision: bound() } : {}),
    }
  }

  compare(revision: number): Compare {
    const shared = {
      ...this.interval(),
      result: this.pick(['equal', 'notEqual', 'greater', 'less'] as const),
    }
    const kind = this.#prng.next(6)
    if (kind === 0) return { ...shared, target: 'value', value: this.value() }
    if (kind === 1) return { ...shared, target: 'lease', lease: this.pick(['', ...this.leases]) }
    if (kind === 2) return { ...shared, target: 'mod' }
    const number = this.#prng.next(this.chance(50) ? 4 : revision + 2)
    return { ...shared, target: this.pick(['version', 'create', 'mod'] as const), number }
  }

  txn(revision: number, depth = 0): TxnRequest {
    const list = <T>(max: number, make: () => T): T[] =>
      Array.from({ length: this.#prng.next(max + 1) }, make)
    return {
      compares: list(2, () => this.compare(revision)),
      success: list(4, () => this.op(revision, depth)),
      failure: list(4, () => this.op(revision, depth)),
    }
  }

  op(revision: number, depth: number): TxnOp {
    const kind = this.#prng.next(10)
    if (kind < 3) return { type: 'range', range: this.range(revision) }
    if (kind < 7) return { type: 'put', put: this.put() }
    if (kind < 8 && depth < 2) return { type: 'txn', txn: this.txn(revision, depth + 1) }
    return { type: 'delete', delete: { ...this.interval(), prevKv: this.chance(30) } }
  }
}
