// The disk refuses: what was acknowledged stays, what was not is reported, and nothing that failed is tried again.

import { describe, expect, test } from 'vitest'
import {
  batch,
  entries,
  entry,
  hardState,
  mustHaveCode,
  openLog,
  settle,
  snapshotAt,
} from '../../support/log-harness.ts'
import { type Fault, MemoryFileSystem, type Operation } from '../../support/memory-file-system.ts'

const DISK_FAILED = { type: 'error', code: 'DISK_FAILED' } as const

/** Saves entries 1 to 12, on and on when one is refused; returns the acknowledged ones. */
async function saveTwelve(fs: MemoryFileSystem) {
  const { wal, timers } = await openLog(fs)
  const acknowledged: number[] = []
  for (let i = 1; i <= 12; i++) {
    try {
      await wal.save(batch([entry(i, 1, 3000)], hardState(1, 0)))
      acknowledged.push(i)
    } catch (error) {
      mustHaveCode(error, 'DISK_FAILED')
    }
    if (i === 8) await wal.release(5).catch(() => undefined)
    if (i % 3 === 0) timers.advance(200)
    if (i % 3 === 0) await settle()
  }
  await wal.close().catch(() => undefined)
  return acknowledged
}

/** Entries 1 to 3 are stored; the save of entry 4 met `fault`. */
async function failingSave(fault: Fault): Promise<MemoryFileSystem> {
  const fs = new MemoryFileSystem()
  const { wal } = await openLog(fs)
  await wal.save(batch(entries(1, 3), hardState(1, 0)))
  fs.fault = ({ kind }) => (kind === 'writeAndFlush' ? fault : undefined)
  const failed = await wal.save(batch([entry(4, 1)])).catch((error: unknown) => error)
  expect(failed).toBeInstanceOf(Error)
  fs.kill()
  return fs
}

/** A start shows entry 4, which is still there when the power has gone, with what was saved after it. */
async function expectStored(fs: MemoryFileSystem): Promise<void> {
  fs.kill()
  fs.fault = undefined
  const first = await openLog(fs)
  expect(first.model.entries).toEqual(entries(1, 4))
  await first.wal.save(batch([entry(5, 1)]))
  fs.losePower('none')
  const second = await openLog(fs)
  expect(second.model.entries).toEqual(entries(1, 5))
  await second.wal.close()
}

/** Whether a save went through; there may be no space for it, but nothing else may be wrong. */
async function isSaved(saving: Promise<void>): Promise<boolean> {
  try {
    await saving
    return true
  } catch (error) {
    mustHaveCode(error, 'NO_SPACE')
    return false
  }
}

describe('a failed flush (F26)', () => {
  test('of a save rejects it and every later call, and the disk is left alone', async () => {
    const fs = new MemoryFileSystem()
    const { wal, timers } = await openLog(fs)
    await wal.save(batch(entries(1, 3), hardState(1, 0)))
    await settle()
    fs.fault = ({ kind }) => (kind === 'writeAndFlush' ? DISK_FAILED : undefined)
    await expect(wal.save(batch([entry(4, 1)]))).rejects.toMatchObject({ code: 'DISK_FAILED' })
    expect(wal.isFailed).toBe(true)
    fs.fault = undefined
    await settle()
    const before = fs.operationCount
    await expect(wal.save(batch([entry(4, 1)]))).rejects.toMatchObject({ code: 'DISK_FAILED' })
    await expect(wal.save(batch([entry(4, 1)]))).rejects.toHaveProperty('cause.code', 'DISK_FAILED')
    timers.advance(1000)
    await settle()
    expect(fs.operationCount).toBe(before)
    await wal.close()
    fs.losePower('none')
    const reopened = await openLog(fs)
    expect(reopened.model.entries).toEqual(entries(1, 3))
    await reopened.wal.close()
  })

  test('that left its bytes in the memory of the system: what the next start reads outlives the power', async () => {
    const fs = await failingSave({ ...DISK_FAILED, keptBytes: 4096 })
    await expectStored(fs)
  })

  test('of a start that has read what a killed process left: what the next start reads outlives the power', async () => {
    const fs = await failingSave({ type: 'crash' })
    fs.fault = ({ kind }) => (kind.toLowerCase().includes('flush') ? DISK_FAILED : undefined)
    await expect(openLog(fs)).rejects.toMatchObject({ code: 'DISK_FAILED' })
    await expectStored(fs)
  })

  test('at any operation of any kind: acknowledged saves are kept, later ones are refused', async () => {
    const changes: Operation[] = []
    const kinds = [
      'write',
      'writeAndFlush',
      'flush',
      'rename',
      'unlink',
      'flushDirectory',
      'create',
    ]
    const calm = new MemoryFileSystem({
      fault: (operation) => {
        if (kinds.includes(operation.kind)) changes.push(operation)
        return undefined
      },
    })
    expect(await saveTwelve(calm)).toHaveLength(12)
    for (const { number } of changes) {
      const fs = new MemoryFileSystem({
        fault: (operation) => (operation.number === number ? DISK_FAILED : undefined),
      })
      const acknowledged = await saveTwelve(fs).catch((error: unknown) => {
        // Opening failed.
        mustHaveCode(error, 'DISK_FAILED')
        return []
      })
      const stored = acknowledged.length
      // None after the first that was refused.
      expect(acknowledged.at(-1) ?? 0).toBe(stored)
      fs.fault = undefined
      fs.losePower('none')
      const after = stored >= 8 ? snapshotAt(5, 1) : undefined
      const reopened = await openLog(fs, { after })
      expect(reopened.lastIndex, `operation ${number}`).toBeGreaterThanOrEqual(stored)
      expect(reopened.lastIndex).toBeLessThanOrEqual(stored + 1)
      await reopened.wal.close()
    }
  })

  test('beside the saves is reported at once', async () => {
    const fs = new MemoryFileSystem()
    const reported: unknown[] = []
    const { wal, timers } = await openLog(fs, { onFailure: (error) => reported.push(error) })
    await wal.save(batch([entry(1, 1)]))
    await settle()
    fs.fault = ({ kind }) => (kind === 'writeAndFlush' ? DISK_FAILED : undefined)
    timers.advance(200)
    await settle()
    expect(reported).toMatchObject([{ code: 'DISK_FAILED' }])
    await expect(wal.save(batch([entry(2, 1)]))).rejects.toMatchObject({ code: 'DISK_FAILED' })
    expect(reported).toHaveLength(1)
    await wal.close()
  })

  test('while room is made ahead is not hidden by the save that needs the room', async () => {
    const fs = new MemoryFileSystem()
    const reported: unknown[] = []
    // The first flush of a fresh log is the one of the room ahead.
    fs.fault = ({ kind }) => (kind === 'flush' ? DISK_FAILED : undefined)
    const { wal } = await openLog(fs, {
      segmentBytes: 1024 * 1024,
      onFailure: (error) => reported.push(error),
    })
    await expect(wal.save(batch([entry(1, 1, 100_000)]))).rejects.toMatchObject({
      code: 'DISK_FAILED',
    })
    expect([wal.isFailed, reported.length]).toEqual([true, 1])
    await wal.close()
  })
})

/** Holds operations of one kind until they are let go. */
function hold(fs: MemoryFileSystem, kind: Operation['kind']) {
  const waiting: (() => void)[] = []
  fs.delay = (operation) =>
    operation.kind === kind ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve()
  return {
    waiting,
    letGo: () => {
      fs.delay = undefined
      for (const resolve of waiting.splice(0)) resolve()
    },
  }
}

describe('work beside a save', () => {
  test('has the file to itself while it stores a deferred commit index', async () => {
    const fs = new MemoryFileSystem()
    const { wal, timers } = await openLog(fs)
    await wal.save(batch(entries(1, 3), hardState(1, 0)))
    await wal.save({ entries: [], hardState: hardState(1, 2), sync: false })
    const held = hold(fs, 'writeAndFlush')
    timers.advance(200)
    const saving = wal.save(batch([entry(4, 1)]))
    await settle()
    expect(held.waiting).toHaveLength(1)
    held.letGo()
    await saving
    fs.losePower('none')
    const reopened = await openLog(fs)
    expect(reopened.model.entries).toEqual(entries(1, 4))
    expect(reopened.hardState).toEqual(hardState(1, 2))
    await reopened.wal.close()
  })

  test('that fails while a save waits for its room fails the save, and is not done again', async () => {
    const fs = new MemoryFileSystem()
    const held = hold(fs, 'flush')
    fs.fault = ({ kind }) => (kind === 'flush' ? DISK_FAILED : undefined)
    const { wal } = await openLog(fs, { segmentBytes: 1024 * 1024 })
    const saving = wal.save(batch([entry(1, 1, 100_000)]))
    await settle()
    expect(held.waiting).toHaveLength(1)
    fs.fault = undefined
    const before = fs.operationCount
    held.letGo()
    await expect(saving).rejects.toMatchObject({ code: 'DISK_FAILED' })
    expect([wal.isFailed, fs.operationCount]).toEqual([true, before])
    await wal.close()
  })
})

describe('a full disk (F27)', () => {
  test('refuses a save before anything is written, and takes it when there is space again', async () => {
    const fs = new MemoryFileSystem({ capacityBytes: 60_000 })
    const { wal } = await openLog(fs)
    let index = 0
    while (await isSaved(wal.save(batch([entry(index + 1, 1, 3000)], hardState(1, 0))))) index++
    expect(index).toBeGreaterThan(2)
    expect(wal.isFailed).toBe(false)
    await expect(wal.save(batch([entry(index + 1, 1, 3000)]))).rejects.toMatchObject({
      code: 'NO_SPACE',
    })
    // Whoever frees a little by compaction may go on.
    fs.capacityBytes = 10_000_000
    await wal.save(batch([entry(index + 1, 1, 3000)], hardState(1, index)))
    await wal.close()
    fs.losePower('none')
    const reopened = await openLog(fs)
    expect(reopened.model.entries).toEqual(entries(1, index + 1, 1, 3000))
    expect(reopened.hardState).toEqual(hardState(1, index))
    await reopened.wal.close()
  })

  test('is survived at every size', async () => {
    for (let capacityBytes = 0; capacityBytes < 260_000; capacityBytes += 3500) {
      const fs = new MemoryFileSystem({ capacityBytes })
      let stored = 0
      try {
        const { wal } = await openLog(fs)
        for (let i = 1; i <= 10; i++) {
          await wal.save(batch([entry(i, 1, 5000)]))
          stored = i
        }
        await wal.close()
      } catch (error) {
        mustHaveCode(error, 'NO_SPACE')
      }
      fs.losePower('none')
      fs.capacityBytes = Number.POSITIVE_INFINITY
      const reopened = await openLog(fs)
      expect(reopened.model.entries).toEqual(entries(1, stored, 1, 5000))
      await reopened.wal.close()
    }
  })

  test('leaves a deferred commit index for later', async () => {
    const fs = new MemoryFileSystem()
    const { wal, timers } = await openLog(fs, { segmentBytes: 17 * 1024 })
    await wal.save(batch([entry(1, 1, 4900)], hardState(1, 0)))
    fs.capacityBytes = 0
    await wal.save({ entries: [], hardState: hardState(1, 1), sync: false })
    timers.advance(200)
    await settle()
    expect(wal.isFailed).toBe(false)
    await wal.close()
  })
})
