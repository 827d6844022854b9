// The requests that change the replicated state, and their bytes in the log (member/proto/request.proto). Each carries who
// waits for it, the quota its proposer runs with and the feature level it needs, so that what becomes of it is a function
// of the log alone.

import { Buffer } from 'node:buffer'
import type { DeleteRequest, PutRequest, TxnRequest } from '../mvcc/store.ts'
import type { MemberId } from '../raft/types.ts'
import * as wire from '../wire/request.gen.ts'
import { Writer } from '../wire/writer.ts'
import { fromDelete, fromPut, fromTxn, toDelete, toLease, toSafe, toTxn } from './kv-convert.ts'

/**
 * The highest feature level of this version. A request that an older version would not understand, or would understand
 * differently, needs a higher level than that version's; it is applied only once the cluster's level was raised so far, which
 * happens by a request of its own (finalize) and never while the record of a member is below it. A file format that an older
 * version cannot read is written from such a level on, and not before.
 */
export const FEATURE_LEVEL = 0

/** How a program says that it is older than the feature level of its cluster: etcd's words for it. */
export const INVALID_DOWNGRADE =
  'invalid downgrade; server version is lower than determined cluster version'

/** The quota of a request that names none: 2 GiB. */
export const DEFAULT_QUOTA_BYTES = 2 * 1024 * 1024 * 1024

/** What the cluster knows about a member beside its part in quorums. */
export interface MemberRecord {
  readonly id: MemberId
  readonly name: string
  /** None in a request means: as they are. */
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
  readonly apiUrls: readonly string[]
  /** Of the program; empty until the member has told. */
  readonly version: string
  /** The highest feature level it understands. */
  readonly level: number
}

export interface CompactionRequest {
  readonly revision: number
}

export interface FinalizeRequest {
  readonly level: number
  /** Of the membership that is meant; undefined: whatever it is. */
  readonly epoch: number | undefined
}

export type RequestBody =
  | ({ readonly type: 'put' } & PutRequest)
  | ({ readonly type: 'deleteRange' } & DeleteRequest)
  | ({ readonly type: 'txn' } & TxnRequest)
  | ({ readonly type: 'compaction' } & CompactionRequest)
  | ({ readonly type: 'memberAttributes' } & MemberRecord)
  | ({ readonly type: 'finalize' } & FinalizeRequest)

export interface ReplicatedRequest {
  /** The process that waits for the result: 16 hex digits. */
  readonly origin: string
  readonly sequence: number
  /** Absent: 2 GiB. Infinity: no quota. */
  readonly quotaBytes?: number
  readonly request: RequestBody
}

/** What an entry's data says. */
export interface DecodedRequest {
  readonly origin: string
  readonly sequence: number
  readonly quotaBytes: number
  readonly level: number
  /** Undefined: none that this version knows. */
  readonly request: RequestBody | undefined
}

/** Where a member is reached from now on. */
export interface MovedMember {
  readonly id: MemberId
  readonly peerUrls: readonly string[]
}

/** The context of a membership change: who waits for it, the records of the members it adds, and who has moved. */
export interface ConfChangeContext {
  readonly origin: string
  readonly sequence: number
  readonly members: readonly MemberRecord[]
  readonly moved: readonly MovedMember[]
}

/** Room for everything of a put beside key and value. */
const PUT_OVERHEAD_BYTES = 64

/** Of the memory that requests share: a larger one has memory of its own. */
const SHARED_BYTES = 64 * 1024
const SHARED_REQUEST_BYTES_MAX = SHARED_BYTES / 8

export function encodeRequest(request: ReplicatedRequest): Uint8Array {
  const w = new Writer(capacityFor(request))
  writeRequest(w, request)
  return w.finish()
}

/**
 * Encodes requests one behind the other into memory they share: they live and go together as entries of the log, and memory
 * for each of them would cost more than many a request.
 */
export class RequestEncoder {
  #memory = Buffer.alloc(0)
  #used = 0

  /** The bytes are the caller's, and are not touched again. */
  encode(request: ReplicatedRequest): Uint8Array {
    const capacity = capacityFor(request)
    if (capacity === undefined || capacity > SHARED_REQUEST_BYTES_MAX) return encodeRequest(request)
    if (capacity > this.#memory.length - this.#used) {
      this.#memory = Buffer.allocUnsafeSlow(SHARED_BYTES)
      this.#used = 0
    }
    const w = new Writer(capacity, this.#memory, this.#used)
    writeRequest(w, request)
    this.#used += w.length
    return w.finish()
  }
}

/** Enough for all of a put; of others nobody knows before they are written. */
function capacityFor({ request }: ReplicatedRequest): number | undefined {
  if (request.type !== 'put') return undefined
  return PUT_OVERHEAD_BYTES + request.key.length + request.value.length
}

function writeRequest(w: Writer, request: ReplicatedRequest): void {
  const { origin, sequence, quotaBytes = DEFAULT_QUOTA_BYTES, request: body } = request
  wire.writeRequest(w, {
    origin,
    sequence,
    quotaBytes:
      quotaBytes === DEFAULT_QUOTA_BYTES ? 0 : Math.min(quotaBytes, Number.MAX_SAFE_INTEGER),
    level: 0,
    op: toWire(body),
  })
}

/** Throws WIRE_MALFORMED. Keys and values are views into `bytes`. */
export function decodeRequest(bytes: Uint8Array): DecodedRequest {
  const { origin, sequence, quotaBytes, level, op } = wire.decodeRequest(bytes)
  return {
    origin,
    sequence,
    quotaBytes: quotaBytes === 0 ? DEFAULT_QUOTA_BYTES : quotaBytes,
    level,
    request: op === undefined ? undefined : fromWire(op),
  }
}

export function encodeConfChangeContext(context: ConfChangeContext): Uint8Array {
  return wire.encodeConfChangeContext(context)
}

/** Throws WIRE_MALFORMED. */
export function decodeConfChangeContext(bytes: Uint8Array): ConfChangeContext {
  const { origin, sequence, members, moved } = wire.decodeConfChangeContext(bytes)
  return {
    origin,
    sequence,
    members: members.map(toMemberRecord),
    moved: moved.map(({ id, peerUrls }) => ({ id: id as MemberId, peerUrls })),
  }
}

/** What a put costs against the quota, in bytes; the record beside key and value counts as 256 (QTA-2). */
export function putCost(put: PutRequest): number {
  return 256 + put.key.length + put.value.length
}

/** What a request costs against the quota, in bytes: of a transaction the dearer branch. What frees space costs 0. */
export function requestCost(request: RequestBody): number {
  if (request.type === 'put') return putCost(request)
  return request.type === 'txn' ? txnCost(request) : 0
}

function txnCost(txn: TxnRequest): number {
  return Math.max(branchCost(txn.success), branchCost(txn.failure))
}

function branchCost(ops: TxnRequest['success']): number {
  let cost = 0
  for (const op of ops) {
    if (op.type === 'put') cost += putCost(op.put)
    else if (op.type === 'txn') cost += txnCost(op.txn)
  }
  return cost
}

/** Any 64 bits are an identifier. */
export function toMemberRecord(record: wire.MemberRecord): MemberRecord {
  return { ...record, id: record.id as MemberId }
}

function toWire(body: RequestBody): wire.Request['op'] {
  switch (body.type) {
    case 'put':
      return { type: 'put', value: fromPut(body) }
    case 'deleteRange':
      return { type: 'deleteRange', value: fromDelete(body) }
    case 'txn':
      return { type: 'txn', value: fromTxn(body) }
    case 'compaction':
      return {
        type: 'compaction',
        value: { revision: BigInt(body.revision), physical: false },
      }
    case 'finalize': {
      const { level, epoch } = body
      return {
        type: 'finalize',
        value: { level, hasEpoch: epoch !== undefined, epoch: epoch ?? 0 },
      }
    }
    default:
      return { type: 'memberAttributes', value: body }
  }
}

function fromWire(op: NonNullable<wire.Request['op']>): RequestBody {
  switch (op.type) {
    case 'put': {
      // Written out: spreading would cost more than all the rest of decoding a put.
      const { key, value, lease, prevKv, ignoreValue, ignoreLease } = op.value
      return { type: 'put', key, value, lease: toLease(lease), prevKv, ignoreValue, ignoreLease }
    }
    case 'deleteRange':
      return { type: 'deleteRange', ...toDelete(op.value) }
    case 'txn':
      return { type: 'txn', ...toTxn(op.value) }
    case 'compaction':
      return { type: 'compaction', revision: toSafe(op.value.revision) }
    case 'finalize': {
      const { level, hasEpoch, epoch } = op.value
      return { type: 'finalize', level, epoch: hasEpoch ? epoch : undefined }
    }
    default:
      return { type: 'memberAttributes', ...toMemberRecord(op.value) }
  }
}
