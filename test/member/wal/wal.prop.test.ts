// Random saves, cuts, releases, snapshots, restarts and crashes against a plain array.

import { expect, test } from 'vitest'
import { type Prng, SeededPrng } from '../../../lib/prng.ts'
import type { SnapshotMeta } from '../../../member/src/raft/types.ts'
import {
  entry,
  type HarnessLog,
  hardState,
  LogModel,
  openLog,
  settle,
  snapshotAt,
} from '../../support/log-harness.ts'
import { MemoryFileSystem } from '../../support/memory-file-system.ts'

interface World {
  readonly fs: MemoryFileSystem
  readonly prng: Prng
  log: HarnessLog
  readonly model: LogModel
  after: SnapshotMeta | undefined
  term: number
}

async function saveEntries(world: World): Promise<void> {
  const { prng, model } = world
  world.term += prng.next(3) === 0 ? 1 : 0
  const lowest = (world.after?.index ?? 0) + 1
  const isCut = prng.next(4) === 0
  const first = isCut ? lowest + prng.next(model.lastIndex - lowest + 2) : model.lastIndex + 1
  const count = 1 + prng.next(6)
  const list = Array.from({ length: count }, (_, i) => entry(first + i, world.term, prng.next(900)))
  const state = prng.next(2) === 0 ? hardState(world.term, first - 1) : undefined
  await world.log.wal.save({ entries: list, hardState: state, sync: true })
  model.apply({ entries: list, hardState: state })
}

async function snapshot(world: World): Promise<void> {
  const { prng, model, log } = world
  const candidates = model.entries.filter(({ index }) => index > (world.after?.index ?? 0))
  if (prng.next(3) > 0 && candidates.length > 0) {
    // Of the own log: the snapshot file, then the release.
    const { index, term } = candidates[prng.next(candidates.length)]!
    world.after = snapshotAt(index, term)
    await log.wal.release(index)
    return
  }
  const index = model.lastIndex + 1 + prng.next(20)
  world.after = snapshotAt(index, world.term)
  const saved = { snapshot: world.after, entries: [], hardState: hardState(world.term, index) }
  await log.wal.save({ ...saved, sync: true })
  model.apply(saved)
}

async function expectAfterRestart(world: World): Promise<void> {
  const { fs, prng, log, model } = world
  const end = prng.next(4)
  if (end < 2) await log.wal.close()
  else if (end === 2) fs.kill()
  else fs.losePower(prng)
  world.log = await openLog(fs, { after: world.after, seed: prng.next(1000) })
  const expected = model.from(world.after)
  expect(world.log.model.entries).toEqual(expected.entries)
  expect(world.log.lastIndex).toBe(expected.lastIndex)
  expect(world.log.hardState).toEqual(model.hardState)
  expect(world.log.repaired).toBeUndefined()
}

test.each(Array.from({ length: 40 }, (_, seed) => seed))('seed %i', async (seed) => {
  const fs = new MemoryFileSystem()
  const prng = new SeededPrng(seed)
  const log = await openLog(fs)
  const world: World = { fs, prng, log, model: new LogModel(), after: undefined, term: 1 }
  for (let step = 0; step < 120; step++) {
    const dice = prng.next(20)
    if (dice < 14) await saveEntries(world)
    else if (dice < 16) await snapshot(world)
    else if (dice < 18) await expectAfterRestart(world)
    else {
      world.log.timers.advance(prng.next(300))
      await settle()
    }
  }
  await expectAfterRestart(world)
  expect(world.log.lastIndex).toBe(world.model.lastIndex)
})
