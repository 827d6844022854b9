// The replicated state: the key space, what is known about the members, and the position in the log they stand for. Pure:
// the state and each result are a function of the entries applied, errors included (promise 9 of the fault contract), so
// members that applied the same log hold the same state. Nothing a request contains makes it fail otherwise than by a
// refusal. Where entries come from and who is answered is the driver's business.

import { invariant, unreachable } from '../../../lib/assert.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import {
  type DeleteResult,
  type PutRequest,
  type PutResult,
  type Refusal,
  type RefusalReason,
  Store,
  type TxnRequest,
  type TxnResult,
  validateTxn,
} from '../mvcc/store.ts'
import type { ConfState, MemberId } from '../raft/types.ts'
import { isMalformed } from '../wire/reader.ts'
import {
  type ConfChangeContext,
  type DecodedRequest,
  FEATURE_LEVEL,
  type FinalizeRequest,
  INVALID_DOWNGRADE,
  type MemberRecord,
  type RequestBody,
  decodeConfChangeContext,
  decodeRequest,
  requestCost,
} from './request.ts'
import { StateReader } from './state-restorer.ts'
import { type StateHeader, StateSnapshot, hashOfHeader } from './state-snapshot.ts'

export type { MemberRecord } from './request.ts'
export type { StateSnapshot } from './state-snapshot.ts'

export type ApplyRefusal =
  | RefusalReason
  /** Over the quota the request carries; nothing changed. */
  | 'noSpace'
  /** A key or value longer than any store can hold. */
  | 'tooLarge'
  /** No request that this cluster has been raised to. */
  | 'unsupported'
  /** A member does not understand the feature level. */
  | 'levelTooHigh'
  /** The membership is another one by now. */
  | 'epochDiffers'
  | 'memberNotFound'

export type ApplyOutcome =
  | { readonly type: 'put'; readonly put: PutResult }
  | { readonly type: 'deleteRange'; readonly delete: DeleteResult }
  | { readonly type: 'txn'; readonly txn: TxnResult }
  /** The store's revision, which a compaction leaves alone (CPT-6). */
  | { readonly type: 'compaction'; readonly revision: number }
  | { readonly type: 'memberAttributes' }
  /** The feature level afterwards. */
  | { readonly type: 'finalize'; readonly level: number }
  | { readonly type: 'confChange'; readonly confState: ConfState }
  /** Nothing changed. The store's revisions at the time. */
  | {
      readonly type: 'refused'
      readonly reason: ApplyRefusal
      readonly revision: number
      readonly compactRevision: number
    }

export interface ApplyResult {
  /** Who waits for it, if still there. */
  readonly origin: string
  readonly sequence: number
  readonly outcome: ApplyOutcome
}

export interface StateMachineOptions {
  readonly members: readonly MemberRecord[]
  /** Invariant: names exactly the members that have a record. */
  readonly confState: ConfState
  /** Of a restored state; a new one is empty and at index 0. */
  readonly restored?: RestoredPosition
  /** The highest feature level this program understands; tests bring their own. */
  readonly knownLevel?: number
}

interface RestoredPosition {
  readonly store: Store
  readonly index: number
  readonly term: number
  readonly membershipEpoch: number
  readonly removed: readonly MemberId[]
  readonly level: number
}

/** What one record of the store beside key and value counts against the quota. */
const KEY_OVERHEAD_BYTES = 256
/** What the store can hold at all, of a key and of a value. */
const KEY_BYTES_MAX = 2 ** 24 - 1
const VALUE_BYTES_MAX = 2 ** 26

export class StateMachine {
  readonly #store: Store
  readonly #members = new Map<MemberId, MemberRecord>()
  readonly #removed: Set<MemberId>
  #confState: ConfState
  #membershipEpoch: number
  #appliedIndex: number
  #appliedTerm: number
  readonly #knownLevel: number
  /** Invariant: never falls, and never was above what a member of the time understood. */
  #level: number

  constructor(options: StateMachineOptions) {
    const { members, confState, restored, knownLevel = FEATURE_LEVEL } = options
    this.#knownLevel = knownLevel
    this.#level = restored?.level ?? 0
    this.#store = restored?.store ?? new Store()
    this.#appliedIndex = restored?.index ?? 0
    this.#appliedTerm = restored?.term ?? 0
    this.#membershipEpoch = restored?.membershipEpoch ?? 0
    this.#removed = new Set(restored?.removed)
    this.#confState = confState
    for (const member of members) this.#members.set(member.id, member)
    this.#keepMembersOf(confState)
  }

  get appliedIndex(): number {
    return this.#appliedIndex
  }

  /** Term of the entry at `appliedIndex`; 0 before the first. */
  get appliedTerm(): number {
    return this.#appliedTerm
  }

  get confState(): ConfState {
    return this.#confState
  }

  /** Index of the newest membership change; 0: as the cluster was made. */
  get membershipEpoch(): number {
    return this.#membershipEpoch
  }

  /** Members that once belonged to the configuration and do not any more. */
  get removed(): ReadonlySet<MemberId> {
    return this.#removed
  }

  /** A record for each member of the configuration; blank but for its id where nobody told more. */
  get members(): ReadonlyMap<MemberId, MemberRecord> {
    return this.#members
  }

  /** What counts against the quota. */
  get quotaUsedBytes(): number {
    const { liveBytes, keyCount } = this.#store
    return liveBytes + keyCount * KEY_OVERHEAD_BYTES
  }

  /** The feature level of the cluster, as it was raised last: what its requests and files may need. */
  get level(): number {
    return this.#level
  }

  /** The highest feature level this program understands. */
  get knownLevel(): number {
    return this.#knownLevel
  }

  /** The highest feature level that every member understands, as far as each has told. */
  get commonLevel(): number {
    return lowestLevel(this.#members)
  }

  /** To read; only `apply…` changes it. */
  get store(): Omit<Store, 'put' | 'delete' | 'txn' | 'begin' | 'compact' | 'raiseRevision'> {
    return this.#store
  }

  /**
   * Applies the next entry; undefined for one without data, a new leader's first. Throws PROTOCOL_MISMATCH for a request
   * that the others may have applied and this version does not know: this member must not go on (it was downgraded).
   */
  applyNormal(index: number, term: number, data: Uint8Array): ApplyResult | undefined {
    this.#advance(index, term)
    if (data.length === 0) return undefined
    let decoded: DecodedRequest
    try {
      decoded = decodeRequest(data)
    } catch (error) {
      // The bytes are the same on all members: all skip them. Nobody can be told, as nobody is known to have asked.
      if (!isMalformed(error)) throw error
      this.#checkKnown(this.#level)
      return undefined
    }
    const { origin, sequence, level, request } = decoded
    this.#checkKnown(level)
    if (level > this.#level || request === undefined) {
      return { origin, sequence, outcome: this.#refused('unsupported') }
    }
    const refusal = this.#refuse(request, decoded.quotaBytes)
    const outcome = refusal === undefined ? this.#execute(request) : this.#refused(refusal)
    return { origin, sequence, outcome }
  }

  /** Applies the next entry, a membership change whose effect the driver knows. Undefined if nobody waits for it. */
  applyConfChange(
    index: number,
    term: number,
    context: Uint8Array,
    confState: ConfState,
  ): ApplyResult | undefined {
    this.#advance(index, term)
    const decoded = context.length === 0 ? undefined : decodeContext(context)
    for (const member of decoded?.members ?? []) {
      if (!this.#members.has(member.id)) this.#members.set(member.id, member)
    }
    for (const { id, peerUrls } of decoded?.moved ?? []) {
      const known = this.#members.get(id)
      if (known !== undefined) this.#members.set(id, { ...known, peerUrls })
    }
    this.#confState = confState
    this.#membershipEpoch = index
    this.#keepMembersOf(confState)
    if (decoded === undefined) return undefined
    const { origin, sequence } = decoded
    return { origin, sequence, outcome: { type: 'confChange', confState } }
  }

  /** A bounded part of the physical work that compaction leaves behind. Returns whether more is left. */
  maintain(maxRecords: number): boolean {
    return this.#store.compactStep(maxRecords)
  }

  /** In [0, 2^32), equal on members that applied the same log up to `appliedIndex`. Reads the whole state. */
  hash(): number {
    const result = this.#store.hash(0)
    invariant(result.ok, 'the latest revision cannot be hashed')
    return hashOfHeader(this.#header(), result.hash)
  }

  /** Pins the state as it is now; to be released when its chunks have been read. */
  capture(): StateSnapshot {
    return new StateSnapshot(this.#header(), this.#store.capture())
  }

  /**
   * The state with which a new cluster of these members begins: the same key space at the same position, its membership as
   * made, nobody removed. Takes the key space with it: nothing else may be asked of this one afterwards. Throws
   * INVALID_ARGUMENT if the revision cannot be raised by so much.
   */
  refound(options: {
    readonly members: readonly MemberRecord[]
    readonly confState: ConfState
    /** See Store.raiseRevision. */
    readonly raiseRevisionBy: number
    /** Whether only the present can be read afterwards: a watch from an earlier revision is told so. */
    readonly compacts: boolean
  }): StateMachine {
    const { members, confState, raiseRevisionBy, compacts } = options
    const store = this.#store
    store.raiseRevision(raiseRevisionBy)
    if (compacts && store.compactRevision < store.revision) {
      const compacted = store.compact(store.revision)
      invariant(compacted.ok, 'the latest revision cannot be compacted')
    }
    const position = { index: this.#appliedIndex, term: this.#appliedTerm }
    const level = this.#level
    const restored = { ...position, store, membershipEpoch: 0, removed: [], level }
    return new StateMachine({ members, confState, restored, knownLevel: this.#knownLevel })
  }

  #header(): StateHeader {
    const meta = { index: this.#appliedIndex, term: this.#appliedTerm, confState: this.#confState }
    const members = [...this.#members.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1))
    const removed = [...this.#removed].toSorted()
    return { meta, members, membershipEpoch: this.#membershipEpoch, removed, level: this.#level }
  }

  #advance(index: number, term: number): void {
    invariant(index === this.#appliedIndex + 1, 'entry is not the next', {
      index,
      applied: this.#appliedIndex,
    })
    invariant(term >= this.#appliedTerm, 'term fell', { term, applied: this.#appliedTerm })
    this.#appliedIndex = index
    this.#appliedTerm = term
  }

  /** Why `request` is refused before anything is looked up in the store, if it is. */
  #refuse(request: RequestBody, quotaBytes: number): ApplyRefusal | undefined {
    if (request.type !== 'put' && request.type !== 'txn') return undefined
    const cost = requestCost(request)
    if (cost > 0 && this.quotaUsedBytes + cost >= quotaBytes) return 'noSpace'
    if (request.type === 'put') return isTooLarge(request) ? 'tooLarge' : undefined
    if (hasTooLarge(request)) return 'tooLarge'
    // The number of operations is bounded by the front end and by the size of a request.
    return validateTxn(request, { opsMax: Number.MAX_SAFE_INTEGER })
  }

  #execute(request: RequestBody): ApplyOutcome {
    const store = this.#store
    switch (request.type) {
      case 'put': {
        const put = store.put(request)
        return put.ok ? { type: 'put', put } : this.#refusedBy(put)
      }
      case 'deleteRange': {
        const deleted = store.delete(request)
        return deleted.ok ? { type: 'deleteRange', delete: deleted } : this.#refusedBy(deleted)
      }
      case 'txn': {
        const txn = store.txn(request)
        return txn.ok ? { type: 'txn', txn } : this.#refusedBy(txn)
      }
      case 'compaction': {
        const compacted = store.compact(request.revision)
        const { revision } = store
        return compacted.ok ? { type: 'compaction', revision } : this.#refusedBy(compacted)
      }
      case 'memberAttributes':
        return this.#setAttributes(request)
      case 'finalize':
        return this.#finalize(request)
      default:
        return unreachable(request)
    }
  }

  #setAttributes(request: MemberRecord): ApplyOutcome {
    const { id, name, clientUrls, apiUrls, version, level } = request
    const known = this.#members.get(id)
    if (known === undefined) return this.#refused('memberNotFound')
    const peerUrls = request.peerUrls.length === 0 ? known.peerUrls : request.peerUrls
    this.#members.set(id, { id, name, peerUrls, clientUrls, apiUrls, version, level })
    return { type: 'memberAttributes' }
  }

  /** What has been raised stays so: a caller whose answer was lost repeats the request in whatever membership. */
  #finalize({ level, epoch }: FinalizeRequest): ApplyOutcome {
    if (level > this.#level) {
      if (epoch !== undefined && epoch !== this.#membershipEpoch)
        return this.#refused('epochDiffers')
      if (level > this.commonLevel) return this.#refused('levelTooHigh')
      this.#mustKnow(level)
      this.#level = level
    }
    return { type: 'finalize', level: this.#level }
  }

  /** Stops this member if the others apply requests of `level` and this version does not know it. */
  #checkKnown(level: number): void {
    if (level <= this.#level) this.#mustKnow(level)
  }

  #mustKnow(level: number): void {
    if (level <= this.#knownLevel) return
    throw new RaftbaseError('PROTOCOL_MISMATCH', INVALID_DOWNGRADE, {
      details: { index: this.#appliedIndex, level, known: this.#knownLevel },
    })
  }

  #refused(reason: ApplyRefusal): ApplyOutcome {
    const { revision, compactRevision } = this.#store
    return { type: 'refused', reason, revision, compactRevision }
  }

  #refusedBy({ reason, revision, compactRevision }: Refusal): ApplyOutcome {
    return { type: 'refused', reason, revision, compactRevision }
  }

  /** Drops the records of members that are gone and adds blank ones for members nobody described. */
  #keepMembersOf(confState: ConfState): void {
    const { voters, votersOutgoing, learners, learnersNext } = confState
    const ids = new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext])
    for (const id of this.#members.keys()) {
      if (ids.has(id)) continue
      this.#members.delete(id)
      this.#removed.add(id)
    }
    for (const id of ids) {
      this.#removed.delete(id)
      if (!this.#members.has(id)) this.#members.set(id, blankRecord(id))
    }
  }
}

/** Builds a state machine from the stream of a snapshot. */
export class StateMachineRestorer {
  readonly #reader = new StateReader()
  readonly #knownLevel: number

  constructor(knownLevel = FEATURE_LEVEL) {
    this.#knownLevel = knownLevel
  }

  /** Takes the next bytes of the stream, cut anywhere; keeps no reference. Throws SNAPSHOT_CORRUPT. */
  addChunk(bytes: Uint8Array): void {
    this.#reader.addChunk(bytes)
  }

  /** Once all bytes have been added. Throws SNAPSHOT_CORRUPT if they are not a whole stream. */
  finish(): StateMachine {
    const { meta, members, ...rest } = this.#reader.finish()
    const { index, term, confState } = meta
    const restored = { ...rest, index, term }
    return new StateMachine({ members, confState, restored, knownLevel: this.#knownLevel })
  }
}

function decodeContext(context: Uint8Array): ConfChangeContext | undefined {
  try {
    return decodeConfChangeContext(context)
  } catch (error) {
    // As for a request: the change itself is in force, its members stay without a description on all members alike.
    if (isMalformed(error)) return undefined
    throw error
  }
}

function blankRecord(id: MemberId): MemberRecord {
  return { id, name: '', peerUrls: [], clientUrls: [], apiUrls: [], version: '', level: 0 }
}

function lowestLevel(members: ReadonlyMap<MemberId, MemberRecord>): number {
  let lowest = Number.MAX_SAFE_INTEGER
  for (const { level } of members.values()) lowest = Math.min(lowest, level)
  return lowest
}

function isTooLarge(put: PutRequest): boolean {
  return put.key.length > KEY_BYTES_MAX || put.value.length > VALUE_BYTES_MAX
}

function hasTooLarge(txn: TxnRequest): boolean {
  return hasTooLargeIn(txn.success) || hasTooLargeIn(txn.failure)
}

function hasTooLargeIn(ops: TxnRequest['success']): boolean {
  return ops.some((op) => {
    if (op.type === 'txn') return hasTooLarge(op.txn)
    return op.type === 'put' && isTooLarge(op.put)
  })
}
