// The members as the operator meets them, reduced to what matters here: what a volume remembers, who may start on it, when a
// majority becomes a cluster, and what a member says of itself. A cluster that forms while another of the same token has
// committed is the one thing that must never happen; each time one forms, it is counted.

import { type ParsedMembership, parseMembership } from '../../../lib/membership-file.ts'
import { memberIdOf } from '../../../lib/identity.ts'
import type { Status } from '../../../member/src/rest/contract.ts'
import type {
  ChangeAnswer,
  ChangeRequest,
  MemberAnswer,
  MemberClient,
} from '../../../operator/src/member-client/member-client.ts'
import type { FakeApiStore, StoredObject } from '../../support/fake-api-store.ts'
import type { SimCertificates } from './sim-certificates.ts'
import { isRunning, type SimKubernetes, tagOf } from './sim-kubernetes.ts'
import { type Configuration, type Disk, SimRaft } from './sim-raft.ts'

/** A kubelet brings a changed ConfigMap late, unless the pod has changed too. */
const KUBELET_STEPS = 60

/** What lies on one volume, by the uid of its claim. */
interface Volume extends Disk {
  /** The cluster it has committed entries of, by the order in which they formed. */
  cluster: number | undefined
}

interface Process {
  readonly podUid: string
  readonly name: string
  readonly volume: Volume
  /** As it is mounted. */
  membership: string | undefined
  /** Of its configuration file; undefined when its pod has none. */
  config: { epoch: number; text: string } | undefined
  /** What made the kubelet look last. */
  nudge: string | undefined
  nextLook: number
  /** Why it takes no part. */
  parked: 'Fresh' | 'AwaitingReplacement' | 'Tombstoned' | 'Corrupt' | undefined
  /** It hears nobody. */
  isDeaf: boolean
  /** As it has applied it. */
  known: Configuration | undefined
}

export class SimMembers implements MemberClient {
  readonly #store: FakeApiStore
  readonly #kubernetes: SimKubernetes
  readonly #certificates: Pick<SimCertificates, 'tlsOf'>
  readonly #volumes = new Map<string, Volume>()
  readonly #processes = new Map<string, Process>()
  /** How many clusters have ever formed. */
  formedCount = 0
  /** The newest one. */
  raft: SimRaft | undefined
  readonly #parsed = new Map<string, ParsedMembership>()
  /** Promises to members that were broken, in words. */
  readonly breaches: string[] = []
  /** By tag of the image, the highest feature level of that version; 0 for others. */
  readonly levels = new Map<string, number>()
  /** Tags of images whose members run, answer, and never hear of each other. */
  readonly deafTags = new Set<string>()
  /** Members by name that do not answer the operator. */
  readonly silent = new Set<string>()
  /** Members by name that never get further than they are. */
  readonly stuck = new Set<string>()
  #stepCount = 0

  constructor(
    store: FakeApiStore,
    kubernetes: SimKubernetes,
    certificates: Pick<SimCertificates, 'tlsOf'> = { tlsOf: () => undefined },
  ) {
    this.#store = store
    this.#kubernetes = kubernetes
    this.#certificates = certificates
  }

  /** Processes start and end with their pods, decide whether to take part, and elect when they can. */
  step(): void {
    this.#stepCount += 1
    const pods = this.#kubernetes.pods().filter((pod) => isRunning(pod))
    for (const [name, process] of this.#processes) {
      if (!pods.some(({ metadata }) => metadata.uid === process.podUid))
        this.#processes.delete(name)
    }
    for (const pod of pods) {
      const { metadata } = pod
      this.#start(metadata.name, metadata.uid, hasConfigFile(pod))
      const started = this.#processes.get(metadata.name)
      if (started !== undefined) {
        started.volume.knownLevel = this.levels.get(tagOf(pod)) ?? 0
        started.isDeaf = this.deafTags.has(tagOf(pod))
      }
      const { annotations } = metadata as { annotations?: Record<string, string> }
      const nudge = ['membership-epoch', 'config-epoch']
        .map((name) => annotations?.[`raftbase.io/${name}`])
        .join()
      this.#look(this.#processes.get(metadata.name), nudge)
    }
    for (const process of this.#processes.values()) this.#decide(process)
    this.#form()
    this.raft?.step(this.#running())
    for (const process of this.#processes.values()) {
      if (this.hasQuorum && process.volume.id !== undefined)
        process.known = this.raft?.configuration
    }
  }

  get hasQuorum(): boolean {
    return this.raft?.leader !== undefined
  }

  /** The name of the leader. */
  get leader(): { readonly name: string } | undefined {
    const id = this.raft?.leader
    return id === undefined ? undefined : this.raft?.configuration.members.get(id)
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

  /** The member finds its data damaged at its next start. */
  damage(name: string): void {
    const claim = this.#claimOf(name)
    const volume = claim === undefined ? undefined : this.#volumes.get(claim)
    if (volume !== undefined) volume.isCorrupt = true
  }

  /** It runs, and its vote counts. */
  isVoting(name: string): boolean {
    const process = this.#processes.get(name)
    const id = process?.volume.id
    return (
      process?.parked === undefined &&
      process?.isDeaf === false &&
      id !== undefined &&
      this.raft?.voters.includes(id) === true
    )
  }

  /** Which member the disk under this name has taken part as. */
  idOn(name: string): string | undefined {
    return this.#volumes.get(this.#claimOf(name) ?? '')?.id
  }

  status(baseUrl: string): Promise<MemberAnswer> {
    const process = this.#at(baseUrl)
    if (process === undefined || this.silent.has(process.name)) {
      return Promise.resolve({ kind: 'silent', reason: 'timeout', detail: 'no answer in 2 s' })
    }
    return Promise.resolve({ kind: 'answered', status: this.#statusOf(process) })
  }

  change(baseUrl: string, request: ChangeRequest, epoch: number): ChangeAnswer {
    const process = this.#at(baseUrl)
    const { raft } = this
    if (process?.volume.id === undefined || raft === undefined) {
      return { kind: 'unknown', detail: 'no answer in 8 s' }
    }
    const answer = raft.change(request, {
      asked: process.volume.id,
      epoch,
      running: this.#running(),
    })
    process.known = raft.configuration
    return answer
  }

  #at(baseUrl: string): Process | undefined {
    const ordinal = Number(/^https?:\/\/[\d.]*\.(\d+)/.exec(baseUrl)?.[1]) - 1
    return [...this.#processes.values()].find(({ name }) => name.endsWith(`-${ordinal}`))
  }

  #running(): readonly Volume[] {
    return [...this.#processes.values()]
      .filter(
        ({ parked, name, isDeaf }) => parked === undefined && !isDeaf && !this.stuck.has(name),
      )
      .map(({ volume }) => volume)
  }

  #claimOf(name: string): string | undefined {
    return this.#kubernetes.claims().find(({ metadata }) => metadata.name === `data-${name}`)
      ?.metadata.uid
  }

  #start(name: string, podUid: string, hasFile: boolean): void {
    if (this.#processes.get(name)?.podUid === podUid) return
    const uid = this.#claimOf(name)
    if (uid === undefined) return
    const blank: Volume = {
      id: undefined,
      name,
      incarnation: 1,
      holds: 0,
      isTombstoned: false,
      isCorrupt: false,
      knownLevel: 0,
      cluster: undefined,
    }
    const volume = this.#volumes.get(uid) ?? blank
    this.#volumes.set(uid, volume)
    const process: Process = {
      podUid,
      name,
      volume,
      membership: this.#membership(name),
      config: hasFile ? this.#config(name) : undefined,
      nudge: undefined,
      nextLook: this.#stepCount + KUBELET_STEPS,
      parked: undefined,
      isDeaf: false,
      known: undefined,
    }
    this.#processes.set(name, process)
    const own = this.#entryOf(process)
    // A file that is ahead of the disk means that the disk was given up.
    if (volume.id !== undefined && own !== undefined && own.incarnation > volume.incarnation) {
      volume.isTombstoned = true
    }
  }

  #look(process: Process | undefined, nudge: string | undefined): void {
    if (process === undefined) return
    if (nudge === process.nudge && this.#stepCount < process.nextLook) return
    process.nudge = nudge
    process.nextLook = this.#stepCount + KUBELET_STEPS
    this.#takeConfig(process)
    const text = this.#membership(process.name)
    const [before, after] = [this.#parse(process.membership), this.#parse(text)]
    if (before.ok && after.ok && after.document.epoch < before.document.epoch) return
    process.membership = text
  }

  /** As ADR 0024 says: an epoch that falls is a stale copy, and is refused. */
  #takeConfig(process: Process): void {
    const file = this.#config(process.name)
    if (process.config === undefined || file === undefined) return
    if (file.epoch < process.config.epoch) return
    if (file.epoch === process.config.epoch && file.text !== process.config.text) {
      this.breaches.push(`two configurations of epoch ${file.epoch}`)
    }
    process.config = file
  }

  /** What a member has in force. */
  settingsOf(name: string): Readonly<Record<string, unknown>> | undefined {
    const text = this.#processes.get(name)?.config?.text
    return text === undefined ? undefined : (JSON.parse(text) as Record<string, unknown>)
  }

  #config(name: string): Process['config'] {
    const text = this.#file(name, 'config', 'member.json')
    if (text === undefined) return undefined
    return { text, epoch: (JSON.parse(text) as { epoch: number }).epoch }
  }

  #membership(name: string): string | undefined {
    return this.#file(name, 'membership', 'membership.json')
  }

  #file(member: string, what: string, file: string): string | undefined {
    const cluster = member.slice(0, member.lastIndexOf('-'))
    const object = this.#store.find({
      collection: 'v1/configmaps',
      namespace: 'prod',
      name: `${cluster}-${what}`,
    })
    return (object?.['data'] as Record<string, string> | undefined)?.[file]
  }

  #entryOf({ membership, name }: Process) {
    const parsed = this.#parse(membership)
    return parsed.ok ? parsed.document.members.find((member) => member.name === name) : undefined
  }

  /**
   * As ADR 0010 and the contract say: data goes by its data. Blank ones ask first whether they are known: whoever answers,
   * or, once the cluster has formed, so many that no majority could be made without one of them.
   */
  #decide(process: Process): void {
    const { volume, name } = process
    process.parked = undefined
    if (volume.isCorrupt) process.parked = 'Corrupt'
    else if (volume.isTombstoned) process.parked = 'Tombstoned'
    if (process.parked !== undefined || volume.id !== undefined) return
    const parsed = this.#parse(process.membership)
    const own = this.#entryOf(process)
    if (!parsed.ok || own === undefined) {
      process.parked = 'Fresh'
      return
    }
    const { phase, formed, members, token } = parsed.document
    if (phase === 'Running' && own.state === 'Learner') {
      this.#begin(volume, { token, name, incarnation: own.incarnation })
      volume.cluster = this.formedCount
      return
    }
    const others = [...this.#processes.values()].filter((other) => other !== process)
    const quorum = Math.floor(members.length / 2) + 1
    const answers = others.filter(({ volume: other }) => other.cluster !== undefined)
    const isKnown = answers.length > 0 && this.#hasTakenPart(name)
    const needed = formed === true ? members.length - quorum + 1 : 0
    if (phase === 'Running' || isKnown || answers.length < needed) {
      process.parked = 'AwaitingReplacement'
      return
    }
    this.#begin(volume, { token, name, incarnation: 1 })
  }

  #begin(
    volume: Volume,
    identity: { readonly token: string; readonly name: string; readonly incarnation: number },
  ): void {
    volume.id = memberIdOf(identity.token, identity.name, identity.incarnation)
    volume.incarnation = identity.incarnation
  }

  #hasTakenPart(name: string): boolean {
    return [...this.#volumes.values()].some((other) => other.name === name && other.holds > 0)
  }

  #parse(text = ''): ParsedMembership {
    let parsed = this.#parsed.get(text)
    if (parsed === undefined) this.#parsed.set(text, (parsed = parseMembership(text)))
    return parsed
  }

  /** A majority of those a first start was told of makes a cluster, unless one of them has been in one. */
  #form(): void {
    const able = [...this.#processes.values()].filter(
      ({ volume, parked }) => volume.id !== undefined && parked === undefined,
    )
    const founders = this.#founders()
    if (founders === undefined || able.length < Math.floor(founders.names.length / 2) + 1) return
    const known = able.some(({ volume }) => volume.cluster !== undefined)
    if (!known) {
      this.formedCount += 1
      this.raft = new SimRaft(founders.token, founders.names)
    }
    for (const { volume } of able) volume.cluster ??= this.formedCount
  }

  #founders(): { readonly token: string; readonly names: readonly string[] } | undefined {
    for (const { membership } of this.#processes.values()) {
      const parsed = this.#parse(membership)
      if (!parsed.ok) continue
      const { initialCluster, token } = parsed.document
      return { token, names: initialCluster.split(',').map((part) => part.split('=')[0]!) }
    }
    return undefined
  }

  #statusOf({ podUid, name, volume, membership, config, parked, known }: Process): Status {
    const tls = this.#certificates.tlsOf(podUid)
    const parsed = this.#parse(membership)
    const { raft } = this
    const leader = raft?.leader
    const own = parsed.ok ? parsed.document.members.find((one) => one.name === name) : undefined
    const listed: 'Voter' | 'Learner' | 'absent' = own?.state ?? 'absent'
    const base = {
      name,
      version: '0.1.0',
      storageFormatVersion: 1,
      alarms: [],
      uptimeSeconds: 1,
      residentBytes: 1,
      ...(tls === undefined ? {} : { tls }),
      ...(config === undefined ? {} : { configFile: { epoch: config.epoch, pendingRestart: [] } }),
      ...(parsed.ok ? { membershipFile: { epoch: parsed.document.epoch, listed } } : {}),
    }
    if (parked !== undefined || volume.id === undefined) {
      return {
        ...base,
        ready: false,
        peers: [],
        state: parked === undefined ? 'starting' : 'parked',
        startupPhase: parked === undefined ? 'openingDirectory' : 'parked',
        dataDirectory: { state: parked ?? 'Unknown' },
        members: [],
      }
    }
    const role = known?.members.get(volume.id)?.role
    const isLeader = leader === volume.id
    const peers = isLeader ? this.#peers(volume.id) : []
    return {
      ...base,
      ready: role === 'voter' && leader !== undefined,
      peers,
      state: 'running',
      startupPhase: 'complete',
      dataDirectory: { state: 'Valid' },
      ...(parsed.ok ? { clusterId: parsed.document.clusterId! } : {}),
      memberId: volume.id,
      incarnation: volume.incarnation,
      role: isLeader ? 'leader' : role === 'learner' ? 'learner' : 'follower',
      term: raft?.term ?? 0,
      ...(leader === undefined ? {} : { leader }),
      committed: volume.cluster === undefined ? 0 : (raft?.committed ?? 0),
      applied: volume.holds,
      membershipEpoch: known?.epoch ?? 0,
      featureLevel: raft?.level ?? 0,
      knownFeatureLevel: volume.knownLevel,
      members: [...(known?.members ?? [])].map(([id, member]) => ({
        id,
        name: member.name,
        role: member.role,
        peerUrls: [],
        clientUrls: [],
        apiUrls: [],
        version: '0.1.0',
      })),
    }
  }

  #peers(own: string): Status['peers'] {
    return [...(this.raft?.configuration.members ?? [])]
      .filter(([id]) => id !== own)
      .map(([id, { name }]) => {
        const disk = this.#running().find((one) => one.id === id)
        const isActive = disk !== undefined
        return {
          id,
          name,
          connected: isActive,
          match: disk?.holds ?? 0,
          progress: isActive ? 'replicate' : 'probe',
          active: isActive,
        } as const
      })
  }
}

function hasConfigFile(pod: StoredObject): boolean {
  const { volumes } = pod['spec'] as unknown as { volumes: readonly { readonly name: string }[] }
  return volumes.some(({ name }) => name === 'config')
}
