// The loop with a real API server under it: caches that show what is there when a pass begins, members that answer what they
// are told to, and the parts of Kubernetes' controllers that a test plays by hand.

import { MemberTrust } from '../../../operator/src/member-client/trust.ts'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { Registry } from '../../../lib/metrics.ts'
import type { Status } from '../../../member/src/rest/contract.ts'
import type { KubeObject, ObjectKey, ResourceType } from '../../../operator/src/api/kube-object.ts'
import { expectedClusterId, expectedRaftId } from '../../../operator/src/api/names.ts'
import type { RaftClusterStatus } from '../../../operator/src/api/raft-cluster.ts'
import {
  CONFIG_MAPS,
  DISRUPTION_BUDGETS,
  PODS,
  RAFT_CLUSTERS,
  SERVICE_ACCOUNTS,
  SERVICES,
  STATEFUL_SETS,
  VOLUME_CLAIMS,
} from '../../../operator/src/api/resource-types.ts'
import { ClusterCounts } from '../../../operator/src/cluster-counts.ts'
import { readRaftCluster } from '../../../operator/src/api/validate.ts'
import type { CacheSet } from '../../../operator/src/controller/cache.ts'
import { ObjectStore } from '../../../operator/src/controller/object-store.ts'
import type { ReconcileResult } from '../../../operator/src/controller/reconciler.ts'
import type { KubeClient } from '../../../operator/src/kube/client.ts'
import type { RecordedEvent } from '../../../operator/src/kube/event-recorder.ts'
import type {
  MemberAnswer,
  MemberClient,
} from '../../../operator/src/member-client/member-client.ts'
import { ClusterReconciler } from '../../../operator/src/reconcile/reconciler.ts'
import { RENDERER_REVISION } from '../../../operator/src/resources/render.ts'
import { INDEXED_LABELS } from '../../../operator/src/watches.ts'
import type { ApiServer } from '../../support/api-server.ts'
import { silentLog } from '../support.ts'

const CHILD_TYPES = [
  STATEFUL_SETS,
  SERVICES,
  CONFIG_MAPS,
  SERVICE_ACCOUNTS,
  DISRUPTION_BUDGETS,
] as const

/** Where its conditions and events point. */
export const DOCS_URL = 'https://docs.example.org/raftbase'

/** What the StatefulSet controller adds. */
export function podSpec(template: object): Record<string, unknown> {
  const spec = structuredClone(template) as { volumes: object[] } & Record<string, unknown>
  spec.volumes.push({ name: 'data', persistentVolumeClaim: { claimName: 'data-demo-0' } })
  return spec
}

/** Members that answer what they are told to. */
export class PlayedMembers implements MemberClient {
  leader: number | undefined
  cluster: KubeObject | undefined
  /** Of the file they have taken over; undefined: they have none. */
  configEpoch: number | undefined = 1

  status(baseUrl: string): Promise<MemberAnswer> {
    const ordinal = Number(/10\.1\.0\.(\d+)/.exec(baseUrl)?.[1])
    const read = this.cluster === undefined ? undefined : readRaftCluster(this.cluster)
    if (read === undefined || this.leader === undefined) {
      return Promise.resolve({ kind: 'silent', reason: 'refused', detail: 'ECONNREFUSED' })
    }
    const token = read.metadata.uid
    const idOf = (index: number): string => expectedRaftId(token, `demo-${index}`, 1)
    const status: Status = {
      name: `demo-${ordinal}`,
      clusterId: expectedClusterId(read, { token, replicas: 3 }),
      memberId: idOf(ordinal),
      incarnation: 1,
      version: '0.1.0',
      storageFormatVersion: 1,
      state: 'running',
      startupPhase: 'complete',
      dataDirectory: { state: 'Valid' },
      ready: true,
      alarms: [],
      role: ordinal === this.leader ? 'leader' : 'follower',
      term: 4,
      leader: idOf(this.leader),
      committed: 10,
      applied: 10,
      membershipEpoch: 0,
      ...(this.configEpoch === undefined
        ? {}
        : { configFile: { epoch: this.configEpoch, pendingRestart: [] } }),
      members: [0, 1, 2].map((index) => ({
        id: idOf(index),
        name: `demo-${index}`,
        role: 'voter' as const,
        peerUrls: [],
        clientUrls: [],
        apiUrls: [],
        version: '0.1.0',
      })),
      peers: [],
      uptimeSeconds: 1,
      residentBytes: 1,
    }
    return Promise.resolve({ kind: 'answered', status })
  }
}

export class RealScene {
  readonly key: ObjectKey
  readonly members = new PlayedMembers()
  readonly events: RecordedEvent[] = []
  readonly #client: KubeClient
  readonly #server: ApiServer
  #caches: CacheSet | undefined
  readonly #reconciler: ClusterReconciler

  constructor(options: {
    readonly client: KubeClient
    readonly server: ApiServer
    readonly key: ObjectKey
    readonly newestRenderer?: number
  }) {
    const { client, server, key, newestRenderer = RENDERER_REVISION } = options
    this.#client = client
    this.#server = server
    this.key = key
    this.#reconciler = new ClusterReconciler({
      trust: new MemberTrust(),
      api: client,
      caches: { of: (type) => this.#caches!.of(type) },
      members: this.members,
      membership: { change: () => Promise.reject(new Error('nobody is asked in these scenes')) },
      streams: { follow: () => undefined },
      recorder: { record: (event) => this.events.push(event) },
      clock: systemClock,
      timers: systemTimers,
      log: silentLog,
      readsNodes: true,
      render: { memberRepository: 'raftbase/member', docsUrl: DOCS_URL, newestRenderer },
      counts: new ClusterCounts(new Registry()),
    })
  }

  get reasons(): readonly string[] {
    return this.events
      .filter(({ regarding }) => regarding.kind === 'RaftCluster')
      .map(({ reason }) => reason)
  }

  /** So many passes, each with caches that show what is there; what the last one answered. */
  async passes(count: number): Promise<ReconcileResult> {
    let result: ReconcileResult = { kind: 'done' }
    for (let pass = 0; pass < count; pass += 1) result = await this.passWith(await this.snapshot())
    return result
  }

  passWith(caches: CacheSet): Promise<ReconcileResult> {
    this.#caches = caches
    return this.#reconciler.reconcile(this.key, {
      signal: new AbortController().signal,
      reconcileId: '',
    })
  }

  /** As informers show it that watch what carries our label. */
  async snapshot(): Promise<CacheSet> {
    const stores = new Map<ResourceType, ObjectStore>()
    for (const type of [RAFT_CLUSTERS, PODS, VOLUME_CLAIMS, ...CHILD_TYPES]) {
      const store = new ObjectStore({ indexedLabels: INDEXED_LABELS, hasSynced: () => true })
      const labelSelector = type === RAFT_CLUSTERS ? undefined : 'raftbase.io/cluster'
      const page = await this.#client.list(type, { namespace: this.key.namespace, labelSelector })
      for (const object of page.items) store.put(object)
      stores.set(type, store)
    }
    this.members.cluster = stores.get(RAFT_CLUSTERS)!.get(this.key)
    return { of: (type) => stores.get(type)! }
  }

  get(type: ResourceType, name: string): Promise<KubeObject | undefined> {
    return this.#client.get(type, { namespace: this.key.namespace, name })
  }

  async status(): Promise<RaftClusterStatus> {
    return (await this.get(RAFT_CLUSTERS, 'demo'))!['status'] ?? {}
  }

  async patch(type: ResourceType, name: string, patch: object): Promise<void> {
    const key = { namespace: this.key.namespace, name }
    await this.#client.patch(type, key, { ...patch }, { fieldManager: 'somebody' })
  }

  /** Resource versions of everything there is. */
  async versions(): Promise<ReadonlyMap<string, string>> {
    const versions = new Map<string, string>()
    for (const type of [RAFT_CLUSTERS, ...CHILD_TYPES]) {
      const { items } = await this.#client.list(type, { namespace: this.key.namespace })
      for (const { metadata } of items) {
        if (metadata.name === 'kube-root-ca.crt') continue
        versions.set(`${type.resource}/${metadata.name}`, metadata.resourceVersion!)
      }
    }
    return versions
  }

  async labelsOf(label: string): Promise<readonly (string | undefined)[]> {
    const { items } = await this.#client.list(PODS, { namespace: this.key.namespace })
    return items.map(({ metadata }) => metadata.labels?.[label])
  }

  /** As StatefulSet controller and kubelets do it. */
  async startPods(): Promise<void> {
    const set = (await this.get(STATEFUL_SETS, 'demo'))!
    const { template } = set['spec'] as {
      template: { metadata: KubeObject['metadata']; spec: object }
    }
    for (const ordinal of [0, 1, 2]) {
      const name = `demo-${ordinal}`
      const labels = { ...template.metadata.labels, 'controller-revision-hash': 'demo-1' }
      await this.#client.create(PODS, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name,
          namespace: this.key.namespace,
          labels,
          ownerReferences: [
            {
              apiVersion: 'apps/v1',
              kind: 'StatefulSet',
              name: 'demo',
              uid: set.metadata.uid!,
              controller: true,
            },
          ],
        },
        spec: { ...podSpec(template.spec), nodeName: 'node-1' },
      })
      const running = {
        name: 'member',
        image: 'x',
        imageID: 'x',
        ready: true,
        restartCount: 0,
        state: { running: {} },
      }
      await this.#setStatus(PODS, name, {
        phase: 'Running',
        podIP: `10.1.0.${ordinal}`,
        podIPs: [{ ip: `10.1.0.${ordinal}` }],
        containerStatuses: [running],
      })
    }
    const status = {
      observedGeneration: set.metadata.generation,
      updateRevision: 'demo-1',
      replicas: 3,
    }
    await this.#setStatus(STATEFUL_SETS, 'demo', status)
  }

  async endPods(): Promise<void> {
    for (const ordinal of [0, 1, 2]) {
      const name = `demo-${ordinal}`
      const path = `/api/v1/namespaces/${this.key.namespace}/pods/${name}?gracePeriodSeconds=0`
      await this.#server.request('DELETE', path)
    }
  }

  /** Three of the cluster, one of an earlier one. */
  async makeClaims(): Promise<void> {
    const { uid } = (await this.get(RAFT_CLUSTERS, 'demo'))!.metadata
    for (const ordinal of [0, 1, 2, 9]) {
      const made = await this.#client.create(VOLUME_CLAIMS, {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: {
          name: `data-demo-${ordinal}`,
          namespace: this.key.namespace,
          labels: { 'raftbase.io/cluster': 'demo' },
          annotations: { 'raftbase.io/cluster-uid': ordinal === 9 ? 'another' : uid! },
        },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      })
      // Its controller, which would take this away once no pod uses it, does not run here.
      await this.patch(VOLUME_CLAIMS, made.metadata.name, { metadata: { finalizers: null } })
    }
  }

  async #setStatus(type: ResourceType, name: string, status: object): Promise<void> {
    const object = (await this.get(type, name))!
    await this.#client.applyStatus(
      type,
      {
        apiVersion: object.apiVersion,
        kind: object.kind,
        metadata: { name, namespace: this.key.namespace },
        status,
      },
      { fieldManager: 'controllers', force: true },
    )
  }
}
