// Writers that rewrite and delete a few keys as fast as they can and remember nothing, for scenarios that need history rather than
// answers. Their keys are none of the load's.

import { Agent, request as httpRequest } from 'node:http'
import type { MemberProcess } from '../../support/process-cluster.ts'
import type { FaultRun } from './fault-run.ts'

export class Churner {
  readonly #options: {
    readonly run: FaultRun
    readonly workers: number
    readonly keys: number
    readonly valueBytes: number
  }
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  #workers: Promise<void>[] = []
  #isStopped = false
  /** Acknowledged writes, and the bytes of their values. */
  count = 0
  bytes = 0

  /** Resolves after so many more revisions. */
  static async revisions(options: {
    readonly run: FaultRun
    readonly via: MemberProcess
    readonly count: number
  }): Promise<void> {
    const { run, via, count } = options
    const churner = new Churner({ run, workers: 0, keys: 50, valueBytes: 20 })
    const write = async (): Promise<void> => {
      while (churner.count < count) await churner.#write(via, churner.count)
    }
    await Promise.all(Array.from({ length: 32 }, write))
    churner.#agent.destroy()
  }

  constructor(options: {
    readonly run: FaultRun
    readonly workers: number
    readonly keys: number
    readonly valueBytes: number
  }) {
    this.#options = options
  }

  start(): void {
    this.#workers = Array.from({ length: this.#options.workers }, (_, i) => this.#work(i))
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#workers)
    this.#agent.destroy()
  }

  async #work(worker: number): Promise<void> {
    for (let i = worker; !this.#isStopped; i++) {
      const { usable } = this.#options.run
      await this.#write(usable[i % usable.length]!, i)
    }
  }

  async #write(via: MemberProcess, number: number): Promise<void> {
    const { keys, valueBytes } = this.#options
    const isDelete = number % 10 === 9
    const length = isDelete ? 0 : 1 + ((number * 7919) % valueBytes)
    const url = `${via.api}/v1/kv/churn-${number % keys}`
    const status = await this.#send(url, isDelete ? undefined : Buffer.alloc(length, number))
    if (status === 200) {
      this.count++
      this.bytes += length
    }
  }

  /** The status; 0 when there was no answer. */
  #send(url: string, body: Buffer | undefined): Promise<number> {
    const method = body === undefined ? 'DELETE' : 'PUT'
    return new Promise((resolve) => {
      const call = httpRequest(url, { method, agent: this.#agent }, (response) => {
        response.resume()
        response.once('end', () => resolve(response.statusCode ?? 0))
        response.once('error', () => resolve(0))
      })
      call.on('error', () => resolve(0))
      call.end(body)
    })
  }
}
