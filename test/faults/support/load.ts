// Clients of a run: a probe write every 10 ms, sent on schedule whether or not earlier ones returned, and workers that put,
// delete and read a few keys one operation after the other. Everything is recorded in one history.

import { SeededPrng } from '../../../lib/prng.ts'
import { History, type Operation, type Request } from '../../sim/checkers/history.ts'
import { RestClient } from './rest-client.ts'

export interface LoadOptions {
  /** The APIs to ask, in turn; looked up again for each operation. */
  readonly endpoints: () => readonly { readonly name: string; readonly api: string }[]
  /** 0: no probes. */
  readonly probeEveryMs: number
  readonly workers: number
  readonly keys: number
  readonly valueBytes: number
  readonly timeoutMs: number
  /** One in so many reads of the workers is serializable; 0: none. */
  readonly serializableOneIn: number
  /** Pause of a worker between its operations. */
  readonly thinkMs: number
}

export const DEFAULT_LOAD: Omit<LoadOptions, 'endpoints'> = {
  probeEveryMs: 10,
  workers: 6,
  keys: 5,
  valueBytes: 0,
  timeoutMs: 5000,
  serializableOneIn: 4,
  thinkMs: 2,
}

export interface Gap {
  readonly ms: number
  readonly fromMs: number
  readonly toMs: number
}

export class Load {
  readonly history = new History()
  readonly client = new RestClient()
  /** Of values put from now on. */
  valueBytes: number
  readonly #options: LoadOptions
  readonly #prng = new SeededPrng(7)
  #timer: NodeJS.Timeout | undefined
  #workers: Promise<void>[] = []
  #running = 0
  #number = 0
  #stopped = false

  constructor(options: LoadOptions) {
    this.#options = options
    this.valueBytes = options.valueBytes
  }

  start(): void {
    const { probeEveryMs, workers } = this.#options
    if (probeEveryMs > 0) this.#timer = setInterval(() => this.#probe(), probeEveryMs)
    this.#workers = Array.from({ length: workers }, (_, i) => this.#work(`worker${i}`))
  }

  /** Operations that were answered, definitely. */
  get acknowledged(): number {
    return this.history.operations.filter(({ outcome }) => outcome.type === 'done').length
  }

  /** Acknowledged operations a second over the last second. */
  get rate(): number {
    const sinceMs = performance.now() - 1000
    let count = 0
    for (const { outcome, endedMs } of this.history.operations) {
      if (outcome.type === 'done' && endedMs! >= sinceMs) count++
    }
    return count
  }

  get probes(): Operation[] {
    return this.history.operations.filter(({ client }) => client === 'probe')
  }

  /**
   * The longest time between two consecutive acknowledged probes, the first of which ended after `sinceMs`. Where fewer than two
   * were acknowledged, all of the time up to now: what nobody measured must not pass for none.
   */
  gap(sinceMs: number, untilMs = Number.POSITIVE_INFINITY): Gap {
    const ends = this.probes
      .filter(({ outcome }) => outcome.type === 'done')
      .map(({ endedMs }) => endedMs!)
      .filter((endMs) => endMs >= sinceMs && endMs <= untilMs)
      .toSorted((a, b) => a - b)
    if (ends.length < 2) {
      const toMs = Math.min(untilMs, performance.now())
      return { ms: toMs - sinceMs, fromMs: sinceMs, toMs }
    }
    let gap: Gap = { ms: 0, fromMs: sinceMs, toMs: sinceMs }
    for (let i = 1; i < ends.length; i++) {
      const ms = ends[i]! - ends[i - 1]!
      if (ms > gap.ms) gap = { ms, fromMs: ends[i - 1]!, toMs: ends[i]! }
    }
    return gap
  }

  /** The slowest operation that ended after `sinceMs`. */
  slow(sinceMs: number): Gap & { readonly operation: Operation | undefined } {
    let slowest: Operation | undefined
    for (const operation of this.history.operations) {
      if (operation.endedMs === undefined || operation.endedMs < sinceMs) continue
      if (slowest === undefined || tookMs(operation) > tookMs(slowest)) slowest = operation
    }
    const fromMs = slowest?.startedMs ?? sinceMs
    const toMs = slowest?.endedMs ?? sinceMs
    return { ms: toMs - fromMs, fromMs, toMs, operation: slowest }
  }

  /** Operations of this outcome that ended after `sinceMs`. */
  withOutcome(type: 'done' | 'failed' | 'unknown', sinceMs = 0): Operation[] {
    return this.history.operations.filter(
      ({ outcome, endedMs }) =>
        outcome.type === type && endedMs !== undefined && endedMs >= sinceMs,
    )
  }

  /** One operation, recorded. */
  async run(options: {
    client: string
    via: { readonly name: string; readonly api: string }
    request: Request
    timeoutMs?: number
  }): Promise<Operation> {
    const { client, via, request } = options
    const id = this.history.invoke({ client, via: via.name, request, nowMs: performance.now() })
    this.#running++
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs
    const outcome = await this.client.run(via.api, request, timeoutMs)
    this.#running--
    this.history.end(id, outcome, performance.now())
    return this.history.operations[id]!
  }

  /** Sends nothing more by itself and resolves when everything has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopped = true
    await Promise.all(this.#workers)
    while (this.#running > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }

  close(): void {
    this.client.close()
  }

  #value(): string {
    const name = `v${this.#number++}`
    return name.padEnd(this.valueBytes, '.')
  }

  #endpoint(): { readonly name: string; readonly api: string } | undefined {
    const endpoints = this.#options.endpoints()
    return endpoints[this.#number % endpoints.length]
  }

  #probe(): void {
    const via = this.#endpoint()
    if (via === undefined) return
    const value = this.#value()
    const request: Request = { type: 'put', key: `probe-${value.slice(0, 12)}`, value }
    void this.run({ client: 'probe', via, request })
  }

  async #work(client: string): Promise<void> {
    const { keys, serializableOneIn, thinkMs } = this.#options
    while (!this.#stopped) {
      const via = this.#endpoint()
      if (via === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 5))
        continue
      }
      const key = `key-${this.#prng.next(keys)}`
      const choice = this.#prng.next(10)
      const serializable = serializableOneIn > 0 && this.#prng.next(serializableOneIn) === 0
      this.#number++
      const request: Request =
        choice < 4
          ? { type: 'put', key, value: this.#value() }
          : choice < 5
            ? { type: 'delete', key }
            : { type: 'get', key, serializable }
      const { outcome } = await this.run({ client, via, request })
      const waitMs = outcome.type === 'done' ? thinkMs : 20
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
  }
}

function tookMs({ startedMs, endedMs }: Operation): number {
  return endedMs! - startedMs
}
