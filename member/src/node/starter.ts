// Brings a member up in its host: looks at the data directory, follows the plan for what it found, and keeps a parked
// member waiting for the membership file to change. Also takes a member out again that was removed from its cluster, or whose
// cluster is being recovered.

import type { Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { FileSystem } from '../wal/file-system.ts'
import { type DataDirectory, LockedDirectory } from './data-directory.ts'
import type { MemberHost } from './host.ts'
import { type FoundCluster, planJoin } from './join-plan.ts'
import type { Identity, InitialMember } from './identity.ts'
import type { Member } from './member.ts'
import type { DataDirectoryStatus } from './member-node.ts'
import type { MembershipSource } from './membership-source.ts'
import {
  awaitingReplacement,
  type ConfiguredStart,
  planStart,
  REMOVED_TEXT,
  type StartPlan,
  unanswered,
} from './start-plan.ts'

/** What a peer says about this member, and who says it. */
export interface KnownBy {
  readonly clusterId: string
  readonly name: string
  readonly takenPart: boolean
}

/** Who is told how far the start is, and what it came to. */
export type StartObserver = Pick<
  MemberHost,
  'enter' | 'found' | 'attach' | 'complete' | 'park' | 'stopped'
>

export interface StarterOptions {
  readonly host: StartObserver
  readonly configured: ConfiguredStart
  readonly dataDir: string
  readonly fs: FileSystem
  readonly timers: Timers
  readonly log: Logger
  /** Undefined without a membership file: then what is wrong is thrown, not waited out. */
  readonly membership: MembershipSource | undefined
  /** Asks each of these members that answers in time what it knows about this one. */
  readonly askPeers: (
    identity: Identity,
    members: readonly InitialMember[],
  ) => Promise<readonly KnownBy[]>
  /** Asks each of these members that answers in time who belongs to its cluster. */
  readonly askForCluster: (members: readonly InitialMember[]) => Promise<readonly FoundCluster[]>
  readonly openMember: (options: OpenMemberOptions) => Promise<Member>
  /** The member must end, with the process: the disk failed, an invariant broke, or it was removed. */
  readonly onFailure: (error: unknown) => void
  /** How long what is queued for the peers may take to leave at a stop. */
  readonly graceMs: number
}

type Startable = Extract<StartPlan, { type: 'start' }>

/** How long a blank member waits for more peers to answer before it asks again. */
const ASK_AGAIN_MS = 2000

export interface OpenMemberOptions {
  readonly directory: DataDirectory
  readonly plan: Startable
  readonly onRemoved: () => void
  /** The member must end: its disk failed, what is on it turned out to be damaged, or an invariant broke. */
  readonly onFailure: (error: unknown) => void
}

export class Starter {
  readonly #options: StarterOptions
  #member: Member | undefined
  #isStopped = false
  /** It was removed: nothing can bring it back. */
  #isBuried = false
  /** A member that is being taken out. */
  #leaving: Promise<void> | undefined
  /** Parked only until more peers answer: worth another try without a change of the file. */
  #asksAgain = false
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
    const changed = membership?.changed()
    const takesPart = await this.#attempt()
    if (changed === undefined) return
    void this.#follow(takesPart, changed).catch((error: unknown) => this.#options.onFailure(error))
  }

  /** Stops what runs. Reading a log is not waited for: it changes nothing that matters. */
  async stop(): Promise<void> {
    this.#isStopped = true
    const { host, membership, graceMs } = this.#options
    membership?.stop()
    const member = this.#member
    this.#member = undefined
    await member?.stop(graceMs)
    await this.#leaving
    host.stopped()
  }

  /** Looks again whenever the file changes: a parked member may start, one that takes part may have to stay away. */
  async #follow(takesPart: boolean, changed: Promise<void>): Promise<void> {
    let isIn = takesPart
    let next = changed
    for (;;) {
      await this.#reasonToTry(next)
      if (this.#isStopped || this.#isBuried) return
      // Before it looks: a change while it does is another reason.
      next = this.#options.membership!.changed()
      isIn = isIn ? !(await this.#maybeStayAway()) : await this.#attempt()
    }
  }

  async #reasonToTry(changed: Promise<void>): Promise<void> {
    const { timers } = this.#options
    const again = Promise.withResolvers<void>()
    const timer = this.#asksAgain ? timers.after(ASK_AGAIN_MS, again.resolve) : undefined
    await Promise.race([changed, again.promise])
    timer?.cancel()
  }

  /**
   * Takes the member out when its cluster is being recovered: whoever survives must not meet one that has not heard of it. Of
   * everything else that the file says the log is the authority. Returns whether the member is parked now.
   */
  async #maybeStayAway(): Promise<boolean> {
    const { configured, membership, dataDir } = this.#options
    const member = this.#member
    if (member === undefined || membership?.found.document?.phase !== 'Recovering') return false
    const found = { path: dataDir, identity: member.identity, isTombstoned: false }
    const plan = planStart(configured, found, membership.found)
    if (plan.type !== 'park') return false
    await this.#takeOut(member, plan.directory)
    return true
  }

  async #takeOut(member: Member, directory: DataDirectoryStatus): Promise<void> {
    this.#member = undefined
    this.#park(directory)
    this.#leaving = member.stop(this.#options.graceMs)
    await this.#leaving
  }

  /** Returns whether the member takes part now; false: it is parked. */
  async #attempt(): Promise<boolean> {
    const { dataDir, fs } = this.#options
    this.#asksAgain = false
    this.#enter('openingDirectory')
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
  async #decide(locked: LockedDirectory): Promise<Startable | undefined> {
    const { configured, membership } = this.#options
    const { found } = locked
    const plan = await this.#joined(planStart(configured, found, membership?.found), found.path)
    if (plan.type === 'refuse') {
      await locked.release()
      throw plan.error
    }
    if (plan.type === 'park') {
      this.#park(plan.directory, found.identity)
      return undefined
    }
    if (plan.asks === 'nobody') return plan
    const obstacle = await this.#ask(plan, found.restored !== undefined)
    if (obstacle === undefined) return plan
    if (membership === undefined) {
      await locked.release()
      const code = obstacle.state === 'Fresh' ? 'PEER_UNREACHABLE' : 'AWAITING_REPLACEMENT'
      throw new RaftbaseError(code, obstacle.detail!, {
        details: { directory: found.path, clusterId: plan.identity.clusterId },
      })
    }
    this.#park(obstacle, plan.identity)
    return undefined
  }

  /** What comes of a plan once the cluster that is to be joined was asked, if one is. */
  async #joined(plan: StartPlan, path: string): Promise<Exclude<StartPlan, { type: 'join' }>> {
    if (plan.type !== 'join') return plan
    const { configured, askForCluster } = this.#options
    this.#enter('askingPeers')
    return planJoin(configured, await askForCluster(plan.peers), path)
  }

  /** A parked member that tries again stays parked for whoever asks, until it is about to start. */
  #enter(phase: 'openingDirectory' | 'askingPeers'): void {
    if (this.#parkedFor === undefined) this.#options.host.enter(phase)
  }

  /** Asks the other voters about this member, which has no log; undefined when nothing speaks against it. */
  async #ask(
    { identity, voters, asks }: Startable,
    isRestored: boolean,
  ): Promise<DataDirectoryStatus | undefined> {
    const { askPeers } = this.#options
    const others = voters.filter((voter) => voter.name !== identity.name)
    if (others.length === 0) return undefined
    this.#enter('askingPeers')
    const answers = (await askPeers(identity, others)).filter(
      (answer) => answer.clusterId === identity.clusterId,
    )
    const known = answers.find((answer) => answer.takenPart)
    if (known !== undefined) return awaitingReplacement(identity, known.name, isRestored)
    const needed = Math.floor(voters.length / 2) + 1
    if (asks === 'whoeverAnswers' || answers.length >= needed) return undefined
    this.#asksAgain = true
    return unanswered(answers.length, needed)
  }

  async #run(locked: LockedDirectory, plan: Startable): Promise<boolean> {
    const { host, openMember, log, configured } = this.#options
    const { identity: recorded, restored } = locked.found
    const isBlank = recorded === undefined && restored === undefined
    host.found({ state: isBlank ? 'Fresh' : 'Valid' }, plan.identity)
    host.enter('readingLog')
    const directory = locked.use(plan.identity)
    let member: Member
    try {
      member = await openMember({
        directory,
        plan,
        onRemoved: () => this.#onRemoved(),
        onFailure: (error) => this.#onFailure(error),
      })
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

  #park(directory: DataDirectoryStatus, identity?: Identity): void {
    const { host, log } = this.#options
    host.park(directory, identity)
    const why = `${directory.state} ${directory.detail}`
    if (why === this.#parkedFor) return
    this.#parkedFor = why
    const { state, ...rest } = directory
    log.warn({ dataDirectory: state, ...rest }, 'member is parked')
  }

  /** A member that finds damage only while it runs is parked as one that finds it at its start. */
  #onFailure(cause: unknown): void {
    const { membership, onFailure, graceMs } = this.#options
    const directory = membership === undefined ? undefined : damageOf(cause)
    const member = this.#member
    if (directory === undefined || member === undefined) return onFailure(cause)
    this.#member = undefined
    this.#park(directory)
    void member.stop(graceMs).catch(onFailure)
  }

  #onRemoved(): void {
    void this.#bury().catch((error: unknown) => this.#options.onFailure(error))
  }

  async #bury(): Promise<void> {
    const { membership, onFailure } = this.#options
    const member = this.#member
    if (member === undefined || this.#isStopped) return
    this.#isBuried = true
    await member.bury()
    const error = new RaftbaseError('MEMBER_REMOVED', REMOVED_TEXT)
    if (membership === undefined) return onFailure(error)
    const { code, message: detail } = error
    await this.#takeOut(member, { state: 'Tombstoned', code, detail })
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
