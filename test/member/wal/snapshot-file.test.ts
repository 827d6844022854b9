// Snapshots as files and as streams: crashes at every stage, and streams that are damaged, cut short or not ours.

import { describe, expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import { encodeSnapshotStream, SnapshotStore } from '../../../member/src/wal/snapshot-file.ts'
import { collect, IDENTITY, snapshotAt } from '../../support/log-harness.ts'
import { MemoryFileSystem } from '../../support/memory-file-system.ts'

const DIRECTORY = '/data/snap'
const { clusterId } = IDENTITY

function open(fs: MemoryFileSystem, cluster = clusterId): Promise<SnapshotStore> {
  return SnapshotStore.open({ fs, directory: DIRECTORY, clusterId: cluster })
}

function state(index: number, size = 300): Uint8Array {
  return new Uint8Array(size).map((_, i) => (i * 7 + index) & 0xff)
}

function header(index: number) {
  return { clusterId, meta: snapshotAt(index, 3) }
}

async function stream(index: number, size?: number): Promise<Buffer> {
  const data = state(index, size)
  const chunks = [data.subarray(0, 100), data.subarray(100)]
  return Buffer.concat(await collect(encodeSnapshotStream(header(index), chunks)))
}

async function contents(store: SnapshotStore, path: string): Promise<Buffer> {
  return Buffer.concat(await collect(store.read(path)))
}

function pieces(bytes: Buffer, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  )
}

async function trial(number: number, act: (store: SnapshotStore) => Promise<unknown>) {
  const fs = new MemoryFileSystem()
  const store = await open(fs)
  await store.save(header(5), [state(5)])
  const first = fs.operationCount
  fs.fault = (operation) =>
    operation.number === first + number ? { type: 'crash', keptBytes: 150 } : undefined
  const isDone = await act(store).then(
    () => true,
    () => false,
  )
  fs.fault = undefined
  return { fs, isDone }
}

describe('a saved snapshot', () => {
  test('is there with its state as soon as save resolves', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    expect(await store.newest()).toBeUndefined()
    await store.save(header(5), [state(5)])
    await store.save(header(9), [state(9, 3_000_000)])
    fs.losePower('none')
    const found = await (await open(fs)).newest()
    expect(found?.meta).toEqual(snapshotAt(9, 3))
    expect((await contents(store, found!.path)).equals(state(9, 3_000_000))).toBe(true)
  })

  test('may be empty', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    const { path } = await store.save(header(1), [])
    expect((await store.newest())?.path).toBe(path)
    expect(await contents(store, path)).toHaveLength(0)
  })

  test('leaves nothing when its source fails or the disk is full (F27)', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    function* failing(): Generator<Uint8Array> {
      yield state(1)
      throw new Error('gone')
    }
    await expect(store.save(header(1), failing())).rejects.toThrow('gone')
    fs.capacityBytes = 500
    await expect(store.save(header(1), [state(1, 2000)])).rejects.toMatchObject({
      code: 'NO_SPACE',
    })
    expect(fs.names(DIRECTORY)).toEqual([])
  })

  test('is not there when its flush failed (F26)', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    fs.fault = ({ kind }) => (kind === 'flush' ? { type: 'error', code: 'NO_SPACE' } : undefined)
    await expect(store.save(header(1), [state(1)])).rejects.toMatchObject({ code: 'DISK_FAILED' })
    expect(fs.names(DIRECTORY)).toEqual([])
  })

  test('makes older ones superfluous, never itself', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    for (const index of [3, 5, 9]) await store.save(header(index), [state(index)])
    await store.purge(5)
    expect(fs.names(DIRECTORY)).toHaveLength(2)
    await store.purge(100)
    expect((await store.newest())?.meta.index).toBe(9)
    expect(fs.names(DIRECTORY)).toHaveLength(1)
  })
})

describe('a crash (F34)', () => {
  const acts = {
    save: (store: SnapshotStore) => store.save(header(9), [state(9)]),
    install: async (store: SnapshotStore) => (await store.stage([await stream(9)])).commit(),
    cleanup: async (store: SnapshotStore) => {
      await store.save(header(9), [state(9)])
      await store.purge(9)
    },
  }

  test.each(Object.entries(acts))(
    'at any stage of %s leaves the old or the new state',
    async (_, act) => {
      for (let number = 1; number < 20; number++) {
        for (const survival of ['all', 'none', new SeededPrng(number)] as const) {
          const { fs, isDone } = await trial(number, act)
          fs.losePower(survival)
          const store = await open(fs)
          const found = await store.newest()
          expect(isDone ? [9] : [5, 9]).toContain(found?.meta.index)
          const { index } = found!.meta
          expect((await contents(store, found!.path)).equals(state(index))).toBe(true)
          expect(fs.names(DIRECTORY).filter((name) => name.endsWith('.tmp'))).toEqual([])
        }
      }
    },
  )

  test('does not unname a snapshot that a start has seen', async () => {
    for (let number = 1; number < 12; number++) {
      const { fs } = await trial(number, acts.save)
      fs.kill()
      const seen = await (await open(fs)).newest()
      fs.losePower('none')
      expect((await (await open(fs)).newest())?.meta.index).toBe(seen?.meta.index)
    }
  })
})

describe('a staged snapshot', () => {
  test('is verified in pieces of any size, and is one of ours once committed', async () => {
    const bytes = await stream(7, 2_500_000)
    for (const size of [1000, 65_536, bytes.length]) {
      const fs = new MemoryFileSystem()
      const store = await open(fs)
      const staged = await store.stage(pieces(bytes, size))
      expect(staged.meta).toEqual(snapshotAt(7, 3))
      expect(await store.newest()).toBeUndefined()
      const path = await staged.commit()
      fs.losePower('none')
      expect((await store.newest())?.path).toBe(path)
      expect((await contents(store, path)).equals(state(7, 2_500_000))).toBe(true)
    }
  })

  test('leaves nothing when it is discarded', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    await (await store.stage([await stream(7)])).discard()
    expect(fs.names(DIRECTORY)).toEqual([])
  })

  test('cut short anywhere is refused', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    const bytes = await stream(7)
    for (let length = 0; length < bytes.length; length++) {
      const staging = store.stage(pieces(bytes.subarray(0, length), 64))
      await expect(staging, `${length} bytes`).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' })
    }
    expect(fs.names(DIRECTORY)).toEqual([])
  })

  test('with any damaged byte, or bytes behind its end, is refused', async () => {
    const store = await open(new MemoryFileSystem())
    const bytes = await stream(7)
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes)
      damaged[at]! ^= 1 << (at % 8)
      const error = await store.stage(pieces(damaged, 100)).catch((cause: unknown) => cause)
      const isVersion = at >= 8 && at < 12
      const codes = isVersion ? ['SNAPSHOT_REFUSED', 'SNAPSHOT_CORRUPT'] : ['SNAPSHOT_CORRUPT']
      expect(codes, `byte ${at}`).toContain((error as { code?: string }).code)
    }
    const longer = Buffer.concat([bytes, Buffer.alloc(1)])
    await expect(store.stage([longer])).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' })
  })

  test('whose frames were dropped, doubled or swapped is refused', async () => {
    const store = await open(new MemoryFileSystem())
    const chunks = [state(1), state(2), state(3)]
    const parts = await collect(encodeSnapshotStream(header(1), chunks))
    // Parts: header, then a frame header and its data three times, then the end.
    expect(parts).toHaveLength(8)
    const [head, h1, d1, h2, d2, h3, d3, end] = parts as [Uint8Array, ...Uint8Array[]]
    const wrong = [
      [head, h1, d1, h3, d3, end],
      [head, h1, d1, h1, d1, h2, d2, h3, d3, end],
      [head, h2, d2, h1, d1, h3, d3, end],
      [head, h1, d1, h2, d2, end],
      [head, end],
    ]
    for (const list of wrong) {
      const staging = store.stage(list as Uint8Array[])
      await expect(staging).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' })
    }
  })

  test('of another cluster is refused before it is written', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs, '00000000000000c2')
    await expect(store.stage([await stream(7)])).rejects.toMatchObject({ code: 'SNAPSHOT_REFUSED' })
    expect(fs.names(DIRECTORY)).toEqual([])
  })
})

describe('a snapshot on disk that is damaged (F25)', () => {
  test('is reported with file and offset when it is looked for or read, never passed over', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    await store.save(header(3), [state(3)])
    const { path } = await store.save(header(7), [state(7)])
    const { length } = fs.contents(path)
    for (let at = 0; at < length; at++) {
      const copy = fs.clone()
      copy.damage(path, at, 0x40)
      const damaged = await open(copy)
      const error = await damaged
        .newest()
        .then((found) => contents(damaged, found!.path))
        .catch((cause: unknown) => cause)
      expect(['SNAPSHOT_CORRUPT', 'SNAPSHOT_REFUSED'], `byte ${at}`).toContain(
        (error as { code?: string }).code,
      )
      expect(error).toHaveProperty('details.file', path)
    }
  })

  test('does not matter once a newer one is there', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    const { path } = await store.save(header(3), [state(3)])
    await store.save(header(7), [state(7)])
    fs.damage(path, 50, 1)
    expect((await store.newest())?.meta.index).toBe(7)
  })

  test('or belongs to another cluster is refused (F30)', async () => {
    const fs = new MemoryFileSystem()
    await (await open(fs)).save(header(3), [state(3)])
    const foreign = await open(fs, '00000000000000c2')
    await expect(foreign.newest()).rejects.toMatchObject({ code: 'DATA_DIR_FOREIGN' })
  })

  test('or has the name of another is refused', async () => {
    const fs = new MemoryFileSystem()
    const store = await open(fs)
    const { path } = await store.save(header(3), [state(3)])
    await fs.rename(path, path.replace('0000000000000003-', '0000000000000004-'))
    await expect(store.newest()).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' })
  })
})
