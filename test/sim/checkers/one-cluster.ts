// Promise 6, one cluster: never two out of one, never one out of two. Every member belongs to the same cluster, the
// membership has one history that all members agree on, an id is one member on one disk and is never used again, and nobody
// listens to a member that it knows to be removed. The first half judges what members say of themselves, wherever that comes
// from: a simulation, or the status of real processes (test/faults).

import type { StateMachine } from '../../../member/src/apply/state-machine.ts'
import type { SimMember } from '../member.ts'
import { type AcknowledgedChange, CheckFailure, type Checker, type View } from './checker.ts'

/** What one member says of the cluster that it is in. */
export interface Sighting {
  /** What the one who watches calls it: one process on one disk after the other. */
  readonly name: string
  readonly clusterId: string
  readonly memberId: string
  readonly incarnation: number
  /** Position of the last change of membership that it knows. */
  readonly epoch: number
  /** `ID role` of each member after that change. */
  readonly members: readonly string[]
}

const NAME = 'one cluster'
/** From the entry that removes a member being applied to its connections being cut: a turn or two. */
const GRACE_MS = 50

export class OneClusterRecord {
  #clusterId: string | undefined
  readonly #identities = new Map<string, string>()
  readonly #memberships = new Map<number, { readonly text: string; readonly name: string }>()
  /** By id, the epochs it was seen in, and the first one without it behind those. */
  readonly #spans = new Map<string, { first: number; last: number; gone: number }>()
  readonly #acknowledged: AcknowledgedChange[] = []

  get membershipCount(): number {
    return this.#memberships.size
  }

  saw({ name, clusterId, memberId, incarnation, epoch, members }: Sighting): void {
    this.#clusterId ??= clusterId
    if (clusterId !== this.#clusterId) {
      fail(`${name} is in cluster ${clusterId}, others are in ${this.#clusterId}`)
    }
    const identity = `${name} incarnation ${incarnation}`
    const known = this.#identities.get(memberId)
    this.#identities.set(memberId, identity)
    if (known !== undefined && known !== identity) {
      fail(`${memberId} is ${known}, and ${identity}`)
    }
    this.#sawMembership({ name, epoch, members })
  }

  acknowledge(change: AcknowledgedChange): void {
    this.#acknowledged.push(change)
  }

  /** Every change that was acknowledged is in the one history. */
  finish(): void {
    for (const { epoch, what, holds } of this.#acknowledged) {
      const membership = this.#memberships.get(epoch)
      if (membership === undefined) continue
      const { text } = membership
      if (!holds(text.split(', ')))
        fail(`acknowledged at epoch ${epoch}, not so: ${what} (${text})`)
    }
  }

  #sawMembership({ name, epoch, members }: Pick<Sighting, 'name' | 'epoch' | 'members'>): void {
    const text = members.toSorted().join(', ')
    const known = this.#memberships.get(epoch)
    if (known !== undefined) {
      if (known.text === text) return
      fail(`at epoch ${epoch} ${name} has ${text}; ${known.name} has ${known.text}`)
    }
    this.#memberships.set(epoch, { text, name })
    const present = new Set(members.map((member) => member.split(' ')[0]!))
    for (const id of present) {
      const span = this.#spans.get(id)
      if (span === undefined) this.#spans.set(id, { first: epoch, last: epoch, gone: Infinity })
      else if (epoch < span.first) span.first = epoch
      else if (epoch > span.last) span.last = epoch
    }
    for (const [id, span] of this.#spans) {
      if (!present.has(id) && epoch > span.first && epoch < span.gone) span.gone = epoch
      if (span.last > span.gone) {
        fail(`${id} is a member again at epoch ${span.last}, removed at ${span.gone}`)
      }
    }
  }
}

function fail(what: string): never {
  throw new CheckFailure(NAME, what)
}

export class OneCluster implements Checker {
  readonly name = NAME
  readonly #record = new OneClusterRecord()
  /** What was looked at last of each member. */
  readonly #seen = new Map<SimMember, string>()
  /** Since when a life of one member hears another that it knows to be removed. */
  readonly #knownSinceMs = new Map<string, number>()
  /** On which disk a member was when it had a vote. */
  readonly #disks = new Map<string, number>()

  /** Whoever ever had a vote has promised what a blank disk does not know. */
  onStart({ id, name, diskNumber }: SimMember): void {
    const known = this.#disks.get(id)
    if (known === undefined || known === diskNumber) return
    fail(`${name} takes part with a blank disk, though it had a vote with another`)
  }

  onEvent(member: SimMember, { members: all }: View): void {
    const { stateMachine, identity } = member.member!
    const { membershipEpoch: epoch, confState } = stateMachine
    // One that waits to be added knows nothing yet.
    if (confState.voters.length === 0) return
    const seen = `${member.lifeCount} ${epoch}`
    if (this.#seen.get(member) === seen) return
    this.#seen.set(member, seen)
    const { clusterId, memberId, incarnation } = identity
    const members = membersOf(stateMachine)
    for (const id of [...confState.voters, ...confState.votersOutgoing]) {
      const disk = all.find((other) => other.id === id)?.diskNumber
      if (disk !== undefined && !this.#disks.has(id)) this.#disks.set(id, disk)
    }
    this.#record.saw({ name: member.name, clusterId, memberId, incarnation, epoch, members })
  }

  /** The leader's answer to a change of membership; `holds` is what was asked for. */
  onMembership(change: AcknowledgedChange): void {
    this.#record.acknowledge(change)
  }

  onHeard(from: SimMember, by: SimMember, { nowMs }: View): void {
    const known = by.member
    if (known === undefined) return
    if (known.identity.clusterId !== from.identity.clusterId) {
      fail(`${by.name} listens to ${from.name}, which is of another cluster`)
    }
    if (!known.stateMachine.removed.has(from.id)) return
    const key = `${by.name} ${by.lifeCount} ${from.id}`
    const sinceMs = this.#knownSinceMs.get(key) ?? nowMs
    this.#knownSinceMs.set(key, sinceMs)
    if (nowMs - sinceMs <= GRACE_MS) return
    fail(`${by.name} listens to ${from.name}, which it knows to be removed`)
  }

  finish(): void {
    this.#record.finish()
  }
}

/** `ID role` of each, as a Sighting has them. */
export function membersOf({ members, confState }: StateMachine): readonly string[] {
  const { voters, votersOutgoing, learners } = confState
  return [...members.keys()].map((id) => {
    const roles = [
      voters.includes(id) ? 'voter' : '',
      votersOutgoing.includes(id) ? 'leaving' : '',
      learners.includes(id) ? 'learner' : '',
    ]
    return `${id} ${roles.filter((role) => role !== '').join('+')}`
  })
}
