// The parts of Kubernetes a cluster lives on, one small step at a time: the StatefulSet controller (parallel, on delete, never
// deletes a claim), binding and protection of volume claims, a kubelet that starts and ends pods, the garbage collector.

import type { KubeObject } from '../../../operator/src/api/kube-object.ts'
import { fingerprint } from '../../../operator/src/api/canonical.ts'
import { merge } from '../support/observation.ts'
import type { FakeApiStore, StoredObject, Target } from '../../support/fake-api-store.ts'
import { cloneJson, type Json } from '../../support/fake-api-json.ts'

type Fields = Record<string, Json | undefined>

const STATEFUL_SETS = 'apps/v1/statefulsets'
const PODS = 'v1/pods'
const CLAIMS = 'v1/persistentvolumeclaims'
const VOLUMES = 'v1/persistentvolumes'
const NODES = 'v1/nodes'
/** Stands for a process that takes its time to end. */
const KUBELET = 'sim/kubelet'
/** As Kubernetes protects a claim that a pod uses. */
const PROTECTION = 'kubernetes.io/pvc-protection'

interface StatefulSetSpec {
  readonly replicas: number
  readonly template: { readonly metadata: object; readonly spec: object }
  readonly volumeClaimTemplates: readonly { readonly metadata: object; readonly spec: object }[]
}

export class SimKubernetes {
  readonly #store: FakeApiStore
  readonly #network: string
  readonly #revisions = new WeakMap<object, string>()
  /** Pods by name whose container must not run: no node has room. */
  readonly unschedulable = new Set<string>()
  /** Tags of images that do not start. */
  readonly brokenTags = new Set<string>()
  /** StatefulSets by name that no controller looks after. */
  readonly ignored = new Set<string>()

  /** `network`: the first three numbers of the pods' addresses; the last one is the ordinal and one. */
  constructor(store: FakeApiStore, network = '10.0.0') {
    this.#store = store
    this.#network = network
  }

  /** From now on volumes are disks of nodes, one for each claim. */
  addNodes(names: readonly string[]): void {
    for (const name of names) {
      const metadata = { name, labels: { 'kubernetes.io/hostname': name } }
      this.#store.create(
        { collection: NODES, namespace: '', name },
        { apiVersion: 'v1', kind: 'Node', metadata, status: {} },
      )
    }
  }

  /** The machine is gone for good and its Node is deleted; the garbage collector takes the pods it had. */
  removeNode(name: string): void {
    this.#store.delete({ collection: NODES, namespace: '', name })
    for (const pod of this.pods()) {
      if (nodeOf(pod) === name) this.lose(pod.metadata.name, { withVolume: false })
    }
  }

  /** Where the disk behind a claim is; undefined when it can be used anywhere. */
  hostOf(claim: StoredObject | undefined): string | undefined {
    const name = (claim?.['spec'] as { volumeName?: string } | undefined)?.volumeName
    return name === undefined ? undefined : name.slice(name.lastIndexOf('.') + 1)
  }

  /** One step of every controller, in this order or another: each is safe alone. */
  readonly steps: readonly (() => void)[] = [
    () => this.#syncStatefulSets(),
    () => this.#syncClaims(),
    () => this.#syncPods(),
    () => this.#store.collectGarbage(),
  ]

  pods(): readonly StoredObject[] {
    return this.#store.list(PODS)
  }

  claims(): readonly StoredObject[] {
    return this.#store.list(CLAIMS)
  }

  /** As `kubectl delete pod`: it ends when its kubelet gets to it. */
  deletePod(name: string): void {
    const target = this.#target(PODS, name)
    if (this.#store.find(target) !== undefined) this.#store.delete(target)
  }

  /** Machine and disk are gone at once, pod and claim with them. */
  lose(member: string, options: { readonly withVolume: boolean }): void {
    const targets = [this.#target(PODS, member)]
    if (options.withVolume) targets.push(this.#target(CLAIMS, `data-${member}`))
    for (const target of targets) {
      if (this.#store.find(target) === undefined) continue
      this.#store.patch(target, { metadata: { finalizers: null } })
      if (this.#store.find(target) !== undefined) this.#store.delete(target)
    }
  }

  #syncStatefulSets(): void {
    for (const set of this.#store.list(STATEFUL_SETS)) {
      if (set.metadata.deletionTimestamp !== undefined) continue
      if (this.ignored.has(set.metadata.name)) continue
      const spec = set['spec'] as unknown as StatefulSetSpec
      const revision = this.#revisionOf(spec.template)
      for (let ordinal = 0; ordinal < spec.replicas; ordinal += 1) {
        this.#ensureMember(set, spec, { ordinal, revision })
      }
      this.#removeAbove(set, spec.replicas)
      const status = {
        observedGeneration: set.metadata.generation ?? 0,
        updateRevision: revision,
      }
      this.#store.patch(this.#target(STATEFUL_SETS, set.metadata.name), { status }, 'status')
    }
  }

  #revisionOf(template: object): string {
    const revision = this.#revisions.get(template) ?? fingerprint(template)
    this.#revisions.set(template, revision)
    return revision
  }

  #ensureMember(
    set: StoredObject,
    spec: StatefulSetSpec,
    member: { readonly ordinal: number; readonly revision: string },
  ): void {
    const name = `${set.metadata.name}-${member.ordinal}`
    const claim = this.#target(CLAIMS, `data-${name}`)
    const [template] = spec.volumeClaimTemplates
    if (this.#store.find(claim) === undefined) {
      this.#store.create(claim, {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { ...clone(template!.metadata), finalizers: [PROTECTION] },
        spec: clone(template!.spec),
        status: { phase: 'Pending' },
      })
    }
    const pod = this.#target(PODS, name)
    if (this.#store.find(pod) !== undefined) return
    const { metadata } = spec.template
    this.#store.create(pod, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...(merge(clone(metadata), {
          labels: { 'controller-revision-hash': member.revision },
        }) as Fields),
        finalizers: [KUBELET],
        ownerReferences: [
          {
            apiVersion: 'apps/v1',
            kind: 'StatefulSet',
            name: set.metadata.name,
            uid: set.metadata.uid,
            controller: true,
          },
        ],
      },
      spec: clone(spec.template.spec),
      status: { phase: 'Pending' },
    })
  }

  #removeAbove(set: StoredObject, replicas: number): void {
    for (const pod of this.pods()) {
      const owners = (pod.metadata['ownerReferences'] ?? []) as unknown as { uid: string }[]
      const ordinal = Number(pod.metadata.name.slice(set.metadata.name.length + 1))
      if (owners.every(({ uid }) => uid !== set.metadata.uid) || ordinal < replicas) continue
      if (pod.metadata.deletionTimestamp === undefined) this.deletePod(pod.metadata.name)
    }
  }

  /** Bound at once; gone only when no pod uses it any more. */
  #syncClaims(): void {
    const used = new Set(this.pods().map((pod) => `data-${pod.metadata.name}`))
    for (const claim of this.claims()) {
      const target = this.#target(CLAIMS, claim.metadata.name)
      if (claim.metadata.deletionTimestamp !== undefined && !used.has(claim.metadata.name)) {
        this.#store.patch(target, { metadata: { finalizers: null } })
      } else if ((claim['status'] as unknown as { phase: string }).phase === 'Pending') {
        this.#bind(claim)
        this.#store.patch(target, { status: { phase: 'Bound' } }, 'status')
      }
    }
  }

  /** To a disk of a node that has none of this cluster yet. */
  #bind(claim: StoredObject): void {
    const taken = new Set(this.claims().map((other) => this.hostOf(other)))
    const host = this.#store.list(NODES).find(({ metadata }) => !taken.has(metadata.name))
    if (host === undefined) return
    const name = `${claim.metadata.uid}.${host.metadata.name}`
    const on = { key: 'kubernetes.io/hostname', operator: 'In', values: [host.metadata.name] }
    const required = { nodeSelectorTerms: [{ matchExpressions: [on] }] }
    this.#store.create(
      { collection: VOLUMES, namespace: '', name },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name },
        spec: { nodeAffinity: { required } },
      },
    )
    this.#store.patch(this.#target(CLAIMS, claim.metadata.name), { spec: { volumeName: name } })
  }

  #syncPods(): void {
    for (const pod of this.pods()) {
      const target = this.#target(PODS, pod.metadata.name)
      if (pod.metadata.deletionTimestamp !== undefined) {
        this.#store.patch(target, { metadata: { finalizers: null } })
        continue
      }
      const claim = this.#store.find(this.#target(CLAIMS, `data-${pod.metadata.name}`))
      const isBound = (claim?.['status'] as { phase?: string } | undefined)?.phase === 'Bound'
      const isRunning = (pod['status'] as unknown as { phase: string }).phase === 'Running'
      if (isRunning || !isBound || this.unschedulable.has(pod.metadata.name)) continue
      if (this.brokenTags.has(tagOf(pod)) || !this.#hasFiles(pod)) continue
      const host = this.hostOf(claim)
      if (host !== undefined && !this.#isNode(host)) continue
      if (host !== undefined) this.#store.patch(target, { spec: { nodeName: host } })
      const status = {
        phase: 'Running',
        podIP: `${this.#network}.${Number(pod.metadata.name.split('-').at(-1)) + 1}`,
        containerStatuses: [
          {
            name: 'member',
            restartCount: 0,
            state: { running: { startedAt: this.#store.now().toISOString() } },
          },
        ],
      }
      this.#store.patch(target, { status }, 'status')
    }
  }

  /** A kubelet starts no container before it can mount everything. */
  #hasFiles(pod: StoredObject): boolean {
    const { volumes } = pod['spec'] as unknown as {
      volumes: readonly { readonly configMap?: { readonly name: string } }[]
    }
    return volumes.every(
      ({ configMap }) =>
        configMap === undefined ||
        this.#store.find(this.#target('v1/configmaps', configMap.name)) !== undefined,
    )
  }

  #isNode(name: string): boolean {
    return this.#store.find({ collection: NODES, namespace: '', name }) !== undefined
  }

  #target(collection: string, name: string): Target {
    return { collection, namespace: 'prod', name }
  }
}

function clone(value: object): Fields {
  return cloneJson(value) as Fields
}

/** Whether the container of a pod runs. */
export function isRunning(pod: StoredObject | KubeObject | undefined): boolean {
  return (pod?.['status'] as { phase?: string } | undefined)?.phase === 'Running'
}

function nodeOf(pod: StoredObject): string | undefined {
  return (pod['spec'] as { nodeName?: string } | undefined)?.nodeName
}

export function tagOf(pod: StoredObject): string {
  const { containers } = pod['spec'] as unknown as { containers: readonly { image: string }[] }
  return containers[0]!.image.split(':').at(-1)!
}

/** Tags of the images that pods have. */
export function tagsOf(pods: readonly StoredObject[]): readonly string[] {
  return [...new Set(pods.map(tagOf))].toSorted()
}
