// Transports of several members in one process, without sockets: for benchmarks, driver tests and the simulator. Keeps the
// promises of the Transport interface: asynchronous, in order, at most once. When something is delivered is decided by an
// injected scheduler; what is lost, by the cuts and the filter of the network.

import { RaftbaseError } from '../../lib/errors.ts'
import type { PeerMessage } from '../../member/src/raft/message.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import type {
  NodeMessage,
  PeerAddress,
  PeerConnectionStatus,
  Transport,
  TransportHandler,
} from '../../member/src/transport/transport.ts'
import {
  decodeNodeMessage,
  decodePeerMessage,
  encodeNodeMessage,
  encodePeerMessage,
} from '../../member/src/wire/raft-codec.ts'

export interface MemoryNetworkOptions {
  /** Runs `deliver` later, never from inside; called once for each batch of a link. Order among links is its choice. */
  readonly schedule: (deliver: () => void, link: { from: MemberId; to: MemberId }) => void
  /** Clock.monotonicMs, for `lastHeardMs`. */
  readonly nowMs: () => number
  /** Whether messages pass through the codec, as on a socket, or are handed over as they are. */
  readonly encoded: boolean
  /** Messages that may wait on one link; more are dropped. */
  readonly queueCountMax?: number
}

/** Says whether a message is lost. */
export type LossFilter = (
  message: PeerMessage | NodeMessage,
  from: MemberId,
  to: MemberId,
) => boolean

const QUEUE_COUNT_MAX = 16_384

/** The wires between members. One per cluster. */
export class MemoryNetwork {
  readonly #options: MemoryNetworkOptions
  readonly #members = new Map<MemberId, MemoryTransport>()
  readonly #cuts = new Set<string>()
  #isLost: LossFilter = () => false
  /** Messages lost to cuts, the filter and full queues. */
  lostCount = 0

  constructor(options: MemoryNetworkOptions) {
    this.#options = options
  }

  /** The transport of a member; a second one for the same id takes its place, as after a restart. */
  transport(id: MemberId): MemoryTransport {
    return new MemoryTransport(id, this, this.#options)
  }

  /** From now on what `from` sends does not reach `to`; nobody is told, as with a vanished host. */
  cut(from: MemberId, to: MemberId): void {
    this.#cuts.add(`${from} ${to}`)
  }

  heal(from: MemberId, to: MemberId): void {
    this.#cuts.delete(`${from} ${to}`)
  }

  /** Cuts both directions to and from every other member. */
  isolate(id: MemberId): void {
    for (const other of this.#members.keys()) {
      if (other === id) continue
      this.cut(id, other)
      this.cut(other, id)
    }
  }

  healAll(): void {
    this.#cuts.clear()
  }

  /** Loses what `isLost` says, beside what the cuts lose. */
  lose(isLost: LossFilter): void {
    this.#isLost = isLost
  }

  isCut(from: MemberId, to: MemberId): boolean {
    return this.#cuts.has(`${from} ${to}`)
  }

  /** @internal The running transport of `id`. */
  find(id: MemberId): MemoryTransport | undefined {
    return this.#members.get(id)
  }

  /** @internal */
  join(transport: MemoryTransport): void {
    this.#members.set(transport.id, transport)
    this.review()
  }

  /** @internal */
  leave(transport: MemoryTransport): void {
    if (this.#members.get(transport.id) === transport) this.#members.delete(transport.id)
    this.review()
  }

  /** @internal Tells every member which peers came and went. */
  review(): void {
    for (const member of this.#members.values()) member.review()
  }

  /** @internal Whether a message is lost on its way. */
  maybeLose(message: PeerMessage | NodeMessage, from: MemberId, to: MemberId): boolean {
    if (!this.isCut(from, to) && !this.#isLost(message, from, to)) return false
    this.lostCount++
    return true
  }
}

type Parcel =
  | { readonly kind: 'raft'; readonly body: PeerMessage | Uint8Array }
  | { readonly kind: 'node'; readonly body: NodeMessage | Uint8Array }

/** What waits to be delivered to one peer. */
interface Outbox {
  parcels: Parcel[]
  scheduled: boolean
}

export class MemoryTransport implements Transport {
  readonly id: MemberId
  readonly #network: MemoryNetwork
  readonly #options: MemoryNetworkOptions
  readonly #outboxes = new Map<MemberId, Outbox>()
  readonly #lastHeardMs = new Map<MemberId, number>()
  #peers = new Map<MemberId, PeerAddress>()
  /** Peers that the handler was told are up. */
  readonly #up = new Set<MemberId>()
  #reviewing = false
  #receiving = false
  #handler: TransportHandler | undefined

  constructor(id: MemberId, network: MemoryNetwork, options: MemoryNetworkOptions) {
    this.id = id
    this.#network = network
    this.#options = options
  }

  async start(handler: TransportHandler): Promise<void> {
    this.#handler = handler
    this.#network.join(this)
  }

  /** What waits is delivered; peers are told that this one is gone. */
  async stop(): Promise<void> {
    this.#handler = undefined
    this.#network.leave(this)
  }

  /** As a killed process: what has not been delivered is lost. */
  crash(): void {
    this.#outboxes.clear()
    this.#handler = undefined
    this.#network.leave(this)
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers = new Map(peers.map((peer) => [peer.id, peer]))
    this.#network.review()
  }

  send(messages: readonly PeerMessage[]): void {
    for (const message of messages) {
      if (!this.#isConnected(message.to)) continue
      if (this.#network.maybeLose(message, this.id, message.to)) continue
      const body = this.#options.encoded ? encodePeerMessage(message) : message
      this.#post(message.to, { kind: 'raft', body })
    }
  }

  sendToNode(to: MemberId, message: NodeMessage): boolean {
    if (!this.#isConnected(to)) return false
    // Lost on the way, which the sender of a real message does not learn either.
    if (this.#network.maybeLose(message, this.id, to)) return true
    const body = this.#options.encoded ? encodeNodeMessage(message) : message
    return this.#post(to, { kind: 'node', body })
  }

  async sendSnapshot(
    to: MemberId,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const peer = this.#network.find(to)
    if (peer === undefined || !this.#isConnected(to) || this.#isCutOff(to)) {
      throw new RaftbaseError('PEER_UNREACHABLE', 'no such peer', { details: { peer: to } })
    }
    signal.throwIfAborted()
    await peer.#receiveSnapshot(this.id, this.#stream(to, chunks, signal))
    if (this.#isCutOff(to)) {
      throw new RaftbaseError('PEER_UNREACHABLE', 'snapshot was not answered')
    }
  }

  peerStatus(peer: MemberId): PeerConnectionStatus {
    return { connected: this.#up.has(peer), lastHeardMs: this.#lastHeardMs.get(peer) }
  }

  /** @internal Schedules the callbacks for peers that came or went. */
  review(): void {
    if (this.#reviewing) return
    this.#reviewing = true
    this.#options.schedule(
      () => {
        this.#reviewing = false
        this.#tellChanges()
      },
      { from: this.id, to: this.id },
    )
  }

  #tellChanges(): void {
    for (const id of this.#up) {
      if (this.#isConnected(id)) continue
      this.#up.delete(id)
      this.#outboxes.delete(id)
      // One that was removed from the set is not lost.
      if (this.#peers.has(id)) this.#handler?.onPeerDown(id)
    }
    for (const id of this.#peers.keys()) {
      if (this.#up.has(id) || !this.#isConnected(id)) continue
      this.#up.add(id)
      this.#handler?.onPeerUp(id)
    }
  }

  /** Both run and know each other. */
  #isConnected(peer: MemberId): boolean {
    if (this.#handler === undefined || !this.#peers.has(peer)) return false
    const other = this.#network.find(peer)
    return other !== undefined && other.#peers.has(this.id)
  }

  #isCutOff(peer: MemberId): boolean {
    return this.#network.isCut(this.id, peer) || this.#network.isCut(peer, this.id)
  }

  #post(to: MemberId, parcel: Parcel): boolean {
    let outbox = this.#outboxes.get(to)
    if (outbox === undefined) {
      outbox = { parcels: [], scheduled: false }
      this.#outboxes.set(to, outbox)
    }
    if (outbox.parcels.length >= (this.#options.queueCountMax ?? QUEUE_COUNT_MAX)) {
      this.#network.lostCount++
      return false
    }
    outbox.parcels.push(parcel)
    if (outbox.scheduled) return true
    outbox.scheduled = true
    this.#options.schedule(() => this.#deliver(to, outbox), { from: this.id, to })
    return true
  }

  #deliver(to: MemberId, outbox: Outbox): void {
    const { parcels } = outbox
    outbox.parcels = []
    outbox.scheduled = false
    // The process that sent them was killed.
    if (this.#outboxes.get(to) !== outbox) return
    const peer = this.#network.find(to)
    if (peer === undefined) return
    for (const parcel of parcels) peer.#receive(this.id, parcel)
  }

  #receive(from: MemberId, parcel: Parcel): void {
    if (!this.#peers.has(from)) return
    this.#lastHeardMs.set(from, this.#options.nowMs())
    const { kind, body } = parcel
    if (kind === 'raft') {
      const addresses = { from, to: this.id }
      const message =
        body instanceof Uint8Array ? decodePeerMessage(body, addresses) : { ...body, ...addresses }
      this.#handler?.onMessage(message)
    } else {
      const message = body instanceof Uint8Array ? decodeNodeMessage(body) : body
      this.#handler?.onNodeMessage(from, message)
    }
  }

  async #receiveSnapshot(from: MemberId, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const handler = this.#handler
    if (handler === undefined || this.#receiving) {
      throw new RaftbaseError('SNAPSHOT_REFUSED', 'another snapshot is arriving')
    }
    this.#receiving = true
    try {
      await handler.onSnapshot(from, chunks)
    } finally {
      this.#receiving = false
    }
  }

  /** The chunks, until the signal or a cut ends them. */
  async *#stream(
    to: MemberId,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      signal.throwIfAborted()
      if (this.#isCutOff(to) || this.#handler === undefined) {
        throw new RaftbaseError('PEER_UNREACHABLE', 'snapshot ended early')
      }
      yield this.#options.encoded ? chunk.slice() : chunk
    }
  }
}
