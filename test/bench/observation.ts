// What writes and the event loop meet while something large goes on beside them.

import { monitorEventLoopDelay } from 'node:perf_hooks'

/** Of the rows that observations make, behind the first column. */
export const ROW_HEADINGS = `| s | writes/s | longest gaps, ms | event-loop delay p50 / p99 / p99.9 / max, ms | longest turn, ms of CPU |
| --- | --- | --- | --- | --- | --- |`

/** What was seen while one thing was going on. */
export class Observation {
  readonly delay = monitorEventLoopDelay({ resolution: 1 })
  readonly #startMs = performance.now()
  readonly #gapsMs: number[] = []
  #lastMs = performance.now()
  #endMs = Infinity
  #longestTurnMs = 0

  constructor() {
    this.delay.enable()
    let cpuMs = threadCpuMs()
    const onTurn = (): void => {
      const nowMs = threadCpuMs()
      this.#longestTurnMs = Math.max(this.#longestTurnMs, nowMs - cpuMs)
      cpuMs = nowMs
      if (this.#endMs === Infinity) setImmediate(onTurn)
    }
    setImmediate(onTurn)
  }

  acknowledged(): void {
    const nowMs = performance.now()
    this.#gapsMs.push(nowMs - this.#lastMs)
    this.#lastMs = nowMs
  }

  end(): void {
    this.delay.disable()
    this.#endMs = performance.now()
  }

  get longestGapMs(): number {
    return this.#gapsMs.reduce((longest, gap) => Math.max(longest, gap), 0)
  }

  /** CPU time of the event loop between two of its turns. */
  get longestTurnMs(): number {
    return this.#longestTurnMs
  }

  row(name: string): string {
    const seconds = (this.#endMs - this.#startMs) / 1000
    const largest = this.#gapsMs.reduce((top, gap) => keepLargest(top, gap), [] as number[])
    const delays = [50, 99, 99.9, 100].map((p) => (this.delay.percentile(p) / 1e6 - 1).toFixed(1))
    const gaps = largest.map((gap) => gap.toFixed(1)).join(', ')
    const perSecond = Math.round(this.#gapsMs.length / seconds)
    const turn = this.#longestTurnMs.toFixed(1)
    return `| ${name} | ${seconds.toFixed(1)} | ${perSecond} | ${gaps} | ${delays.join(' / ')} | ${turn} |`
  }
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** The five largest, largest first. */
function keepLargest(top: number[], value: number): number[] {
  if (top.length === 5 && value <= top[4]!) return top
  return [...top, value].toSorted((a, b) => b - a).slice(0, 5)
}
