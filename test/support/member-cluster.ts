// Whole members in one process on a disk, a network and a clock of the test's: everything below the front ends is the real
// code. Time stands still unless a test lets it pass. For single situations told as a story; random histories are the
// simulator's.

import { inspect } from 'node:util'
import { RaftbaseError } from '../../lib/errors.ts'
import { createLogger } from '../../lib/logger.ts'
import { SeededPrng } from '../../lib/prng.ts'
import { openDataDirectory } from '../../member/src/node/data-directory.ts'
import { type InitialMember, identityOf } from '../../member/src/node/identity.ts'
import { Member } from '../../member/src/node/member.ts'
import type { NodeSettings } from '../../member/src/node/settings.ts'
import { nodeSettings } from '../../member/src/node/settings.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import { ManualTimers } from './manual-timers.ts'
import { MemoryFileSystem } from './memory-file-system.ts'
import { MemoryNetwork } from './memory-transport.ts'

const DATA_DIRECTORY = '/data'
const TOKEN = 'story'
export const HEARTBEAT_MS = 100
export const ELECTION_MS = 1000

/** One member: its disk outlives its process. */
export interface Host {
  readonly name: string
  readonly id: MemberId
  readonly fs: MemoryFileSystem
  member: Member | undefined
  /** Why its process had to end by itself. */
  failure: unknown
  starts: number
  /** What its processes have logged from `info` up, a JSON object a line. */
  readonly lines: string[]
}

export interface MemberClusterOptions {
  readonly count: number
  readonly settings?: Partial<NodeSettings>
  /** How long what is sent is on its way. */
  readonly delayMs?: number
}

export class MemberCluster {
  readonly time = new ManualTimers()
  readonly network: MemoryNetwork
  readonly hosts: readonly Host[]
  readonly #members: readonly { readonly name: string; readonly peerUrls: readonly string[] }[]
  readonly #settings: Partial<NodeSettings>

  constructor(options: MemberClusterOptions) {
    const names = Array.from({ length: options.count }, (_, i) => `n${i + 1}`)
    const delayMs = options.delayMs ?? 1
    this.#members = names.map((name) => ({ name, peerUrls: [`http://${name}:2380`] }))
    this.#settings = options.settings ?? {}
    this.network = new MemoryNetwork({
      schedule: (deliver) => void this.time.after(delayMs, deliver),
      nowMs: () => this.time.monotonicMs(),
      encoded: true,
    })
    this.hosts = names.map((name): Host => {
      const id = identityOf({ token: TOKEN, name, members: this.#members }).memberId
      const fs = new MemoryFileSystem()
      return { name, id, fs, member: undefined, failure: undefined, starts: 0, lines: [] }
    })
  }

  /** Starts every member and waits until one leads that all of them follow. */
  static async started(options: MemberClusterOptions): Promise<MemberCluster> {
    const cluster = new MemberCluster(options)
    await Promise.all(cluster.hosts.map((host) => cluster.start(host)))
    await cluster.agreedLeader()
    return cluster
  }

  /** `settings` are those of this process alone; without `initialMembers` it waits to be added. */
  async start(
    host: Host,
    settings: Partial<NodeSettings> = {},
    initialMembers: readonly InitialMember[] = this.#members,
  ): Promise<Member> {
    const identity = identityOf({ token: TOKEN, name: host.name, members: this.#members })
    host.starts++
    host.failure = undefined
    const { fs } = host
    const member = await Member.open({
      directory: await openDataDirectory({
        fs,
        path: DATA_DIRECTORY,
        identity,
        isNewCluster: true,
      }),
      initialMembers,
      attributes: {
        peerUrls: this.#members.find(({ name }) => name === host.name)!.peerUrls,
        clientUrls: [`http://${host.name}:2379`],
        apiUrls: [`http://${host.name}:8080`],
        version: '0.0.0',
      },
      settings: { ...defaultSettings(), ...this.#settings, ...settings },
      fs,
      transport: this.network.transport(host.id),
      clock: this.time,
      timers: this.time,
      prng: new SeededPrng(Number.parseInt(host.id.slice(0, 12), 16) + host.starts),
      log: createLogger({
        level: 'info',
        destination: { write: (line) => void host.lines.push(line) },
      }),
      origin: `${host.starts.toString(16).padStart(4, '0')}${host.id.slice(4)}`,
      onFailure: (error) => {
        host.failure = error
      },
    })
    host.member = member
    await member.start()
    return member
  }

  /** The process is gone in an instant; what it wrote without a flush is still in the system's memory. */
  kill(host: Host): void {
    host.member = undefined
    host.fs.kill()
    this.network.find(host.id)?.crash()
  }

  get running(): readonly Host[] {
    return this.hosts.filter((host) => host.member !== undefined)
  }

  get leader(): Host {
    const leader = this.running.find((host) => host.member?.status().role === 'leader')
    if (leader === undefined) throw new Error(`nobody leads: ${this.describe()}`)
    return leader
  }

  get followers(): readonly Host[] {
    return this.running.filter((host) => host.member?.status().role === 'follower')
  }

  /** Lets time pass, in steps that are shorter than anything waits for. */
  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs++) {
      this.time.advance(1)
      await settle()
    }
  }

  /** Lets time pass until `probe` returns something; throws after `withinMs`. */
  async until<T>(what: string, probe: () => T | undefined | false, withinMs = 10_000): Promise<T> {
    const endMs = this.time.monotonicMs() + withinMs
    for (;;) {
      const result = probe()
      if (result !== undefined && result !== false) return result
      if (this.time.monotonicMs() >= endMs) {
        throw new Error(`${what}: not within ${withinMs} ms\n${this.describe()}`)
      }
      await this.pass(1)
    }
  }

  agreedLeader(withinMs?: number): Promise<Host> {
    return this.until(
      'a leader all agree on',
      () => {
        const views = this.running.map((host) => host.member!.status())
        const leader = views[0]?.leader
        if (leader === undefined || views.some((view) => view.leader !== leader)) return undefined
        if (!this.running.every((host) => host.member!.isReady())) return undefined
        return this.running.find((host) => host.id === leader)
      },
      withinMs,
    )
  }

  describe(): string {
    return this.hosts
      .map((host) => {
        const status = host.member?.status()
        const failure = host.failure === undefined ? '' : ` failed: ${inspect(host.failure)}`
        return `${host.name} ${status === undefined ? 'down' : JSON.stringify(status)}${failure}`
      })
      .join('\n')
  }
}

export function defaultSettings(): NodeSettings {
  return nodeSettings({
    heartbeatMs: HEARTBEAT_MS,
    electionMs: ELECTION_MS,
    requestBytesMax: 1_572_864,
    snapshotLogBytes: 64 * 1024 * 1024,
    quotaBytes: Number.POSITIVE_INFINITY,
  })
}

/** What became of a request: its result, or the code of its error. */
export interface Watched {
  /** `pending`, `done` or the code of an error. */
  readonly outcome: string
  readonly ended: Promise<void>
}

export function watch(request: Promise<unknown>): Watched {
  const watched: { outcome: string; ended: Promise<void> } = {
    outcome: 'pending',
    ended: Promise.resolve(),
  }
  watched.ended = request.then(
    () => void (watched.outcome = 'done'),
    (error: unknown) => void (watched.outcome = codeOf(error)),
  )
  return watched
}

function codeOf(error: unknown): string {
  return error instanceof RaftbaseError ? error.code : inspect(error)
}

const encoder = new TextEncoder()

export function put(host: Host, key: string, value = 'v', timeoutMs = 5000): Watched {
  const request = { key: encoder.encode(key), value: encoder.encode(value) }
  return watch(host.member!.put(request, { timeoutMs }))
}

export function read(
  host: Host,
  key: string,
  consistency: 'linearizable' | 'serializable' = 'linearizable',
  timeoutMs = 5000,
): Watched {
  return watch(host.member!.get({ key: encoder.encode(key), consistency }, { timeoutMs }))
}

/** The value as this member's state has it now; undefined when there is none. */
export async function valueAt(host: Host, key: string): Promise<string | undefined> {
  const { kv } = await host.member!.get(
    { key: encoder.encode(key), consistency: 'serializable' },
    { timeoutMs: 1000 },
  )
  return kv === undefined ? undefined : Buffer.from(kv.value).toString()
}

/** Everything that is ready happens: the memory disk answers in microtasks. */
async function settle(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
}
