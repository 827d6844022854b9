// What the benchmarks share: whole members in this process on the real disk, and figures printed beside their goals.

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
import { MemoryNetwork } from '../support/memory-transport.ts'

const MIB = 1024 * 1024

export interface BenchCluster {
  readonly members: readonly Member[]
  readonly directory: string
  leader(): Promise<Member>
  /** Stops the members and removes their data. */
  destroy(): Promise<void>
}

/** Members in this process, with the real disk and the transport in memory. */
export async function startCluster(options: {
  readonly count: number
  readonly snapshotLogBytes?: number
}): Promise<BenchCluster> {
  const directory = await mkdtemp(join(tmpdir(), 'raftbase-bench-'))
  const network = new MemoryNetwork({
    schedule: (deliver) => void setImmediate(deliver),
    nowMs: () => systemClock.monotonicMs(),
    encoded: true,
  })
  const names = Array.from({ length: options.count }, (_, i) => `n${i + 1}`)
  const initialMembers = names.map((name) => ({ name, peerUrls: [`http://${name}`] }))
  const snapshotLogBytes = options.snapshotLogBytes ?? 64 * MIB
  const members: Member[] = []
  for (const name of names) {
    const at = { directory, name, initialMembers, network, snapshotLogBytes }
    members.push(await startMember(at))
  }
  const leader = async (): Promise<Member> => {
    for (;;) {
      const leading = members.find((m) => m.status().role === 'leader' && m.isReady())
      if (leading !== undefined) return leading
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const destroy = async (): Promise<void> => {
    for (const member of members) await member.stop(100)
    await rm(directory, { recursive: true, force: true })
  }
  return { members, directory, leader, destroy }
}

async function startMember(options: {
  readonly directory: string
  readonly name: string
  readonly initialMembers: readonly { readonly name: string; readonly peerUrls: string[] }[]
  readonly network: MemoryNetwork
  readonly snapshotLogBytes: number
}): Promise<Member> {
  const { name, initialMembers, network, snapshotLogBytes } = options
  const identity = identityOf({ token: 'bench', name, members: initialMembers })
  const fs = new DiskFileSystem()
  const path = join(options.directory, name)
  const directory = await openDataDirectory({ fs, path, identity, isNewCluster: true })
  const member = await Member.open({
    directory,
    initialMembers,
    attributes: { peerUrls: [], clientUrls: [], apiUrls: [], version: 'bench' },
    settings: nodeSettings({
      heartbeatMs: 100,
      electionMs: 1000,
      requestBytesMax: 1_572_864,
      snapshotLogBytes,
      quotaBytes: Number.POSITIVE_INFINITY,
    }),
    fs,
    transport: network.transport(identity.memberId),
    clock: systemClock,
    timers: systemTimers,
    prng: systemPrng(),
    log: createLogger({ level: 'warn' }),
    origin: randomId(),
    onFailure: (error) => {
      throw error
    },
  })
  await member.start()
  return member
}

/** A figure beside its goal, and whether this run reached it. Nothing fails by it. */
export function report(options: {
  readonly what: string
  readonly value: number
  readonly goal: number
  /** Whether the figure should be at most or at least the goal. */
  readonly bound: 'most' | 'least'
  readonly unit: string
  readonly digits?: number
}): void {
  const { what, value, goal, bound, unit, digits = 0 } = options
  const isReached = bound === 'most' ? value <= goal : value >= goal
  const wanted = `at ${bound} ${goal} ${unit}`
  console.log(
    `${what}: ${value.toFixed(digits)} ${unit} (goal: ${wanted}; ${isReached ? 'reached' : 'missed'})`,
  )
}

/** The value below which `part` (0 to 1) of `sorted` lies. */
export function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
}
