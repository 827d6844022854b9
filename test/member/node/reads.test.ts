// Reads that wait for a leader to confirm its leadership: asked in rounds, again when refused or late, each ended once.

import { expect, test } from 'vitest'
import { RaftbaseError } from '../../../lib/errors.ts'
import { Reads } from '../../../member/src/node/reads.ts'
import { ManualTimers } from '../../support/manual-timers.ts'

const RETRY_MS = 250

function setUp(readsMax = 10) {
  const clock = new ManualTimers()
  return { clock, reads: new Reads({ clock, readsMax, retryMs: RETRY_MS, origin: 'f'.repeat(16) }) }
}

function wait(reads: Reads, timeoutMs = 1000) {
  const read = { outcome: 'pending', ended: Promise.resolve() }
  read.ended = reads.wait(timeoutMs).then(
    () => void (read.outcome = 'done'),
    (error: RaftbaseError) => void (read.outcome = error.code),
  )
  return read
}

test('reads of one turn share a round and are released once its index is applied', async () => {
  const { reads } = setUp()
  const [first, second] = [wait(reads), wait(reads)]
  const context = reads.startRound()!
  expect(reads.startRound()).toBe(undefined)
  reads.confirmed(context, 7, 6)
  reads.applied(6)
  expect(reads.count).toBe(2)
  reads.applied(7)
  await Promise.all([first.ended, second.ended])
  expect([first.outcome, second.outcome, reads.count]).toEqual(['done', 'done', 0])
})

test('a refused round is not asked again before a tick has passed', () => {
  const { reads } = setUp()
  wait(reads)
  reads.refused(reads.startRound()!)
  expect(reads.hasUnasked).toBe(false)
  expect(reads.startRound()).toBe(undefined)
  reads.retryRefused()
  expect(reads.hasUnasked).toBe(true)
})

test('a refused read still ends at its deadline', async () => {
  const { reads } = setUp()
  const read = wait(reads, 100)
  reads.refused(reads.startRound()!)
  reads.sweep(100)
  await read.ended
  expect([read.outcome, reads.count]).toEqual(['TIMEOUT', 0])
})

test('the answer to a round that was asked again meanwhile is not taken', async () => {
  const { reads } = setUp()
  const read = wait(reads)
  const late = reads.startRound()!
  reads.sweep(RETRY_MS)
  reads.retryRefused()
  const again = reads.startRound()!
  expect(again).not.toBe(late)
  reads.confirmed(late, 3, 9)
  expect(reads.count).toBe(1)
  reads.confirmed(again, 9, 9)
  await read.ended
  expect(read.outcome).toBe('done')
})

test('more reads than the bound are refused at once; closing ends all that wait (promise 8)', async () => {
  const { reads } = setUp(2)
  const waiting = [wait(reads), wait(reads)]
  const third = wait(reads)
  await third.ended
  expect(third.outcome).toBe('OVERLOADED')
  reads.refused(reads.startRound()!)
  reads.close(new RaftbaseError('SHUTTING_DOWN', 'stopping'))
  await Promise.all(waiting.map((read) => read.ended))
  expect(waiting.map((read) => read.outcome)).toEqual(['SHUTTING_DOWN', 'SHUTTING_DOWN'])
  expect(reads.count).toBe(0)
})
