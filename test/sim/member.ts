// One member of a simulated cluster across its lives: its disk stays, its process comes and goes. Starts the production
// Member with the simulation's clock, timers, disk, network and randomness, and notices how each life ends.

import { type ErrorCode, hasCode, RaftbaseError } from '../../lib/errors.ts'
import { type Prng, SeededPrng } from '../../lib/prng.ts'
import { type Identity, type InitialMember, memberIdOf } from '../../member/src/node/identity.ts'
import type { FoundCluster } from '../../member/src/node/join-plan.ts'
import { Member } from '../../member/src/node/member.ts'
import type { DataDirectoryStatus } from '../../member/src/node/member-node.ts'
import { MembershipSource } from '../../member/src/node/membership-source.ts'
import {
  type KnownBy,
  type OpenMemberOptions,
  type StartObserver,
  Starter,
} from '../../member/src/node/starter.ts'
import type { NodeSettings } from '../../member/src/node/settings.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import type { Judgement } from '../../member/src/transport/handshake.ts'
import { PEER_PROTOCOL_VERSION } from '../../member/src/transport/options.ts'
import type { MemoryFileSystem } from '../support/memory-file-system.ts'
import type { Survival } from '../support/memory-inode.ts'
import { describeFields } from './describe.ts'
import { type DiskSpeed, SimDisk } from './disk.ts'
import { type LogSink, simLogger } from './log.ts'
import type { SimNetwork } from './network.ts'
import { SimProcess } from './process.ts'
import type { Trace } from './trace.ts'
import { SimTransport } from './transport.ts'
import type { World } from './world.ts'

/** Parked: its process is up, and takes no part. */
export type LifeState = 'down' | 'starting' | 'running' | 'parked' | 'stopping'

/** What may change while it runs, as its configuration file has it. */
export type SimLimit = 'quotaBytes' | 'snapshotLogBytes' | 'requestBytesMax'

export interface SimMemberOptions {
  readonly world: World
  readonly network: SimNetwork
  readonly trace: Trace
  readonly prng: Prng
  readonly identity: Identity
  /** Whom the cluster is made of; of one that joins by its settings, whom it is made of today. */
  readonly initialMembers: () => readonly InitialMember[]
  /** It joins a cluster that exists. */
  readonly joins: boolean
  /** The text of its membership file; without one its settings are all it has. */
  readonly readMembership: (() => string) | undefined
  /** Asks the other members, as one with a blank disk does. */
  readonly askPeers: (
    asking: SimMember,
    asked: readonly InitialMember[],
  ) => Promise<readonly KnownBy[]>
  /** Asks them who belongs to the cluster, as one does that joins by its settings. */
  readonly askForCluster: (
    asking: SimMember,
    asked: readonly InitialMember[],
  ) => Promise<readonly FoundCluster[]>
  /** It is about to take part. */
  readonly onStart: (member: SimMember) => void
  readonly settings: NodeSettings
  readonly diskSpeed: DiskSpeed
  readonly turnMs: number
  readonly nameOf: (id: MemberId) => string
  /** Sees what each life says in its log. */
  readonly onLog: (member: SimMember, ...line: Parameters<LogSink>) => void
  /** A life has ended that nobody had asked to end. */
  readonly onDeath: (member: SimMember, cause: unknown) => void
}

export class SimMember {
  readonly #options: SimMemberOptions
  readonly disk: SimDisk
  readonly identity: Identity
  readonly id: MemberId
  readonly name: string
  state: LifeState = 'down'
  /** How fast the clock of its next life runs. */
  clockRate = 1
  /** Its disk holds damage that was put there: it may refuse to start, for good. */
  isDamaged = false
  /** It refused to start because of damage. */
  isLost = false
  /** It learned that it was removed, and has said so on its disk. */
  isBuried = false
  /** Grows when its disk is exchanged for a blank one. */
  diskNumber = 1
  /** Some life of it did take part. */
  hasTakenPart = false
  #starter: Starter | undefined
  #process: SimProcess | undefined
  #transport: SimTransport | undefined
  #member: Member | undefined
  lifeCount = 0
  /** Where its next life is reached, and its configuration of today says. */
  peerUrl: string
  /** Where this life is reached. */
  listensAt: string
  /** As its configuration file has them now, and its program. */
  readonly settings: NodeSettings
  readonly #limits: Partial<Record<SimLimit, number>> = {}
  /** Since when its limits are what they are. */
  limitsSinceMs = 0
  /** The highest feature level that its program knows. */
  knownLevel: number
  /** Whoever led has recorded that it knows no more than it does, before the cluster was raised above that. */
  hasToldLevel = true

  constructor(options: SimMemberOptions) {
    this.#options = options
    this.settings = this.#liveSettings(options.settings)
    this.knownLevel = options.settings.knownLevel
    this.peerUrl = urlOf(options.identity)
    this.listensAt = this.peerUrl
    this.identity = options.identity
    this.id = options.identity.memberId
    this.name = runName(options.identity)
    this.disk = new SimDisk({
      prng: options.prng,
      speed: options.diskSpeed,
      onCrash: (losesPower) => this.#diesInOperation(losesPower),
    })
  }

  get process(): SimProcess | undefined {
    return this.#process
  }

  /** The running Member; undefined while there is none that answers. */
  get member(): Member | undefined {
    return this.state === 'running' ? this.#member : undefined
  }

  /** What it answers somebody of that end who calls it under its own id; undefined while it does not listen. */
  judges(caller: SimMember): Judgement | undefined {
    const hello = caller.#transport?.hello(this.id)
    return hello === undefined ? undefined : this.#transport?.judge(hello)
  }

  get isUp(): boolean {
    return this.state !== 'down'
  }

  /** What it took part with is lost, and it takes no part. */
  get isGone(): boolean {
    return this.isLost || (this.diskNumber > 1 && this.state !== 'running')
  }

  get isPaused(): boolean {
    return this.#process?.isPaused === true
  }

  start(): void {
    if (this.state !== 'down' || this.isLost) return
    const { world, turnMs, network, trace, identity } = this.#options
    this.lifeCount++
    this.state = 'starting'
    this.listensAt = this.peerUrl
    const process = new SimProcess({ world, turnMs, clockRate: this.clockRate })
    const transport = new SimTransport({
      self: {
        ...identity,
        protocolVersion: PEER_PROTOCOL_VERSION,
        peerUrls: [this.listensAt],
      },
      process,
      network,
      isOneOfOurs: ({ memberId, name, incarnation }) =>
        memberId === memberIdOf(identity.token, name, incarnation),
      isRemoved: (peer) => this.#member?.stateMachine.removed.has(peer) === true,
      onRemoved: () => this.#member?.removedBy(),
    })
    this.#process = process
    this.#transport = transport
    this.disk.attach(process)
    trace.tell(this.name, `starts, life ${this.lifeCount}`)
    const starter = this.#createStarter(process, transport)
    this.#starter = starter
    world.schedule({
      delayMs: 1,
      owner: process,
      run: () =>
        world.act(() => {
          starter.start().catch((error: unknown) => this.#fails(process, error))
        }),
    })
  }

  /** Its configuration file says so from now on; undefined: what the plan says. */
  configure(limit: SimLimit, value: number | undefined): void {
    if (value === undefined) delete this.#limits[limit]
    else this.#limits[limit] = value
    this.limitsSinceMs = this.#options.world.nowMs
  }

  /** Its next life is of a program that knows this level and no higher one. */
  exchange(level: number): void {
    // Somebody may still believe that it knows more.
    this.hasToldLevel &&= level >= this.knownLevel
    this.knownLevel = level
  }

  /** Its disk is exchanged for a blank one; it must be down. */
  wipe(): void {
    this.disk.exchange()
    this.diskNumber++
    this.isDamaged = true
  }

  /** Its disk is exchanged for an earlier copy of itself; it must be down. */
  rollBack(earlier: MemoryFileSystem): void {
    this.disk.exchange(earlier)
    this.isDamaged = true
  }

  /** KILL; with `survival`, the machine loses power as well and what was not flushed is at its mercy. */
  crash(survival: Survival | undefined): void {
    if (this.state === 'down') return
    const how = survival === undefined ? 'killed' : `loses power (${describeSurvival(survival)})`
    this.#options.trace.tell(this.name, how)
    this.#end(survival === undefined)
    if (survival === undefined) this.disk.fs.kill()
    else this.disk.fs.losePower(survival)
  }

  /** TERM: hands leadership over and stops. */
  stop(): void {
    const member = this.member
    const process = this.#process
    const starter = this.#starter
    if (member === undefined || process === undefined || starter === undefined) return
    this.state = 'stopping'
    this.#options.trace.tell(this.name, 'is told to stop')
    const { world } = this.#options
    const run = async (): Promise<void> => {
      await member.handOver(2000)
      await starter.stop()
      if (!process.isAlive) return
      this.#options.trace.tell(this.name, 'stopped')
      this.#end(true)
      this.disk.fs.kill()
    }
    world.schedule({
      delayMs: 0,
      owner: process,
      run: () =>
        world.act(() => {
          run().catch((error: unknown) => this.#fails(process, error))
        }),
    })
  }

  /** Asked anew each time, as those of a real member are. */
  #liveSettings(settings: NodeSettings): NodeSettings {
    const limits = this.#limits
    const knownLevel = (): number => this.knownLevel
    return {
      ...settings,
      get quotaBytes() {
        return limits.quotaBytes ?? settings.quotaBytes
      },
      get snapshotLogBytes() {
        return limits.snapshotLogBytes ?? settings.snapshotLogBytes
      },
      get requestBytesMax() {
        return limits.requestBytesMax ?? settings.requestBytesMax
      },
      get knownLevel() {
        return knownLevel()
      },
    }
  }

  #createStarter(process: SimProcess, transport: SimTransport): Starter {
    const { identity, initialMembers, joins, askPeers, askForCluster } = this.#options
    const { fs, root } = this.disk
    return new Starter({
      host: this.#observer(process),
      configured: {
        name: identity.name,
        token: identity.token,
        advertisePeerUrls: [this.listensAt],
        initialCluster: initialMembers(),
        initialClusterState: joins ? 'existing' : 'new',
      },
      dataDir: root,
      fs,
      timers: process,
      log: simLogger((level, fields, message) => this.#log(process, level, fields, message)),
      membership: this.#membershipSource(process),
      askPeers: (_identity, asked) => askPeers(this, asked),
      askForCluster: (asked) => askForCluster(this, asked),
      openMember: (opening) => this.#open(process, transport, opening),
      onFailure: (error) => this.#fails(process, error),
      graceMs: 200,
    })
  }

  #membershipSource(process: SimProcess): MembershipSource | undefined {
    const { readMembership, identity, world } = this.#options
    if (readMembership === undefined) return undefined
    let before: string | undefined
    const read = (): Promise<string> => {
      const text = readMembership()
      if (text !== before) world.touch()
      before = text
      return Promise.resolve(text)
    }
    return new MembershipSource({
      name: identity.name,
      read,
      timers: process,
      log: simLogger((level, fields, message) => this.#log(process, level, fields, message)),
      onChange: () => undefined,
    })
  }

  #open(
    process: SimProcess,
    transport: SimTransport,
    { directory, plan, onRemoved, onFailure }: OpenMemberOptions,
  ): Promise<Member> {
    const { prng, onStart } = this.#options
    onStart(this)
    return Member.open({
      directory,
      initialMembers: plan.members,
      joinPeers: plan.peers,
      attributes: { peerUrls: [this.listensAt], clientUrls: [], apiUrls: [], version: 'sim' },
      settings: this.settings,
      fs: this.disk.fs,
      transport,
      clock: process,
      timers: process,
      prng: new SeededPrng(prng.next(2 ** 32)),
      log: simLogger((level, fields, message) => this.#log(process, level, fields, message)),
      origin: originOf(prng),
      onFailure,
      onRemoved,
    })
  }

  /** What the front ends of a real member would be told. */
  #observer(process: SimProcess): StartObserver {
    return {
      enter: () => undefined,
      found: () => undefined,
      attach: (member) => {
        this.#member = member
      },
      complete: () => this.#runs(process),
      park: (directory) => this.#parks(process, directory),
      stopped: () => undefined,
    }
  }

  #runs(process: SimProcess): void {
    const member = this.#member
    if (!process.isAlive || member === undefined) return
    this.state = 'running'
    this.hasTakenPart = true
    const { applied, lastIndex, term } = member.status()
    const { trace, world } = this.#options
    trace.tell(this.name, `runs: applied ${applied}, log to ${lastIndex}, term ${term}`)
    world.touch()
  }

  #parks(process: SimProcess, { state, code, detail = '' }: DataDirectoryStatus): void {
    if (!process.isAlive) return
    this.state = 'parked'
    if (state === 'Tombstoned') this.isBuried = true
    const { world, onDeath } = this.#options
    world.touch()
    if (state === 'Corrupt') onDeath(this, new RaftbaseError(code as ErrorCode, detail))
  }

  #log(process: SimProcess, ...line: Parameters<LogSink>): void {
    if (!process.isAlive) return
    const { trace, nameOf, onLog } = this.#options
    const [level, fields, message] = line
    if (trace.isOn && (level !== 'debug' || trace.isFull)) {
      trace.tell(this.name, `${message} ${describeFields(fields, nameOf)}`)
    }
    onLog(this, ...line)
  }

  /** A disk operation in the middle of which the process was to die. */
  #diesInOperation(losesPower: boolean): void {
    const { world, trace, prng } = this.#options
    const process = this.#process
    process?.kill()
    trace.tell(this.name, `dies in an operation of its disk${losesPower ? ', with its power' : ''}`)
    world.schedule({
      delayMs: 0,
      run: () =>
        world.act(() => {
          this.#ends(process, undefined)
          if (losesPower) this.disk.fs.losePower(prng)
        }),
    })
  }

  /** What a dead process still says is nobody's business. */
  #fails(process: SimProcess, cause: unknown): void {
    if (process.isAlive) this.#ends(process, cause)
  }

  /** This life has ended by itself. */
  #ends(process: SimProcess | undefined, cause: unknown): void {
    if (process === undefined || process !== this.#process || this.state === 'down') return
    this.#options.trace.tell(this.name, `ends: ${describeFields({ cause }, this.#options.nameOf)}`)
    this.#end(true)
    this.disk.fs.kill()
    this.#options.world.touch()
    if (hasCode(cause, 'MEMBER_REMOVED')) this.isBuried = true
    this.#options.onDeath(this, cause)
  }

  #end(isNoticed: boolean): void {
    this.#process?.kill()
    this.#transport?.vanish(isNoticed)
    this.#process = undefined
    this.#transport = undefined
    this.#member = undefined
    this.#starter = undefined
    this.state = 'down'
  }
}

/** Whether a life that ended so shows a bug, given what was done to its disk. */
export function isBug(member: SimMember, cause: unknown): boolean {
  if (cause === undefined) return false
  if (!(cause instanceof RaftbaseError)) return true
  const { disk } = member
  // Without a membership file the process ends where it would park.
  if (cause.code === 'MEMBER_REMOVED' || cause.code === 'AWAITING_REPLACEMENT') return false
  // It was not added yet, or nobody answered; a supervisor starts it again.
  // An older program than the feature level of its cluster needs.
  if (cause.code === 'PROTOCOL_MISMATCH' && !member.hasToldLevel) return false
  const isEarly = cause.code === 'CONFIG_INVALID' || cause.code === 'PEER_UNREACHABLE'
  if (isEarly && !member.hasTakenPart) return false
  if (disk.injectedCount > 0) return isDamageReport(cause) && !member.isDamaged
  if (disk.wasSlow && cause.code === 'DISK_FAILED') return false
  if (disk.isFull && (cause.code === 'NO_SPACE' || cause.code === 'DISK_FAILED')) return false
  return !(member.isDamaged && isDamageReport(cause))
}

export function isDamageReport(cause: unknown): boolean {
  return (
    hasCode(cause, 'WAL_CORRUPT') ||
    hasCode(cause, 'SNAPSHOT_CORRUPT') ||
    hasCode(cause, 'METADATA_CORRUPT')
  )
}

/** What a run calls it: of several that had one name, the later ones by their incarnation. */
function runName({ name, incarnation }: Identity): string {
  return incarnation === 1 ? name : `${name}#${incarnation}`
}

export function urlOf({ name, incarnation }: Pick<Identity, 'name' | 'incarnation'>): string {
  return `http://${name}.${incarnation}.sim:2380`
}

function originOf(prng: Prng): string {
  const half = (): string =>
    prng
      .next(2 ** 32)
      .toString(16)
      .padStart(8, '0')
  return half() + half()
}

function describeSurvival(survival: Survival): string {
  return typeof survival === 'string' ? `${survival} of the unflushed kept` : 'some of it torn'
}
