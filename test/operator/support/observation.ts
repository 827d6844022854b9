// Observations for tests, from a few words: a file says what is special, everything else is a healthy cluster `prod/demo`
// of three members in the middle of its life.

import type { KubeObject } from '../../../operator/src/api/kube-object.ts'
import { CLEANUP_FINALIZER } from '../../../operator/src/api/labels.ts'
import {
  claimName,
  expectedClusterId,
  expectedRaftId,
  memberName,
} from '../../../operator/src/api/names.ts'
import type { RaftCluster, RaftClusterStatus } from '../../../operator/src/api/raft-cluster.ts'
import { readRaftCluster } from '../../../operator/src/api/validate.ts'
import type {
  ClaimFacts,
  MemberReport,
  MemberSighting,
  Observed,
  PodFacts,
} from '../../../operator/src/reconcile/observed.ts'
import { plan } from '../../../operator/src/reconcile/plan.ts'
import { CHILDREN, desired, STATEFUL_SET } from '../../../operator/src/resources/children.ts'
import { FIRST_EPOCHS } from '../../../operator/src/resources/config-map.ts'
import { memoryLimitBytes, settingsOf } from '../../../operator/src/resources/configuration.ts'
import {
  CONFIG_FILE_RENDERER,
  type MembershipPhase,
  type RenderContext,
  RENDERER_REVISION,
} from '../../../operator/src/resources/render.ts'

export const UID = '9c1e3b52-70a1-4c5f-8f0e-0242ac120002'
export const EARLIER = '2026-03-01T08:00:00Z'
export const NOW = '2026-03-01T09:00:00Z'
export const REVISION = 'demo-5d4f8c7b9d'

/** What an `observed.yaml` may say. */
export interface Scene {
  /** One sentence: the name of the test. */
  readonly story: string
  readonly spec?: Readonly<Record<string, unknown>>
  /** `none`: a new resource. `healthy`: as a settled pass left it. Or fields of a status. */
  readonly status?: 'none' | 'healthy' | RaftClusterStatus
  readonly finalizer?: boolean
  readonly deleted?: boolean
  /** Under which phase the membership was rendered. */
  readonly membership?: MembershipPhase
  /** `none` of them or `all`; then, by title, `absent`, `foreign`, or a patch of the object. */
  readonly children?: 'none' | 'all'
  readonly child?: Readonly<
    Record<string, 'absent' | 'foreign' | Readonly<Record<string, unknown>>>
  >
  /** By ordinal, `absent` or what is different of a pod that runs, null for what it has not. Defaults to `all` running. */
  readonly pods?: 'none' | 'all'
  readonly pod?: Readonly<Record<number, 'absent' | Partial<PodFacts>>>
  readonly claims?: 'none' | 'all'
  readonly claim?: Readonly<Record<number, 'absent' | Partial<ClaimFacts>>>
  /** By ordinal: `silent`, or what is different of a healthy report. `leader: none` for nobody. */
  readonly leader?: number | 'none'
  readonly term?: number
  readonly member?: Readonly<Record<number, 'silent' | ReportPatch>>
  readonly nodes?: Observed['nodes']
  readonly tls?: Observed['tls']
  readonly monitors?: Observed['monitors']
  readonly rejection?: Observed['rejection']
  readonly refusal?: Observed['refusal']
  /** Who belongs to the cluster: `2`, `2@3` in its third incarnation, `2 learner`. Unless given, as it was made. */
  readonly roster?: readonly string[]
  /** Whom the members were told of, where that differs. */
  readonly told?: readonly string[]
  readonly epochTold?: number
  /** What the StatefulSet has, where that is not what follows from the roster. */
  readonly podCount?: number
  /** Those the PodDisruptionBudget counts, where that is not what follows from the roster. */
  readonly voters?: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly servedSecondsAgo?: number
  /** Where messages point; nowhere unless given. */
  readonly docsUrl?: string
  /** By which revision the objects were rendered; the newest unless given. */
  readonly renderer?: number
  /** The newest that the operator knows, where it is another one. */
  readonly newestRenderer?: number
  /** Of the configuration file, in the ConfigMap and in force. */
  readonly configEpoch?: number
}

type ReportPatch = Partial<MemberReport> & {
  readonly ageSeconds?: number
  readonly silence?: string
}

export function observationOf(scene: Scene): Observed {
  const cluster = clusterOf(scene)
  const founders = cluster.status.bootstrap?.replicas ?? cluster.spec.replicas
  const clusterId = expectedClusterId(cluster, { token: UID, replicas: founders })
  const identities = identitiesOf(scene, founders)
  const replicas = scene.podCount ?? Math.max(...identities.map(({ ordinal }) => ordinal)) + 1
  const phase = scene.membership ?? 'Running'
  const voters = identities.filter(({ role }) => role === 'voter').length
  const render: RenderContext = {
    cluster,
    options: {
      memberRepository: 'raftbase/member',
      ...(scene.docsUrl === undefined ? {} : { docsUrl: scene.docsUrl }),
      newestRenderer: scene.newestRenderer ?? RENDERER_REVISION,
    },
    replicas,
    voters: scene.voters ?? voters,
    founders,
    token: UID,
    phase,
    clusterId,
    membership: {
      epoch: scene.epochTold ?? FIRST_EPOCHS[phase],
      entries: toldOf(scene, identities),
    },
    renderer: rendererOf(scene),
    configuration: {
      epoch: scene.configEpoch ?? 1,
      settings: settingsOf(cluster, []),
    },
  }
  return {
    now: NOW,
    cluster,
    options: render.options,
    children: childrenOf(scene, render),
    pods: podsOf(scene, replicas, cluster),
    claims: claimsOf(scene, replicas),
    sightings: sightingsOf(scene, { replicas, clusterId, identities, cluster }),
    ...(scene.nodes === undefined ? {} : { nodes: scene.nodes }),
    ...(scene.tls === undefined ? {} : { tls: scene.tls }),
    ...(scene.monitors === undefined ? {} : { monitors: scene.monitors }),
    ...(scene.refusal === undefined ? {} : { refusal: scene.refusal }),
    ...(scene.rejection === undefined ? {} : { rejection: scene.rejection }),
    ...(scene.servedSecondsAgo === undefined ? {} : { servedSecondsAgo: scene.servedSecondsAgo }),
  }
}

function rendererOf({ renderer = RENDERER_REVISION }: Scene): number {
  return renderer
}

function clusterOf(scene: Scene): RaftCluster {
  const object: KubeObject = {
    apiVersion: 'raftbase.io/v1alpha1',
    kind: 'RaftCluster',
    metadata: {
      name: 'demo',
      namespace: 'prod',
      uid: UID,
      generation: 1,
      resourceVersion: '100',
      creationTimestamp: EARLIER,
      ...(scene.annotations === undefined ? {} : { annotations: scene.annotations }),
      finalizers: scene.finalizer === false ? [] : [CLEANUP_FINALIZER],
      ...(scene.deleted === true ? { deletionTimestamp: NOW } : {}),
    },
    spec: { version: '0.1.0', ...scene.spec },
  }
  const status = scene.status ?? 'healthy'
  const settled =
    status === 'healthy' ? settledStatus(object, scene) : status === 'none' ? {} : status
  const cluster = readRaftCluster({ ...object, status: settled })
  if (cluster === undefined) throw new Error('the scene is no RaftCluster')
  return cluster
}

/** The status that a pass over the healthy cluster writes. */
function settledStatus(object: KubeObject, whole: Scene): RaftClusterStatus {
  const { spec } = object
  const { deletionTimestamp: _, ...metadata } = object.metadata
  const { paused: _paused, ...rest } = spec as Record<string, unknown>
  const { replicas } = rest as { replicas?: number }
  const bootstrap = {
    replicas: replicas ?? 3,
    token: UID,
    startedAt: EARLIER,
    completedAt: EARLIER,
  }
  const { renderer, newestRenderer, configEpoch } = whole
  const scene: Scene = {
    story: '',
    spec: rest,
    status: { bootstrap },
    ...(renderer === undefined ? {} : { renderer }),
    ...(newestRenderer === undefined ? {} : { newestRenderer }),
    ...(configEpoch === undefined ? {} : { configEpoch }),
  }
  const observed = observationOf(scene)
  const cluster = { ...observed.cluster, metadata: { ...observed.cluster.metadata, ...metadata } }
  return plan({ ...observed, cluster, now: EARLIER }).status
}

function childrenOf(scene: Scene, render: RenderContext): ReadonlyMap<string, KubeObject> {
  const children = new Map<string, KubeObject>()
  for (const kind of CHILDREN) {
    const special = scene.child?.[kind.title]
    const isThere = scene.children !== 'none' || special !== undefined
    const isWanted = kind.isWanted(render.cluster, render) || special !== undefined
    if (!isThere || !isWanted || special === 'absent') continue
    const made = liveObject(desired(kind, render), kind === STATEFUL_SET)
    if (special === 'foreign') {
      children.set(kind.title, { ...made, metadata: { ...made.metadata, ownerReferences: [] } })
    } else {
      children.set(kind.title, special === undefined ? made : (merge(made, special) as KubeObject))
    }
  }
  return children
}

function liveObject(object: KubeObject, isStatefulSet: boolean): KubeObject {
  const uid = `uid-of-${object.kind.toLowerCase()}-${object.metadata.name}`
  const metadata = { ...object.metadata, uid, resourceVersion: '90', generation: 1 }
  const status = { observedGeneration: 1, updateRevision: REVISION }
  return isStatefulSet ? { ...object, metadata, status } : { ...object, metadata }
}

function podsOf(scene: Scene, replicas: number, cluster: RaftCluster): readonly PodFacts[] {
  const renderer = rendererOf(scene)
  const memoryLimit = memoryLimitBytes(cluster)
  const ordinals = Array.from({ length: replicas }, (_, ordinal) => ordinal)
  const extra = Object.keys(scene.pod ?? {}).map(Number)
  return [...new Set([...ordinals, ...extra])].flatMap((ordinal): PodFacts[] => {
    const special = scene.pod?.[ordinal]
    if (special === 'absent' || (special === undefined && scene.pods === 'none')) return []
    return [
      merge(
        {
          name: memberName('demo', ordinal),
          uid: `uid-of-pod-demo-${ordinal}`,
          ordinal,
          node: `node-${ordinal}`,
          ip: `10.0.0.${ordinal + 1}`,
          isTerminating: false,
          container: 'running',
          hasStarted: special?.container !== 'waiting' && special?.container !== 'none',
          restarts: 0,
          revision: REVISION,
          ...(renderer === 1 ? {} : { renderer }),
          ...(memoryLimit === undefined ? {} : { memoryLimit }),
          ...(scene.status === 'none' ? {} : labelsOf(scene, ordinal)),
        },
        special ?? {},
      ) as PodFacts,
    ]
  })
}

function labelsOf(scene: Scene, ordinal: number): Pick<PodFacts, 'roleLabel' | 'voterLabel'> {
  const role = ordinal === (scene.leader ?? 0) ? 'leader' : 'follower'
  return { roleLabel: role, voterLabel: 'true' }
}

function claimsOf(scene: Scene, replicas: number): readonly ClaimFacts[] {
  const ordinals = Array.from({ length: replicas }, (_, ordinal) => ordinal)
  const extra = Object.keys(scene.claim ?? {}).map(Number)
  return [...new Set([...ordinals, ...extra])].flatMap((ordinal): ClaimFacts[] => {
    const special = scene.claim?.[ordinal]
    if (special === 'absent' || (special === undefined && scene.claims === 'none')) return []
    return [
      {
        name: claimName('demo', ordinal),
        uid: `uid-of-claim-${ordinal}`,
        ordinal,
        phase: 'Bound',
        clusterUid: UID,
        isTerminating: false,
        ...special,
      },
    ]
  })
}

interface Identity {
  readonly ordinal: number
  readonly incarnation: number
  readonly role: 'voter' | 'learner'
}

/** `2`, `2@3` for its third incarnation, `2 learner`. */
function identitiesOf(scene: Scene, founders: number): readonly Identity[] {
  const texts = scene.roster ?? Array.from({ length: founders }, (_, ordinal) => String(ordinal))
  return texts.map((text) => {
    const [, ordinal, , incarnation = '1', role] = /^(\d+)(@(\d+))?( learner)?$/.exec(text)!
    return {
      ordinal: Number(ordinal),
      incarnation: Number(incarnation),
      role: role === undefined ? 'voter' : 'learner',
    }
  })
}

function isSecure({ spec }: Scene): boolean {
  const { tls } = (spec ?? {}) as { tls?: { peer?: object } }
  return tls?.peer !== undefined
}

/** Whom membership.json lists, the newest of each name; by `told` where that differs from the roster. */
function toldOf(
  scene: Scene,
  identities: readonly Identity[],
): RenderContext['membership']['entries'] {
  const told =
    scene.told === undefined ? identities : identitiesOf({ ...scene, roster: scene.told }, 0)
  const newest = told.filter(
    (one) =>
      !told.some((other) => other.ordinal === one.ordinal && other.incarnation > one.incarnation),
  )
  return newest.map(({ ordinal, incarnation, role }) => {
    const name = memberName('demo', ordinal)
    const scheme = isSecure(scene) ? 'https' : 'http'
    const url = `${scheme}://${name}.demo-peer.prod.svc.cluster.local:2380`
    return {
      name,
      ordinal,
      incarnation,
      raftId: expectedRaftId(UID, name, incarnation),
      state: role === 'voter' ? 'Voter' : 'Learner',
      peerUrl: url,
    }
  })
}

function idOf(ordinal: number, incarnation = 1): string {
  return expectedRaftId(UID, memberName('demo', ordinal), incarnation)
}

function sightingsOf(
  scene: Scene,
  known: {
    readonly replicas: number
    readonly clusterId: string
    readonly identities: readonly Identity[]
    readonly cluster: RaftCluster
  },
): readonly MemberSighting[] {
  const term = scene.term ?? 2
  const leader = scene.leader ?? 0
  const configuration = known.identities.map(({ ordinal, incarnation, role }) => ({
    id: idOf(ordinal, incarnation),
    name: memberName('demo', ordinal),
    role,
  }))
  const hasFile = rendererOf(scene) >= CONFIG_FILE_RENDERER
  return podsOf(scene, known.replicas, known.cluster).map((pod): MemberSighting => {
    const special = scene.member?.[pod.ordinal]
    const isSilent = special === 'silent' || pod.container !== 'running'
    if (isSilent) return { name: pod.name, ageSeconds: 0, silence: 'timeout, no answer in 2 s' }
    const { ageSeconds = 0, silence, ...patch } = special ?? {}
    const own = known.identities.findLast(({ ordinal }) => ordinal === pod.ordinal)
    const isLearner = own?.role === 'learner'
    const report: MemberReport = {
      clusterId: known.clusterId,
      memberId: idOf(pod.ordinal, own?.incarnation),
      incarnation: own?.incarnation ?? 1,
      version: '0.1.0',
      state: 'running',
      dataDirectory: { state: 'Valid' },
      ready: leader !== 'none' && !isLearner,
      ...(leader === 'none' ? { notReadyReason: 'noLeader' } : {}),
      alarms: [],
      role: isLearner ? 'learner' : pod.ordinal === leader ? 'leader' : 'follower',
      term,
      ...(leader === 'none' ? {} : { leader: idOf(leader) }),
      committed: 5000,
      applied: 5000,
      lastIndex: 5000,
      lastLogTerm: term,
      membershipEpoch: scene.roster === undefined ? 0 : 40,
      membershipFile: { epoch: scene.epochTold ?? 3, listed: isLearner ? 'Learner' : 'Voter' },
      ...(hasFile ? { configFile: { epoch: scene.configEpoch ?? 1 } } : {}),
      peers:
        pod.ordinal === leader
          ? configuration
              .filter(({ id }) => id !== idOf(pod.ordinal, own?.incarnation))
              .map(({ id }) => ({ id, match: 5000, progress: 'replicate', active: true }))
          : [],
      configuration,
      ...patch,
    }
    return { name: pod.name, report, ageSeconds, ...(silence === undefined ? {} : { silence }) }
  })
}

/** RFC 7386: null removes. */
export function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const base =
    typeof target === 'object' && target !== null && !Array.isArray(target)
      ? { ...(target as Record<string, unknown>) }
      : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete base[key]
    else base[key] = merge(base[key], value)
  }
  return base
}
