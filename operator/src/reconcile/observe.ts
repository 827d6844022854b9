// Gathers what a pass has to know: the RaftCluster, everything under its names, its pods and volumes, and what its members
// say. Caches answer where being late is harmless; as long as a cluster may still have to be made, and when it is being
// deleted, the API server itself is asked. Reads only.

import type { Clock } from '../../../lib/clock.ts'
import type { KubeObject, ObjectKey, ResourceType } from '../api/kube-object.ts'
import { CLUSTER_LABEL } from '../api/labels.ts'
import { claimName, memberHost } from '../api/names.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { PODS, RAFT_CLUSTERS, VOLUME_CLAIMS } from '../api/resource-types.ts'
import { readRaftCluster } from '../api/validate.ts'
import type { CacheSet } from '../controller/cache.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import type { MemberTrust } from '../member-client/trust.ts'
import { CHILDREN, type ChildKind, MEMBERSHIP, STATEFUL_SET } from '../resources/children.ts'
import type { RenderOptions } from '../resources/render.ts'
import type { Certificates } from './certificates.ts'
import type { Monitors } from './monitors.ts'
import { observeNodes, withStranded } from './observe-nodes.ts'
import type { ClaimFacts, Observed, PodFacts, Refusal, Rejection, TlsObserved } from './observed.ts'
import { readClaim, readPod } from './pod-facts.ts'
import type { Sightings } from './sightings.ts'

/** Members of a cluster are few; more pods or volumes under its label are somebody else's, and are not looked at. */
const LIST_LIMIT = 500

export interface ObserveOptions {
  readonly api: KubeApi
  readonly caches: CacheSet
  readonly sightings: Sightings
  readonly clock: Clock
  readonly render: RenderOptions
  readonly certificates: Certificates
  readonly monitors: Monitors
  /** Whether it may read nodes and volumes. */
  readonly readsNodes: boolean
  /** Told how each member is asked. */
  readonly trust: Pick<MemberTrust, 'use'>
}

/** The RaftCluster as it is now; undefined when there is none. */
export async function observeCluster(
  key: ObjectKey,
  { api, caches }: ObserveOptions,
  signal: AbortSignal,
): Promise<RaftCluster | undefined> {
  const cached = caches.of(RAFT_CLUSTERS).get(key)
  const known = cached === undefined ? undefined : readRaftCluster(cached)
  if (known !== undefined && !needsCare(known)) return known
  const fresh = await api.get(RAFT_CLUSTERS, key, { signal })
  return fresh === undefined ? undefined : readRaftCluster(fresh)
}

export async function observe(
  cluster: RaftCluster,
  options: ObserveOptions,
  pass: {
    readonly signal: AbortSignal
    readonly rejection: Rejection | undefined
    readonly refusal: Refusal | undefined
    readonly servedSecondsAgo: number | undefined
  },
): Promise<Observed> {
  const careful = needsCare(cluster)
  const { signal, rejection, refusal, servedSecondsAgo } = pass
  // What is made last is read first, volumes before the StatefulSet and that before the membership: a cluster that another
  // operator is making at this moment must not look like one that has lost its beginning.
  const [pods, bound] = await Promise.all([
    observePods(cluster, options, { careful, signal }),
    observeClaims(cluster, options, { careful, signal }),
  ])
  const children = await observeChildren(cluster, options, { careful, signal })
  const { uid } = cluster.metadata
  const tls = await observeTls(cluster, pods, options, signal)
  const monitors = await options.monitors.look(cluster, signal)
  const sightings = await options.sightings.look(uid, pods, signal)
  const { api, readsNodes } = options
  const nodes = readsNodes ? await observeNodes(pods, sightings, { api, signal }) : []
  const claims = readsNodes ? await withStranded(bound, pods, { api, signal }) : bound
  return {
    now: `${new Date(options.clock.wallMs()).toISOString().slice(0, 19)}Z`,
    cluster,
    options: options.render,
    children,
    pods,
    claims,
    sightings,
    ...(nodes.length === 0 ? {} : { nodes }),
    ...(tls === undefined ? {} : { tls }),
    ...(monitors === undefined ? {} : { monitors }),
    ...(rejection === undefined ? {} : { rejection }),
    ...(refusal === undefined ? {} : { refusal }),
    ...(servedSecondsAgo === undefined ? {} : { servedSecondsAgo }),
  }
}

/** Of a cluster with certificates: what they are, so that its members can be asked too. */
async function observeTls(
  cluster: RaftCluster,
  pods: readonly PodFacts[],
  { certificates, trust }: ObserveOptions,
  signal: AbortSignal,
): Promise<TlsObserved | undefined> {
  const isAsked = pods.some(({ isSecure }) => isSecure === true)
  const found = await certificates.look(cluster, { isAsked, signal })
  for (const { ip, name, isSecure } of pods) {
    if (ip === undefined || isSecure !== true || found?.credentials === undefined) continue
    trust.use(ip, { ...found.credentials, servername: memberHost(cluster, name) })
  }
  return found?.facts
}

/** Whether a decision of this pass could destroy something if it came from an old cache. */
function needsCare({ metadata, status }: RaftCluster): boolean {
  const isUnderWay = status.clusterId === undefined || status.operation !== undefined
  return isUnderWay || metadata.deletionTimestamp !== undefined
}

interface Look {
  readonly careful: boolean
  readonly signal: AbortSignal
}

/** What a cache does not have may be there without our label: the API server says whether the name is free. */
async function observeChildren(
  cluster: RaftCluster,
  { api, caches, render: { newestRenderer } }: ObserveOptions,
  { careful, signal }: Look,
): Promise<ReadonlyMap<string, KubeObject>> {
  const { name, namespace } = cluster.metadata
  const renderer = cluster.status.rendererRevision ?? newestRenderer
  const size = { voters: cluster.spec.replicas, renderer }
  const look = async (kind: ChildKind): Promise<readonly (readonly [string, KubeObject])[]> => {
    const key = { namespace, name: kind.nameOf(name) }
    const decides = kind === STATEFUL_SET || kind === MEMBERSHIP
    const cached = careful && decides ? undefined : caches.of(kind.type).get(key)
    if (cached !== undefined) return [[kind.title, cached]]
    if (!kind.isWanted(cluster, size)) return []
    const live = await api.get(kind.type, key, { signal })
    return live === undefined ? [] : [[kind.title, live]]
  }
  const last = await look(STATEFUL_SET)
  const others = await Promise.all(CHILDREN.filter((kind) => kind !== STATEFUL_SET).map(look))
  return new Map([...others.flat(), ...last])
}

async function observePods(
  cluster: RaftCluster,
  options: ObserveOptions,
  look: Look,
): Promise<readonly PodFacts[]> {
  const { name } = cluster.metadata
  const objects = await listOf(PODS, cluster, options, look)
  return objects
    .filter((object) => !isOfAnother(object))
    .flatMap((object) => readPod(name, object) ?? [])
    .toSorted((left, right) => left.ordinal - right.ordinal)
}

/** Controlled by something that is no StatefulSet: it only carries our label. */
function isOfAnother(pod: KubeObject): boolean {
  const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true)
  return owner !== undefined && owner.kind !== 'StatefulSet'
}

/** A volume that an earlier cluster left may carry no label at all: it is asked for by its name. */
async function observeClaims(
  cluster: RaftCluster,
  options: ObserveOptions,
  look: Look,
): Promise<readonly ClaimFacts[]> {
  const { name, namespace } = cluster.metadata
  const listed = await listOf(VOLUME_CLAIMS, cluster, options, look)
  const known = new Set(listed.map((claim) => claim.metadata.name))
  const missing = look.careful
    ? Array.from({ length: cluster.spec.replicas }, (_, ordinal) =>
        claimName(name, ordinal),
      ).filter((claim) => !known.has(claim))
    : []
  const found = await Promise.all(
    missing.map((claim) =>
      options.api.get(VOLUME_CLAIMS, { namespace, name: claim }, { signal: look.signal }),
    ),
  )
  return [...listed, ...found.filter((claim) => claim !== undefined)]
    .flatMap((object) => readClaim(name, object) ?? [])
    .toSorted((left, right) => left.ordinal - right.ordinal)
}

async function listOf(
  type: ResourceType,
  cluster: RaftCluster,
  { api, caches }: ObserveOptions,
  { careful, signal }: Look,
): Promise<readonly KubeObject[]> {
  const { name, namespace } = cluster.metadata
  if (!careful) return caches.of(type).byLabel({ namespace, label: CLUSTER_LABEL, value: name })
  const labelSelector = `${CLUSTER_LABEL}=${name}`
  const page = await api.list(type, { namespace, labelSelector, limit: LIST_LIMIT, signal })
  return page.items
}
