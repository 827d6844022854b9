// When and how far history is compacted, on a clock of the test (CPT-8, CPT-9).

import { describe, expect, test } from 'vitest'
import {
  type AutoCompaction,
  CompactionSchedule,
  lookAgainMs,
} from '../../../member/src/node/compaction-schedule.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** A member whose state gains a revision every `revisionMs`, and whose compactions succeed. */
class Scene {
  readonly schedule = new CompactionSchedule()
  readonly compactions: { readonly atMs: number; readonly revision: number }[] = []
  setting: AutoCompaction
  isLeader = true
  /** What becomes of an attempt. */
  succeeds = true
  attempts = 0
  nowMs = 0
  compactRevision = -1
  revisionMs = MINUTE_MS

  constructor(setting: AutoCompaction) {
    this.setting = setting
  }

  /** The revision at a time. */
  at(nowMs: number): number {
    return 1 + Math.floor(nowMs / this.revisionMs)
  }

  run(durationMs: number): void {
    const endMs = this.nowMs + durationMs
    while (this.nowMs <= endMs) {
      this.#look()
      this.nowMs += lookAgainMs(this.setting)
    }
  }

  #look(): void {
    const { nowMs, setting, isLeader, compactRevision } = this
    const store = { revision: this.at(nowMs), compactRevision }
    const revision = this.schedule.due({ nowMs, setting, store, isLeader })
    if (revision === undefined) return
    this.attempts++
    if (!this.succeeds) return
    this.compactions.push({ atMs: nowMs, revision })
    this.compactRevision = revision
    this.schedule.done(nowMs)
  }
}

describe('periodic', () => {
  test.each([
    ['5 minutes', 5 * MINUTE_MS, 5 * MINUTE_MS],
    ['59 minutes', 59 * MINUTE_MS, 59 * MINUTE_MS],
    ['an hour', HOUR_MS, HOUR_MS],
    ['a day', 24 * HOUR_MS, HOUR_MS],
  ])('of %s: first after that time, then every so often, to what was so long ago', (...row) => {
    const [, retentionMs, periodMs] = row
    const scene = new Scene({ mode: 'periodic', retentionMs })
    scene.run(retentionMs - 1000)
    expect(scene.compactions).toEqual([])
    scene.run(3 * periodMs + 5000)
    const times = scene.compactions.map(({ atMs }) => atMs)
    expect(times.length).toBeGreaterThanOrEqual(3)
    for (const { atMs, revision } of scene.compactions) {
      // Never younger than the retention, and older by no more than the time between two records.
      expect(revision).toBeLessThanOrEqual(scene.at(atMs - retentionMs))
      expect(revision).toBeGreaterThanOrEqual(scene.at(atMs - retentionMs - periodMs / 10 - 2000))
    }
    const gaps = times.slice(1).map((atMs, i) => atMs - times[i]!)
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(periodMs)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(periodMs * 1.1 + 2000)
  })

  test('a follower remembers, so that it goes on where the leader before it has stopped', () => {
    const scene = new Scene({ mode: 'periodic', retentionMs: 10 * MINUTE_MS })
    scene.isLeader = false
    scene.run(15 * MINUTE_MS)
    expect(scene.attempts).toBe(0)
    scene.isLeader = true
    scene.run(2 * MINUTE_MS)
    expect(scene.compactions).toHaveLength(1)
    expect(scene.compactions[0]!.revision).toBeGreaterThanOrEqual(5)
  })

  test('a cluster in which nothing happens writes nothing', () => {
    const scene = new Scene({ mode: 'periodic', retentionMs: 10 * MINUTE_MS })
    scene.revisionMs = Number.POSITIVE_INFINITY
    scene.run(5 * HOUR_MS)
    expect(scene.attempts).toBe(0)
    expect(scene.schedule.recordCount).toBe(1)
  })

  test('what was refused is tried again after a tenth of the period', () => {
    const scene = new Scene({ mode: 'periodic', retentionMs: HOUR_MS })
    scene.succeeds = false
    // The first record is of revision 1, before which there is nothing: the second one is the first that counts.
    scene.run(HOUR_MS + 31 * MINUTE_MS)
    expect(scene.attempts).toBe(5)
    scene.succeeds = true
    scene.run(6 * MINUTE_MS)
    expect(scene.compactions).toHaveLength(1)
  })

  test('however long the retention, memory is bounded and nothing younger goes', () => {
    const retentionMs = 5000 * HOUR_MS
    const scene = new Scene({ mode: 'periodic', retentionMs })
    const { schedule, setting } = scene
    for (let nowMs = 0; nowMs < 3 * retentionMs; nowMs += HOUR_MS) {
      const store = { revision: scene.at(nowMs), compactRevision: scene.compactRevision }
      const revision = schedule.due({ nowMs, setting, store, isLeader: true })
      if (revision === undefined) continue
      expect(revision).toBeLessThanOrEqual(scene.at(nowMs - retentionMs))
      expect(revision).toBeGreaterThanOrEqual(scene.at(nowMs - 1.002 * retentionMs))
      scene.compactRevision = revision
      schedule.done(nowMs)
    }
    expect(scene.compactRevision).toBeGreaterThan(scene.at(1.9 * retentionMs))
    expect(schedule.recordCount).toBeLessThanOrEqual(1002)
  })

  test('a process that slept forgets no more than it would have', () => {
    const scene = new Scene({ mode: 'periodic', retentionMs: 10 * MINUTE_MS })
    scene.run(5 * MINUTE_MS)
    scene.nowMs += 3 * HOUR_MS
    scene.run(MINUTE_MS)
    expect(scene.compactions).toHaveLength(1)
    expect(scene.compactions[0]!.revision).toBeLessThanOrEqual(scene.at(5 * MINUTE_MS))
  })
})

describe('by revision', () => {
  test('every five minutes the last so many stay', () => {
    const scene = new Scene({ mode: 'revision', retentionRevisions: 3 })
    scene.run(16 * MINUTE_MS)
    expect(scene.compactions).toEqual([
      { atMs: 5 * MINUTE_MS, revision: 3 },
      { atMs: 10 * MINUTE_MS, revision: 8 },
      { atMs: 15 * MINUTE_MS, revision: 13 },
    ])
    expect(scene.schedule.recordCount).toBe(0)
  })

  test('nothing happens while there are not so many', () => {
    const scene = new Scene({ mode: 'revision', retentionRevisions: 1000 })
    scene.run(HOUR_MS)
    expect(scene.attempts).toBe(0)
  })
})

describe('a changed setting', () => {
  test('of nothing keeps everything, and costs no memory', () => {
    const scene = new Scene({ mode: 'periodic', retentionMs: 10 * MINUTE_MS })
    scene.run(5 * MINUTE_MS)
    scene.setting = { mode: 'periodic', retentionMs: 0 }
    scene.run(HOUR_MS)
    expect([scene.attempts, scene.schedule.recordCount]).toEqual([0, 0])
  })

  test('is in force at the next look', () => {
    const scene = new Scene({ mode: 'revision', retentionRevisions: 0 })
    scene.run(20 * MINUTE_MS)
    scene.setting = { mode: 'revision', retentionRevisions: 5 }
    scene.run(2000)
    expect(scene.compactions.map(({ revision }) => revision)).toEqual([16])
    scene.setting = { mode: 'revision', retentionRevisions: 2 }
    scene.run(2000)
    expect(scene.compactions.map(({ revision }) => revision)).toEqual([16, 19])
  })

  test('of a shorter time uses what is remembered', () => {
    const scene = new Scene({ mode: 'periodic', retentionMs: HOUR_MS })
    scene.run(40 * MINUTE_MS)
    scene.setting = { mode: 'periodic', retentionMs: 10 * MINUTE_MS }
    scene.run(MINUTE_MS)
    expect(scene.compactions).toHaveLength(1)
    expect(scene.compactions[0]!.revision).toBeGreaterThanOrEqual(20)
    expect(scene.compactions[0]!.revision).toBeLessThanOrEqual(scene.at(31 * MINUTE_MS))
  })
})
