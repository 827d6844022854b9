// Founders that lose their disks, one after the other: each comes back blank under its old name, is refused, and takes its own
// place as its next incarnation in one change of membership (faults.md F10, F52; promise 6).

import { rm } from 'node:fs/promises'
import { memberIdOf } from '../../../lib/identity.ts'
import { eventually, type MemberProcess } from '../../support/process-cluster.ts'
import { type FaultRun, PATIENCE_MS } from './fault-run.ts'
import type { OperatorCalls } from './operator-calls.ts'

/** Which the names of the founders are by now. */
const FIRST = 1

export class LostDisks {
  readonly #run: FaultRun
  readonly #calls: OperatorCalls
  readonly #incarnations = new Map<MemberProcess, number>()
  replaced = 0

  constructor(run: FaultRun, calls: OperatorCalls) {
    this.#run = run
    this.#calls = calls
  }

  /** Of the founders, as acknowledged. */
  get ids(): readonly string[] {
    return this.#run.cluster.founders.map((member) => this.idOf(member))
  }

  /** Resolves once the member takes part again, under its new id. */
  async lose(member: MemberProcess): Promise<void> {
    const run = this.#run
    await run.cluster.kill(member)
    await rm(member.dataDir, { recursive: true })
    await this.#isRefused(member)
    const { name, advertisedPeerPort } = member
    const oldId = this.idOf(member)
    const incarnation = (this.#incarnations.get(member) ?? FIRST) + 1
    const id = memberIdOf(run.cluster.token, name, incarnation)
    const peerUrls = [`http://127.0.0.1:${advertisedPeerPort}`]
    const path = '/cluster/members'
    const body = { name, incarnation, peerUrls }
    const calls = this.#calls
    await calls.until(
      `${name} added`,
      { method: 'POST', path, body },
      {
        holds: (members) => members.some((text) => text.startsWith(id)),
      },
    )
    const replacement = {
      method: 'POST',
      path: `${path}/${oldId}/replace`,
      body: { by: id },
    } as const
    await calls.until(`${name} replaced`, replacement, {
      holds: (members) => members.includes(`${id} voter`),
      meanwhile: () => {
        if (member.child === undefined) run.join(member, calls.listed)
      },
    })
    this.#incarnations.set(member, incarnation)
    this.replaced++
  }

  /** A blank disk under the name of a voter: it ends by itself until somebody has told it why. */
  async #isRefused(member: MemberProcess): Promise<void> {
    const from = member.output.length
    await eventually(
      `${member.name} is refused with a blank disk`,
      () => {
        if (member.output.includes('"AWAITING_REPLACEMENT"', from)) return true
        if (member.child === undefined) this.#run.join(member, this.#calls.listed)
        return undefined
      },
      { timeoutMs: PATIENCE_MS, everyMs: 50, explain: () => this.#run.explain() },
    )
    await eventually(
      `the end of ${member.name}`,
      () => (member.child === undefined ? true : undefined),
      { timeoutMs: PATIENCE_MS, explain: () => this.#run.explain() },
    )
  }

  /** By which the cluster knows this founder now. */
  idOf(member: MemberProcess): string {
    const incarnation = this.#incarnations.get(member) ?? FIRST
    return memberIdOf(this.#run.cluster.token, member.name, incarnation)
  }
}
