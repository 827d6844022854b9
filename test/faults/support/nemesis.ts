// Faults at random, one or two at a time, for a while: which ones follows from a seed, what becomes of them does not, because
// these are real processes. Everything it does is undone before it returns.

import { SeededPrng } from '../../../lib/prng.ts'
import type { MemberProcess } from '../../support/process-cluster.ts'
import type { FaultRun } from './fault-run.ts'

/** Where an exit is worth having again and again. */
const EXITS = [
  'walBeforeWrite',
  'walAfterWrite',
  'walAfterFlush',
  'beforeSendAsLeader',
  'beforeSendAsFollower',
  'beforeApply',
  'afterApply',
  'beforeAppliedIndex',
  'afterAppliedIndex',
  'snapshotSaving',
  'snapshotWritten',
  'snapshotRenamed',
  'snapshotCleanup',
  'snapshotReceived',
  'snapshotCommitted',
  'snapshotRestored',
  'segmentReleased',
] as const

type Fault = (nemesis: Nemesis) => Promise<string>

export class Nemesis {
  readonly run: FaultRun
  readonly prng: SeededPrng
  /** How often each kind happened. */
  readonly counts = new Map<string, number>()

  constructor(run: FaultRun, seed: number) {
    this.run = run
    this.prng = new SeededPrng(seed)
  }

  /**
   * Resolves after `forMs`, with everything undone; later, by 30 s at most, when fewer than `kindsMin` kinds of faults have
   * happened: a few seconds may be over after two long ones.
   */
  async rage(forMs: number, kindsMin = 0): Promise<void> {
    const untilMs = performance.now() + forMs
    const isOver = (): boolean => {
      const leftMs = untilMs - performance.now()
      return leftMs <= (this.counts.size < kindsMin ? -30_000 : 0)
    }
    const lane = async (): Promise<void> => {
      while (!isOver()) {
        const names = Object.keys(FAULTS)
        const name = names[this.prng.next(names.length)]!
        const what = await FAULTS[name]!(this)
        if (what !== '') this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
        await this.wait(50, 600)
        this.supervise()
      }
    }
    await Promise.all([lane(), lane()])
  }

  get summary(): string {
    return [...this.counts].map(([name, count]) => `${name} ${count}`).join(', ')
  }

  member(): MemberProcess {
    const { members } = this.run
    return members[this.prng.next(members.length)]!
  }

  /** A member that runs and that nothing else is done to; it is taken until `free`. */
  take(among: readonly MemberProcess[] = this.run.cluster.running): MemberProcess | undefined {
    const candidates = among.filter(
      (member) => member.child !== undefined && !this.#taken.has(member),
    )
    const member = candidates[this.prng.next(Math.max(1, candidates.length))]
    if (member !== undefined) this.#taken.add(member)
    return member
  }

  isTaken(member: MemberProcess): boolean {
    return this.#taken.has(member)
  }

  /** Starts members again that were to end and did so only when nobody waited for it any more. */
  supervise(): void {
    for (const member of this.run.cluster.founders) {
      if (member.child === undefined && !this.#taken.has(member)) this.run.cluster.start(member)
    }
  }

  /** Takes this one as soon as nothing else is done to it. */
  async hold(member: MemberProcess): Promise<void> {
    while (this.#taken.has(member)) await this.wait(5, 20)
    this.#taken.add(member)
  }

  free(member: MemberProcess): void {
    this.#taken.delete(member)
  }

  wait(fromMs: number, toMs: number): Promise<void> {
    const ms = fromMs + this.prng.next(toMs - fromMs + 1)
    return new Promise((resolve) => setTimeout(resolve, ms))
  }

  /** Waits until a process that was told to end has done so, and starts it again. */
  async restart(member: MemberProcess, child: MemberProcess['child']): Promise<void> {
    const untilMs = performance.now() + 5000
    const lives = (): boolean =>
      child !== undefined && child.exitCode === null && child.signalCode === null
    while (lives() && performance.now() < untilMs) await this.wait(5, 20)
    // It did not get to where it should have ended: then it lives on without the failpoint.
    if (lives()) child!.send({ failpoints: '' })
    else this.run.cluster.start(member)
  }

  readonly #taken = new Set<MemberProcess>()
}

const FAULTS: Readonly<Record<string, Fault>> = {
  kill: async (nemesis) => {
    const member = nemesis.take()
    if (member === undefined) return ''
    await nemesis.run.cluster.kill(member)
    await nemesis.wait(0, 1500)
    nemesis.run.cluster.start(member)
    nemesis.free(member)
    return 'killed'
  },
  killAll: async (nemesis) => {
    if (nemesis.prng.next(4) !== 0) return ''
    const members: MemberProcess[] = []
    for (let m = nemesis.take(); m !== undefined; m = nemesis.take()) members.push(m)
    await Promise.all(members.map((member) => nemesis.run.cluster.kill(member)))
    for (const member of members) {
      nemesis.run.cluster.start(member)
      nemesis.free(member)
    }
    return 'killed all'
  },
  terminate: async (nemesis) => {
    const member = nemesis.take()
    if (member === undefined) return ''
    await nemesis.run.cluster.kill(member, 'SIGTERM')
    nemesis.run.cluster.start(member)
    nemesis.free(member)
    return 'terminated'
  },
  exit: async (nemesis) => {
    const member = nemesis.take()
    if (member === undefined) return ''
    const place = EXITS[nemesis.prng.next(EXITS.length)]!
    const { child } = member
    if (child?.connected === true)
      child.send({ failpoints: `${place}=exit@${1 + nemesis.prng.next(50)}` })
    await nemesis.restart(member, child)
    nemesis.free(member)
    return 'exit'
  },
  flushError: async (nemesis) => {
    const member = nemesis.take()
    if (member === undefined) return ''
    const { child } = member
    if (child?.connected === true) child.send({ failpoints: 'walBeforeWrite=error(DISK_FAILED)' })
    await nemesis.restart(member, child)
    nemesis.free(member)
    return 'flush error'
  },
  freeze: async (nemesis) => {
    const member = nemesis.take()
    if (member === undefined) return ''
    const { child } = member
    child?.kill('SIGSTOP')
    await nemesis.wait(200, 4000)
    child?.kill('SIGCONT')
    nemesis.free(member)
    return 'frozen'
  },
  slowDisk: async (nemesis) => {
    const member = nemesis.take()
    if (member === undefined) return ''
    const { child } = member
    if (child?.connected === true) child.send({ failpoints: 'walBeforeWrite=sleep(0..400)' })
    await nemesis.wait(500, 3000)
    if (child?.connected === true) child.send({ failpoints: '' })
    nemesis.free(member)
    return 'slow disk'
  },
  isolate: async (nemesis) => {
    const { run } = nemesis
    const member = nemesis.member()
    run.links.between([member.name], names(run), { cut: true })
    await nemesis.wait(200, 4000)
    run.links.between([member.name], names(run), undefined)
    return 'isolated'
  },
  oneWay: async (nemesis) => {
    const { run } = nemesis
    const member = nemesis.member()
    const isInbound = nemesis.prng.next(2) === 0
    for (const rule of [{ cut: true }, undefined]) {
      for (const other of names(run)) {
        if (other === member.name) continue
        if (isInbound) run.links.set(other, member.name, rule)
        else run.links.set(member.name, other, rule)
      }
      if (rule !== undefined) await nemesis.wait(200, 4000)
    }
    return 'one way'
  },
  cutOneLink: async (nemesis) => {
    const { run } = nemesis
    const [a, b] = [nemesis.member().name, nemesis.member().name]
    if (a === b) return ''
    run.links.between([a], [b], { cut: true })
    await nemesis.wait(200, 4000)
    run.links.between([a], [b], undefined)
    return 'one link cut'
  },
  badLinks: async (nemesis) => {
    const { run } = nemesis
    run.links.between(names(run), names(run), { delayMs: 30, jitterMs: 30, lossShare: 0.1 })
    await nemesis.wait(500, 3000)
    run.links.between(names(run), names(run), undefined)
    return 'bad links'
  },
  corrupt: async (nemesis) => {
    const { run } = nemesis
    run.links.between(names(run), names(run), { corruptOneIn: 200 })
    await nemesis.wait(200, 1000)
    run.links.between(names(run), names(run), undefined)
    return 'corrupted'
  },
  reset: async (nemesis) => {
    const { run } = nemesis
    const all = names(run)
    let count = 0
    for (const [i, a] of all.entries()) {
      for (const b of all.slice(i + 1)) count += run.links.reset(a, b)
    }
    return count === 0 ? '' : 'reset'
  },
  halfOpen: async (nemesis) =>
    nemesis.run.links.halfOpen(nemesis.member().name) === 0 ? '' : 'half open',
  handOver: async (nemesis) => {
    const options = { method: 'POST', signal: AbortSignal.timeout(3000) }
    const asked = nemesis.run.members.map((member) =>
      fetch(`${member.api}/cluster/leader`, options).then(
        (response) => response.status === 200,
        () => false,
      ),
    )
    return (await Promise.all(asked)).some(Boolean) ? 'handed over' : ''
  },
}

function names(run: FaultRun): string[] {
  return run.members.map(({ name }) => name)
}
