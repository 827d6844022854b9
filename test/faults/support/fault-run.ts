// One scenario with real members (faults.md sections 3 and 4): a cluster whose peer links run through proxies, clients that
// record what they saw, and at the end the verdicts that hold for every scenario: LIN, ACK, HASH and MONO. A figure is
// judged by its limit plus what the machine held the processes up meanwhile, both printed. When a scenario fails, data
// directories and logs stay where the failure says.

import { appendFileSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { writtenBy } from '../../sim/checkers/revision-order.ts'
import { checkLinearizable } from '../../sim/checkers/linearizability.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../../support/process-cluster.ts'
import { LinkProxies } from './link-proxy.ts'
import { DEFAULT_LOAD, Load, type LoadOptions } from './load.ts'
import { StallProbe } from './stalls.ts'
import { type MemberStatus, statusOf, StatusWatch } from './status-watch.ts'
import { differences, readStored } from './stored-state.ts'

/** The default election timeout, which every scenario uses. */
export const ELECTION_MS = 1000

/** Acknowledged operations a second below which a fault would prove nothing. */
const RATE_MIN = 50
/** How long what must happen is waited for; no figure, only the end of a run that hangs. */
export const PATIENCE_MS = 60_000
const PARALLEL_READS = 16
const ATTEMPTS = 3

type Environment = Readonly<Record<string, string>>

export interface FaultRunOptions {
  readonly members: number
  /** More that are not part of the cluster until the scenario lets them join. */
  readonly spares?: number
  readonly flags?: readonly string[]
  /** Variables of each member's processes. */
  readonly environment?: Environment | ((member: MemberProcess) => Environment)
  /** A program and its arguments that start each member's processes. */
  readonly launcher?: readonly string[]
  /** Acknowledged operations a second that the scenario begins with. */
  readonly rate?: number
  readonly load?: Partial<Omit<LoadOptions, 'endpoints'>>
  /** Where the clients connect: by default to every member that runs and is not avoided. */
  readonly endpoints?: (run: FaultRun) => readonly MemberProcess[]
}

export interface Figure {
  readonly ms: number
  readonly fromMs: number
  readonly toMs: number
}

export class FaultRun {
  readonly cluster: ProcessCluster
  readonly links: LinkProxies
  readonly load: Load
  readonly watch: StatusWatch
  readonly stalls: StallProbe
  readonly id: string
  /** Members that clients leave alone, because of what the scenario does to them. */
  readonly avoided = new Set<MemberProcess>()
  readonly #rate: number
  /** The last of each kind, for the line at the end. */
  readonly #figures = new Map<string, string>()
  #succeeded = false
  #closing: Promise<void> | undefined

  /**
   * Starts the members, waits for a leader and for a load that is worth disturbing, runs the scenario and then checks what
   * holds for every one. A scenario may except members whose disks it has spoilt.
   */
  static async scenario(
    id: string,
    options: FaultRunOptions,
    body: (run: FaultRun) => Promise<void | { readonly except: readonly MemberProcess[] }>,
  ): Promise<void> {
    const run = await FaultRun.#create(id, options)
    try {
      await run.leader(run.members)
      run.load.start()
      await run.loaded()
      await run.#finish((await body(run)) ?? { except: [] })
      run.#succeeded = true
    } finally {
      await run.#close()
    }
  }

  static async #create(id: string, options: FaultRunOptions): Promise<FaultRun> {
    const { members, spares = 0 } = options
    const cluster = await ProcessCluster.create(members + spares, options.flags ?? [])
    cluster.founders = cluster.members.slice(0, members)
    const links = await LinkProxies.start(
      cluster.members.map(({ name, peerPort }) => ({ name, port: peerPort })),
    )
    for (const member of cluster.members) {
      member.advertisedPeerPort = links.port(member.name)
      const { environment = {} } = options
      member.environment = typeof environment === 'function' ? environment(member) : environment
      member.launcher = options.launcher ?? []
    }
    const run = new FaultRun({ id, cluster, links, options })
    // A test that runs out of time never gets to its own end.
    onTestFinished(() => run.#close())
    cluster.startAll()
    return run
  }

  private constructor(parts: {
    id: string
    cluster: ProcessCluster
    links: LinkProxies
    options: FaultRunOptions
  }) {
    const { id, cluster, links, options } = parts
    this.id = id
    this.#rate = options.rate ?? RATE_MIN
    this.cluster = cluster
    this.links = links
    const endpoints = options.endpoints ?? (() => this.usable)
    this.load = new Load({ ...DEFAULT_LOAD, ...options.load, endpoints: () => endpoints(this) })
    this.watch = new StatusWatch(cluster.members)
    this.stalls = new StallProbe(() => cluster.running.map((member) => member.child!.pid!))
  }

  /** Those the cluster is made of, and those that joined. */
  get members(): readonly MemberProcess[] {
    const { members, founders, joining } = this.cluster
    return members.filter((member) => founders.includes(member) || joining.has(member))
  }

  /** Starts one that was added, with everybody of `beside` and itself as its initial cluster. */
  join(member: MemberProcess, beside: readonly MemberProcess[]): void {
    const others = beside.filter((other) => other !== member)
    this.cluster.joining.set(member, this.cluster.describe([...others, member]))
    this.cluster.start(member)
  }

  get usable(): readonly MemberProcess[] {
    return this.cluster.running.filter((member) => !this.avoided.has(member))
  }

  others(...those: readonly MemberProcess[]): MemberProcess[] {
    return this.members.filter((member) => !those.includes(member))
  }

  leader(among?: readonly MemberProcess[]): Promise<MemberProcess> {
    const timeoutMs = PATIENCE_MS
    return this.cluster.agreedLeader(among === undefined ? { timeoutMs } : { among, timeoutMs })
  }

  /** While `during` goes on clients send nothing new. */
  async paused<T>(during: () => Promise<T>): Promise<T> {
    const added = this.members.filter((member) => !this.avoided.has(member))
    for (const member of added) this.avoided.add(member)
    try {
      return await during()
    } finally {
      for (const member of added) this.avoided.delete(member)
    }
  }

  /** Resolves once the clients get enough answers for a fault to mean something. */
  async loaded(rate = this.#rate): Promise<void> {
    await eventually(
      `${this.id}: ${rate} acknowledged operations a second`,
      () => (this.load.rate >= rate ? true : undefined),
      { timeoutMs: PATIENCE_MS, everyMs: 50, explain: () => this.explain() },
    )
  }

  /** Resolves after so many more acknowledged operations. */
  async acknowledges(count: number, timeoutMs = PATIENCE_MS): Promise<void> {
    const target = this.load.acknowledged + count
    await eventually(
      `${this.id}: ${count} acknowledged operations`,
      () => (this.load.acknowledged >= target ? true : undefined),
      { timeoutMs, everyMs: 20, explain: () => this.explain() },
    )
  }

  /** Freezes a process and resolves once the kernel says that it is stopped. */
  async freeze(member: MemberProcess): Promise<void> {
    const { pid } = member.child!
    process.kill(pid!, 'SIGSTOP')
    await eventually(`${member.name} is stopped`, () => (stateOf(pid!) === 'T' ? true : undefined))
  }

  thaw(member: MemberProcess): void {
    process.kill(member.child!.pid!, 'SIGCONT')
  }

  async status(member: MemberProcess): Promise<MemberStatus> {
    return eventually(`status of ${member.name}`, () => statusOf(member), {
      timeoutMs: PATIENCE_MS,
    })
  }

  /** A figure is met when one attempt of three meets it; the verdicts at the end hold for every attempt. */
  async once(attempt: () => Promise<boolean>): Promise<void> {
    for (let i = 0; i < ATTEMPTS; i++) if (await attempt()) return
    expect.fail(`${this.id}: not met in ${ATTEMPTS} attempts; the figures are printed above`)
  }

  /** Resolves once the member can serve linearizable requests; returns how long that took. */
  async ready(member: MemberProcess): Promise<Figure> {
    const fromMs = performance.now()
    await eventually(
      `${member.name} is ready`,
      async () => {
        const response = await fetch(`${member.api}/readyz`).catch(() => undefined)
        return response?.status === 200 ? true : undefined
      },
      { timeoutMs: PATIENCE_MS, explain: () => this.explain() },
    )
    const toMs = performance.now()
    return { ms: toMs - fromMs, fromMs, toMs }
  }

  /** Sets failpoints of a running process and resolves when the first of them has acted. */
  async failpoint(member: MemberProcess, points: string): Promise<void> {
    const from = member.output.length
    member.child!.send({ failpoints: points })
    if (points === '') return
    await eventually(
      `${member.name} reaches ${points}`,
      () => (/^failpoint /m.test(member.output.slice(from)) ? true : undefined),
      { timeoutMs: PATIENCE_MS, explain: () => this.explain() },
    )
  }

  /** Prints a figure with its limit and what the machine added, and returns whether it is met. */
  meets(what: string, limitMs: number, figure: Figure): boolean {
    const stallMs = this.stalls.between(figure.fromMs, figure.toMs)
    const ok = figure.ms <= limitMs + stallMs
    const told = `${figure.ms.toFixed(0)} ms, limit ${limitMs.toFixed(0)} ms, processes held up ${stallMs.toFixed(0)} ms${ok ? '' : ' MISSED'}`
    console.log(`${this.id} ${what}: ${told}`)
    this.#figures.set(what, told)
    return ok
  }

  /** Prints a number that is not a time. */
  note(what: string, value: string | number): void {
    console.log(`${this.id} ${what}: ${value}`)
  }

  /** The end of every scenario: links heal, whoever is down starts, all agree; then the verdicts. */
  async #finish({ except }: { readonly except: readonly MemberProcess[] }): Promise<void> {
    this.links.heal()
    const kept = this.members.filter((member) => !except.includes(member))
    for (const member of kept) {
      if (member.child === undefined) this.cluster.start(member)
    }
    this.avoided.clear()
    for (const member of except) this.avoided.add(member)
    await this.leader(kept)
    await this.load.stop()
    await this.#readEverything(kept)
    await this.watch.stop()
    expect(this.watch.violations, `${this.id} MONO`).toEqual([])
    const verdict = checkLinearizable(this.load.history.operations)
    expect(verdict, `${this.id} LIN\n${verdict.accepted ? '' : verdict.explanation}`).toEqual({
      accepted: true,
    })
    await this.#compareDisks(kept)
    this.#summarize()
  }

  explain(): string {
    return this.cluster.outputs()
  }

  /** ACK: every key that was ever acknowledged, from every member, as one more linearizable read of the history. */
  async #readEverything(members: readonly MemberProcess[]): Promise<void> {
    const newest = new Map<string, number>()
    for (const operation of this.load.history.operations) {
      const write = writtenBy(operation)
      if (write === undefined) continue
      newest.set(write.key, Math.max(newest.get(write.key) ?? 0, write.revision))
    }
    const left = members.flatMap((via) => [...newest.keys()].map((key) => ({ via, key })))
    const missing: string[] = []
    const read = async (): Promise<void> => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const { via, key } = next
        const revision = await this.#revisionSeen(via, key)
        if (revision === undefined || revision < newest.get(key)!)
          missing.push(`${via.name} ${key}: seen at revision ${revision}`)
      }
    }
    await Promise.all(Array.from({ length: PARALLEL_READS }, read))
    expect(missing, `${this.id} ACK`).toEqual([])
  }

  /** The revision at which a linearizable read through the member saw the key; undefined when none was answered. */
  async #revisionSeen(via: MemberProcess, key: string): Promise<number | undefined> {
    for (let i = 0; i < ATTEMPTS; i++) {
      const request = { type: 'get', key } as const
      const { outcome } = await this.load.run({ client: 'reader', via, request, timeoutMs: 5000 })
      if (outcome.type === 'done') return outcome.response.revision
      this.note('a read after the end', `${via.name} ${key} ${outcome.detail}`)
    }
    return undefined
  }

  /** HASH and log matching, from what is on the disks. */
  async #compareDisks(members: readonly MemberProcess[]): Promise<void> {
    const dead = members.filter(({ child }) => child === undefined).map(({ name }) => name)
    expect(dead, `${this.id}: members that died by themselves\n${this.explain()}`).toEqual([])
    // Members that compact by themselves would go on, each until it stops: then what it still holds is not comparable.
    const compacts = this.cluster.extraFlags.some((flag) => flag.startsWith('-auto-compaction-'))
    await eventually(
      `${this.id}: equal applied index`,
      async () => {
        const all = await Promise.all(members.map(statusOf))
        const isEqual = all.every((status) => status && status.applied === all[0]!.applied)
        const isAtRest = all.every((status) => status?.compactRevision === status?.revision)
        return isEqual && (isAtRest || !compacts) ? true : undefined
      },
      { timeoutMs: PATIENCE_MS, everyMs: 50, explain: () => this.explain() },
    )
    for (const member of members) {
      if (member.child !== undefined) await this.cluster.kill(member, 'SIGTERM')
    }
    const { initialMembers, joining } = this.cluster
    const states = []
    for (const member of members) {
      const { name, dataDir } = member
      const hasJoined = joining.has(member)
      const { token } = this.cluster
      states.push(await readStored({ name, dataDir, token, members: initialMembers, hasJoined }))
    }
    expect(differences(states), `${this.id} HASH`).toEqual([])
  }

  #summarize(): void {
    const { history } = this.load
    const count = (type: 'done' | 'failed' | 'unknown'): number =>
      this.load.withOutcome(type).length
    const told = `${history.operations.length} operations, ${count('done')} done, ${count('failed')} failed, ${count('unknown')} unknown; leaders ${this.watch.leaders.size}; LIN ACK HASH MONO hold`
    this.note('history', told)
    // `make test-faults` prints these lines once more when all is over.
    const path = process.env['RAFTBASE_FAULT_SUMMARY']
    if (path === undefined) return
    const figures = [...this.#figures].map(([what, figure]) => `${what} ${figure}`)
    appendFileSync(path, `${[this.id, ...figures, told].join('; ')}\n`)
  }

  #close(): Promise<void> {
    this.#closing ??= this.#closeOnce()
    return this.#closing
  }

  async #closeOnce(): Promise<void> {
    await this.cluster.stopProcesses()
    await Promise.all([this.load.stop(), this.watch.stop()])
    this.load.close()
    this.stalls.stop()
    await this.links.stop()
    if (this.#succeeded) return this.cluster.destroy()
    for (const member of this.members) {
      await writeFile(join(this.cluster.directory, `${member.name}.log`), member.output)
    }
    const history = JSON.stringify(this.load.history.operations, shortened)
    await writeFile(join(this.cluster.directory, 'history.json'), history)
    console.log(`${this.id}: data directories, logs and history are in ${this.cluster.directory}`)
  }
}

/** Values are known by how they begin; whole ones would make a history longer than a string may be. */
function shortened(_: string, value: unknown): unknown {
  return typeof value === 'string' && value.length > 200 ? `${value.slice(0, 200)}…` : value
}

/** One letter of the kernel's, T for stopped. */
function stateOf(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
}
