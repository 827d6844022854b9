// Whole members in one process, on the real disk, with the transport in memory: brought up by a Starter from a membership
// document that the test changes, as an operator would.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { clusterIdOf, describeInitialCluster } from '../../../lib/identity.ts'
import { createLogger } from '../../../lib/logger.ts'
import type { MembershipEntry } from '../../../lib/membership-file.ts'
import { randomId, systemPrng } from '../../../lib/prng.ts'
import { encodeConfChangeContext } from '../../../member/src/apply/request.ts'
import { MemberHost } from '../../../member/src/node/host.ts'
import { type Identity, type InitialMember, memberIdOf } from '../../../member/src/node/identity.ts'
import { Member } from '../../../member/src/node/member.ts'
import { MembershipSource } from '../../../member/src/node/membership-source.ts'
import { nodeSettings } from '../../../member/src/node/settings.ts'
import { type KnownBy, Starter } from '../../../member/src/node/starter.ts'
import type { ConfChangeSingle, MemberId } from '../../../member/src/raft/types.ts'
import { DiskFileSystem } from '../../../member/src/wal/disk.ts'
import { MemoryNetwork } from '../../support/memory-transport.ts'
import { eventually } from '../../support/process-cluster.ts'

export const TOKEN = 'group'
const SETTINGS = nodeSettings({
  heartbeatMs: 100,
  electionMs: 1000,
  requestBytesMax: 1_572_864,
  snapshotLogBytes: 64 * 1024 * 1024,
  quotaBytes: Number.POSITIVE_INFINITY,
})

export interface Running {
  readonly name: string
  readonly host: MemberHost
  readonly starter: Starter
  readonly failures: unknown[]
}

export class MemberGroup {
  readonly root: string
  readonly network = new MemoryNetwork({
    schedule: (deliver) => void setImmediate(deliver),
    nowMs: () => systemClock.monotonicMs(),
    encoded: true,
  })
  readonly running = new Map<string, Running>()
  /** What the members read; undefined: no file. */
  document: Record<string, unknown>
  /** What the peers of a blank member answer; undefined: those who run say what they know. */
  knownBy: readonly KnownBy[] | undefined

  static async create(names: readonly string[]): Promise<MemberGroup> {
    const group = new MemberGroup(await mkdtemp(join(tmpdir(), 'raftbase-group-')), names)
    onTestFinished(() => group.destroy())
    return group
  }

  private constructor(root: string, names: readonly string[]) {
    this.root = root
    const initialCluster = describeInitialCluster(
      names.map((name) => ({ name, peerUrls: [urlOf(name)] })),
    )
    this.document = {
      schema: 1,
      cluster: 'test/group',
      token: TOKEN,
      phase: 'Bootstrapping',
      clusterId: clusterIdOf(TOKEN, initialCluster),
      epoch: 1,
      initialCluster,
      members: names.map((name, ordinal) => entryOf(name, { ordinal })),
    }
  }

  /** From now on the members read this. */
  publish(changed: object): void {
    const epoch = (this.document['epoch'] as number) + 1
    this.document = { ...this.document, epoch, ...changed }
  }

  dataDir(name: string): string {
    return join(this.root, name)
  }

  async start(name: string): Promise<Running> {
    const log = createLogger({ level: 'silent' })
    const [clock, timers] = [systemClock, systemTimers]
    const host = new MemberHost({ name, version: '0.0.0', electionMs: 1000, clock, timers })
    const failures: unknown[] = []
    const read = (): Promise<string> => Promise.resolve(JSON.stringify(this.document))
    const membership = new MembershipSource({
      name,
      read,
      timers,
      log,
      onChange: () => host.changed(),
    })
    host.reportMembershipFile(() => membership.status)
    const fs = new DiskFileSystem()
    const starter = new Starter({
      host,
      configured: {
        name,
        token: 'unused',
        advertisePeerUrls: [urlOf(name)],
        initialCluster: [],
        initialClusterState: 'new',
      },
      dataDir: this.dataDir(name),
      fs,
      timers,
      log,
      membership,
      askPeers: (identity, members) =>
        Promise.resolve(this.knownBy ?? this.#answers(identity, members)),
      askForCluster: () => Promise.resolve([]),
      openMember: ({ directory, plan, onRemoved, onFailure }) =>
        Member.open({
          directory,
          initialMembers: plan.members,
          joinPeers: plan.peers,
          attributes: { peerUrls: [urlOf(name)], clientUrls: [], apiUrls: [], version: '0.0.0' },
          settings: SETTINGS,
          fs,
          transport: this.network.transport(directory.identity.memberId),
          clock,
          timers,
          prng: systemPrng(),
          log,
          origin: randomId(),
          onFailure,
          onRemoved,
        }),
      onFailure: (error) => failures.push(error),
      graceMs: 50,
    })
    const running = { name, host, starter, failures }
    this.running.set(name, running)
    await starter.start()
    return running
  }

  async stop(name: string): Promise<void> {
    await this.running.get(name)?.starter.stop()
    this.running.delete(name)
  }

  #answers({ memberId }: Identity, asked: readonly InitialMember[]): readonly KnownBy[] {
    return asked.flatMap(({ name }) => {
      const member = this.running.get(name)?.host.member
      if (member === undefined) return []
      const { clusterId } = member.identity
      return [{ clusterId, name, takenPart: member.hasTakenPart(memberId) }]
    })
  }

  leader(): Promise<Running> {
    return eventually('a leader that is ready', () =>
      [...this.running.values()].find(
        ({ host }) => host.status().role === 'leader' && host.isReady(),
      ),
    )
  }

  /** Proposes a change of the membership at the leader. */
  async change(changes: readonly ConfChangeSingle[], added: readonly string[] = []): Promise<void> {
    const { driver } = (await this.leader()).host.member!
    const records = added.map((name, i) => ({
      id: changes[i]!.memberId,
      name,
      peerUrls: [urlOf(name)],
      clientUrls: [],
      apiUrls: [],
      version: '',
      level: 0,
    }))
    const context = encodeConfChangeContext({
      origin: randomId(),
      sequence: 1,
      members: records,
      moved: [],
    })
    const result = driver.raft.proposeConfChange({ changes, transition: 'auto', context })
    if (!result.accepted) throw new Error(result.reason)
    driver.wake()
  }

  async destroy(): Promise<void> {
    for (const name of this.running.keys()) await this.stop(name)
    await rm(this.root, { recursive: true, force: true })
  }
}

export function urlOf(name: string): string {
  return `http://${name}.test:2380`
}

export function entryOf(name: string, changed: Partial<MembershipEntry> = {}): MembershipEntry {
  return { name, ordinal: 0, incarnation: 1, state: 'Voter', peerUrl: urlOf(name), ...changed }
}

export function idOf(name: string, incarnation = 1): MemberId {
  return memberIdOf(TOKEN, name, incarnation)
}
