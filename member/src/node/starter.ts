// Brings a member up in its host: looks at the data directory, follows the plan for what it found, and keeps a parked
// member waiting for the membership file to change. Also takes a member out again that was removed from its cluster.

import { RaftbaseError } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { FileSystem } from '../wal/file-system.ts'
import { type DataDirectory, LockedDirectory } from './data-directory.ts'
import type { MemberHost } from './host.ts'
import type { Identity, InitialMember } from './identity.ts'
import type { Member } from './member.ts'
import type { DataDirectoryStatus } from './member-node.ts'
import type { MembershipSource } from './membership-source.ts'
import {
  awaitingReplacement,
  type ConfiguredStart,
  planStart,
  type StartPlan,
} from './start-plan.ts'

/** What a peer says about this member, and who says it. */
export interface KnownBy {
  readonly clusterId: string
  readonly name: string
  readonly takenPart: boolean
}

export interface StarterOptions {
  readonly host: MemberHost
  readonly configured: ConfiguredStart
  readonly dataDir: string
  readonly fs: FileSystem
  readonly log: Logger
  /** Undefined without a membership file: then what is wrong is thrown, not waited out. */
  readonly membership: MembershipSource | undefined
  /** Asks each of these members that answers in time what it knows about this one. */
  readonly askPeers: (
    identity: Identity,
    members: readonly InitialMember[],
  ) => Promise<readonly KnownBy[]>
  readonly openMember: (options: OpenMemberOptions) => Promise<Member>
  /** The member must end, with the process: the disk failed, an invariant broke, or it was removed. */
  readonly onFailure: (error: unknown) => void
  /** How long what is queued for the peers may take to leave at a stop. */
  readonly graceMs: number
}

export interface OpenMemberOptions {
  readonly directory: DataDirectory
  readonly plan: Exclude<StartPlan, { type: 'park' | 'refuse' }>
  readonly onRemoved: () => void
}

export class Starter {
  readonly #options: StarterOptions
  #member: Member | undefined
  #isStopped = false
  /** What the log said last about why this member is parked. */
  #parkedFor: string | undefined

  constructor(options: StarterOptions) {
    this.#options = options
  }

  /**
   * Resolves when the member takes part or is parked; a parked one starts later by itself, when the membership file lets
   * it. Rejects without a membership file for whatever keeps the member from starting, with one only for what a restart
   * could help against.
   */
  async start(): Promise<void> {
    const { membership } = this.#options
    await membership?.start()
    if (await this.#attempt()) return
    void this.#startLater().catch((error: unknown) => this.#options.onFailure(error))
  }

  /** Stops what runs. Reading a log is not waited for: it changes nothing that matters. */
  async stop(): Promise<void> {
    this.#isStopped = true
    const { host, membership, graceMs } = this.#options
    membership?.stop()
    const member = this.#member
    this.#member = undefined
    await member?.stop(graceMs)
    host.stopped()
  }

  async #startLater(): Promise<void> {
    while (!this.#isStopped) {
      await this.#options.membership!.changed()
      if (this.#isStopped || (await this.#attempt())) return
    }
  }

  /** Returns whether the member takes part now; false: it is parked. */
  async #attempt(): Promise<boolean> {
    const { host, dataDir, fs } = this.#options
    host.enter('openingDirectory')
    let locked: LockedDirectory
    try {
      locked = await LockedDirectory.open(fs, dataDir)
    } catch (error) {
      return this.#parkOrThrow(error)
    }
    const plan = await this.#decide(locked)
    if (plan === undefined) {
      await locked.release()
      return false
    }
    return this.#run(locked, plan)
  }

  /** Undefined: it is parked. */
  async #decide(locked: LockedDirectory): Promise<OpenMemberOptions['plan'] | undefined> {
    const { configured, membership, host } = this.#options
    const { found } = locked
    const plan = planStart(configured, found, membership?.found)
    if (plan.type === 'refuse') {
      await locked.release()
      throw plan.error
    }
    if (plan.type === 'park') {
      host.found(plan.directory, found.identity)
      this.#park(plan.directory)
      return undefined
    }
    host.found({ state: found.identity === undefined ? 'Fresh' : 'Valid' }, plan.identity)
    if (!plan.asksFirst) return plan
    const known = await this.#isKnown(plan.identity, plan.members)
    if (known === undefined) return plan
    const directory = awaitingReplacement(configured.name, known.name)
    if (membership === undefined) {
      await locked.release()
      throw new RaftbaseError('AWAITING_REPLACEMENT', directory.detail!, {
        details: { directory: found.path, peer: known.name, clusterId: known.clusterId },
      })
    }
    this.#park(directory)
    return undefined
  }

  /** The peer that knows this blank member from before, if one answers. */
  async #isKnown(
    identity: Identity,
    members: readonly InitialMember[],
  ): Promise<KnownBy | undefined> {
    const { host, askPeers } = this.#options
    const others = members.filter((member) => member.name !== identity.name)
    if (others.length === 0) return undefined
    host.enter('askingPeers')
    const answers = await askPeers(identity, others)
    return answers.find((answer) => answer.takenPart && answer.clusterId === identity.clusterId)
  }

  async #run(locked: LockedDirectory, plan: OpenMemberOptions['plan']): Promise<boolean> {
    const { host, openMember, log, configured } = this.#options
    host.enter('readingLog')
    const directory = locked.use(plan.identity)
    let member: Member
    try {
      member = await openMember({ directory, plan, onRemoved: () => this.#onRemoved() })
    } catch (error) {
      return this.#parkOrThrow(error)
    }
    if (this.#isStopped) {
      await member.stop(0)
      return true
    }
    this.#member = member
    host.attach(member)
    host.enter('openingPeers')
    await member.start()
    if (this.#isStopped) return true
    host.complete()
    this.#parkedFor = undefined
    const { memberId, clusterId } = plan.identity
    const peers = configured.advertisePeerUrls
    log.info({ memberId, cluster: clusterId, peers }, 'member started')
    return true
  }

  /** Damage is for the operator to decide on, if there is one; everything else ends the process, as before. */
  #parkOrThrow(error: unknown): false {
    if (this.#options.membership === undefined) throw error
    const directory = damageOf(error)
    if (directory === undefined) throw error
    this.#park(directory)
    return false
  }

  #park(directory: DataDirectoryStatus): void {
    const { host, log } = this.#options
    host.park(directory)
    const why = `${directory.state} ${directory.detail}`
    if (why === this.#parkedFor) return
    this.#parkedFor = why
    const { state, ...rest } = directory
    log.warn({ dataDirectory: state, ...rest }, 'member is parked')
  }

  #onRemoved(): void {
    void this.#bury().catch((error: unknown) => this.#options.onFailure(error))
  }

  async #bury(): Promise<void> {
    const { graceMs, membership, onFailure } = this.#options
    const member = this.#member
    if (member === undefined || this.#isStopped) return
    await member.bury()
    const error = new RaftbaseError('MEMBER_REMOVED', 'this member was removed from the cluster')
    if (membership === undefined) return onFailure(error)
    this.#member = undefined
    this.#park({ state: 'Tombstoned', code: error.code, detail: error.message })
    await member.stop(graceMs)
  }
}

/** Undefined: it is not the data that is damaged. */
function damageOf(error: unknown): DataDirectoryStatus | undefined {
  if (!(error instanceof RaftbaseError)) return undefined
  const { code, message, details } = error
  if (code !== 'WAL_CORRUPT' && code !== 'SNAPSHOT_CORRUPT' && code !== 'METADATA_CORRUPT') {
    return undefined
  }
  const file = details['file'] ?? details['segment']
  const { offset } = details
  return {
    state: 'Corrupt',
    code,
    detail: message,
    ...(typeof file === 'string' ? { file } : {}),
    ...(typeof offset === 'number' ? { offset } : {}),
  }
}
