// A run of random operations on two stores and the naive model: one store compacts physically in small steps and is
// replaced by its restored copy now and then, the other never does any physical work. Every answer is compared.

import { strict as assert } from 'node:assert'
import { SeededPrng } from '../../../lib/prng.ts'
import { Store, type TxnOpResult, validateTxn } from '../../../member/src/mvcc/store.ts'
import { Model, type ModelResponse } from './model.ts'
import { accepted, copyOf, edgeKeys, FROM, reasonOf, RequestSource, rows } from './support.ts'

export class Comparison {
  readonly prng: SeededPrng
  readonly model = new Model()
  readonly lazy = new Store()
  eager = new Store()
  readonly source: RequestSource

  constructor(seed: number) {
    this.prng = new SeededPrng(seed)
    const keys = edgeKeys(this.prng, [8, 60, 700][seed % 3]!)
    this.source = new RequestSource(this.prng, keys)
  }

  get stores(): Store[] {
    return [this.eager, this.lazy]
  }

  step(): void {
    const kind = this.prng.next(100)
    if (kind < 35) this.put()
    else if (kind < 45) this.delete()
    else if (kind < 65) this.range()
    else if (kind < 85) this.txn()
    else if (kind < 88) this.compact()
    else if (kind < 96) this.eager.compactStep(1 + this.prng.next(60))
    else if (kind < 98) this.restore()
    else this.hash()
    assert.deepEqual(this.eager.revision, this.model.revision)
  }

  put(): void {
    const request = this.source.put()
    const needsKey = request.ignoreValue === true || request.ignoreLease === true
    const exists = this.model.inInterval(request, Infinity).length > 0
    const expected = needsKey && !exists ? 'keyNotFound' : { ok: true, ...this.model.put(request) }
    this.model.commit()
    for (const store of this.stores) {
      const result = store.put(request)
      if (typeof expected === 'string') assert.deepEqual(reasonOf(result), expected)
      else assert.deepEqual(result, expected)
    }
  }

  delete(): void {
    const request = { ...this.source.interval(), prevKv: this.source.chance(50) }
    const expected = this.model.delete(request)
    this.model.commit()
    for (const store of this.stores) {
      const result = accepted(store.delete(request))
      assert.deepEqual({ ...result, prevKvs: rows(result.prevKvs) }, { ok: true, ...expected })
    }
  }

  range(): void {
    const query = this.source.range(this.model.revision)
    const reason = this.model.refuse(query.revision)
    const expected = reason ?? { ok: true, ...this.model.range(query) }
    for (const store of this.stores) {
      const result = store.range(query)
      if (typeof expected === 'string') assert.deepEqual(reasonOf(result), expected)
      else assert.deepEqual(plainRange(accepted(result)), expected)
    }
  }

  txn(): void {
    const request = this.source.txn(this.model.revision)
    if (validateTxn(request, { opsMax: 128 }) !== undefined) return
    const leaseExists = (lease: string): boolean => lease !== this.source.leases[2]
    const expected = this.model.txn(request, leaseExists)
    for (const store of this.stores) {
      const result = store.txn(request, { leaseExists })
      if (typeof expected === 'string') assert.deepEqual(reasonOf(result), expected)
      else assert.deepEqual(plainTxn(accepted(result)), expected)
    }
  }

  compact(): void {
    const revision = this.prng.next(this.model.revision + 2)
    const expected =
      revision <= this.model.compactRevision
        ? 'compacted'
        : revision > this.model.revision
          ? 'future'
          : 'accepted'
    for (const store of this.stores) assert.deepEqual(reasonOf(store.compact(revision)), expected)
    if (expected === 'accepted') this.model.compactRevision = revision
  }

  /** Goes on with the copy; writes made while the snapshot is read are not in it. */
  restore(): void {
    const before = this.eager.hash(0)
    this.eager = copyOf(this.eager, 4 + this.prng.next(3000))
    assert.deepEqual(this.eager.hash(0), before)
  }

  hash(): void {
    const revision = this.prng.next(this.model.revision + 2)
    assert.deepEqual(this.eager.hash(revision), this.lazy.hash(revision))
  }

  /** Everything that can be read, at every revision that can be read. */
  checkAll(): void {
    const first = Math.max(1, this.model.compactRevision)
    for (const store of this.stores) {
      assert.deepEqual(store.compactRevision, this.model.compactRevision)
      const live = this.model.live(Infinity)
      assert.deepEqual(store.keyCount, live.length)
      const liveBytes = live.reduce((sum, kv) => sum + kv.key.length + kv.value.length, 0)
      assert.deepEqual(store.liveBytes, liveBytes)
      const changes = accepted(store.changes(first, Infinity)).records
      const expected = this.model.versions.filter((version) => version.modRevision >= first)
      assert.deepEqual(
        rows(changes).map((kv, row) => ({
          ...kv,
          sub: changes.subRevision(row),
          isTombstone: changes.isTombstone(row),
        })),
        expected,
      )
      for (let revision = first; revision <= this.model.revision; revision++) {
        const query = { key: FROM, rangeEnd: FROM, revision }
        const result = plainRange(accepted(store.range(query)))
        assert.deepEqual(result, { ok: true, ...this.model.range(query) })
      }
    }
    for (let revision = 1; revision <= this.model.revision; revision += 1 + this.prng.next(5)) {
      assert.deepEqual(this.eager.hash(revision), this.lazy.hash(revision))
    }
  }
}

function plainRange(result: {
  ok: true
  revision: number
  kvs: Parameters<typeof rows>[0]
  count: number
  more: boolean
}): unknown {
  return { ...result, kvs: rows(result.kvs) }
}

function plainTxn(result: {
  revision: number
  succeeded: boolean
  responses: readonly TxnOpResult[]
}): unknown {
  const responses = result.responses.map((response): unknown => {
    if (response.type === 'range') {
      const { ok: _, ...range } = response.range
      return { type: 'range', range: { ...range, kvs: rows(range.kvs) } }
    }
    if (response.type === 'put') {
      const { ok: _, ...put } = response.put
      return { type: 'put', put }
    }
    if (response.type === 'delete') {
      const { ok: _, ...deleted } = response.delete
      return { type: 'delete', delete: { ...deleted, prevKvs: rows(deleted.prevKvs) } }
    }
    return { type: 'txn', txn: plainTxn(response.txn) }
  }) as ModelResponse[]
  return { revision: result.revision, succeeded: result.succeeded, responses }
}
