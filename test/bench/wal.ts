// What the log costs on a disk: `node test/bench/wal.ts [directory]` (default: the system's temporary one; name a real disk,
// not memory). First the ways to make one write durable, then the log itself, its replay, and snapshots. Milliseconds are
// p50 / p90 / p99 of single operations, one in flight.

import * as fs from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { systemPrng } from '../../lib/prng.ts'
import type { Entry, MemberId } from '../../member/src/raft/types.ts'
import { DiskFileSystem } from '../../member/src/wal/disk.ts'
import { SnapshotStore } from '../../member/src/wal/snapshot-file.ts'
import { Wal } from '../../member/src/wal/wal.ts'

const ROUNDS = 400
const MEMBER = '00000000000000a1' as MemberId
const IDENTITY = { clusterId: '00000000000000c1', memberId: MEMBER }
const directory = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'raftbase-bench-'))

function quantiles(samples: number[]): string {
  const sorted = samples.toSorted((a, b) => a - b)
  return [0.5, 0.9, 0.99].map((q) => sorted[Math.floor(q * sorted.length)]!.toFixed(2)).join(' / ')
}

function called(start: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error ? reject(error) : resolve()))
  })
}

interface Way {
  readonly name: string
  readonly isPreallocated: boolean
  readonly flags: number
  readonly flush: boolean
}

const { O_RDWR, O_CREAT, O_DSYNC } = fs.constants
const WAYS: readonly Way[] = [
  { name: 'O_DSYNC, preallocated', isPreallocated: true, flags: O_DSYNC, flush: false },
  { name: 'write + fdatasync, preallocated', isPreallocated: true, flags: 0, flush: true },
  { name: 'O_DSYNC, growing', isPreallocated: false, flags: O_DSYNC, flush: false },
  { name: 'write + fdatasync, growing', isPreallocated: false, flags: 0, flush: true },
]

async function benchFlush(way: Way, size: number): Promise<number[]> {
  const path = join(directory, 'flush')
  if (way.isPreallocated) fs.writeFileSync(path, Buffer.alloc((ROUNDS + 1) * size), { flush: true })
  const fd = fs.openSync(path, O_RDWR | O_CREAT | way.flags)
  const bytes = Buffer.alloc(size, 7)
  const samples: number[] = []
  for (let i = 0; i < ROUNDS; i++) {
    const start = performance.now()
    await called((done) => fs.write(fd, bytes, 0, size, i * size, done))
    if (way.flush) await called((done) => fs.fdatasync(fd, done))
    samples.push(performance.now() - start)
  }
  fs.closeSync(fd)
  fs.unlinkSync(path)
  return samples
}

async function benchFlushes(): Promise<void> {
  for (const size of [512, 4096, 65_536]) {
    const samples = WAYS.map((): number[] => [])
    // Interleaved, so that a slow moment of the disk meets all ways alike.
    for (let round = 0; round < 3; round++) {
      for (const [i, way] of WAYS.entries()) samples[i]!.push(...(await benchFlush(way, size)))
    }
    for (const [i, way] of WAYS.entries()) {
      console.log(
        `${String(size).padStart(6)} B  ${way.name.padEnd(32)} ${quantiles(samples[i]!)} ms`,
      )
    }
  }
}

function openLog(path: string, onEntries: (count: number) => void, onFlush?: (ms: number) => void) {
  return Wal.open({
    fs: new DiskFileSystem(),
    directory: path,
    identity: IDENTITY,
    after: undefined,
    clock: systemClock,
    timers: systemTimers,
    prng: systemPrng(),
    onBatch: (batch) => onEntries(batch.entries.length),
    ...(onFlush === undefined ? {} : { onFlush }),
  })
}

function entriesFrom(first: number, count: number, data: Uint8Array): Entry[] {
  return Array.from({ length: count }, (_, i) => ({
    index: first + i,
    term: 1,
    type: 'normal' as const,
    data,
    change: undefined,
  }))
}

async function benchLog(count: number, saves: number): Promise<void> {
  const path = join(directory, `log-${count}`)
  const data = new Uint8Array(300).fill(9)
  const flushes: number[] = []
  const whole: number[] = []
  const { wal } = await openLog(
    path,
    () => undefined,
    (ms) => flushes.push(ms),
  )
  const begun = performance.now()
  const cpu = process.threadCpuUsage()
  for (let i = 0; i < saves; i++) {
    const start = performance.now()
    await wal.save({
      entries: entriesFrom(i * count + 1, count, data),
      hardState: { term: 1, vote: MEMBER, commit: i * count },
      sync: true,
    })
    whole.push(performance.now() - start)
  }
  const seconds = (performance.now() - begun) / 1000
  const { user, system } = process.threadCpuUsage(cpu)
  await wal.close()
  const total = saves * count
  const perEntry = ((user + system) / total).toFixed(2)
  console.log(
    `${String(count).padStart(6)} entries of 300 B a save: save ${quantiles(whole)} ms, flush ${quantiles(flushes)} ms, ` +
      `${Math.round(total / seconds)} entries/s, ${((total * 300) / 1e6 / seconds).toFixed(0)} MB/s, ` +
      `${perEntry} us of this thread an entry`,
  )
  const start = performance.now()
  let replayed = 0
  const again = await openLog(path, (n) => {
    replayed += n
  })
  const ms = performance.now() - start
  await again.wal.close()
  console.log(
    `       replay of ${replayed}: ${ms.toFixed(0)} ms, ${((replayed * 300) / 1e3 / ms).toFixed(0)} MB/s`,
  )
}

async function benchSnapshot(megabytes: number): Promise<void> {
  const store = await SnapshotStore.open({
    fs: new DiskFileSystem(),
    directory: join(directory, 'snapshots'),
    clusterId: IDENTITY.clusterId,
  })
  const confState = { voters: [MEMBER], votersOutgoing: [], learners: [], learnersNext: [] }
  const meta = { index: 1, term: 1, confState: { ...confState, autoLeave: false } }
  const chunk = new Uint8Array(256 * 1024).fill(3)
  let longest = 0
  let last = performance.now()
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last - 1)
    last = performance.now()
  }, 1)
  let start = performance.now()
  const { path } = await store.save(
    { clusterId: IDENTITY.clusterId, meta },
    Array.from({ length: megabytes * 4 }, () => chunk),
  )
  const saveMs = performance.now() - start
  const longestMs = longest
  clearInterval(timer)
  start = performance.now()
  let bytes = 0
  for await (const piece of store.read(path)) bytes += piece.length
  const readMs = performance.now() - start
  console.log(
    `snapshot of ${megabytes} MiB: save ${(bytes / 1e3 / saveMs).toFixed(0)} MB/s, ` +
      `event loop held for at most ${longestMs.toFixed(0)} ms; read ${(bytes / 1e3 / readMs).toFixed(0)} MB/s`,
  )
}

try {
  await benchFlushes()
  await benchLog(1, 1000)
  await benchLog(64, 1000)
  await benchLog(512, 600)
  await benchSnapshot(256)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
