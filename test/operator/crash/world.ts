// One RaftCluster in a simulated Kubernetes with one or two operators, from one seed. Time passes in steps; in each, every
// part may or may not get its turn, in any order, and caches hear of changes late. After each step and before each change
// the invariants of the contract (section 17) are checked; a breach names the seed and everything that was done.

import { MemberTrust } from '../../../operator/src/member-client/trust.ts'
import { systemTimers } from '../../../lib/clock.ts'
import { createLogger } from '../../../lib/logger.ts'
import { Registry } from '../../../lib/metrics.ts'
import { type Prng, SeededPrng } from '../../../lib/prng.ts'
import { ClusterCounts } from '../../../operator/src/cluster-counts.ts'
import type { RaftClusterStatus } from '../../../operator/src/api/raft-cluster.ts'
import type {
  ChangeAnswer,
  ChangeRequest,
  MemberAnswer,
} from '../../../operator/src/member-client/member-client.ts'
import { isKubeError } from '../../../operator/src/kube/errors.ts'
import type { RecordedEvent } from '../../../operator/src/kube/event-recorder.ts'
import { ClusterReconciler } from '../../../operator/src/reconcile/reconciler.ts'
import { RENDERER_REVISION } from '../../../operator/src/resources/render.ts'
import { FakeApiStore, type StoredObject } from '../../support/fake-api-store.ts'
import { withDefaults } from '../../../operator/src/api/defaults.ts'
import type { Json } from '../../support/fake-api-json.ts'
import { Invariants } from './invariants.ts'
import { CLUSTER, KEY, type Scene } from './scene.ts'
import { SimCertificates } from './sim-certificates.ts'
import { Crash, type Gate, type SideEffect, SimApi } from './sim-api.ts'
import { SimCaches } from './sim-caches.ts'
import { isRunning, SimKubernetes } from './sim-kubernetes.ts'
import { SimMembers } from './sim-members.ts'

const STEP_MS = 500
const STEPS_MAX = 600

/** What goes wrong around one change, counted from 1. */
export interface Accident {
  readonly effect: number
  /** The operator that asks for it dies before or after it; or lives, and does not hear that it was carried out. */
  readonly operator: 'diesBefore' | 'diesAfter' | 'hearsNothing' | 'goesOn'
  /** A pod is lost right after it, whichever the count comes to; its volume stays. */
  readonly losesPod?: boolean
}

export interface WorldOptions {
  readonly seed: number
  readonly spec?: Readonly<Record<string, unknown>>
  /** Two act at the same time when the Lease does not keep them apart. */
  readonly operators?: 1 | 2
  readonly accident?: Accident
  /** Share of the steps, in percent, in which a part gets its turn. */
  readonly turnPercent?: number
}

interface Operator {
  readonly reconciler: ClusterReconciler
  readonly caches: SimCaches
}

export class World implements Gate, Scene {
  readonly store = new FakeApiStore()
  readonly kubernetes = new SimKubernetes(this.store)
  readonly certificates = new SimCertificates(this.store, this.kubernetes)
  readonly members = new SimMembers(this.store, this.kubernetes, this.certificates)
  readonly invariants: Invariants
  readonly events: RecordedEvent[] = []
  /** Changes that operators asked for, and what tests did. */
  readonly trace: string[] = []
  effectCount = 0
  accidentCount = 0
  passedAtMs = Number.NEGATIVE_INFINITY
  lostPodAtMs: number | undefined
  nowMs = Date.parse('2026-03-01T08:00:00Z')
  /** Of operators that start from now on. */
  newestRenderer: number
  readonly #options: WorldOptions
  readonly #prng: Prng
  readonly #operators: Operator[] = []

  constructor(options: WorldOptions) {
    this.#options = options
    this.newestRenderer = RENDERER_REVISION
    this.#prng = new SeededPrng(options.seed)
    this.store.now = () => new Date(this.nowMs)
    this.invariants = new Invariants(this)
    for (let count = options.operators ?? 1; count > 0; count -= 1) this.#startOperator()
  }

  /** As `kubectl apply`, with the defaults that the API server fills in. */
  createCluster(): void {
    const spec = withDefaults({ version: '0.1.0', ...this.#options.spec })
    this.note('the user creates the cluster')
    this.store.create(CLUSTER, {
      apiVersion: 'raftbase.io/v1alpha1',
      kind: 'RaftCluster',
      metadata: { name: KEY.name },
      spec: structuredClone(spec) as unknown as Json,
    })
  }

  /** As `kubectl scale raftcluster`. */
  scale(replicas: number): void {
    this.note(`the user asks for ${replicas} members`)
    this.store.patch(CLUSTER, { spec: { replicas } })
  }

  /** As `kubectl patch raftcluster`. */
  upgrade(version: string): void {
    this.note(`the user asks for version ${version}`)
    this.store.patch(CLUSTER, { spec: { version } })
  }

  /** As `kubectl patch raftcluster`. */
  change(what: string, spec: Readonly<Record<string, Json>>): void {
    this.note(`the user asks for ${what}`)
    this.store.patch(CLUSTER, { spec })
  }

  /** An operator of another version takes over. */
  replaceOperators(newestRenderer: number): void {
    this.note(`an operator that renders by revision ${newestRenderer} takes over`)
    this.newestRenderer = newestRenderer
    for (const { caches } of this.#operators) caches.close()
    const count = this.#operators.splice(0).length
    for (let left = count; left > 0; left -= 1) this.#startOperator()
  }

  /** As `kubectl annotate raftcluster`. */
  annotate(annotations: Readonly<Record<string, string>>): void {
    this.note(`the user annotates ${JSON.stringify(annotations)}`)
    this.store.patch(CLUSTER, { metadata: { annotations } })
  }

  deleteCluster(): void {
    this.note('the user deletes the cluster')
    if (this.store.find(CLUSTER) !== undefined) this.store.delete(CLUSTER)
  }

  /** As a restore from a backup, or somebody's tool, does it. */
  wipeStatus(): void {
    this.note('somebody wipes the status')
    this.invariants.forget()
    this.store.patch(CLUSTER, { status: null }, 'status')
  }

  get cluster(): StoredObject | undefined {
    return this.store.find(CLUSTER)
  }

  get status(): RaftClusterStatus {
    return (this.cluster?.['status'] ?? {}) as unknown as RaftClusterStatus
  }

  get uid(): string {
    return this.cluster?.metadata.uid ?? ''
  }

  note(line: string): void {
    this.trace.push(`${((this.nowMs / 1000) % 10_000).toFixed(1)} ${line}`)
  }

  /** Lets time pass until `isThere`; fails with everything that happened when that never comes. */
  async until(what: string, isThere: () => boolean): Promise<void> {
    for (let step = 0; step < STEPS_MAX; step += 1) {
      if (isThere()) return
      await this.step()
    }
    throw new Error(this.explain(`never: ${what}`))
  }

  /** So much time passes in which nobody acts but the kubelets. */
  skip(durationMs: number): void {
    this.note(`${durationMs / 1000} s pass`)
    // What they bring is what was there before, and not what is expired after.
    this.certificates.step(this.nowMs + durationMs)
    this.nowMs += durationMs
  }

  /** Lets so many steps pass. */
  async pass(steps: number): Promise<void> {
    for (let step = 0; step < steps; step += 1) await this.step()
  }

  async step(): Promise<void> {
    this.nowMs += STEP_MS
    const turns: (() => void | Promise<void>)[] = [
      ...this.kubernetes.steps,
      () => this.certificates.step(this.nowMs),
      () => this.members.step(),
      () => this.#reconcileAll(),
      () => {
        for (const { caches } of this.#operators) caches.deliver(() => this.#prng.next(5))
      },
    ]
    while (turns.length > 0) {
      const [turn] = turns.splice(this.#prng.next(turns.length), 1)
      if (!this.#isTurn()) continue
      await turn!()
      this.invariants.check()
    }
  }

  /** The world goes on meanwhile. */
  async travel(): Promise<void> {
    if (this.#prng.next(4) === 0) this.members.step()
    const isSlow = this.#prng.next(8) === 0
    for (let count = this.#prng.next(isSlow ? 60 : 4); count >= 0; count -= 1) {
      await Promise.resolve()
    }
  }

  before(effect: SideEffect): void {
    this.effectCount += 1
    this.invariants.checkEffect(effect)
    const { accident } = this.#options
    if (accident?.effect !== this.effectCount || accident.operator !== 'diesBefore') return
    this.accidentCount += 1
    this.note(`the operator dies before ${nameOf(effect)}`)
    throw new Crash()
  }

  after(effect: SideEffect): 'heard' | 'unheard' {
    const count = this.effectCount
    this.note(nameOf(effect))
    this.invariants.check()
    this.invariants.checkAfter(effect)
    const { accident } = this.#options
    if (accident?.effect !== count || accident.operator === 'diesBefore') return 'heard'
    this.accidentCount += 1
    if (accident.losesPod === true) this.#losePod(accident.effect)
    if (accident.operator === 'diesAfter') {
      this.note(`the operator dies after ${nameOf(effect)}`)
      throw new Crash()
    }
    if (accident.operator === 'goesOn') return 'heard'
    this.note(`the answer to ${nameOf(effect)} is lost`)
    return 'unheard'
  }

  explain(what: string): string {
    const { seed, accident, operators = 1 } = this.#options
    const crash = accident === undefined ? 'no accident' : JSON.stringify(accident)
    const status = JSON.stringify(this.status, undefined, 1).slice(0, 6000)
    const done = this.trace.slice(-60).join('\n  ')
    return `${what} (seed ${seed}, ${crash}, ${operators} operators)\n  ${done}\nstatus: ${status}`
  }

  /** Machine and pod are gone at once; another one starts on the same volume. */
  #losePod(turn: number): void {
    const names = this.kubernetes
      .pods()
      .filter((pod) => isRunning(pod))
      .map(({ metadata }) => metadata.name)
    const name = names[turn % names.length]
    if (name === undefined) return
    this.note(`${name} is lost`)
    this.kubernetes.lose(name, { withVolume: false })
    this.lostPodAtMs = this.nowMs
  }

  /** At the same time: what one does between two requests of another is as good as never the same. */
  async #reconcileAll(): Promise<void> {
    const acting = this.#operators.filter(() => this.#isTurn())
    await Promise.all(acting.map((operator) => this.#reconcile(operator)))
  }

  async #reconcile(operator: Operator): Promise<void> {
    try {
      await operator.reconciler.reconcile(KEY, {
        signal: new AbortController().signal,
        reconcileId: '',
      })
      this.passedAtMs = this.nowMs
    } catch (error) {
      // As the controller does: what cannot be heard is looked at again.
      if (isKubeError(error, 'unavailable')) return
      if (!(error instanceof Crash)) throw error
      operator.caches.close()
      this.#operators.splice(this.#operators.indexOf(operator), 1)
      this.#startOperator()
    }
  }

  #ask(url: string, trust: MemberTrust): Promise<MemberAnswer> {
    const refusal = this.certificates.refusalOf(url, trust, this.nowMs)
    return refusal === undefined ? this.members.status(url) : Promise.resolve(refusal)
  }

  /** A change of the membership is one more thing that can be cut off before it happens, or after. */
  async #change(
    url: string,
    request: ChangeRequest,
    { expectedEpoch }: { readonly expectedEpoch: number },
  ): Promise<ChangeAnswer> {
    await this.travel()
    const { type: name } = request
    const effect = {
      verb: 'change',
      target: { collection: 'members', namespace: '', name },
    } as const
    this.before(effect)
    const answer = this.members.change(url, request, expectedEpoch)
    this.note(`${JSON.stringify(request)} at ${expectedEpoch}: ${JSON.stringify(answer)}`)
    const heard = this.after(effect)
    return heard === 'heard' ? answer : { kind: 'unknown', detail: 'no answer in 8 s' }
  }

  #isTurn(): boolean {
    return this.#prng.next(100) < (this.#options.turnPercent ?? 70)
  }

  #startOperator(): void {
    const caches = new SimCaches(this.store)
    const trust = new MemberTrust()
    const reconciler = new ClusterReconciler({
      trust,
      api: new SimApi(this.store, this),
      caches,
      members: { status: (url) => this.travel().then(() => this.#ask(url, trust)) },
      membership: { change: (url, request, options) => this.#change(url, request, options) },
      streams: { follow: () => undefined },
      recorder: { record: (event) => this.events.push(event) },
      clock: { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs },
      timers: systemTimers,
      log: createLogger({ level: 'silent' }),
      readsNodes: true,
      render: { memberRepository: 'raftbase/member', newestRenderer: this.newestRenderer },
      counts: new ClusterCounts(new Registry()),
    })
    this.#operators.push({ reconciler, caches })
  }
}

function nameOf({ verb, target }: SideEffect): string {
  return `${verb} ${target.collection.split('/').at(-1)} ${target.name}`
}
