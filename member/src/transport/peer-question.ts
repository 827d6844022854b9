// The questions of a member with a blank disk: before it makes a cluster, do you know me? Before it joins one, who are you? One
// HTTP request on a peer URL, outside of any link, because whoever asks has no membership yet.

import { Buffer } from 'node:buffer'
import type { Timers } from '../../../lib/clock.ts'
import type { MemberId } from '../raft/types.ts'
import { type PeerNetwork, requestOn, type ServerResponse } from './socket.ts'

export const QUESTION_PATH = '/raftbase/member'
export const CLUSTER_PATH = '/raftbase/cluster'
/** Of the longest answer: 32 members with 8 URLs each. */
const ANSWER_BYTES_MAX = 128 * 1024

export interface PeerAnswer {
  readonly clusterId: string
  readonly memberId: MemberId
  readonly name: string
  /** It has evidence that the member asked about once took part in this cluster. */
  readonly takenPart: boolean
}

/** Who belongs to the cluster, as the member that answers has it applied. */
export interface ClusterView {
  /** Index of the newest change: of several answers the highest counts. */
  readonly epoch: number
  readonly members: readonly {
    readonly id: MemberId
    readonly name: string
    readonly role: 'voter' | 'learner'
    readonly peerUrls: readonly string[]
    /** It has told what it is: whoever comes with its id and a blank disk has lost one. */
    readonly hasStarted: boolean
  }[]
}

export interface ClusterAnswer extends ClusterView {
  readonly clusterId: string
}

/** The member asked about; undefined when the target is not this question. */
export function questionOf(target: string): MemberId | undefined {
  const match = /^\/raftbase\/member\?id=([0-9a-f]{16})$/.exec(target)
  return match === null ? undefined : (match[1] as MemberId)
}

export function sendAnswer(response: ServerResponse, answer: PeerAnswer | ClusterAnswer): void {
  const body = Buffer.from(JSON.stringify(answer))
  response.writeHead(200, {
    Connection: 'close',
    'Content-Type': 'application/json',
    'Content-Length': body.length,
  })
  response.end(body)
}

export interface QuestionOptions {
  readonly url: string
  readonly network: PeerNetwork
  readonly timers: Timers
  readonly timeoutMs: number
}

/** Undefined when nobody answers there in time, or not as a member: not resolved, refused, silent. Never rejects. */
export async function askPeer(
  options: QuestionOptions & { readonly about: MemberId },
): Promise<PeerAnswer | undefined> {
  return readAnswer(await get(options, `${QUESTION_PATH}?id=${options.about}`))
}

/** As {@link askPeer}. */
export async function askCluster(options: QuestionOptions): Promise<ClusterAnswer | undefined> {
  return readCluster(await get(options, CLUSTER_PATH))
}

/** What the answer's JSON says, of any kind; undefined without one. */
function get({ url, network, timers, timeoutMs }: QuestionOptions, path: string): Promise<unknown> {
  return new Promise((resolve) => {
    const parsed = new URL(url)
    const socket = network.connect(parsed)
    const end = (answer: unknown): void => {
      timer.cancel()
      socket.destroy()
      resolve(answer)
    }
    const timer = timers.after(timeoutMs, () => end(undefined))
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
        end(response.statusCode === 200 ? parse(Buffer.concat(chunks)) : undefined)
      })
    })
    request.end()
  })
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    // Not a member of ours.
    return undefined
  }
}

function readCluster(value: unknown): ClusterAnswer | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { clusterId, epoch, members } = value as Record<string, unknown>
  if (!isId(clusterId) || !Number.isSafeInteger(epoch) || !Array.isArray(members)) return undefined
  return members.every(isClusterMember) ? { clusterId, epoch: epoch as number, members } : undefined
}

function isClusterMember(value: unknown): value is ClusterView['members'][number] {
  if (typeof value !== 'object' || value === null) return false
  const { id, name, role, peerUrls, hasStarted } = value as Record<string, unknown>
  const hasUrls = Array.isArray(peerUrls) && peerUrls.every((url) => typeof url === 'string')
  if (!isId(id) || typeof name !== 'string' || !hasUrls) return false
  return (role === 'voter' || role === 'learner') && typeof hasStarted === 'boolean'
}

function readAnswer(value: unknown): PeerAnswer | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { clusterId, memberId, name, takenPart } = value as Record<string, unknown>
  if (!isId(clusterId) || !isId(memberId) || typeof name !== 'string') return undefined
  if (typeof takenPart !== 'boolean') return undefined
  return { clusterId, memberId: memberId as MemberId, name: name.slice(0, 64), takenPart }
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)
}
