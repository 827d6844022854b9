// State Machine Safety (§5.4.3), second half, and promise 9: members that have applied the same index hold the same state,
// byte for byte (HASH). Compared now and then while the run goes on, and for all of them at its end.

import type { SimMember } from '../member.ts'
import { CheckFailure, type Checker, type View } from './checker.ts'
import type { Operation } from './history.ts'

/** Indexes at which members are compared on their way. */
const EVERY = 16

export class StateMachineSafety implements Checker {
  readonly name = 'state-machine safety'
  readonly #states = new Map<number, { readonly state: string; readonly member: SimMember }>()
  readonly #seen = new Map<SimMember, number>()

  onEvent(member: SimMember): void {
    const { appliedIndex } = member.member!.stateMachine
    // One that waits to be added begins with nothing, not even the first members.
    if (appliedIndex === 0 || appliedIndex % EVERY !== 0) return
    if (this.#seen.get(member) === appliedIndex) return
    this.#seen.set(member, appliedIndex)
    this.#compare(member)
  }

  finish(_: readonly Operation[], { current }: View): void {
    for (const member of current) if (member.member !== undefined) this.#compare(member)
  }

  #compare(member: SimMember): void {
    const { stateMachine } = member.member!
    const index = stateMachine.appliedIndex
    // The hash is of what can be read: how far back that goes is part of it only where something is there.
    const state = `${stateMachine.hash()} compacted ${stateMachine.store.compactRevision}`
    const known = this.#states.get(index)
    if (known === undefined) this.#states.set(index, { state, member })
    else if (known.state !== state) {
      const what = `${member.name} and ${known.member.name} differ after entry ${index}`
      throw new CheckFailure(this.name, `${what}: ${state} and ${known.state}`)
    }
  }
}
