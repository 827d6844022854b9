// One member's end of the simulated network: the Transport interface over SimNetwork, with snapshot streams that advance
// piece by piece, can be cut anywhere, and end when either process does.

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
  type Fields,
  helloFields,
  type Judgement,
  judgeHello,
  type KnownMembers,
} from '../../member/src/transport/handshake.ts'
import { DEFAULT_TRANSPORT_LIMITS, type PeerIdentity } from '../../member/src/transport/options.ts'
import { encodeNodeMessage, encodePeerMessage } from '../../member/src/wire/raft-codec.ts'
import type { Endpoint, SimNetwork, Stream } from './network.ts'
import type { SimProcess } from './process.ts'
import { SnapshotStream } from './snapshot-stream.ts'

export class SimTransport implements Transport, Endpoint {
  readonly id: MemberId
  readonly process: SimProcess
  readonly #network: SimNetwork
  readonly #peers = new Set<MemberId>()
  /** Where the membership says that peers are reached, and where those who called said it themselves. */
  readonly #addresses = new Map<MemberId, readonly string[]>()
  readonly #stated = new Map<MemberId, readonly string[]>()
  /** Callers of this cluster that this member has not heard of (transport/guests.ts); they are peers meanwhile. */
  readonly #guests = new Set<MemberId>()
  readonly #lastHeardMs = new Map<MemberId, number>()
  readonly #streams = new Set<Stream>()
  readonly #self: PeerIdentity
  readonly #known: KnownMembers
  readonly #isRemoved: (peer: MemberId) => boolean
  readonly #onRemoved: () => void
  #handler: TransportHandler | undefined

  constructor(options: {
    self: PeerIdentity
    process: SimProcess
    network: SimNetwork
    isOneOfOurs: (identity: PeerIdentity) => boolean
    /** Whether this member knows that one to be removed. */
    isRemoved: (peer: MemberId) => boolean
    /** A peer says that this member is removed. */
    onRemoved: () => void
  }) {
    this.id = options.self.memberId
    this.#self = options.self
    this.#known = {
      isPeer: (peer) => this.#peers.has(peer),
      admits: (stranger) =>
        this.#guests.size < DEFAULT_TRANSPORT_LIMITS.maxGuests && options.isOneOfOurs(stranger),
      isRemoved: options.isRemoved,
      peerUrlsOf: () => undefined,
      incarnationOf: () => undefined,
    }
    this.#isRemoved = options.isRemoved
    this.#onRemoved = options.onRemoved
    this.process = options.process
    this.#network = options.network
  }

  async start(handler: TransportHandler): Promise<void> {
    this.#handler = handler
    this.#network.join(this)
  }

  async stop(): Promise<void> {
    this.#handler = undefined
    this.#network.leave(this, true)
  }

  /** The process was killed; `isNoticed`: its system lives on and says so. */
  vanish(isNoticed: boolean): void {
    this.#handler = undefined
    this.#network.leave(this, isNoticed)
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers.clear()
    for (const { id, peerUrls } of peers) {
      this.#peers.add(id)
      this.#addresses.set(id, peerUrls)
    }
    for (const guest of this.#guests) {
      if (this.#peers.has(guest) || this.#isRemoved(guest)) this.#guests.delete(guest)
      else this.#peers.add(guest)
    }
    if (this.#handler !== undefined) this.#network.review(this)
  }

  send(messages: readonly PeerMessage[]): void {
    if (!this.#isRunning) return
    for (const message of messages) {
      const { to } = message
      if (!this.#peers.has(to) || !this.#network.isUp(this.id, to)) continue
      const bytes = encodePeerMessage(message)
      this.#network.send({ kind: 'raft', from: this.id, to, bytes })
    }
  }

  sendToNode(to: MemberId, message: NodeMessage): boolean {
    if (!this.#isRunning || !this.#peers.has(to) || !this.#network.isUp(this.id, to)) return false
    this.#network.send({ kind: 'node', from: this.id, to, bytes: encodeNodeMessage(message) })
    return true
  }

  async sendSnapshot(
    to: MemberId,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const target = this.#network.find(to)
    if (target?.process.isPaused === true || !this.#network.isOpen(this.id, to)) {
      throw new RaftbaseError('PEER_UNREACHABLE', 'no connection', { details: { peer: to } })
    }
    const stream = new SnapshotStream({
      network: this.#network,
      from: this,
      to: target!,
    })
    await stream.send(chunks, signal)
  }

  peerStatus(peer: MemberId): PeerConnectionStatus {
    const connected = this.#peers.has(peer) && this.#network.isUp(this.id, peer)
    return { connected, lastHeardMs: this.#lastHeardMs.get(peer) }
  }

  // For the network

  knows(peer: MemberId): boolean {
    return this.#peers.has(peer)
  }

  get urls(): readonly string[] {
    return this.#self.peerUrls ?? []
  }

  reaches(peer: MemberId, urls: readonly string[]): boolean {
    const known = [...(this.#addresses.get(peer) ?? []), ...(this.#stated.get(peer) ?? [])]
    return urls.some((url) => known.includes(url))
  }

  heardFrom(peer: MemberId, urls: readonly string[]): void {
    this.#stated.set(peer, urls)
  }

  hello(to: MemberId): Fields {
    const fields = Object.entries(helloFields(this.#self, to))
    return Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value]))
  }

  judge(hello: Fields): Judgement {
    return judgeHello(this.#self, hello, this.#known)
  }

  admit(peer: MemberId): void {
    if (this.#peers.has(peer)) return
    this.#guests.add(peer)
    this.#peers.add(peer)
  }

  refused(): void {
    if (this.#isRunning) this.#onRemoved()
  }

  receive(from: MemberId, message: PeerMessage): void {
    if (this.#hears(from)) this.#handler?.onMessage(message)
  }

  receiveNode(from: MemberId, message: NodeMessage): void {
    if (this.#hears(from)) this.#handler?.onNodeMessage(from, message)
  }

  receiveSnapshot(from: MemberId, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#handler === undefined || !this.#peers.has(from)) {
      return Promise.reject(new RaftbaseError('SNAPSHOT_REFUSED', 'not a peer'))
    }
    return this.#handler.onSnapshot(from, chunks)
  }

  peerUp(peer: MemberId): void {
    if (this.#isRunning && this.#peers.has(peer)) this.#handler?.onPeerUp(peer)
  }

  peerDown(peer: MemberId): void {
    if (this.#isRunning && this.#peers.has(peer)) this.#handler?.onPeerDown(peer)
    if (this.#guests.delete(peer)) this.#peers.delete(peer)
  }

  openStream(stream: Stream): void {
    this.#streams.add(stream)
  }

  closeStream(stream: Stream): void {
    this.#streams.delete(stream)
  }

  endStreams(peer: MemberId): void {
    for (const stream of this.#streams) if (stream.involves(peer)) stream.break()
  }

  get #isRunning(): boolean {
    return this.#handler !== undefined && this.process.isAlive
  }

  #hears(from: MemberId): boolean {
    if (!this.#isRunning || !this.#peers.has(from)) return false
    this.#lastHeardMs.set(from, this.process.monotonicMs())
    this.#network.onHeard(from, this.id)
    return true
  }
}
