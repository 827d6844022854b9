// Large work in pieces leaves room for the rest of the event loop.

import { expect, test } from 'vitest'
import { paced } from '../../../member/src/node/paced.ts'
import { ManualTimers } from '../../support/manual-timers.ts'

/** Ten pieces, each of which takes as long as `pieceMs`; the log says when other work had its turn. */
function working(pieceMs: number) {
  const time = new ManualTimers()
  const log: string[] = []
  function* pieces(): Generator<number> {
    for (let i = 0; i < 10; i++) {
      time.advance(pieceMs)
      log.push(String(i))
      yield i
    }
  }
  const timers = {
    after: time.after.bind(time),
    every: time.every.bind(time),
    endOfTurn: (callback: () => void) => {
      log.push('turn')
      queueMicrotask(callback)
    },
  }
  return { pieces, log, time, timers }
}

test.each([
  [0.1, '0 1 2 3 4 5 6 7 8 9'],
  [1, '0 1 turn 2 3 turn 4 5 turn 6 7 turn 8 9 turn'],
  [30, '0 turn 1 turn 2 turn 3 turn 4 turn 5 turn 6 turn 7 turn 8 turn 9 turn'],
])('pieces of %d ms: other work has its turn every 2 ms', async (pieceMs, expected) => {
  const { pieces, log, time, timers } = working(pieceMs)
  const { signal } = new AbortController()
  const seen: number[] = []
  for await (const piece of paced(pieces(), { signal, clock: time, timers })) seen.push(piece)
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(log.join(' ')).toBe(expected)
})

test('as long as requests wait they have as much time as the pieces', async () => {
  const { pieces, log, time } = working(1)
  const timers = {
    every: time.every.bind(time),
    endOfTurn: (callback: () => void) => {
      log.push('turn')
      queueMicrotask(callback)
    },
    after: (delayMs: number, callback: () => void) => {
      log.push(`${delayMs} ms`)
      queueMicrotask(callback)
      return { cancel: () => undefined }
    },
  }
  const { signal } = new AbortController()
  const isBusy = (): boolean => log.length < 6
  for await (const piece of paced(pieces(), { signal, clock: time, timers, isBusy })) void piece
  expect(log.join(' ')).toBe('0 1 2 ms 2 3 2 ms 4 5 turn 6 7 turn 8 9 turn')
})

test('work that nobody wants any more ends at the next piece, with the reason', async () => {
  const { pieces, log, time, timers } = working(1)
  const stop = new AbortController()
  const run = async (): Promise<void> => {
    for await (const piece of paced(pieces(), { signal: stop.signal, clock: time, timers })) {
      if (piece === 4) stop.abort(new Error('stopped'))
    }
  }
  await expect(run()).rejects.toThrow('stopped')
  expect(log.join(' ')).toBe('0 1 turn 2 3 turn 4 5')
})
