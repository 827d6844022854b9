// What the front ends see of a member: requests with a deadline, reads, membership and status. They import this file and
// nothing else of what lies below.

import type { TlsStatus } from '../../../lib/tls/holder.ts'
import type { MemberId, Role } from '../raft/types.ts'

export type { AutoCompaction } from './compaction-schedule.ts'

export type MemberState =
  /** Before the data directory is known to be this member's. */
  | 'starting'
  /** Reading the data directory. */
  | 'recovering'
  /** Part of the cluster; may or may not know a leader. */
  | 'running'
  /** Stays up without taking part, because of its data directory or of what the cluster says about it. */
  | 'parked'
  | 'stopping'
  /** An invariant or the disk failed; the process is about to end. */
  | 'failed'

/** How far the start is; `complete` and `parked` are its two ends. */
export type StartupPhase =
  | 'openingDirectory'
  | 'askingPeers'
  | 'readingLog'
  | 'openingPeers'
  | 'complete'
  | 'parked'

export type DataDirectoryState =
  /** Not looked at yet. */
  | 'Unknown'
  /** Empty; this member is about to be made. */
  | 'Fresh'
  | 'Valid'
  /** Of a member that was removed from the cluster, or of an earlier incarnation of this one. */
  | 'Tombstoned'
  /** Of another cluster, or of another member. */
  | 'ForeignCluster'
  | 'Corrupt'
  /** Empty, although the cluster knows this member already: its disk has forgotten what it promised. */
  | 'AwaitingReplacement'

export interface DataDirectoryStatus {
  readonly state: DataDirectoryState
  /** An ErrorCode, when something is wrong. */
  readonly code?: string
  /** One sentence for people. */
  readonly detail?: string
  /** The damaged file, and where in it. */
  readonly file?: string
  readonly offset?: number
}

/** What was read of the membership file; see lib/membership-file.ts. */
export interface TlsReport {
  readonly client?: TlsStatus
  readonly peer?: TlsStatus
}

export interface MembershipFileStatus {
  readonly epoch?: number
  readonly phase?: 'Bootstrapping' | 'Running' | 'Recovering'
  readonly listed?: 'Voter' | 'Learner' | 'absent'
  readonly problem?: string
}

/** What was taken over of the configuration file; see live-config.ts. */
export interface ConfigFileStatus {
  readonly epoch?: number
  /** Names of settings that the file changed and that need a restart. */
  readonly pendingRestart: readonly string[]
  /** Why the file as it is now is refused; the values before it are in force. */
  readonly problem?: string
}

export type Alarm = 'NOSPACE' | 'CORRUPT'

export type NotReadyReason =
  | Exclude<MemberState, 'running'>
  | 'learner'
  | 'noLeader'
  /** What it has applied is too far behind what is committed, or of an earlier term. */
  | 'catchingUp'
  /** No linearizable read of this member was answered for some seconds. */
  | 'unconfirmed'

/** How long a request may take, and whether its client has gone. */
export interface CallOptions {
  /** Milliseconds from now, 1 to 60,000. At the end: TIMEOUT (certainly not done) or OUTCOME_UNKNOWN. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** Whether an answer has everything that was acknowledged before, anywhere, or is from the state as it is here. */
export type Consistency = 'linearizable' | 'serializable'

export interface KeyValue {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
}

export interface PutResult {
  readonly revision: number
  /** Of the key after this put: 1 when it created it. */
  readonly version: number
  readonly createRevision: number
}

export interface CompactionResult {
  /** The store's revision, which a compaction leaves alone. */
  readonly revision: number
}

export interface DeleteResult {
  /** The new revision, or the current one when nothing was deleted. */
  readonly revision: number
  readonly deleted: number
}

export interface GetResult {
  /** The store's revision at evaluation. */
  readonly revision: number
  readonly kv: KeyValue | undefined
}

/** The whole state as it was at one log position, as a snapshot file. */
export interface SnapshotExport {
  readonly clusterId: string
  readonly formatVersion: number
  readonly index: number
  readonly term: number
  readonly revision: number
  readonly memberCount: number
  /** The file in pieces, made as they are asked for; to be called once. Throws SHUTTING_DOWN when the member stops. */
  chunks(): AsyncIterable<Uint8Array>
  /** Must be called, whatever happens; calling it again does nothing. */
  release(): void
}

export interface NodeInfo {
  readonly id: MemberId
  readonly name: string
  readonly status: 'leader' | 'follower' | 'learner' | 'unreachable'
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
  readonly apiUrls: readonly string[]
  readonly version: string
}

/** Of the configuration that is applied here. */
export interface ConfiguredMember {
  readonly id: MemberId
  readonly name: string
  readonly role: 'voter' | 'learner'
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
  readonly apiUrls: readonly string[]
  readonly version: string
  /** The highest it understands. */
  readonly featureLevel: number
}

export interface DiskRoom {
  readonly sizeBytes: number
  /** For this process to use. */
  readonly freeBytes: number
}

export interface NodeStatus {
  /** These three are undefined until they are known. */
  readonly clusterId: string | undefined
  readonly memberId: MemberId | undefined
  readonly incarnation: number | undefined
  readonly name: string
  readonly version: string
  readonly storageFormatVersion: number
  /** The highest this program understands. */
  readonly knownFeatureLevel: number
  readonly state: MemberState
  readonly startupPhase: StartupPhase
  readonly dataDirectory: DataDirectoryStatus
  /** Undefined without such a file. */
  readonly membershipFile: MembershipFileStatus | undefined
  /** Undefined without such a file. */
  readonly configFile: ConfigFileStatus | undefined
  /** The certificates in force; undefined without TLS. */
  readonly tls: TlsReport | undefined
  readonly alarms: readonly Alarm[]
  /** Of the disk that the data is on; undefined where it cannot be told. */
  readonly disk: DiskRoom | undefined
  /** False until the log has been read: then everything below is zero, undefined or empty, and means nothing. */
  readonly isLogRead: boolean
  /** Of the cluster. */
  readonly featureLevel: number
  readonly role: Role | 'learner'
  readonly term: number
  readonly leader: MemberId | undefined
  readonly committed: number
  readonly applied: number
  readonly firstIndex: number
  readonly lastIndex: number
  readonly lastLogTerm: number
  readonly persistedIndex: number
  /** Log index of the newest membership change applied here; 0: as the cluster was made. */
  readonly membershipEpoch: number
  readonly revision: number
  readonly compactRevision: number
  readonly keyCount: number
  readonly stateBytes: number
  /** At which writes are refused; undefined: never. */
  readonly quotaBytes: number | undefined
  /** What counts against it: keys and values that exist, or all that is kept of their history if that is more. */
  readonly quotaUsedBytes: number
  readonly snapshotIndex: number
  readonly members: readonly ConfiguredMember[]
  readonly peers: readonly PeerInfo[]
}

/** A change of the membership, as a front end asks for it. */
export type MembershipRequest =
  /** Joins as a learner. Its id is that of name and incarnation, and never that of a member that was removed. */
  | {
      readonly type: 'add'
      readonly name: string
      readonly incarnation: number
      readonly peerUrls: readonly string[]
    }
  /** Learners that have caught up get a vote, all of them in one change. */
  | { readonly type: 'promote'; readonly ids: readonly MemberId[] }
  | { readonly type: 'remove'; readonly id: MemberId }
  /** The learner takes the place of the voter in one change. */
  | { readonly type: 'replace'; readonly removed: MemberId; readonly promoted: MemberId }
  /** The others reach the member there from now on. */
  | { readonly type: 'update'; readonly id: MemberId; readonly peerUrls: readonly string[] }

export interface MembershipOutcome {
  /** Log index of the newest membership change. */
  readonly epoch: number
  /** Of the member that was added; undefined otherwise. */
  readonly id: MemberId | undefined
}

/** Raises the feature level of the cluster. */
export interface FinalizeRequest {
  /** Undefined: the highest that every member understands, as far as this member knows. */
  readonly level?: number
  /** Refused with MEMBERSHIP_CONFLICT in any other membership. */
  readonly expectedEpoch?: number
}

export interface FinalizeResult {
  /** The feature level of the cluster: what was asked for, or what it had been raised to before if that is more. */
  readonly level: number
  /** Log index of the newest membership change. */
  readonly epoch: number
}

export interface PeerInfo {
  readonly id: MemberId
  readonly name: string
  readonly connected: boolean
  /** Only on the leader, as the two after it: how far this peer's log is known to match. */
  readonly match: number | undefined
  readonly progress: 'probe' | 'replicate' | 'snapshot' | undefined
  /** Heard of within an election timeout. */
  readonly active: boolean | undefined
}

export interface MemberNode {
  /**
   * Rejects with RaftbaseError: INVALID_ARGUMENT, REQUEST_TOO_LARGE, OVERLOADED, NO_LEADER, TIMEOUT, SHUTTING_DOWN or
   * NO_SPACE mean it did not happen and will not; OUTCOME_UNKNOWN means it may have.
   */
  put(request: { key: Uint8Array; value: Uint8Array }, options: CallOptions): Promise<PutResult>
  delete(request: { key: Uint8Array }, options: CallOptions): Promise<DeleteResult>
  /** Linearizable by read index, or from local state as it is. Rejects as `put`, but never with OUTCOME_UNKNOWN. */
  get(
    request: { key: Uint8Array; consistency: Consistency; revision?: number },
    options: CallOptions,
  ): Promise<GetResult>
  /**
   * Makes every revision before `revision` unreadable; its memory comes back by and by. Rejects with REVISION_COMPACTED when
   * it has happened before, REVISION_FUTURE, and as `put`.
   */
  compact(request: { revision: number }, options: CallOptions): Promise<CompactionResult>
  /**
   * The state, to be read by a client: with everything acknowledged before the call, or as it is here. Rejects as `get`,
   * with OVERLOADED also when several are being read already.
   */
  exportSnapshot(
    request: { consistency: Consistency },
    options: CallOptions,
  ): Promise<SnapshotExport>
  /** Hands leadership to `target` (or the most caught-up voter) and waits until it is confirmed. Leader only: NOT_LEADER. */
  transferLeader(target: MemberId | undefined, options: CallOptions): Promise<MemberId>
  /**
   * Leader only, safe to repeat: what is so already is answered as done. Rejects as node/membership.ts says, with
   * MEMBERSHIP_CONFLICT if the newest change is not `expectedEpoch`.
   */
  changeMembership(
    request: MembershipRequest,
    options: CallOptions & { readonly expectedEpoch?: number },
  ): Promise<MembershipOutcome>
  /**
   * Any member, safe to repeat: what has been raised stays so. Rejects with LEVEL_UNSUPPORTED while a member does not
   * understand the level, with MEMBERSHIP_CONFLICT, and as `put`.
   */
  finalize(request: FinalizeRequest, options: CallOptions): Promise<FinalizeResult>
  /** Every member as this one sees it, sorted by name. Never waits. */
  nodes(): readonly NodeInfo[]
  /** Never waits; answered without quorum and during recovery. */
  status(): NodeStatus
  /** Whether this member can serve linearizable requests; never waits. */
  isReady(): boolean
  /** Why it cannot; undefined when it can. */
  notReadyReason(): NotReadyReason | undefined
  /** Milliseconds since the core was last given its time; undefined while it does not run. */
  tickAgeMs(): number | undefined
  /**
   * Calls `listener` whenever state, phase, readiness, role, term, leader or membership may have changed, until the function
   * it returns is called. The listener must not throw.
   */
  onChange(listener: () => void): () => void
}

/** What a node tells whoever counts. Called on hot paths: implementations only add numbers up. */
export interface NodeObserver {
  /** A write to the log with its flush. */
  flushed(durationMs: number, bytes: number): void
  applied(entries: number): void
  /** This member sees another leader than before. */
  leaderChanged(): void
}
