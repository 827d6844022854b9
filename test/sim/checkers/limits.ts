// A limit that is in force on the member that takes a request counts for that request: nothing larger than its requests may be is
// acknowledged, and nothing that leaves the state at its quota or beyond. Only requests whose member had one and the same limits all the while are judged.

import type { SimMember } from '../member.ts'
import type { Answer } from '../workload.ts'
import { CheckFailure, type Checker, type View } from './checker.ts'

export class Limits implements Checker {
  readonly name = 'limits'
  /** By revision, what the state counted against a quota where somebody was seen right there. */
  readonly #used = new Map<number, number>()

  onEvent(member: SimMember): void {
    const { store, quotaUsedBytes } = member.member!.stateMachine
    if (!this.#used.has(store.revision)) this.#used.set(store.revision, quotaUsedBytes)
  }

  onAnswer({ via, request, outcome, startedMs }: Answer, { plan }: View): void {
    if (!plan.operates || request.type !== 'put' || outcome.type !== 'done') return
    if (startedMs < via.limitsSinceMs || outcome.response.type !== 'put') return
    const { requestBytesMax, quotaBytes } = via.settings
    const bytes = request.key.length + request.value.length
    const most = requestBytesMax + via.settings.requestOverheadBytes
    if (bytes > most) this.#fail(via, `acknowledged ${bytes} bytes, its limit is ${most}`)
    const used = this.#used.get(outcome.response.revision)
    if (used === undefined || used < quotaBytes) return
    this.#fail(
      via,
      `acknowledged a write after which ${used} bytes count, its quota is ${quotaBytes}`,
    )
  }

  #fail({ name }: SimMember, what: string): never {
    throw new CheckFailure(this.name, `${name} ${what}`)
  }
}
