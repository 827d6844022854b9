// Makes the faults of a plan happen, and ends them. For the liveness phase a majority is made healthy and connected, and
// everything else that is wrong stays wrong for ever.

import { type Prng, SeededPrng } from '../../lib/prng.ts'
import type { Survival } from '../support/memory-inode.ts'
import type { SimCluster } from './cluster.ts'
import { describeFault, type Fault, type FaultAction } from './fault-plan.ts'
import type { SimMember } from './member.ts'
import { changeMembership } from './membership.ts'
import type { NetworkProfile } from './network.ts'
import { Operations } from './operations.ts'

type ActionOf<Type extends FaultAction['type']> = Extract<FaultAction, { type: Type }>

/** Bytes that are looked at when a place for damage is chosen. */
const PAGE_BYTES = 4096
/** Between two looks at a member that is to start again once it has stopped. */
const STOP_LOOK_MS = 50

export class FaultInjector {
  readonly #cluster: SimCluster
  readonly #prng: Prng
  readonly #calm: NetworkProfile
  readonly #operations: Operations
  /** Members that faults leave alone from now on; undefined while they come and go. */
  #healthy: ReadonlySet<SimMember> | undefined
  /** Faults that were over before they could happen: their member was down, full, damaged. */
  happenedCount = 0

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
    this.#prng = cluster.fork()
    this.#calm = cluster.plan.network
    this.#operations = new Operations(cluster, (ms, member, run) => this.#after(ms, [member], run))
    cluster.restartDelayMs = (member) =>
      this.#isLeftAlone(member) ? undefined : 50 + this.#prng.next(2000)
  }

  /** Lets each of these happen at its time. */
  schedule(faults: readonly Fault[]): void {
    const { world } = this.#cluster
    for (const fault of faults) {
      const delayMs = fault.atMs - world.nowMs
      world.schedule({ delayMs, run: () => world.act(() => this.#happen(fault)) })
    }
  }

  /** Ends what is wrong with these and between these; whatever else is wrong stays so. */
  keepHealthy(healthy: readonly SimMember[]): void {
    const { network } = this.#cluster
    this.#healthy = new Set(healthy)
    this.#cluster.tell(`healthy from now on: ${healthy.map(({ name }) => name).join(' ')}`)
    for (const one of healthy) for (const other of healthy) network.heal(one.id, other.id)
    // A connection delays, it does not lose for ever: what a storm of losses stands for passes.
    network.profile = this.#calm
    network.loseDoubles()
    this.#cluster.fileLagMs = 0
    network.clean = new Set(healthy.map(({ id }) => id))
    for (const member of healthy) this.#cure(member)
  }

  /** Ends everything. */
  healAll(): void {
    const { network, members } = this.#cluster
    this.#cluster.tell('everything heals')
    this.#healthy = new Set()
    network.healAll()
    network.profile = { ...this.#calm, lost: 0, doubled: 0 }
    network.clean = undefined
    this.#healthy = undefined
    for (const member of members) this.#cure(member)
  }

  #cure(member: SimMember): void {
    const { disk } = member
    disk.release()
    disk.slowness = 1
    disk.disarm()
    disk.makeRoom()
    this.#operations.settle(member)
    member.process?.resume()
    this.#startOnceDown(member)
  }

  /** Whoever is about to end as it was told to is started right after that, not when its fault would have been over. */
  #startOnceDown(member: SimMember): void {
    if (member.state !== 'stopping') return member.start()
    this.#after(STOP_LOOK_MS, [member], () => this.#startOnceDown(member))
  }

  #isLeftAlone(member: SimMember): boolean {
    return this.#healthy !== undefined && !this.#healthy.has(member)
  }

  #happen(fault: Fault): void {
    if (this.#healthy !== undefined) return
    this.#cluster.tell(`FAULT ${describeFault(fault)}`)
    this.happenedCount++
    const { action } = fault
    switch (action.type) {
      case 'kill':
        return this.#kill(this.#memberAt(action.member), action)
      case 'killLeader':
        return this.#kill(this.#cluster.leader, action)
      case 'killAll':
        for (const member of this.#cluster.members) this.#kill(member, action)
        return
      case 'stop':
        return this.#stop(action)
      case 'pause':
        return this.#pause(this.#memberAt(action.member), action.ms)
      case 'pauseLeader':
        return this.#pause(this.#cluster.leader, action.ms)
      case 'transfer':
        return this.#transfer(action)
      case 'membership':
        return changeMembership(this.#cluster, action)
      case 'configure':
      case 'exchange':
      case 'finalize':
      case 'move':
        return this.#operations.happen(action)
      case 'wipe':
        return this.#wipe(this.#memberAt(action.member), action)
      case 'startRemoved': {
        const gone = this.#cluster.members.filter(({ isBuried }) => isBuried)
        return gone[action.member % Math.max(1, gone.length)]?.start()
      }
      case 'partition':
      case 'isolate':
      case 'isolateLeader':
      case 'cutLink':
      case 'swizzle':
      case 'reset':
      case 'storm':
        return this.#disturbNetwork(action)
      default:
        return this.#disturbMember(action)
    }
  }

  #memberAt(number: number): SimMember {
    const { members } = this.#cluster
    return members[number % members.length]!
  }

  /** Runs `undo` after the fault's time, unless what it would end is to stay by then. */
  #after(ms: number, members: readonly SimMember[], undo: () => void): void {
    const { world } = this.#cluster
    const run = (): void => {
      if (members.some((member) => this.#isLeftAlone(member))) return
      world.act(undo)
    }
    world.schedule({ delayMs: ms, run })
  }

  // Processes

  #kill(
    member: SimMember | undefined,
    { losesPower, downMs }: ActionOf<'kill'> | ActionOf<'killLeader'> | ActionOf<'killAll'>,
  ): void {
    if (member === undefined || !member.isUp) return
    const survival: Survival | undefined =
      losesPower === 'no' ? undefined : losesPower === 'torn' ? this.#prng : losesPower
    member.crash(survival)
    this.#after(downMs, [member], () => member.start())
  }

  /** If a majority of disks is left, and its own membership file tells it that the cluster exists. */
  #wipe(member: SimMember, { downMs }: ActionOf<'wipe'>): void {
    const cluster = this.#cluster
    const { phase } = cluster.operator.edition(cluster.fileLagMs)
    if (!cluster.plan.isOperated || phase !== 'Running') return
    if (member.isBuried || !member.hasTakenPart) return
    if (!cluster.canDecide((other) => other !== member && !other.isGone)) return
    member.crash(undefined)
    member.wipe()
    cluster.trace.tell(member.name, 'comes back with a blank disk')
    this.#after(downMs, [member], () => member.start())
  }

  #stop({ member: number, downMs }: ActionOf<'stop'>): void {
    const member = this.#memberAt(number)
    if (member.member === undefined || member.isPaused) return
    member.stop()
    // A stop that hangs ends in a kill, as a supervisor would have it.
    this.#after(4000, [member], () => {
      if (member.state === 'stopping') member.crash(undefined)
    })
    this.#after(4000 + downMs, [member], () => member.start())
  }

  #pause(member: SimMember | undefined, ms: number): void {
    const process = member?.process
    if (member === undefined || process === undefined || process.isPaused) return
    process.pause()
    this.#cluster.trace.tell(member.name, 'is paused')
    this.#after(ms, [member], () => {
      if (!process.isAlive) return
      this.#cluster.trace.tell(member.name, 'goes on')
      process.resume()
    })
  }

  #transfer({ target }: ActionOf<'transfer'>): void {
    const { leader, world } = this.#cluster
    const member = leader?.member
    if (member === undefined || leader?.isPaused === true) return
    const to = this.#memberAt(target)
    member.transferLeader(to.id, { timeoutMs: 2000 }).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error)) world.fail(error)
    })
  }

  // The network

  #disturbNetwork(
    action:
      | ActionOf<'partition'>
      | ActionOf<'isolate'>
      | ActionOf<'isolateLeader'>
      | ActionOf<'cutLink'>
      | ActionOf<'swizzle'>
      | ActionOf<'reset'>
      | ActionOf<'storm'>,
  ): void {
    const { members, leader, network } = this.#cluster
    switch (action.type) {
      case 'partition': {
        const side = (member: SimMember): number => (action.sides >> members.indexOf(member)) & 1
        return this.#cut(action.ms, (from, to) => side(from) !== side(to))
      }
      case 'isolate':
      case 'isolateLeader': {
        const one = action.type === 'isolate' ? this.#memberAt(action.member) : leader
        const { direction } = action
        return this.#cut(
          action.ms,
          (from, to) => (from === one && direction !== 'in') || (to === one && direction !== 'out'),
        )
      }
      case 'cutLink': {
        const [a, b] = [this.#memberAt(action.from), this.#memberAt(action.to)]
        return this.#cut(action.ms, (from, to) => from === a && to === b)
      }
      case 'swizzle':
        return this.#swizzle(action)
      case 'reset':
        return network.reset(this.#memberAt(action.from).id, this.#memberAt(action.to).id)
      default:
        return this.#storm(action)
    }
  }

  #cut(ms: number, isCut: (from: SimMember, to: SimMember) => boolean): void {
    const { members, network } = this.#cluster
    for (const from of members) {
      for (const to of members) {
        if (from === to || !isCut(from, to)) continue
        network.cut(from.id, to.id)
        this.#after(ms, [from, to], () => network.heal(from.id, to.id))
      }
    }
  }

  #swizzle({ order, ms }: ActionOf<'swizzle'>): void {
    const { members, network, world } = this.#cluster
    const prng = new SeededPrng(order)
    const chosen = members.filter(() => prng.next(2) === 0)
    for (const member of chosen) {
      const others = members.filter((other) => other !== member)
      world.schedule({
        delayMs: prng.next(1 + ms / 2),
        run: () => {
          if (this.#healthy !== undefined) return
          for (const other of others) {
            network.cut(member.id, other.id)
            network.cut(other.id, member.id)
          }
        },
      })
      for (const other of others) {
        this.#after(ms / 2 + prng.next(1 + ms / 2), [member, other], () => {
          network.heal(member.id, other.id)
          network.heal(other.id, member.id)
        })
      }
    }
  }

  #storm({ lost, delayMs, ms }: ActionOf<'storm'>): void {
    const { network } = this.#cluster
    network.profile = { ...this.#calm, lost, delayMaxMs: this.#calm.delayMaxMs + delayMs }
    this.#after(ms, [], () => {
      if (this.#healthy === undefined) network.profile = this.#calm
    })
  }

  // One member

  #disturbMember(
    action:
      | ActionOf<'slowDisk'>
      | ActionOf<'hangDisk'>
      | ActionOf<'armDisk'>
      | ActionOf<'fillDisk'>
      | ActionOf<'rot'>
      | ActionOf<'jumpClock'>,
  ): void {
    const member = this.#memberAt(action.member)
    const { disk } = member
    switch (action.type) {
      case 'slowDisk':
        disk.slowness = action.times
        return this.#after(action.ms, [member], () => {
          disk.slowness = 1
        })
      case 'hangDisk':
        disk.hang()
        return this.#after(action.ms, [member], () => disk.release())
      case 'armDisk':
        return disk.arm({
          type: action.fault,
          countdown: action.countdown,
          keptOf256: action.keptOf256,
        })
      case 'fillDisk':
        disk.fill()
        return this.#after(action.ms, [member], () => disk.makeRoom())
      case 'rot':
        return this.#rot(member, action)
      default:
        member.process?.jumpWallClock(action.byMs)
    }
  }

  /** Damages one byte at rest, if a majority of disks stays whole. */
  #rot(member: SimMember, { file, at }: ActionOf<'rot'>): void {
    const { members } = this.#cluster
    const damaged = members.filter(
      (other) => (other.isDamaged || other.isGone) && other !== member,
    ).length
    if (2 * (damaged + 1) >= members.length) return
    const paths = member.disk.files().filter((path) => !path.endsWith('LOCK'))
    const path = paths[file % Math.max(1, paths.length)]
    if (path === undefined) return
    const bytes = member.disk.fs.contents(path)
    const used = bytes.findLastIndex((byte) => byte !== 0) + 1
    if (used === 0) return
    const place = at % 3 === 0 ? at % Math.min(used, PAGE_BYTES) : at % used
    member.disk.fs.damage(path, place, 1 << (at % 8))
    member.isDamaged = true
    this.#cluster.trace.tell(member.name, `byte ${place} of ${path} is damaged`)
  }
}

/** Some majority of the members, of those whose disks are whole. */
export function someMajority(
  members: readonly SimMember[],
  quorumOf: number,
  prng: Prng,
): readonly SimMember[] {
  const whole = members.filter((member) => !member.isDamaged && !member.isGone)
  const needed = Math.floor(quorumOf / 2) + 1
  const left = [...whole]
  const chosen: SimMember[] = []
  while (left.length > 0 && (chosen.length < needed || prng.next(4) === 0)) {
    chosen.push(...left.splice(prng.next(left.length), 1))
  }
  return members.filter((member) => chosen.includes(member))
}
