// One pass over one RaftCluster: observe, plan, write the status, carry out the plan. The status goes first, because what
// it latches has to be on record before anything follows from it, and it is written on every way out that can write.

import type { Clock, Timers } from '../../../lib/clock.ts'
import type { Logger } from '../../../lib/logger.ts'
import { canonicalJson } from '../api/canonical.ts'
import type { KubeObject, ObjectKey, ResourceType } from '../api/kube-object.ts'
import { STATUS_FIELD_MANAGER } from '../api/labels.ts'
import { memberBaseUrl } from '../api/member-url.ts'
import { pointerTo } from '../api/pointers.ts'
import type { RaftCluster, RaftClusterStatus } from '../api/raft-cluster.ts'
import {
  CERTIFICATES,
  POD_MONITORS,
  PROMETHEUS_RULES,
  RAFT_CLUSTERS,
} from '../api/resource-types.ts'
import { readRaftCluster } from '../api/validate.ts'
import type { CacheSet } from '../controller/cache.ts'
import type { ReconcileContext, Reconciler, ReconcileResult } from '../controller/reconciler.ts'
import { isKubeError, isNamespaceTerminating, type KubeError, saidBy } from '../kube/errors.ts'
import type { EventRecorder } from '../kube/event-recorder.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import type {
  MemberClient,
  MembershipCaller,
  MemberStreams,
} from '../member-client/member-client.ts'
import type { MemberTrust } from '../member-client/trust.ts'
import type { RenderOptions } from '../resources/render.ts'
import { type Action, describeAction, type Plan, type PlannedEvent } from './actions.ts'
import { Certificates } from './certificates.ts'
import { changeMembership } from './change-membership.ts'
import { execute } from './execute.ts'
import { observe, observeCluster, type ObserveOptions } from './observe.ts'
import { isLeftBehind } from './left-behind.ts'
import { Monitors } from './monitors.ts'
import type { Observed, Refusal, Rejection } from './observed.ts'
import type { PassObserver } from './pass-observer.ts'
import { plan } from './plan.ts'
import { Sightings } from './sightings.ts'

/** After somebody else was faster: the watch brings the news within this time. */
const CONFLICT_WAIT_MS = 250
/** Before a member that refused a change is asked again. */
const REFUSED_WAIT_MS = 2000

export interface ClusterReconcilerOptions {
  readonly api: KubeApi
  readonly caches: CacheSet
  readonly members: MemberClient
  readonly membership: MembershipCaller
  readonly streams: MemberStreams
  readonly recorder: EventRecorder
  /** Of the clients above. */
  readonly trust: Pick<MemberTrust, 'use'>
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Logger
  readonly render: RenderOptions
  /** What happens is counted here. */
  readonly counts: PassObserver
  /** Whether it may read nodes and volumes. */
  readonly readsNodes: boolean
}

/** What is kept of a cluster between two passes. None of it is needed: a restart only asks again. */
interface Memory {
  readonly uid: string
  /** What this process wrote last, and over which version: the cache may still show the one before. */
  written?: { readonly over: string | undefined; readonly cluster: RaftCluster }
  rejection?: Rejection & { readonly generation: number }
  /** What a member said to the change that was asked of it last. */
  refusal?: Refusal
  /** When it was last seen to serve. */
  servedAtMs?: number
  /** Who led last, and in which term. */
  leader?: string
}

export class ClusterReconciler implements Reconciler {
  readonly #options: ClusterReconcilerOptions
  readonly #observing: ObserveOptions
  readonly #sightings: Sightings
  readonly #certificates: Certificates
  readonly #monitors: Monitors
  readonly #memories = new Map<string, Memory>()

  constructor(options: ClusterReconcilerOptions) {
    const { api, caches, clock, timers, members, render, trust, readsNodes } = options
    this.#options = options
    this.#sightings = new Sightings({ client: members, clock, timers })
    this.#certificates = new Certificates({ api, clock })
    this.#monitors = new Monitors({ api, clock })
    this.#observing = {
      api,
      caches,
      clock,
      render,
      readsNodes,
      sightings: this.#sightings,
      certificates: this.#certificates,
      monitors: this.#monitors,
      trust,
    }
  }

  async reconcile(key: ObjectKey, context: ReconcileContext): Promise<ReconcileResult> {
    const { signal } = context
    const found = await observeCluster(key, this.#observing, signal)
    if (found === undefined) {
      this.#forget(key)
      return { kind: 'done' }
    }
    const memory = this.#memoryOf(key, found)
    const cluster = newest(found, memory)
    const rejection = rejectionFor(memory, cluster)
    const servedSecondsAgo = this.#servedSecondsAgo(memory)
    const pass = { signal, rejection, refusal: memory.refusal, servedSecondsAgo }
    try {
      const observed = await observe(cluster, this.#observing, pass)
      this.#follow(observed)
      const planned = plan(observed)
      if (planned.status.leader !== undefined) memory.servedAtMs = this.#options.clock.monotonicMs()
      this.#count(key, planned, memory)
      return await this.#carryOut(planned, observed, memory, context)
    } catch (error) {
      const { api } = this.#options
      if (!(await isLeftBehind(error, cluster, { api, signal })))
        return this.#failed(error, cluster)
      await execute({ type: 'removeFinalizer' }, { api, cluster, children: new Map(), signal })
      this.#logFor(cluster, context.reconcileId).info('let go with its namespace')
      return { kind: 'done' }
    }
  }

  async #carryOut(
    planned: Plan,
    observed: Observed,
    memory: Memory,
    { signal, reconcileId }: ReconcileContext,
  ): Promise<ReconcileResult> {
    const { api } = this.#options
    const cluster = await this.#writeStatus(observed.cluster, planned.status, memory, signal)
    this.#tell(observed, planned.events)
    const log = this.#logFor(cluster, reconcileId)
    if (planned.actions.some(isWeighty) && !(await this.#isCurrent(cluster, signal))) {
      return { kind: 'wait', afterMs: CONFLICT_WAIT_MS, reason: 'Outdated' }
    }
    for (const action of planned.actions) {
      try {
        if (action.type === 'changeMembership') {
          const refusal = await this.#ask(action, { observed, cluster, memory, signal })
          log.info({ action: describeAction(action), refusal }, 'asked a member')
          if (refusal === undefined) continue
          return { kind: 'wait', afterMs: REFUSED_WAIT_MS, reason: 'Refused' }
        }
        const told =
          action.type === 'writeCertificate'
            ? await this.#certificates.write(action, cluster, signal)
            : await execute(action, { api, cluster, children: observed.children, signal })
        this.#forgetWritten(action, cluster)
        log.info({ action: describeAction(action) }, 'carried out')
        this.#tell(observed, told)
      } catch (error) {
        if (isKubeError(error) && this.#isOfMonitor(action, error, cluster, log)) continue
        if (!isKubeError(error) || !isRefusal(error)) throw error
        return await this.#rejected(action, error, { observed, cluster, memory, signal })
      }
    }
    const { next } = planned
    await this.#accepted({ observed, cluster, memory, signal, isOver: next.kind === 'done' })
    if (next.kind === 'done') return { kind: 'done' }
    return { kind: 'wait', afterMs: next.seconds * 1000, reason: next.reason }
  }

  /** What was read of it is of before. */
  #forgetWritten(action: Action, cluster: RaftCluster): void {
    if (action.type !== 'apply' && action.type !== 'deleteChild') return
    if (action.resource === CERTIFICATES) this.#certificates.forget(cluster.metadata.uid)
    if (MONITORS.has(action.resource)) this.#monitors.written(cluster, action.resource)
  }

  /** The cluster does not wait for what watches it: whatever is wrong with that is said, and the pass goes on. */
  #isOfMonitor(action: Action, err: KubeError, cluster: RaftCluster, log: Logger): boolean {
    if (action.type !== 'apply' && action.type !== 'deleteChild') return false
    if (!MONITORS.has(action.resource) || isKubeError(err, 'aborted', 'notLeading')) return false
    // Somebody was faster: it is read anew.
    if (isKubeError(err, 'conflict')) this.#monitors.written(cluster, action.resource)
    else {
      this.#monitors.refused(cluster, action.resource, saidBy(err))
      log.warn({ err, action: describeAction(action) }, 'refused, and nothing waits for it')
    }
    return true
  }

  /** Why it did not happen; undefined when it did. */
  async #ask(
    action: Extract<Action, { type: 'changeMembership' }>,
    { observed, memory, signal }: Pass,
  ): Promise<string | undefined> {
    const { membership: caller } = this.#options
    const { events, refusal } = await changeMembership(action, { caller, signal })
    this.#tell(observed, events)
    if (refusal === undefined) delete memory.refusal
    else memory.refusal = { what: describeAction(action), message: refusal }
    return refusal
  }

  /** Whether the RaftCluster is still the one this pass is about: caches may not know yet that it is gone or another one. */
  async #isCurrent({ metadata }: RaftCluster, signal: AbortSignal): Promise<boolean> {
    const { name, namespace, uid, resourceVersion } = metadata
    const now = await this.#options.api.get(RAFT_CLUSTERS, { namespace, name }, { signal })
    return now?.metadata.uid === uid && now.metadata.resourceVersion === resourceVersion
  }

  /** The API server will not have it as it is: that is for the user to read, and to be tried again with growing delays. */
  async #rejected(action: Action, error: KubeError, pass: Pass): Promise<ReconcileResult> {
    const { observed, cluster, memory, signal } = pass
    // A namespace that is being deleted takes nothing new; its RaftCluster is deleted with it.
    if (isNamespaceTerminating(error)) {
      return { kind: 'wait', afterMs: 5000, reason: 'NamespaceTerminating' }
    }
    const rejection = {
      what: describeAction(action),
      message: saidBy(error),
      generation: cluster.metadata.generation,
    }
    memory.rejection = rejection
    const second = plan({ ...observed, cluster, rejection })
    await this.#writeStatus(cluster, second.status, memory, signal)
    this.#tell(observed, second.events)
    return { kind: 'retry', reason: 'Rejected', cause: error }
  }

  /** Everything went through: what was refused before is not any more. */
  async #accepted(pass: Pass & { readonly isOver: boolean }): Promise<void> {
    const { observed, cluster, memory, signal, isOver } = pass
    if (memory.rejection === undefined) return
    delete memory.rejection
    if (isOver) return
    const { rejection: _, ...rest } = observed
    const second = plan({ ...rest, cluster })
    await this.#writeStatus(cluster, second.status, memory, signal)
    this.#tell(observed, second.events)
  }

  /** Written only when it says something new, and only over the version it was derived from. */
  async #writeStatus(
    cluster: RaftCluster,
    status: RaftClusterStatus,
    memory: Memory,
    signal: AbortSignal,
  ): Promise<RaftCluster> {
    if (canonicalJson(cluster.status) === canonicalJson(status)) return cluster
    const { name, namespace, uid, resourceVersion } = cluster.metadata
    const object: KubeObject = {
      apiVersion: cluster.apiVersion,
      kind: cluster.kind,
      metadata: {
        name,
        namespace,
        uid,
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      status,
    }
    const options = { fieldManager: STATUS_FIELD_MANAGER, force: true, signal }
    const written = readRaftCluster(
      await this.#options.api.applyStatus(RAFT_CLUSTERS, object, options),
    )
    if (written === undefined) return cluster
    memory.written = { over: resourceVersion, cluster: written }
    this.#options.counts.written({ namespace, name }, cluster.status, status)
    return written
  }

  #count(key: ObjectKey, { status, denied }: Plan, memory: Memory): void {
    const { counts } = this.#options
    if (denied !== undefined) counts.denied(denied)
    if (status.leader === undefined) return
    const leader = `${status.leader.name} in ${status.leader.term}`
    counts.led(key, { isChange: memory.leader !== undefined && memory.leader !== leader })
    memory.leader = leader
  }

  #servedSecondsAgo({ servedAtMs }: Memory): number | undefined {
    if (servedAtMs === undefined) return undefined
    return (this.#options.clock.monotonicMs() - servedAtMs) / 1000
  }

  #failed(error: unknown, cluster: RaftCluster): ReconcileResult {
    if (isKubeError(error, 'conflict', 'alreadyExists')) {
      return { kind: 'wait', afterMs: CONFLICT_WAIT_MS, reason: 'Conflict' }
    }
    if (isKubeError(error, 'notFound')) {
      const { name, namespace } = cluster.metadata
      this.#logFor(cluster).debug({ name, namespace }, 'gone while it was being reconciled')
      return { kind: 'wait', afterMs: CONFLICT_WAIT_MS, reason: 'Gone' }
    }
    throw error
  }

  /** On the RaftCluster, and what is about a member on its pod as well. */
  #tell(observed: Observed, events: readonly PlannedEvent[]): void {
    const { recorder } = this.#options
    // The recorder wants the object as it travels; a RaftCluster read from it has the same head.
    const { apiVersion, kind, metadata } = observed.cluster
    const { namespace } = metadata
    const { docsUrl } = this.#options.render
    for (const { member, occasion = '', ...event } of events) {
      const pointer = docsUrl === undefined ? undefined : pointerTo(event.reason, docsUrl)
      const told = { ...event, pointer, member: `${member ?? ''}/${occasion}` }
      recorder.record({ ...told, regarding: { apiVersion, kind, metadata } })
      const pod = observed.pods.find(({ name }) => name === member)
      if (pod === undefined) continue
      const head = { name: pod.name, namespace, uid: pod.uid }
      recorder.record({ ...told, regarding: { apiVersion: 'v1', kind: 'Pod', metadata: head } })
    }
  }

  #follow({ cluster, pods }: Observed): void {
    const { name, namespace } = cluster.metadata
    const members = pods.flatMap((pod) => {
      const baseUrl = memberBaseUrl(pod)
      return baseUrl === undefined ? [] : [{ name: pod.name, baseUrl }]
    })
    this.#options.streams.follow({ namespace, name }, members)
  }

  #memoryOf(key: ObjectKey, cluster: RaftCluster): Memory {
    const at = `${key.namespace}/${key.name}`
    const known = this.#memories.get(at)
    if (known?.uid === cluster.metadata.uid) return known
    if (known !== undefined) this.#forgetMembers(known.uid)
    this.#options.counts.forget(key)
    const memory: Memory = { uid: cluster.metadata.uid }
    this.#memories.set(at, memory)
    return memory
  }

  #forget(key: ObjectKey): void {
    const at = `${key.namespace}/${key.name}`
    const known = this.#memories.get(at)
    if (known !== undefined) this.#forgetMembers(known.uid)
    this.#memories.delete(at)
    this.#options.counts.forget(key)
    this.#options.streams.follow(key, [])
  }

  #forgetMembers(uid: string): void {
    this.#sightings.forget(uid)
    this.#certificates.forget(uid)
    this.#monitors.forget(uid)
  }

  #logFor({ metadata }: RaftCluster, reconcileId?: string): Logger {
    const { name, namespace } = metadata
    return this.#options.log.child({
      namespace,
      name,
      ...(reconcileId === undefined ? {} : { reconcileId }),
    })
  }
}

interface Pass {
  readonly observed: Observed
  /** As it is after the status was written. */
  readonly cluster: RaftCluster
  readonly memory: Memory
  readonly signal: AbortSignal
}

const MONITORS: ReadonlySet<ResourceType> = new Set([POD_MONITORS, PROMETHEUS_RULES])

/** Labels can be wrong for a moment; what makes, changes or deletes an object is decided on what is true now. */
function isWeighty({ type }: Action): boolean {
  return type !== 'labelPod' && type !== 'annotatePod'
}

/** An object of a wrong shape makes apply fail with 500, as if the server were at fault; waiting does not help there. */
function isRefusal({ code, status }: KubeError): boolean {
  return code === 'invalid' || code === 'forbidden' || status === 400 || status === 500
}

/** What was written last, while the cache still shows what it was written over. */
function newest(found: RaftCluster, { written }: Memory): RaftCluster {
  const isBehind = written !== undefined && found.metadata.resourceVersion === written.over
  return isBehind ? written.cluster : found
}

/** A new generation is a new try. */
function rejectionFor({ rejection }: Memory, cluster: RaftCluster): Rejection | undefined {
  return rejection?.generation === cluster.metadata.generation ? rejection : undefined
}
