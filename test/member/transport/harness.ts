// Real transports on loopback for the tests of this folder: identities, a log that remembers, a handler that records, and
// waiting for a condition with a deadline.

import { afterEach } from 'vitest'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import type { MsgHeartbeat, PeerMessage } from '../../../member/src/raft/message.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import {
  DEFAULT_TRANSPORT_LIMITS,
  type DropReason,
  PEER_PROTOCOL_VERSION,
  type PeerIdentity,
  type TransportLimits,
  type TransportLog,
} from '../../../member/src/transport/options.ts'
import { type ClusterView, PeerTransport } from '../../../member/src/transport/peer-transport.ts'
import { type PeerNetwork, tcpNetwork } from '../../../member/src/transport/socket.ts'
import type {
  NodeMessage,
  PeerAddress,
  TransportHandler,
} from '../../../member/src/transport/transport.ts'
import { CLUSTER_ID, memberId } from './identities.ts'

export { CLUSTER_ID, memberId }

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

export class RecordingLog implements TransportLog {
  readonly lines: LogLine[] = []

  debug(fields: object, message: string): void {
    this.lines.push({ level: 'debug', fields: { ...fields }, message })
  }

  info(fields: object, message: string): void {
    this.lines.push({ level: 'info', fields: { ...fields }, message })
  }

  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', fields: { ...fields }, message })
  }

  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', fields: { ...fields }, message })
  }

  /** The lines a person would look at. */
  get warnings(): LogLine[] {
    return this.lines.filter((line) => line.level === 'warn' || line.level === 'error')
  }
}

export type SnapshotTaker = (from: MemberId, chunks: AsyncIterable<Uint8Array>) => Promise<void>

export class RecordingHandler implements TransportHandler {
  readonly messages: PeerMessage[] = []
  readonly nodeMessages: { readonly from: MemberId; readonly message: NodeMessage }[] = []
  /** `up 2`, `down 2`: the last hex digits of the peer. */
  readonly events: string[] = []
  readonly eventTimesMs: number[] = []
  takeSnapshot: SnapshotTaker = async () => {}

  onMessage(message: PeerMessage): void {
    this.messages.push(message)
  }

  onNodeMessage(from: MemberId, message: NodeMessage): void {
    this.nodeMessages.push({ from, message })
  }

  onPeerUp(peer: MemberId): void {
    this.#event('up', peer)
  }

  onPeerDown(peer: MemberId): void {
    this.#event('down', peer)
  }

  async onSnapshot(from: MemberId, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    await this.takeSnapshot(from, chunks)
  }

  #event(kind: string, peer: MemberId): void {
    this.events.push(`${kind} ${peer.replace(/^0+/, '')}`)
    this.eventTimesMs.push(performance.now())
  }
}

export interface TestMember {
  readonly id: MemberId
  readonly transport: PeerTransport
  readonly handler: RecordingHandler
  readonly log: RecordingLog
  readonly drops: DropReason[]
  readonly refusals: string[]
  /** Frames written so far, of every kind. */
  readonly sentFrames: () => number
  /** `http://127.0.0.1:port` */
  readonly url: string
  readonly port: number
}

export interface MemberOptions {
  readonly number: number
  readonly identity?: Partial<PeerIdentity>
  readonly limits?: Partial<TransportLimits>
  readonly network?: PeerNetwork
  readonly isSecure?: boolean
  readonly port?: number
  readonly isRemoved?: (member: MemberId) => boolean
  readonly hasTakenPart?: (member: MemberId) => boolean
  readonly describeCluster?: () => ClusterView | undefined
  readonly onRemoved?: () => void
  readonly isOneOfOurs?: (identity: PeerIdentity) => boolean
}

const running: PeerTransport[] = []

afterEach(async () => {
  await Promise.all(running.splice(0).map((transport) => transport.stop(200)))
})

/** A started member without peers, stopped after the test. */
export async function startMember(options: MemberOptions): Promise<TestMember> {
  const id = memberId(options.number)
  const handler = new RecordingHandler()
  const log = new RecordingLog()
  const drops: DropReason[] = []
  const refusals: string[] = []
  let sent = 0
  // Known once it listens, which is before it calls anybody.
  const peerUrls: string[] = []
  const transport = new PeerTransport({
    identity: {
      clusterId: CLUSTER_ID,
      memberId: id,
      name: `n${options.number}`,
      incarnation: 1,
      protocolVersion: PEER_PROTOCOL_VERSION,
      peerUrls,
      ...options.identity,
    },
    listen: [{ host: '127.0.0.1', port: options.port ?? 0, isSecure: options.isSecure === true }],
    network: options.network ?? tcpNetwork(),
    clock: systemClock,
    timers: systemTimers,
    prng: new SeededPrng(options.number),
    log,
    limits: { ...DEFAULT_TRANSPORT_LIMITS, ...options.limits },
    metrics: {
      sent: (frames) => {
        sent += frames
      },
      received() {},
      dropped: (reason) => drops.push(reason),
      refused: (code) => refusals.push(code),
      peerUp() {},
      peerDown() {},
    },
    ...(options.isRemoved === undefined ? {} : { isRemoved: options.isRemoved }),
    ...(options.hasTakenPart === undefined ? {} : { hasTakenPart: options.hasTakenPart }),
    ...(options.describeCluster === undefined ? {} : { describeCluster: options.describeCluster }),
    ...(options.onRemoved === undefined ? {} : { onRemoved: options.onRemoved }),
    ...(options.isOneOfOurs === undefined ? {} : { isOneOfOurs: options.isOneOfOurs }),
  })
  running.push(transport)
  await transport.start(handler)
  const { port } = transport.addresses()[0]!
  const url = `${options.isSecure === true ? 'https' : 'http'}://127.0.0.1:${port}`
  peerUrls.push(url)
  return { id, transport, handler, log, drops, refusals, sentFrames: () => sent, url, port }
}

export function addressOf(member: TestMember, url = member.url): PeerAddress {
  return { id: member.id, name: `n${Number.parseInt(member.id, 16)}`, peerUrls: [url] }
}

/** Members 1 to `count` that all know each other, once every pair is up. */
export async function startCluster(
  count: number,
  options: Partial<MemberOptions> = {},
): Promise<TestMember[]> {
  const members: TestMember[] = []
  for (let number = 1; number <= count; number++) {
    members.push(await startMember({ ...options, number }))
  }
  introduce(members)
  await until(() => members.every((m) => m.handler.events.length === count - 1), 'all pairs up')
  return members
}

/** Tells each of the members about all others. */
export function introduce(members: readonly TestMember[]): void {
  for (const member of members) {
    member.transport.setPeers(members.filter((m) => m !== member).map((m) => addressOf(m)))
  }
}

export function heartbeat(ids: { from: MemberId; to: MemberId }, commit: number): MsgHeartbeat {
  return { type: 'MsgHeartbeat', ...ids, term: 1, commit, context: '' }
}

/** Resolves when `condition` holds; rejects after five seconds with `what`. */
export async function until(
  condition: () => boolean,
  what: string,
  deadlineMs = 5000,
): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
