// Admission on a clock that stands still: who begins, who waits, who is refused, and how many are carried out at a time
// (faults.md F43).

import { describe, expect, test } from 'vitest'
import type { AdmissionLimits } from '../../../member/src/limits.ts'
import { Admission, type NotBegun } from '../../../member/src/node/admission.ts'
import { ManualTimers } from '../../support/manual-timers.ts'

const LIMITS: AdmissionLimits = {
  runningMin: 4,
  runningMax: 16,
  runningStart: 16,
  waitingMax: 100,
  waitMsMax: 1000,
  waitMsStanding: 100,
  readMsMax: 500,
}

type Fate = 'waits' | 'begun' | NotBegun

class Scene {
  readonly timers = new ManualTimers()
  /** Milliseconds that a linearizable read takes. */
  readMs = 1
  /** Milliseconds that one refusal holds the event loop. */
  refusalMs = 0
  readonly admission: Admission

  constructor(limits: Partial<AdmissionLimits> = {}) {
    this.admission = new Admission({
      limits: { ...LIMITS, ...limits },
      clock: this.timers,
      timers: this.timers,
      read: () => new Promise<void>((resolve) => void this.timers.after(this.readMs, resolve)),
    })
  }

  /** Requests arrive; what becomes of each is found in the array. */
  arrive(count: number, options: { timeoutMs?: number; isAborted?: () => boolean } = {}): Fate[] {
    const { timeoutMs = 5000, isAborted = () => false } = options
    const fates: Fate[] = []
    for (let i = 0; i < count; i++) {
      if (this.admission.maybeEnter()) {
        fates[i] = 'begun'
        continue
      }
      fates[i] = 'waits'
      this.admission.wait({
        timeoutMs,
        get isAborted() {
          return isAborted()
        },
        begin: () => (fates[i] = 'begun'),
        refuse: (reason) => {
          fates[i] = reason
          this.timers.advance(this.refusalMs)
        },
      })
    }
    return fates
  }

  /** Time passes, in steps so that reads that end are seen before the next sweep. */
  async pass(ms: number): Promise<void> {
    for (let i = 0; i < ms; i += 5) {
      this.timers.advance(5)
      await Promise.resolve()
      await Promise.resolve()
    }
  }

  leave(count: number): void {
    for (let i = 0; i < count; i++) this.admission.leave()
  }
}

function counts(fates: readonly Fate[]): Partial<Record<Fate, number>> {
  const result: Partial<Record<Fate, number>> = {}
  for (const fate of fates) result[fate] = (result[fate] ?? 0) + 1
  return result
}

describe('the line', () => {
  test('requests begin while there are places, and then in the order in which they came', () => {
    const scene = new Scene()
    const fates = scene.arrive(20)
    expect(counts(fates)).toEqual({ begun: 16, waits: 4 })
    scene.leave(3)
    expect(fates.slice(16)).toEqual(['begun', 'begun', 'begun', 'waits'])
    expect(scene.admission.running).toBe(16)
  })

  test('nobody overtakes those who wait', () => {
    const scene = new Scene()
    const first = scene.arrive(18)
    scene.leave(1)
    expect(scene.arrive(1)).toEqual(['waits'])
    expect(counts(first)).toEqual({ begun: 17, waits: 1 })
  })

  test('a burst may wait for a second, and is refused then', async () => {
    const scene = new Scene()
    const fates = scene.arrive(20)
    await scene.pass(980)
    expect(counts(fates)).toEqual({ begun: 16, waits: 4 })
    await scene.pass(40)
    expect(counts(fates)).toEqual({ begun: 16, overloaded: 4 })
    expect(scene.admission.refused).toBe(4)
  })

  test('once there has been a line for a second, nobody waits longer than a tenth of that', async () => {
    const scene = new Scene()
    scene.arrive(16)
    const late: Fate[][] = []
    for (let i = 0; i < 60; i++) {
      late.push(scene.arrive(2))
      scene.leave(1)
      await scene.pass(20)
    }
    const last = scene.arrive(1)
    await scene.pass(140)
    expect(last).toEqual(['overloaded'])
    expect(counts(late.slice(0, 10).flat())).toEqual({ begun: 20 })
  })

  test('a line that went away is a burst again', async () => {
    const scene = new Scene()
    scene.arrive(17)
    await scene.pass(900)
    scene.leave(17)
    scene.arrive(16)
    const fates = scene.arrive(1)
    await scene.pass(500)
    expect(fates).toEqual(['waits'])
  })

  test('a request whose own time ends first learns that', async () => {
    const scene = new Scene()
    scene.arrive(16)
    const fates = scene.arrive(1, { timeoutMs: 200 })
    await scene.pass(240)
    expect(fates).toEqual(['timeout'])
  })

  test('what is too much even for the line is refused at once', () => {
    const scene = new Scene({ waitingMax: 10 })
    expect(counts(scene.arrive(30))).toEqual({ begun: 16, waits: 10, overloaded: 4 })
  })

  test('whoever has gone is passed over, and takes no place', () => {
    const scene = new Scene()
    scene.arrive(16)
    let hasGone = false
    const gone = scene.arrive(3, { isAborted: () => hasGone })
    const next = scene.arrive(1)
    hasGone = true
    scene.leave(1)
    expect(next).toEqual(['begun'])
    expect(gone).toEqual(['waits', 'waits', 'waits'])
    expect(scene.admission.running).toBe(16)
    expect(scene.admission.waiting).toBe(0)
  })

  test('refusing takes no more than its share of the time, however many are due', async () => {
    const scene = new Scene()
    scene.refusalMs = 1
    scene.arrive(16)
    const fates = scene.arrive(100)
    await scene.pass(1020)
    const soon = counts(fates).overloaded ?? 0
    expect(soon).toBeGreaterThan(0)
    expect(soon).toBeLessThan(10)
    await scene.pass(3000)
    expect(counts(fates)).toEqual({ overloaded: 100 })
  })
})

describe('how many are carried out', () => {
  test('more while reads are quick and somebody waits, up to the limit', async () => {
    const scene = new Scene({ runningMax: 64 })
    const fates = scene.arrive(100)
    await scene.pass(900)
    expect(scene.admission.runningMax).toBe(64)
    expect(counts(fates)).toEqual({ begun: 64, waits: 36 })
  })

  test('no more than before when nobody waits', async () => {
    const scene = new Scene({ runningMax: 64 })
    scene.arrive(16)
    await scene.pass(900)
    expect(scene.admission.runningMax).toBe(16)
  })

  test('as many fewer as reads take too long, and never fewer than the least', async () => {
    const scene = new Scene({ runningMax: 64 })
    scene.readMs = 1000
    scene.arrive(16)
    await scene.pass(1200)
    expect(scene.admission.runningMax).toBe(8)
    await scene.pass(5000)
    expect(scene.admission.runningMax).toBe(4)
  })

  test('fewer places are given once those who had them have left', async () => {
    const scene = new Scene({ runningMax: 64 })
    scene.readMs = 1000
    scene.arrive(16)
    await scene.pass(1200)
    expect(scene.arrive(1)).toEqual(['waits'])
    scene.leave(9)
    expect(scene.admission.running).toBe(8)
  })

  test('reads that fail say nothing: there is no leader, which is no overload', async () => {
    const timers = new ManualTimers()
    const admission = new Admission({
      limits: LIMITS,
      clock: timers,
      timers,
      read: () => Promise.reject(new Error('no leader')),
    })
    for (let i = 0; i < 16; i++) expect(admission.maybeEnter()).toBe(true)
    for (let i = 0; i < 100; i++) {
      timers.advance(20)
      await Promise.resolve()
    }
    expect(admission.runningMax).toBe(16)
  })

  test('what a busy time taught is forgotten in a quiet one, and nothing runs then', async () => {
    const scene = new Scene({ runningMax: 64 })
    scene.arrive(100)
    await scene.pass(900)
    expect(scene.admission.runningMax).toBe(64)
    scene.leave(100)
    await scene.pass(900)
    expect(scene.admission.runningMax).toBe(64)
    await scene.pass(200)
    expect(scene.admission.runningMax).toBe(16)
    expect(scene.timers.count).toBe(0)
  })

  test('a lull in an overload teaches nothing', async () => {
    const scene = new Scene({ runningMax: 64 })
    scene.readMs = 5000
    scene.arrive(16)
    await scene.pass(5200)
    scene.leave(16)
    await scene.pass(500)
    expect(counts(scene.arrive(16))).toEqual({ begun: 4, waits: 12 })
    expect(scene.admission.runningMax).toBe(4)
  })

  test('so is what an overload taught', async () => {
    const scene = new Scene({ runningMax: 64 })
    scene.readMs = 5000
    scene.arrive(16)
    await scene.pass(5200)
    expect(scene.admission.runningMax).toBe(4)
    scene.leave(16)
    await scene.pass(6000)
    expect(scene.admission.runningMax).toBe(16)
  })
})
