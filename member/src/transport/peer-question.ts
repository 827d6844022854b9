// The question a member with a blank disk asks before it makes a cluster: do you know me? One HTTP request on a peer URL,
// outside of any link, because whoever asks has no membership yet.

import { Buffer } from 'node:buffer'
import type { Timers } from '../../../lib/clock.ts'
import type { MemberId } from '../raft/types.ts'
import { type PeerNetwork, requestOn, type ServerResponse } from './socket.ts'

export const QUESTION_PATH = '/raftbase/member'
const ANSWER_BYTES_MAX = 4096

export interface PeerAnswer {
  readonly clusterId: string
  readonly memberId: MemberId
  readonly name: string
  /** It has evidence that the member asked about once took part in this cluster. */
  readonly takenPart: boolean
}

/** The member asked about; undefined when the target is not this question. */
export function questionOf(target: string): MemberId | undefined {
  const match = /^\/raftbase\/member\?id=([0-9a-f]{16})$/.exec(target)
  return match === null ? undefined : (match[1] as MemberId)
}

export function sendAnswer(response: ServerResponse, answer: PeerAnswer): void {
  const body = Buffer.from(JSON.stringify(answer))
  response.writeHead(200, {
    Connection: 'close',
    'Content-Type': 'application/json',
    'Content-Length': body.length,
  })
  response.end(body)
}

/** Undefined when nobody answers there in time, or not as a member: not resolved, refused, silent. Never rejects. */
export function askPeer(options: {
  readonly url: string
  readonly about: MemberId
  readonly network: PeerNetwork
  readonly timers: Timers
  readonly timeoutMs: number
}): Promise<PeerAnswer | undefined> {
  const { url, about, network, timers, timeoutMs } = options
  return new Promise((resolve) => {
    const parsed = new URL(url)
    const socket = network.connect(parsed)
    const end = (answer: PeerAnswer | undefined): void => {
      timer.cancel()
      socket.destroy()
      resolve(answer)
    }
    const timer = timers.after(timeoutMs, () => end(undefined))
    const path = `${QUESTION_PATH}?id=${about}`
    const headers = { Connection: 'close' }
    const request = requestOn(socket, { url: parsed, method: 'GET', path, headers })
    socket.on('error', () => end(undefined))
    request.on('error', () => end(undefined))
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > ANSWER_BYTES_MAX) end(undefined)
        else chunks.push(chunk)
      })
      response.on('error', () => end(undefined))
      response.on('end', () => {
        end(response.statusCode === 200 ? readAnswer(Buffer.concat(chunks)) : undefined)
      })
    })
    request.end()
  })
}

function readAnswer(bytes: Buffer): PeerAnswer | undefined {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    // Not a member of ours.
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { clusterId, memberId, name, takenPart } = value as Record<string, unknown>
  if (!isId(clusterId) || !isId(memberId) || typeof name !== 'string') return undefined
  if (typeof takenPart !== 'boolean') return undefined
  return { clusterId, memberId: memberId as MemberId, name: name.slice(0, 64), takenPart }
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)
}
