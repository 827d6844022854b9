// The log when nothing goes wrong: what is replayed after which saves, cuts, snapshots and releases.

import { describe, expect, test } from 'vitest'
import { MemoryFileSystem } from '../../support/memory-file-system.ts'
import {
  batch,
  entries,
  entry,
  hardState,
  LOG_DIRECTORY,
  LogModel,
  MEMBER,
  openLog,
  settle,
  snapshotAt,
} from '../../support/log-harness.ts'

const FIRST = `${LOG_DIRECTORY}/0000000000000001.wal`

function segments(fs: MemoryFileSystem): string[] {
  return fs.names(LOG_DIRECTORY)
}

async function filled(fs: MemoryFileSystem, count: number) {
  const log = await openLog(fs)
  for (let i = 1; i <= count; i++) await log.wal.save(batch([entry(i, 1, 1000)], hardState(1, i)))
  return log
}

describe('what was saved', () => {
  test('a fresh log is empty', async () => {
    const { wal, hardState, lastIndex, repaired, model } = await openLog(new MemoryFileSystem())
    expect([hardState, lastIndex, repaired, model.entries]).toEqual([undefined, 0, undefined, []])
    await wal.close()
  })

  test('a log that must exist is not begun anew', async () => {
    const fs = new MemoryFileSystem()
    await expect(openLog(fs, { mustExist: true })).rejects.toMatchObject({ code: 'WAL_CORRUPT' })
    expect(segments(fs)).toEqual([])
  })

  test('entries of every kind, hard state and order survive a restart', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    const change = {
      changes: [{ type: 'addVoter' as const, memberId: MEMBER }],
      transition: 'auto' as const,
      context: new Uint8Array([1, 2]),
    }
    const empty = new Uint8Array(0)
    const list = [
      entry(1, 1, 0),
      { index: 2, term: 1, type: 'confChange' as const, data: empty, change },
      entry(3, 2, 5000),
    ]
    await first.wal.save(batch(list, hardState(2, 0)))
    await first.wal.close()
    const second = await openLog(fs)
    expect(second.model.entries).toEqual(list)
    expect(second.hardState).toEqual(hardState(2, 0))
    expect(second.lastIndex).toBe(3)
    await second.wal.close()
  })

  test('a later entry at the same index cuts the log there (§5.3)', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    await first.wal.save(batch(entries(1, 10), hardState(1, 0)))
    await first.wal.save(batch(entries(4, 2, 2), hardState(2, 0)))
    await first.wal.close()
    const second = await openLog(fs)
    expect(second.model.entries).toEqual([...entries(1, 3), ...entries(4, 2, 2)])
    await second.wal.close()
  })

  test('a log spans segments, and one record may be longer than a segment', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    for (let i = 1; i <= 20; i++) await first.wal.save(batch([entry(i, 1, 3000)]))
    await first.wal.save(batch([entry(21, 1, 100_000)], hardState(1, 20)))
    await first.wal.save(batch([entry(22, 1, 10)]))
    await first.wal.close()
    expect(segments(fs).length).toBeGreaterThan(10)
    const second = await openLog(fs)
    expect(second.model.entries.map((e) => e.data.length)).toEqual([
      ...Array<number>(20).fill(3000),
      100_000,
      10,
    ])
    expect(second.hardState).toEqual(hardState(1, 20))
    await second.wal.close()
  })

  test('records longer than what is read at once come back whole, short ones between them', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    const sizes = [10, 300_000, 20, 1_000_000, 255_000, 30, 700_000]
    for (const [i, size] of sizes.entries()) {
      await first.wal.save(batch([entry(2 * i + 1, 1, size)]))
      await first.wal.save(batch([entry(2 * i + 2, 1, 5)]))
    }
    await first.wal.close()
    const second = await openLog(fs)
    const expected = new LogModel()
    for (const [i, size] of sizes.entries()) {
      expected.entries.push(entry(2 * i + 1, 1, size), entry(2 * i + 2, 1, 5))
    }
    expect(second.model.describe()).toBe(expected.describe())
    await second.wal.close()
  })

  test('the consumer is waited for', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    for (let i = 1; i <= 5; i++) await first.wal.save(batch([entry(i, 1)]))
    await first.wal.close()
    let isBusy = false
    let count = 0
    const second = await openLog(fs, {
      onBatch: async () => {
        expect(isBusy).toBe(false)
        isBusy = true
        await settle()
        isBusy = false
        count++
      },
    })
    expect(count).toBe(5)
    await second.wal.close()
  })

  test('a second save before the first has ended is a bug of the caller', async () => {
    const { wal } = await openLog(new MemoryFileSystem())
    const first = wal.save(batch([entry(1, 1)]))
    await expect(wal.save(batch([entry(2, 1)]))).rejects.toThrow('a save is under way already')
    await first
    await wal.close()
  })
})

describe('a commit index alone', () => {
  test('costs no write, and is stored with the next synced save', async () => {
    const fs = new MemoryFileSystem()
    const { wal } = await openLog(fs)
    await wal.save(batch(entries(1, 3), hardState(1, 0)))
    await settle()
    const before = fs.operationCount
    await wal.save({ entries: [], hardState: hardState(1, 3), sync: false })
    expect(fs.operationCount).toBe(before)
    await wal.save(batch([entry(4, 1)]))
    fs.losePower('none')
    const reopened = await openLog(fs)
    expect(reopened.hardState).toEqual(hardState(1, 3))
    await reopened.wal.close()
  })

  test('is stored when the log is idle, and when it is closed', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    await first.wal.save(batch(entries(1, 3), hardState(1, 0)))
    await first.wal.save({ entries: [], hardState: hardState(1, 2), sync: false })
    first.timers.advance(200)
    await settle()
    fs.losePower('none')
    const second = await openLog(fs)
    expect(second.hardState).toEqual(hardState(1, 2))
    await second.wal.save({ entries: [], hardState: hardState(1, 3), sync: false })
    await second.wal.close()
    fs.losePower('none')
    const third = await openLog(fs)
    expect(third.hardState).toEqual(hardState(1, 3))
    await third.wal.close()
  })

  test('one that comes while the one before is being stored is stored as well', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    await first.wal.save(batch(entries(1, 3), hardState(1, 0)))
    await first.wal.save({ entries: [], hardState: hardState(1, 2), sync: false })
    const isStoring = Promise.withResolvers<void>()
    const mayGoOn = Promise.withResolvers<void>()
    fs.delay = async () => {
      isStoring.resolve()
      await mayGoOn.promise
    }
    first.timers.advance(200)
    await isStoring.promise
    await first.wal.save({ entries: [], hardState: hardState(1, 3), sync: false })
    fs.delay = undefined
    mayGoOn.resolve()
    await settle()
    for (let i = 0; i < 5; i++) {
      first.timers.advance(200)
      await settle()
    }
    fs.losePower('none')
    const second = await openLog(fs)
    expect(second.hardState).toEqual(hardState(1, 3))
    await second.wal.close()
  })

  test('a new term or vote is flushed even if the caller says it need not be (§5.2)', async () => {
    const fs = new MemoryFileSystem()
    const { wal } = await openLog(fs)
    await wal.save({ entries: [], hardState: hardState(7, 0), sync: false })
    fs.losePower('none')
    const reopened = await openLog(fs)
    expect(reopened.hardState).toEqual(hardState(7, 0))
    await reopened.wal.close()
  })

  test('an idle log sets no timer and writes nothing', async () => {
    const fs = new MemoryFileSystem()
    const { wal, timers } = await openLog(fs)
    await wal.save(batch([entry(1, 1)]))
    for (let i = 0; i < 3; i++) {
      timers.advance(100)
      await settle()
    }
    const before = fs.operationCount
    timers.advance(10_000)
    await settle()
    expect([fs.operationCount, timers.count]).toEqual([before, 0])
    await wal.close()
  })
})

describe('snapshots', () => {
  test('entries up to the snapshot are not replayed, and what follows it is', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    for (let i = 1; i <= 30; i++) await first.wal.save(batch([entry(i, 1, 1000)], hardState(1, i)))
    await first.wal.close()
    for (const index of [0, 1, 13, 29, 30]) {
      const after = index === 0 ? undefined : snapshotAt(index, 1)
      const { wal, model, hardState: state } = await openLog(fs, { after })
      expect(model.entries.map((e) => e.index)).toEqual(
        entries(index + 1, 30 - index).map((e) => e.index),
      )
      expect(state).toEqual(hardState(1, 30))
      await wal.close()
    }
  })

  test('a cut below the snapshot takes the entries behind it with it', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    await first.wal.save(batch(entries(1, 12)))
    await first.wal.save(batch(entries(5, 6, 2), hardState(2, 10)))
    await first.wal.close()
    const { wal, model, lastIndex } = await openLog(fs, { after: snapshotAt(10, 2) })
    expect([model.entries, lastIndex]).toEqual([[], 10])
    await wal.close()
  })

  test('a snapshot that the log does not contain replaces it (§7)', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    await first.wal.save(batch(entries(1, 12), hardState(1, 5)))
    await first.wal.close()
    // Entry 10 of the log has term 1: it and what follows it are of another branch.
    for (let round = 0; round < 2; round++) {
      const { wal, model, lastIndex } = await openLog(fs, { after: snapshotAt(10, 3) })
      expect([model.entries, lastIndex]).toEqual([[], 10])
      await wal.close()
    }
    const { wal } = await openLog(fs, { after: snapshotAt(10, 3) })
    await wal.save(batch([entry(11, 3)]))
    await wal.close()
    const last = await openLog(fs, { after: snapshotAt(10, 3) })
    expect(last.model.entries).toEqual([entry(11, 3)])
    await last.wal.close()
  })

  test('a snapshot beyond the end of the log is followed', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    await first.wal.save(batch(entries(1, 5), hardState(1, 5)))
    await first.wal.close()
    const second = await openLog(fs, { after: snapshotAt(9, 1) })
    expect([second.lastIndex, second.hardState]).toEqual([9, hardState(1, 5)])
    await second.wal.save(batch([entry(10, 1)]))
    await second.wal.close()
  })

  test('an installed snapshot makes the log go on behind it', async () => {
    const fs = new MemoryFileSystem()
    const first = await openLog(fs)
    await first.wal.save(batch(entries(1, 5), hardState(1, 5)))
    await first.wal.save({
      snapshot: snapshotAt(100, 4),
      entries: entries(101, 2, 4),
      hardState: hardState(4, 100),
      sync: true,
    })
    await first.wal.close()
    const second = await openLog(fs, { after: snapshotAt(100, 4) })
    expect(second.model.entries).toEqual(entries(101, 2, 4))
    await second.wal.close()
    // Without the snapshot file the log has no beginning.
    await expect(openLog(fs)).rejects.toMatchObject({
      code: 'WAL_CORRUPT',
      details: { file: FIRST, snapshotIndex: 100 },
    })
  })
})

describe('segments that are no longer needed', () => {
  test('release keeps what a restart needs, and the last hard state with it', async () => {
    const fs = new MemoryFileSystem()
    const { wal } = await filled(fs, 40)
    const before = segments(fs).length
    await wal.release(25)
    expect(segments(fs).length).toBeLessThan(before)
    fs.losePower('none')
    const reopened = await openLog(fs, { after: snapshotAt(25, 1) })
    expect(reopened.model.entries.map((e) => e.index)).toEqual(entries(26, 15).map((e) => e.index))
    expect(reopened.hardState).toEqual(hardState(1, 40))
    await reopened.wal.close()
  })

  test('a log that starts behind the snapshot is damage, not a gap', async () => {
    const fs = new MemoryFileSystem()
    const { wal } = await filled(fs, 40)
    await wal.release(25)
    await wal.close()
    await expect(openLog(fs, { after: snapshotAt(5, 1) })).rejects.toMatchObject({
      code: 'WAL_CORRUPT',
      details: { neededIndex: 6 },
    })
  })

  test('at most two released files are kept, and new segments use them', async () => {
    const fs = new MemoryFileSystem()
    const { wal } = await filled(fs, 40)
    await wal.release(40)
    const spares = segments(fs).filter((name) => name.endsWith('.spare'))
    expect(spares).toHaveLength(2)
    for (let i = 41; i <= 60; i++) await wal.save(batch([entry(i, 1, 1000)]))
    expect(segments(fs).filter((name) => name.endsWith('.spare'))).toHaveLength(0)
    fs.losePower('none')
    const reopened = await openLog(fs, { after: snapshotAt(40, 1) })
    expect(reopened.model.entries).toHaveLength(20)
    await reopened.wal.close()
  })

  test('records of an earlier life of a recycled file are never replayed', async () => {
    const fs = new MemoryFileSystem()
    let log = await openLog(fs)
    for (let i = 1; i <= 200; i++) {
      await log.wal.save(batch([entry(i, 1, 900)]))
      await log.wal.release(i - 1)
      if (i % 7 !== 0) continue
      // Each restart ends its segment early, with whole records of the same sizes behind it.
      fs.losePower('none')
      log = await openLog(fs, { after: snapshotAt(i - 1, 1), seed: i })
      expect([log.lastIndex, log.repaired]).toEqual([i, undefined])
      expect(log.model.entries).toEqual([entry(i, 1, 900)])
    }
    await log.wal.close()
  })
})

describe('a directory that is not this log', () => {
  test('of another cluster or member is refused (F30)', async () => {
    const fs = new MemoryFileSystem()
    const { wal } = await openLog(fs)
    await wal.close()
    const identities = [
      { clusterId: '00000000000000c2', memberId: MEMBER },
      { clusterId: '00000000000000c1', memberId: '00000000000000a2' as typeof MEMBER },
    ]
    for (const identity of identities) {
      await expect(openLog(fs, { identity })).rejects.toMatchObject({
        code: 'DATA_DIR_FOREIGN',
        details: { file: FIRST },
      })
    }
  })

  test('a segment that is missing is named', async () => {
    const fs = new MemoryFileSystem()
    const { wal } = await openLog(fs)
    for (let i = 1; i <= 40; i++) await wal.save(batch([entry(i, 1, 1000)]))
    await wal.close()
    const names = segments(fs)
    for (const missing of [names[1]!, names.at(-1)!]) {
      const copy = fs.clone()
      await copy.unlink(`${LOG_DIRECTORY}/${missing}`)
      await expect(openLog(copy)).rejects.toMatchObject({
        code: 'WAL_CORRUPT',
        details: { file: `${LOG_DIRECTORY}/${missing}` },
      })
    }
    const copy = fs.clone()
    await copy.unlink(`${LOG_DIRECTORY}/${names[0]}`)
    await expect(openLog(copy)).rejects.toMatchObject({ code: 'WAL_CORRUPT' })
  })

  test('a segment under the name of another is refused', async () => {
    const fs = new MemoryFileSystem()
    const { wal } = await openLog(fs)
    await wal.close()
    await fs.rename(FIRST, `${LOG_DIRECTORY}/0000000000000002.wal`)
    await expect(openLog(fs)).rejects.toMatchObject({
      code: 'WAL_CORRUPT',
      details: { expected: 2, found: 1 },
    })
  })
})

test('each flush is reported with its size', async () => {
  const sizes: number[] = []
  const { wal } = await openLog(new MemoryFileSystem(), {
    onFlush: (_durationMs, bytes) => sizes.push(bytes),
  })
  await wal.save(batch([entry(1, 1, 100)]))
  await wal.save(batch(entries(2, 10, 1, 100)))
  expect(sizes).toHaveLength(2)
  expect(sizes[1]).toBeGreaterThan(1000)
  await wal.close()
})
