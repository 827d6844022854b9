// RaftLog and the views of a peer, against naive models and at their edges.

import { describe, expect, test } from 'vitest'
import { InvariantViolation } from '../../../lib/assert.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import { Inflights } from '../../../member/src/raft/inflights.ts'
import { RaftLog, entryBytes } from '../../../member/src/raft/log.ts'
import { Progress } from '../../../member/src/raft/progress.ts'
import type { Entry } from '../../../member/src/raft/types.ts'
import { entry } from './builders.ts'
import { confStateOf, memberId } from './cluster.ts'

function logOf(terms: readonly number[], committed = 0, applied = 0): RaftLog {
  const entries = terms.map((term, i) => entry(i + 1, term))
  return new RaftLog({ logStart: { index: 0, term: 0 }, entries, committed, applied })
}

describe('the log', () => {
  test('random merges, commits and compactions agree with an array', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const prng = new SeededPrng(seed)
      const log = logOf([])
      const model: Entry[] = []
      let ready = 0
      for (let i = 0; i < 60; i++) {
        const prev = log.committed + prng.next(model.length - log.committed + 1)
        let term = prev === 0 ? 1 : model[prev - 1]!.term
        const entries: Entry[] = []
        for (let n = prng.next(5); n > 0; n--) {
          term += prng.next(2)
          entries.push(entry(prev + entries.length + 1, term))
        }
        const conflict = entries.findIndex((one) => model[one.index - 1]?.term !== one.term)
        log.merge(entries)
        if (conflict !== -1) model.splice(prev + conflict, Infinity, ...entries.slice(conflict))
        expect(log.lastIndex).toBe(model.length)
        expect(log.lastTerm).toBe(model.at(-1)?.term ?? 0)
        log.takeUnstored(++ready)
        log.commitTo(log.committed + prng.next(model.length - log.committed + 1))
        const taken = log.takeCommitted(prng.next(200))
        log.appliedTo(Math.max(log.applied, log.applying))
        for (const one of taken) expect(one).toBe(model[one.index - 1])
        if (prng.next(3) === 0) log.compact(prng.next(log.applied + 1))
        for (let index = log.start.index; index <= model.length + 1; index++) {
          const expected = index === 0 ? 0 : model[index - 1]?.term
          expect(log.term(index)).toBe(expected)
        }
        expect(log.term(log.start.index - 1)).toBeUndefined()
      }
    }
  })

  test('the last position with a term of at most t is what a scan finds', () => {
    const prng = new SeededPrng(5)
    for (let i = 0; i < 500; i++) {
      let term = 1
      const terms = Array.from({ length: prng.next(12) }, () => (term += prng.next(3)))
      const log = logOf(terms)
      const index = prng.next(terms.length + 1)
      const bound = prng.next(term + 2)
      let expected = index
      while (expected > 0 && terms[expected - 1]! > bound) expected--
      expect(log.lastWithTermAtMost(bound, index)).toBe(expected)
    }
  })

  test('a slice is cut at its bytes, yet holds at least one entry', () => {
    const log = logOf([1, 1, 1, 1])
    const size = entryBytes(entry(1, 1))
    expect(log.slice(1, 5, 3 * size)).toHaveLength(3)
    expect(log.slice(1, 5, 3 * size - 1)).toHaveLength(2)
    expect(log.slice(2, 5, 0)).toHaveLength(1)
    expect(log.slice(5, 5, 100)).toHaveLength(0)
  })

  test('the same slice is the same array, so that it is encoded once', () => {
    const log = logOf([1, 1, 1])
    expect(log.slice(2, 4, Infinity)).toBe(log.slice(2, 4, Infinity))
  })

  test('a committed entry is never replaced', () => {
    const log = logOf([1, 1, 1], 2)
    expect(() => log.merge([entry(2, 2)])).toThrow(InvariantViolation)
  })

  test('a gap or a falling term is refused', () => {
    const log = logOf([1, 2])
    expect(() => log.append(entry(4, 2))).toThrow(InvariantViolation)
    expect(() => log.append(entry(3, 1))).toThrow(InvariantViolation)
  })

  test('only what is applied is forgotten', () => {
    const log = logOf([1, 1, 1], 3)
    log.takeCommitted(Infinity)
    log.appliedTo(2)
    expect(() => log.compact(3)).toThrow(InvariantViolation)
    log.compact(2)
    expect(log.firstIndex).toBe(3)
    log.compact(1)
    expect(log.firstIndex).toBe(3)
  })

  test('a restored snapshot is durable with its Ready, what was under way before is not', () => {
    const log = logOf([1], 1)
    log.merge([entry(2, 1), entry(3, 1)])
    log.takeUnstored(1)
    log.restore({ index: 9, term: 2, confState: confStateOf([1]) }, 2)
    log.takeUnstored(2)
    expect(log.persistedReady(1)).toBe(false)
    expect(log.persisted).toBe(1)
    expect(log.persistedReady(2)).toBe(true)
    expect(log.persisted).toBe(9)
    expect([log.start, log.lastIndex, log.committed]).toEqual([{ index: 9, term: 2 }, 9, 9])
  })

  test('many compactions keep the memory in proportion to what is left', () => {
    const log = logOf([])
    for (let index = 1; index <= 10_000; index++) {
      log.append(entry(index, 1))
      log.takeUnstored(index)
      log.commitTo(index)
      log.takeCommitted(Infinity)
      log.appliedTo(index)
      log.compact(index - 10)
    }
    expect(log.firstIndex).toBe(9991)
    expect(log.slice(9991, 10_001, Infinity).map(({ index }) => index)[9]).toBe(10_000)
  })
})

describe('the window of a peer', () => {
  test('is full at its count or its bytes, and freed in order', () => {
    const window = new Inflights({ countMax: 3, bytesMax: 100 })
    window.add(1, 10)
    window.add(2, 10)
    expect(window.isFull).toBe(false)
    window.add(3, 10)
    expect(window.isFull).toBe(true)
    window.freeTo(2)
    expect(window.count).toBe(1)
    window.add(4, 95)
    expect(window.isFull).toBe(true)
    window.freeTo(4)
    expect([window.count, window.isFull]).toEqual([0, false])
  })

  test('agrees with a list over random sequences', () => {
    const prng = new SeededPrng(3)
    const window = new Inflights({ countMax: 50, bytesMax: 1e9 })
    let model: number[] = []
    let last = 0
    for (let i = 0; i < 5000; i++) {
      if (prng.next(2) === 0 && !window.isFull) {
        window.add(++last, 1)
        model.push(last)
      } else {
        const index = last - prng.next(60)
        window.freeTo(index)
        model = model.filter((one) => one > index)
      }
      expect(window.count).toBe(model.length)
    }
  })
})

function create(): Progress {
  return new Progress({ id: memberId(2), next: 11, now: 0, countMax: 4, bytesMax: 1000 })
}

describe('progress of a peer', () => {
  test('a probe is refused: next falls to the hint, and an old refusal changes nothing', () => {
    const progress = create()
    progress.probeSent = true
    expect(progress.maybeDecrease(7, 3)).toBe(false)
    expect(progress.maybeDecrease(10, 3)).toBe(true)
    expect([progress.next, progress.isPaused]).toEqual([4, false])
  })

  test('next never falls to what is known to match', () => {
    const progress = create()
    progress.maybeUpdate(5)
    progress.becomeReplicate()
    expect(progress.maybeDecrease(5, 0)).toBe(false)
    expect(progress.maybeDecrease(9, 0)).toBe(true)
    expect([progress.state, progress.next]).toEqual(['probe', 6])
  })

  test('after a snapshot it is probed behind it', () => {
    const progress = create()
    progress.becomeSnapshot(20)
    expect(progress.isPaused).toBe(true)
    progress.becomeProbe()
    expect([progress.state, progress.next]).toEqual(['probe', 21])
  })
})
