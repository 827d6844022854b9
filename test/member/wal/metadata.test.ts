// The identity file: atomic replacement under any crash, and damage of any byte.

import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  METADATA_FILE,
  type Metadata,
  readMetadata,
  writeMetadata,
} from '../../../member/src/wal/metadata.ts'
import { IDENTITY } from '../../support/log-harness.ts'
import { MemoryFileSystem, SimulatedCrash } from '../../support/memory-file-system.ts'
import { SeededPrng } from '../../../lib/prng.ts'

const DIRECTORY = '/data'
const PATH = `${DIRECTORY}/${METADATA_FILE}`
const METADATA: Metadata = {
  ...IDENTITY,
  name: 'n1',
  incarnation: 1,
  token: 'demo',
  initialCluster: 'n1=http://127.0.0.1:2380',
}

async function stored(metadata = METADATA): Promise<MemoryFileSystem> {
  const fs = new MemoryFileSystem()
  await fs.makeDirectory(DIRECTORY)
  await writeMetadata(fs, DIRECTORY, metadata)
  return fs
}

async function rewrite(fs: MemoryFileSystem, text: string): Promise<void> {
  const file = await fs.open(PATH, 'readWrite')
  await file.truncate(0)
  await file.write([Buffer.from(text)], 0)
  await file.close()
}

describe('the identity of a data directory', () => {
  test('is absent in a blank one', async () => {
    const fs = new MemoryFileSystem()
    await fs.makeDirectory(DIRECTORY)
    expect(await readMetadata(fs, DIRECTORY)).toBeUndefined()
  })

  test('survives a loss of power as soon as it is written', async () => {
    const fs = await stored()
    fs.losePower('none')
    expect(await readMetadata(fs, DIRECTORY)).toEqual(METADATA)
  })

  test('is the old one or the new one after a crash at any operation (F10)', async () => {
    const next = { ...METADATA, incarnation: 2 }
    for (let number = 1; number < 20; number++) {
      for (const survival of ['all', 'none', new SeededPrng(number)] as const) {
        const base = await stored()
        base.losePower('none')
        const fs = base.clone()
        fs.fault = (operation) =>
          operation.number === number ? { type: 'crash', keptBytes: 7 } : undefined
        const isDone = await writeMetadata(fs, DIRECTORY, next).then(
          () => true,
          () => false,
        )
        fs.fault = undefined
        fs.losePower(survival)
        const found = await readMetadata(fs, DIRECTORY)
        expect(isDone ? [next] : [METADATA, next]).toContainEqual(found)
        // A leftover does not stop the next attempt.
        await writeMetadata(fs, DIRECTORY, next)
      }
    }
  })

  test('is not forgotten once a start has read it', async () => {
    const fs = await stored()
    fs.losePower('none')
    fs.fault = ({ kind }) => (kind === 'flushDirectory' ? { type: 'crash' } : undefined)
    await expect(writeMetadata(fs, DIRECTORY, { ...METADATA, incarnation: 2 })).rejects.toThrow(
      SimulatedCrash,
    )
    fs.fault = undefined
    fs.kill()
    expect(await readMetadata(fs, DIRECTORY)).toMatchObject({ incarnation: 2 })
    fs.losePower('none')
    expect(await readMetadata(fs, DIRECTORY)).toMatchObject({ incarnation: 2 })
  })

  test('damaged in any byte is refused with the file named (F25)', async () => {
    const fs = await stored()
    const { length } = fs.contents(PATH)
    for (let at = 0; at < length; at++) {
      const copy = fs.clone()
      copy.damage(PATH, at, 1)
      const error = await readMetadata(copy, DIRECTORY).catch((cause: unknown) => cause)
      expect(error, `byte ${at}`).toMatchObject({
        code: 'METADATA_CORRUPT',
        details: { file: PATH },
      })
    }
  })

  test('in a newer format is left alone', async () => {
    const fs = await stored()
    const { checksum: _, ...fields } = JSON.parse(Buffer.from(fs.contents(PATH)).toString())
    const newer = { ...fields, formatVersion: 2, notKnownYet: 1 }
    const checksum = createHash('sha256').update(JSON.stringify(newer)).digest('hex')
    await rewrite(fs, JSON.stringify({ ...newer, checksum }))
    await expect(readMetadata(fs, DIRECTORY)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      details: { file: PATH, formatVersion: 2, formatVersionMax: 1 },
    })
  })

  test('with a damaged version is damaged, not newer (F25)', async () => {
    const fs = await stored()
    const text = Buffer.from(fs.contents(PATH)).toString()
    await rewrite(fs, text.replace('"formatVersion": 1', '"formatVersion": 9'))
    await expect(readMetadata(fs, DIRECTORY)).rejects.toMatchObject({ code: 'METADATA_CORRUPT' })
  })
})
