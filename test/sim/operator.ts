// The operator of a simulated cluster, as far as its members see one: the membership file. It looks at the cluster now and
// then, writes what it saw, and each member reads that as late as files travel. What the file says is never ahead of what
// was so, and may be far behind it.

import { describeInitialCluster } from '../../lib/identity.ts'
import type { MembershipEntry, MembershipPhase } from '../../lib/membership-file.ts'
import type { InitialMember } from '../../member/src/node/identity.ts'
import type { ConfState, MemberId } from '../../member/src/raft/types.ts'
import type { SimMember } from './member.ts'
import type { World } from './world.ts'

const LOOK_MS = 500

/** What the newest change of membership made of it. */
export interface NewestMembership {
  readonly epoch: number
  readonly confState: ConfState
  readonly ids: ReadonlySet<MemberId>
  readonly removed: ReadonlySet<MemberId>
}

export interface SimOperatorOptions {
  readonly world: World
  readonly token: string
  readonly clusterId: string
  readonly founders: readonly InitialMember[]
  readonly members: () => readonly SimMember[]
  /** The membership after the latest change that anybody showed. */
  readonly newest: () => NewestMembership | undefined
}

interface Edition {
  readonly atMs: number
  readonly phase: MembershipPhase
  readonly text: string
}

export class SimOperator {
  readonly #options: SimOperatorOptions
  readonly #editions: Edition[] = []
  #written = ''
  #hasStopped = false

  constructor(options: SimOperatorOptions) {
    this.#options = options
    this.#write()
    this.#lookLater()
  }

  /** As a file that is late by so much has it; the first edition is everywhere from the beginning. */
  edition(lagMs: number): Edition {
    const { nowMs } = this.#options.world
    return this.#editions.findLast(({ atMs }) => atMs <= nowMs - lagMs) ?? this.#editions[0]!
  }

  /** Somebody is about to join. */
  expect(): void {
    this.#write()
  }

  stop(): void {
    this.#hasStopped = true
  }

  #lookLater(): void {
    this.#options.world.schedule({
      delayMs: LOOK_MS,
      run: () => {
        if (this.#hasStopped) return
        this.#write()
        this.#lookLater()
      },
    })
  }

  #write(): void {
    const { token, clusterId, founders, world } = this.#options
    const { phase, formed } = this.#stage()
    const members = phase === 'Running' ? this.#today() : founders.map(founderEntry)
    const initialCluster = describeInitialCluster(founders)
    const content = { schema: 1, cluster: 'sim', token, phase, clusterId, initialCluster, members }
    const described = JSON.stringify({ ...content, ...(formed ? { formed } : {}) })
    if (described === this.#written) return
    this.#written = described
    const epoch = this.#editions.length + 1
    const text = JSON.stringify({ ...(JSON.parse(described) as object), epoch })
    this.#editions.push({ atMs: world.nowMs, phase, text })
  }

  #stage(): { readonly phase: MembershipPhase; readonly formed: boolean } {
    if (this.#editions.at(-1)?.phase === 'Running') return { phase: 'Running', formed: false }
    const { founders, members } = this.#options
    const started = members().filter(({ hasTakenPart }) => hasTakenPart).length
    if (started >= founders.length) return { phase: 'Running', formed: false }
    return { phase: 'Bootstrapping', formed: 2 * started > founders.length }
  }

  /** The newest membership that it ever saw, and those who wait to join; of two of one name the newer. */
  #today(): readonly MembershipEntry[] {
    const { members, newest, founders } = this.#options
    const latest = newest()
    const isVoter = (id: MemberId, name: string): boolean => {
      if (latest === undefined) return founders.some((founder) => founder.name === name)
      const { voters, votersOutgoing } = latest.confState
      return voters.includes(id) || votersOutgoing.includes(id)
    }
    const entries = new Map<string, MembershipEntry>()
    for (const [ordinal, { identity, id, peerUrl, isBuried }] of members().entries()) {
      const { name, incarnation } = identity
      if (isBuried || latest?.removed.has(id) === true) continue
      const state = isVoter(id, name) ? 'Voter' : 'Learner'
      entries.set(name, { name, ordinal, incarnation, state, peerUrl })
    }
    return [...entries.values()]
  }
}

function founderEntry({ name, peerUrls }: InitialMember, ordinal: number): MembershipEntry {
  return { name, ordinal, incarnation: 1, state: 'Voter', peerUrl: peerUrls[0]! }
}
