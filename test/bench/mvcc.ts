// Cost of the key space alone: time per put and get, memory per key, steps of compaction and snapshots.
//
//   node --expose-gc test/bench/mvcc.ts [keys ...]      default: 1000 100000 1000000
//
// Times are the best of several rounds: what the code costs, not what else the machine did.

import { SeededPrng } from '../../lib/prng.ts'
import { StoreRestorer } from '../../member/src/mvcc/restore.ts'
import { Store } from '../../member/src/mvcc/store.ts'

const KEY_BYTES = 32
const VALUE_BYTES = 256
const ROUND_OPERATIONS = 20_000
const ROUNDS = 15
const FROM = new Uint8Array(1)

const encoder = new TextEncoder()

function keyOf(number: number): Uint8Array {
  const name = `/bench/keys/${number.toString(36)}`
  return encoder.encode(name.padEnd(KEY_BYTES, '.'))
}

function residentBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage().rss
}

/** Microseconds per call of `operation`, in the fastest round. */
function bestMicros(
  operation: (key: Uint8Array) => void,
  keyCount: number,
  prng: SeededPrng,
): number {
  let best = Infinity
  for (let round = 0; round < ROUNDS; round++) {
    const keys = Array.from({ length: ROUND_OPERATIONS }, () => keyOf(prng.next(keyCount)))
    const start = performance.now()
    for (const key of keys) operation(key)
    best = Math.min(best, (performance.now() - start) / ROUND_OPERATIONS)
  }
  return best * 1000
}

/** Runs `step` until it returns false; total and longest step in milliseconds. */
function timeSteps(step: () => boolean): { total: number; longest: number; count: number } {
  let longest = 0
  let total = 0
  let count = 0
  for (let isMore = true; isMore; count++) {
    const start = performance.now()
    isMore = step()
    const took = performance.now() - start
    total += took
    longest = Math.max(longest, took)
  }
  return { total, longest, count }
}

function fill(store: Store, keyCount: number): number {
  const value = new Uint8Array(VALUE_BYTES)
  const start = performance.now()
  for (let i = 0; i < keyCount; i++) {
    value.fill(i)
    // A permutation of the keys: neither ascending nor clustered.
    store.put({ key: keyOf((i * 7_919) % keyCount), value })
  }
  return ((performance.now() - start) / keyCount) * 1000
}

function benchSnapshot(store: Store): void {
  const start = performance.now()
  const snapshot = store.capture()
  const captureMs = performance.now() - start
  const restorer = new StoreRestorer()
  const chunks = snapshot.chunks()
  let bytes = 0
  let restoreMs = 0
  let restoreLongest = 0
  const reading = timeSteps(() => {
    const next = chunks.next()
    if (next.done === true) return false
    bytes += next.value.length
    const before = performance.now()
    restorer.addChunk(next.value)
    const took = performance.now() - before
    restoreMs += took
    restoreLongest = Math.max(restoreLongest, took)
    return true
  })
  const megabytes = (bytes / 1e6).toFixed(0)
  print('snapshot', `${megabytes} MB, capture ${captureMs.toFixed(3)} ms`)
  print(
    '  read and restore',
    `${reading.total.toFixed(0)} ms, longest step ${reading.longest.toFixed(1)} ms`,
  )
  print(
    '  of it restore',
    `${restoreMs.toFixed(0)} ms, longest chunk ${restoreLongest.toFixed(1)} ms`,
  )
  const isEqual = JSON.stringify(restorer.finish().hash(0)) === JSON.stringify(store.hash(0))
  print('  restored hash equal', String(isEqual))
}

function print(name: string, figure: string): void {
  process.stdout.write(`  ${name.padEnd(24)} ${figure}\n`)
}

function bench(keyCount: number): void {
  process.stdout.write(`${keyCount} keys of ${KEY_BYTES} B, values of ${VALUE_BYTES} B\n`)
  const prng = new SeededPrng(keyCount)
  const before = residentBytes()
  const store = new Store()
  const insertMicros = fill(store, keyCount)
  const resident = residentBytes() - before
  print('insert', `${insertMicros.toFixed(2)} us`)
  print(
    'memory',
    `${(store.bytes / keyCount).toFixed(0)} B a key, resident ${(resident / keyCount).toFixed(0)} B a key (${(resident / 1e6).toFixed(1)} MB)`,
  )
  const value = new Uint8Array(VALUE_BYTES)
  print('get', `${bestMicros((key) => void store.get(key), keyCount, prng).toFixed(2)} us`)
  print(
    'range, one key',
    `${bestMicros((key) => void store.range({ key }), keyCount, prng).toFixed(2)} us`,
  )
  print(
    'put, existing key',
    `${bestMicros((key) => void store.put({ key, value }), keyCount, prng).toFixed(2)} us`,
  )
  const all = timeSteps(() => (store.range({ key: FROM, rangeEnd: FROM }), false))
  print('range, all keys', `${all.total.toFixed(1)} ms`)
  const count = timeSteps(
    () => (store.range({ key: FROM, rangeEnd: FROM, countOnly: true }), false),
  )
  print('count, all keys', `${count.total.toFixed(2)} ms`)
  const used = store.usedBytes
  store.compact(store.revision)
  const steps = timeSteps(() => store.compactStep(1000))
  print(
    'compaction',
    `${steps.total.toFixed(0)} ms in ${steps.count} steps, longest ${steps.longest.toFixed(1)} ms`,
  )
  print('  bytes', `${(used / 1e6).toFixed(0)} MB -> ${(store.usedBytes / 1e6).toFixed(0)} MB`)
  benchSnapshot(store)
}

function benchHotKey(): void {
  const store = new Store()
  const key = keyOf(1)
  const versions = 100_000
  for (let i = 0; i < versions; i++) store.put({ key, value: FROM })
  const prng = new SeededPrng(1)
  const micros = bestMicros(() => void store.get(key, 2 + prng.next(versions)), 1, prng)
  process.stdout.write(`one key with ${versions} versions\n`)
  print('get at a random revision', `${micros.toFixed(2)} us`)
}

const counts = process.argv.slice(2).map(Number)
for (const keyCount of counts.length > 0 ? counts : [1000, 100_000, 1_000_000]) bench(keyCount)
benchHotKey()
