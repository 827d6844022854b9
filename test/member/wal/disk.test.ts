// The real file system: what the memory one models, on this machine's disk, with real processes.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, rmdir, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { systemPrng } from '../../../lib/prng.ts'
import { DiskFileSystem } from '../../../member/src/wal/disk.ts'
import { SnapshotStore } from '../../../member/src/wal/snapshot-file.ts'
import {
  batch,
  collect,
  entries,
  entry,
  hardState,
  IDENTITY,
  openLog,
  snapshotAt,
} from '../../support/log-harness.ts'

const DISK = new URL('../../../member/src/wal/disk.ts', import.meta.url)

let directory: string
const children: ChildProcess[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftbase-wal-'))
})

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
  await rm(directory, { recursive: true, force: true })
})

const real = () => ({
  fs: new DiskFileSystem(),
  clock: systemClock,
  timers: systemTimers,
  prng: systemPrng(),
  directory: join(directory, 'wal'),
})

/** A process that locks the directory, says so or why not, and waits to be ended. */
async function locker(): Promise<{ child: ChildProcess; answer: string; stderr: () => string }> {
  const script = `
    const { DiskFileSystem } = await import(${JSON.stringify(DISK.href)})
    try {
      await new DiskFileSystem().lock(${JSON.stringify(directory)})
      console.log('locked')
      setInterval(() => undefined, 60_000)
    } catch (error) {
      console.log(error.code)
    }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script])
  children.push(child)
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, answer: chunk.toString().trim(), stderr: () => stderr }
}

describe('files', () => {
  test('are written and read at any position, in any number of pieces', async () => {
    const fs = new DiskFileSystem()
    const file = await fs.open(join(directory, 'a'), 'create')
    const pieces = Array.from({ length: 1500 }, (_, i) => new Uint8Array(3).fill(i & 0xff))
    await file.write(pieces, 10)
    await file.writeAndFlush([new Uint8Array([1, 2, 3])], 4)
    await file.flush()
    expect(await file.size()).toBe(10 + 4500)
    const buffer = new Uint8Array(5000)
    expect(await file.read(buffer, 4)).toBe(4506)
    expect([...buffer.subarray(0, 12)]).toEqual([1, 2, 3, 0, 0, 0, 0, 0, 0, 1, 1, 1])
    expect(await file.read(buffer, 100_000)).toBe(0)
    await file.truncate(6)
    expect(await file.size()).toBe(6)
    await file.close()
    expect((await stat(join(directory, 'a'))).mode & 0o777).toBe(0o600)
  })

  test('answer what goes wrong with a code', async () => {
    const fs = new DiskFileSystem()
    const path = join(directory, 'a')
    await expect(fs.open(path, 'readWrite')).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(fs.readDirectory(path)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    const file = await fs.open(path, 'create')
    await file.close()
    await expect(fs.open(path, 'create')).rejects.toMatchObject({
      code: 'DISK_FAILED',
      details: { operation: 'open', path, systemCode: 'EEXIST' },
    })
    const reader = await fs.open(path, 'read')
    await expect(reader.write([new Uint8Array(1)], 0)).rejects.toMatchObject({
      code: 'DISK_FAILED',
    })
    await reader.close()
  })

  test('a directory is made with its parents, for its owner only', async () => {
    const fs = new DiskFileSystem()
    const path = join(directory, 'a', 'b', 'c')
    await fs.makeDirectory(path)
    await fs.makeDirectory(path)
    expect((await stat(path)).mode & 0o777).toBe(0o700)
    expect(await fs.readDirectory(directory)).toEqual(['a'])
  })

  test('a directory that a killed process may have made is made durable by the next (F10)', async () => {
    const flushed: string[] = []
    const fs = new (class extends DiskFileSystem {
      override async flushDirectory(path: string): Promise<void> {
        await super.flushDirectory(path)
        flushed.push(path)
      }
    })()
    // Killed right after mkdir(2): nothing tells whether its entries in its parents were flushed.
    const path = join(directory, 'a', 'b')
    await mkdir(path, { recursive: true })
    const parents = expect.arrayContaining([join(directory, 'a'), directory, dirname(directory)])
    await fs.makeDirectory(path)
    expect(flushed).toEqual(parents)
    flushed.length = 0
    await rmdir(path)
    await fs.makeDirectory(path)
    expect(flushed).toEqual(parents)
    // Whoever put something into it went on behind that flush.
    await writeFile(join(path, 'member.json'), '')
    flushed.length = 0
    await fs.makeDirectory(path)
    expect(flushed).toEqual([])
  })
})

describe('the log on a real disk', () => {
  test('keeps what it stored over restarts, cuts and releases', async () => {
    const first = await openLog(real().fs, real())
    for (let i = 1; i <= 60; i++) {
      await first.wal.save(batch([entry(i, 1, 1500)], hardState(1, i - 1)))
      if (i === 40) await first.wal.release(30)
    }
    await first.wal.close()
    const second = await openLog(real().fs, { ...real(), after: snapshotAt(30, 1) })
    expect(second.model.entries).toEqual(entries(31, 30, 1, 1500))
    expect(second.hardState).toEqual(hardState(1, 59))
    expect(second.repaired).toBeUndefined()
    await second.wal.close()
  })

  test('a torn end is cut once, a damaged one refused', async () => {
    const { wal } = await openLog(real().fs, real())
    await wal.save(batch(entries(1, 3)))
    await wal.save(batch(entries(4, 1, 1, 2000)))
    // As if killed now: no mark, and the last record incomplete.
    const path = join(directory, 'wal', '0000000000000001.wal')
    await truncate(path, 13_000)
    const second = await openLog(real().fs, real())
    expect(second.model.entries).toEqual(entries(1, 3))
    expect(second.repaired).toMatchObject({ file: path })
    await second.wal.save(batch(entries(4, 2)))
    await second.wal.close()
    await wal.close().catch(() => undefined)
    // In the middle of the first record, which was flushed, whichever of the two marks is the newest.
    await truncate(path, 12_320)
    await expect(openLog(real().fs, real())).rejects.toMatchObject({ code: 'WAL_CORRUPT' })
  })

  test('snapshots are stored and verified', async () => {
    const fs = new DiskFileSystem()
    const store = await SnapshotStore.open({ fs, directory, clusterId: IDENTITY.clusterId })
    const meta = snapshotAt(5, 1)
    const data = new Uint8Array(3_000_000).fill(7)
    await store.save({ clusterId: IDENTITY.clusterId, meta }, [data])
    const found = await store.newest()
    const read = Buffer.concat(await collect(store.read(found!.path)))
    expect(read.equals(data)).toBe(true)
    expect(await readdir(directory)).toHaveLength(1)
  })
})

describe('the lock of a data directory (F9)', () => {
  test('keeps a second process out, without a word on stderr', async () => {
    const first = await locker()
    const second = await locker()
    await once(second.child, 'exit')
    expect([first.answer, second.answer]).toEqual(['locked', 'DATA_DIR_LOCKED'])
    expect([first.stderr(), second.stderr()]).toEqual(['', ''])
    expect(first.child.exitCode).toBeNull()
    const lock = new DiskFileSystem().lock(directory)
    await expect(lock).rejects.toMatchObject({ code: 'DATA_DIR_LOCKED', details: { directory } })
  })

  test('ends with a process that is killed with SIGKILL', async () => {
    const { child, answer } = await locker()
    expect(answer).toBe('locked')
    child.kill('SIGKILL')
    await once(child, 'exit')
    const lock = await new DiskFileSystem().lock(directory)
    await lock.release()
  })

  test('keeps a second taker in the same process out until it is released', async () => {
    const fs = new DiskFileSystem()
    const lock = await fs.lock(directory)
    await expect(fs.lock(directory)).rejects.toMatchObject({ code: 'DATA_DIR_LOCKED' })
    await lock.release()
    await lock.release()
    const again = await fs.lock(directory)
    await again.release()
  })

  test('of a directory that is not there is refused with the reason', async () => {
    const lock = new DiskFileSystem().lock(join(directory, 'missing'))
    await expect(lock).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
  })
})
