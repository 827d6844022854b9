// The one log of committed entries as the members' commit indexes reveal it. Leader Completeness (§5.4): whoever becomes
// leader has all of it. State Machine Safety (§5.4.3), first half: no two members commit different entries at an index.

import type { SimMember } from '../member.ts'
import { CheckFailure, type Checker } from './checker.ts'

export class CommittedLog implements Checker {
  readonly name = 'leader completeness'
  /** Term by index; 0 where nobody showed it. */
  readonly #terms: number[] = [0]
  /** How far each member's log was compared, in its present life. */
  readonly #compared = new Map<SimMember, { readonly life: number; readonly index: number }>()

  get committed(): number {
    return this.#terms.length - 1
  }

  onEvent(member: SimMember): void {
    const raft = member.member!.driver.raft
    const { committed } = raft.status()
    const last = this.#compared.get(member)
    const from = last?.life === member.lifeCount ? last.index : 0
    if (committed === from) return
    if (committed < from) {
      throw new CheckFailure(this.name, `${member.name} takes back its commit ${from}`)
    }
    for (let index = from + 1; index <= committed; index++) this.#compare(member, index)
    this.#compared.set(member, { life: member.lifeCount, index: committed })
  }

  onLog(member: SimMember, fields: Readonly<Record<string, unknown>>, message: string): void {
    if (message !== 'role changed' || fields['to'] !== 'leader') return
    const raft = member.member?.driver.raft
    if (raft === undefined) return
    const ledTerm = fields['term'] as number
    const { firstIndex, lastIndex } = raft.status()
    for (let index = firstIndex; index <= this.committed; index++) {
      const term = this.#terms[index]!
      // Late news of an election: what a later term committed is none of its business.
      if (term === 0 || term > ledTerm) continue
      const own = index > lastIndex ? undefined : raft.termAt(index)
      if (own === term) continue
      const what = `${member.name} leads term ${ledTerm} without committed entry`
      throw new CheckFailure(this.name, `${what} ${index}/${term} (has ${own ?? 'nothing'})`)
    }
  }

  #compare(member: SimMember, index: number): void {
    const term = member.member!.driver.raft.termAt(index) ?? 0
    while (this.#terms.length <= index) this.#terms.push(0)
    const known = this.#terms[index]!
    if (term === 0) return
    if (known === 0) this.#terms[index] = term
    else if (known !== term) {
      const what = `${member.name} commits entry ${index} of term ${term}`
      throw new CheckFailure(this.name, `${what}, another member that of term ${known}`)
    }
  }
}
