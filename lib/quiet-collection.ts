// Gives back what a busy stretch left in the heap. V8 lets a heap of 20 MB grow to several times that before it collects,
// keeps the pages, and counts on the next stretch to look at them again; a process that has become quiet would hold them for
// hours. So once the event loop has been nearly idle for a while, everything is collected and the pages go back to the
// system: one pause, when nobody waits, for each stretch (docs/performance.md). It needs `--expose-gc`; without it nothing
// happens.

import { getHeapStatistics } from 'node:v8'
import type { TimerHandle, Timers } from './clock.ts'
import { busyShareMeter } from './process-metrics.ts'

const PERIOD_MS = 5000
/** Of a period in which the event loop was quiet, the part that it did something. */
const BUSY_SHARE_MAX = 0.1
/** A heap that has grown by less since it was last collected is left alone. */
const GROWN_BYTES_MIN = 4 * 1024 * 1024

/** What is collected; tests bring their own. */
export interface Heap {
  /** Bytes it holds, garbage and free pages included. */
  readonly bytes: () => number
  /** The part of the time since the last call that the event loop was busy, 0 to 1. */
  readonly busyShare: () => number
  /** Everything, and the pages back to the system. */
  readonly collect: () => void
}

/** Undefined where Node.js was not told to let us. */
export function systemHeap(): Heap | undefined {
  const { gc } = globalThis
  if (gc === undefined) return undefined
  return {
    bytes: () => getHeapStatistics().total_heap_size,
    busyShare: busyShareMeter(),
    // The flavour that gives pages back: the regular one keeps them for the next garbage.
    collect: () => gc({ type: 'major', execution: 'sync', flavor: 'last-resort' }),
  }
}

/** Collects at the end of each busy stretch, the first time when what a start needed is over. */
export function collectWhenQuiet(timers: Timers, heap: Heap): TimerHandle {
  let collectedBytes = 0
  return timers.every(PERIOD_MS, () => {
    if (heap.busyShare() > BUSY_SHARE_MAX) return
    if (heap.bytes() < collectedBytes + GROWN_BYTES_MIN) return
    heap.collect()
    collectedBytes = heap.bytes()
  })
}
