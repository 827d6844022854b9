// What must hold at every moment, however the operator died and whoever else acted (contract, section 17).

import type { StoredObject } from '../../support/fake-api-store.ts'
import type { SideEffect } from './sim-api.ts'
import { isRunning } from './sim-kubernetes.ts'
import { CLUSTER, KEY, phaseTold, replicasOf, type Scene, STATEFUL_SET } from './scene.ts'

/** Longest time a pass may speak of something that is no more: reports count 15 s, and looking takes its time. */
const FRESH_MS = 20_000

/** How late the caches of this suite may be. */
const WATCH_MS = 10_000

export class Invariants {
  readonly #world: Scene
  #servedAtMs = Number.NEGATIVE_INFINITY
  #pausedAtMs: number | undefined
  #latched: string | undefined
  readonly #foreign = new Map<string, StoredObject>()
  #replicasBefore: number | undefined
  #isTouched = false

  constructor(world: Scene) {
    this.#world = world
  }

  /** From now on nobody may touch it. */
  protect(collection: string, name: string): void {
    const target = { collection, namespace: KEY.namespace, name }
    this.#foreign.set(`${collection}/${name}`, this.#world.store.get(target))
  }

  /** A new RaftCluster of the same name is another cluster. */
  forget(): void {
    this.#latched = undefined
  }

  /** What was protected may be touched again. */
  release(): void {
    this.#foreign.clear()
  }

  check(): void {
    const { members, certificates, status, nowMs, passedAtMs, store } = this.#world
    certificates.check(nowMs)
    const [mistrust] = certificates.breaches
    this.#holds(mistrust === undefined, `certificates: ${mistrust}`)
    this.#isPausedForLong()
    if (members.hasQuorum) this.#servedAtMs = nowMs
    this.#holds(members.formedCount <= 1, 'never two clusters for one token (1, 2)')
    const breach = members.raft?.breaches[0]
    this.#holds(breach === undefined, `${breach} (2, 4)`)
    const [confusion] = members.breaches
    this.#holds(confusion === undefined, `members are told ${confusion}`)
    const { rollbackVersion } = status
    const isOpen = rollbackVersion !== undefined
    const isReal =
      isOpen && (members.levels.get(rollbackVersion) ?? 0) >= (members.raft?.level ?? 0)
    this.#holds(!isOpen || isReal, 'a way back that is open leads somewhere')
    this.#holds(members.clustersOnVolumes().size <= 1, 'volumes of one cluster only (1)')
    const available = status.conditions?.find(({ type }) => type === 'QuorumAvailable')
    const isStale = available?.status === 'True' && passedAtMs - this.#servedAtMs > FRESH_MS
    this.#holds(!isStale, 'QuorumAvailable is never True for long after the last service (9)')
    if (this.#latched !== undefined && this.#world.cluster !== undefined) {
      this.#holds(status.clusterId === this.#latched, 'clusterId never changes (1)')
    }
    this.#latched ??= status.clusterId
    for (const [path, object] of this.#foreign) {
      const at = path.lastIndexOf('/')
      const collection = path.slice(0, at)
      const target = { collection, namespace: KEY.namespace, name: path.slice(at + 1) }
      const now = store.find(target)
      const isSame =
        now?.metadata.uid === object.metadata.uid &&
        now.metadata.resourceVersion === object.metadata.resourceVersion
      this.#holds(isSame, `the foreign ${path} is left alone`)
    }
  }

  /** About a change an operator is going to ask for. */
  checkEffect({ verb, target }: SideEffect): void {
    const { cluster } = this.#world
    if (verb === 'applyStatus') return
    const isDeleting = cluster?.metadata.deletionTimestamp !== undefined
    this.#holds(!this.#isPausedForLong() || isDeleting, 'nothing is done while paused (12)')
    const isClusterItself = target.collection === CLUSTER.collection
    if (isClusterItself || verb === 'delete') {
      this.#checkDelete({ verb, target })
      return
    }
    if (verb === 'apply') {
      this.#replicasBefore = replicasOf(this.#world.store.find(STATEFUL_SET))
      const finalizers = cluster?.metadata.finalizers ?? []
      // A stale pass may try after the end; the garbage collector takes what it makes.
      this.#holds(
        cluster === undefined || finalizers.includes('raftbase.io/cluster-cleanup'),
        'the finalizer comes before anything else',
      )
      if (target.collection === STATEFUL_SET.collection && cluster !== undefined && !isDeleting) {
        this.#holds(
          this.#world.status.bootstrap !== undefined || phaseTold(this.#world.store) === 'Running',
          'the target of a new cluster is latched before its StatefulSet is made (5)',
        )
      }
    }
  }

  /** About a change an operator has made. */
  checkAfter({ verb, target }: SideEffect): void {
    if (verb !== 'apply' || target.collection !== STATEFUL_SET.collection) return
    const now = replicasOf(this.#world.store.find(STATEFUL_SET))
    const before = this.#replicasBefore
    const voters = this.#votersBelow()
    if (now === undefined || before === undefined || this.#isTouched) return
    this.#holds(now >= voters, 'the StatefulSet keeps a pod for every voter (6)')
    const isStep = Math.abs(now - before) <= 1 || (now > before && now <= voters)
    this.#holds(isStep, `the StatefulSet changes by one, not from ${before} to ${now} (6)`)
  }

  /** Somebody else changes the StatefulSet in this scenario: it is set back at once. */
  allowTampering(): void {
    this.#isTouched = true
  }

  #votersBelow(): number {
    const { raft } = this.#world.members
    const members = [...(raft?.configuration.members.values() ?? [])]
    const ordinals = members.flatMap(({ name, role }) =>
      role === 'voter' ? [ordinalIn(name)] : [],
    )
    return Math.max(-1, ...ordinals) + 1
  }

  /** After the end of a scenario: as many pods and voters as were asked for. */
  checkSize(): void {
    const { store, cluster, members } = this.#world
    const wanted = replicasOf(cluster)
    this.#holds(replicasOf(store.find(STATEFUL_SET)) === wanted, 'the StatefulSet has its size (6)')
    const { raft } = members
    const size = raft?.configuration.members.size
    this.#holds(raft?.voters.length === wanted && size === wanted, 'there are as many voters')
  }

  /** An operator hears of it by its watch, a moment later. */
  #isPausedForLong(): boolean {
    const { cluster, nowMs } = this.#world
    const spec = cluster?.['spec'] as { paused?: boolean } | undefined
    if (spec?.paused !== true) this.#pausedAtMs = undefined
    else this.#pausedAtMs ??= nowMs
    return this.#pausedAtMs !== undefined && nowMs - this.#pausedAtMs > WATCH_MS
  }

  /** A pod that serves is taken away only while every other voter serves, and its leadership is not taken with it (5, 8). */
  #checkDisruption({ target }: SideEffect): void {
    const { cluster, kubernetes, members } = this.#world
    if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return
    const pods = kubernetes.pods().filter((pod) => isRunning(pod))
    const serving = pods.filter(({ metadata }) => members.isVoting(metadata.name))
    const own = serving.find(({ metadata }) => metadata.name === target.name)
    // What ends already is asked to end once more.
    if (own === undefined || own.metadata.deletionTimestamp !== undefined) return
    const voters = members.raft?.voters.length ?? 0
    const ending = serving.filter(({ metadata }) => metadata.deletionTimestamp !== undefined)
    // What was lost in the moment in which this pass looked, nobody can know.
    const unseen = this.#world.lostPodAtMs === this.#world.nowMs ? 1 : 0
    const left = serving.length - ending.length - 1 + unseen
    const isSpared = voters === 1 || left >= Math.floor(voters / 2) + 1
    this.#holds(isSpared, `${target.name} is taken away with ${left} of ${voters} left (5)`)
    const leads = members.leader?.name === target.name
    this.#holds(
      voters === 1 || !leads || unseen > 0,
      `${target.name} is taken away while it leads (8)`,
    )
  }

  #checkDelete({ verb, target }: SideEffect): void {
    if (verb === 'delete' && target.collection === 'v1/pods') {
      this.#checkDisruption({ verb, target })
    }
    if (verb !== 'delete' || target.collection !== 'v1/persistentvolumeclaims') return
    const { cluster, kubernetes } = this.#world
    const spec = cluster?.['spec'] as { storage?: { whenDeleted?: string } } | undefined
    const isDeleting = cluster?.metadata.deletionTimestamp !== undefined
    if (!isDeleting && cluster !== undefined) {
      this.#checkScaledAway(target.name.slice('data-'.length))
      return
    }
    this.#holds(spec?.storage?.whenDeleted === 'Delete', 'a volume is deleted only if asked to (7)')
    const pods = kubernetes.pods().map(({ metadata }) => metadata.name)
    this.#holds(pods.length === 0, 'volumes are deleted only after every member has ended (7)')
  }

  /** Of a cluster that lives: only the disk of somebody who is not in its configuration. */
  #checkScaledAway(member: string): void {
    const { members } = this.#world
    const id = members.idOn(member)
    const isIn = id !== undefined && members.raft?.configuration.members.has(id) === true
    this.#holds(!isIn, `the volume of ${member} is deleted while it is a member (7)`)
  }

  #holds(condition: boolean, what: string): void {
    if (!condition) throw new Error(this.#world.explain(`broken: ${what}`))
  }
}

function ordinalIn(name: string): number {
  return Number(name.slice(name.lastIndexOf('-') + 1))
}
