// What the front ends hold while a member comes, runs, parks and goes: they listen before the data directory has been
// looked at and until after the member has stopped. Answers for the member while there is none, and says why there is none.

import type { Clock, Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import { admissionLimits } from '../limits.ts'
import type { MemberId } from '../raft/types.ts'
import { FEATURE_LEVEL } from '../apply/request.ts'
import { STORAGE_FORMAT_VERSION } from '../wal/metadata.ts'
import { Admission } from './admission.ts'
import type { Identity } from './identity.ts'
import type { Member } from './member.ts'
import type {
  CallOptions,
  CompactionResult,
  ConfigFileStatus,
  Consistency,
  DataDirectoryStatus,
  DiskRoom,
  DeleteResult,
  FinalizeRequest,
  FinalizeResult,
  GetResult,
  MemberNode,
  MembershipOutcome,
  MembershipRequest,
  MembershipFileStatus,
  MemberState,
  NodeInfo,
  NodeStatus,
  NotReadyReason,
  PutResult,
  SnapshotExport,
  StartupPhase,
  TlsReport,
} from './member-node.ts'
import { Readiness } from './readiness.ts'

/** Between the reads that confirm readiness. */
const READ_PERIOD_MS = 1000
/** How long one counts, at the least. */
const READ_FRESH_MS = 3000
/** A key of one byte: the read is of nothing that need exist. */
const PROBE_KEY = new Uint8Array(1)

export interface HostOptions {
  readonly name: string
  readonly version: string
  readonly electionMs: number
  readonly clock: Clock
  readonly timers: Timers
}

export class MemberHost implements MemberNode {
  /** Of the requests of all front ends. */
  readonly admission: Admission
  readonly #options: HostOptions
  readonly #readiness: Readiness
  readonly #listeners = new Set<() => void>()
  #member: Member | undefined
  #unsubscribe: (() => void) | undefined
  /** Of this process while no member runs. */
  #state: Exclude<MemberState, 'running'> = 'starting'
  #phase: StartupPhase = 'openingDirectory'
  #directory: DataDirectoryStatus = { state: 'Unknown' }
  #identity: Identity | undefined
  #membershipFile: (() => MembershipFileStatus) | undefined
  #configFile: (() => ConfigFileStatus | undefined) | undefined
  #tls: (() => TlsReport) | undefined
  #disk: (() => DiskRoom | undefined) | undefined
  #isStopping = false

  constructor(options: HostOptions) {
    this.#options = options
    const { clock, timers, electionMs } = options
    const read = (timeoutMs: number): Promise<void> => this.#probe(timeoutMs)
    this.admission = new Admission({
      limits: admissionLimits(electionMs),
      clock,
      timers,
      read,
    })
    this.#readiness = new Readiness({
      read,
      clock,
      timers,
      periodMs: READ_PERIOD_MS,
      freshMs: Math.max(READ_FRESH_MS, 2 * electionMs + READ_PERIOD_MS),
      onChange: () => this.changed(),
    })
  }

  /** The member that runs, if one does. */
  get member(): Member | undefined {
    return this.#member
  }

  /** Requests of this process that wait for their outcome. */
  get pendingCount(): number {
    return this.#member?.pendingCount ?? 0
  }

  reportDisk(room: () => DiskRoom | undefined): void {
    this.#disk = room
  }

  reportTls(status: () => TlsReport): void {
    this.#tls = status
  }

  reportMembershipFile(status: () => MembershipFileStatus): void {
    this.#membershipFile = status
  }

  reportConfigFile(status: () => ConfigFileStatus | undefined): void {
    this.#configFile = status
  }

  enter(phase: Exclude<StartupPhase, 'complete' | 'parked'>): void {
    this.#phase = phase
    this.#state = phase === 'readingLog' || phase === 'openingPeers' ? 'recovering' : 'starting'
    this.changed()
  }

  /** What is known of the directory and its member before the log has been read. */
  found(directory: DataDirectoryStatus, identity: Identity | undefined): void {
    this.#directory = directory
    this.#identity = identity
    this.changed()
  }

  /** From now on the member answers. */
  attach(member: Member): void {
    this.#member = member
    this.#identity = member.identity
    this.#directory = { state: 'Valid' }
    this.#unsubscribe = member.onChange(() => {
      this.#readiness.wake()
      this.changed()
    })
    this.changed()
  }

  /** The member takes part. */
  complete(): void {
    this.#phase = 'complete'
    this.#readiness.start()
    this.changed()
  }

  park(directory: DataDirectoryStatus, identity = this.#identity): void {
    this.#detach()
    this.#identity = identity
    this.#phase = 'parked'
    this.#state = 'parked'
    this.#directory = directory
    this.changed()
  }

  /** A stop has begun: not ready from now on, though requests are still served. */
  stopping(): void {
    this.#isStopping = true
    this.changed()
  }

  /** The member has stopped; whoever asks learns that this process ends. */
  stopped(): void {
    this.#detach()
    this.#state = 'stopping'
    this.changed()
  }

  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  // MemberNode

  put(request: { key: Uint8Array; value: Uint8Array }, options: CallOptions): Promise<PutResult> {
    return this.#ask((member) => member.put(request, options))
  }

  delete(request: { key: Uint8Array }, options: CallOptions): Promise<DeleteResult> {
    return this.#ask((member) => member.delete(request, options))
  }

  get(
    request: { key: Uint8Array; consistency: Consistency; revision?: number },
    options: CallOptions,
  ): Promise<GetResult> {
    return this.#ask((member) => member.get(request, options))
  }

  compact(request: { revision: number }, options: CallOptions): Promise<CompactionResult> {
    return this.#ask((member) => member.compact(request, options))
  }

  exportSnapshot(
    request: { consistency: Consistency },
    options: CallOptions,
  ): Promise<SnapshotExport> {
    return this.#ask((member) => member.exportSnapshot(request, options))
  }

  transferLeader(target: MemberId | undefined, options: CallOptions): Promise<MemberId> {
    return this.#ask((member) => member.transferLeader(target, options))
  }

  changeMembership(
    request: MembershipRequest,
    options: CallOptions & { readonly expectedEpoch?: number },
  ): Promise<MembershipOutcome> {
    return this.#ask((member) => member.changeMembership(request, options))
  }

  finalize(request: FinalizeRequest, options: CallOptions): Promise<FinalizeResult> {
    return this.#ask((member) => member.finalize(request, options))
  }

  nodes(): readonly NodeInfo[] {
    return this.#member?.nodes() ?? []
  }

  status(): NodeStatus {
    const own = {
      startupPhase: this.#phase,
      dataDirectory: this.#directory,
      membershipFile: this.#membershipFile?.(),
      configFile: this.#configFile?.(),
      tls: this.#tls?.(),
      disk: this.#disk?.(),
    }
    const member = this.#member
    if (member === undefined) return { ...this.#blankStatus(), ...own }
    const status = member.status()
    return { ...status, ...own, state: this.#isStopping ? 'stopping' : status.state }
  }

  isReady(): boolean {
    return this.notReadyReason() === undefined
  }

  notReadyReason(): NotReadyReason | undefined {
    if (this.#isStopping) return 'stopping'
    if (this.#member === undefined) return this.#state
    const reason = this.#member.notReadyReason()
    if (reason !== undefined) return reason
    return this.#readiness.isFresh ? undefined : 'unconfirmed'
  }

  tickAgeMs(): number | undefined {
    return this.#member?.tickAgeMs()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  // Inside

  async #ask<T>(question: (member: Member) => Promise<T>): Promise<T> {
    const member = this.#member
    if (member !== undefined && this.#phase === 'complete') return question(member)
    throw new RaftbaseError('NOT_READY', 'member does not take part in its cluster', {
      details: { reason: member === undefined ? this.#state : 'recovering' },
    })
  }

  async #probe(timeoutMs: number): Promise<void> {
    await this.get({ key: PROBE_KEY, consistency: 'linearizable' }, { timeoutMs })
  }

  #detach(): void {
    this.#readiness.stop()
    this.#unsubscribe?.()
    this.#member = undefined
  }

  #blankStatus(): NodeStatus {
    const { name, version } = this.#options
    const identity = this.#identity
    return {
      clusterId: identity?.clusterId,
      memberId: identity?.memberId,
      incarnation: identity?.incarnation,
      name,
      version,
      storageFormatVersion: STORAGE_FORMAT_VERSION,
      state: this.#isStopping ? 'stopping' : this.#state,
      startupPhase: this.#phase,
      dataDirectory: this.#directory,
      membershipFile: undefined,
      configFile: undefined,
      tls: undefined,
      alarms: this.#directory.state === 'Corrupt' ? ['CORRUPT'] : [],
      disk: undefined,
      isLogRead: false,
      featureLevel: 0,
      knownFeatureLevel: FEATURE_LEVEL,
      role: 'follower',
      term: 0,
      leader: undefined,
      committed: 0,
      applied: 0,
      firstIndex: 0,
      lastIndex: 0,
      lastLogTerm: 0,
      persistedIndex: 0,
      membershipEpoch: 0,
      revision: 0,
      compactRevision: 0,
      keyCount: 0,
      stateBytes: 0,
      quotaBytes: undefined,
      quotaUsedBytes: 0,
      snapshotIndex: 0,
      members: [],
      peers: [],
    }
  }
}
