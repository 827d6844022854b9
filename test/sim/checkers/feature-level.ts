// The feature level of the cluster is a function of the log, and never falls: at equal applied index it is equal on all
// members, at a higher one not lower. What somebody was told to be raised is raised on every member in the end.

import type { SimMember } from '../member.ts'
import { CheckFailure, type Checker, type View } from './checker.ts'
import type { Operation } from './history.ts'

export class FeatureLevel implements Checker {
  readonly name = 'feature level'
  /** By level, the first and the last applied index at which anybody showed it. */
  readonly #spans = new Map<number, { first: number; last: number }>()
  #acknowledged = 0

  onEvent(member: SimMember): void {
    const { level, appliedIndex } = member.member!.stateMachine
    if (appliedIndex === 0) return
    const span = this.#spans.get(level)
    if (span === undefined) this.#spans.set(level, { first: appliedIndex, last: appliedIndex })
    else if (appliedIndex < span.first) span.first = appliedIndex
    else if (appliedIndex > span.last) span.last = appliedIndex
    else return
    this.#compare(member)
  }

  onFinalized(level: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, level)
  }

  finish(_: readonly Operation[], { current }: View): void {
    for (const { name, member } of current) {
      const level = member?.stateMachine.level
      if (level === undefined || level >= this.#acknowledged) continue
      const told = `${this.#acknowledged} was acknowledged`
      throw new CheckFailure(this.name, `${name} is at level ${level}, ${told}`)
    }
  }

  #compare({ name }: SimMember): void {
    for (const [lower, { last }] of this.#spans) {
      for (const [higher, { first }] of this.#spans) {
        if (lower >= higher || last < first) continue
        const what = `level ${lower} after entry ${last}, ${higher} after entry ${first}`
        throw new CheckFailure(this.name, `${what}, the last seen of ${name}`)
      }
    }
  }
}
