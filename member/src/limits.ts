// Every bound that a user or another member can run into, in one place, with the checks that relate them. Bounds of a
// module's own working (buffer growth, slice lengths) stay with the module.

import { invariant } from '../../lib/assert.ts'

/** Longest member name: it becomes a directory name, a host name label and a column of a table. */
export const NAME_LENGTH_MAX = 63
/** Longest cluster token, in characters. */
export const TOKEN_LENGTH_MAX = 128
/** URLs of one kind (client, peer, advertised) one member may have. */
export const URLS_MAX = 8
/** Members an initial cluster may list. */
export const CLUSTER_MEMBERS_MAX = 32

/** A configuration file that changes while a member runs: larger ones are refused. */
export const CONFIG_BYTES_MAX = 1024 * 1024

export const HEARTBEAT_MS_MIN = 10
export const HEARTBEAT_MS_MAX = 10_000
export const HEARTBEAT_MS_DEFAULT = 100
export const ELECTION_MS_MAX = 50_000
export const ELECTION_MS_DEFAULT = 1000
/** An election timeout is at least so many heartbeats: one lost heartbeat must not start an election. */
export const ELECTION_HEARTBEATS_MIN = 5

/** Largest request accepted from a client, in bytes: etcd's default of 1.5 MiB. */
export const REQUEST_BYTES_DEFAULT = 1_572_864
export const REQUEST_BYTES_MIN = 1024
export const REQUEST_BYTES_MAX = 16 * 1024 * 1024

/** Log growth, in bytes, after which a snapshot is due. */
export const SNAPSHOT_LOG_BYTES_DEFAULT = 64 * 1024 * 1024
export const SNAPSHOT_LOG_BYTES_MIN = 64 * 1024
export const SNAPSHOT_LOG_BYTES_MAX = 64 * 1024 * 1024 * 1024

/** Size of the state, in bytes, beyond which writes are refused with NO_SPACE: etcd's default of 2 GiB. */
export const QUOTA_BACKEND_BYTES_DEFAULT = 2 * 1024 * 1024 * 1024
export const QUOTA_BACKEND_BYTES_MIN = 1024 * 1024
export const QUOTA_BACKEND_BYTES_MAX = 64 * 1024 * 1024 * 1024

/** History kept by time, in milliseconds: from one second to ten years of 365 days. */
export const COMPACTION_RETENTION_MS_MIN = 1000
export const COMPACTION_RETENTION_MS_MAX = 87_600 * 3_600_000
/** History kept by number. */
export const COMPACTION_RETENTION_REVISIONS_MAX = 1_000_000_000_000_000

/** Snapshots that clients may be reading at the same time: each holds the state as it was when it began. */
export const SNAPSHOT_EXPORTS_MAX = 2

/** How long leadership may take to be handed over at a stop, in milliseconds. */
export const HAND_OVER_TIMEOUT_MS = 5000

/** Descriptors that connections of clients leave to peers, files of the log and snapshots, and the process itself. */
const DESCRIPTORS_RESERVED = 96
/** However few descriptors there are: so many connections of clients are taken on each listener. */
const CLIENT_CONNECTIONS_MIN = 8

/**
 * Connections each of `listeners` may hold, so that clients never take the descriptors that peers and the disk need. Infinity
 * where the limit on descriptors is not known.
 */
export function clientConnectionsMax(descriptors: number | undefined, listeners: number): number {
  if (descriptors === undefined) return Number.POSITIVE_INFINITY
  const share = Math.floor((descriptors - DESCRIPTORS_RESERVED) / listeners)
  return Math.max(CLIENT_CONNECTIONS_MIN, share)
}

/** Requests of clients that a member carries out at a time, at least and at most; how many follows from its speed. */
const RUNNING_REQUESTS_MIN = 16
const RUNNING_REQUESTS_START = 256
const RUNNING_REQUESTS_MAX = 1024
/** Requests of clients that wait for their turn. */
const WAITING_REQUESTS_MAX = 10_000
/** How long one waits for its turn before it is refused: clients should hear it long before they give up. */
const WAITING_MS_MAX = 1000
/** The same once there has been a line for that long: it is not going away by itself. */
const WAITING_MS_STANDING = 100

export interface AdmissionLimits {
  /** Requests carried out at a time, at least and at most. */
  readonly runningMin: number
  readonly runningMax: number
  /** As long as nothing is known about how many it may be. */
  readonly runningStart: number
  /** Requests in line; further ones are refused at once. */
  readonly waitingMax: number
  /** How long a request may wait in line before it is refused. */
  readonly waitMsMax: number
  /** The same once there has been a line for so long. */
  readonly waitMsStanding: number
  /** A linearizable read that takes longer shows that too many are carried out. */
  readonly readMsMax: number
}

/** What node/admission.ts holds the requests of clients to. A read that takes half an election timeout is too slow. */
export function admissionLimits(electionMs: number): AdmissionLimits {
  return {
    runningMin: RUNNING_REQUESTS_MIN,
    runningMax: RUNNING_REQUESTS_MAX,
    runningStart: RUNNING_REQUESTS_START,
    waitingMax: WAITING_REQUESTS_MAX,
    waitMsMax: WAITING_MS_MAX,
    waitMsStanding: WAITING_MS_STANDING,
    readMsMax: electionMs / 2,
  }
}

/** How long a stop may take before the process ends without it, in milliseconds. */
export const STOP_TIMEOUT_MS = 10_000

/** Fails unless the bounds fit together. Called once by whoever composes a member. */
export function checkLimits(): void {
  invariant(
    HEARTBEAT_MS_MAX * ELECTION_HEARTBEATS_MIN <= ELECTION_MS_MAX,
    'no election timeout fits the slowest heartbeat',
  )
  invariant(
    HEARTBEAT_MS_DEFAULT * ELECTION_HEARTBEATS_MIN <= ELECTION_MS_DEFAULT,
    'the default election timeout does not fit the default heartbeat',
  )
  invariant(
    REQUEST_BYTES_MIN <= REQUEST_BYTES_DEFAULT && REQUEST_BYTES_DEFAULT <= REQUEST_BYTES_MAX,
    'the default request limit is out of its range',
  )
  invariant(
    REQUEST_BYTES_MAX <= QUOTA_BACKEND_BYTES_DEFAULT,
    'one request can exceed the default quota',
  )
  invariant(
    SNAPSHOT_LOG_BYTES_MIN <= SNAPSHOT_LOG_BYTES_DEFAULT,
    'the default snapshot threshold is out of its range',
  )
}
