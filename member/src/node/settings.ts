// The tunables of a node and their defaults, derived from the two that users set: heartbeat interval and election timeout.

import { FEATURE_LEVEL } from '../apply/request.ts'
import type { RaftConfig } from '../raft/config.ts'
import { type AutoCompaction, KEEP_EVERYTHING } from './compaction-schedule.ts'

/** Ticks in a heartbeat interval: fine enough for early elections, coarse enough to be idle. */
const TICKS_PER_HEARTBEAT = 10

const MIB = 1024 * 1024

export interface NodeSettings {
  readonly tickMs: number
  readonly raft: Omit<RaftConfig, 'id'>
  /** Requests of this process that wait for their outcome, and their bytes. */
  readonly proposalsMax: number
  readonly proposalBytesMax: number
  /** Linearizable reads of this process that wait. */
  readonly readsMax: number
  readonly readRetryMs: number
  readonly batchBytesMax: number
  /** Of key and value, as etcd's --max-request-bytes. */
  readonly requestBytesMax: number
  /** What the encoding of a request may add. */
  readonly requestOverheadBytes: number
  readonly snapshotLogBytes: number
  readonly segmentBytes: number
  readonly quotaBytes: number
  readonly autoCompaction: AutoCompaction
  readonly publishTimeoutMs: number
  /** The highest feature level this program understands. */
  readonly knownLevel: number
  readonly flushSlowMs: number
  readonly flushHungMs: number
  /** Bytes of applied entries kept in memory for followers that lag, given the size of the state. */
  readonly tailBytesMax: (stateBytes: number) => number
}

export interface UserSettings {
  readonly heartbeatMs: number
  readonly electionMs: number
  readonly requestBytesMax: number
  readonly snapshotLogBytes: number
  readonly quotaBytes: number
  /** Absent: all history is kept. */
  readonly autoCompaction?: AutoCompaction
}

/** The limits and what is kept are asked of `user` anew each time: they may change while the node runs. */
export function nodeSettings(user: UserSettings): NodeSettings {
  const { heartbeatMs, electionMs } = user
  const tickMs = Math.max(1, heartbeatMs / TICKS_PER_HEARTBEAT)
  const electionTicks = Math.round(electionMs / tickMs)
  return {
    tickMs,
    raft: {
      electionTicks,
      electionJitterTicks: Math.ceil(electionTicks / 2),
      heartbeatTicks: Math.round(heartbeatMs / tickMs),
      maxBytesPerMessage: MIB,
      maxInflightMessages: 256,
      maxInflightBytes: 8 * MIB,
      maxUncommittedBytes: 64 * MIB,
      maxCommittedBytesPerReady: 4 * MIB,
      maxPendingReads: 10_000,
    },
    proposalsMax: 20_000,
    proposalBytesMax: 64 * MIB,
    readsMax: 50_000,
    readRetryMs: Math.max(2 * heartbeatMs, Math.round(electionMs / 4)),
    batchBytesMax: MIB,
    get requestBytesMax() {
      return user.requestBytesMax
    },
    requestOverheadBytes: 1024,
    get snapshotLogBytes() {
      return user.snapshotLogBytes
    },
    segmentBytes: 64 * MIB,
    get quotaBytes() {
      return user.quotaBytes
    },
    get autoCompaction() {
      return user.autoCompaction ?? KEEP_EVERYTHING
    },
    publishTimeoutMs: 5 * electionMs,
    knownLevel: FEATURE_LEVEL,
    flushSlowMs: electionMs,
    flushHungMs: 30 * electionMs,
    tailBytesMax: (stateBytes) => Math.min(64 * MIB, Math.max(8 * MIB, Math.floor(stateBytes / 8))),
  }
}
