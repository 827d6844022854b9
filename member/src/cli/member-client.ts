// Asks members over their REST API. On node:http, because the built-in fetch costs a command more to load than everything
// else it does.

import { Agent, get, type IncomingMessage } from 'node:http'
import type { Nodes, Status } from '../rest/contract.ts'

const ANSWER_BYTES_MAX = 1024 * 1024

export class MemberClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 })
  readonly #timeoutMs: number

  constructor(options: { readonly timeoutMs: number }) {
    this.#timeoutMs = options.timeoutMs
  }

  /** What this member says about itself. Rejects when it does not answer in time or not as a member does. */
  async status(apiUrl: string): Promise<Status> {
    const answer = await this.#getJson(new URL('/v1/status', apiUrl))
    if (!isRecord(answer) || typeof answer['memberId'] !== 'string') throw notAMember(apiUrl)
    return answer as Status
  }

  /** Every member as this one sees it. Rejects as {@link status}. */
  async nodes(apiUrl: string): Promise<Nodes['nodes']> {
    const answer = await this.#getJson(new URL('/cluster/nodes', apiUrl))
    if (!isRecord(answer) || !Array.isArray(answer['nodes'])) throw notAMember(apiUrl)
    return answer['nodes'] as Nodes['nodes']
  }

  close(): void {
    this.#agent.destroy()
  }

  async #getJson(url: URL): Promise<unknown> {
    const signal = AbortSignal.timeout(this.#timeoutMs)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get(url, { agent: this.#agent, signal }, resolve).once('error', reject)
    })
    const text = await readText(response)
    if (response.statusCode !== 200) throw new Error(`answered with status ${response.statusCode}`)
    return JSON.parse(text)
  }
}

/** Why a request failed, in a few words for one line. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return 'no answer in time'
  if ('code' in error && error.code === 'ECONNREFUSED') return 'connection refused'
  if ('code' in error && error.code === 'ENOTFOUND') return 'no such host'
  return error.message === '' && 'code' in error ? String(error.code) : error.message
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX) throw new Error('the answer is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function notAMember(apiUrl: string): Error {
  return new Error(`${apiUrl} does not answer as a member does`)
}
