// A cluster whose messages take time: each is delivered some ticks after it was sent, in any order. For what the core
// promises within a bound of time.

import { SeededPrng } from '../../../lib/prng.ts'
import type { PeerMessage } from '../../../member/src/raft/message.ts'
import { Cluster } from './cluster.ts'
import type { ClusterOptions } from './cluster.ts'

export interface TimedOptions extends ClusterOptions {
  readonly seed: number
  /** Ticks from sending to delivery: uniform in [0, delayTicks]. */
  readonly delayTicks: number
}

/** Ticks of an election timeout in these tests, as on a real member: 10 ms each, a heartbeat every 10. */
export const ELECTION_TICKS = 100

export class TimedCluster {
  readonly cluster: Cluster
  /** How often a member became leader. */
  elections = 0
  now = 0
  readonly #prng: SeededPrng
  readonly #delayTicks: number
  #underWay: { readonly at: number; readonly message: PeerMessage }[] = []

  constructor(options: TimedOptions) {
    this.#prng = new SeededPrng(options.seed + 1_000_000)
    this.#delayTicks = options.delayTicks
    this.cluster = new Cluster({
      ...options,
      config: {
        electionTicks: ELECTION_TICKS,
        electionJitterTicks: ELECTION_TICKS / 2,
        heartbeatTicks: ELECTION_TICKS / 10,
      },
      onReady: (_, ready) => {
        for (const event of ready.trace) {
          if (event.type === 'roleChanged' && event.to === 'leader') this.elections++
        }
      },
    })
  }

  run(ticks: number): void {
    for (let i = 0; i < ticks; i++) this.#tick()
  }

  /** Runs until `condition` holds; returns the ticks it took, throws after `ticksMax`. */
  runUntil(condition: () => boolean, ticksMax = 100 * ELECTION_TICKS): number {
    const start = this.now
    while (!condition()) {
      if (this.now - start >= ticksMax) throw new Error(`not after ${ticksMax} ticks`)
      this.#tick()
    }
    return this.now - start
  }

  /** A leader whose term a majority is in, so that it can commit. */
  get hasLeader(): boolean {
    const { leader, running, members } = this.cluster
    if (leader === undefined) return false
    const followers = running.filter(({ node }) => node.status().leader === leader.id)
    return followers.length * 2 > members.size
  }

  #tick(): void {
    this.now++
    for (const { number } of this.cluster.running) this.cluster.tick(number)
    this.#collect()
    // What arrives may be answered within the same tick.
    for (;;) {
      const due = this.#underWay.filter(({ at }) => at <= this.now)
      if (due.length === 0) return
      this.#underWay = this.#underWay.filter(({ at }) => at > this.now)
      while (due.length > 0) {
        const [{ message }] = due.splice(this.#prng.next(due.length), 1) as [(typeof due)[0]]
        this.cluster.deliver(message)
      }
      this.#collect()
    }
  }

  #collect(): void {
    for (const message of this.cluster.network.splice(0)) {
      this.#underWay.push({ at: this.now + this.#prng.next(this.#delayTicks + 1), message })
    }
  }
}
