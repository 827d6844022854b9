// GET requests to members over kept-alive connections: one exchange, or the head of a long answer. Says why a member is
// silent instead of throwing.

import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { MemberAnswer } from './member-client.ts'
import type { MemberTrust } from './trust.ts'

type Silence = Extract<MemberAnswer, { kind: 'silent' }>

/** Sockets that stay open between two looks at a member; the steady poll comes every ten seconds. */
const IDLE_SOCKET_MS = 30_000
const IDLE_SOCKETS_MAX = 512
const SOCKETS_PER_MEMBER_MAX = 2

/** Connections that are kept, to members with and without TLS. */
export interface MemberAgents {
  readonly plain: http.Agent
  readonly secure: https.Agent
}

export function memberAgents(): MemberAgents {
  const options = {
    keepAlive: true,
    maxSockets: SOCKETS_PER_MEMBER_MAX,
    maxFreeSockets: IDLE_SOCKETS_MAX,
    timeout: IDLE_SOCKET_MS,
  }
  return { plain: new http.Agent(options), secure: new https.Agent(options) }
}

export function closeAgents({ plain, secure }: MemberAgents): void {
  plain.destroy()
  secure.destroy()
}

/** A request on the right kind of connection. Throws for an https URL of which `trust` knows nothing. */
export function startRequest(
  url: URL,
  options: {
    readonly method: string
    readonly headers: http.OutgoingHttpHeaders
    readonly agents: MemberAgents | false
    readonly trust: MemberTrust
    readonly signal: AbortSignal
  },
  onAnswer: (answer: IncomingMessage) => void,
): http.ClientRequest {
  const { method, headers, agents, trust, signal } = options
  const common = { method, headers, signal }
  if (url.protocol !== 'https:') {
    return http.request(
      url,
      { ...common, agent: agents === false ? false : agents.plain },
      onAnswer,
    )
  }
  const agent = agents === false ? false : agents.secure
  return https.request(url, { ...common, ...trust.of(url), agent }, onAnswer)
}

/** The head of the answer, whose body the caller reads or destroys. Rejects with the system's error. */
export function openGet(
  url: URL,
  options: {
    readonly agents: MemberAgents | false
    readonly trust: MemberTrust
    readonly accept: string
    readonly signal: AbortSignal
  },
): Promise<IncomingMessage> {
  const { accept } = options
  return new Promise((resolve, reject) => {
    const headers = { accept, 'user-agent': 'raftbase-operator' }
    const sent = startRequest(url, { ...options, method: 'GET', headers }, resolve)
    sent.once('error', reject)
    sent.end()
  })
}

/** The body as text, or undefined when it is longer than `bytesMax`. */
export async function readText(
  answer: IncomingMessage,
  bytesMax: number,
): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > bytesMax) {
      answer.destroy()
      return undefined
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Why there was no answer. */
export function silenceOf(error: unknown, hasTimedOut: boolean): Silence {
  const code =
    typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown'
  if (hasTimedOut) return { kind: 'silent', reason: 'timeout', detail: 'no answer in time' }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return { kind: 'silent', reason: 'unresolved', detail: code }
  }
  if (code === 'ECONNREFUSED') return { kind: 'silent', reason: 'refused', detail: code }
  return { kind: 'silent', reason: 'failed', detail: code }
}
