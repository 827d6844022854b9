// A member that joins, gets a vote and is removed, again and again, each time under its next incarnation and with a blank
// disk, while everything else happens as well. Whoever asks gets no answer often enough, and asks again of whoever leads by
// then: every call has to be safe to repeat (faults.md F50 to F53).

import { rm } from 'node:fs/promises'
import { memberIdOf } from '../../../lib/identity.ts'
import type { MemberProcess } from '../../support/process-cluster.ts'
import { sleep } from './duration.ts'
import { type FaultRun, PATIENCE_MS } from './fault-run.ts'
import type { Nemesis } from './nemesis.ts'

/** Shorter than an election: many answers do not come in time. */
const ANSWER_MS = 700

type Ask = (via: MemberProcess) => Promise<Response>

export class Churn {
  readonly #run: FaultRun
  readonly #nemesis: Nemesis
  readonly #member: MemberProcess
  /** Times that the member had a vote. */
  promoted = 0
  /** Calls whose answer did not come. */
  unanswered = 0
  #incarnation = 0

  constructor(run: FaultRun, nemesis: Nemesis) {
    this.#run = run
    this.#nemesis = nemesis
    this.#member = run.cluster.members.at(-1)!
  }

  /** Resolves once `isOver` holds and the member is out of the cluster. */
  async goOn(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      this.#incarnation++
      await this.#once()
    }
  }

  async #once(): Promise<void> {
    const run = this.#run
    const member = this.#member
    const { name, advertisedPeerPort, dataDir } = member
    const incarnation = this.#incarnation
    const id = memberIdOf(run.cluster.token, name, incarnation)
    const peerUrls = [`http://127.0.0.1:${advertisedPeerPort}`]
    await this.#until('added', post('', { name, incarnation, peerUrls }))
    const founders = [...run.cluster.founders]
    run.join(member, founders)
    await this.#until('promoted', async (via) => {
      // One that ended before it had been told of its cluster is started again, as a supervisor would.
      if (member.child === undefined && !this.#nemesis.isTaken(member)) run.cluster.start(member)
      return post(`/${id}/promote`, {})(via)
    })
    this.promoted++
    await sleep(this.#nemesis.prng.next(1500))
    await this.#until('removed', (via) =>
      fetch(`${via.api}/cluster/members/${id}`, options('DELETE')),
    )
    await this.#nemesis.hold(member)
    if (member.child !== undefined) await run.cluster.kill(member)
    run.cluster.joining.delete(member)
    await rm(dataDir, { recursive: true })
    this.#nemesis.free(member)
  }

  /** Asks every founder in turn until one says that it is so. */
  async #until(what: string, ask: Ask): Promise<void> {
    const untilMs = performance.now() + 2 * PATIENCE_MS
    let last = 'nobody answered'
    for (let i = 0; performance.now() < untilMs; i++) {
      const { founders } = this.#run.cluster
      try {
        const response = await ask(founders[i % founders.length]!)
        last = await response.text()
        if (response.ok) return
      } catch (error) {
        this.unanswered++
        last = String(error)
      }
      await sleep(50)
    }
    throw new Error(`${this.#member.name} is not ${what}: ${last}\n${this.#run.explain()}`)
  }
}

function post(path: string, body: object): Ask {
  return (via) => fetch(`${via.api}/cluster/members${path}`, options('POST', body))
}

function options(method: string, body?: object): RequestInit {
  const signal = AbortSignal.timeout(ANSWER_MS)
  if (body === undefined) return { method, signal }
  const headers = { 'content-type': 'application/json' }
  return { method, signal, headers, body: JSON.stringify(body) }
}
