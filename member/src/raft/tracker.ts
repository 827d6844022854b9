// The leader's view of the whole membership: progress of each member, and what a quorum of them has reached.

import { Progress } from './progress.ts'
import { majorityValue } from './quorum.ts'
import type { RaftConfig } from './config.ts'
import type { ConfState, Index, MemberId } from './types.ts'

export interface TrackerMoment {
  readonly now: number
  readonly lastIndex: Index
}

export class Tracker {
  readonly #config: RaftConfig
  #members = new Map<MemberId, Progress>()
  #voters: Progress[] = []
  #votersOutgoing: Progress[] = []
  #peers: Progress[] = []
  /** Reused by every count, so that a count allocates nothing. */
  readonly #scratch: number[] = []

  constructor(config: RaftConfig) {
    this.#config = config
  }

  /** Every member but this one, in order of their ids. */
  get peers(): readonly Progress[] {
    return this.#peers
  }

  get(id: MemberId): Progress | undefined {
    return this.#members.get(id)
  }

  /** Takes over a configuration; members that stay keep their progress. */
  configure(confState: ConfState, moment: TrackerMoment): void {
    const { voters, votersOutgoing, learners } = confState
    const old = this.#members
    const ids = [...new Set([...voters, ...votersOutgoing, ...learners])].sort()
    this.#members = new Map(ids.map((id) => [id, old.get(id) ?? this.#create(id, moment)]))
    this.#voters = voters.map((id) => this.#members.get(id)!)
    this.#votersOutgoing = votersOutgoing.map((id) => this.#members.get(id)!)
    this.#peers = ids.filter((id) => id !== this.#config.id).map((id) => this.#members.get(id)!)
    for (const progress of this.#members.values()) {
      progress.isLearner = learners.includes(progress.id)
    }
  }

  /** Forgets what was known of every member: a leadership begins. */
  reset(confState: ConfState, moment: TrackerMoment): void {
    this.#members.clear()
    this.configure(confState, moment)
  }

  /** The index that a quorum has on disk; Infinity without voters. */
  quorumMatch(): Index {
    const incoming = this.#count(this.#voters, matchOf)
    if (this.#votersOutgoing.length === 0) return incoming
    return Math.min(incoming, this.#count(this.#votersOutgoing, matchOf))
  }

  /** The newest read-index round that a quorum has confirmed. */
  quorumRound(): number {
    const incoming = this.#count(this.#voters, roundOf)
    return Math.min(incoming, this.#count(this.#votersOutgoing, roundOf))
  }

  /** The newest tick since which a quorum has been heard. */
  quorumContact(): number {
    const incoming = this.#count(this.#voters, contactOf)
    return Math.min(incoming, this.#count(this.#votersOutgoing, contactOf))
  }

  #count(members: readonly Progress[], valueOf: (progress: Progress) => number): number {
    const values = this.#scratch
    values.length = members.length
    for (let i = 0; i < members.length; i++) values[i] = valueOf(members[i]!)
    return majorityValue(values)
  }

  #create(id: MemberId, { now, lastIndex }: TrackerMoment): Progress {
    const { maxInflightMessages: countMax, maxInflightBytes: bytesMax } = this.#config
    const progress = new Progress({ id, next: lastIndex + 1, now, countMax, bytesMax })
    if (id === this.#config.id) {
      // A leader always hears and believes itself; its entries count once durable.
      progress.lastContact = Infinity
      progress.ackedRound = Infinity
    }
    return progress
  }
}

function matchOf(progress: Progress): number {
  return progress.match
}

function roundOf(progress: Progress): number {
  return progress.ackedRound
}

function contactOf(progress: Progress): number {
  return progress.lastContact
}
