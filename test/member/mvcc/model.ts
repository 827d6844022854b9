// The naive key space that store.ts is compared with: every version of every key in plain arrays, and each rule of the
// contract written out without regard to cost.

import { compareBytes } from '../../../lib/bytes.ts'
import type {
  Compare,
  DeleteRequest,
  Interval,
  KeyValue,
  PutRequest,
  RangeQuery,
  TxnOp,
  TxnRequest,
} from '../../../member/src/mvcc/store.ts'

export interface ModelVersion extends KeyValue {
  readonly sub: number
  readonly isTombstone: boolean
}

export interface ModelRange {
  readonly revision: number
  readonly kvs: readonly KeyValue[]
  readonly count: number
  readonly more: boolean
}

export type ModelResponse =
  | { type: 'range'; range: ModelRange }
  | {
      type: 'put'
      put: {
        revision: number
        version: number
        createRevision: number
        prevKv: KeyValue | undefined
      }
    }
  | { type: 'delete'; delete: { revision: number; deleted: number; prevKvs: readonly KeyValue[] } }
  | { type: 'txn'; txn: { revision: number; succeeded: boolean; responses: ModelResponse[] } }

const NOTHING = new Uint8Array(0)

export class Model {
  revision = 1
  compactRevision = -1
  versions: ModelVersion[] = []
  /** Changes made in the open main revision. */
  #changes = 0

  get main(): number {
    return this.#changes === 0 ? this.revision : this.revision + 1
  }

  commit(): number {
    this.revision = this.main
    this.#changes = 0
    return this.revision
  }

  /** The live versions at `revision`, in key order. */
  live(revision: number): ModelVersion[] {
    const newest = new Map<string, ModelVersion>()
    for (const version of this.versions) {
      if (version.modRevision <= revision) newest.set(hex(version.key), version)
    }
    return [...newest.values()]
      .filter((version) => !version.isTombstone)
      .sort((a, b) => compareBytes(a.key, b.key))
  }

  inInterval(interval: Interval, revision: number): ModelVersion[] {
    return this.live(revision).filter((version) => contains(interval, version.key))
  }

  refuse(revision: number | undefined): string | undefined {
    if (revision === undefined || revision <= 0) return undefined
    if (revision > this.revision) return 'future'
    return revision < this.compactRevision ? 'compacted' : undefined
  }

  range(query: RangeQuery): ModelRange {
    const at = query.revision !== undefined && query.revision > 0 ? query.revision : Infinity
    const all = this.inInterval(query, at)
    const count = all.length
    if (query.countOnly === true) return { revision: this.main, kvs: [], count, more: false }
    const order = query.sortOrder ?? 'none'
    const target = query.sortTarget ?? 'key'
    const limit = query.limit !== undefined && query.limit > 0 ? query.limit : Infinity
    const bounds = [
      query.minModRevision,
      query.maxModRevision,
      query.minCreateRevision,
      query.maxCreateRevision,
    ].map((bound) => (bound === 0 ? undefined : bound))
    let rows = all.filter(
      (kv) =>
        (bounds[0] === undefined || kv.modRevision >= bounds[0]) &&
        (bounds[1] === undefined || kv.modRevision <= bounds[1]) &&
        (bounds[2] === undefined || kv.createRevision >= bounds[2]) &&
        (bounds[3] === undefined || kv.createRevision <= bounds[3]),
    )
    const isFiltered = bounds.some((bound) => bound !== undefined)
    const limitsFirst = order === 'none' && !isFiltered
    const more = rows.length > limit
    if (limitsFirst) rows = rows.slice(0, limit)
    const sign = order === 'descend' ? -1 : 1
    rows = rows
      .map((kv, position) => ({ kv, position }))
      .sort((a, b) => sign * by(target, a.kv, b.kv) || a.position - b.position)
      .map(({ kv }) => kv)
    const kvs = rows.slice(0, limit).map((kv) => plain(kv, query.keysOnly === true))
    return { revision: this.main, kvs, count, more }
  }

  put(request: PutRequest): {
    revision: number
    version: number
    createRevision: number
    prevKv: KeyValue | undefined
  } {
    const previous = this.inInterval({ key: request.key }, Infinity)[0]
    const version: ModelVersion = {
      key: request.key,
      value: request.ignoreValue === true && previous ? previous.value : request.value,
      lease: request.ignoreLease === true && previous ? previous.lease : (request.lease ?? ''),
      createRevision: previous?.createRevision ?? this.revision + 1,
      modRevision: this.revision + 1,
      version: (previous?.version ?? 0) + 1,
      sub: this.#changes++,
      isTombstone: false,
    }
    this.versions.push(version)
    const prevKv = request.prevKv === true && previous ? plain(previous, false) : undefined
    return {
      revision: this.main,
      version: version.version,
      createRevision: version.createRevision,
      prevKv,
    }
  }

  delete(request: DeleteRequest): { revision: number; deleted: number; prevKvs: KeyValue[] } {
    const gone = this.inInterval(request, Infinity)
    for (const { key } of gone) {
      this.versions.push({
        key,
        value: NOTHING,
        lease: '',
        createRevision: 0,
        modRevision: this.revision + 1,
        version: 0,
        sub: this.#changes++,
        isTombstone: true,
      })
    }
    const prevKvs = request.prevKv === true ? gone.map((kv) => plain(kv, false)) : []
    return { revision: this.main, deleted: gone.length, prevKvs }
  }

  /** A refusal's reason, or what the branches taken answer. */
  txn(
    request: TxnRequest,
    leaseExists: (lease: string) => boolean,
  ): string | { revision: number; succeeded: boolean; responses: ModelResponse[] } {
    const before = this.live(Infinity)
    const taken = new Map<TxnRequest, boolean>()
    const decide = (txn: TxnRequest): void => {
      const succeeded = txn.compares.every((compare) => modelHolds(before, compare))
      taken.set(txn, succeeded)
      for (const op of succeeded ? txn.success : txn.failure) if (op.type === 'txn') decide(op.txn)
    }
    decide(request)
    const check = (txn: TxnRequest): string | undefined => {
      for (const op of taken.get(txn) === true ? txn.success : txn.failure) {
        const reason = op.type === 'txn' ? check(op.txn) : this.#checkOp(op, before, leaseExists)
        if (reason !== undefined) return reason
      }
      return undefined
    }
    const reason = check(request)
    if (reason !== undefined) return reason
    const run = (
      txn: TxnRequest,
    ): { revision: number; succeeded: boolean; responses: ModelResponse[] } => {
      const succeeded = taken.get(txn) === true
      const responses = (succeeded ? txn.success : txn.failure).map((op): ModelResponse => {
        if (op.type === 'range') return { type: 'range', range: this.range(op.range) }
        if (op.type === 'put') return { type: 'put', put: this.put(op.put) }
        if (op.type === 'delete') return { type: 'delete', delete: this.delete(op.delete) }
        if (op.type === 'txn') return { type: 'txn', txn: run(op.txn) }
        throw new Error('empty operation')
      })
      return { revision: this.main, succeeded, responses }
    }
    const result = run(request)
    return { ...result, revision: this.commit() }
  }

  #checkOp(
    op: TxnOp,
    before: readonly ModelVersion[],
    leaseExists: (lease: string) => boolean,
  ): string | undefined {
    if (op.type === 'range') return this.refuse(op.range.revision)
    if (op.type !== 'put') return undefined
    const { put } = op
    if (put.lease !== undefined && put.lease !== '' && !leaseExists(put.lease))
      return 'leaseNotFound'
    const keeps = put.ignoreValue === true || put.ignoreLease === true
    return keeps && !before.some((kv) => hex(kv.key) === hex(put.key)) ? 'keyNotFound' : undefined
  }
}

function modelHolds(live: readonly ModelVersion[], compare: Compare): boolean {
  const inside = live.filter((kv) => contains(compare, kv.key))
  if (inside.length > 0) return inside.every((kv) => modelCompare(kv, compare))
  return compare.target !== 'value' && modelCompare(undefined, compare)
}

function modelCompare(kv: ModelVersion | undefined, compare: Compare): boolean {
  const sign = modelOrder(kv, compare)
  if (compare.result === 'equal') return sign === 0
  if (compare.result === 'notEqual') return sign !== 0
  return compare.result === 'greater' ? sign > 0 : sign < 0
}

function modelOrder(kv: ModelVersion | undefined, compare: Compare): number {
  if (compare.target === 'value') {
    return compareBytes(kv?.value ?? NOTHING, compare.value ?? NOTHING)
  }
  if (compare.target === 'lease') {
    const stored = BigInt.asIntN(64, BigInt(`0x${kv?.lease || '0'}`))
    const given = BigInt.asIntN(64, BigInt(`0x${compare.lease || '0'}`))
    return stored === given ? 0 : stored > given ? 1 : -1
  }
  const numbers = {
    version: kv?.version ?? 0,
    create: kv?.createRevision ?? 0,
    mod: kv?.modRevision ?? 0,
  }
  return numbers[compare.target] - (compare.number ?? 0)
}

export function contains({ key, rangeEnd }: Interval, candidate: Uint8Array): boolean {
  if (rangeEnd === undefined || rangeEnd.length === 0) return compareBytes(key, candidate) === 0
  if (compareBytes(candidate, key) < 0) return false
  return (rangeEnd.length === 1 && rangeEnd[0] === 0) || compareBytes(candidate, rangeEnd) < 0
}

function by(target: string, a: KeyValue, b: KeyValue): number {
  if (target === 'version') return a.version - b.version
  if (target === 'create') return a.createRevision - b.createRevision
  if (target === 'mod') return a.modRevision - b.modRevision
  return target === 'value' ? compareBytes(a.value, b.value) : compareBytes(a.key, b.key)
}

function plain(kv: KeyValue, keysOnly: boolean): KeyValue {
  const { key, value, createRevision, modRevision, version, lease } = kv
  return { key, value: keysOnly ? NOTHING : value, createRevision, modRevision, version, lease }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
