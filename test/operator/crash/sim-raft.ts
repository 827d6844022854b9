// One Raft cluster as the operator meets it, reduced to its membership: who has a vote, which changes are refused, what is
// acknowledged and on which disks it lies. A disk that votes under an identity which another disk has promised something
// as, and an acknowledged write that no possible leader has, are counted: neither must ever happen.

import { unreachable } from '../../../lib/assert.ts'
import { memberIdOf } from '../../../lib/identity.ts'
import type {
  ChangeAnswer,
  ChangeRequest,
} from '../../../operator/src/member-client/member-client.ts'

const LEARNERS_MAX = 2
const FIRST_ENTRIES = 5000
/** Entries a learner gets in one step. */
const CATCH_UP = 1500
const PROMOTE_LAG_MAX = 1000

/** What a disk remembers of the cluster; one for each volume. */
export interface Disk {
  /** As which member it takes part; undefined while it is blank. */
  id: string | undefined
  name: string
  incarnation: number
  /** How much of the log it has. */
  holds: number
  isTombstoned: boolean
  isCorrupt: boolean
  /** The highest feature level of the program that runs on it now. */
  knownLevel: number
}

type Reconfiguration = Exclude<ChangeRequest, { readonly type: 'transfer' | 'finalize' }>

export interface Configuration {
  readonly epoch: number
  readonly members: ReadonlyMap<
    string,
    { readonly name: string; readonly role: 'voter' | 'learner' }
  >
}

export class SimRaft {
  readonly #token: string
  configuration: Configuration
  committed = 0
  readonly removed = new Set<string>()
  /** Which disk has taken part as which member. */
  readonly #disks = new Map<string, Disk>()
  leader: string | undefined
  term = 0
  /** Feature level in force. */
  level = 0
  /** Broken promises, in words. */
  readonly breaches: string[] = []

  constructor(token: string, founders: readonly string[]) {
    this.#token = token
    const members = founders.map(
      (name) => [memberIdOf(token, name, 1), { name, role: 'voter' }] as const,
    )
    this.configuration = { epoch: 0, members: new Map(members) }
  }

  get voters(): readonly string[] {
    return [...this.configuration.members].flatMap(([id, { role }]) =>
      role === 'voter' ? [id] : [],
    )
  }

  /** One moment of those disks that run and reach each other. */
  step(running: readonly Disk[]): void {
    const old = running.find((disk) => this.#isMember(disk) && disk.knownLevel < this.level)
    if (old !== undefined) this.breaches.push(`${old.name} is too old for level ${this.level}`)
    for (const disk of running) {
      if (disk.id !== undefined && this.removed.has(disk.id)) disk.isTombstoned = true
    }
    const able = running.filter((disk) => !disk.isTombstoned && this.#takesPart(disk))
    const voting = able.filter(({ id }) => this.voters.includes(id!))
    if (voting.length < Math.floor(this.voters.length / 2) + 1) {
      this.leader = undefined
      return
    }
    if (!voting.some(({ id }) => id === this.leader)) this.#elect(voting)
    this.committed += 1
    for (const disk of voting) disk.holds = this.committed
    for (const disk of able) disk.holds = Math.min(this.committed, disk.holds + CATCH_UP)
  }

  #isMember({ id }: Disk): boolean {
    return id !== undefined && this.configuration.members.has(id)
  }

  /** A member that joins keeps the promises of its identity from its first moment. */
  #takesPart(disk: Disk): boolean {
    const { id } = disk
    if (id === undefined || !this.configuration.members.has(id)) return false
    const before = this.#disks.get(id)
    if (before !== undefined && before !== disk && this.voters.includes(id)) {
      this.breaches.push(`a blank disk takes part as the voter ${disk.name}@${disk.incarnation}`)
    }
    this.#disks.set(id, disk)
    return true
  }

  /** Whoever has most of the log: a majority never elects anybody else. */
  #elect(voting: readonly Disk[]): void {
    const best = voting.toSorted((left, right) => right.holds - left.holds)[0]!
    this.term += 1
    this.leader = best.id
    // With its first leader the cluster has a history.
    if (this.term === 1) this.committed = FIRST_ENTRIES
    else if (best.holds < this.committed) {
      this.breaches.push(`${best.name} leads with ${best.holds} of ${this.committed} entries`)
    }
  }

  /** As member/src/node/membership.ts answers. `running` are the ids that the leader hears. */
  change(
    request: ChangeRequest,
    options: { readonly asked: string; readonly epoch: number; readonly running: readonly Disk[] },
  ): ChangeAnswer {
    const { asked, epoch, running } = options
    if (this.leader === undefined || this.leader !== asked) return refused('NOT_LEADER')
    if (request.type === 'transfer') return this.#transfer(request.target, running)
    if (request.type === 'finalize') return this.#finalize(request.level, { epoch, running })
    if (this.#isSo(request)) return { kind: 'done' }
    if (epoch !== this.configuration.epoch) return refused('MEMBERSHIP_CONFLICT')
    const next = new Map(this.configuration.members)
    const problem = this.#apply(request, next, running)
    if (problem !== undefined) return problem
    const voters = [...next].filter(([, { role }]) => role === 'voter').map(([id]) => id)
    const heard = voters.filter((id) => running.some((disk) => disk.id === id)).length
    if (2 * heard <= voters.length) return refused('MEMBERSHIP_UNSAFE')
    if (!voters.includes(asked) && voters.length < 2) return refused('MEMBERSHIP_UNSAFE')
    for (const id of this.configuration.members.keys()) if (!next.has(id)) this.removed.add(id)
    this.#commit(running, new Set([...this.voters, ...voters]))
    this.configuration = { epoch: this.committed, members: next }
    if (!voters.includes(asked)) this.leader = undefined
    return { kind: 'done' }
  }

  /** A change that is answered is on the disks of both majorities. */
  #commit(running: readonly Disk[], voters: ReadonlySet<string>): void {
    this.committed += 1
    for (const disk of running) {
      if (disk.id !== undefined && voters.has(disk.id)) disk.holds = this.committed
    }
  }

  #transfer(target: string, running: readonly Disk[]): ChangeAnswer {
    const heir = running.find((disk) => disk.name === target && this.voters.includes(disk.id ?? ''))
    if (heir === undefined || heir.holds < this.committed - 1) return refused('NOT_READY')
    this.leader = heir.id
    this.term += 1
    return { kind: 'done' }
  }

  /** As ADR 0025 says. */
  #finalize(
    level: number,
    { epoch, running }: { readonly epoch: number; readonly running: readonly Disk[] },
  ): ChangeAnswer {
    if (level <= this.level) return { kind: 'done' }
    if (epoch !== this.configuration.epoch) return refused('MEMBERSHIP_CONFLICT')
    const able = running.filter((disk) => this.#isMember(disk) && disk.knownLevel >= level)
    if (able.length < this.configuration.members.size) return refused('LEVEL_UNSUPPORTED')
    this.level = level
    return { kind: 'done' }
  }

  #isSo(request: Reconfiguration): boolean {
    const { members } = this.configuration
    switch (request.type) {
      case 'add':
        return members.has(memberIdOf(this.#token, request.name, request.incarnation))
      case 'promote':
        return request.ids.every((id) => this.voters.includes(id))
      case 'remove':
        return !members.has(request.id)
      case 'replace':
        return !members.has(request.removed) && this.voters.includes(request.promoted)
      default:
        return unreachable(request)
    }
  }

  #apply(
    request: Reconfiguration,
    next: Map<string, { readonly name: string; readonly role: 'voter' | 'learner' }>,
    running: readonly Disk[],
  ): ChangeAnswer | undefined {
    if (request.type === 'add') {
      const id = memberIdOf(this.#token, request.name, request.incarnation)
      if (this.removed.has(id)) return refused('MEMBERSHIP_CONFLICT', 'removed')
      const learners = [...next.values()].filter(({ role }) => role === 'learner').length
      if (learners >= LEARNERS_MAX) return refused('MEMBERSHIP_UNSAFE')
      next.set(id, { name: request.name, role: 'learner' })
      return undefined
    }
    if (request.type === 'remove') {
      next.delete(request.id)
      return undefined
    }
    const promoted = request.type === 'promote' ? request.ids : [request.promoted]
    for (const id of promoted) {
      const known = next.get(id)
      const disk = running.find((one) => one.id === id)
      if (known === undefined) return refused('INVALID_ARGUMENT')
      if (disk === undefined || this.committed - disk.holds > PROMOTE_LAG_MAX) {
        return refused('NOT_READY')
      }
      next.set(id, { ...known, role: 'voter' })
    }
    if (request.type === 'replace') next.delete(request.removed)
    return undefined
  }
}

function refused(code: string, reason?: string): ChangeAnswer {
  return { kind: 'refused', code, detail: code, ...(reason === undefined ? {} : { reason }) }
}
