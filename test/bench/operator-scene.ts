// The world around the operator for its benchmark: clusters on a real API server whose pods and members are played, cheaply,
// by this process. Members answer on loopback addresses of their own, all on the port the operator asks.

import { createServer, type Server, type ServerResponse } from 'node:http'
import { memberIdOf } from '../../lib/identity.ts'
import type { KubeObject } from '../../operator/src/api/kube-object.ts'
import { PORTS } from '../../operator/src/api/names.ts'
import {
  CONFIG_MAPS,
  NAMESPACES,
  PODS,
  RAFT_CLUSTERS,
  STATEFUL_SETS,
  VOLUME_CLAIMS,
} from '../../operator/src/api/resource-types.ts'
import type { KubeApi } from '../../operator/src/kube/kube-api.ts'

const REPLICAS = 3
const NAMESPACE_COUNT = 10
const PLAYER = { fieldManager: 'kubelet', force: true }
const AT_ONCE = 16

/** One cluster as its members tell it. */
interface Played {
  readonly name: string
  readonly namespace: string
  readonly index: number
  token: string
  clusterId: string
  leader: number
  term: number
  readonly streams: Set<ServerResponse>
}

export class OperatorScene {
  readonly #api: KubeApi
  readonly #clusters: Played[]
  readonly #server: Server
  requestCount = 0

  constructor(api: KubeApi, count: number) {
    this.#api = api
    this.#clusters = Array.from({ length: count }, (_, index) => ({
      name: `demo-${index}`,
      namespace: `team-${index % NAMESPACE_COUNT}`,
      index,
      token: '',
      clusterId: '',
      leader: 0,
      term: 1,
      streams: new Set<ServerResponse>(),
    }))
    this.#server = createServer((request, response) => {
      this.requestCount++
      const found = this.#find(request.socket.localAddress ?? '')
      if (found === undefined) response.writeHead(404).end()
      else if (request.url === '/v1/status/stream') openStream(found.cluster, response)
      else response.end(JSON.stringify(statusOf(found.cluster, found.ordinal)))
    })
    this.#server.keepAliveTimeout = 72_000
  }

  /** Streams that the operator holds open. */
  get streamCount(): number {
    return this.#clusters.reduce((sum, { streams }) => sum + streams.size, 0)
  }

  /** False when something else has the port that the operator asks members on. */
  async listen(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#server.once('error', () => resolve(false))
      this.#server.listen(PORTS.api, '0.0.0.0', () => resolve(true))
    })
  }

  async createClusters(): Promise<void> {
    for (let i = 0; i < Math.min(NAMESPACE_COUNT, this.#clusters.length); i++) {
      const metadata = { name: `team-${i}` }
      await this.#api.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata })
    }
    await eachOf(this.#clusters, ({ name, namespace }) =>
      this.#api.create(RAFT_CLUSTERS, {
        apiVersion: 'raftbase.io/v1alpha1',
        kind: 'RaftCluster',
        metadata: { name, namespace },
        spec: { version: '0.1.0', replicas: REPLICAS },
      }),
    )
  }

  /** Waits for each StatefulSet and plays its controller and kubelets until every member answers. */
  async playPods(): Promise<void> {
    await eachOf(this.#clusters, async (cluster) => {
      const { name, namespace } = cluster
      const set = await this.#eventually(() => this.#api.get(STATEFUL_SETS, { namespace, name }))
      const key = { namespace, name: `${name}-membership` }
      const file = await this.#eventually(() => this.#api.get(CONFIG_MAPS, key))
      const text = (file['data'] as Record<string, string>)['membership.json'] ?? '{}'
      const { token, clusterId } = JSON.parse(text) as { token: string; clusterId: string }
      Object.assign(cluster, { token, clusterId })
      for (let ordinal = 0; ordinal < REPLICAS; ordinal++)
        await this.#playPod(cluster, set, ordinal)
      const revisions = { currentRevision: 'r1', updateRevision: 'r1' }
      const counts = { replicas: REPLICAS, readyReplicas: REPLICAS, updatedReplicas: REPLICAS }
      const metadata = { name, namespace }
      const status = { ...revisions, ...counts, observedGeneration: 1 }
      await this.#api.applyStatus(STATEFUL_SETS, { ...kindOf(set), metadata, status }, PLAYER)
    })
  }

  async clusters(): Promise<readonly KubeObject[]> {
    const pages = await this.#api.list(RAFT_CLUSTERS, {})
    return pages.items
  }

  /** Its next member leads; everybody who follows is told. */
  changeLeader(index: number): {
    readonly namespace: string
    readonly name: string
    leader: string
  } {
    const cluster = this.#clusters[index]!
    cluster.leader = (cluster.leader + 1) % REPLICAS
    cluster.term++
    for (const stream of cluster.streams) stream.write('event: status\ndata: {}\n\n')
    const { namespace, name, leader } = cluster
    return { namespace, name, leader: `${name}-${leader}` }
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  async #playPod(cluster: Played, set: KubeObject, ordinal: number): Promise<void> {
    const { name, namespace } = cluster
    const { template, volumeClaimTemplates } = set['spec'] as {
      template: { metadata: { labels: Record<string, string> }; spec: object }
      volumeClaimTemplates: { metadata: object; spec: object }[]
    }
    const [claim] = volumeClaimTemplates
    const claimMetadata = { ...claim!.metadata, name: `data-${name}-${ordinal}`, namespace }
    const claimKind = { apiVersion: 'v1', kind: 'PersistentVolumeClaim' }
    const volume = { ...claimKind, metadata: claimMetadata, spec: claim!.spec }
    await this.#api.apply(VOLUME_CLAIMS, volume, PLAYER)
    const metadata = {
      name: `${name}-${ordinal}`,
      namespace,
      labels: { ...template.metadata.labels, 'controller-revision-hash': 'r1' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: set.kind, name, uid: set.metadata.uid!, controller: true },
      ],
    }
    const podKind = { apiVersion: 'v1', kind: 'Pod' }
    const { volumes = [] } = template.spec as { volumes?: readonly object[] }
    const data = { name: 'data', persistentVolumeClaim: { claimName: claimMetadata.name } }
    const spec = {
      ...template.spec,
      volumes: [...volumes, data],
      nodeName: `node-${ordinal}`,
    }
    await this.#api.create(PODS, { ...podKind, metadata, spec })
    const at = { name: metadata.name, namespace }
    const podIP = addressOf(cluster.index, ordinal)
    const container = { name: 'member', image: 'x', imageID: 'x', restartCount: 0, ready: true }
    const state = { running: { startedAt: '2026-01-01T00:00:00Z' } }
    const podIPs = [{ ip: podIP }]
    const containerStatuses = [{ ...container, state }]
    const status = { phase: 'Running', podIP, podIPs, containerStatuses }
    await this.#api.applyStatus(PODS, { ...podKind, metadata: at, status }, PLAYER)
    const bound = { ...claimKind, metadata: { name: claimMetadata.name, namespace } }
    const claimStatus = { status: { phase: 'Bound' } }
    await this.#api.applyStatus(VOLUME_CLAIMS, { ...bound, ...claimStatus }, PLAYER)
  }

  #find(address: string): { cluster: Played; ordinal: number } | undefined {
    const [, high = '', low = '', last = ''] = /127\.(\d+)\.(\d+)\.(\d+)$/.exec(address) ?? []
    const cluster = this.#clusters[(Number(high) - 1) * 200 + Number(low)]
    return cluster === undefined ? undefined : { cluster, ordinal: Number(last) - 1 }
  }

  async #eventually<Value>(look: () => Promise<Value | undefined>): Promise<Value> {
    for (let i = 0; i < 1200; i++) {
      const value = await look()
      if (value !== undefined) return value
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
    throw new Error('the operator makes nothing')
  }
}

function addressOf(index: number, ordinal: number): string {
  return `127.${Math.floor(index / 200) + 1}.${index % 200}.${ordinal + 1}`
}

function kindOf({ apiVersion, kind }: KubeObject): { apiVersion: string; kind: string } {
  return { apiVersion, kind }
}

function openStream({ streams }: Played, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.flushHeaders()
  streams.add(response)
  const beat = setInterval(() => response.write(': alive\n\n'), 5000)
  response.once('close', () => {
    clearInterval(beat)
    streams.delete(response)
  })
}

/** A healthy member that has been running for a while. */
function statusOf({ name, token, clusterId, leader, term }: Played, ordinal: number): object {
  const idOf = (member: number) => memberIdOf(token, `${name}-${member}`, 1)
  const members = Array.from({ length: REPLICAS }, (_, member) => ({
    id: idOf(member),
    name: `${name}-${member}`,
    role: 'voter',
    peerUrls: [`http://${name}-${member}.${name}-peer:2380`],
    clientUrls: [`http://${name}-${member}.${name}-peer:2379`],
    apiUrls: [`http://${name}-${member}.${name}-peer:8080`],
    version: '0.1.0',
  }))
  return {
    name: `${name}-${ordinal}`,
    clusterId,
    memberId: idOf(ordinal),
    incarnation: 1,
    version: '0.1.0',
    storageFormatVersion: 1,
    state: 'running',
    startupPhase: 'complete',
    dataDirectory: { state: 'Valid' },
    ready: true,
    alarms: [],
    role: ordinal === leader ? 'leader' : 'follower',
    term,
    leader: idOf(leader),
    committed: 1000,
    applied: 1000,
    lastIndex: 1000,
    membershipEpoch: 0,
    configFile: { epoch: 1, pendingRestart: [] },
    members,
    peers:
      ordinal === leader
        ? members
            .filter((_member, other) => other !== leader)
            .map(({ id, name: peer }) => ({
              id,
              name: peer,
              connected: true,
              match: 1000,
              active: true,
            }))
        : [],
    uptimeSeconds: 60,
    residentBytes: 80_000_000,
  }
}

async function eachOf<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<unknown>,
): Promise<void> {
  const waiting = [...items]
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
