// Real members that read their cluster from a membership file, as under an operator: the file changes as a mounted
// ConfigMap does.

import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { clusterIdOf, describeInitialCluster } from '../../lib/identity.ts'
import type { Status } from '../../member/src/rest/contract.ts'
import { eventually, freePorts, type MemberProcess, ProcessCluster } from './process-cluster.ts'

/** Of their cluster. */
export const TOKEN = 'b7f0c2de-uid'

/** Members that read their cluster from a file, each with a probe port of its own. */
export class Operated {
  readonly cluster: ProcessCluster
  readonly probePorts: readonly number[]
  epoch = 0

  constructor(made: ProcessCluster, probePorts: readonly number[]) {
    this.cluster = made
    this.probePorts = probePorts
  }

  static async create(count: number): Promise<Operated> {
    return new Operated(await ProcessCluster.create(count), await freePorts(count))
  }

  get file(): string {
    return join(this.cluster.directory, 'config', 'membership.json')
  }

  get initialCluster(): string {
    const founders = this.cluster.members.map(({ name, peerPort }) => ({
      name,
      peerUrls: [`http://127.0.0.1:${peerPort}`],
    }))
    return describeInitialCluster(founders)
  }

  document(changed: object = {}, entries: Readonly<Record<string, object>> = {}): object {
    const members = this.cluster.members.map(({ name, peerPort }, ordinal) => ({
      name,
      ordinal,
      incarnation: 1,
      state: 'Voter',
      peerUrl: `http://127.0.0.1:${peerPort}`,
      ...entries[name],
    }))
    return {
      schema: 1,
      cluster: 'test/demo',
      token: TOKEN,
      phase: 'Bootstrapping',
      clusterId: clusterIdOf(TOKEN, this.initialCluster),
      epoch: ++this.epoch,
      initialCluster: this.initialCluster,
      members,
      ...changed,
    }
  }

  /** As kubelet does it: a new directory, and a link to it that replaces the old one. */
  async publish(document: object): Promise<void> {
    const volume = join(this.cluster.directory, 'config')
    const data = `..data_${this.epoch}`
    await mkdir(join(volume, data), { recursive: true })
    await writeFile(join(volume, data, 'membership.json'), JSON.stringify(document))
    await symlink(data, join(volume, '..data_tmp'))
    await rename(join(volume, '..data_tmp'), join(volume, '..data'))
    await symlink('..data/membership.json', this.file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }

  flags(member: MemberProcess): string[] {
    const flags = this.cluster.flags(member).filter((flag) => !flag.startsWith('-initial-cluster'))
    const port = this.probePorts[this.cluster.members.indexOf(member)]!
    return [
      ...flags,
      `-membership-file=${this.file}`,
      `-listen-metrics-urls=http://127.0.0.1:${port}`,
      `-termination-log=${this.terminationLog(member)}`,
    ]
  }

  terminationLog(member: MemberProcess): string {
    return join(this.cluster.directory, `${member.name}.end`)
  }

  start(...members: readonly MemberProcess[]): void {
    for (const member of members) this.cluster.start(member, this.flags(member))
  }

  async status(member: MemberProcess): Promise<Status | undefined> {
    try {
      const response = await fetch(`${member.api}/v1/status`, { signal: AbortSignal.timeout(1000) })
      return (await response.json()) as Status
    } catch {
      return undefined // Not up yet: the caller asks again until its deadline.
    }
  }

  /** The status once `condition` holds for it. */
  until(
    member: MemberProcess,
    what: string,
    condition: (status: Status) => boolean,
  ): Promise<Status> {
    return eventually(
      `${member.name} ${what}`,
      async () => {
        const status = await this.status(member)
        return status !== undefined && condition(status) ? status : undefined
      },
      { timeoutMs: 20_000, everyMs: 20, explain: () => this.cluster.outputs() },
    )
  }

  parked(member: MemberProcess, state: Status['dataDirectory']['state']): Promise<Status> {
    return this.until(member, `parked as ${state}`, (status) => {
      return status.state === 'parked' && status.dataDirectory.state === state
    })
  }

  /** Status codes of startup, liveness and readiness, from the plain listener. */
  async probes(member: MemberProcess): Promise<number[]> {
    const port = this.probePorts[this.cluster.members.indexOf(member)]!
    return Promise.all(
      ['startupz', 'livez', 'readyz'].map(async (probe) => {
        return (await fetch(`http://127.0.0.1:${port}/${probe}`)).status
      }),
    )
  }
}
