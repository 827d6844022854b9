// A MemberNode of one, in memory: every revision of every key is kept, reads at a revision and compaction behave, and
// `mode` says how the cluster behind it is doing. Waits are real: they end at their deadline or when the client goes.

import { RaftbaseError } from '../../lib/errors.ts'
import type {
  CallOptions,
  CompactionResult,
  Consistency,
  DeleteResult,
  FinalizeRequest,
  FinalizeResult,
  GetResult,
  KeyValue,
  MemberNode,
  MembershipOutcome,
  MembershipRequest,
  NodeInfo,
  NodeStatus,
  NotReadyReason,
  PeerInfo,
  PutResult,
  SnapshotExport,
} from '../../member/src/node/member-node.ts'
import type { MemberId } from '../../member/src/raft/types.ts'

export type ClusterMode =
  | 'normal'
  /** Requests wait for a leader until their deadline: NO_LEADER. */
  | 'noLeader'
  /** Requests are accepted and not answered before their deadline: TIMEOUT. */
  | 'stuck'
  /** Writes happen, and their outcome is lost: OUTCOME_UNKNOWN. */
  | 'unknown'
  | 'overloaded'
  | 'stopping'
  | 'noSpace'
  /** A bug: something that is no RaftbaseError. */
  | 'broken'

interface Version {
  readonly revision: number
  /** Undefined: deleted at this revision. */
  readonly kv: KeyValue | undefined
}

export const MEMBER_IDS = ['00000000000000a1', '00000000000000a2', '00000000000000a3'] as MemberId[]

function peer(
  id: MemberId,
  name: string,
  seen: Pick<PeerInfo, 'match' | 'progress' | 'active'>,
): PeerInfo {
  return { id, name, connected: seen.match !== undefined, ...seen }
}

export class MemoryMemberNode implements MemberNode {
  mode: ClusterMode = 'normal'
  state: NodeStatus['state'] = 'running'
  leader: MemberId | undefined = MEMBER_IDS[0]
  /** The requests that were handed to the cluster, newest last: `put`, `get linearizable`, `delete`, `transfer`. */
  readonly asked: string[] = []
  lastOptions: CallOptions | undefined
  waitingCount = 0
  epoch = 0
  tickAge: number | undefined = 5
  startupPhase: NodeStatus['startupPhase'] = 'complete'
  readonly #history = new Map<string, Version[]>()
  readonly #listeners = new Set<() => void>()
  #revision = 1
  #compactRevision = 0
  #watchers: (() => void)[] = []

  async put(
    request: { key: Uint8Array; value: Uint8Array },
    options: CallOptions,
  ): Promise<PutResult> {
    await this.#admit('put', options)
    const history = this.#historyOf(request.key)
    const previous = history.at(-1)?.kv
    this.#revision++
    const kv: KeyValue = {
      key: request.key.slice(),
      value: request.value.slice(),
      createRevision: previous?.createRevision ?? this.#revision,
      modRevision: this.#revision,
      version: (previous?.version ?? 0) + 1,
    }
    history.push({ revision: this.#revision, kv })
    this.#maybeLoseAnswer()
    return { revision: this.#revision, version: kv.version, createRevision: kv.createRevision }
  }

  async delete(request: { key: Uint8Array }, options: CallOptions): Promise<DeleteResult> {
    await this.#admit('delete', options)
    const history = this.#historyOf(request.key)
    if (history.at(-1)?.kv === undefined) return { revision: this.#revision, deleted: 0 }
    this.#revision++
    history.push({ revision: this.#revision, kv: undefined })
    this.#maybeLoseAnswer()
    return { revision: this.#revision, deleted: 1 }
  }

  async get(
    request: { key: Uint8Array; consistency: Consistency; revision?: number },
    options: CallOptions,
  ): Promise<GetResult> {
    if (request.consistency === 'linearizable') await this.#admit('get linearizable', options)
    else this.asked.push('get serializable')
    const wanted = request.revision ?? this.#revision
    if (wanted > this.#revision) {
      const details = { revision: this.#revision }
      throw new RaftbaseError('REVISION_FUTURE', 'revision is in the future', { details })
    }
    if (wanted < this.#compactRevision) {
      const details = { compactRevision: this.#compactRevision, internalOffset: 7 }
      throw new RaftbaseError('REVISION_COMPACTED', 'revision is compacted', { details })
    }
    const kv = this.#historyOf(request.key).findLast(({ revision }) => revision <= wanted)?.kv
    return { revision: this.#revision, kv }
  }

  /** What `exportSnapshot` hands out; each is counted in `openExports` until it is released. */
  exportChunks: () => AsyncIterable<Uint8Array> = async function* () {}
  openExports = 0

  async exportSnapshot(
    request: { consistency: Consistency },
    options: CallOptions,
  ): Promise<SnapshotExport> {
    if (request.consistency === 'linearizable') await this.#admit('export linearizable', options)
    else this.asked.push('export serializable')
    this.openExports++
    let isReleased = false
    return {
      clusterId: '00000000000000c1',
      formatVersion: 1,
      index: this.#revision + 1,
      term: 2,
      revision: this.#revision,
      memberCount: MEMBER_IDS.length,
      chunks: () => this.exportChunks(),
      release: () => {
        if (!isReleased) this.openExports--
        isReleased = true
      },
    }
  }

  async transferLeader(target: MemberId | undefined, options: CallOptions): Promise<MemberId> {
    await this.#admit('transfer', options)
    if (this.leader !== MEMBER_IDS[0]) throw new RaftbaseError('NOT_LEADER', 'not the leader')
    this.leader = target ?? MEMBER_IDS[1]
    return this.leader!
  }

  async changeMembership(
    request: MembershipRequest,
    options: CallOptions & { readonly expectedEpoch?: number },
  ): Promise<MembershipOutcome> {
    await this.#admit(`members ${JSON.stringify(request)}`, options)
    if (this.leader !== MEMBER_IDS[0]) throw new RaftbaseError('NOT_LEADER', 'not the leader')
    const { expectedEpoch } = options
    if (expectedEpoch !== undefined && expectedEpoch !== this.epoch) {
      throw new RaftbaseError('MEMBERSHIP_CONFLICT', 'another membership', {
        details: { expectedEpoch, epoch: this.epoch },
      })
    }
    this.epoch = 7
    return { epoch: 7, id: request.type === 'add' ? ('00000000000000a4' as MemberId) : undefined }
  }

  async finalize(request: FinalizeRequest, options: CallOptions): Promise<FinalizeResult> {
    await this.#admit(`finalize ${JSON.stringify(request)}`, options)
    return { level: request.level ?? 1, epoch: this.epoch }
  }

  async compact(
    { revision }: { revision: number },
    options: CallOptions,
  ): Promise<CompactionResult> {
    await this.#admit(`compact ${revision}`, options)
    const details = { revision: this.#revision, compactRevision: this.#compactRevision }
    if (revision <= this.#compactRevision) {
      throw new RaftbaseError('REVISION_COMPACTED', 'revision is compacted', { details })
    }
    if (revision > this.#revision) {
      throw new RaftbaseError('REVISION_FUTURE', 'revision is in the future', { details })
    }
    this.#compactRevision = revision
    this.#maybeLoseAnswer()
    return { revision: this.#revision }
  }

  nodes(): readonly NodeInfo[] {
    return MEMBER_IDS.map((id, i) => ({
      id,
      name: `n${i + 1}`,
      status: id === this.leader ? 'leader' : i === 2 ? 'learner' : 'follower',
      peerUrls: [`http://127.0.0.1:238${i * 2}`],
      clientUrls: [`http://127.0.0.1:23${79 + i * 2}`],
      apiUrls: [`http://127.0.0.1:808${i}`],
      version: '0.1.0',
    }))
  }

  status(): NodeStatus {
    return {
      clusterId: '00000000000000c1',
      memberId: MEMBER_IDS[0]!,
      name: 'n1',
      incarnation: 1,
      version: '0.1.0',
      storageFormatVersion: 1,
      state: this.state,
      startupPhase: this.startupPhase,
      dataDirectory: { state: 'Valid' },
      membershipFile: undefined,
      configFile: undefined,
      tls: undefined,
      alarms: [],
      isLogRead: true,
      featureLevel: 0,
      knownFeatureLevel: 0,
      role: this.leader === MEMBER_IDS[0] ? 'leader' : 'follower',
      term: 2,
      leader: this.leader,
      committed: this.#revision + 1,
      applied: this.#revision + 1,
      firstIndex: 1,
      lastIndex: this.#revision + 1,
      lastLogTerm: 2,
      persistedIndex: this.#revision + 1,
      membershipEpoch: this.epoch,
      revision: this.#revision,
      compactRevision: this.#compactRevision,
      keyCount: this.#history.size,
      stateBytes: 0,
      quotaBytes: undefined,
      quotaUsedBytes: 0,
      disk: undefined,
      snapshotIndex: 0,
      members: this.nodes().map(({ status, ...member }) => ({
        ...member,
        role: status === 'learner' ? 'learner' : 'voter',
        featureLevel: 0,
      })),
      peers: [
        peer(MEMBER_IDS[1]!, 'n2', { match: 3, progress: 'replicate', active: true }),
        peer(MEMBER_IDS[2]!, 'n3', { match: undefined, progress: undefined, active: undefined }),
      ],
    }
  }

  isReady(): boolean {
    return this.notReadyReason() === undefined
  }

  notReadyReason(): NotReadyReason | undefined {
    if (this.state !== 'running') return this.state
    return this.leader === undefined ? 'noLeader' : undefined
  }

  tickAgeMs(): number | undefined {
    return this.tickAge
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get listenerCount(): number {
    return this.#listeners.size
  }

  /** Something was changed from outside: tells whoever listens. */
  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  /** Resolves once `count` requests wait; at once if they do. The test's own timeout is the deadline. */
  async waiting(count: number): Promise<void> {
    while (this.waitingCount !== count) {
      await new Promise<void>((resolve) => this.#watchers.push(resolve))
    }
  }

  async #admit(what: string, options: CallOptions): Promise<void> {
    this.asked.push(what)
    this.lastOptions = options
    switch (this.mode) {
      case 'normal':
      case 'unknown':
        return
      case 'noLeader':
        await this.#wait(options)
        throw new RaftbaseError('NO_LEADER', 'no leader before the deadline')
      case 'stuck':
        await this.#wait(options)
        throw new RaftbaseError('TIMEOUT', 'deadline passed')
      case 'overloaded':
        throw new RaftbaseError('OVERLOADED', 'too many requests')
      case 'stopping':
        throw new RaftbaseError('SHUTTING_DOWN', 'member is stopping')
      case 'noSpace':
        throw new RaftbaseError('NO_SPACE', 'quota is used up')
      case 'broken':
        throw new TypeError('secret /var/lib/raftbase is not iterable')
    }
  }

  async #wait(options: CallOptions): Promise<void> {
    this.#setWaiting(1)
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, options.timeoutMs)
      options.signal?.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    this.#setWaiting(-1)
  }

  #setWaiting(by: number): void {
    this.waitingCount += by
    for (const wake of this.#watchers.splice(0)) wake()
  }

  #maybeLoseAnswer(): void {
    if (this.mode !== 'unknown') return
    throw new RaftbaseError('OUTCOME_UNKNOWN', 'leader was lost before the answer')
  }

  #historyOf(key: Uint8Array): Version[] {
    const name = Buffer.from(key).toString('latin1')
    const known = this.#history.get(name)
    if (known !== undefined) return known
    const history: Version[] = []
    this.#history.set(name, history)
    return history
  }
}
