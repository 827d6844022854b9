// Whole members in this process: production code on the real disk, clock and randomness, with nothing but the transport in
// memory. For what would take a machine of its own through HTTP: benchmarks, floods, followers that are away for long.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { createLogger } from '../../lib/logger.ts'
import { randomId, systemPrng } from '../../lib/prng.ts'
import { openDataDirectory } from '../../member/src/node/data-directory.ts'
import { identityOf } from '../../member/src/node/identity.ts'
import { Member } from '../../member/src/node/member.ts'
import { nodeSettings } from '../../member/src/node/settings.ts'
import { DiskFileSystem } from '../../member/src/wal/disk.ts'
import { MemoryNetwork } from './memory-transport.ts'
import { eventually } from './process-cluster.ts'

const MIB = 1024 * 1024
const STOP_GRACE_MS = 100

export interface LocalClusterOptions {
  readonly count: number
  readonly heartbeatMs?: number
  readonly electionMs?: number
  readonly snapshotLogBytes?: number
  /** Puts what the members find into the directory of each (`n1`, `n2`, …), before they start. */
  readonly prepare?: (directory: string) => Promise<void>
  /** How long a leader is waited for. */
  readonly patienceMs?: number
}

export class LocalCluster {
  /** Those that run. */
  readonly members: Member[] = []
  readonly directory: string
  readonly #options: LocalClusterOptions
  readonly #network = new MemoryNetwork({
    schedule: (deliver) => void setImmediate(deliver),
    nowMs: () => systemClock.monotonicMs(),
    encoded: true,
  })

  /** Made and started; a failure ends the process that asked for it. */
  static async start(options: LocalClusterOptions): Promise<LocalCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'raftbase-local-'))
    await options.prepare?.(directory)
    const cluster = new LocalCluster(options, directory)
    for (const { name } of cluster.#founders) await cluster.startMember(name)
    return cluster
  }

  private constructor(options: LocalClusterOptions, directory: string) {
    this.#options = options
    this.directory = directory
  }

  get #founders(): { readonly name: string; readonly peerUrls: string[] }[] {
    return Array.from({ length: this.#options.count }, (_, i) => ({
      name: `n${i + 1}`,
      peerUrls: [`http://n${i + 1}`],
    }))
  }

  /** A member of this name, blank or back on its disk. */
  async startMember(name: string): Promise<Member> {
    const initialMembers = this.#founders
    const identity = identityOf({ token: 'local', name, members: initialMembers })
    const fs = new DiskFileSystem()
    const { heartbeatMs = 100, electionMs = 1000, snapshotLogBytes = 64 * MIB } = this.#options
    const member = await Member.open({
      directory: await openDataDirectory({
        fs,
        path: this.pathOf(name),
        identity,
        isNewCluster: true,
      }),
      initialMembers,
      attributes: { peerUrls: [], clientUrls: [], apiUrls: [], version: 'local' },
      settings: nodeSettings({
        heartbeatMs,
        electionMs,
        requestBytesMax: 1_572_864,
        snapshotLogBytes,
        quotaBytes: Number.POSITIVE_INFINITY,
      }),
      fs,
      transport: this.#network.transport(identity.memberId),
      clock: systemClock,
      timers: systemTimers,
      prng: systemPrng(),
      log: createLogger({ level: 'silent' }),
      origin: randomId(),
      onFailure: (error) => {
        throw error
      },
    })
    await member.start()
    this.members.push(member)
    return member
  }

  async stopMember(member: Member): Promise<void> {
    this.members.splice(this.members.indexOf(member), 1)
    await member.stop(STOP_GRACE_MS)
  }

  pathOf(name: string): string {
    return join(this.directory, name)
  }

  /** One that leads and is ready. */
  leader(): Promise<Member> {
    return eventually(
      'a leader',
      () => this.members.find((member) => member.status().role === 'leader' && member.isReady()),
      { timeoutMs: this.#options.patienceMs ?? 60_000 },
    )
  }

  /** Stops the members and removes their data. */
  async destroy(): Promise<void> {
    for (let member = this.members[0]; member !== undefined; member = this.members[0]) {
      await this.stopMember(member)
    }
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** Runs `work` for 0, 1, 2, … up to `count`, so many at a time; resolves when all are done. */
export async function inParallel(
  options: { readonly count: number; readonly atOnce: number },
  work: (number: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < options.count) await work(next++)
  }
  await Promise.all(Array.from({ length: options.atOnce }, worker))
}
