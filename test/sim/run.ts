// One run: a cluster lives through the faults of its plan under load, then a majority of it must make progress while
// everything else stays broken, then all of it must agree. Nothing is ever acknowledged and lost on the way.

import { SeededPrng } from '../../lib/prng.ts'
import type { Checker } from './checkers/checker.ts'
import { CheckFailure } from './checkers/checker.ts'
import { allCheckers } from './checkers/all.ts'
import { ElectionSafety } from './checkers/election-safety.ts'
import { SimCluster } from './cluster.ts'
import { Compactions } from './compactions.ts'
import { FaultInjector, someMajority } from './faults.ts'
import type { SimMember } from './member.ts'
import type { Plan } from './plan.ts'
import type { TraceLevel } from './trace.ts'
import { Workload } from './workload.ts'

export interface RunOptions {
  readonly plan: Plan
  /** Only the faults with these numbers, counted from 0; all if left out. */
  readonly faults?: readonly number[]
  readonly traceLevel?: TraceLevel
  readonly traceLinesMax?: number
}

export interface RunResult {
  readonly plan: Plan
  readonly virtualMs: number
  /** Undefined: nothing was wrong. */
  readonly failure: RunFailure | undefined
  readonly counts: RunCounts
  readonly trace: readonly string[]
  /** Equal for equal runs. */
  readonly digest: string
}

export interface RunFailure {
  /** The checker that failed, or what else did. */
  readonly checker: string
  readonly what: string
  readonly error: unknown
}

export interface RunCounts {
  readonly faults: number
  readonly operations: number
  readonly acknowledged: number
  readonly elections: number
  readonly lives: number
  readonly events: number
  /** From the moment a majority was healthy until it had acknowledged a write through each of its members. */
  readonly livenessMs: number
}

/** How many election timeouts a healthy majority has for its first write, its starts and replays included. */
const LIVENESS_ELECTIONS = 10
const CONVERGENCE_ELECTIONS = 40
/** Until one that joins has read who the voters are, and asked them twice. */
const FILE_MS = 5000

export async function runPlan(options: RunOptions): Promise<RunResult> {
  const run = new Run(options)
  return run.run()
}

class Run {
  readonly #plan: Plan
  readonly #options: RunOptions
  readonly #elections = new ElectionSafety()
  readonly #cluster: SimCluster
  readonly #workload: Workload
  readonly #compactions: Compactions
  readonly #injector: FaultInjector
  #livenessMs = 0

  constructor(options: RunOptions) {
    const { plan, traceLevel = 'off', traceLinesMax } = options
    this.#plan = plan
    this.#options = options
    const checkers: readonly Checker[] = [this.#elections, ...allCheckers()]
    const limit = traceLinesMax === undefined ? {} : { traceLinesMax }
    this.#cluster = new SimCluster({ plan, checkers, traceLevel, ...limit })
    const cluster = this.#cluster
    this.#workload = new Workload({
      world: cluster.world,
      prng: cluster.fork(),
      profile: plan.workload,
      history: cluster.history,
      members: () => cluster.members,
      onAnswer: (answer) => cluster.onAnswer(answer),
    })
    this.#compactions = new Compactions({
      world: cluster.world,
      prng: new SeededPrng(plan.seed + 2 ** 45),
      members: () => cluster.members,
    })
    this.#injector = new FaultInjector(cluster)
  }

  async run(): Promise<RunResult> {
    let failure: RunFailure | undefined
    try {
      await this.#live()
    } catch (error) {
      failure = describeFailure(error)
      this.#cluster.tell(`FAILED ${failure.checker}: ${failure.what}`)
    }
    return {
      plan: this.#plan,
      virtualMs: this.#cluster.nowMs,
      failure,
      counts: this.#count(),
      trace: this.#cluster.trace.lines,
      digest: this.#digest(),
    }
  }

  async #live(): Promise<void> {
    const { plan, faults } = { plan: this.#plan, faults: this.#options.faults }
    const { world, members } = this.#cluster
    for (const member of members) member.start()
    this.#workload.start()
    if (plan.compacts) this.#compactions.start()
    const chosen =
      faults === undefined ? plan.faults : plan.faults.filter((_, i) => faults.includes(i))
    this.#injector.schedule(chosen)
    await this.#advance(plan.chaosMs)
    await this.#demandProgress()
    this.#injector.healAll()
    await this.#advance(2 * plan.electionMs)
    this.#workload.stop()
    this.#compactions.stop()
    await this.#converge()
    this.#cluster.finish()
    if (world.failure !== undefined) throw world.failure
  }

  /** Lets time pass; throws what went wrong meanwhile. */
  async #advance(ms: number, isDone?: () => boolean): Promise<void> {
    const { world } = this.#cluster
    await world.run(world.nowMs + ms, isDone)
    if (world.failure !== undefined) throw world.failure
  }

  /** Liveness: a healthy, connected majority answers writes, and goes on doing so, whatever the others suffer. */
  async #demandProgress(): Promise<void> {
    const cluster = this.#cluster
    // While the membership changes, what a majority is may not be known to anybody: then all of it is made healthy.
    const { reconfigures } = this.#plan
    const { members } = cluster
    const majority = reconfigures
      ? members.filter(({ isBuried, isGone }) => !isBuried && !isGone)
      : someMajority(members, members.length, cluster.fork())
    if (!reconfigures && 2 * majority.length <= members.length) return
    // Too many disks are lost by what the membership is now: that is what recovery is for.
    if (reconfigures && cluster.isStuck) return
    const startMs = cluster.nowMs
    this.#injector.keepHealthy(majority)
    const done = new Set<SimMember>()
    for (const member of majority) this.#probe(member, done)
    const owing = (): readonly SimMember[] =>
      majority.filter(
        (member) =>
          !done.has(member) &&
          cluster.current.includes(member) &&
          this.#reachesLeader(member, majority),
      )
    const limitMs = LIVENESS_ELECTIONS * this.#plan.electionMs + this.#slackMs()
    await this.#advance(limitMs, () => done.size > 0 && owing().length === 0)
    this.#livenessMs = cluster.nowMs - startMs
    if (done.size === 0 || owing().length > 0) {
      const waiting = owing().map(({ name }) => name)
      const what = `no write within ${Math.round(limitMs)} ms through ${waiting.join(', ')}`
      throw new CheckFailure('liveness', `${what}, of a healthy majority`)
    }
  }

  /** A leader outside the healthy majority may serve most of it and be cut off from some: those are owed nothing (F16). */
  #reachesLeader(member: SimMember, healthy: readonly SimMember[]): boolean {
    const { leader, network } = this.#cluster
    if (leader === undefined || healthy.includes(leader)) return true
    return !network.isCut(member.id, leader.id) && !network.isCut(leader.id, member.id)
  }

  /** What slow disks and wires add to every step. */
  #slackMs(): number {
    const { diskSpeed, network, reconfigures } = this.#plan
    const waitMs = 100 * (diskSpeed.flushMs + diskSpeed.changeMs) + 40 * network.delayMaxMs
    return reconfigures ? waitMs + FILE_MS : waitMs
  }

  /** Writes through a member until one is acknowledged. */
  #probe(member: SimMember, done: Set<SimMember>): void {
    const { world } = this.#cluster
    const attempt = async (): Promise<void> => {
      const outcome = await this.#workload.put(member, `probe-${member.name}`, 1000)
      if (outcome.type === 'done') done.add(member)
      else world.schedule({ delayMs: 50, run: () => world.act(() => void attempt()) })
    }
    void attempt()
  }

  /** Everybody who can run does, and has applied the same. */
  async #converge(): Promise<void> {
    const cluster = this.#cluster
    if (cluster.isStuck) return
    const isEqual = (): boolean => {
      const running = cluster.current.filter((member) => !member.isGone)
      const states = running.map(({ member }) => member?.status())
      const first = states[0]
      if (first === undefined) return false
      const { lastIndex } = first
      return states.every((state) => state?.applied === lastIndex && state.lastIndex === lastIndex)
    }
    const limitMs = CONVERGENCE_ELECTIONS * this.#plan.electionMs + 10 * this.#slackMs()
    await this.#advance(limitMs, isEqual)
    if (!isEqual()) {
      const states = cluster.members.map(({ name, state, member }) => {
        const status = member?.status()
        return `${name} ${state} applied ${status?.applied ?? '-'} of ${status?.lastIndex ?? '-'}`
      })
      throw new CheckFailure('liveness', `members do not converge: ${states.join(', ')}`)
    }
    // Requests still under way end at their deadlines.
    await this.#advance(this.#plan.workload.timeoutMs + 2000)
    await this.#advance(limitMs, isEqual)
  }

  #count(): RunCounts {
    const { history, members, world } = this.#cluster
    return {
      faults: this.#injector.happenedCount,
      operations: history.operations.length,
      acknowledged: history.operations.filter(({ outcome }) => outcome.type === 'done').length,
      elections: this.#elections.electionCount,
      lives: members.reduce((sum, { lifeCount }) => sum + lifeCount, 0),
      events: world.eventCount,
      livenessMs: this.#livenessMs,
    }
  }

  #digest(): string {
    const { operations, acknowledged, elections, events } = this.#count()
    const states = this.#cluster.members.map(({ name, member }) => {
      const state = member?.stateMachine
      return `${name}:${state === undefined ? 'down' : `${state.appliedIndex}:${state.hash()}`}`
    })
    return [operations, acknowledged, elections, events, ...states].join(' ')
  }
}

export function describeFailure(error: unknown): RunFailure {
  if (error instanceof CheckFailure) return { checker: error.checker, what: error.message, error }
  if (!(error instanceof Error)) return { checker: 'unknown', what: String(error), error }
  const details = 'details' in error ? ` ${JSON.stringify(error.details)}` : ''
  return { checker: error.name, what: `${error.message}${details}`, error }
}
