// Founders that move to another peer URL, one after the other: the cluster is told before, while they still run where they
// were, or while they are down, or they tell it themselves when they are started there (ADR 0027). Each time everybody comes to
// know where they are. An update names the epoch it means: one that a frozen process holds for seconds must not undo a later one.

import { eventually, type MemberProcess } from '../../support/process-cluster.ts'
import { type FaultRun, PATIENCE_MS } from './fault-run.ts'
import type { Nemesis } from './nemesis.ts'
import type { OperatorCalls } from './operator-calls.ts'
import { statusOf } from './status-watch.ts'

const ORDERS = ['told while it runs', 'told while it is down', 'tells itself'] as const

export class Moves {
  readonly #run: FaultRun
  readonly #nemesis: Nemesis
  readonly #calls: OperatorCalls
  readonly #idOf: (member: MemberProcess) => string
  /** So many came to be known. */
  moved = 0
  /** Those of them that the cluster was told of by a call. */
  updated = 0

  constructor(options: {
    run: FaultRun
    nemesis: Nemesis
    calls: OperatorCalls
    idOf: (member: MemberProcess) => string
  }) {
    this.#run = options.run
    this.#nemesis = options.nemesis
    this.#calls = options.calls
    this.#idOf = options.idOf
  }

  /** Resolves once everybody knows where it is: several that move without having heard of each other may lose each other. */
  async move(member: MemberProcess): Promise<void> {
    const { cluster, links } = this.#run
    // The first is always told: that is what a run of a few seconds is to show.
    const choice = this.moved === 0 ? 2 : ORDERS.length
    const order = ORDERS[this.#nemesis.prng.next(choice)]!
    const { port, leave } = await links.move(member.name)
    if (order === 'told while it runs') await this.#update(member, port)
    if (member.child !== undefined) await cluster.kill(member)
    cluster.move(member, port)
    if (order === 'told while it is down') await this.#update(member, port)
    cluster.start(member)
    leave()
    await this.known(member)
    this.moved++
  }

  /** Resolves once every founder knows where this one is reached. */
  async known(member: MemberProcess): Promise<void> {
    const id = this.#idOf(member)
    const url = urlAt(member.advertisedPeerPort)
    for (const by of this.#run.cluster.founders) {
      await eventually(
        `${by.name} knows ${member.name} at ${url}`,
        async () => {
          this.#nemesis.supervise()
          if (member.child === undefined) this.#run.cluster.start(member)
          const known = (await statusOf(by))?.members.find((other) => other.id === id)
          return known?.peerUrls.join() === url ? true : undefined
        },
        { timeoutMs: PATIENCE_MS, everyMs: 50, explain: () => this.#run.explain() },
      )
    }
  }

  async #update(member: MemberProcess, port: number): Promise<void> {
    const id = this.#idOf(member)
    const peerUrls = [urlAt(port)]
    await this.#calls.until(
      `${member.name} reached at ${peerUrls[0]}`,
      (epoch) => {
        const expected = epoch === undefined ? '' : `?expectedEpoch=${epoch}`
        return { method: 'PATCH', path: `/cluster/members/${id}${expected}`, body: { peerUrls } }
      },
      { holds: (members) => members.includes(`${id} voter`) },
    )
    this.updated++
  }
}

function urlAt(port: number): string {
  return `http://127.0.0.1:${port}`
}
