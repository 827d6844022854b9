// One RaftCluster of a scenario, seen the way its user sees it: through kubectl alone.

import { apply, getObject, kubectl, listObjects } from './kubectl.ts'
import { VERSION } from '../../../member/src/version.ts'
import { waitFor } from './wait.ts'

export interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

export interface MemberStatus {
  readonly name: string
  readonly raftId?: string
  readonly role?: string
  readonly healthy?: boolean
  readonly node?: string
  readonly reason?: string
  readonly configEpoch?: number
}

export interface RaftClusterObject {
  readonly metadata: { readonly name: string; readonly uid: string }
  readonly status?: {
    readonly phase?: string
    readonly ready?: string
    readonly replicas?: number
    readonly votingMembers?: number
    readonly updatedReplicas?: number
    readonly rollbackVersion?: string
    readonly failedVersion?: string
    readonly rendererRevision?: number
    readonly operation?: { readonly type: string; readonly step: string; readonly message?: string }
    readonly clusterId?: string
    readonly leader?: { readonly name: string; readonly term: number }
    readonly members?: readonly MemberStatus[]
    readonly certificates?: readonly { readonly role: string; readonly notAfter: string }[]
    readonly conditions?: readonly Condition[]
  }
}

export interface PodObject {
  readonly metadata: {
    readonly name: string
    readonly uid: string
    readonly deletionTimestamp?: string
  }
  readonly spec: { readonly nodeName?: string }
  readonly status: {
    readonly phase: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly containerStatuses?: readonly {
      readonly restartCount: number
      readonly containerID?: string
      readonly lastState?: { readonly terminated?: { readonly exitCode: number } }
    }[]
  }
}

export interface MemberReport {
  readonly clusterId: string
  readonly membershipEpoch: number
  readonly members: readonly { readonly id: string; readonly role: string }[]
}

export class RaftCluster {
  readonly namespace: string
  readonly name: string
  readonly replicas: number

  private constructor(namespace: string, name: string, replicas: number) {
    this.namespace = namespace
    this.name = name
    this.replicas = replicas
  }

  /** Applies it; nothing has happened yet when this resolves. */
  static async create(
    namespace: string,
    name: string,
    spec: Readonly<Record<string, unknown>> & { readonly replicas: number },
  ): Promise<RaftCluster> {
    await apply(namespace, {
      apiVersion: 'raftbase.io/v1alpha1',
      kind: 'RaftCluster',
      metadata: { name },
      spec: {
        version: VERSION,
        resources: { requests: { cpu: '20m', memory: '96Mi' } },
        ...spec,
        storage: { size: '256Mi', ...(spec['storage'] as object | undefined) },
      },
    })
    return new RaftCluster(namespace, name, spec.replicas)
  }

  /** Applies a manifest as it stands, which makes a RaftCluster of this name and size. */
  static async apply(
    namespace: string,
    file: string,
    { name, replicas }: { readonly name: string; readonly replicas: number },
  ): Promise<RaftCluster> {
    await kubectl(['apply', '--namespace', namespace, '--filename', file])
    return new RaftCluster(namespace, name, replicas)
  }

  async get(): Promise<RaftClusterObject | undefined> {
    return getObject<RaftClusterObject>(this.namespace, 'raftcluster', this.name)
  }

  get selector(): string {
    return `raftbase.io/cluster=${this.name}`
  }

  async pods(): Promise<readonly PodObject[]> {
    return listObjects<PodObject>(this.namespace, 'pods', this.selector)
  }

  /** Name and uid of each pod, by name. */
  async podUids(): Promise<readonly string[]> {
    return (await this.pods()).map(({ metadata }) => `${metadata.name} ${metadata.uid}`).toSorted()
  }

  /** The same, with everything that a restart of a container changes. */
  async lives(): Promise<readonly string[]> {
    const pods = (await this.pods()).map(({ metadata, status }) => {
      const containers = (status.containerStatuses ?? []).map((one) => {
        return `${one.containerID} after ${one.restartCount} restarts`
      })
      return [metadata.name, metadata.uid, ...containers].join(' ')
    })
    return pods.toSorted()
  }

  async volumes(): Promise<readonly string[]> {
    type Claim = { readonly metadata: { readonly name: string } }
    const claims = await listObjects<Claim>(this.namespace, 'pvc', this.selector)
    return claims.map(({ metadata }) => metadata.name).toSorted()
  }

  /** What each member that runs says of itself; of a cluster without TLS. */
  async memberStatuses(): Promise<readonly MemberReport[]> {
    const pods = (await this.pods()).map(({ metadata }) => metadata.name)
    const base = `/api/v1/namespaces/${this.namespace}/pods`
    return Promise.all(
      pods.map(async (pod) => {
        const text = await kubectl(['get', '--raw', `${base}/${pod}:8080/proxy/v1/status`])
        return JSON.parse(text) as MemberReport
      }),
    )
  }

  /** Resolves once every member is ready and the Ready condition says so. */
  async becomesReady(timeoutMs = 90_000): Promise<RaftClusterObject> {
    const all = `${this.replicas}/${this.replicas}`
    return this.shows(`${this.name} to be ready`, timeoutMs, (cluster) => {
      const ready = condition(cluster, 'Ready')
      return ready?.status === 'True' && cluster.status?.ready === all
    })
  }

  /** Resolves once as many members vote and serve, each in a pod, and nothing is under way. */
  async hasSize(replicas: number, timeoutMs = 180_000): Promise<RaftClusterObject> {
    const seen = await this.shows(`${replicas} members`, timeoutMs, ({ status }) => {
      const isWhole = status?.ready === `${replicas}/${replicas}` && status.phase === 'Healthy'
      return isWhole && status.votingMembers === replicas && status.operation === undefined
    })
    const { length } = await this.pods()
    if (length !== replicas) throw new Error(`${replicas} members in ${length} pods`)
    return seen
  }

  /** Resolves once its object is as `test` wants it. */
  async shows(
    what: string,
    timeoutMs: number,
    test: (cluster: RaftClusterObject) => boolean,
  ): Promise<RaftClusterObject> {
    return waitFor({ what, timeoutMs, periodMs: 200 }, async () => {
      const cluster = await this.get()
      return cluster !== undefined && test(cluster) ? cluster : { notYet: cluster?.status }
    })
  }

  /** Asks for its deletion, and waits for its end. */
  async delete(timeoutMs = 60_000): Promise<void> {
    await kubectl(
      [
        'delete',
        'raftcluster',
        this.name,
        '--namespace',
        this.namespace,
        `--timeout=${timeoutMs}ms`,
      ],
      { timeoutMs: timeoutMs + 10_000 },
    )
  }
}

export function condition(cluster: RaftClusterObject, type: string): Condition | undefined {
  return cluster.status?.conditions?.find((one) => one.type === type)
}

/** Name to identity: what must be the same after pods have come and gone. */
export function identities(cluster: RaftClusterObject): Readonly<Record<string, string>> {
  const members = cluster.status?.members ?? []
  return Object.fromEntries(members.map(({ name, raftId }) => [name, raftId ?? '']))
}
