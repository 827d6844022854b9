// A leader proposes each carried request at most once in its term (docs/adr/0009).

import { expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import { ForwardFilter } from '../../../member/src/node/forward-filter.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'

const PEER = '0000000000000002' as MemberId

test('a request is new once in a term, and again in the next', () => {
  const filter = new ForwardFilter()
  expect(filter.check(1, PEER, 'a', 7)).toBe('new')
  expect(filter.check(1, PEER, 'a', 7)).toBe('new')
  filter.accept(1, PEER, 'a', 7)
  expect(filter.check(1, PEER, 'a', 7)).toBe('seen')
  expect(filter.check(1, PEER, 'a', 6)).toBe('new')
  expect(filter.check(2, PEER, 'a', 7)).toBe('new')
})

test('a peer that restarted counts its requests anew', () => {
  const filter = new ForwardFilter()
  filter.accept(1, PEER, 'a', 7)
  expect(filter.check(1, PEER, 'b', 7)).toBe('new')
})

test('a request of an earlier life that arrives twice is still known (F22)', () => {
  const filter = new ForwardFilter()
  filter.accept(1, PEER, 'a', 7)
  filter.accept(1, PEER, 'b', 1)
  expect(filter.check(1, PEER, 'a', 7)).toBe('seen')
  expect(filter.check(1, PEER, 'b', 1)).toBe('seen')
})

test('a life before the last two has ended: nothing of it is proposed', () => {
  const filter = new ForwardFilter()
  for (const origin of ['a', 'b', 'c']) filter.accept(1, PEER, origin, 7)
  expect(filter.check(1, PEER, 'a', 7)).toBe('tooOld')
  expect(filter.check(1, PEER, 'a', 8)).toBe('tooOld')
  expect(filter.check(1, PEER, 'b', 8)).toBe('new')
})

test('requests out of order are told apart like a set would, inside the window', () => {
  const filter = new ForwardFilter()
  const prng = new SeededPrng(1)
  const accepted = new Set<number>()
  let highest = 0
  for (let i = 0; i < 20_000; i++) {
    const sequence = Math.max(1, highest + 40 - prng.next(80) + (prng.next(500) === 0 ? 70_000 : 0))
    if (sequence <= highest - 65_536) continue
    const expected = accepted.has(sequence) ? 'seen' : 'new'
    expect(filter.check(1, PEER, 'a', sequence)).toBe(expected)
    filter.accept(1, PEER, 'a', sequence)
    accepted.add(sequence)
    highest = Math.max(highest, sequence)
  }
  expect(filter.check(1, PEER, 'a', highest - 65_536)).toBe('tooOld')
})
