// When the heap is collected: never while there is something to do, once when it has been done, and only if it pays.

import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { collectWhenQuiet } from '../../lib/quiet-collection.ts'
import { ManualTimers } from '../support/manual-timers.ts'

const MB = 1024 * 1024

function scene() {
  const timers = new ManualTimers()
  const state = { bytes: 30 * MB, busy: 0.9, collections: 0 }
  const handle = collectWhenQuiet(timers, {
    bytes: () => state.bytes,
    busyShare: () => state.busy,
    collect: () => {
      state.collections++
      state.bytes = 20 * MB
    },
  })
  return { timers, state, handle }
}

test('a heap is left alone while its process is busy, and collected once afterwards', () => {
  const { timers, state } = scene()
  timers.advance(60_000)
  expect(state.collections).toBe(0)
  state.busy = 0.02
  timers.advance(60_000)
  expect(state.collections).toBe(1)
})

test('a heap that has hardly grown since is left alone; one that has is collected again', () => {
  const { timers, state, handle } = scene()
  state.busy = 0
  timers.advance(5000)
  state.bytes += 3 * MB
  timers.advance(60_000)
  expect(state.collections).toBe(1)
  state.bytes += 2 * MB
  timers.advance(5000)
  expect(state.collections).toBe(2)
  handle.cancel()
  state.bytes = 100 * MB
  timers.advance(60_000)
  expect(state.collections).toBe(2)
})

test('a process that grew by 80 MB of garbage gives most of it back to the system', () => {
  const module = fileURLToPath(new URL('../../lib/quiet-collection.ts', import.meta.url))
  const program = `
    import { systemHeap } from ${JSON.stringify(module)}
    const heap = systemHeap()
    let kept = Array.from({ length: 1_000_000 }, (_, i) => ({ i, list: [i] }))
    const full = process.memoryUsage.rss()
    kept = undefined
    heap.collect()
    process.stdout.write(String(full - process.memoryUsage.rss()))`
  const argv = ['--expose-gc', '--input-type=module', '-e', program]
  const freed = Number(execFileSync(process.execPath, argv, { encoding: 'utf8' }))
  expect(freed).toBeGreaterThan(50 * MB)
})

test('without --expose-gc there is nothing to collect with', () => {
  const module = fileURLToPath(new URL('../../lib/quiet-collection.ts', import.meta.url))
  const program = `
    import { systemHeap } from ${JSON.stringify(module)}
    process.stdout.write(String(systemHeap()))`
  const argv = ['--input-type=module', '-e', program]
  expect(execFileSync(process.execPath, argv, { encoding: 'utf8' })).toBe('undefined')
})
