// A random history of a cluster from one seed: messages lost, doubled and reordered, flushes and applies at any moment,
// crashes that lose what is not flushed, changes of membership, hand-overs, snapshots and reads. Then everything heals
// and the cluster must make progress.

import { invariant } from '../../../lib/assert.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type { ConfChangeSingle } from '../../../member/src/raft/types.ts'
import { Cluster, confStateOf, memberId, memberNumber } from './cluster.ts'
import type { Member } from './cluster.ts'

const EMPTY = new Uint8Array(0)
/** Beyond, the oldest messages are lost: a cluster that nobody listens to would fill the network. */
const NETWORK_MAX = 200

export interface ChaosOptions {
  readonly seed: number
  readonly steps: number
}

/** Throws at the first broken invariant. */
export function runChaos({ seed, steps }: ChaosOptions): void {
  new Chaos(seed).run(steps)
}

class Chaos {
  readonly #prng: SeededPrng
  readonly #cluster: Cluster
  /** The highest index applied anywhere when a read was asked. */
  readonly #asked = new Map<string, number>()
  readonly #membersMax = 6
  /** How often, of 100 steps, something worse than a message or a tick happens. */
  readonly #trouble: number
  #reads = 0
  #proposals = 0

  constructor(seed: number) {
    this.#prng = new SeededPrng(seed)
    this.#trouble = 2 + this.#prng.next(20)
    this.#cluster = new Cluster({
      voters: 1 + this.#prng.next(5),
      seed,
      config: {
        maxInflightMessages: 1 + this.#prng.next(8),
        maxInflightBytes: 100 + this.#prng.next(1000),
        maxBytesPerMessage: 1 + this.#prng.next(300),
        maxCommittedBytesPerReady: 1 + this.#prng.next(300),
        maxUncommittedBytes: 200 + this.#prng.next(2000),
        maxPendingReads: 1 + this.#prng.next(5),
        heartbeatTicks: 1 + this.#prng.next(3),
      },
      onReady: (_, ready) => {
        for (const { context, index } of ready.readStates) this.#checkRead(context, index)
      },
    })
    this.#cluster.autoPersist = this.#prng.next(4) === 0
    this.#cluster.autoApply = this.#prng.next(4) === 0
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) {
      this.#step()
      this.#cluster.checkLogs()
    }
    this.#recover()
  }

  #step(): void {
    const dice = this.#prng.next(100)
    if (dice < this.#trouble) this.#makeTrouble()
    else if (dice < 35) this.#moveMessage()
    else if (dice < 55) this.#work(this.#anyMember())
    else if (dice < 70) this.#tick()
    else if (dice < 75) this.#propose()
    else if (dice < 80) this.#read()
    else this.#moveInOrder()
    const { network } = this.#cluster
    if (network.length > NETWORK_MAX) network.splice(0, network.length - NETWORK_MAX)
  }

  /** Takes any message: most arrive, some are lost, some arrive and stay to arrive again. */
  #moveMessage(): void {
    const { network } = this.#cluster
    if (network.length === 0) return
    const i = this.#prng.next(network.length)
    const message = network[i]!
    const dice = this.#prng.next(20)
    if (dice !== 0) network.splice(i, 1)
    if (dice !== 1) this.#deliver(message)
  }

  #moveInOrder(): void {
    const count = 1 + this.#prng.next(10)
    for (let i = 0; i < count && this.#cluster.network.length > 0; i++) {
      this.#deliver(this.#cluster.network.shift()!)
    }
  }

  /** A snapshot may be newer by the time it is sent. */
  #deliver(message: PeerMessage): void {
    const cluster = this.#cluster
    const sender = cluster.members.get(memberNumber(message.from))
    const isNewer =
      message.type === 'MsgSnap' && sender?.running === true && this.#prng.next(2) === 0
    const entry = isNewer ? cluster.applied.get(sender.applied) : undefined
    if (!isNewer || entry === undefined || entry.index <= message.snapshot.index) {
      cluster.deliver(message)
      return
    }
    const { index, term } = entry
    cluster.deliver({ ...message, snapshot: { index, term, confState: sender.node.confState } })
  }

  #tick(): void {
    if (this.#prng.next(3) === 0) {
      for (const { number } of this.#cluster.running) this.#cluster.tick(number)
      return
    }
    const isLong = this.#cluster.leader === undefined || this.#prng.next(10) === 0
    this.#cluster.tick(this.#anyMember().number, isLong ? this.#prng.next(20) : 1)
  }

  #work(member: Member): void {
    if (!member.running) return
    const count = 1 + this.#prng.next(3)
    if (this.#prng.next(2) === 0) this.#cluster.persist(member.number, count)
    else this.#cluster.apply(member.number, count)
  }

  #propose(): void {
    const member = this.#leaderOrAny()
    if (!member.running) return
    for (let i = this.#prng.next(4); i >= 0; i--) {
      this.#cluster.propose(member.number, `${++this.#proposals}`)
    }
  }

  #read(): void {
    const member = this.#prng.next(2) === 0 ? this.#leaderOrAny() : this.#anyMember()
    if (!member.running) return
    const context = `r${++this.#reads}`
    this.#asked.set(context, Math.max(0, ...this.#cluster.applied.keys()))
    member.node.readIndex(context)
    // Without this, reads of one turn share a round.
    if (this.#prng.next(2) === 0) this.#cluster.settle(member)
  }

  #makeTrouble(): void {
    const cluster = this.#cluster
    const member = this.#anyMember()
    const { number } = member
    switch (this.#prng.next(10)) {
      case 0:
        if (member.running) cluster.crash(number)
        return
      case 1:
      case 2:
        cluster.restart(number)
        return
      case 3:
        if (this.#prng.next(2) === 0) cluster.isolated.add(number)
        else cluster.cuts.add(`${number}>${this.#anyMember().number}`)
        return
      case 4:
        cluster.heal()
        for (const { number: down, running } of cluster.members.values()) {
          if (!running) cluster.restart(down)
        }
        return
      case 5:
        cluster.step(number, {
          type: 'MsgUnreachable',
          from: this.#anyMember().id,
          to: member.id,
          term: 0,
        })
        return
      case 6:
        if (member.running) cluster.snapshot(number, this.#prng.next(5))
        return
      case 7:
        if (member.running) this.#leaderOrAny().node.transferLeader(member.id)
        cluster.settle(this.#leaderOrAny())
        return
      default:
        this.#changeMembership()
    }
  }

  #changeMembership(): void {
    const member = this.#leaderOrAny()
    if (!member.running) return
    const types = ['addVoter', 'addLearner', 'remove'] as const
    const changes = new Map<number, ConfChangeSingle>()
    for (let i = this.#prng.next(3); i >= 0; i--) {
      const number = 1 + this.#prng.next(this.#membersMax)
      changes.set(number, { type: types[this.#prng.next(3)]!, memberId: memberId(number) })
    }
    const leave = this.#prng.next(4) === 0
    const result = member.node.proposeConfChange({
      changes: leave ? [] : [...changes.values()],
      transition: (['auto', 'jointImplicit', 'jointExplicit'] as const)[this.#prng.next(3)]!,
      context: EMPTY,
    })
    if (result.accepted) {
      for (const number of changes.keys()) {
        if (!this.#cluster.members.has(number)) this.#cluster.add(number, confStateOf([]))
      }
    }
    this.#cluster.settle(member)
  }

  /** A read sees everything that was applied anywhere before it was asked. */
  #checkRead(context: string, index: number): void {
    const asked = this.#asked.get(context)
    invariant(asked !== undefined, 'a read is answered twice', { context })
    invariant(index >= asked, 'a read is stale', { context, index, asked })
    this.#asked.delete(context)
  }

  /** Everybody is well again: within twenty election timeouts a proposal is applied by every voter. */
  #recover(): void {
    const cluster = this.#cluster
    cluster.heal()
    cluster.autoPersist = true
    cluster.autoApply = true
    for (const { number } of cluster.members.values()) cluster.restart(number)
    for (let i = 0; i < 20; i++) {
      cluster.tickAll(10)
      cluster.checkLogs()
      const { leader } = cluster
      if (leader === undefined) continue
      const text = `final ${i}`
      const result = leader.node.propose([new TextEncoder().encode(text)])
      cluster.settle(leader)
      cluster.tickAll(25)
      if (!result.accepted) continue
      const { voters } = leader.node.confState
      if (voters.every((id) => cluster.member(memberNumber(id)).applied >= result.firstIndex)) {
        cluster.checkLogs()
        return
      }
    }
    invariant(false, 'no progress after everything healed', {
      members: [...cluster.members.values()].map(({ node }) => JSON.stringify(node.status())),
      confState: [...cluster.members.values()].map(({ node }) => node.confState.voters),
    })
  }

  #anyMember(): Member {
    const members = [...this.#cluster.members.values()]
    return members[this.#prng.next(members.length)]!
  }

  #leaderOrAny(): Member {
    return this.#cluster.leader ?? this.#anyMember()
  }
}
