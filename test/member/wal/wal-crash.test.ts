// The log stopped at every operation and at every byte of a write, with any part of the unflushed surviving: what was
// acknowledged is there afterwards, and nothing that was never saved.

import { describe, expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import type { SnapshotMeta } from '../../../member/src/raft/types.ts'
import type { SaveBatch } from '../../../member/src/wal/wal.ts'
import {
  batch,
  entries,
  entry,
  type HarnessLog,
  hardState,
  LOG_DIRECTORY,
  LogModel,
  openLog,
  settle,
  snapshotAt,
} from '../../support/log-harness.ts'
import {
  isChange,
  MemoryFileSystem,
  type Operation,
  SimulatedCrash,
} from '../../support/memory-file-system.ts'
import type { Survival } from '../../support/memory-inode.ts'

/** Everything a run has done so far, as seen from outside. */
interface Run {
  after: SnapshotMeta | undefined
  /** What is acknowledged as durable. */
  readonly stored: LogModel
  /** As `stored`, with what may or may not be durable: a deferred commit index, the save under way. */
  possible: LogModel[]
}

type Step =
  | { readonly save: SaveBatch }
  | { readonly release: SnapshotMeta }
  | { readonly idle: true }
  | { readonly restart: true }

const FIRST = `${LOG_DIRECTORY}/0000000000000001.wal`
/** Many cuts. */
const SMALL = 16 * 1024
/** No cut, but room that is made step by step. */
const LARGE = 80 * 1024

/** Cuts, conflicts, deferred commits, marks, releases, recycled segments, an installed snapshot. */
const STEPS: readonly Step[] = [
  { save: batch(entries(1, 3), hardState(1, 0)) },
  { save: { entries: [], hardState: hardState(1, 2), sync: false } },
  { idle: true },
  { save: batch([entry(4, 1, 3000)]) },
  { save: batch([entry(5, 1, 3000)], hardState(1, 3)) },
  { save: batch([entry(5, 2, 2500), entry(6, 2, 2500)], hardState(2, 4)) },
  { save: batch([entry(7, 2, 3500)]) },
  { save: { entries: [], hardState: hardState(2, 6), sync: false } },
  { save: batch([entry(8, 2, 3500)]) },
  { restart: true },
  { release: snapshotAt(6, 2) },
  { save: batch([entry(9, 2, 3500)], hardState(2, 8)) },
  { save: batch([entry(10, 2, 3900)], hardState(3, 8)) },
  { save: batch([entry(10, 3, 1500), entry(11, 3, 2000)]) },
  { idle: true },
  { release: snapshotAt(10, 3) },
  { save: batch(entries(12, 30, 3, 100), hardState(3, 11)) },
  {
    save: {
      snapshot: snapshotAt(60, 4),
      entries: entries(61, 2, 4),
      hardState: hardState(4, 60),
      sync: true,
    },
  },
  { save: batch([entry(63, 4, 20_000)]) },
  { save: batch([entry(64, 4, 10)]) },
]

function clone(model: LogModel): LogModel {
  const copy = new LogModel(model.after)
  copy.entries = [...model.entries]
  copy.hardState = model.hardState
  return copy
}

async function take(step: Step, log: HarnessLog, run: Run): Promise<void> {
  if ('save' in step) {
    const next = clone(run.possible.at(-1)!)
    next.apply(step.save)
    if (step.save.snapshot !== undefined) run.after = step.save.snapshot
    run.possible = [...run.possible, next]
    await log.wal.save(step.save)
    if (!step.save.sync) return
    run.possible = [next]
    run.stored.apply(step.save)
    run.stored.hardState = next.hardState
  } else if ('release' in step) {
    run.after = step.release
    await log.wal.release(step.release.index)
  } else if ('idle' in step) {
    log.timers.advance(200)
    await settle()
  }
}

/** Plays the steps until the file system stops or they end. */
async function play(fs: MemoryFileSystem, segmentBytes: number): Promise<Run> {
  const run: Run = { after: undefined, stored: new LogModel(), possible: [new LogModel()] }
  try {
    let log = await openLog(fs, { segmentBytes })
    for (const step of STEPS) {
      if ('restart' in step) {
        await log.wal.close()
        log = await openLog(fs, { after: run.after, segmentBytes, seed: 2 })
      } else {
        await take(step, log, run)
      }
    }
    await log.wal.close()
  } catch (error) {
    if (!(error instanceof SimulatedCrash) && !(await isDead(fs))) throw error
  }
  // What still runs beside has met the crash by now.
  await settle()
  return run
}

async function isDead(fs: MemoryFileSystem): Promise<boolean> {
  try {
    await fs.readDirectory('/')
    return false
  } catch (error) {
    return error instanceof SimulatedCrash
  }
}

function crashAt(number: number, keptBytes?: number) {
  return (operation: Operation) =>
    operation.number === number
      ? ({ type: 'crash', ...(keptBytes === undefined ? {} : { keptBytes }) } as const)
      : undefined
}

/** All operations of an undisturbed run that change something. */
async function changesOf(segmentBytes: number): Promise<Operation[]> {
  const changes: Operation[] = []
  const fault = (operation: Operation) => {
    if (isChange(operation)) changes.push(operation)
    return undefined
  }
  await play(new MemoryFileSystem({ fault }), segmentBytes)
  return changes
}

/** Opens what a crash left; the log must be one of the possible ones. Returns it as text. */
async function check(fs: MemoryFileSystem, run: Run, what: string): Promise<string> {
  const log = await openLog(fs, { after: run.after, seed: 3 })
  const found = log.model.describe()
  const possible = run.possible.map((model) => model.from(run.after).describe())
  expect(possible, `after ${what}`).toContain(found)
  // It takes new entries, and shows those and no others at the next start.
  const next = batch([entry(log.lastIndex + 1, 9, 50)], hardState(9, 0))
  await log.wal.save(next)
  log.model.apply(next)
  fs.losePower('none')
  const again = await openLog(fs, { after: run.after, seed: 4 })
  expect(again.model.describe(), `after ${what}`).toBe(log.model.describe())
  await again.wal.close()
  return found
}

test('the steps touch every kind of change', async () => {
  const kinds = new Set((await changesOf(SMALL)).map(({ kind }) => kind))
  expect([...kinds].toSorted()).toEqual([
    'create',
    'flush',
    'flushDirectory',
    'makeDirectory',
    'rename',
    'unlink',
    'write',
    'writeAndFlush',
  ])
})

test('a run without a crash keeps everything', async () => {
  const fs = new MemoryFileSystem()
  const run = await play(fs, SMALL)
  fs.losePower('none')
  expect(await check(fs, run, 'undisturbed')).toBe(run.stored.from(run.after).describe())
})

describe.each([SMALL, LARGE])('a crash at any operation, segments of %i bytes', (segmentBytes) => {
  const survivals: readonly (Survival | 'killed')[] = [
    'killed',
    'all',
    'none',
    ...Array.from({ length: 3 }, (_, seed) => new SeededPrng(seed)),
  ]

  test('loses nothing acknowledged and invents nothing (F28, F31)', async () => {
    const changes = await changesOf(segmentBytes)
    expect(changes.length).toBeGreaterThan(20)
    for (const change of changes) {
      for (const keptBytes of change.bytes === 0 ? [0, undefined] : [0, 700, undefined]) {
        const fs = new MemoryFileSystem({ fault: crashAt(change.number, keptBytes) })
        const run = await play(fs, segmentBytes)
        fs.fault = undefined
        for (const [i, survival] of survivals.entries()) {
          const copy = fs.clone()
          if (survival !== 'killed') copy.losePower(survival)
          await check(copy, run, `${change.number} ${change.kind} ${change.path} ${keptBytes} ${i}`)
        }
      }
    }
  })

  test('what a start has read is durable, whatever follows it', async () => {
    for (const change of await changesOf(segmentBytes)) {
      const fs = new MemoryFileSystem({ fault: crashAt(change.number) })
      const run = await play(fs, segmentBytes)
      fs.fault = undefined
      fs.kill()
      const first = await openLog(fs, { after: run.after, seed: 3 })
      fs.losePower('none')
      const second = await openLog(fs, { after: run.after, seed: 4 })
      expect(second.model.describe(), `${change.number}`).toBe(first.model.describe())
    }
  })

  test('is survived again when the repair itself is cut short', async () => {
    const prng = new SeededPrng(42)
    let interrupted = 0
    for (const change of await changesOf(segmentBytes)) {
      const kept = change.bytes === 0 ? undefined : prng.next(change.bytes + 1)
      const fs = new MemoryFileSystem({ fault: crashAt(change.number, kept) })
      const run = await play(fs, segmentBytes)
      fs.fault = undefined
      fs.losePower(prng)
      for (let number = 1; ; number += 1 + prng.next(4)) {
        const copy = fs.clone()
        copy.fault = crashAt(number)
        const isOpened = await openLog(copy, { after: run.after, seed: 5 }).then(
          () => true,
          () => false,
        )
        await settle()
        copy.fault = undefined
        copy.losePower(prng)
        await check(copy, run, `${change.number}, then ${number}`)
        if (isOpened) break
        interrupted++
      }
    }
    expect(interrupted).toBeGreaterThan(100)
  })
})

async function tornAt(base: MemoryFileSystem, after: SnapshotMeta | undefined, kept: number) {
  const fs = base.clone()
  const log = await openLog(fs, { after, seed: 6 })
  const first = log.lastIndex + 1
  let size = 0
  fs.fault = (operation) => {
    if (operation.kind !== 'writeAndFlush') return undefined
    size = operation.bytes
    return { type: 'crash', keptBytes: kept }
  }
  const list = [entry(first, 2, 700), entry(first + 1, 2, 300)]
  await expect(log.wal.save(batch(list, hardState(2, 1)))).rejects.toThrow(SimulatedCrash)
  fs.fault = undefined
  await settle()
  return { fs, list, size, before: log.model.entries }
}

describe('the last write torn at every byte (F24)', () => {
  test('keeps the last complete batch and starts', async () => {
    const base = new MemoryFileSystem()
    const { wal } = await openLog(base)
    await wal.save(batch(entries(1, 5, 1, 200), hardState(1, 0)))
    await wal.close()
    const { fs: untouched, size } = await tornAt(base, undefined, 0)
    const end = untouched.contents(FIRST).findLastIndex((byte) => byte !== 0) + 1
    const tail = Math.ceil(end / 8) * 8
    expect(size).toBeGreaterThan(1000)
    for (let kept = 0; kept <= size; kept++) {
      const { fs, list, before } = await tornAt(base, undefined, kept)
      fs.losePower('all')
      const { wal: reopened, model, repaired } = await openLog(fs)
      const isStored = model.entries.length > before.length
      expect(model.entries).toEqual(isStored ? [...before, ...list] : before)
      // What is not there of a stored one is padding: zeros where there were zeros.
      expect(isStored ? size - kept : 0).toBeLessThan(8)
      expect(kept === size && !isStored).toBe(false)
      expect(repaired?.offset).toBe(isStored || kept === 0 ? undefined : tail)
      await reopened.close()
      const again = await openLog(fs)
      expect(again.repaired).toBeUndefined()
      await again.wal.close()
    }
  })

  test('in any order of its sectors, in a recycled segment too', async () => {
    const base = new MemoryFileSystem()
    const { wal } = await openLog(base)
    for (let i = 1; i <= 60; i++) {
      await wal.save(batch([entry(i, 1, 900)]))
      await wal.release(i - 1)
    }
    await wal.close()
    const after = snapshotAt(59, 1)
    for (let seed = 0; seed < 300; seed++) {
      const { fs, list } = await tornAt(base, after, 2000)
      fs.losePower(new SeededPrng(seed))
      const { wal: reopened, model } = await openLog(fs, { after })
      expect([1, 3]).toContain(model.entries.length)
      expect([entry(60, 1, 900), ...list].slice(0, model.entries.length)).toEqual(model.entries)
      await reopened.close()
    }
  })
})
