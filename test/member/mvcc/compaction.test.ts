// Compaction and the state hash (contract etcd-v3 section 3.7), statement by statement.

import { describe, expect, test } from 'vitest'
import { Store } from '../../../member/src/mvcc/store.ts'
import { accepted, bytes, copyOf, FROM, put, reasonOf, rows, text } from './support.ts'

const ALL = { key: FROM, rangeEnd: FROM }

function finishSteps(store: Store): void {
  while (store.compactStep(1000));
}

/** a at 2, 3 and 5; b at 4, deleted at 6; c at 7. */
function history(): Store {
  const store = new Store()
  put(store, 'a', '1')
  put(store, 'a', '2')
  put(store, 'b', '1')
  put(store, 'a', '3')
  accepted(store.delete({ key: bytes('b') }))
  put(store, 'c', '1')
  return store
}

function hashAfter(change: (store: Store) => void): number {
  const store = history()
  change(store)
  return accepted(store.hash(0)).hash
}

/** The hashes at revisions 3, 5, ... 25, or why there is none. */
function readHashes(store: Store): unknown[] {
  return Array.from({ length: 12 }, (_, i) => {
    const result = store.hash(3 + 2 * i)
    return result.ok ? [3 + 2 * i, result.hash, result.compactRevision] : result.reason
  })
}

function changesFrom(store: Store, revision: number): [string, number][] {
  const { records } = accepted(store.changes(revision, Infinity))
  return rows(records).map((kv) => [text(kv.key), kv.modRevision])
}

describe('compaction', () => {
  test('a revision already compacted or in the future is refused, the current one is not (CPT-1)', () => {
    const store = history()
    expect(reasonOf(store.compact(8))).toBe('future')
    expect(reasonOf(store.compact(4))).toBe('accepted')
    expect(reasonOf(store.compact(4))).toBe('compacted')
    expect(reasonOf(store.compact(3))).toBe('compacted')
    expect(reasonOf(store.compact(0))).toBe('compacted')
    expect(reasonOf(store.compact(7))).toBe('accepted')
    expect(store.compactRevision).toBe(7)
  })

  test('reads below it fail at once, before anything has been removed (CPT-2)', () => {
    const store = history()
    accepted(store.compact(5))
    expect(reasonOf(store.range({ ...ALL, revision: 4 }))).toBe('compacted')
    expect(reasonOf(store.changes(4, 1))).toBe('compacted')
    expect(reasonOf(store.range({ ...ALL, revision: 5 }))).toBe('accepted')
  })

  test('what exists at the revision and everything newer is kept, and nothing else (CPT-3)', () => {
    const store = history()
    accepted(store.compact(5))
    finishSteps(store)
    for (const kept of [store, copyOf(store)]) {
      expect(changesFrom(kept, 5)).toEqual([
        ['a', 5],
        ['b', 6],
        ['c', 7],
      ])
      const { kvs } = accepted(kept.range({ ...ALL, revision: 5 }))
      expect(rows(kvs).map((kv) => [text(kv.key), text(kv.value)])).toEqual([
        ['a', '3'],
        ['b', '1'],
      ])
    }
  })

  test('a deletion at the revision itself can still be watched, an older one is gone (CPT-3)', () => {
    const store = history()
    accepted(store.compact(6))
    finishSteps(store)
    expect(changesFrom(store, 6)[0]).toEqual(['b', 6])
    const before = store.usedBytes
    accepted(store.compact(7))
    finishSteps(store)
    expect(store.usedBytes).toBeLessThan(before)
    expect(changesFrom(copyOf(store), 7)).toEqual([['c', 7]])
  })

  test('every change of the revision itself is kept for a watch that starts there', () => {
    const store = new Store()
    put(store, 'a')
    const txn = store.begin()
    accepted(txn.delete(ALL))
    accepted(txn.put({ key: bytes('a'), value: bytes('again') }))
    txn.commit()
    accepted(store.compact(3))
    finishSteps(store)
    for (const kept of [store, copyOf(store)]) {
      expect(changesFrom(kept, 3)).toEqual([
        ['a', 3],
        ['a', 3],
      ])
    }
  })

  test('the current revision is unchanged, also when nothing is left (CPT-6, REV-8)', () => {
    const store = new Store()
    put(store, 'a')
    accepted(store.delete(ALL))
    put(store, 'b')
    accepted(store.delete(ALL))
    accepted(store.compact(5))
    finishSteps(store)
    expect(store.revision).toBe(5)
    expect(copyOf(store).revision).toBe(5)
  })

  test('a step looks at no more records than asked for', () => {
    const store = new Store()
    for (let i = 0; i < 5000; i++) put(store, `key-${i % 500}`, 'value')
    accepted(store.compact(store.revision))
    let steps = 0
    while (store.compactStep(100)) steps++
    expect(steps).toBeGreaterThan(80)
    expect(store.compactStep(100)).toBe(false)
  })

  test('writes between steps are not lost, whichever slab is being rewritten', () => {
    const store = new Store()
    for (let i = 0; i < 4000; i++) put(store, `key-${i % 400}`, `old ${i}`)
    accepted(store.compact(store.revision))
    for (let i = 0; store.compactStep(20); i++) {
      put(store, `key-${i % 400}`, `new ${i}`)
      if (i % 7 === 0) accepted(store.delete({ key: bytes(`key-${(i * 3) % 400}`) }))
    }
    const plain = new Store()
    for (let i = 0; i < 4000; i++) put(plain, `key-${i % 400}`, `old ${i}`)
    accepted(plain.compact(plain.revision))
    for (let i = 0; plain.revision < store.revision; i++) {
      put(plain, `key-${i % 400}`, `new ${i}`)
      if (i % 7 === 0) accepted(plain.delete({ key: bytes(`key-${(i * 3) % 400}`) }))
    }
    expect(store.hash(0)).toEqual(plain.hash(0))
    expect(rows(accepted(store.range(ALL)).kvs)).toEqual(rows(accepted(plain.range(ALL)).kvs))
  })
})

describe('hash', () => {
  test('zero is the latest; the future and what is compacted are refused (HSH-1)', () => {
    const store = history()
    expect(store.hash(0)).toEqual(store.hash(7))
    expect(reasonOf(store.hash(8))).toBe('future')
    accepted(store.compact(5))
    expect(reasonOf(store.hash(4))).toBe('compacted')
    expect(reasonOf(store.hash(5))).toBe('accepted')
  })

  test('it does not depend on what has been removed from memory (HSH-2)', () => {
    const [lazy, eager] = [history(), history()]
    for (const store of [lazy, eager]) accepted(store.compact(6))
    finishSteps(eager)
    for (const revision of [6, 7]) expect(eager.hash(revision)).toEqual(lazy.hash(revision))
  })

  test('every field of a record counts (HSH-2)', () => {
    const key = bytes('k')
    const hashes = [
      hashAfter(() => {}),
      hashAfter((store) => put(store, 'k', '1')),
      hashAfter((store) => put(store, 'k', '2')),
      hashAfter((store) => put(store, 'k1', '')),
      hashAfter((store) => put(store, 'k', '\0')),
      hashAfter((store) => put(store, 'k\0', '')),
      hashAfter((store) => store.put({ key, value: bytes('1'), lease: '0000000000000001' })),
      hashAfter((store) => store.put({ key, value: bytes('1'), lease: '0000000100000000' })),
      hashAfter((store) => store.delete({ key: bytes('a') })),
      hashAfter((store) => (put(store, 'k', '1'), put(store, 'k', '1'))),
      hashAfter((store) => (put(store, 'x', '1'), put(store, 'k', '1'))),
    ]
    expect(new Set(hashes).size).toBe(hashes.length)
  })

  test('it names the compaction point, -1 before the first compaction (HSH-3)', () => {
    const store = history()
    expect(store.hash(5)).toMatchObject({ compactRevision: -1, hashRevision: 5, revision: 7 })
    accepted(store.compact(4))
    expect(store.hash(5)).toMatchObject({ compactRevision: 4, hashRevision: 5, revision: 7 })
  })

  test('just before and just after a compaction it is the same (HSH-4)', () => {
    const store = history()
    for (const revision of [3, 5, 6, 7]) {
      const before = store.hash(revision)
      accepted(store.compact(revision))
      expect(store.hash(revision)).toEqual(before)
      finishSteps(store)
      expect(store.hash(revision)).toEqual(before)
      expect(copyOf(store).hash(revision)).toEqual(before)
    }
  })

  test('the last ten compactions are remembered, computed before or after (HSH-4)', () => {
    const [lazy, eager] = [new Store(), new Store()]
    const hashes: unknown[] = []
    for (let i = 0; i < 12; i++) {
      for (const store of [lazy, eager]) put(store, 'a', String(i))
      for (const store of [lazy, eager]) put(store, `b${i}`, 'x')
      const { revision } = lazy
      const { hash, compactRevision } = accepted(eager.hash(revision))
      hashes.push([revision, hash, compactRevision])
      for (const store of [lazy, eager]) accepted(store.compact(revision))
      finishSteps(eager)
    }
    const expected = ['compacted', 'compacted', ...hashes.slice(2)]
    expect(readHashes(copyOf(lazy))).toEqual(expected)
    expect(readHashes(eager)).toEqual(expected)
    expect(readHashes(copyOf(eager))).toEqual(expected)
    finishSteps(lazy)
    expect(readHashes(lazy)).toEqual(expected)
  })
})
