// Everything that an operator does to a running cluster, beside the faults: members that come and go, disks that are lost and
// replaced, founders that move to other peer URLs, configuration files, leadership that is handed to somebody by name, and the
// feature level. Answers get lost, and calls are made again. At the end the membership is what the last acknowledged calls made
// of it, on every member.

import { eventually, type MemberProcess } from '../../support/process-cluster.ts'
import { Churn } from './churn.ts'
import { ConfigRewriter } from './config-rewriter.ts'
import { type FaultRun, PATIENCE_MS } from './fault-run.ts'
import { LostDisks } from './lost-disks.ts'
import { Moves } from './moves.ts'
import type { Nemesis } from './nemesis.ts'
import { OperatorCalls } from './operator-calls.ts'
import { statusOf } from './status-watch.ts'

type Kind = 'configured' | 'finalized' | 'handed over'
const KINDS: readonly Kind[] = ['configured', 'finalized', 'handed over']

/** What every program of this version knows, and what none does. */
const KNOWN_LEVEL = 0
const UNKNOWN_LEVEL = 1

export class Operations {
  readonly #run: FaultRun
  readonly #nemesis: Nemesis
  readonly #calls: OperatorCalls
  readonly #churn: Churn
  readonly #disks: LostDisks
  readonly #moves: Moves
  readonly #files: ConfigRewriter
  readonly #counts = new Map<Kind, number>()

  constructor(run: FaultRun, nemesis: Nemesis) {
    this.#run = run
    this.#nemesis = nemesis
    this.#calls = new OperatorCalls(run, nemesis)
    this.#churn = new Churn(run, nemesis, this.#calls)
    const disks = new LostDisks(run, this.#calls)
    this.#disks = disks
    const idOf = (member: MemberProcess): string => disks.idOf(member)
    this.#moves = new Moves({ run, nemesis, calls: this.#calls, idOf })
    this.#files = new ConfigRewriter(run, nemesis.prng)
  }

  get counts(): ReadonlyMap<string, number> {
    return new Map<string, number>([
      ...this.#counts,
      ['disk lost', this.#disks.replaced],
      ['moved', this.#moves.moved],
      ['peer URL updated', this.#moves.updated],
      ['came and went', this.#churn.returned],
      ['mistakes refused', this.#files.refused],
      ['answers lost', this.#calls.cut],
    ])
  }

  get summary(): string {
    const told = [...this.counts].map(([what, count]) => `${what} ${count}`)
    return `${told.join(', ')}; ${this.#calls.summary}`
  }

  /** Resolves when `isOver` holds and everything that was begun has come to its end. */
  async goOn(isOver: () => boolean): Promise<void> {
    await Promise.all([this.#churn.goOn(isOver), this.#takeOut(isOver), this.#doTheRest(isOver)])
  }

  /** What an operator takes a founder out for is done to one at a time; and all of it once at least. */
  async #takeOut(isOver: () => boolean): Promise<void> {
    const { founders } = this.#run.cluster
    while (this.#disks.replaced === 0 || this.#moves.moved === 0 || !isOver()) {
      const loses = this.#moves.moved > this.#disks.replaced
      await this.#with(founders, (member) =>
        loses ? this.#disks.lose(member) : this.#moves.move(member),
      )
      await this.#nemesis.wait(20, 1000)
    }
  }

  async #doTheRest(isOver: () => boolean): Promise<void> {
    while (!this.#counts.has('configured') || !isOver()) {
      const kind = KINDS[this.#nemesis.prng.next(KINDS.length)]!
      if (await this.#happen(kind)) this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1)
      await this.#nemesis.wait(20, 200)
    }
  }

  /** Resolves once every member has the membership of the last acknowledged calls, and the newest content of its file. */
  async settled(): Promise<void> {
    for (const founder of this.#run.cluster.founders) await this.#moves.known(founder)
    const expected = this.#disks.ids
      .map((id) => `${id} voter`)
      .toSorted()
      .join(', ')
    for (const member of this.#run.members) {
      await eventually(
        `${member.name} has the members ${expected}`,
        async () => {
          const members = (await statusOf(member))?.members ?? []
          const told = members
            .map(({ id, role }) => `${id} ${role}`)
            .toSorted()
            .join(', ')
          return told === expected ? true : undefined
        },
        { timeoutMs: PATIENCE_MS, everyMs: 50, explain: () => this.#run.explain() },
      )
      await this.#files.settled(member)
    }
  }

  async #happen(kind: Kind): Promise<boolean> {
    switch (kind) {
      case 'configured':
        return this.#with(this.#run.members, (member) => this.#files.rewrite(member))
      case 'handed over':
        return this.#handOver()
      default:
        return this.#finalize()
    }
  }

  async #with(
    among: readonly MemberProcess[],
    act: (member: MemberProcess) => Promise<void>,
  ): Promise<boolean> {
    const member = this.#nemesis.take(among)
    if (member === undefined) return false
    await act(member)
    this.#nemesis.free(member)
    return true
  }

  /** To somebody by name: whoever says that it is done names no other. */
  async #handOver(): Promise<boolean> {
    const { founders } = this.#run.cluster
    const target = founders[this.#nemesis.prng.next(founders.length)]!.name
    const question = { method: 'POST', path: '/cluster/leader', body: { target } } as const
    let isDone = false
    for (const via of this.#run.usable) {
      const answer = await this.#calls.once(via, question)
      if (answer?.status !== 200) continue
      const { leaderName } = answer.body
      if (leaderName !== target)
        throw new Error(`${via.name} handed over to ${target}: ${JSON.stringify(leaderName)}`)
      isDone = true
    }
    return isDone
  }

  /** To what all know it is, or becomes so; to what nobody knows it never does. */
  async #finalize(): Promise<boolean> {
    let isDone = false
    for (const via of this.#run.usable) {
      const level = this.#nemesis.prng.next(2) === 0 ? KNOWN_LEVEL : UNKNOWN_LEVEL
      const body = this.#nemesis.prng.next(2) === 0 && level === KNOWN_LEVEL ? {} : { level }
      const question = { method: 'POST', path: '/cluster/finalize', body } as const
      const answer = await this.#calls.once(via, question)
      if (answer?.status !== 200) continue
      const { featureLevel } = answer.body
      if (level !== KNOWN_LEVEL || featureLevel !== KNOWN_LEVEL)
        throw new Error(
          `${via.name} finalized ${JSON.stringify(body)}: ${JSON.stringify(featureLevel)}`,
        )
      isDone = true
    }
    return isDone
  }
}
