// One member of a simulated cluster across its lives: its disk stays, its process comes and goes. Starts the production
// Member with the simulation's clock, timers, disk, network and randomness, and notices how each life ends.

import { hasCode, RaftbaseError } from '../../lib/errors.ts'
import { type Prng, SeededPrng } from '../../lib/prng.ts'
import { openDataDirectory } from '../../member/src/node/data-directory.ts'
import type { Identity, InitialMember } from '../../member/src/node/identity.ts'
import { Member } from '../../member/src/node/member.ts'
import type { NodeSettings } from '../../member/src/node/settings.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import type { PeerAddress } from '../../member/src/transport/transport.ts'
import type { Survival } from '../support/memory-inode.ts'
import { describeFields } from './describe.ts'
import { type DiskSpeed, SimDisk } from './disk.ts'
import { type LogSink, simLogger } from './log.ts'
import type { SimNetwork } from './network.ts'
import { SimProcess } from './process.ts'
import type { Trace } from './trace.ts'
import { SimTransport } from './transport.ts'
import type { World } from './world.ts'

export type LifeState = 'down' | 'starting' | 'running' | 'stopping'

export interface SimMemberOptions {
  readonly world: World
  readonly network: SimNetwork
  readonly trace: Trace
  readonly prng: Prng
  readonly identity: Identity
  /** Nobody for a member that joins a cluster. */
  readonly initialMembers: readonly InitialMember[]
  /** Whom one that joins talks to first. */
  readonly joinPeers: readonly PeerAddress[]
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
  #process: SimProcess | undefined
  #transport: SimTransport | undefined
  #member: Member | undefined
  lifeCount = 0

  constructor(options: SimMemberOptions) {
    this.#options = options
    this.identity = options.identity
    this.id = options.identity.memberId
    this.name = options.nameOf(this.id)
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

  get isUp(): boolean {
    return this.state !== 'down'
  }

  get isPaused(): boolean {
    return this.#process?.isPaused === true
  }

  start(): void {
    if (this.state !== 'down' || this.isLost || this.isBuried) return
    const { world, turnMs, network, trace } = this.#options
    this.lifeCount++
    this.state = 'starting'
    const process = new SimProcess({ world, turnMs, clockRate: this.clockRate })
    const transport = new SimTransport({
      id: this.id,
      process,
      network,
      isRemoved: (peer) => this.member?.stateMachine.removed.has(peer) === true,
      onRemoved: () => this.#member?.removedBy(),
    })
    this.#process = process
    this.#transport = transport
    this.disk.attach(process)
    trace.tell(this.name, `starts, life ${this.lifeCount}`)
    world.schedule({
      delayMs: 1,
      owner: process,
      run: () =>
        world.act(() => {
          this.#open(process, transport).catch((error: unknown) => this.#fails(process, error))
        }),
    })
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
    if (member === undefined || process === undefined) return
    this.state = 'stopping'
    this.#options.trace.tell(this.name, 'is told to stop')
    const { world } = this.#options
    const run = async (): Promise<void> => {
      await member.handOver(2000)
      await member.stop(200)
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

  async #open(process: SimProcess, transport: SimTransport): Promise<void> {
    const { identity, initialMembers, joinPeers, settings, prng, network } = this.#options
    const { fs, root } = this.disk
    const directory = await openDataDirectory({ fs, path: root, identity, isNewCluster: true })
    const member = await Member.open({
      directory,
      initialMembers,
      joinPeers,
      attributes: { peerUrls: [`sim://${this.name}`], clientUrls: [], apiUrls: [], version: 'sim' },
      settings,
      fs,
      transport,
      clock: process,
      timers: process,
      prng: new SeededPrng(prng.next(2 ** 32)),
      log: simLogger((level, fields, message) => this.#log(process, level, fields, message)),
      origin: originOf(prng),
      onFailure: (error) => this.#fails(process, error),
      onRemoved: () => this.#park(process, member),
    })
    await member.start()
    this.#member = member
    this.state = 'running'
    const { applied, lastIndex, term } = member.status()
    const { trace } = this.#options
    trace.tell(this.name, `runs: applied ${applied}, log to ${lastIndex}, term ${term}`)
    network.world.touch()
  }

  /** Removed from the cluster: it says so on its disk and takes no further part. */
  #park(process: SimProcess, member: Member): void {
    const run = async (): Promise<void> => {
      await member.bury()
      if (!process.isAlive) return
      this.isBuried = true
      this.#options.trace.tell(this.name, 'is buried')
      await member.stop(200)
      if (!process.isAlive) return
      this.#end(true)
      this.disk.fs.kill()
      this.#options.world.touch()
    }
    run().catch((error: unknown) => this.#fails(process, error))
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
    this.#options.onDeath(this, cause)
  }

  #end(isNoticed: boolean): void {
    this.#process?.kill()
    this.#transport?.vanish(isNoticed)
    this.#process = undefined
    this.#transport = undefined
    this.#member = undefined
    this.state = 'down'
  }
}

/** Whether a life that ended so shows a bug, given what was done to its disk. */
export function isBug(member: SimMember, cause: unknown): boolean {
  if (cause === undefined) return false
  if (!(cause instanceof RaftbaseError)) return true
  const { disk } = member
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
