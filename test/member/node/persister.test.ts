// The queue to the log: whatever the disk does meanwhile, the log ends up as if every Ready had been stored by itself, in order,
// and nothing is reported before it is stored.

import { describe, expect, test } from 'vitest'
import { RaftbaseError } from '../../../lib/errors.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import { type LogBatch, type LogWriter, Persister } from '../../../member/src/node/persister.ts'
import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type { Ready } from '../../../member/src/raft/ready.ts'
import type { Entry } from '../../../member/src/raft/types.ts'
import { entry, hardState, LogModel, MEMBER, snapshotAt } from '../../support/log-harness.ts'
import { ManualTimers } from '../../support/manual-timers.ts'

/** A log in memory whose saves end when the test says so, or meet a full disk. */
class SlowLog implements LogWriter {
  readonly model = new LogModel()
  readonly saves: LogBatch[] = []
  /** Indexes of the snapshots whose files have their names. */
  readonly files = new Set<number>()
  isFull = false
  isFailed = false
  #waiting: (() => void)[] = []

  async save(batch: LogBatch): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
    if (this.isFull) throw new RaftbaseError('NO_SPACE', 'no space')
    // As the real one: entries follow what is there.
    const next = (batch.snapshot?.index ?? this.model.lastIndex) + 1
    const first = batch.entries[0]
    if (first !== undefined && first.index > next) throw new Error(`gap: ${first.index} > ${next}`)
    const { snapshot } = batch
    if (snapshot !== undefined && !this.files.has(snapshot.index)) throw new Error('no such file')
    this.saves.push(batch)
    this.model.apply(batch)
  }

  get isBusy(): boolean {
    return this.#waiting.length > 0
  }

  /** Ends the save under way. */
  finish(): void {
    this.#waiting.shift()?.()
  }
}

function message(number: number): PeerMessage {
  return { type: 'MsgTermNotice', from: MEMBER, to: MEMBER, term: number }
}

function ready(number: number, parts: Partial<Ready> = {}): Ready {
  return {
    number,
    softState: undefined,
    hardState: undefined,
    entries: [],
    snapshot: undefined,
    mustSync: parts.entries !== undefined,
    messages: [],
    messagesAfterPersist: [message(number)],
    committedEntries: [],
    readStates: [],
    refusedReads: [],
    trace: [],
    ...parts,
  }
}

function setUp() {
  const wal = new SlowLog()
  const timers = new ManualTimers()
  const persisted: number[] = []
  const left: number[] = []
  const space: boolean[] = []
  const failures: unknown[] = []
  const persister = new Persister({
    wal,
    clock: timers,
    timers,
    onPersisted: (number, messages) => {
      persisted.push(number)
      left.push(...messages.map(({ term }) => term))
    },
    onSpace: (isFull) => space.push(isFull),
    onFailure: (error) => failures.push(error),
  })
  return { wal, timers, persister, persisted, left, space, failures }
}

/** Everything that needs no further event happens. */
async function settle(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
}

describe('the queue to the log', () => {
  test('shares one save among what became ready during the last', async () => {
    const { wal, persister, persisted, left } = setUp()
    persister.enqueue(ready(1, { entries: [entry(1, 1)] }))
    persister.enqueue(ready(2, { entries: [entry(2, 1)] }))
    persister.enqueue(ready(3))
    persister.enqueue(ready(4, { entries: [entry(3, 1)] }))
    await settle()
    expect(persisted).toEqual([])
    wal.finish()
    await settle()
    expect([persisted, left]).toEqual([[1], [1]])
    wal.finish()
    await settle()
    expect(wal.saves.map(({ entries }) => entries.length)).toEqual([1, 2])
    expect([persisted, left]).toEqual([
      [1, 4],
      [1, 2, 3, 4],
    ])
  })

  test('reports at once what stores nothing while nothing is under way', () => {
    const { persister, persisted } = setUp()
    persister.enqueue(ready(1))
    expect(persisted).toEqual([1])
  })

  test('keeps what comes behind a snapshot waiting for its file, and stores it behind the snapshot', async () => {
    const { wal, persister, persisted } = setUp()
    const file = Promise.withResolvers<void>()
    persister.enqueue(ready(1, { entries: [entry(1, 1)] }))
    const name = async (): Promise<void> => {
      await file.promise
      wal.files.add(9)
    }
    persister.enqueue(ready(2, { snapshot: snapshotAt(9, 2), mustSync: true }), name)
    persister.enqueue(ready(3, { entries: [entry(10, 2)] }))
    await settle()
    wal.finish()
    await settle()
    expect([persisted, wal.isBusy]).toEqual([[1], false])
    file.resolve()
    await settle()
    wal.finish()
    await settle()
    expect(persisted).toEqual([1, 3])
    expect(wal.saves.at(-1)).toMatchObject({ snapshot: { index: 9 }, entries: [{ index: 10 }] })
  })

  test('ends when what must be done before fails', async () => {
    const { persister, failures } = setUp()
    persister.enqueue(ready(1, { snapshot: snapshotAt(9, 2) }), () =>
      Promise.reject(new Error('no')),
    )
    await settle()
    expect(failures).toHaveLength(1)
  })

  test('tries a full disk again and again, says so once, and is not taken for a hung one', async () => {
    const { wal, timers, persister, persisted, space, failures } = setUp()
    wal.isFull = true
    persister.enqueue(ready(1, { entries: [entry(1, 1)] }))
    for (let i = 0; i < 20; i++) {
      await settle()
      wal.finish()
      await settle()
      expect(persister.stalledMs(timers.monotonicMs())).toBe(0)
      timers.advance(250)
    }
    expect(persister.fullMs(timers.monotonicMs())).toBe(5000)
    wal.isFull = false
    await settle()
    wal.finish()
    await settle()
    expect([persisted, space, failures]).toEqual([[1], [true, false], []])
    expect(persister.fullMs(timers.monotonicMs())).toBe(undefined)
  })

  test('holds a bounded amount while it waits, and stores all of it', async () => {
    const { wal, timers, persister, persisted, left } = setUp()
    wal.isFull = true
    persister.enqueue(ready(1, { entries: [entry(1, 1)] }))
    for (let number = 2; number <= 20_000; number++) {
      persister.enqueue(ready(number, { hardState: hardState(1, number) }))
    }
    await settle()
    wal.finish()
    await settle()
    wal.isFull = false
    for (let i = 0; i < 3; i++) {
      timers.advance(250)
      await settle()
      wal.finish()
      await settle()
    }
    expect(persisted.at(-1)).toBe(20_000)
    expect(wal.saves.at(-1)!.hardState).toEqual(hardState(1, 20_000))
    // The newest messages; dropping old ones is what a network may do as well.
    expect(left.length).toBeLessThanOrEqual(1 + 4096 + 256)
    expect(left.at(-1)).toBe(20_000)
  })

  test('stops although there is no space, and reports nothing that is not stored', async () => {
    const { wal, persister, persisted, failures } = setUp()
    wal.isFull = true
    persister.enqueue(ready(1, { entries: [entry(1, 1)] }))
    await settle()
    wal.finish()
    await settle()
    await persister.stop()
    expect([persisted, failures]).toEqual([[], []])
  })
})

test.each(Array.from({ length: 30 }, (_, seed) => seed))(
  'random Readies leave the log as if stored one by one, seed %i',
  async (seed) => {
    const prng = new SeededPrng(seed)
    const { wal, timers, persister, persisted, failures } = setUp()
    const model = new LogModel()
    const states: string[] = [model.describe()]
    let term = 1
    for (let number = 1; number <= 200; number++) {
      const parts = randomParts(prng, model, () => (term += prng.next(2)))
      model.apply({ snapshot: undefined, entries: [], hardState: undefined, ...parts })
      states.push(model.describe())
      const { snapshot } = parts
      const name = async (index: number): Promise<void> => {
        await settle()
        wal.files.add(index)
      }
      const before = snapshot === undefined ? undefined : () => name(snapshot.index)
      persister.enqueue(ready(number, { ...parts, mustSync: true }), before)
      if (prng.next(4) > 0) continue
      wal.isFull = prng.next(3) === 0
      await settle()
      wal.finish()
      timers.advance(250)
      await settle()
      // What is reported is what the log holds, neither more nor less.
      const reported = persisted.at(-1) ?? 0
      expect(wal.model.describe()).toBe(states[reported])
    }
    wal.isFull = false
    for (let i = 0; i < 50; i++) {
      timers.advance(250)
      await settle()
      wal.finish()
      await settle()
    }
    expect(failures).toEqual([])
    expect(persisted.at(-1)).toBe(200)
    expect(wal.model.describe()).toBe(model.describe())
  },
)

/** Entries that follow or replace, a snapshot behind the end, a hard state, or nothing. */
function randomParts(
  prng: SeededPrng,
  model: LogModel,
  nextTerm: () => number,
): Partial<Pick<Ready, 'entries' | 'snapshot' | 'hardState'>> {
  const { lastIndex } = model
  const kind = prng.next(12)
  if (kind === 0) return { snapshot: snapshotAt(lastIndex + 1 + prng.next(5), nextTerm()) }
  if (kind < 3) return { hardState: hardState(nextTerm(), lastIndex) }
  if (kind < 4) return {}
  const start = model.after?.index ?? 0
  const back = kind < 6 ? prng.next(Math.min(4, lastIndex - start + 1)) : 0
  const first = lastIndex + 1 - back
  const term = nextTerm()
  const entries: Entry[] = Array.from({ length: 1 + prng.next(3) }, (_, i) =>
    entry(first + i, term),
  )
  return { entries }
}
