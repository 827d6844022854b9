// What a PeerTransport is built from: identity, addresses, time, log, bounds, and the network itself, which is injected so
// that TLS is another implementation of the same pair of functions.

import { RaftbaseError } from '../../../lib/errors.ts'
import type { Clock, Timers } from '../../../lib/clock.ts'
import type { Prng } from '../../../lib/prng.ts'
import type { MemberId } from '../raft/types.ts'
import type { ClusterView } from './peer-question.ts'
import type { PeerNetwork } from './socket.ts'
import type { TransportMetrics } from './transport.ts'

export type { DropReason, TransportMetrics } from './transport.ts'

/** The protocol this build speaks. A member that speaks another one is refused (PROTOCOL_MISMATCH). */
export const PEER_PROTOCOL_VERSION = 1

/** Who a member says it is when a connection opens. */
export interface PeerIdentity {
  /** 16 lower-case hex digits. */
  readonly clusterId: string
  readonly memberId: MemberId
  readonly name: string
  /** Which life of this name it is; the same for as long as the id is. */
  readonly incarnation: number
  readonly protocolVersion: number
  /** `n1=http://…,n2=http://…` that the cluster was made of: lets a refusal name the entry that differs. */
  readonly initialCluster?: string
  /** Where it says that it is reached; empty or left out: it does not say. */
  readonly peerUrls?: readonly string[]
}

export interface ListenAddress {
  /** An IP address. */
  readonly host: string
  /** 0: any free port; `PeerTransport.addresses()` tells which. */
  readonly port: number
  /** With TLS; default: without. */
  readonly isSecure?: boolean
}

export interface TransportLimits {
  /** Largest frame, type and payload, that is sent or accepted. */
  readonly maxFrameBytes: number
  /** Per peer: bytes and frames that wait to be written, the socket's own buffer included in the bytes. */
  readonly sendQueueBytes: number
  readonly sendQueueCount: number
  /** From the start of a dial, or from an accepted connection, to the answer. */
  readonly handshakeTimeoutMs: number
  /** Period of pings on each connection. */
  readonly keepAliveMs: number
  /** Without a frame for this long (rounded up to whole periods, two at least) a connection is destroyed. */
  readonly keepAliveTimeoutMs: number
  /** Delay before the first repeated dial; doubles up to the maximum, with jitter. */
  readonly redialMinMs: number
  readonly redialMaxMs: number
  /** How long a peer whose connection closed has to come back before it counts as down. */
  readonly peerLostMs: number
  /** Accepted connections whose handshake has not ended; beyond, the oldest one is closed. */
  readonly maxPendingHandshakes: number
  /** Accepted connections altogether. */
  readonly maxConnections: number
  /** Callers of this cluster that this member has not heard of and that are let in; more are refused. */
  readonly maxGuests: number
  /** Longest wait for the next piece of a snapshot, or for room to send one. */
  readonly snapshotIdleMs: number
  /** From the last byte of a snapshot to the receiver's answer that it is durable. */
  readonly snapshotInstallMs: number
}

export const DEFAULT_TRANSPORT_LIMITS: TransportLimits = {
  maxFrameBytes: 16 * 1024 * 1024,
  sendQueueBytes: 64 * 1024 * 1024,
  sendQueueCount: 16_384,
  handshakeTimeoutMs: 1500,
  keepAliveMs: 500,
  keepAliveTimeoutMs: 2000,
  redialMinMs: 20,
  redialMaxMs: 500,
  peerLostMs: 50,
  maxPendingHandshakes: 64,
  maxConnections: 256,
  maxGuests: 8,
  snapshotIdleMs: 10_000,
  snapshotInstallMs: 120_000,
}

/** Throws CONFIG_INVALID unless every bound is a positive integer and they fit each other. */
export function checkTransportLimits(limits: TransportLimits): void {
  const problems: string[] = []
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1) problems.push(`${name}: not a positive integer`)
  }
  if (limits.redialMinMs > limits.redialMaxMs) problems.push('redialMinMs: above redialMaxMs')
  if (limits.keepAliveTimeoutMs < 2 * limits.keepAliveMs) {
    problems.push('keepAliveTimeoutMs: below two keepAliveMs')
  }
  if (limits.maxPendingHandshakes >= limits.maxConnections) {
    problems.push('maxPendingHandshakes: not below maxConnections')
  }
  if (limits.maxFrameBytes > limits.sendQueueBytes) {
    problems.push('maxFrameBytes: above sendQueueBytes')
  }
  if (problems.length === 0) return
  throw new RaftbaseError('CONFIG_INVALID', 'transport limits do not fit', {
    details: { problems },
  })
}

export const NO_METRICS: TransportMetrics = {
  sent() {},
  received() {},
  dropped() {},
  refused() {},
  peerUp() {},
  peerDown() {},
}

/** The part of a logger that the transport uses. */
export interface TransportLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface PeerTransportOptions {
  readonly identity: PeerIdentity
  readonly listen: readonly ListenAddress[]
  readonly network: PeerNetwork
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  readonly log: TransportLog
  readonly limits: TransportLimits
  readonly metrics?: TransportMetrics
  /** Whether this id belonged to a member that was removed: it is told so (MEMBER_REMOVED). Default: never. */
  readonly isRemoved?: (member: MemberId) => boolean
  /** Whether this member is known to have taken part before; without it nobody is told. */
  readonly hasTakenPart?: (member: MemberId) => boolean
  /** Who belongs to the cluster, for whoever is about to join it; undefined while this member does not know. */
  readonly describeCluster?: () => ClusterView | undefined
  /**
   * Whether a caller of the same cluster that is not among the peers, nor removed, is one that this member has not heard of
   * yet. Default: never.
   */
  readonly isOneOfOurs?: (identity: PeerIdentity) => boolean
  /** A peer refused this member because it was removed from the cluster. */
  readonly onRemoved?: () => void
}
