// A member that joins, gets a vote and is removed, again and again, each time under its next incarnation and with a blank
// disk, while everything else happens as well; and each time it is removed it comes back with the disk it had, in vain (faults.md
// F50 to F53).

import { rm } from 'node:fs/promises'
import { memberIdOf } from '../../../lib/identity.ts'
import { eventually, type MemberProcess } from '../../support/process-cluster.ts'
import { sleep } from './duration.ts'
import { type FaultRun, PATIENCE_MS } from './fault-run.ts'
import type { Nemesis } from './nemesis.ts'
import type { OperatorCalls } from './operator-calls.ts'

export class Churn {
  readonly #run: FaultRun
  readonly #nemesis: Nemesis
  readonly #calls: OperatorCalls
  readonly #member: MemberProcess
  /** Times that the member had a vote. */
  promoted = 0
  /** Times that it was started with the disk of a removed member. */
  returned = 0
  #incarnation = 0

  constructor(run: FaultRun, nemesis: Nemesis, calls: OperatorCalls) {
    this.#run = run
    this.#nemesis = nemesis
    this.#calls = calls
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
    const { name, advertisedPeerPort } = member
    const incarnation = this.#incarnation
    const id = memberIdOf(run.cluster.token, name, incarnation)
    const peerUrls = [`http://127.0.0.1:${advertisedPeerPort}`]
    const path = '/cluster/members'
    const addition = { method: 'POST', path, body: { name, incarnation, peerUrls } } as const
    const calls = this.#calls
    await calls.until(`${name} added`, addition, {
      holds: (members) => members.some((text) => text.startsWith(id)),
    })
    run.join(member, calls.listed)
    const promotion = { method: 'POST', path: `${path}/${id}/promote`, body: {} } as const
    await calls.until(`${name} promoted`, promotion, {
      holds: (members) => members.includes(`${id} voter`),
      // One that ended before it had been told of its cluster is started again, as a supervisor would.
      meanwhile: () => {
        if (member.child !== undefined || this.#nemesis.isTaken(member)) return
        run.join(member, calls.listed)
      },
    })
    this.promoted++
    await sleep(this.#nemesis.prng.next(1500))
    await calls.until(
      `${name} removed`,
      { method: 'DELETE', path: `${path}/${id}` },
      {
        holds: (members) => !members.some((text) => text.startsWith(id)),
      },
    )
    await this.#comeBack()
  }

  /** With the disk that it had: whoever of the others it reaches, or its own disk, tells it that it was removed. */
  async #comeBack(): Promise<void> {
    const { cluster } = this.#run
    const member = this.#member
    await this.#nemesis.hold(member)
    if (member.child !== undefined) await cluster.kill(member)
    const from = member.output.length
    cluster.start(member)
    await eventually(
      `the end of ${member.name}, which was removed`,
      () => (member.child === undefined ? true : undefined),
      { timeoutMs: PATIENCE_MS, explain: () => this.#run.explain() },
    )
    const told = member.output.slice(from)
    if (!told.includes('MEMBER_REMOVED'))
      throw new Error(`${member.name} was removed, came back and did not say so:\n${told}`)
    this.returned++
    cluster.joining.delete(member)
    await rm(member.dataDir, { recursive: true })
    this.#nemesis.free(member)
  }
}
