// Tunables of the core. Times are ticks, whose length only the driver knows.

import { invariant } from '../../../lib/assert.ts'
import type { MemberId } from './types.ts'

export interface RaftConfig {
  /** This member. */
  readonly id: MemberId
  /**
   * Without word from its leader for this long (plus jitter) a follower starts a pre-vote, and for exactly this long it
   * keeps refusing votes to others. A leader that has not heard a quorum for this long steps down.
   */
  readonly electionTicks: number
  /** A follower's timeout is uniform in [electionTicks, electionTicks + electionJitterTicks). */
  readonly electionJitterTicks: number
  readonly heartbeatTicks: number
  /** Bytes of entries in one MsgApp; one entry always fits. */
  readonly maxBytesPerMessage: number
  /** MsgApp sent to one peer and not answered yet, and the bytes of their entries. */
  readonly maxInflightMessages: number
  readonly maxInflightBytes: number
  /** Bytes of this leader's proposals that are not committed yet; beyond, proposals are refused as `overloaded`. */
  readonly maxUncommittedBytes: number
  /** Bytes of `committedEntries` of one Ready; one entry always fits. */
  readonly maxCommittedBytesPerReady: number
  /** Reads that wait for an answer here, own and other members' each; beyond, they are refused. */
  readonly maxPendingReads: number
}

/** Trips an invariant on settings that contradict each other: whoever derives them from user input checks that. */
export function checkRaftConfig(config: RaftConfig): void {
  const { id, electionTicks, heartbeatTicks } = config
  invariant(/^[0-9a-f]{16}$/.test(id), 'member id is not 16 hex digits', { id })
  for (const [name, value] of Object.entries(config)) {
    if (name === 'id') continue
    invariant(Number.isSafeInteger(value) && value > 0, 'setting is not a positive integer', {
      name,
      value,
    })
  }
  invariant(electionTicks >= 2 * heartbeatTicks, 'election timeout below two heartbeats', {
    electionTicks,
    heartbeatTicks,
  })
}
