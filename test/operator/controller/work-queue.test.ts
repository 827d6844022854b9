// client-go's semantics, one test for each sentence of them, on clocks that stand still until moved.

import { beforeEach, expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import { fullJitterMs, DecorrelatedBackoff } from '../../../operator/src/controller/backoff.ts'
import { WorkQueue } from '../../../operator/src/controller/work-queue.ts'
import { ManualTimers } from '../../support/manual-timers.ts'

let time: ManualTimers
let queue: WorkQueue
let waits: number[]
let retries: number

beforeEach(() => {
  time = new ManualTimers()
  waits = []
  retries = 0
  queue = new WorkQueue({
    clock: time,
    timers: time,
    prng: new SeededPrng(7),
    observer: { waited: (ms) => waits.push(ms), retried: () => retries++ },
  })
})

/** What `get` has handed out by now. */
async function settled(promise: Promise<string | undefined>): Promise<string | undefined> {
  return Promise.race([promise, new Promise<'none'>((resolve) => setImmediate(resolve, 'none'))])
}

test('keys come in the order they were added, each once however often it was added', async () => {
  for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key)
  expect(queue.depth).toBe(3)
  expect([await queue.get(), await queue.get(), await queue.get()]).toEqual(['a', 'b', 'c'])
})

test('a worker that waits gets the next key', async () => {
  const waiting = queue.get()
  expect(await settled(waiting)).toBe('none')
  queue.add('a')
  expect(await waiting).toBe('a')
})

test('a key that is worked on is given to nobody else; added meanwhile, it comes once more when done', async () => {
  queue.add('a')
  await queue.get()
  queue.add('a')
  queue.add('a')
  const next = queue.get()
  expect(await settled(next)).toBe('none')
  queue.done('a')
  expect(await next).toBe('a')
  queue.done('a')
  expect(await settled(queue.get())).toBe('none')
})

test('a delayed key comes after its delay, the shortest of several', async () => {
  queue.addAfter('a', 1000)
  queue.addAfter('a', 300)
  queue.addAfter('a', 2000)
  const next = queue.get()
  time.advance(299)
  expect(await settled(next)).toBe('none')
  time.advance(1)
  expect(await next).toBe('a')
  queue.done('a')
  time.advance(5000)
  expect(await settled(queue.get())).toBe('none')
})

test('a key added at once does not wait for its delay, nor come again after it', async () => {
  queue.addAfter('a', 1000)
  queue.add('a')
  expect(await queue.get()).toBe('a')
  queue.done('a')
  time.advance(2000)
  expect([queue.depth, queue.delayedCount]).toEqual([0, 0])
})

test('a delay that ends while the key is worked on brings it once more', async () => {
  queue.add('a')
  await queue.get()
  queue.addAfter('a', 100)
  time.advance(100)
  expect(queue.depth).toBe(0)
  queue.done('a')
  expect(await queue.get()).toBe('a')
})

test('failures in a row wait ever longer up to five minutes, and forget starts anew', () => {
  const longest = (attempts: number) => {
    let delayMs = 0
    for (let i = 0; i < attempts; i++) delayMs = Math.max(delayMs, queue.addRateLimited('a'))
    return delayMs
  }
  expect(longest(1)).toBeLessThanOrEqual(5)
  expect(longest(10)).toBeGreaterThan(100)
  expect(longest(80)).toBeGreaterThan(60_000)
  expect(longest(1)).toBeLessThanOrEqual(300_000)
  expect(queue.failureCount('a')).toBe(92)
  queue.forget('a')
  expect(queue.addRateLimited('a')).toBeLessThanOrEqual(5)
  expect(retries).toBe(93)
})

test('a server that asks for more time gets it', () => {
  expect(queue.addRateLimited('a', 7000)).toBe(7000)
})

test('many failing keys together are retried at ten a second after a burst of a hundred', () => {
  const delays = Array.from({ length: 150 }, (_, i) => queue.addRateLimited(`key ${i}`))
  expect(Math.max(...delays.slice(0, 100))).toBeLessThanOrEqual(5)
  expect(delays[149]).toBeCloseTo(5000, 0)
})

test('shutting down hands out nothing more and waits for what is being worked on', async () => {
  queue.add('a')
  queue.add('b')
  queue.addAfter('c', 10)
  await queue.get()
  const idle = Promise.all([queue.shutDown(), queue.shutDown()])
  let isDrained = false
  void idle.then(() => (isDrained = true))
  expect(await queue.get()).toBeUndefined()
  queue.add('d')
  time.advance(20)
  expect(isDrained).toBe(false)
  queue.done('a')
  await idle
  expect(await queue.get()).toBeUndefined()
  expect(time.count).toBe(0)
})

test('how long keys waited and how many are waiting is told', async () => {
  queue.add('a')
  time.advance(40)
  await queue.get()
  expect(waits).toEqual([40])
  expect([queue.depth, queue.processingCount]).toEqual([0, 1])
})

test('done for a key that nobody works on is a bug and says so', () => {
  expect(() => queue.done('a')).toThrow('key was not being processed')
})

test('against a model: never two workers on a key, never a key lost, none left over', async () => {
  const prng = new SeededPrng(11)
  const keys = ['a', 'b', 'c', 'd']
  const working = new Set<string>()
  const owed = new Set<string>()
  const mistakes: string[] = []
  for (let step = 0; step < 5000; step++) {
    const key = keys[prng.next(keys.length)]!
    if (prng.next(3) > 0) {
      queue.add(key)
      owed.add(key)
    } else if (working.size > 0 && prng.next(2) === 0) {
      const [done] = working
      working.delete(done!)
      queue.done(done!)
    } else if (queue.depth > 0) {
      const got = (await queue.get())!
      if (working.has(got)) mistakes.push(`step ${step}: two workers on ${got}`)
      if (!owed.delete(got)) mistakes.push(`step ${step}: ${got} was not added`)
      working.add(got)
    }
  }
  for (;;) {
    for (const key of working) queue.done(key)
    working.clear()
    if (queue.depth === 0) break
    const got = (await queue.get())!
    if (!owed.delete(got)) mistakes.push(`at the end: ${got} was not added`)
    working.add(got)
  }
  expect([mistakes, [...owed]]).toEqual([[], []])
})

test('full jitter lies between a tenth of the base and the doubled ceiling', () => {
  const prng = new SeededPrng(3)
  for (let attempt = 1; attempt < 60; attempt++) {
    const delayMs = fullJitterMs(attempt, { baseMs: 10, maxMs: 1000, prng })
    expect(delayMs).toBeGreaterThanOrEqual(1)
    expect(delayMs).toBeLessThanOrEqual(Math.min(1000, 10 * 2 ** (attempt - 1)))
  }
})

test('decorrelated jitter grows from its base, stays below its limit and starts anew after a reset', () => {
  const backoff = new DecorrelatedBackoff({ baseMs: 100, maxMs: 5000, prng: new SeededPrng(5) })
  const delays = Array.from({ length: 200 }, () => backoff.nextMs())
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(100)
  expect(Math.max(...delays)).toBeLessThanOrEqual(5000)
  expect(Math.max(...delays)).toBeGreaterThan(3000)
  backoff.reset()
  expect(backoff.nextMs()).toBeLessThanOrEqual(300)
})
