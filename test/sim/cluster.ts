// A whole simulated cluster: world, wires, members and their checkers, put together from a plan.

import { hasCode } from '../../lib/errors.ts'
import { type Prng, SeededPrng } from '../../lib/prng.ts'
import {
  type Identity,
  identityOf,
  type InitialMember,
  memberIdOf,
} from '../../member/src/node/identity.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import { decodePeerMessage } from '../../member/src/wire/raft-codec.ts'
import type { AcknowledgedAddress, AcknowledgedChange, Checker, View } from './checkers/checker.ts'
import { History } from './checkers/history.ts'
import { describeCluster } from '../../member/src/node/join-plan.ts'
import type { Member } from '../../member/src/node/member.ts'
import type { LogSink } from './log.ts'
import { isBug, isDamageReport, SimMember, urlOf } from './member.ts'
import { SimNetwork } from './network.ts'
import { type NewestMembership, SimOperator } from './operator.ts'
import type { Plan } from './plan.ts'
import { Trace, type TraceLevel } from './trace.ts'
import { type Owner, World } from './world.ts'

export const TOKEN = 'sim'
/** Whom a cluster of so many is made of. */
export function foundersOf(members: number): readonly InitialMember[] {
  return Array.from({ length: members }, (_, i): InitialMember => {
    const name = `n${i + 1}`
    return { name, peerUrls: [urlOf({ name, incarnation: 1 })] }
  })
}

/** How long one that asks waits for an answer. */
const QUESTION_TIMEOUT_MS = 1500

export interface ClusterOptions {
  readonly plan: Plan
  readonly checkers: readonly Checker[]
  readonly traceLevel: TraceLevel
  readonly traceLinesMax?: number
  /** One that other clusters live in as well. */
  readonly world?: World
  /** Of members whose disks were restored; otherwise that of their founding. */
  readonly clusterId?: string
}

export class SimCluster implements View {
  readonly plan: Plan
  readonly world: World
  readonly trace: Trace
  readonly network: SimNetwork
  readonly history = new History()
  readonly members: SimMember[] = []
  readonly operator: SimOperator
  readonly #founders: readonly InitialMember[]
  readonly #checkers: readonly Checker[]
  readonly #prng: Prng
  readonly #byId = new Map<MemberId, SimMember>()
  #joined = 0
  /** Undefined until there was a first change. */
  newest: NewestMembership | undefined
  /** How late the membership file reaches its readers. */
  fileLagMs: number
  /** Asked after each death that nobody planned: how long until the member starts again; undefined: not. */
  restartDelayMs: (member: SimMember) => number | undefined = () => undefined

  constructor({ plan, checkers, traceLevel, traceLinesMax, ...options }: ClusterOptions) {
    const world = options.world ?? new World()
    this.world = world
    this.plan = plan
    this.fileLagMs = plan.fileLagMs
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
    this.network.onHeard = (from, by) => {
      const [sender, receiver] = [this.#byId.get(from), this.#byId.get(by)]
      if (sender === undefined || receiver === undefined) return
      for (const checker of this.#checkers) checker.onHeard?.(sender, receiver, this)
    }
    const founders = foundersOf(plan.members)
    this.#founders = founders
    const identities = founders.map(({ name }) => {
      const made = identityOf({ token: TOKEN, name, members: founders })
      return { ...made, clusterId: options.clusterId ?? made.clusterId }
    })
    this.operator = new SimOperator({
      world,
      token: TOKEN,
      clusterId: identities[0]!.clusterId,
      founders,
      members: () => this.members,
      newest: () => this.newest,
    })
    for (const identity of identities) this.#add(identity, false)
  }

  get nowMs(): number {
    return this.world.nowMs
  }

  readonly nameOf = (id: MemberId): string => this.#byId.get(id)?.name ?? id

  /** A generator of its own for a part of the run, so that parts do not shift each other's draws. */
  fork(): Prng {
    return new SeededPrng(this.#prng.next(2 ** 32))
  }

  /** By the newest membership that anybody ever showed. */
  get current(): readonly SimMember[] {
    const { newest, members, plan } = this
    if (newest === undefined) return members.slice(0, plan.members)
    return members.filter(({ id }) => newest.ids.has(id))
  }

  /** Whether so many of the voters of the newest membership are among these that they could decide. */
  canDecide(among: (member: SimMember) => boolean): boolean {
    const { newest } = this
    const isHalf = (ids: readonly MemberId[]): boolean => {
      const there = ids.filter((id) => {
        const member = this.#byId.get(id)
        return member !== undefined && among(member)
      })
      return ids.length === 0 || 2 * there.length > ids.length
    }
    if (newest === undefined) return isHalf(this.current.map(({ id }) => id))
    return isHalf(newest.confState.voters) && isHalf(newest.confState.votersOutgoing)
  }

  /**
   * A member that is not part of the cluster yet; its process waits to be added. With a name that was there before, under
   * its next incarnation.
   */
  join(again?: SimMember): SimMember {
    const first = this.members[0]!
    if (again === undefined) this.#joined++
    const name = again?.identity.name ?? `j${this.#joined}`
    const lives = this.members.filter(({ identity }) => identity.name === name).length
    const incarnation = lives + 1
    const member = this.#add(
      {
        ...first.identity,
        name,
        incarnation,
        memberId: memberIdOf(TOKEN, name, incarnation),
        initialCluster: '',
      },
      true,
    )
    this.operator.expect()
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

  get isStuck(): boolean {
    return !this.canDecide((member) => !member.isGone)
  }

  tell(what: string): void {
    this.trace.tell('', what)
  }

  finish(): void {
    this.operator.stop()
    for (const checker of this.#checkers) checker.finish?.(this.history.operations, this)
  }

  onMembership(change: AcknowledgedChange): void {
    for (const checker of this.#checkers) checker.onMembership?.(change)
  }

  onAddress(address: AcknowledgedAddress): void {
    for (const checker of this.#checkers) checker.onAddress?.(address)
  }

  onFinalized(level: number): void {
    for (const checker of this.#checkers) checker.onFinalized?.(level)
  }

  onAnswer(answer: Parameters<NonNullable<Checker['onAnswer']>>[0]): void {
    for (const checker of this.#checkers) checker.onAnswer?.(answer, this)
  }

  #add(identity: Identity, joins: boolean): SimMember {
    const { plan, world, network, trace, operator } = this
    const member = new SimMember({
      world,
      network,
      trace,
      prng: this.fork(),
      identity,
      initialMembers: () => (joins ? this.#today(identity) : this.#founders),
      joins,
      readMembership: plan.isOperated ? () => operator.edition(this.fileLagMs).text : undefined,
      askPeers: (asking, asked) =>
        this.#ask(asking, asked, (peer) => ({
          clusterId: peer.identity.clusterId,
          name: peer.identity.name,
          takenPart: peer.hasTakenPart(asking.id),
        })),
      askForCluster: (asking, asked) =>
        this.#ask(asking, asked, ({ identity: { clusterId }, stateMachine }) => {
          const described = describeCluster(stateMachine)
          return described && { clusterId, ...described }
        }),
      onStart: (starting) => this.#onStart(starting),
      settings: plan.settings,
      diskSpeed: plan.diskSpeed,
      turnMs: plan.turnMs,
      nameOf: this.nameOf,
      onLog: (...line) => this.#onLog(...line),
      onDeath: (dead, cause) => this.#onDeath(dead, cause),
    })
    if (plan.clocksDiffer) member.clockRate = 0.9 + this.#prng.next(200) / 1000
    this.members.push(member)
    this.#byId.set(member.id, member)
    return member
  }

  /** Each answers at once, or is not there, or is not heard of for as long as the question lasts. */
  async #ask<Answer>(
    asking: SimMember,
    asked: readonly InitialMember[],
    answerOf: (member: Member) => Answer | undefined,
  ): Promise<readonly Answer[]> {
    const { process } = asking
    if (process === undefined) return []
    const answers = await Promise.all(
      asked.map(async ({ peerUrls }): Promise<Answer | undefined> => {
        const peer = this.members.find(({ listensAt }) => peerUrls.includes(listensAt))
        if (peer?.process === undefined) return undefined
        const { network } = this
        await process.sleep(2 * network.delayMs())
        const isCut = network.isCut(asking.id, peer.id) || network.isCut(peer.id, asking.id)
        if (!isCut && !peer.isPaused) return peer.member && answerOf(peer.member)
        await process.sleep(QUESTION_TIMEOUT_MS)
        return undefined
      }),
    )
    return answers.filter((answer) => answer !== undefined)
  }

  /** Whom one that joins by its settings names: everybody who belongs to the cluster now. */
  #today(joining: Identity): readonly InitialMember[] {
    const others = this.current.filter(({ identity }) => identity.name !== joining.name)
    const theirs = others.map(({ identity: { name }, peerUrl }) => ({ name, peerUrls: [peerUrl] }))
    return [...theirs, { name: joining.name, peerUrls: [urlOf(joining)] }]
  }

  #onStart(member: SimMember): void {
    try {
      for (const checker of this.#checkers) checker.onStart?.(member)
    } catch (error) {
      this.world.fail(error)
    }
  }

  /**
   * Whatever just happened in a member, it may not show anything that must never be. What a message changes is seen at the
   * end of the turn that it begins.
   */
  #look(owner: Owner | undefined): void {
    if (owner === undefined) return
    const member = this.members.find(({ process }) => process === owner)
    if (member?.member === undefined) return
    const { membershipEpoch: epoch, confState, members, removed } = member.member.stateMachine
    if (epoch > (this.newest?.epoch ?? 0)) {
      this.newest = { epoch, confState, ids: new Set(members.keys()), removed: new Set(removed) }
    }
    if (this.plan.operates && member === this.leader) this.#heedLevels(member.member)
    for (const checker of this.#checkers) checker.onEvent?.(member, this)
  }

  /** Nobody whom the leader knows to be older than a feature level can be left behind by that. */
  #heedLevels({ stateMachine: { level, members } }: Member): void {
    for (const member of this.members) {
      if (member.hasToldLevel || level > member.knownLevel) continue
      member.hasToldLevel = members.get(member.id)?.level === member.knownLevel
    }
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
      member.crash(undefined)
      this.trace.tell(member.name, 'is lost: it holds damage and says so')
      return
    }
    if (member.isBuried) return
    // Whoever looks after it runs a program again that its cluster can use.
    if (hasCode(cause, 'PROTOCOL_MISMATCH')) member.exchange(this.plan.settings.knownLevel)
    const delayMs = this.restartDelayMs(member)
    if (delayMs === undefined) return
    this.world.schedule({ delayMs, run: () => this.world.act(() => member.start()) })
  }
}
