// What the driver needs of the network: at most one delivery of each message, bounded queues, never blocking. The real one
// is peer links over TCP (`peer-transport.ts`); tests and the simulator bring their own.

import type { PeerMessage } from '../raft/message.ts'
import type { MemberId, Term } from '../raft/types.ts'

export interface PeerAddress {
  readonly id: MemberId
  readonly name: string
  readonly peerUrls: readonly string[]
}

/** Requests carried to the leader. The receiver proposes them only while it leads exactly `term`, each at most once. */
export interface Forward {
  readonly type: 'Forward'
  readonly term: Term
  /** Identity of the sender's process: 16 hex digits, new at each start. */
  readonly origin: string
  readonly requests: readonly ForwardedRequest[]
}

export interface ForwardedRequest {
  /** Grows by one with each request of an origin; never reused. */
  readonly sequence: number
  /** The encoded replicated request, which carries origin and sequence as well. */
  readonly data: Uint8Array
}

/** The requests named were not proposed and never will be by this member in this term. */
export interface ForwardRefused {
  readonly type: 'ForwardRefused'
  readonly term: Term
  readonly origin: string
  readonly sequences: readonly number[]
  readonly reason: 'notLeader' | 'overloaded' | 'transferring' | 'noSpace'
}

export type NodeMessage = Forward | ForwardRefused

/** Called by the transport, never re-entrantly from `send`. Must not throw. */
export interface TransportHandler {
  /** `message.from` is the authenticated identity of the connection. */
  onMessage(message: PeerMessage): void
  onNodeMessage(from: MemberId, message: NodeMessage): void
  /** Both directions to this peer work. */
  onPeerUp(peer: MemberId): void
  /**
   * The peer's process is gone or cannot be reached: its connection closed and a new one was refused, or did not open
   * within `peerLostMs`; or keep-alive found it silent. Not called for a connection that closed and opened again.
   */
  onPeerDown(peer: MemberId): void
  /** A snapshot arrives. Resolves once it is durable and handed to the core; rejects with the reason to refuse it. */
  onSnapshot(from: MemberId, chunks: AsyncIterable<Uint8Array>): Promise<void>
}

export interface PeerConnectionStatus {
  readonly connected: boolean
  /** Clock.monotonicMs of the last frame received from it; undefined before the first. */
  readonly lastHeardMs: number | undefined
}

export interface Transport {
  /** Opens the listeners and starts dialling; rejects with ADDRESS_IN_USE. */
  start(handler: TransportHandler): Promise<void>
  /** Closes everything; resolves when all sockets are closed. Frames already accepted are sent first, within `graceMs`. */
  stop(graceMs: number): Promise<void>
  /** Replaces the set of peers: new ones are dialled, missing ones are cut off. Own id is not in it. */
  setPeers(peers: readonly PeerAddress[]): void
  /** Queues each message for its `to`; one socket write per peer and turn. What does not fit is dropped. */
  send(messages: readonly PeerMessage[]): void
  /** Returns false when the peer is not connected or its queue is full: it was certainly not sent. */
  sendToNode(to: MemberId, message: NodeMessage): boolean
  /** Streams a snapshot on a connection of its own, with back-pressure. Resolves when the peer has it, rejects otherwise. */
  sendSnapshot(to: MemberId, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>
  peerStatus(peer: MemberId): PeerConnectionStatus
}

/** Why a message was not sent. */
export type DropReason = 'notConnected' | 'queueFull' | 'tooLarge'

/** Where the transport counts. Methods add; they must not throw. */
export interface TransportMetrics {
  sent(frames: number, bytes: number): void
  received(frames: number, bytes: number): void
  dropped(reason: DropReason): void
  /** An inbound connection was refused or closed for what it sent; `code` is an ErrorCode. */
  refused(code: string): void
  peerUp(): void
  peerDown(): void
}
