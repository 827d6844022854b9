// Asks every member for its status all the time. MONO: term, commit index and revision never go down while a process lives;
// over a restart the term never does, and the others not once the member says it is ready (a commit index is made durable
// lazily: a restarted member knows less until it has heard from a leader, and serves nothing linearizable before). The epoch of
// its configuration file never goes down in one life. ELEC: how many leaders there were.

import { type AcknowledgedChange, CheckFailure } from '../../sim/checkers/checker.ts'
import { OneClusterRecord } from '../../sim/checkers/one-cluster.ts'
import type { MemberProcess } from '../../support/process-cluster.ts'

const EVERY_MS = 25

export interface ConfigFileSeen {
  readonly epoch?: number
  readonly problem?: string
}

/** Of a member that has read its log; before that there are no positions, and before it knows itself no id. */
export interface MemberStatus {
  readonly clusterId?: string
  readonly memberId: string
  readonly configFile?: ConfigFileSeen
  readonly incarnation?: number
  readonly membershipEpoch: number
  readonly members: readonly {
    readonly id: string
    readonly role: string
    readonly peerUrls: readonly string[]
  }[]
  readonly name: string
  readonly role: string
  /** Absent as long as the log is being read, as the positions are. */
  readonly term: number
  readonly leader?: string
  readonly committed: number
  readonly applied: number
  readonly firstIndex: number
  readonly lastIndex: number
  readonly persistedIndex: number
  readonly revision: number
  readonly compactRevision: number
  readonly snapshotIndex: number
  readonly ready: boolean
  readonly residentBytes: number
  readonly peers: readonly { readonly name: string; readonly connected: boolean }[]
}

export async function statusOf(member: MemberProcess): Promise<MemberStatus | undefined> {
  try {
    const response = await fetch(`${member.api}/v1/status`, { signal: AbortSignal.timeout(1000) })
    return (await response.json()) as MemberStatus
  } catch {
    return undefined // Not up, frozen or gone: the caller asks again.
  }
}

interface Seen {
  pid: number | undefined
  term: number
  committed: number
  revision: number
}

/** What was seen to go down, and what members said of the cluster that does not fit. */
export class StatusRecord {
  readonly violations: string[] = []
  /** By name and id: a disk that replaces a lost one begins at nothing, under an id of its own. */
  readonly #seen = new Map<string, Seen>()
  readonly #epochs = new Map<string, number>()
  readonly #leaders = new Map<number, string>()
  readonly #oneCluster = new OneClusterRecord()

  /** The leader of each term that anybody named, by term. */
  get leaders(): ReadonlyMap<number, string> {
    return this.#leaders
  }

  get term(): number {
    return Math.max(0, ...[...this.#seen.values()].map(({ term }) => term))
  }

  acknowledge(change: AcknowledgedChange): void {
    this.#oneCluster.acknowledge(change)
  }

  /** What was acknowledged is in the one history of the membership. */
  finish(): void {
    this.#judge(() => this.#oneCluster.finish())
  }

  add(name: string, pid: number | undefined, status: MemberStatus): void {
    this.#addConfigFile(`${name} ${pid}`, status)
    const { term, committed, revision, leader, ready, memberId } = status
    // It has not read its log yet: it says nothing of where it is.
    if (term === undefined) return
    if (leader !== undefined) this.#addLeader(term, leader)
    this.#addMembership(name, status)
    const key = `${name} ${memberId}`
    const seen = this.#seen.get(key)
    if (seen === undefined) {
      this.#seen.set(key, { pid, term, committed, revision })
      return
    }
    const isSameLife = seen.pid === pid
    if (term < seen.term) this.violations.push(`${name}: term ${seen.term} -> ${term}`)
    if (isSameLife || ready) {
      if (committed < seen.committed)
        this.violations.push(`${name}: committed ${seen.committed} -> ${committed}`)
      if (revision < seen.revision)
        this.violations.push(`${name}: revision ${seen.revision} -> ${revision}`)
      seen.pid = pid
    }
    seen.term = Math.max(seen.term, term)
    seen.committed = Math.max(seen.committed, committed)
    seen.revision = Math.max(seen.revision, revision)
  }

  #addConfigFile(life: string, { configFile }: MemberStatus): void {
    const epoch = configFile?.epoch
    if (epoch === undefined) return
    const known = this.#epochs.get(life) ?? 0
    if (epoch < known) this.violations.push(`${life}: epoch of its file ${known} -> ${epoch}`)
    this.#epochs.set(life, Math.max(known, epoch))
  }

  /** Promise 6: what it says of its cluster agrees with what everybody ever said. */
  #addMembership(name: string, status: MemberStatus): void {
    const { clusterId, memberId, incarnation, membershipEpoch: epoch } = status
    if (clusterId === undefined || incarnation === undefined || status.members.length === 0) return
    const members = status.members.map(({ id, role }) => `${id} ${role}`)
    this.#judge(() =>
      this.#oneCluster.saw({ name, clusterId, memberId, incarnation, epoch, members }),
    )
  }

  #judge(judge: () => void): void {
    try {
      judge()
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error
      if (!this.violations.includes(error.message)) this.violations.push(error.message)
    }
  }

  #addLeader(term: number, leader: string): void {
    const other = this.#leaders.get(term)
    if (other !== undefined && other !== leader)
      this.violations.push(`term ${term} has two leaders: ${other}, ${leader}`)
    this.#leaders.set(term, leader)
  }
}

export class StatusWatch {
  readonly #record = new StatusRecord()
  readonly #loops: Promise<void>[]
  #stopped = false

  constructor(members: readonly MemberProcess[]) {
    this.#loops = members.map((member) => this.#watch(member))
  }

  get violations(): readonly string[] {
    return this.#record.violations
  }

  get leaders(): ReadonlyMap<number, string> {
    return this.#record.leaders
  }

  /** Leaders of terms after this one. */
  changesAfter(term: number): number {
    return [...this.leaders.keys()].filter((other) => other > term).length
  }

  get term(): number {
    return this.#record.term
  }

  /** A change of membership was answered as done. */
  acknowledge(change: AcknowledgedChange): void {
    this.#record.acknowledge(change)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#loops)
    this.#record.finish()
  }

  async #watch(member: MemberProcess): Promise<void> {
    while (!this.#stopped) {
      const pid = member.child?.pid
      const status = pid === undefined ? undefined : await statusOf(member)
      if (status !== undefined && pid === member.child?.pid)
        this.#record.add(member.name, pid, status)
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
    }
  }
}
