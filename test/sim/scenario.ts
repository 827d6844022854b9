// Single situations told as a story, on a calm simulated cluster: what a numbered fault is, and what must follow from it.
// All checkers watch; the end demands that everybody agrees.

import { SeededPrng } from '../../lib/prng.ts'
import { type NodeSettings, nodeSettings } from '../../member/src/node/settings.ts'
import type { PeerMessage } from '../../member/src/raft/message.ts'
import type { Outcome } from './checkers/history.ts'
import { allCheckers } from './checkers/all.ts'
import { CheckFailure, type Checker } from './checkers/checker.ts'
import { ElectionSafety } from './checkers/election-safety.ts'
import { type ClusterOptions, SimCluster } from './cluster.ts'
import type { SimMember } from './member.ts'
import type { Plan } from './plan.ts'
import { Workload } from './workload.ts'

export const ELECTION_MS = 1000

export interface ScenarioOptions {
  readonly seed: number
  readonly members?: number
  readonly settings?: Partial<NodeSettings>
  /** Nobody wants its timeline. */
  readonly isQuiet?: boolean
  /** Clients that go on all the time; none if left out. */
  readonly clients?: number
  readonly onMessage?: (message: PeerMessage) => void
  /** Its members have no membership file. */
  readonly isAlone?: boolean
  /** Beside another, in the same time; its disks may have been restored. */
  readonly beside?: Pick<ClusterOptions, 'world' | 'clusterId'>
}

function calmPlan(options: ScenarioOptions): Plan {
  const { seed, members = 3, settings = {}, clients = 0, isAlone } = options
  const base = nodeSettings({
    heartbeatMs: ELECTION_MS / 10,
    electionMs: ELECTION_MS,
    requestBytesMax: 65_536,
    snapshotLogBytes: 1024 * 1024,
    quotaBytes: Number.POSITIVE_INFINITY,
  })
  return {
    seed,
    members,
    settings: { ...base, segmentBytes: 64 * 1024, ...settings },
    electionMs: ELECTION_MS,
    diskSpeed: { flushMs: 1, changeMs: 0.2 },
    turnMs: 0.01,
    network: {
      delayMinMs: 0.2,
      delayMaxMs: 1,
      lost: 0,
      doubled: 0,
      reorders: false,
      doubleLateMs: 1,
      holds: false,
    },
    workload: {
      clients,
      keys: 3,
      thinkMs: 50 * clients,
      timeoutMs: 2000,
      puts: 50,
      deletes: 5,
      serializable: 5,
      valueBytes: 0,
    },
    chaosMs: 0,
    compacts: false,
    reconfigures: false,
    operates: false,
    isOperated: isAlone !== true,
    fileLagMs: 0,
    faults: [],
    clocksDiffer: false,
  }
}

export class Scenario {
  readonly cluster: SimCluster
  readonly #elections = new ElectionSafety()
  readonly #workload: Workload
  readonly prng: SeededPrng

  constructor(options: ScenarioOptions) {
    const plan = calmPlan(options)
    const { onMessage } = options
    const own: Checker[] = onMessage === undefined ? [] : [{ name: 'scenario', onMessage }]
    const checkers = [this.#elections, ...allCheckers(), ...own]
    const traceLevel = options.isQuiet === true ? 'off' : 'timeline'
    const { beside = {} } = options
    this.cluster = new SimCluster({
      plan,
      checkers,
      traceLevel,
      traceLinesMax: 20_000,
      ...beside,
    })
    this.prng = new SeededPrng(options.seed)
    this.#workload = new Workload({
      world: this.cluster.world,
      prng: this.cluster.fork(),
      profile: plan.workload,
      history: this.cluster.history,
      members: () => this.cluster.members,
      onAnswer: (answer) => this.cluster.onAnswer(answer),
    })
  }

  /** All members run and agree on a leader; clients, if there are any, have begun. */
  static async started(options: ScenarioOptions): Promise<Scenario> {
    const scenario = new Scenario(options)
    for (const member of scenario.members) member.start()
    await scenario.agreed()
    scenario.#workload.start()
    return scenario
  }

  get members(): readonly SimMember[] {
    return this.cluster.members
  }

  get nowMs(): number {
    return this.cluster.nowMs
  }

  /** Number of elections won so far. */
  get elections(): number {
    return this.#elections.electionCount
  }

  get leader(): SimMember {
    const { leader } = this.cluster
    if (leader === undefined) this.fail('nobody leads')
    return leader
  }

  get followers(): readonly SimMember[] {
    const { leader } = this
    return this.members.filter((member) => member !== leader && member.member !== undefined)
  }

  async pass(ms: number): Promise<void> {
    const { world } = this.cluster
    await world.run(world.nowMs + ms)
    if (world.failure !== undefined) this.fail(world.failure)
  }

  /** Lets time pass until it holds; fails after `withinMs`. Returns how long it took. */
  async until(what: string, holds: () => boolean, withinMs: number): Promise<number> {
    const { world } = this.cluster
    const startMs = world.nowMs
    await world.run(startMs + withinMs, holds)
    if (world.failure !== undefined) this.fail(world.failure)
    if (!holds()) this.fail(`${what}: not within ${withinMs} ms`)
    return world.nowMs - startMs
  }

  /** Everybody who runs and is not cut off follows one leader and has applied an entry of its term. */
  agreed(among = this.members, withinMs = 5 * ELECTION_MS): Promise<number> {
    const isAgreed = (): boolean => {
      const leaders = new Set(among.map(({ member }) => member?.driver.leader))
      return leaders.size === 1 && among.every(({ member }) => member?.isReady() === true)
    }
    return this.until('a leader all agree on', isAgreed, withinMs)
  }

  cut(from: SimMember, to: SimMember): void {
    this.cluster.network.cut(from.id, to.id)
  }

  /** `out`: nothing it sends arrives; `in`: nothing arrives at it. */
  cutOff(one: SimMember, direction: 'in' | 'out' | 'both'): void {
    for (const other of this.members) {
      if (other === one) continue
      if (direction !== 'in') this.cut(one, other)
      if (direction !== 'out') this.cut(other, one)
    }
  }

  healAll(): void {
    this.cluster.network.healAll()
  }

  /** The outcome, once it is known; time has to pass for that. */
  put(via: SimMember, timeoutMs = 1000, client = 'story'): { outcome: Outcome | undefined } {
    const asked: { outcome: Outcome | undefined } = { outcome: undefined }
    void this.#keep(asked, this.#workload.put(via, client, timeoutMs))
    return asked
  }

  get(via: SimMember, timeoutMs = 1000): { outcome: Outcome | undefined } {
    const asked: { outcome: Outcome | undefined } = { outcome: undefined }
    void this.#keep(asked, this.#workload.get(via, 'story', 'probe-story', timeoutMs))
    return asked
  }

  /** Whether a write through `via` is acknowledged within the time. */
  async serves(via: SimMember, withinMs: number): Promise<boolean> {
    const asked = this.put(via, withinMs)
    await this.pass(withinMs + 20)
    return asked.outcome?.type === 'done'
  }

  /** Everything heals; all who run agree, and nothing was lost on the way. */
  async end(): Promise<void> {
    this.healAll()
    this.#workload.stop()
    for (const member of this.members) {
      member.process?.resume()
      member.start()
    }
    const isEqual = (): boolean => {
      const states = this.cluster.current.map(({ member }) => member?.status())
      const last = states[0]?.lastIndex
      return states.every((state) => state?.applied === last && state?.lastIndex === last)
    }
    await this.until('members that agree', isEqual, 20 * ELECTION_MS)
    await this.pass(3500)
    await this.until('members that agree', isEqual, 20 * ELECTION_MS)
    try {
      this.cluster.finish()
    } catch (error) {
      this.fail(error)
    }
  }

  fail(cause: unknown): never {
    const timeline = this.cluster.trace.lines.slice(-40).join('\n')
    const what = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
    const checker = cause instanceof CheckFailure ? cause.checker : 'story'
    throw new CheckFailure(checker, `seed ${this.cluster.plan.seed}: ${what}\n${timeline}`)
  }

  async #keep(asked: { outcome: Outcome | undefined }, outcome: Promise<Outcome>): Promise<void> {
    asked.outcome = await outcome
  }
}
