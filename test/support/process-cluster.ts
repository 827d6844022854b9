// Real member processes on loopback with ports and directories of their own: started, killed, stopped and asked by tests.
// Everything they print is kept and shown when a wait fails.

import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../../member/src/cli/dev-members.ts'

const MAIN = fileURLToPath(new URL('../../member/raftbase.js', import.meta.url))

/** Linux gives 32768 to 60999 to outgoing connections, other systems higher ones. */
const PORT_MIN = 15_000
const PORT_MAX = 32_000
const PORT_RANGES = 8

export interface NodeView {
  readonly id: string
  readonly name: string
  readonly status: string
}

export interface MemberProcess {
  readonly name: string
  readonly clientPort: number
  readonly peerPort: number
  /** What the others are told; differs from `peerPort` when a proxy stands between. */
  advertisedPeerPort: number
  readonly apiPort: number
  readonly dataDir: string
  readonly api: string
  child: ChildProcess | undefined
  /** Variables of the next process beside this one's. */
  environment: Readonly<Record<string, string>>
  /** A program and its arguments that start the next process instead of this test. */
  launcher: readonly string[]
  /** Everything the current and earlier processes of this member printed. */
  output: string
}

/** A member that is down, or has not started yet, does not hold its ports: nobody else may be given them meanwhile. */
const handedOut = new Set<number>()

/**
 * Ports that were free a moment ago, from below those that the system gives to outgoing connections: a member that is down
 * for a while must find its own free when it comes back. Each is given out once in a process, and processes of one run that
 * work side by side draw from ranges of their own.
 */
export async function freePorts(count: number): Promise<number[]> {
  const rangeSize = Math.floor((PORT_MAX - PORT_MIN) / PORT_RANGES)
  const rangeMin = PORT_MIN + (Number(process.env['VITEST_POOL_ID'] ?? 0) % PORT_RANGES) * rangeSize
  const servers: Server[] = []
  while (servers.length < count) {
    const port = randomInt(rangeMin, rangeMin + rangeSize)
    if (handedOut.has(port)) continue
    const server = createServer().listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
      handedOut.add(port)
      servers.push(server)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Resolves with the first defined result of `probe`, asked every few milliseconds; rejects at the deadline. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  options: { timeoutMs?: number; everyMs?: number; explain?: () => string } = {},
): Promise<T> {
  const deadline = Date.now() + (options.timeoutMs ?? 10_000)
  for (;;) {
    const result = await probe()
    if (result !== undefined) return result
    if (Date.now() > deadline)
      throw new Error(`${what}: not within the deadline\n${options.explain?.() ?? ''}`)
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 5))
  }
}

export class ProcessCluster {
  readonly members: readonly MemberProcess[]
  readonly directory: string
  readonly extraFlags: readonly string[]
  /** Whom the cluster is made of: all of them unless a test says otherwise. */
  founders: readonly MemberProcess[]
  /** Of members that join: the initial cluster that their settings name, as it was when they were added. */
  readonly joining = new Map<MemberProcess, string>()
  /** Of founders that have moved: the peer port that the cluster was made with. */
  readonly #foundedAt = new Map<MemberProcess, number>()
  /** What the members run. */
  program = MAIN
  /** Of their Node.js: as `raftbase dev` and the image start it. */
  nodeFlags: readonly string[] = NODE_FLAGS

  private constructor(members: MemberProcess[], directory: string, extraFlags: readonly string[]) {
    this.members = members
    this.founders = members
    this.directory = directory
    this.extraFlags = extraFlags
  }

  static async create(count: number, extraFlags: readonly string[] = []): Promise<ProcessCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'raftbase-cluster-'))
    const ports = await freePorts(count * 3)
    const members = Array.from({ length: count }, (_, i): MemberProcess => {
      const [clientPort, peerPort, apiPort] = ports.slice(i * 3, i * 3 + 3) as [
        number,
        number,
        number,
      ]
      const name = `n${i + 1}`
      const api = `http://127.0.0.1:${apiPort}`
      const dataDir = join(directory, name)
      return {
        name,
        clientPort,
        peerPort,
        advertisedPeerPort: peerPort,
        apiPort,
        dataDir,
        api,
        child: undefined,
        environment: {},
        launcher: [],
        output: '',
      }
    })
    return new ProcessCluster(members, directory, extraFlags)
  }

  get token(): string {
    return this.directory.slice(-12)
  }

  get initialCluster(): string {
    return this.initialMembers.map(({ name, peerUrls: [url] }) => `${name}=${url}`).join(',')
  }

  /** What the cluster was made of, wherever they are now. */
  get initialMembers(): readonly { readonly name: string; readonly peerUrls: readonly string[] }[] {
    return this.founders.map((member) => {
      const port = this.#foundedAt.get(member) ?? member.advertisedPeerPort
      return { name: member.name, peerUrls: [`http://127.0.0.1:${port}`] }
    })
  }

  /** Its next process advertises another peer port. It has data by which it goes otherwise. */
  move(member: MemberProcess, port: number): void {
    if (this.founders.includes(member) && !this.#foundedAt.has(member))
      this.#foundedAt.set(member, member.advertisedPeerPort)
    member.advertisedPeerPort = port
    if (this.joining.has(member)) this.joining.set(member, this.describe(this.founders))
  }

  /** As an initial cluster. */
  describe(members: readonly MemberProcess[]): string {
    return members.map((m) => `${m.name}=http://127.0.0.1:${m.advertisedPeerPort}`).join(',')
  }

  member(name: string): MemberProcess {
    const member = this.members.find((m) => m.name === name)
    if (member === undefined) throw new Error(`no member ${name}`)
    return member
  }

  flags(member: MemberProcess): string[] {
    const moved = this.#foundedAt.has(member) ? this.describe(this.founders) : undefined
    const existing = this.joining.get(member) ?? moved
    return [
      `-name=${member.name}`,
      `-data-dir=${member.dataDir}`,
      `-client-url=http://127.0.0.1:${member.clientPort}`,
      `-peer-url=http://127.0.0.1:${member.peerPort}`,
      `-advertise-peer-url=http://127.0.0.1:${member.advertisedPeerPort}`,
      `-api-addr=127.0.0.1:${member.apiPort}`,
      `-initial-cluster=${existing ?? this.initialCluster}`,
      `-initial-cluster-token=${this.token}`,
      ...(existing === undefined ? [] : ['-initial-cluster-state=existing']),
      ...this.extraFlags,
    ]
  }

  /** Starts the member's process without waiting for it to answer. */
  start(member: MemberProcess, flags: readonly string[] = this.flags(member)): ChildProcess {
    const node = [process.execPath, ...this.nodeFlags, this.program]
    const [program, ...args] = [...member.launcher, ...node, ...flags]
    const child = spawn(program!, args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...inherited(), ...NODE_ENVIRONMENT, ...member.environment },
    })
    const keep = (chunk: Buffer): void => {
      member.output += chunk.toString()
    }
    child.stdout!.on('data', keep)
    child.stderr!.on('data', keep)
    child.on('exit', (code, signal) => {
      const at = new Date().toISOString()
      member.output += `[${at} exit code=${code} signal=${signal}]\n`
      if (member.child === child) member.child = undefined
    })
    member.child = child
    return child
  }

  startAll(): void {
    for (const member of this.founders) this.start(member)
  }

  /** Sends the signal and resolves once the process is gone. */
  async kill(member: MemberProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    const { child } = member
    if (child === undefined) throw new Error(`${member.name} does not run`)
    const exited = once(child, 'exit')
    child.kill(signal)
    const [code] = (await exited) as [number | null]
    return code
  }

  get running(): MemberProcess[] {
    return this.members.filter((member) => member.child !== undefined)
  }

  async nodes(member: MemberProcess): Promise<NodeView[] | undefined> {
    try {
      const response = await fetch(`${member.api}/cluster/nodes`, {
        signal: AbortSignal.timeout(1000),
      })
      return ((await response.json()) as { nodes: NodeView[] }).nodes
    } catch {
      return undefined // Not up yet, or gone: the caller asks again until its deadline.
    }
  }

  /** The leader all of `among` (default: all that run) agree on and that is one of them. */
  async agreedLeader(
    options: { among?: readonly MemberProcess[]; timeoutMs?: number } = {},
  ): Promise<MemberProcess> {
    return eventually(
      'a leader all agree on',
      async () => {
        const among = options.among ?? this.running
        const views = await Promise.all(among.map((member) => this.nodes(member)))
        const leaders = views.map((view) => view?.find((node) => node.status === 'leader')?.name)
        const first = leaders[0]
        if (first === undefined || leaders.some((name) => name !== first)) return undefined
        return among.find((member) => member.name === first)
      },
      { timeoutMs: options.timeoutMs ?? 15_000, everyMs: 10, explain: () => this.outputs() },
    )
  }

  outputs(): string {
    return this.members.map((m) => `--- ${m.name}\n${m.output.slice(-6000)}`).join('\n')
  }

  /** Kills what still runs, frozen or not. */
  async stopProcesses(): Promise<void> {
    await Promise.all(
      this.running.map((member) => {
        member.child?.kill('SIGCONT')
        return this.kill(member)
      }),
    )
  }

  /** Kills what still runs and removes the data. */
  async destroy(): Promise<void> {
    await this.stopProcesses()
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** This process' environment without what would configure a member. */
function inherited(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith('RAFTBASE_'))
  return Object.fromEntries(entries)
}
