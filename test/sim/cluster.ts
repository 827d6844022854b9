// A whole simulated cluster: world, wires, members and their checkers, put together from a plan.

import { type Prng, SeededPrng } from '../../lib/prng.ts'
import {
  type Identity,
  identityOf,
  type InitialMember,
  memberIdOf,
} from '../../member/src/node/identity.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import type { PeerAddress } from '../../member/src/transport/transport.ts'
import { decodePeerMessage } from '../../member/src/wire/raft-codec.ts'
import type { Checker, View } from './checkers/checker.ts'
import { History } from './checkers/history.ts'
import type { LogSink } from './log.ts'
import { isBug, isDamageReport, SimMember } from './member.ts'
import { SimNetwork } from './network.ts'
import type { Plan } from './plan.ts'
import { Trace, type TraceLevel } from './trace.ts'
import { type Owner, World } from './world.ts'

const TOKEN = 'sim'

export interface ClusterOptions {
  readonly plan: Plan
  readonly checkers: readonly Checker[]
  readonly traceLevel: TraceLevel
  readonly traceLinesMax?: number
}

function epochOf(member: SimMember | undefined): number {
  return member?.member?.stateMachine.membershipEpoch ?? -1
}

export class SimCluster implements View {
  readonly plan: Plan
  readonly world = new World()
  readonly trace: Trace
  readonly network: SimNetwork
  readonly history = new History()
  readonly members: SimMember[] = []
  readonly #checkers: readonly Checker[]
  readonly #prng: Prng
  readonly #names = new Map<MemberId, string>()
  #joined = 0
  /** Asked after each death that nobody planned: how long until the member starts again; undefined: not. */
  restartDelayMs: (member: SimMember) => number | undefined = () => undefined

  constructor({ plan, checkers, traceLevel, traceLinesMax }: ClusterOptions) {
    const { world } = this
    this.plan = plan
    this.#checkers = checkers
    this.#prng = new SeededPrng(plan.seed + 0.5 * 2 ** 52)
    this.trace = new Trace({
      world,
      level: traceLevel,
      ...(traceLinesMax === undefined ? {} : { linesMax: traceLinesMax }),
    })
    this.network = new SimNetwork({
      world,
      prng: this.fork(),
      trace: this.trace,
      profile: plan.network,
      nameOf: this.nameOf,
    })
    this.network.onSend = (parcel) => {
      if (parcel.kind !== 'raft') return
      const message = decodePeerMessage(parcel.bytes, parcel)
      for (const checker of this.#checkers) checker.onMessage?.(message, this)
    }
    world.observe((owner) => this.#look(owner))
    const initial = Array.from({ length: plan.members }, (_, i): InitialMember => {
      const name = `n${i + 1}`
      return { name, peerUrls: [`sim://${name}`] }
    })
    for (const { name } of initial) {
      const identity = identityOf({ token: TOKEN, name, members: initial })
      this.#add({ name, identity, initialMembers: initial, joinPeers: [] })
    }
  }

  get nowMs(): number {
    return this.world.nowMs
  }

  readonly nameOf = (id: MemberId): string => this.#names.get(id) ?? id

  /** A generator of its own for a part of the run, so that parts do not shift each other's draws. */
  fork(): Prng {
    return new SeededPrng(this.#prng.next(2 ** 32))
  }

  /** By the membership of whoever has seen its latest change. */
  get current(): readonly SimMember[] {
    let newest: SimMember | undefined
    for (const member of this.members) if (epochOf(member) > epochOf(newest)) newest = member
    const ids = newest?.member?.stateMachine.members
    if (ids === undefined) return this.members
    return this.members.filter((member) => ids.has(member.id))
  }

  /** A member that is not part of the cluster yet; its process waits to be added. */
  join(): SimMember {
    const first = this.members[0]!
    this.#joined++
    const name = `j${this.#joined}`
    const identity: Identity = {
      ...first.identity,
      name,
      memberId: memberIdOf(TOKEN, name, 1),
      initialCluster: '',
    }
    const joinPeers = this.current.map((member) => ({
      id: member.id,
      name: member.name,
      peerUrls: [`sim://${member.name}`],
    }))
    const member = this.#add({ name, identity, initialMembers: [], joinPeers })
    member.start()
    return member
  }

  get leader(): SimMember | undefined {
    let leader: SimMember | undefined
    let highest = 0
    for (const member of this.members) {
      const raft = member.member?.driver.raft
      if (raft?.role !== 'leader') continue
      const { term } = raft.status()
      if (term <= highest) continue
      highest = term
      leader = member
    }
    return leader
  }

  tell(what: string): void {
    this.trace.tell('', what)
  }

  finish(): void {
    for (const checker of this.#checkers) checker.finish?.(this.history.operations, this)
  }

  onAnswer(answer: Parameters<NonNullable<Checker['onAnswer']>>[0]): void {
    for (const checker of this.#checkers) checker.onAnswer?.(answer, this)
  }

  #add(options: {
    readonly name: string
    readonly identity: Identity
    readonly initialMembers: readonly InitialMember[]
    readonly joinPeers: readonly PeerAddress[]
  }): SimMember {
    const { plan, world, network, trace } = this
    const { name, identity, initialMembers, joinPeers } = options
    this.#names.set(identity.memberId, name)
    const member = new SimMember({
      world,
      network,
      trace,
      prng: this.fork(),
      identity,
      initialMembers,
      joinPeers,
      settings: plan.settings,
      diskSpeed: plan.diskSpeed,
      turnMs: plan.turnMs,
      nameOf: this.nameOf,
      onLog: (...line) => this.#onLog(...line),
      onDeath: (dead, cause) => this.#onDeath(dead, cause),
    })
    if (plan.clocksDiffer) member.clockRate = 0.9 + this.#prng.next(200) / 1000
    this.members.push(member)
    return member
  }

  /**
   * Whatever just happened in a member, it may not show anything that must never be. What a message changes is seen at the
   * end of the turn that it begins.
   */
  #look(owner: Owner | undefined): void {
    if (owner === undefined) return
    const member = this.members.find(({ process }) => process === owner)
    if (member?.member === undefined) return
    for (const checker of this.#checkers) checker.onEvent?.(member, this)
  }

  #onLog(member: SimMember, ...line: Parameters<LogSink>): void {
    const [, fields, message] = line
    const record = fields as Readonly<Record<string, unknown>>
    try {
      for (const checker of this.#checkers) checker.onLog?.(member, record, message)
    } catch (error) {
      // Thrown into the member it would look like a failure of the member.
      this.world.fail(error)
    }
  }

  #onDeath(member: SimMember, cause: unknown): void {
    if (isBug(member, cause)) return this.world.fail(cause)
    if (isDamageReport(cause)) {
      member.isLost = true
      this.trace.tell(member.name, 'is lost: it holds damage and says so')
      return
    }
    const delayMs = this.restartDelayMs(member)
    if (delayMs === undefined) return
    this.world.schedule({ delayMs, run: () => this.world.act(() => member.start()) })
  }
}
