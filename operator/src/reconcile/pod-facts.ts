// Pods and volume claims, raw from the API server, as the facts that matter here. What is absent or malformed is taken for
// the harmless case: not scheduled, not running, not ours. Pure.

import type { KubeObject } from '../api/kube-object.ts'
import {
  CERTIFICATES_TOLD_ANNOTATION,
  CLUSTER_UID_ANNOTATION,
  CONFIG_EPOCH_ANNOTATION,
  MEMBERSHIP_EPOCH_ANNOTATION,
  RENDERER_ANNOTATION,
  ROLE_LABEL,
  VOTER_LABEL,
} from '../api/labels.ts'
import { ordinalOf } from '../api/names.ts'
import { bytesOf } from '../api/quantity.ts'
import type { Quantity } from '../api/raft-cluster.ts'
import { MEMBER_CONTAINER } from '../resources/pod-template.ts'
import type { ClaimFacts, PodFacts } from './observed.ts'

interface RawState {
  readonly reason?: string
  readonly message?: string
  readonly exitCode?: number
}

interface RawContainerStatus {
  readonly name?: string
  readonly restartCount?: number
  readonly state?: {
    readonly waiting?: RawState
    readonly running?: { readonly startedAt?: string }
    readonly terminated?: RawState
  }
  readonly lastState?: { readonly terminated?: RawState }
}

interface RawPodStatus {
  readonly podIP?: string
  readonly phase?: string
  readonly reason?: string
  readonly message?: string
  readonly conditions?: readonly {
    readonly type?: string
    readonly status?: string
    readonly reason?: string
    readonly message?: string
  }[]
  readonly containerStatuses?: readonly RawContainerStatus[]
}

interface RawPodSpec {
  readonly nodeName?: string
  readonly containers?: readonly {
    readonly name: string
    readonly args?: readonly string[]
    readonly resources?: { readonly limits?: Readonly<Record<string, Quantity>> }
  }[]
}

type Trouble = Pick<PodFacts, 'reason' | 'message'>

/** Undefined for a pod that is no member of this cluster by its name. */
export function readPod(cluster: string, pod: KubeObject): PodFacts | undefined {
  const { name, uid, labels, annotations, deletionTimestamp } = pod.metadata
  const ordinal = ordinalOf(cluster, name)
  if (ordinal === undefined || uid === undefined) return undefined
  const spec = (pod['spec'] ?? {}) as RawPodSpec
  const own = spec.containers?.find((one) => one.name === MEMBER_CONTAINER)
  const isSecure = own?.args?.some((argument) => argument.startsWith('-cert-file=')) ?? false
  const status = (pod['status'] ?? {}) as RawPodStatus
  const container = status.containerStatuses?.find((one) => one.name === MEMBER_CONTAINER)
  const restarts = container?.restartCount ?? 0
  const state = stateOf(status, container)
  const revision = labels?.['controller-revision-hash']
  const runningSince = container?.state?.running?.startedAt
  const membershipEpoch = annotations?.[MEMBERSHIP_EPOCH_ANNOTATION]
  const configEpoch = annotations?.[CONFIG_EPOCH_ANNOTATION]
  const renderer = Number(annotations?.[RENDERER_ANNOTATION])
  const limit = own?.resources?.limits?.['memory']
  const memoryLimit = limit === undefined ? undefined : bytesOf(limit)
  const certificatesTold = annotations?.[CERTIFICATES_TOLD_ANNOTATION]
  return {
    name,
    uid,
    ordinal,
    ...(spec.nodeName === undefined ? {} : { node: spec.nodeName }),
    ...(status.podIP === undefined ? {} : { ip: status.podIP }),
    ...(isSecure ? { isSecure } : {}),
    isTerminating: deletionTimestamp !== undefined,
    container: state,
    hasStarted:
      state === 'running' ||
      restarts > 0 ||
      container?.state?.terminated !== undefined ||
      container?.lastState?.terminated !== undefined,
    ...(runningSince === undefined ? {} : { runningSince }),
    ...troubleOf(status, container),
    restarts,
    ...(revision === undefined ? {} : { revision }),
    ...(labels?.[ROLE_LABEL] === undefined ? {} : { roleLabel: labels[ROLE_LABEL] }),
    ...(labels?.[VOTER_LABEL] === undefined ? {} : { voterLabel: labels[VOTER_LABEL] }),
    ...(membershipEpoch === undefined ? {} : { membershipEpoch }),
    ...(configEpoch === undefined ? {} : { configEpoch }),
    ...(Number.isSafeInteger(renderer) ? { renderer } : {}),
    ...(memoryLimit === undefined ? {} : { memoryLimit }),
    ...(certificatesTold === undefined ? {} : { certificatesTold }),
  }
}

function stateOf(
  status: RawPodStatus,
  container: RawContainerStatus | undefined,
): PodFacts['container'] {
  if (status.phase === 'Failed' || status.phase === 'Succeeded') return 'terminated'
  if (container?.state?.running !== undefined) return 'running'
  if (container?.state?.terminated !== undefined) return 'terminated'
  return container?.state?.waiting === undefined ? 'none' : 'waiting'
}

/** Why its container does not run, nearest cause first. */
function troubleOf(status: RawPodStatus, container: RawContainerStatus | undefined): Trouble {
  const { waiting, running, terminated } = container?.state ?? {}
  if (running !== undefined && status.phase === 'Running') return {}
  if (status.phase === 'Failed') {
    return trouble(status.reason ?? 'PodFailed', status.message ?? exitText(terminated))
  }
  if (waiting !== undefined) {
    const ended = container?.lastState?.terminated
    const said = ended === undefined ? waiting.message : exitText(ended)
    return trouble(waiting.reason ?? 'Waiting', said ?? waiting.message)
  }
  if (terminated !== undefined) return trouble('Terminated', exitText(terminated))
  const scheduled = status.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status === 'False') {
    return trouble(scheduled.reason ?? 'Unschedulable', scheduled.message)
  }
  return {}
}

function trouble(reason: string, message: string | undefined): Trouble {
  return message === undefined || message === '' ? { reason } : { reason, message: message.trim() }
}

function exitText(state: RawState | undefined): string | undefined {
  if (state === undefined) return undefined
  const last = state.message?.trim().split('\n').at(-1)
  const how = state.reason ?? 'it ended'
  return `${how} with exit code ${state.exitCode ?? '?'}${last === undefined ? '' : `: ${last}`}`
}

/** As much of a pod as is read here: a cache has no use for the rest, which is most of it. */
export function leanPod({ apiVersion, kind, metadata, ...rest }: KubeObject): KubeObject {
  const { nodeName, containers = [] } = (rest['spec'] ?? {}) as RawPodSpec
  const status = (rest['status'] ?? {}) as RawPodStatus
  const { podIP, phase, reason, message, conditions = [], containerStatuses = [] } = status
  return {
    apiVersion,
    kind,
    metadata,
    spec: {
      nodeName,
      containers: containers.map(({ name, args, resources }) => ({
        name,
        args,
        resources: { limits: resources?.limits },
      })),
    },
    status: {
      podIP,
      phase,
      reason,
      message,
      conditions: conditions.filter(({ type }) => type === 'PodScheduled'),
      containerStatuses: containerStatuses.map((one) => ({
        name: one.name,
        restartCount: one.restartCount,
        state: one.state,
        lastState: one.lastState,
      })),
    },
  }
}

/** As much of a claim as is read here. */
export function leanClaim({ apiVersion, kind, metadata, ...rest }: KubeObject): KubeObject {
  const { phase } = (rest['status'] ?? {}) as { readonly phase?: string }
  const { volumeName } = (rest['spec'] ?? {}) as { readonly volumeName?: string }
  return { apiVersion, kind, metadata, spec: { volumeName }, status: { phase } }
}

/** Undefined for a claim that is of no member of this cluster by its name. */
export function readClaim(cluster: string, claim: KubeObject): ClaimFacts | undefined {
  const { name, uid, annotations, deletionTimestamp } = claim.metadata
  const ordinal = name.startsWith('data-') ? ordinalOf(cluster, name) : undefined
  if (ordinal === undefined || uid === undefined) return undefined
  const { phase } = (claim['status'] ?? {}) as { readonly phase?: string }
  const clusterUid = annotations?.[CLUSTER_UID_ANNOTATION]
  const { volumeName } = (claim['spec'] ?? {}) as { readonly volumeName?: string }
  return {
    name,
    uid,
    ordinal,
    phase: phase === 'Bound' || phase === 'Lost' ? phase : 'Pending',
    ...(volumeName === undefined ? {} : { volume: volumeName }),
    ...(clusterUid === undefined ? {} : { clusterUid }),
    isTerminating: deletionTimestamp !== undefined,
  }
}
