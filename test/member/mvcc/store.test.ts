// Revisions, ranges, puts and deletes (contract etcd-v3 sections 3.1 to 3.5), statement by statement.

import { describe, expect, test } from 'vitest'
import { prefixEnd } from '../../../lib/bytes.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import { type KeyValue, type RangeQuery, Store } from '../../../member/src/mvcc/store.ts'
import { accepted, bytes, FROM, NO_BYTES, put, reasonOf, rows, text } from './support.ts'

const ALL = { key: FROM, rangeEnd: FROM }

function keysIn(store: Store, query: RangeQuery): string[] {
  return rows(accepted(store.range(query)).kvs).map((kv) => text(kv.key))
}

function mustGet(store: Store, key: string): KeyValue {
  const kv = store.get(bytes(key))
  if (kv === undefined) throw new Error('key does not exist')
  return kv
}

describe('revisions', () => {
  test('an unused store is at revision 1 and its first change makes 2 (REV-1)', () => {
    const store = new Store()
    expect(store.revision).toBe(1)
    expect(put(store, 'a')).toBe(2)
    expect(store.revision).toBe(2)
  })

  test('a request that touches many keys raises the revision by one, with sub revisions in order (REV-2, REV-3)', () => {
    const store = new Store()
    for (const key of ['a', 'b', 'c']) put(store, key)
    const result = accepted(store.delete(ALL))
    expect(result).toMatchObject({ revision: 5, deleted: 3 })
    const { records } = accepted(store.changes(5, 100))
    expect([0, 1, 2].map((row) => [text(records.key(row)), records.subRevision(row)])).toEqual([
      ['a', 0],
      ['b', 1],
      ['c', 2],
    ])
  })

  test('reads, deletes that match nothing and compaction leave the revision alone (REV-4)', () => {
    const store = new Store()
    put(store, 'a')
    store.range(ALL)
    expect(accepted(store.delete({ key: bytes('x') }))).toMatchObject({ revision: 2, deleted: 0 })
    accepted(store.compact(2))
    expect(store.revision).toBe(2)
  })

  test('a put of what is stored already is a change (REV-5)', () => {
    const store = new Store()
    put(store, 'a', '1')
    expect(put(store, 'a', '1')).toBe(3)
    expect(mustGet(store, 'a')).toMatchObject({ version: 2, createRevision: 2, modRevision: 3 })
  })

  test('a put after a delete starts a new life of the key (REV-6)', () => {
    const store = new Store()
    put(store, 'a')
    put(store, 'a')
    accepted(store.delete({ key: bytes('a') }))
    put(store, 'a')
    expect(mustGet(store, 'a')).toMatchObject({ version: 1, createRevision: 5, modRevision: 5 })
  })

  test('a key deleted and put again in one revision starts a new life in it (REV-7)', () => {
    const store = new Store()
    put(store, 'a', 'old')
    const txn = store.begin()
    accepted(txn.delete(ALL))
    accepted(txn.put({ key: bytes('a'), value: bytes('new') }))
    expect(txn.commit()).toBe(3)
    expect(mustGet(store, 'a')).toMatchObject({ version: 1, createRevision: 3, modRevision: 3 })
    expect(text(store.get(bytes('a'), 2)!.value)).toBe('old')
  })
})

describe('key ranges', () => {
  const store = new Store()
  for (const key of ['a', 'aa', 'ab', 'b', 'ba', 'c']) put(store, key)

  test('without an end only the key itself matches (RGE-1)', () => {
    expect(keysIn(store, { key: bytes('a') })).toEqual(['a'])
    expect(keysIn(store, { key: bytes('a'), rangeEnd: NO_BYTES })).toEqual(['a'])
    expect(keysIn(store, { key: bytes('ac') })).toEqual([])
  })

  test('an end is not part of the interval (RGE-2)', () => {
    expect(keysIn(store, { key: bytes('aa'), rangeEnd: bytes('ba') })).toEqual(['aa', 'ab', 'b'])
  })

  test('an end of one zero byte means all keys from the key on (RGE-3)', () => {
    expect(keysIn(store, { key: bytes('b'), rangeEnd: FROM })).toEqual(['b', 'ba', 'c'])
    expect(keysIn(store, ALL)).toHaveLength(6)
  })

  test('a prefix and its end match the keys that start with it (RGE-4)', () => {
    const key = bytes('a')
    expect(keysIn(store, { key, rangeEnd: prefixEnd(key) })).toEqual(['a', 'aa', 'ab'])
  })

  test('an end not above the key is an empty interval (RGE-5)', () => {
    for (const end of ['a', 'aa']) {
      const result = accepted(store.range({ key: bytes('aa'), rangeEnd: bytes(end) }))
      expect(result).toMatchObject({ count: 0, more: false })
      expect(accepted(store.delete({ key: bytes('aa'), rangeEnd: bytes(end) })).deleted).toBe(0)
    }
  })

  test('an empty key is refused (RGE-6)', () => {
    expect(reasonOf(store.range({ key: NO_BYTES }))).toBe('keyNotProvided')
    expect(reasonOf(store.put({ key: NO_BYTES, value: NO_BYTES }))).toBe('keyNotProvided')
    expect(reasonOf(store.delete({ key: NO_BYTES, rangeEnd: FROM }))).toBe('keyNotProvided')
  })
})

describe('range', () => {
  /** a: versions at 2 and 6; b: 3, deleted at 7; c: 4; d: 5. */
  const store = new Store()
  for (const key of ['a', 'b', 'c', 'd']) put(store, key, `value of ${key}`)
  put(store, 'a', 'z')
  accepted(store.delete({ key: bytes('b') }))

  test('keys come in order, each once, without deleted ones (RNG-1)', () => {
    expect(keysIn(store, ALL)).toEqual(['a', 'c', 'd'])
  })

  test('the count is of all keys in the interval, before limit and filters (RNG-2)', () => {
    const result = accepted(store.range({ ...ALL, limit: 1, minModRevision: 5 }))
    expect(result).toMatchObject({ count: 3, more: true })
    expect(result.kvs).toHaveLength(1)
  })

  test('counting returns no rows and no more (RNG-3)', () => {
    const result = accepted(store.range({ ...ALL, countOnly: true, limit: 1 }))
    expect(result).toMatchObject({ count: 3, more: false })
    expect(result.kvs).toHaveLength(0)
  })

  test('keys alone have every field but the value (RNG-4)', () => {
    const { kvs } = accepted(store.range({ key: bytes('a'), keysOnly: true }))
    expect(kvs.value(0)).toHaveLength(0)
    expect(kvs.at(0)).toMatchObject({ version: 2, createRevision: 2, modRevision: 6 })
  })

  test.each([
    [undefined, 3, false],
    [0, 3, false],
    [-1, 3, false],
    [2, 2, true],
    [3, 3, false],
    [4, 3, false],
  ])('a limit of %s gives %i rows and more=%s (RNG-5)', (limit, rowCount, more) => {
    const result = accepted(store.range({ ...ALL, ...(limit === undefined ? {} : { limit }) }))
    expect(result.more).toBe(more)
    expect(result.kvs).toHaveLength(rowCount)
  })

  test('an order or a filter comes before the limit (RNG-6)', () => {
    const ordered = accepted(store.range({ ...ALL, sortOrder: 'descend', limit: 2 }))
    expect(rows(ordered.kvs).map((kv) => text(kv.key))).toEqual(['d', 'c'])
    expect(ordered.more).toBe(true)
    expect(keysIn(store, { ...ALL, minModRevision: 5, limit: 1 })).toEqual(['a'])
    expect(keysIn(store, { ...ALL, maxModRevision: 5, limit: 1 })).toEqual(['c'])
  })

  test('without an order a target sorts what the limit left (RNG-7)', () => {
    expect(keysIn(store, { ...ALL, sortTarget: 'mod', limit: 2 })).toEqual(['c', 'a'])
    expect(keysIn(store, { ...ALL, sortTarget: 'mod', sortOrder: 'ascend', limit: 2 })).toEqual([
      'c',
      'd',
    ])
  })

  test('ties stay in key order, ascending and descending (RNG-8)', () => {
    const byVersion = { ...ALL, sortTarget: 'version' } as const
    expect(keysIn(store, { ...byVersion, sortOrder: 'ascend' })).toEqual(['c', 'd', 'a'])
    expect(keysIn(store, { ...byVersion, sortOrder: 'descend' })).toEqual(['a', 'c', 'd'])
  })

  test('values are sorted by their bytes, also where they are not shown (RNG-8)', () => {
    const query = { ...ALL, sortTarget: 'value', sortOrder: 'descend', keysOnly: true } as const
    expect(keysIn(store, query)).toEqual(['a', 'd', 'c'])
  })

  test('an unknown order or target is refused (RNG-9)', () => {
    expect(reasonOf(store.range({ ...ALL, sortOrder: 'unknown' }))).toBe('invalidSortOption')
    expect(reasonOf(store.range({ ...ALL, sortTarget: 'unknown' }))).toBe('invalidSortOption')
  })

  test('filters are inclusive, combine, and 0 is none (RNG-10)', () => {
    expect(keysIn(store, { ...ALL, minModRevision: 4, maxModRevision: 5 })).toEqual(['c', 'd'])
    expect(keysIn(store, { ...ALL, minCreateRevision: 2, maxCreateRevision: 4 })).toEqual([
      'a',
      'c',
    ])
    expect(keysIn(store, { ...ALL, minModRevision: 5, maxCreateRevision: 2 })).toEqual(['a'])
    expect(keysIn(store, { ...ALL, minModRevision: 0, maxModRevision: 0 })).toHaveLength(3)
  })

  test('a revision shows the state right after it, and the result the current one (RNG-11)', () => {
    const old = accepted(store.range({ ...ALL, revision: 6 }))
    expect(rows(old.kvs).map((kv) => text(kv.value))).toEqual([
      'z',
      'value of b',
      'value of c',
      'value of d',
    ])
    expect(old.revision).toBe(7)
    expect(keysIn(store, { ...ALL, revision: 3 })).toEqual(['a', 'b'])
    expect(keysIn(store, { ...ALL, revision: -5 })).toEqual(['a', 'c', 'd'])
    expect(reasonOf(store.range({ ...ALL, revision: 8 }))).toBe('future')
  })

  test('the compact revision itself can be read in full, the one before cannot (RNG-11, RNG-12)', () => {
    const store = new Store()
    for (const value of ['1', '2', '3']) put(store, 'a', value)
    put(store, 'b')
    accepted(store.compact(4))
    while (store.compactStep(1));
    const result = accepted(store.range({ ...ALL, revision: 4 }))
    expect(rows(result.kvs)).toHaveLength(1)
    expect(text(result.kvs.value(0))).toBe('3')
    expect(reasonOf(store.range({ ...ALL, revision: 3 }))).toBe('compacted')
  })

  test('a revision is checked also for an empty interval, the future first (RNG-13)', () => {
    const store = new Store()
    put(store, 'a')
    put(store, 'a')
    accepted(store.compact(3))
    const empty = { key: bytes('b'), rangeEnd: bytes('a') }
    expect(reasonOf(store.range({ ...empty, revision: 4 }))).toBe('future')
    expect(reasonOf(store.range({ ...empty, revision: 2 }))).toBe('compacted')
  })
})

describe('put', () => {
  test('the entry before is returned when asked for, and absent if there was none (PUT-1)', () => {
    const store = new Store()
    const key = bytes('a')
    expect(accepted(store.put({ key, value: bytes('1'), prevKv: true })).prevKv).toBeUndefined()
    const { prevKv } = accepted(store.put({ key, value: bytes('2'), prevKv: true }))
    expect(prevKv).toMatchObject({ version: 1, modRevision: 2, createRevision: 2 })
    expect(text(prevKv!.value)).toBe('1')
    expect(accepted(store.put({ key, value: NO_BYTES })).prevKv).toBeUndefined()
  })

  test('every put replaces the lease, and old versions keep theirs (PUT-3)', () => {
    const store = new Store()
    const key = bytes('a')
    const leases = ['0000000000000001', 'ffffffffffffffff', '']
    for (const lease of leases) accepted(store.put({ key, value: NO_BYTES, lease }))
    expect([2, 3, 4].map((revision) => store.get(key, revision)!.lease)).toEqual(leases)
  })

  test('ignore_value keeps the value, needs the key and takes no value (PUT-4)', () => {
    const store = new Store()
    const key = bytes('a')
    const keep = { key, value: NO_BYTES, ignoreValue: true }
    expect(reasonOf(store.put(keep))).toBe('keyNotFound')
    put(store, 'a', 'kept')
    expect(reasonOf(store.put({ ...keep, value: bytes('x') }))).toBe('valueProvided')
    accepted(store.put({ ...keep, lease: '0000000000000007' }))
    expect(text(mustGet(store, 'a').value)).toBe('kept')
    expect(mustGet(store, 'a').lease).toBe('0000000000000007')
  })

  test('ignore_lease keeps the lease, needs the key and takes no lease (PUT-5)', () => {
    const store = new Store()
    const key = bytes('a')
    const keep = { key, value: bytes('x'), ignoreLease: true }
    expect(reasonOf(store.put(keep))).toBe('keyNotFound')
    accepted(store.put({ key, value: NO_BYTES, lease: '0000000000000007' }))
    expect(reasonOf(store.put({ ...keep, lease: '0000000000000008' }))).toBe('leaseProvided')
    accepted(store.put(keep))
    expect(mustGet(store, 'a')).toMatchObject({ lease: '0000000000000007' })
    expect(text(mustGet(store, 'a').value)).toBe('x')
  })

  test('a put that keeps something still makes a version, a refused one does not (PUT-6)', () => {
    const store = new Store()
    const key = bytes('a')
    put(store, 'a')
    accepted(store.put({ key, value: NO_BYTES, ignoreValue: true, ignoreLease: true }))
    expect(mustGet(store, 'a')).toMatchObject({ version: 2, modRevision: 3 })
    reasonOf(store.put({ key: bytes('b'), value: NO_BYTES, ignoreValue: true }))
    expect(store.revision).toBe(3)
  })

  test('an empty value is a value (PUT-8)', () => {
    const store = new Store()
    put(store, 'a', '')
    expect(mustGet(store, 'a')).toMatchObject({ createRevision: 2, version: 1 })
    expect(mustGet(store, 'a').value).toHaveLength(0)
    expect(accepted(store.range(ALL)).count).toBe(1)
  })

  test('key and value are copied: the caller may reuse its buffers', () => {
    const store = new Store()
    const key = bytes('a')
    const value = bytes('v')
    accepted(store.put({ key, value }))
    key.fill(0)
    value.fill(0)
    expect(text(mustGet(store, 'a').value)).toBe('v')
  })
})

describe('delete', () => {
  test('all live keys of the interval go in one revision, in key order (DEL-1)', () => {
    const store = new Store()
    for (const key of ['c', 'a', 'd', 'b']) put(store, key)
    accepted(store.delete({ key: bytes('a'), rangeEnd: bytes('d') }))
    const { records } = accepted(store.changes(6, 10))
    expect(rows(records).map((kv) => [text(kv.key), kv.modRevision])).toEqual([
      ['a', 6],
      ['b', 6],
      ['c', 6],
    ])
    expect(keysIn(store, ALL)).toEqual(['d'])
  })

  test('deleting a deleted key is a success that removes nothing (DEL-2)', () => {
    const store = new Store()
    put(store, 'a')
    expect(accepted(store.delete({ key: bytes('a') })).deleted).toBe(1)
    expect(accepted(store.delete({ key: bytes('a') }))).toMatchObject({ deleted: 0, revision: 3 })
  })

  test('the entries removed are returned in key order when asked for (DEL-3)', () => {
    const store = new Store()
    put(store, 'b', '1')
    put(store, 'a', '2')
    const { prevKvs } = accepted(store.delete({ ...ALL, prevKv: true }))
    expect(rows(prevKvs).map((kv) => text(kv.value))).toEqual(['2', '1'])
  })
})

describe('storage', () => {
  test('a value of 1.5 MiB lies next to small ones and survives compaction around it', () => {
    const store = new Store()
    const large = new Uint8Array(1_572_864).map((_, i) => i % 251)
    for (let i = 0; i < 50; i++) put(store, `key-${i}`, 'x'.repeat(i))
    accepted(store.put({ key: bytes('large'), value: large }))
    for (let i = 0; i < 50; i++) put(store, `key-${i}`, 'y'.repeat(i))
    accepted(store.compact(store.revision))
    while (store.compactStep(10));
    expect(Buffer.compare(mustGet(store, 'large').value, large)).toBe(0)
    expect(text(mustGet(store, 'key-7').value)).toBe('yyyyyyy')
  })

  test('a view handed out before a compaction still shows what it showed', () => {
    const store = new Store()
    put(store, 'a', 'before')
    const { value } = mustGet(store, 'a')
    put(store, 'a', 'after')
    accepted(store.compact(store.revision))
    while (store.compactStep(100));
    for (let i = 0; i < 1000; i++) put(store, `b${i}`, 'filler'.repeat(20))
    expect(text(value)).toBe('before')
  })

  test('keys from 0x00 to 0xff are in byte order whatever the order they arrive in', () => {
    const store = new Store()
    const prng = new SeededPrng(5)
    const keys = Array.from({ length: 3000 }, (_, i) => {
      const key = new Uint8Array(1 + (i % 4)).map(() => prng.next(256))
      return Buffer.from(key).toString('hex')
    })
    for (const key of keys) accepted(store.put({ key: Buffer.from(key, 'hex'), value: NO_BYTES }))
    const found = rows(accepted(store.range({ key: FROM, rangeEnd: FROM })).kvs)
    const expected = [...new Set(keys)].sort()
    expect(found.map((kv) => Buffer.from(kv.key).toString('hex'))).toEqual(expected)
  })

  test('memory of deleted keys and old versions comes back after compaction', () => {
    const store = new Store()
    const value = new Uint8Array(1000)
    for (let i = 0; i < 20_000; i++) {
      accepted(store.put({ key: bytes(`key-${i % 2000}`), value }))
    }
    accepted(store.delete(ALL))
    accepted(store.compact(store.revision))
    while (store.compactStep(1000));
    put(store, 'last')
    accepted(store.compact(store.revision))
    while (store.compactStep(1000));
    expect(store.usedBytes).toBeLessThan(200)
    expect(store.bytes).toBeLessThan(400_000)
    expect(keysIn(store, ALL)).toEqual(['last'])
  })

  test('old revisions of a key with many versions are found without walking through them', () => {
    const store = new Store()
    for (let i = 0; i < 20_000; i++) put(store, 'hot', String(i))
    for (const revision of [2, 3, 9_999, 16_385, 20_001]) {
      expect(text(store.get(bytes('hot'), revision)!.value)).toBe(String(revision - 2))
    }
    accepted(store.compact(15_000))
    while (store.compactStep(1000));
    for (const revision of [15_000, 15_001, 20_001]) {
      expect(text(store.get(bytes('hot'), revision)!.value)).toBe(String(revision - 2))
    }
  })
})

describe('changes', () => {
  const store = new Store()
  for (const key of ['a', 'b', 'c']) put(store, key)
  accepted(store.delete({ key: bytes('a'), rangeEnd: bytes('c') }))
  put(store, 'd')

  test('a batch never splits a revision and says where to go on (WAT-11, WAT-13)', () => {
    const first = accepted(store.changes(4, 2))
    expect(rows(first.records).map((kv) => kv.modRevision)).toEqual([4, 5, 5])
    expect(first.nextRevision).toBe(6)
    const second = accepted(store.changes(first.nextRevision, 2))
    expect(rows(second.records).map((kv) => kv.modRevision)).toEqual([6])
    expect(second.nextRevision).toBe(7)
  })

  test('a deletion has a key and a revision and nothing else (WAT-15)', () => {
    const { records } = accepted(store.changes(5, 1))
    expect(records.isTombstone(0)).toBe(true)
    expect(records.at(0)).toEqual({
      key: bytes('a'),
      value: NO_BYTES,
      createRevision: 0,
      modRevision: 5,
      version: 0,
      lease: '',
    })
  })

  test('the entry before an event is that of the revision before it (WAT-17)', () => {
    expect(store.get(bytes('a'), 4)).toMatchObject({ modRevision: 2 })
    expect(store.get(bytes('a'), 5)).toBeUndefined()
  })

  test('there is nothing in the future, and nothing to be had from before the compaction', () => {
    const store = new Store()
    put(store, 'a')
    put(store, 'a')
    expect(accepted(store.changes(9, 10))).toMatchObject({ nextRevision: 9 })
    accepted(store.compact(3))
    expect(reasonOf(store.changes(2, 10))).toBe('compacted')
    expect(accepted(store.changes(3, 10)).records).toHaveLength(1)
  })
})
