// One write every few milliseconds, sent on schedule whether or not earlier ones returned (faults.md section 3: GAP and
// SLOW), to whichever endpoint answers. Values are unique; each write ends as done, failed or unknown.

import { Agent, request } from 'node:http'
import { Agent as SecureAgent, request as secureRequest } from 'node:https'

/** PEM. */
export interface ProbeTls {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface ProbeWrite {
  readonly key: string
  readonly value: string
  readonly startedMs: number
  endedMs: number
  outcome: 'done' | 'failed' | 'unknown' | 'pending'
  detail: string
}

export interface ProbeReport {
  readonly writes: readonly ProbeWrite[]
  /** Longest time between the ends of two consecutive acknowledged writes, milliseconds. */
  readonly gapMs: number
  /** Slowest single request, milliseconds. */
  readonly slowMs: number
}

export class ProbeWriter {
  readonly writes: ProbeWrite[] = []
  #agent = new Agent({ keepAlive: true, maxSockets: 256 })
  #isSecure = false
  readonly #endpoints: () => readonly string[]
  readonly #timer: NodeJS.Timeout
  readonly #prefix: string
  #inFlight = 0
  #stopped = false

  /** @param options.endpoints the API URLs to write to in turn, asked again for each write */
  constructor(options: { endpoints: () => readonly string[]; everyMs?: number; prefix?: string }) {
    this.#endpoints = options.endpoints
    this.#prefix = options.prefix ?? 'probe'
    this.#timer = setInterval(() => this.#write(), options.everyMs ?? 10)
  }

  /** From the next write on; those under way end as they began. */
  useTls(tls: ProbeTls): void {
    this.#agent = new SecureAgent({ keepAlive: true, maxSockets: 256, ...tls })
    this.#isSecure = true
  }

  get acknowledged(): ProbeWrite[] {
    return this.writes.filter((write) => write.outcome === 'done')
  }

  /** Longest time between the ends of two consecutive acknowledged writes, from `sinceMs` (performance.now) on. */
  gapMs(sinceMs: number): number {
    const ends = this.acknowledged.map((write) => write.endedMs).filter((end) => end >= sinceMs)
    ends.sort((a, b) => a - b)
    let gapMs = 0
    for (let i = 1; i < ends.length; i++) gapMs = Math.max(gapMs, ends[i]! - ends[i - 1]!)
    return gapMs
  }

  /** Stops sending and resolves when every write has ended. */
  async stop(): Promise<ProbeReport> {
    clearInterval(this.#timer)
    this.#stopped = true
    while (this.#inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    this.#agent.destroy()
    const gapMs = this.gapMs(0)
    const slowMs = Math.max(0, ...this.writes.map((write) => write.endedMs - write.startedMs))
    return { writes: this.writes, gapMs, slowMs }
  }

  #write(): void {
    const endpoints = this.#endpoints()
    if (this.#stopped || endpoints.length === 0) return
    const number = this.writes.length
    const key = `${this.#prefix}-${number}`
    const value = `${this.#prefix}-value-${number}`
    const write: ProbeWrite = {
      key,
      value,
      startedMs: performance.now(),
      endedMs: 0,
      outcome: 'pending',
      detail: '',
    }
    this.writes.push(write)
    this.#inFlight++
    const end = (outcome: ProbeWrite['outcome'], detail: string): void => {
      if (write.outcome !== 'pending') return
      write.outcome = outcome
      write.detail = detail
      write.endedMs = performance.now()
      this.#inFlight--
    }
    const url = `${endpoints[number % endpoints.length]!}/v1/kv/${key}?timeout=5s`
    const call = (this.#isSecure ? secureRequest : request)(
      url,
      { method: 'PUT', agent: this.#agent, timeout: 10_000 },
      (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString()
        })
        response.on('end', () => {
          if (response.statusCode === 200) end('done', body)
          else
            end(
              body.includes('"outcome":"unknown"') ? 'unknown' : 'failed',
              `${response.statusCode} ${body}`,
            )
        })
        response.on('error', (error) => end('unknown', String(error)))
      },
    )
    call.on('timeout', () => call.destroy(new Error('no answer within 10 s')))
    call.on('error', (error: NodeJS.ErrnoException) => {
      // Refused: the request was certainly not sent. Anything else may have reached the member.
      end(error.code === 'ECONNREFUSED' ? 'failed' : 'unknown', String(error))
    })
    call.end(value)
  }
}

/** Reads every acknowledged write from `api` and returns those that are missing or differ. */
export async function missingWrites(
  api: string,
  writes: readonly ProbeWrite[],
  consistency = 'linearizable',
): Promise<string[]> {
  const missing: string[] = []
  for (const write of writes) {
    const response = await fetch(`${api}/v1/kv/${write.key}?consistency=${consistency}`)
    const text = await response.text()
    if (response.status !== 200 || text !== write.value)
      missing.push(`${write.key}: ${response.status} ${text}`)
  }
  return missing
}
