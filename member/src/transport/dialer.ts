// One attempt to open a peer link: connect to a peer URL, send the HTTP/1.1 Upgrade with our identity, check the identity
// of whoever answers. Ends exactly once, with an open socket or with the reason.

import { Buffer } from 'node:buffer'
import type { TimerHandle, Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import { refusalOf } from '../../../lib/tls/judge.ts'
import type { MemberId } from '../raft/types.ts'
import {
  helloFields,
  judgeWelcome,
  type KnownMembers,
  PEER_PATH,
  UPGRADE_TOKEN,
} from './handshake.ts'
import type { PeerIdentity } from './options.ts'
import { decodeProblem, PROBLEM_BYTES_MAX, problemError } from './problem.ts'
import { type ClientRequest, type IncomingMessage, requestOn, type Socket } from './socket.ts'

export interface DialOptions {
  readonly url: string
  readonly to: MemberId
  readonly self: PeerIdentity
  readonly known: KnownMembers
  /** Starts to connect; throws for a URL it cannot serve. */
  readonly connect: (url: URL) => Socket
  readonly timers: Timers
  readonly timeoutMs: number
  readonly onOpen: (opened: OpenedLink) => void
  /** PEER_UNREACHABLE with the system's error as cause, or what the peer, or we, found wrong with the identity. */
  readonly onFailed: (error: RaftbaseError) => void
}

export interface OpenedLink {
  readonly socket: Socket
  /** Bytes that came right behind the answer. */
  readonly head: Buffer
  readonly identity: PeerIdentity
}

export class Dial {
  readonly #options: DialOptions
  readonly #timer: TimerHandle
  #request: ClientRequest | undefined
  #socket: Socket | undefined
  #ended = false

  /** Starts at once; calls back later, never from here. */
  constructor(options: DialOptions) {
    this.#options = options
    this.#timer = options.timers.after(options.timeoutMs, () => this.#fail('timeout', undefined))
    try {
      this.#start()
    } catch (error) {
      queueMicrotask(() => this.#fail('url', error))
    }
  }

  /** Gives up; no callback follows. */
  cancel(): void {
    if (this.#ended) return
    this.#end()
    this.#destroy()
  }

  #start(): void {
    const { url, self, to, connect } = this.#options
    const parsed = new URL(url)
    const socket = connect(parsed)
    this.#socket = socket
    const fields = helloFields(self, to)
    const headers = { ...fields, Connection: 'Upgrade', Upgrade: UPGRADE_TOKEN }
    const request = requestOn(socket, { url: parsed, method: 'GET', path: PEER_PATH, headers })
    this.#request = request
    request.on('error', (error) => this.#fail('connection', error))
    request.on('response', (response) => this.#readRefusal(response))
    request.on('upgrade', (response, upgraded, head) => {
      this.#welcome(response, upgraded, head)
    })
    request.end()
  }

  #welcome(response: IncomingMessage, socket: Socket, head: Buffer): void {
    if (this.#ended) {
      socket.destroy()
      return
    }
    this.#socket = socket
    const { self, to, known, url, onOpen } = this.#options
    if (response.headers.upgrade !== UPGRADE_TOKEN) {
      this.#fail('protocol', undefined)
      return
    }
    const judged = judgeWelcome(self, response.headers, { member: to, known })
    if (!judged.accepted) {
      const { code, reason, detail, expected, got } = judged.refusal
      const initialCluster = judged.identity?.initialCluster
      const details = { url, reason, detail, expected, got, initialCluster }
      this.#failWith(new RaftbaseError(code, 'peer is not the one that was meant', { details }))
      return
    }
    this.#end()
    onOpen({ socket, head, identity: judged.identity })
  }

  #readRefusal(response: IncomingMessage): void {
    const chunks: Buffer[] = []
    let bytes = 0
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= PROBLEM_BYTES_MAX) chunks.push(chunk)
      else this.#fail('answerTooLarge', undefined)
    })
    response.on('error', (error) => this.#fail('connection', error))
    response.on('end', () => {
      const problem = decodeProblem(response.statusCode ?? 0, Buffer.concat(chunks))
      this.#failWith(problemError(problem, { url: this.#options.url }))
    })
  }

  #fail(reason: string, cause: unknown): void {
    const { url } = this.#options
    const refusal = refusalOf(cause)
    if (refusal !== undefined) {
      const details = { url, ...refusal }
      this.#failWith(new RaftbaseError('CERTIFICATE_REFUSED', 'peer is not trusted', { details }))
      return
    }
    const code = (cause as NodeJS.ErrnoException | undefined)?.code
    const details = { url, reason: code ?? reason }
    const options = cause === undefined ? { details } : { details, cause }
    this.#failWith(new RaftbaseError('PEER_UNREACHABLE', 'peer cannot be reached', options))
  }

  #failWith(error: RaftbaseError): void {
    if (this.#ended) return
    this.#end()
    this.#destroy()
    this.#options.onFailed(error)
  }

  #end(): void {
    this.#ended = true
    this.#timer.cancel()
  }

  #destroy(): void {
    this.#request?.destroy()
    this.#socket?.destroy()
  }
}
