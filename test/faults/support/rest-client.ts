// One operation through the REST API, with its outcome as honest as the API is: done, certainly not done, or unknown.

import { Agent, type IncomingMessage, request as httpRequest } from 'node:http'
import type { Outcome, Request } from '../../sim/checkers/history.ts'

/** Longer than any deadline that the member keeps. */
const CLIENT_TIMEOUT_MS = 15_000

export class RestClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 512 })

  /** Never rejects. */
  run(api: string, request: Request, timeoutMs: number): Promise<Outcome> {
    return new Promise((resolve) => {
      const { method, query } = lineOf(request)
      const url = `${api}/v1/kv/${encodeURIComponent(request.key)}?timeout=${timeoutMs}ms${query}`
      const call = httpRequest(url, { method, agent: this.#agent }, (response) => {
        readBody(response).then(
          (body) => resolve(outcomeOf(request, response, body)),
          (error: unknown) => resolve(unknown(error)),
        )
      })
      call.setTimeout(CLIENT_TIMEOUT_MS, () => call.destroy(new Error('no answer in time')))
      call.on('error', (error: NodeJS.ErrnoException) => {
        // Refused: it was certainly not sent. Anything else may have reached the member.
        if (error.code === 'ECONNREFUSED') resolve({ type: 'failed', detail: error.code })
        else resolve(unknown(error))
      })
      call.end(request.type === 'put' ? request.value : undefined)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

function lineOf(request: Request): { method: string; query: string } {
  if (request.type === 'put') return { method: 'PUT', query: '' }
  if (request.type === 'delete') return { method: 'DELETE', query: '' }
  const query = request.serializable === true ? '&consistency=serializable' : ''
  return { method: 'GET', query }
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

function unknown(error: unknown): Outcome {
  return { type: 'unknown', detail: String(error) }
}

interface Problem {
  readonly code?: string
  readonly outcome?: string
}

function outcomeOf(request: Request, response: IncomingMessage, body: string): Outcome {
  if (response.statusCode === 200) return done(request, response, body)
  const problem = parseProblem(body)
  const detail = `${response.statusCode} ${problem.code ?? body.slice(0, 80)}`
  if (request.type === 'get') {
    return problem.code === 'NOT_FOUND'
      ? {
          type: 'done',
          response: { type: 'get', revision: number(response, 'revision'), kv: undefined },
        }
      : { type: 'failed', detail }
  }
  return { type: problem.outcome === 'notApplied' ? 'failed' : 'unknown', detail }
}

function done(request: Request, response: IncomingMessage, body: string): Outcome {
  if (request.type === 'get') {
    const kv = {
      value: body,
      createRevision: number(response, 'create-revision'),
      modRevision: number(response, 'mod-revision'),
      version: number(response, 'version'),
    }
    return { type: 'done', response: { type: 'get', revision: number(response, 'revision'), kv } }
  }
  const result = JSON.parse(body) as Record<string, number>
  const revision = result['revision']!
  if (request.type === 'delete')
    return { type: 'done', response: { type: 'delete', revision, deleted: result['deleted']! } }
  const { version, createRevision } = result as { version: number; createRevision: number }
  return { type: 'done', response: { type: 'put', revision, version, createRevision } }
}

function parseProblem(body: string): Problem {
  try {
    return JSON.parse(body) as Problem
  } catch {
    return {} // Not a problem document: its text is kept as the detail.
  }
}

function number(response: IncomingMessage, name: string): number {
  return Number(response.headers[`raftbase-${name}`])
}
