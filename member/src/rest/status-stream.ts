// GET /v1/status/stream: server-sent events. Each event is the whole of what a watcher follows, so that a slow reader
// loses nothing by missing some: what waits for it is the newest one, and never more than that one.

import type { ServerResponse } from 'node:http'
import type { TimerHandle, Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { MemberNode } from '../node/member-node.ts'
import type { StatusEvent } from './contract.ts'

/** Between two comments that show a silent stream alive. */
const HEARTBEAT_MS = 5_000
/** A reader that has taken nothing for so many heartbeats is cut off. */
const BLOCKED_HEARTBEATS_MAX = 3
/** A browser, or a client that goes by the standard, comes back after this time. */
const RETRY_MS = 500

interface Watcher {
  readonly response: ServerResponse
  /** What it has not been sent, because the connection takes no more. */
  pending: string | undefined
  blockedHeartbeats: number
}

export interface StatusStreamsOptions {
  readonly node: MemberNode
  readonly timers: Timers
  /** Streams at the same time. */
  readonly streamsMax: number
}

export class StatusStreams {
  readonly #options: StatusStreamsOptions
  readonly #watchers = new Set<Watcher>()
  #unsubscribe: (() => void) | undefined
  #heartbeat: TimerHandle | undefined
  #number = 0
  #newest = ''
  #isTelling = false

  constructor(options: StatusStreamsOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#watchers.size
  }

  /** Throws OVERLOADED when there are too many. The response belongs to the stream from now on. */
  admit(): (response: ServerResponse) => void {
    const { streamsMax } = this.#options
    if (this.#watchers.size >= streamsMax) {
      throw new RaftbaseError('OVERLOADED', 'too many status streams', {
        details: { reason: `${streamsMax} streams` },
      })
    }
    return (response) => this.#open(response)
  }

  /** Tells every watcher how it is a last time, and ends the streams. */
  close(): void {
    this.#tell()
    for (const { response } of this.#watchers) response.end()
  }

  #open(response: ServerResponse): void {
    const watcher: Watcher = { response, pending: undefined, blockedHeartbeats: 0 }
    this.#watchers.add(watcher)
    response.on('close', () => this.#leave(watcher))
    response.on('drain', () => this.#drain(watcher))
    // 'close' follows and says it all.
    response.on('error', () => {})
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    })
    response.write(`retry: ${RETRY_MS}\n\n`)
    this.#unsubscribe ??= this.#options.node.onChange(() => this.#tellSoon())
    this.#heartbeat ??= this.#options.timers.every(HEARTBEAT_MS, () => this.#beat())
    const data = JSON.stringify(statusEvent(this.#options.node))
    if (data === this.#newest) this.#send(watcher, this.#format(data))
    else this.#tell()
  }

  /** What changes in one turn is one event. */
  #tellSoon(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    this.#options.timers.endOfTurn(() => {
      this.#isTelling = false
      this.#tell()
    })
  }

  #tell(): void {
    if (this.#watchers.size === 0) return
    const data = JSON.stringify(statusEvent(this.#options.node))
    if (data === this.#newest) return
    this.#newest = data
    this.#number++
    const event = this.#format(data)
    for (const watcher of this.#watchers) this.#send(watcher, event)
  }

  #format(data: string): string {
    return `event: status\nid: ${this.#number}\ndata: ${data}\n\n`
  }

  #send(watcher: Watcher, event: string): void {
    if (watcher.response.writableNeedDrain) watcher.pending = event
    else watcher.response.write(event)
  }

  #drain(watcher: Watcher): void {
    watcher.blockedHeartbeats = 0
    const { pending } = watcher
    watcher.pending = undefined
    if (pending !== undefined) this.#send(watcher, pending)
  }

  #beat(): void {
    for (const watcher of this.#watchers) {
      const { response } = watcher
      if (!response.writableNeedDrain) response.write(': heartbeat\n\n')
      else if (++watcher.blockedHeartbeats >= BLOCKED_HEARTBEATS_MAX) response.destroy()
    }
  }

  #leave(watcher: Watcher): void {
    this.#watchers.delete(watcher)
    if (this.#watchers.size > 0) return
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    this.#heartbeat?.cancel()
    this.#heartbeat = undefined
    this.#newest = ''
  }
}

function statusEvent(node: MemberNode): StatusEvent {
  const status = node.status()
  const { clusterId, memberId, leader } = status
  const leaderName = status.members.find(({ id }) => id === leader)?.name
  return {
    name: status.name,
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(memberId === undefined ? {} : { memberId }),
    state: status.state,
    startupPhase: status.startupPhase,
    dataDirectory: status.dataDirectory.state,
    ready: node.isReady(),
    ...(status.isLogRead ? { role: status.role, term: status.term } : {}),
    ...(leader === undefined ? {} : { leader }),
    ...(leaderName === undefined ? {} : { leaderName }),
    ...(status.isLogRead ? { membershipEpoch: status.membershipEpoch } : {}),
  }
}
