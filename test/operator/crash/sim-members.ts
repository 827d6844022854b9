// The members as the operator meets them, reduced to what matters here: what a volume remembers, who may start on it, and
// when a majority becomes a cluster. A cluster that forms while another of the same token has committed is the one thing
// that must never happen; each time one forms, it gets a number.

import { type ParsedMembership, parseMembership } from '../../../lib/membership-file.ts'
import { memberIdOf } from '../../../lib/identity.ts'
import type { Status } from '../../../member/src/rest/contract.ts'
import type {
  MemberAnswer,
  MemberClient,
} from '../../../operator/src/member-client/member-client.ts'
import type { FakeApiStore } from '../../support/fake-api-store.ts'
import { isRunning, type SimKubernetes } from './sim-kubernetes.ts'

/** What lies on one volume, by the uid of its claim. */
interface Volume {
  /** Made a member of a cluster that was to be: it may vote for it. */
  isInitialized: boolean
  /** The cluster it has committed entries of. */
  cluster: number | undefined
}

interface Process {
  readonly podUid: string
  readonly name: string
  readonly volume: Volume
  /** As it is mounted: a kubelet brings changes late. */
  membership: string | undefined
  /** Blank, and told or shown that its cluster exists already. */
  isParked: boolean
}

export class SimMembers implements MemberClient {
  readonly #store: FakeApiStore
  readonly #kubernetes: SimKubernetes
  readonly #volumes = new Map<string, Volume>()
  readonly #processes = new Map<string, Process>()
  /** How many clusters have ever formed. */
  formedCount = 0
  leader: { readonly name: string; readonly term: number } | undefined
  #term = 0
  readonly #names = new Map<number, Set<string>>()
  readonly #parsed = new Map<string, ParsedMembership>()
  /** Members by name that do not answer the operator. */
  readonly silent = new Set<string>()

  constructor(store: FakeApiStore, kubernetes: SimKubernetes) {
    this.#store = store
    this.#kubernetes = kubernetes
  }

  /** Processes start and end with their pods, decide whether to take part, and elect when they can. */
  step(): void {
    const pods = this.#kubernetes.pods().filter((pod) => isRunning(pod))
    for (const [name, process] of this.#processes) {
      if (!pods.some(({ metadata }) => metadata.uid === process.podUid))
        this.#processes.delete(name)
    }
    for (const { metadata } of pods) this.#start(metadata.name, metadata.uid)
    for (const process of this.#processes.values()) {
      if (process.isParked) process.membership = this.#membership(process.name)
      this.#decide(process)
    }
    this.#elect()
  }

  get hasQuorum(): boolean {
    return this.leader !== undefined
  }

  /** Clusters that the volumes there are belong to. */
  clustersOnVolumes(): ReadonlySet<number> {
    const there = new Set(this.#kubernetes.claims().map(({ metadata }) => metadata.uid))
    return new Set(
      [...this.#volumes].flatMap(([uid, { cluster }]) =>
        there.has(uid) && cluster !== undefined ? [cluster] : [],
      ),
    )
  }

  status(baseUrl: string): Promise<MemberAnswer> {
    const ordinal = Number(/10\.0\.0\.(\d+)/.exec(baseUrl)?.[1]) - 1
    const process = [...this.#processes.values()].find(({ name }) => name.endsWith(`-${ordinal}`))
    if (process === undefined || this.silent.has(process.name)) {
      return Promise.resolve({ kind: 'silent', reason: 'timeout', detail: 'no answer in 2 s' })
    }
    return Promise.resolve({ kind: 'answered', status: this.#statusOf(process) })
  }

  #start(name: string, podUid: string): void {
    if (this.#processes.get(name)?.podUid === podUid) return
    const claim = this.#kubernetes.claims().find(({ metadata }) => metadata.name === `data-${name}`)
    if (claim === undefined) return
    const { uid } = claim.metadata
    const volume = this.#volumes.get(uid) ?? { isInitialized: false, cluster: undefined }
    this.#volumes.set(uid, volume)
    const membership = this.#membership(name)
    this.#processes.set(name, { podUid, name, volume, membership, isParked: false })
  }

  #membership(name: string): string | undefined {
    const cluster = name.slice(0, name.lastIndexOf('-'))
    const object = this.#store.find({
      collection: 'v1/configmaps',
      namespace: 'prod',
      name: `${cluster}-membership`,
    })
    return (object?.['data'] as Record<string, string> | undefined)?.['membership.json']
  }

  /**
   * As ADR 0010 and the contract say: data goes by its data. Blank ones ask first whether they are known: whoever answers,
   * or, once the cluster has formed, so many that no majority could be made without one of them.
   */
  #decide(process: Process): void {
    if (process.volume.isInitialized) return
    const parsed = this.#parse(process.membership)
    if (!parsed.ok) return
    const { phase, formed, members } = parsed.document
    const others = [...this.#processes.values()].filter((other) => other !== process)
    const isKnown = others.some(({ volume }) => this.#knownBy(volume.cluster).has(process.name))
    const quorum = Math.floor(members.length / 2) + 1
    const answers = others.filter(({ volume }) => volume.cluster !== undefined).length
    const needed = formed === true ? members.length - quorum + 1 : 0
    process.isParked = phase === 'Running' || isKnown || answers < needed
    process.volume.isInitialized = !process.isParked
  }

  /** Names that have taken part in a cluster. */
  #knownBy(cluster: number | undefined): Set<string> {
    const names = this.#names.get(cluster ?? 0) ?? new Set()
    this.#names.set(cluster ?? 0, names)
    return cluster === undefined ? new Set() : names
  }

  #parse(text = ''): ParsedMembership {
    let parsed = this.#parsed.get(text)
    if (parsed === undefined) this.#parsed.set(text, (parsed = parseMembership(text)))
    return parsed
  }

  #elect(): void {
    const able = [...this.#processes.values()].filter(({ volume }) => volume.isInitialized)
    const size = this.#size()
    if (size === undefined || able.length < Math.floor(size / 2) + 1) {
      this.leader = undefined
      return
    }
    const known = new Set(able.flatMap(({ volume }) => volume.cluster ?? []))
    const cluster = known.size === 0 ? (this.formedCount += 1) : [...known][0]!
    for (const { volume, name } of able) {
      volume.cluster ??= cluster
      this.#knownBy(cluster).add(name)
    }
    if (this.leader !== undefined && able.some(({ name }) => name === this.leader?.name)) return
    this.leader = { name: able[0]!.name, term: (this.#term += 1) }
  }

  #size(): number | undefined {
    for (const { membership } of this.#processes.values()) {
      const parsed = this.#parse(membership)
      if (parsed.ok) return parsed.document.members.length
    }
    return undefined
  }

  #statusOf({ name, volume, membership, isParked }: Process): Status {
    const parsed = this.#parse(membership)
    const token = parsed.ok ? parsed.document.token : ''
    const members = parsed.ok ? parsed.document.members : []
    const { leader } = this
    const takesPart = volume.isInitialized && !isParked
    const base = {
      name,
      version: '0.1.0',
      storageFormatVersion: 1,
      ready: takesPart && leader !== undefined,
      alarms: [],
      peers: [],
      uptimeSeconds: 1,
      residentBytes: 1,
    }
    if (!takesPart) {
      return {
        ...base,
        state: isParked ? 'parked' : 'starting',
        startupPhase: isParked ? 'parked' : 'openingDirectory',
        dataDirectory: { state: isParked ? 'AwaitingReplacement' : 'Unknown' },
        members: [],
      }
    }
    return {
      ...base,
      state: 'running',
      startupPhase: 'complete',
      dataDirectory: { state: 'Valid' },
      ...(parsed.ok ? { clusterId: parsed.document.clusterId! } : {}),
      memberId: memberIdOf(token, name, 1),
      incarnation: 1,
      role: leader?.name === name ? 'leader' : 'follower',
      term: this.#term,
      ...(leader === undefined ? {} : { leader: memberIdOf(token, leader.name, 1) }),
      committed: volume.cluster === undefined ? 0 : 10,
      applied: volume.cluster === undefined ? 0 : 10,
      membershipEpoch: 0,
      members: members.map((member) => ({
        id: memberIdOf(token, member.name, 1),
        name: member.name,
        role: 'voter' as const,
        peerUrls: [member.peerUrl],
        clientUrls: [],
        apiUrls: [],
        version: '0.1.0',
      })),
    }
  }
}
