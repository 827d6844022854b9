// Peer links over TCP (design decision 7): the facade. Keeps one Peer for each other member, routes what is sent and what
// arrives, and owns start and stop. Promises at most one delivery of each message, in the order sent on a connection.

import type { TimerHandle } from '../../../lib/clock.ts'
import { RaftbaseError, hasCode } from '../../../lib/errors.ts'
import { invariant } from '../../../lib/assert.ts'
import type { MsgApp, PeerMessage } from '../raft/message.ts'
import type { MemberId } from '../raft/types.ts'
import { decodeNodeMessage, encodeNodeMessage } from '../wire/node-codec.ts'
import { decodePeerMessage, encodePeerMessage } from '../wire/raft-codec.ts'
import type { OpenedLink } from './dialer.ts'
import { FRAME_TYPE, type Frame, frameOf } from './frame.ts'
import { Guests } from './guests.ts'
import type { KnownMembers } from './handshake.ts'
import { Listener } from './listener.ts'
import {
  checkTransportLimits,
  type ListenAddress,
  NO_METRICS,
  type PeerTransportOptions,
  type TransportMetrics,
} from './options.ts'
import { Peer } from './peer.ts'
import { SnapshotReceiver } from './snapshot-receiver.ts'
import { uploadSnapshot } from './snapshot-sender.ts'
import type { Socket } from './socket.ts'
import type {
  NodeMessage,
  PeerAddress,
  PeerConnectionStatus,
  Transport,
  TransportHandler,
} from './transport.ts'

export {
  DEFAULT_TRANSPORT_LIMITS,
  type ListenAddress,
  PEER_PROTOCOL_VERSION,
  type PeerIdentity,
  type PeerTransportOptions,
  type TransportLimits,
  type TransportLog,
  type TransportMetrics,
} from './options.ts'
export {
  askCluster,
  askPeer,
  type ClusterAnswer,
  type ClusterView,
  type PeerAnswer,
} from './peer-question.ts'
export { type PeerNetwork, type PeerSecurity, tcpNetwork } from './socket.ts'
export type { PeerTlsOptions } from './tls.ts'

export class PeerTransport implements Transport {
  readonly #options: PeerTransportOptions
  readonly #metrics: TransportMetrics
  readonly #known: KnownMembers
  readonly #listener: Listener
  readonly #snapshots: SnapshotReceiver
  /** Guests among them. */
  readonly #peers = new Map<MemberId, Peer>()
  readonly #guests: Guests
  /** Connections we opened that are not closed. */
  readonly #dialledSockets = new Set<Socket>()
  readonly #stopping = new AbortController()
  /** Undefined before `start` and from `stop` on: nothing is delivered then. */
  #handler: TransportHandler | undefined
  #state: 'new' | 'running' | 'stopped' = 'new'
  #keepAlive: TimerHandle | undefined
  /** Whether the log has been told of a message that no frame can hold. */
  #tooLargeLogged = false

  /** Throws CONFIG_INVALID when the limits do not fit each other. */
  constructor(options: PeerTransportOptions) {
    checkTransportLimits(options.limits)
    this.#options = options
    this.#metrics = options.metrics ?? NO_METRICS
    const isRemoved = options.isRemoved ?? (() => false)
    this.#guests = new Guests({
      guestsMax: options.limits.maxGuests,
      isOneOfOurs: options.isOneOfOurs ?? (() => false),
      isRemoved,
    })
    this.#known = {
      isPeer: (member) => this.#peers.has(member),
      admits: (stranger) => this.#state === 'running' && this.#guests.admits(stranger),
      isRemoved,
      peerUrlsOf: (member) => this.#peers.get(member)?.address.peerUrls,
      incarnationOf: (member) => this.#peers.get(member)?.incarnation,
    }
    const { identity, network, timers, log, limits } = options
    this.#snapshots = new SnapshotReceiver({
      timers,
      limits,
      log,
      onSnapshot: async (from, chunks) => {
        const handler = this.#handler
        if (handler === undefined) throw new RaftbaseError('SHUTTING_DOWN', 'member is stopping')
        await handler.onSnapshot(from, chunks)
      },
    })
    this.#listener = new Listener({
      self: identity,
      known: this.#known,
      network,
      timers,
      log,
      limits,
      metrics: this.#metrics,
      onLink: (opened) => this.#onLink(opened),
      onSnapshot: (from, upload) => this.#snapshots.accept(from, upload),
      hasTakenPart: options.hasTakenPart,
      describeCluster: options.describeCluster,
    })
  }

  async start(handler: TransportHandler): Promise<void> {
    invariant(this.#state === 'new', 'transport started twice', { state: this.#state })
    this.#state = 'running'
    this.#handler = handler
    await this.#listener.open(this.#options.listen)
    if (this.#stopping.signal.aborted) return
    const { timers, limits } = this.#options
    this.#keepAlive = timers.every(limits.keepAliveMs, () => {
      for (const peer of this.#peers.values()) peer.keepAlive()
      for (const guest of this.#guests.gone()) this.#cut(guest)
    })
    for (const peer of this.#peers.values()) peer.start()
  }

  /** Where it listens, with the real ports; empty before `start` has resolved. */
  addresses(): ListenAddress[] {
    return this.#listener.addresses()
  }

  /** From the call on nothing is delivered and `onPeerDown` is not called. */
  async stop(graceMs: number): Promise<void> {
    this.#state = 'stopped'
    this.#handler = undefined
    this.#keepAlive?.cancel()
    this.#stopping.abort(new RaftbaseError('SHUTTING_DOWN', 'member is stopping'))
    this.#snapshots.abort()
    const listenerClosed = this.#listener.close()
    for (const peer of this.#peers.values()) peer.close('flush')
    this.#peers.clear()
    const cut = this.#options.timers.after(graceMs, () => {
      this.#listener.destroy()
      for (const socket of this.#dialledSockets) socket.destroy()
    })
    const closing = [...this.#dialledSockets].map(
      (socket) => new Promise<void>((resolve) => void socket.once('close', () => resolve())),
    )
    await Promise.all([listenerClosed, ...closing])
    cut.cancel()
  }

  setPeers(peers: readonly PeerAddress[]): void {
    if (this.#state === 'stopped') return
    const self = this.#options.identity.memberId
    const wanted = new Set(peers.map((peer) => peer.id))
    invariant(!wanted.has(self), 'own id among the peers', { self })
    for (const [id, peer] of this.#peers) {
      if (!wanted.has(id) && !this.#guests.keeps(id)) this.#cut(peer)
    }
    for (const address of peers) {
      this.#guests.forget(address.id)
      const peer = this.#peers.get(address.id)
      if (peer !== undefined) {
        peer.update(address)
        continue
      }
      const added = this.#newPeer(address)
      this.#peers.set(address.id, added)
      if (this.#keepAlive !== undefined) added.start()
    }
  }

  send(messages: readonly PeerMessage[]): void {
    let shared: { readonly message: MsgApp; readonly frame: Frame } | undefined
    for (const message of messages) {
      const peer = this.#peers.get(message.to)
      if (peer === undefined || !peer.isOpen) {
        this.#metrics.dropped('notConnected')
        continue
      }
      if (message.type !== 'MsgApp') {
        this.#sendFrame(peer, frameOf(FRAME_TYPE.raft, encodePeerMessage(message)))
        continue
      }
      if (shared === undefined || !isSameAppend(shared.message, message)) {
        shared = { message, frame: frameOf(FRAME_TYPE.raft, encodePeerMessage(message)) }
      }
      this.#sendFrame(peer, shared.frame)
    }
  }

  sendToNode(to: MemberId, message: NodeMessage): boolean {
    const peer = this.#peers.get(to)
    if (peer === undefined || !peer.isOpen) {
      this.#metrics.dropped('notConnected')
      return false
    }
    return this.#sendFrame(peer, frameOf(FRAME_TYPE.node, encodeNodeMessage(message)))
  }

  async sendSnapshot(
    to: MemberId,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const { identity, timers, limits } = this.#options
    const url = this.#peers.get(to)?.url
    if (url === undefined) {
      throw new RaftbaseError('PEER_UNREACHABLE', 'no such peer', { details: { peer: to } })
    }
    await uploadSnapshot(chunks, {
      url,
      to,
      self: identity,
      connect: (target) => this.#connect(target),
      timers,
      limits,
      signal: AbortSignal.any([signal, this.#stopping.signal]),
    })
  }

  peerStatus(peer: MemberId): PeerConnectionStatus {
    return this.#peers.get(peer)?.status ?? { connected: false, lastHeardMs: undefined }
  }

  /** Who was let in is a peer, or a guest from now on. */
  #onLink(opened: OpenedLink): void {
    const { memberId: id, name, peerUrls = [] } = opened.identity
    let peer = this.#peers.get(id)
    if (peer === undefined) {
      this.#options.log.info(
        { peer: id, peerName: name, peerUrls },
        'let in a member that this one has not heard of',
      )
      peer = this.#newPeer({ id, name, peerUrls })
      this.#peers.set(id, peer)
      this.#guests.add(peer)
      peer.start()
    }
    peer.accept(opened)
  }

  #cut(peer: Peer): void {
    const { id } = peer.address
    this.#peers.delete(id)
    this.#guests.forget(id)
    peer.close('cut')
  }

  #newPeer(address: PeerAddress): Peer {
    const { identity, clock, timers, prng, log, limits } = this.#options
    const { id } = address
    return new Peer(address, {
      self: identity,
      known: this.#known,
      connect: (url) => this.#connect(url),
      clock,
      timers,
      prng,
      log,
      limits,
      metrics: this.#metrics,
      onMessage: (type, payload) => this.#deliver(id, type, payload),
      onUp: () => this.#handler?.onPeerUp(id),
      onDown: () => this.#handler?.onPeerDown(id),
      onRemoved: () => {
        if (this.#handler !== undefined) this.#options.onRemoved?.()
      },
    })
  }

  #connect(url: URL): Socket {
    const socket = this.#options.network.connect(url)
    this.#dialledSockets.add(socket)
    socket.on('close', () => this.#dialledSockets.delete(socket))
    return socket
  }

  #sendFrame(peer: Peer, frame: Frame): boolean {
    const { limits, log } = this.#options
    const bytes = frame.payload.length + 1
    if (bytes > limits.maxFrameBytes) {
      this.#metrics.dropped('tooLarge')
      if (!this.#tooLargeLogged) {
        const fields = { peer: peer.address.id, bytes, maxFrameBytes: limits.maxFrameBytes }
        log.error(fields, 'a message is larger than a frame may be and was dropped')
      }
      this.#tooLargeLogged = true
      return false
    }
    const outcome = peer.send(frame)
    if (outcome === 'queued') return true
    this.#metrics.dropped(outcome)
    return false
  }

  #deliver(from: MemberId, type: number, payload: Uint8Array): string | undefined {
    const handler = this.#handler
    if (handler === undefined) return undefined
    if (type === FRAME_TYPE.raft) {
      const to = this.#options.identity.memberId
      const message = decoded(() => decodePeerMessage(payload, { from, to }))
      if (message === undefined) return 'message'
      handler.onMessage(message)
      return undefined
    }
    const message = decoded(() => decodeNodeMessage(payload))
    if (message === undefined) return 'message'
    handler.onNodeMessage(from, message)
    return undefined
  }
}

/** What `decode` returns, or undefined for bytes that are no message. */
function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (hasCode(error, 'WIRE_MALFORMED')) return undefined
    throw error
  }
}

/** Whether two appends have the same bytes on the wire, where addresses do not travel. */
function isSameAppend(a: MsgApp, b: MsgApp): boolean {
  if (a.prevIndex !== b.prevIndex || a.prevTerm !== b.prevTerm || a.term !== b.term) return false
  if (a.commit !== b.commit || a.entries.length !== b.entries.length) return false
  for (let i = 0; i < a.entries.length; i++) {
    if (a.entries[i] !== b.entries[i]) return false
  }
  return true
}
