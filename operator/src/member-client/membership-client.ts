// Asks the leader to change the membership, or to hand its leadership over. Every call names the membership it means, so that
// a stale one is refused; whoever asks has to be the operator that leads at the moment the request leaves. An answer that does
// not come says nothing: the caller looks again.

import type { IncomingMessage } from 'node:http'
import { unreachable } from '../../../lib/assert.ts'
import type { Timers } from '../../../lib/clock.ts'
import { Deadline } from '../deadline.ts'
import {
  closeAgents,
  type MemberAgents,
  memberAgents,
  readText,
  silenceOf,
  startRequest,
} from './http-get.ts'
import type {
  ChangeAnswer,
  ChangeOptions,
  ChangeRequest,
  MembershipCaller,
} from './member-client.ts'
import type { MemberTrust } from './trust.ts'

/** Of the member, for a change and for a confirmed hand-over; ours is longer, so that its answer is heard. */
const MEMBER_TIMEOUT = '5s'
const TIMEOUT_MS = 8000
const ANSWER_BYTES_MAX = 256 * 1024

export interface MembershipClientOptions {
  readonly timers: Timers
  readonly trust: MemberTrust
  /** Throws when this process does not lead: asked right before each request. */
  readonly mustLead: () => void
  readonly timeoutMs?: number | undefined
}

export class MembershipClient implements MembershipCaller {
  readonly #options: MembershipClientOptions
  readonly #agents = memberAgents()

  constructor(options: MembershipClientOptions) {
    this.#options = options
  }

  async change(
    baseUrl: string,
    request: ChangeRequest,
    { expectedEpoch, signal }: ChangeOptions,
  ): Promise<ChangeAnswer> {
    const { timers, timeoutMs = TIMEOUT_MS, mustLead } = this.#options
    const { method, path, body } = requestOf(request)
    const url = new URL(path, baseUrl)
    url.searchParams.set('timeout', MEMBER_TIMEOUT)
    if (request.type !== 'transfer') {
      url.searchParams.set('expectedEpoch', String(expectedEpoch))
    }
    const deadline = new Deadline({ timers, timeoutMs, signal })
    mustLead()
    try {
      const answer = await send(url, {
        method,
        body,
        agents: this.#agents,
        trust: this.#options.trust,
        signal: deadline.signal,
      })
      const text = await readText(answer, ANSWER_BYTES_MAX)
      if (text === undefined) return { kind: 'unknown', detail: 'its answer is too large' }
      return readAnswer(answer.statusCode ?? 0, text)
    } catch (error) {
      if (signal.aborted) throw error
      const { reason, detail } = silenceOf(error, deadline.hasPassed)
      return { kind: 'unknown', detail: `${reason}, ${detail}` }
    } finally {
      deadline.cancel()
    }
  }

  close(): void {
    closeAgents(this.#agents)
  }
}

interface Exchange {
  readonly method: 'POST' | 'DELETE'
  readonly path: string
  readonly body: Readonly<Record<string, unknown>> | undefined
}

function requestOf(request: ChangeRequest): Exchange {
  const members = '/cluster/members'
  switch (request.type) {
    case 'add': {
      const { name, incarnation, peerUrls } = request
      return { method: 'POST', path: members, body: { name, incarnation, peerUrls } }
    }
    case 'promote': {
      const [first, ...together] = request.ids
      const body = together.length === 0 ? {} : { together }
      return { method: 'POST', path: `${members}/${first}/promote`, body }
    }
    case 'remove':
      return { method: 'DELETE', path: `${members}/${request.id}`, body: undefined }
    case 'replace': {
      const path = `${members}/${request.removed}/replace`
      return { method: 'POST', path, body: { by: request.promoted } }
    }
    case 'finalize':
      return { method: 'POST', path: '/cluster/finalize', body: { level: request.level } }
    case 'transfer':
      return { method: 'POST', path: '/cluster/leader', body: { target: request.target } }
    default:
      return unreachable(request)
  }
}

function send(
  url: URL,
  options: Pick<Exchange, 'method' | 'body'> & {
    readonly agents: MemberAgents
    readonly trust: MemberTrust
    readonly signal: AbortSignal
  },
): Promise<IncomingMessage> {
  const { body, ...rest } = options
  const text = body === undefined ? undefined : JSON.stringify(body)
  const headers = {
    accept: 'application/json',
    'user-agent': 'raftbase-operator',
    ...(text === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
  }
  return new Promise((resolve, reject) => {
    const sent = startRequest(url, { ...rest, headers }, resolve)
    sent.once('error', reject)
    sent.end(text)
  })
}

/** Problem documents say whether it may have happened. */
function readAnswer(status: number, text: string): ChangeAnswer {
  if (status >= 200 && status < 300) return { kind: 'done' }
  const problem = parseObject(text)
  const code = textOf(problem, 'code')
  const detail = textOf(problem, 'detail') ?? 'it gave no reason'
  if (code === undefined || textOf(problem, 'outcome') === 'unknown') {
    return { kind: 'unknown', detail: `${code ?? `HTTP ${status}`}: ${detail}` }
  }
  const reason = textOf(problem, 'reason')
  return { kind: 'refused', code, detail, ...(reason === undefined ? {} : { reason }) }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null
      ? (value as Readonly<Record<string, unknown>>)
      : undefined
  } catch {
    // A proxy in between, or a member that is ending: as good as no answer.
    return undefined
  }
}

function textOf(
  problem: Readonly<Record<string, unknown>> | undefined,
  field: string,
): string | undefined {
  const value = problem?.[field]
  return typeof value === 'string' ? value : undefined
}
