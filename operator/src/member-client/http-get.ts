// GET requests to members over kept-alive connections: one exchange, or the head of a long answer. Says why a member is
// silent instead of throwing.

import http, { type IncomingMessage } from 'node:http'
import type { MemberAnswer } from './member-client.ts'

type Silence = Extract<MemberAnswer, { kind: 'silent' }>

/** Sockets that stay open between two looks at a member; the steady poll comes every ten seconds. */
const IDLE_SOCKET_MS = 30_000
const IDLE_SOCKETS_MAX = 512
const SOCKETS_PER_MEMBER_MAX = 2

export function memberAgent(): http.Agent {
  return new http.Agent({
    keepAlive: true,
    maxSockets: SOCKETS_PER_MEMBER_MAX,
    maxFreeSockets: IDLE_SOCKETS_MAX,
    timeout: IDLE_SOCKET_MS,
  })
}

/** The head of the answer, whose body the caller reads or destroys. Rejects with the system's error. */
export function openGet(
  url: URL,
  options: {
    readonly agent: http.Agent | false
    readonly accept: string
    readonly signal: AbortSignal
  },
): Promise<IncomingMessage> {
  const { agent, accept, signal } = options
  return new Promise((resolve, reject) => {
    const headers = { accept, 'user-agent': 'raftbase-operator' }
    const sent = http.get(url, { agent, headers, signal }, resolve)
    sent.once('error', reject)
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
