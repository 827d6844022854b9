// Snapshots of the key space: captured in an instant, read piece by piece, restored to an equal store.

import { describe, expect, test } from 'vitest'
import { hasCode } from '../../../lib/errors.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import { StoreRestorer } from '../../../member/src/mvcc/restore.ts'
import { Store } from '../../../member/src/mvcc/store.ts'
import { accepted, bytes, copyOf, FROM, put, rows } from './support.ts'

const ALL = { key: FROM, rangeEnd: FROM }

function filled(keys: number): Store {
  const store = new Store()
  const prng = new SeededPrng(keys)
  for (let i = 0; i < keys * 3; i++) {
    const key = bytes(`key-${prng.next(keys)}`)
    if (prng.next(5) === 0) accepted(store.delete({ key }))
    else accepted(store.put({ key, value: new Uint8Array(prng.next(200)).fill(i) }))
  }
  accepted(store.compact(Math.floor(store.revision / 2)))
  return store
}

function stateOf(store: Store): unknown {
  const first = store.compactRevision
  const revisions = Array.from({ length: store.revision - first + 1 }, (_, i) => first + i)
  return {
    revision: store.revision,
    compactRevision: store.compactRevision,
    keyCount: store.keyCount,
    liveBytes: store.liveBytes,
    hashes: revisions.map((revision) => store.hash(revision)),
    latest: rows(accepted(store.range(ALL)).kvs),
    changes: rows(accepted(store.changes(first, Infinity)).records),
  }
}

function streamOf(store: Store): Uint8Array {
  return Buffer.concat([...store.capture().chunks()])
}

function restoreError(stream: Uint8Array): unknown {
  try {
    const restorer = new StoreRestorer()
    restorer.addChunk(stream)
    restorer.finish()
    return undefined
  } catch (error) {
    return error
  }
}

describe('snapshot', () => {
  test('the restored store is equal at every revision, compacted physically or not', () => {
    const store = filled(80)
    const before = stateOf(store)
    expect(stateOf(copyOf(store))).toEqual(before)
    while (store.compactStep(50));
    expect(stateOf(copyOf(store))).toEqual(before)
  })

  test('an unused store is restored as one', () => {
    const copy = copyOf(new Store())
    expect(copy.revision).toBe(1)
    expect(copy.compactRevision).toBe(-1)
    expect(put(copy, 'a')).toBe(2)
  })

  test('writes, compaction and steps while it is read are not in it', () => {
    const store = filled(2000)
    const before = { revision: store.revision, hash: store.hash(0) }
    const snapshot = store.capture()
    const restorer = new StoreRestorer()
    let chunks = 0
    for (const chunk of snapshot.chunks(16 * 1024)) {
      restorer.addChunk(chunk)
      for (let i = 0; i < 60; i++)
        put(store, `key-${(chunks * 60 + i) % 2500}`, 'written meanwhile')
      if (chunks === 2) accepted(store.compact(store.revision))
      store.compactStep(500)
      chunks++
    }
    snapshot.release()
    const copy = restorer.finish()
    expect(chunks).toBeGreaterThan(10)
    expect({ revision: copy.revision, hash: copy.hash(0) }).toEqual(before)
    expect(store.revision).toBe(before.revision + chunks * 60)
  })

  test('chunks keep to the size asked for, also with a value larger than many of them', () => {
    const store = new Store()
    put(store, 'a', 'small')
    accepted(store.put({ key: bytes('large'), value: new Uint8Array(1_572_864).fill(7) }))
    const restorer = new StoreRestorer()
    let bytesSeen = 0
    for (const chunk of store.capture().chunks(4096)) {
      expect(chunk.length).toBeGreaterThan(0)
      expect(chunk.length).toBeLessThanOrEqual(4096)
      bytesSeen += chunk.length
      restorer.addChunk(chunk)
    }
    expect(bytesSeen).toBeGreaterThan(1_572_864)
    expect(restorer.finish().hash(0)).toEqual(store.hash(0))
  })

  test('a step is short also where a compaction has left nothing to write', () => {
    const store = new Store()
    for (let i = 0; i < 60_000; i++) put(store, 'hot', 'value')
    accepted(store.compact(store.revision))
    const chunks = [...store.capture().chunks()]
    expect(chunks.length).toBeGreaterThan(3)
    expect(copyOf(store).hash(0)).toEqual(store.hash(0))
  })

  test('the stream may be cut anywhere', () => {
    const store = filled(30)
    const stream = streamOf(store)
    const prng = new SeededPrng(3)
    const restorer = new StoreRestorer()
    for (let at = 0; at < stream.length; ) {
      const end = at + prng.next(40)
      restorer.addChunk(stream.subarray(at, end))
      at = end
    }
    expect(stateOf(restorer.finish())).toEqual(stateOf(store))
  })

  test('it cannot be read after its release', () => {
    const snapshot = filled(10).capture()
    snapshot.release()
    expect(() => [...snapshot.chunks()]).toThrow('snapshot read after its release')
  })
})

describe('a damaged snapshot', () => {
  const stream = streamOf(filled(12))

  test('a stream cut off anywhere is refused', () => {
    for (let end = 0; end < stream.length; end += 3) {
      expect(hasCode(restoreError(stream.subarray(0, end)), 'SNAPSHOT_CORRUPT')).toBe(true)
    }
  })

  test('bytes after the end are refused', () => {
    expect(restoreError(stream)).toBeUndefined()
    const longer = Buffer.concat([stream, new Uint8Array(1)])
    expect(hasCode(restoreError(longer), 'SNAPSHOT_CORRUPT')).toBe(true)
  })

  test('any one changed byte is refused', () => {
    const prng = new SeededPrng(9)
    for (let at = 0; at < stream.length; at++) {
      const damaged = stream.slice()
      damaged[at]! ^= 1 + prng.next(255)
      const error = restoreError(damaged)
      expect(hasCode(error, 'SNAPSHOT_CORRUPT'), `byte ${at}: ${String(error)}`).toBe(true)
    }
  })

  test('random bytes are refused', () => {
    const prng = new SeededPrng(11)
    for (let i = 0; i < 200; i++) {
      const noise = new Uint8Array(24 + prng.next(300)).map(() => prng.next(256))
      if (i % 2 === 0) noise.set(stream.subarray(0, 24))
      expect(hasCode(restoreError(noise), 'SNAPSHOT_CORRUPT')).toBe(true)
    }
  })
})
