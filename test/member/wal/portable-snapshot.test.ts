// The file of a snapshot that a user keeps (faults.md F25, F54, X19): its shape, every kind of damage, and saving one on a
// disk that crashes, fills up or is written to by another.

import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { RaftbaseError } from '../../../lib/errors.ts'
import {
  PortableSnapshotDecoder,
  readPortableSnapshot,
  savePortableSnapshot,
} from '../../../member/src/wal/portable-snapshot.ts'
import { MemoryFileSystem } from '../../support/memory-file-system.ts'
import { fileOf, place, SOURCE_CLUSTER, stateOf } from '../../support/snapshot-files.ts'

const PATH = '/backups/a.snap'
const TEMPORARY = '/backups/a.snap.1.part'
const FILE = await fileOf(
  stateOf([
    ['k1', 'a'],
    ['k2', 'b'.repeat(700)],
    ['k1', 'c'],
  ]),
)

function inPieces(bytes: Buffer, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  )
}

/** The code with which the bytes are refused; undefined: they are not. */
function refusal(bytes: Buffer, size = 1000): unknown {
  const decoder = new PortableSnapshotDecoder()
  try {
    for (const piece of inPieces(bytes, size)) decoder.push(piece)
    decoder.finish()
    return undefined
  } catch (error) {
    return (error as { code?: unknown }).code ?? error
  }
}

async function blankDisk(): Promise<MemoryFileSystem> {
  const fs = new MemoryFileSystem()
  await fs.makeDirectory('/backups')
  return fs
}

/** A save that can remove its temporary file leaves nothing. */
function mustNot(error: unknown): never {
  throw error
}

function save(
  fs: MemoryFileSystem,
  bytes = FILE,
  replaces = false,
  onLeftover: (error: unknown) => void = mustNot,
) {
  const chunks = inPieces(bytes, 300)
  return savePortableSnapshot({
    fs,
    path: PATH,
    temporary: TEMPORARY,
    chunks,
    replaces,
    onLeftover,
  })
}

describe('a snapshot file', () => {
  test('ends with the SHA-256 of everything before, at the place where etcd’s clients look', () => {
    expect(FILE.length % 512).toBe(32)
    const digest = createHash('sha256').update(FILE.subarray(0, -32)).digest()
    expect(FILE.subarray(-32).equals(digest)).toBe(true)
  })

  test.each([1, 7, 512, 100_000])('reads back whole in pieces of %i bytes', (size) => {
    const decoder = new PortableSnapshotDecoder()
    for (const piece of inPieces(FILE, size)) decoder.push(piece)
    expect(decoder.finish()).toMatchObject({
      header: { clusterId: SOURCE_CLUSTER, meta: { index: 3, term: 2 } },
      bytes: FILE.length,
      digest: FILE.subarray(-32).toString('hex'),
    })
  })

  test('is refused with a bit changed in any of its bytes', () => {
    for (let at = 0; at < FILE.length; at++) {
      const damaged = Buffer.from(FILE)
      damaged[at]! ^= 1 << (at % 8)
      const code = refusal(damaged)
      expect(
        code === 'SNAPSHOT_CORRUPT' || (code === 'SNAPSHOT_REFUSED' && at >= 8 && at < 12),
        `${at}: ${String(code)}`,
      ).toBe(true)
    }
  })

  test('is refused when it is cut short anywhere, or goes on behind its end', () => {
    for (let length = 0; length < FILE.length; length++) {
      expect(refusal(FILE.subarray(0, length))).toBe('SNAPSHOT_CORRUPT')
    }
    expect(refusal(Buffer.concat([FILE, Buffer.alloc(1)]))).toBe('SNAPSHOT_CORRUPT')
    expect(refusal(Buffer.concat([FILE, FILE]))).toBe('SNAPSHOT_CORRUPT')
  })

  test('of a newer format is told apart from a damaged one', () => {
    const newer = Buffer.from(FILE)
    newer.writeUInt32LE(2, 8)
    expect(refusal(newer)).toBe('SNAPSHOT_REFUSED')
  })

  test('that is damaged names file and offset (F25)', async () => {
    const fs = await blankDisk()
    await place(fs, PATH, FILE)
    fs.damage(PATH, FILE.length - 40, 1)
    await expect(readPortableSnapshot(fs, PATH, () => undefined)).rejects.toMatchObject({
      code: 'SNAPSHOT_CORRUPT',
      details: { file: PATH, offset: expect.any(Number) as number },
    })
  })
})

describe('saving one', () => {
  test('leaves the whole file or none, whichever operation the machine stops in (F54)', async () => {
    const count = await operationsOf(() => undefined)
    for (let number = 1; number <= count; number++) {
      for (const survival of ['all', 'none'] as const) {
        const fs = await blankDisk()
        const first = fs.operationCount
        fs.fault = (operation) =>
          operation.number === first + number ? { type: 'crash', keptBytes: 99 } : undefined
        await save(fs).catch(() => undefined)
        fs.fault = undefined
        fs.losePower(survival)
        const isNamed = fs.names('/backups').includes('a.snap')
        expect(isNamed ? Buffer.from(fs.contents(PATH)).equals(FILE) : true).toBe(true)
      }
    }
  })

  test.each([false, true])(
    'that fails leaves what was there before, or says that the whole file is there; replacing: %s',
    async (replaces) => {
      const before = replaces ? ['older'] : []
      const told: string[] = []
      for (let number = 1; ; number++) {
        const fs = await blankDisk()
        if (replaces) await place(fs, PATH, Buffer.from('older'))
        const first = fs.operationCount
        fs.fault = (operation) =>
          operation.number === first + number ? { type: 'error', code: 'DISK_FAILED' } : undefined
        const failure = await save(fs, FILE, replaces).then(
          () => undefined,
          (error: unknown) => error as RaftbaseError,
        )
        if (failure === undefined && fs.operationCount < first + number) break
        const isWhole = failure === undefined || failure.details['file'] === PATH
        expect(filesOf(fs), `operation ${number}`).toEqual(isWhole ? [FILE.toString()] : before)
        if (failure !== undefined && isWhole) told.push(failure.message)
      }
      expect(told).toEqual(['the file is whole, but its name may not outlast a loss of power'])
    },
  )

  test('says what failed first, and that its temporary file is left behind where it cannot be removed', async () => {
    let told = 0
    for (let number = 1; ; number++) {
      const fs = await blankDisk()
      const at = fs.operationCount + number
      fs.fault = (operation) =>
        operation.number === at || operation.kind === 'unlink'
          ? { type: 'error', code: 'DISK_FAILED' }
          : undefined
      const leftovers: unknown[] = []
      const failure = await save(fs, FILE, false, (error) => leftovers.push(error)).then(
        () => undefined,
        (error: unknown) => error as RaftbaseError,
      )
      if (failure === undefined) break
      expect(failure.details['operation'], `operation ${number}`).not.toBe('unlink')
      if (!fs.names('/backups').includes('a.snap.1.part')) continue
      told++
      expect(leftovers).toMatchObject([{ details: { operation: 'unlink' } }])
    }
    // Written, closed, looked at again, renamed.
    expect(told).toBeGreaterThan(3)
  })

  test('is durable when it resolves', async () => {
    const fs = await blankDisk()
    await save(fs)
    fs.losePower('none')
    expect(fs.names('/backups')).toEqual(['a.snap'])
    expect(Buffer.from(fs.contents(PATH)).equals(FILE)).toBe(true)
  })

  test('leaves nothing behind on a disk that fills up, nor of what arrives damaged or cut short', async () => {
    const full = await blankDisk()
    full.capacityBytes = 700
    await expect(save(full)).rejects.toMatchObject({ code: 'NO_SPACE' })
    expect(full.names('/backups')).toEqual([])
    const damaged = Buffer.from(FILE)
    damaged[FILE.length - 100]! ^= 1
    for (const bytes of [damaged, FILE.subarray(0, -200), FILE.subarray(0, 20)]) {
      const fs = await blankDisk()
      await expect(save(fs, bytes)).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' })
      expect(fs.names('/backups')).toEqual([])
    }
  })

  test('never replaces a file unless it is told to, not even one that came while it was arriving', async () => {
    const fs = await blankDisk()
    await place(fs, PATH, Buffer.from('mine'))
    await expect(save(fs)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(Buffer.from(fs.contents(PATH)).toString()).toBe('mine')
    await save(fs, FILE, true)
    expect(Buffer.from(fs.contents(PATH)).equals(FILE)).toBe(true)

    const other = await blankDisk()
    async function* arriving() {
      yield FILE.subarray(0, 100)
      await place(other, PATH, Buffer.from('theirs'))
      yield FILE.subarray(100)
    }
    const options = {
      fs: other,
      path: PATH,
      temporary: TEMPORARY,
      replaces: false,
      onLeftover: mustNot,
    }
    await expect(savePortableSnapshot({ ...options, chunks: arriving() })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    expect(Buffer.from(other.contents(PATH)).toString()).toBe('theirs')
    expect(other.names('/backups')).toEqual(['a.snap'])
  })
})

/** What the files there hold, whatever their names are. */
function filesOf(fs: MemoryFileSystem): string[] {
  return fs.names('/backups').map((name) => Buffer.from(fs.contents(`/backups/${name}`)).toString())
}

async function operationsOf(fault: MemoryFileSystem['fault']): Promise<number> {
  const fs = await blankDisk()
  const first = fs.operationCount
  fs.fault = fault
  await save(fs)
  return fs.operationCount - first
}
