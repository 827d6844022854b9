// How long this machine kept the processes of a run waiting for a processor, so that a time limit is judged against the
// members and not against the neighbours: a figure counts as limit plus the stall measured in the same stretch of time, and
// both are printed. From the kernel's own account (/proc/PID/schedstat); where there is none, from how late timers of this
// process fire.

import { readFileSync } from 'node:fs'

const SAMPLE_MS = 10

interface Sample {
  readonly atMs: number
  /** Of each process, since the probe began. */
  readonly waitedMs: ReadonlyMap<number, number>
  readonly lateMs: number
}

export class StallProbe {
  readonly #pids: () => readonly number[]
  readonly #samples: Sample[] = []
  readonly #timer: NodeJS.Timeout
  #dueMs = performance.now() + SAMPLE_MS

  /** @param pids the processes beside this one, asked again for each sample */
  constructor(pids: () => readonly number[]) {
    this.#pids = pids
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /**
   * Milliseconds that the process which waited longest was kept from a processor between two moments (performance.now()):
   * less than what all of them together lost, because they may have waited at the same time.
   */
  between(fromMs: number, toMs: number): number {
    const inside = this.#samples.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs + SAMPLE_MS)
    const before = this.#samples.findLast(({ atMs }) => atMs < fromMs)
    const first = before ?? inside[0]
    const last = inside.at(-1)
    if (first === undefined || last === undefined) return 0
    let longestMs = inside.reduce((sum, sample) => sum + sample.lateMs, 0)
    for (const [pid, waitedMs] of last.waitedMs) {
      longestMs = Math.max(longestMs, waitedMs - (first.waitedMs.get(pid) ?? waitedMs))
    }
    return Math.min(toMs - fromMs, longestMs)
  }

  #sample(): void {
    const atMs = performance.now()
    const waitedMs = new Map<number, number>()
    for (const pid of [process.pid, ...this.#pids()]) {
      const waited = waitedMsOf(pid)
      if (waited !== undefined) waitedMs.set(pid, waited)
    }
    const lateMs = Math.max(0, atMs - this.#dueMs - 1)
    this.#dueMs = atMs + SAMPLE_MS
    this.#samples.push({ atMs, waitedMs, lateMs })
  }
}

/** How long the main thread of a process was ready to run and did not; undefined if the system does not say. */
function waitedMsOf(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6
  } catch {
    return undefined // No such account here, or the process has ended.
  }
}
