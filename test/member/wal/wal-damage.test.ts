// Damage at rest, byte by byte: either the log refuses to open and names the file and the offset, or nothing is lost.

import { describe, expect, test } from 'vitest'
import {
  batch,
  entries,
  entry,
  hardState,
  LOG_DIRECTORY,
  openLog,
  settle,
  snapshotAt,
} from '../../support/log-harness.ts'
import { isChange, MemoryFileSystem } from '../../support/memory-file-system.ts'

const FIRST = `${LOG_DIRECTORY}/0000000000000001.wal`
const RECORDS_AT = 3 * 4096

async function flushedLog() {
  const fs = new MemoryFileSystem()
  const { wal, model, timers } = await openLog(fs)
  const offsets = [RECORDS_AT]
  for (const next of [
    batch(entries(1, 3, 1, 30), hardState(1, 0)),
    batch([entry(4, 1, 40)], hardState(1, 3)),
    batch(entries(5, 2, 2, 25), hardState(2, 3)),
  ]) {
    await wal.save(next)
    model.apply(next)
    const bytes = fs.contents(FIRST)
    offsets.push(Math.ceil((bytes.findLastIndex((byte) => byte !== 0) + 1) / 8) * 8)
  }
  return { fs, wal, model, timers, offsets }
}

function recordAt(offsets: readonly number[], at: number): number {
  return offsets.findLast((offset) => offset <= at)!
}

describe('one damaged byte of a closed log (F25)', () => {
  test('of a record or a header is found, with file and offset, and nothing is changed', async () => {
    const { fs, wal, offsets } = await flushedLog()
    await wal.close()
    const end = offsets.at(-1)!
    for (let at = 0; at < end; at++) {
      if (at === 4096) at = RECORDS_AT
      const copy = fs.clone()
      copy.damage(FIRST, at, 1 << (at % 8))
      const changed: string[] = []
      copy.fault = (operation) => {
        if (isChange(operation) && operation.kind !== 'makeDirectory') changed.push(operation.kind)
        return undefined
      }
      await expect(openLog(copy), `byte ${at}`).rejects.toMatchObject({
        code: 'WAL_CORRUPT',
        details: { file: FIRST, offset: at < 4096 ? 0 : recordAt(offsets, at) },
      })
      expect(changed).toEqual([])
    }
  })

  test('of a mark, or of room that holds nothing, loses nothing', async () => {
    const { fs, wal, model, offsets } = await flushedLog()
    await wal.close()
    const end = offsets.at(-1)!
    for (let at = 4096; at < end + 64; at++) {
      if (at === RECORDS_AT) at = end
      // Behind the marks their pages hold nothing: a few bytes of them stand for all.
      if (at < RECORDS_AT && at % 4096 >= 64 && at % 61 > 0) continue
      const copy = fs.clone()
      copy.damage(FIRST, at, 1 << (at % 8))
      const { wal: opened, model: found } = await openLog(copy)
      expect(found.describe(), `byte ${at}`).toBe(model.describe())
      await opened.close()
    }
  })

  test('in a segment that others follow is damage whatever the marks say', async () => {
    const fs = new MemoryFileSystem()
    const { wal } = await openLog(fs)
    for (let i = 1; i <= 12; i++) await wal.save(batch([entry(i, 1, 1000)]))
    fs.losePower('none')
    const end = fs.contents(FIRST).findLastIndex((byte) => byte !== 0)
    for (let at = RECORDS_AT; at <= end; at += 97) {
      const copy = fs.clone()
      copy.damage(FIRST, at, 0xff)
      await expect(openLog(copy), `byte ${at}`).rejects.toMatchObject({
        code: 'WAL_CORRUPT',
        details: { file: FIRST },
      })
      // A newer snapshot makes the segment superfluous.
      const opened = await openLog(copy, { after: snapshotAt(11, 1) })
      expect(opened.lastIndex).toBe(12)
      await opened.wal.close()
    }
  })
})

describe('damage told from a torn write by what stands elsewhere', () => {
  test('by a later record, without any mark', async () => {
    const { fs, offsets } = await flushedLog()
    fs.losePower('none')
    fs.damage(FIRST, offsets[1]! + 30, 1)
    await expect(openLog(fs)).rejects.toMatchObject({
      code: 'WAL_CORRUPT',
      details: { file: FIRST, offset: offsets[1], laterOffset: offsets[2] },
    })
  })

  test('by the mark that follows 100 ms of idleness', async () => {
    const { fs, timers, offsets } = await flushedLog()
    timers.advance(200)
    await settle()
    fs.losePower('none')
    fs.damage(FIRST, offsets[2]! + 30, 1)
    await expect(openLog(fs)).rejects.toMatchObject({
      code: 'WAL_CORRUPT',
      details: { file: FIRST, offset: offsets[2], flushedThrough: offsets[3] },
    })
  })

  test('a mark torn while it is written does not hide the one before it', async () => {
    const { fs, wal, timers, offsets } = await flushedLog()
    timers.advance(200)
    await settle()
    await wal.save(batch([entry(7, 2, 30)]))
    fs.fault = ({ kind }) =>
      kind === 'writeAndFlush' ? { type: 'crash', keptBytes: 20 } : undefined
    timers.advance(200)
    await settle()
    fs.fault = undefined
    fs.losePower('all')
    const copy = fs.clone()
    const opened = await openLog(copy)
    expect(opened.lastIndex).toBe(7)
    // Without the later record, the first mark is all that tells.
    const bytes = fs.contents(FIRST)
    for (let at = offsets[3]!; at < bytes.length; at++) fs.damage(FIRST, at, bytes[at]!)
    fs.damage(FIRST, offsets[2]! + 30, 1)
    await expect(openLog(fs)).rejects.toMatchObject({
      code: 'WAL_CORRUPT',
      details: { offset: offsets[2], flushedThrough: offsets[3] },
    })
  })

  test('flushed records that the disk forgot are missed (F29)', async () => {
    const { fs, wal, offsets } = await flushedLog()
    await wal.close()
    const bytes = fs.contents(FIRST)
    for (let at = offsets[2]!; at < offsets[3]!; at++) fs.damage(FIRST, at, bytes[at]!)
    await expect(openLog(fs)).rejects.toMatchObject({
      code: 'WAL_CORRUPT',
      details: { offset: offsets[2] },
    })
  })

  test('a segment cut short by the disk is damage', async () => {
    const { fs, wal, offsets } = await flushedLog()
    await wal.close()
    const file = await fs.open(FIRST, 'readWrite')
    await file.truncate(offsets[2]! + 10)
    await file.flush()
    await file.close()
    await expect(openLog(fs)).rejects.toMatchObject({
      code: 'WAL_CORRUPT',
      details: { offset: offsets[2] },
    })
  })
})
