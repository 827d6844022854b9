// Requests to the key space between their wire form (etcd's messages) and the store's. Numbers that clients choose freely
// are 64 bits on the wire: beyond 2^53 they count as 2^53 - 1, which no revision, version or limit reaches, so that every
// comparison comes out the same (X20). A guard this version does not know is malformed; an unknown sort is passed on and
// refused by the store.

import type {
  Compare,
  CompareResult,
  DeleteRequest,
  Interval,
  PutRequest,
  RangeQuery,
  SortOrder,
  SortTarget,
  TxnOp,
  TxnRequest,
} from '../mvcc/store.ts'
import * as wire from '../wire/kv.gen.ts'
import { malformed } from '../wire/reader.ts'

const SORT_ORDERS: readonly SortOrder[] = ['none', 'ascend', 'descend']
const SORT_TARGETS: readonly SortTarget[] = ['key', 'version', 'create', 'mod', 'value']
/** What an unknown sort is on the wire: any number that is not one of these. */
const UNKNOWN_SORT = 0x7fff_ffff
const COMPARE_RESULTS: readonly CompareResult[] = ['equal', 'greater', 'less', 'notEqual']
const COMPARE_TARGETS: readonly Compare['target'][] = ['version', 'create', 'mod', 'value', 'lease']
const OPERANDS = { version: 'version', create: 'createRevision', mod: 'modRevision' } as const

const SAFE_MAX = BigInt(Number.MAX_SAFE_INTEGER)

function toPut(m: wire.PutRequest): PutRequest {
  return {
    key: m.key,
    value: m.value,
    lease: toLease(m.lease),
    prevKv: m.prevKv,
    ignoreValue: m.ignoreValue,
    ignoreLease: m.ignoreLease,
  }
}

export function fromPut(put: PutRequest): wire.PutRequest {
  return {
    key: put.key,
    value: put.value,
    lease: fromLease(put.lease),
    prevKv: put.prevKv ?? false,
    ignoreValue: put.ignoreValue ?? false,
    ignoreLease: put.ignoreLease ?? false,
  }
}

export function toDelete(m: wire.DeleteRangeRequest): DeleteRequest {
  return { key: m.key, rangeEnd: m.rangeEnd, prevKv: m.prevKv }
}

export function fromDelete(request: DeleteRequest): wire.DeleteRangeRequest {
  const { key, rangeEnd, prevKv } = request
  return wire.newDeleteRangeRequest({ key, ...present(rangeEnd), prevKv: prevKv ?? false })
}

export function toRange(m: wire.RangeRequest): RangeQuery {
  return {
    key: m.key,
    rangeEnd: m.rangeEnd,
    limit: toSafe(m.limit),
    revision: toSafe(m.revision),
    sortOrder: SORT_ORDERS[m.sortOrder] ?? 'unknown',
    sortTarget: SORT_TARGETS[m.sortTarget] ?? 'unknown',
    keysOnly: m.keysOnly,
    countOnly: m.countOnly,
    minModRevision: toSafe(m.minModRevision),
    maxModRevision: toSafe(m.maxModRevision),
    minCreateRevision: toSafe(m.minCreateRevision),
    maxCreateRevision: toSafe(m.maxCreateRevision),
  }
}

export function fromRange(query: RangeQuery): wire.RangeRequest {
  return wire.newRangeRequest({
    key: query.key,
    ...present(query.rangeEnd),
    limit: BigInt(query.limit ?? 0),
    revision: BigInt(query.revision ?? 0),
    sortOrder: fromSort(SORT_ORDERS.indexOf(query.sortOrder ?? 'none')),
    sortTarget: fromSort(SORT_TARGETS.indexOf(query.sortTarget ?? 'key')),
    keysOnly: query.keysOnly ?? false,
    countOnly: query.countOnly ?? false,
    minModRevision: BigInt(query.minModRevision ?? 0),
    maxModRevision: BigInt(query.maxModRevision ?? 0),
    minCreateRevision: BigInt(query.minCreateRevision ?? 0),
    maxCreateRevision: BigInt(query.maxCreateRevision ?? 0),
  })
}

/** Throws WIRE_MALFORMED for a guard whose target or result this version does not know. */
export function toTxn(m: wire.TxnRequest): TxnRequest {
  return {
    compares: m.compare.map(toCompare),
    success: m.success.map(toOp),
    failure: m.failure.map(toOp),
  }
}

export function fromTxn(txn: TxnRequest): wire.TxnRequest {
  return {
    compare: txn.compares.map(fromCompare),
    success: txn.success.map(fromOp),
    failure: txn.failure.map(fromOp),
  }
}

function toOp({ request }: wire.RequestOp): TxnOp {
  switch (request?.type) {
    case 'requestRange':
      return { type: 'range', range: toRange(request.value) }
    case 'requestPut':
      return { type: 'put', put: toPut(request.value) }
    case 'requestDeleteRange':
      return { type: 'delete', delete: toDelete(request.value) }
    case 'requestTxn':
      return { type: 'txn', txn: toTxn(request.value) }
    default:
      return { type: 'none' }
  }
}

function fromOp(op: TxnOp): wire.RequestOp {
  switch (op.type) {
    case 'range':
      return { request: { type: 'requestRange', value: fromRange(op.range) } }
    case 'put':
      return { request: { type: 'requestPut', value: fromPut(op.put) } }
    case 'delete':
      return { request: { type: 'requestDeleteRange', value: fromDelete(op.delete) } }
    case 'txn':
      return { request: { type: 'requestTxn', value: fromTxn(op.txn) } }
    default:
      return { request: undefined }
  }
}

function toCompare(m: wire.Compare): Compare {
  const result =
    COMPARE_RESULTS[m.result] ?? malformed('compare result is unknown', { result: m.result })
  const target =
    COMPARE_TARGETS[m.target] ?? malformed('compare target is unknown', { target: m.target })
  const guard = { key: m.key, rangeEnd: m.rangeEnd, result }
  const operand = m.targetUnion
  // An operand of another target counts as absent (CMP-5).
  if (target === 'value') {
    return operand?.type === 'value'
      ? { ...guard, target, value: operand.value }
      : { ...guard, target }
  }
  if (target === 'lease') {
    return operand?.type === 'lease'
      ? { ...guard, target, lease: toLease(operand.value) }
      : { ...guard, target }
  }
  const isMatching = operand?.type === OPERANDS[target]
  return isMatching ? { ...guard, target, number: toSafe(operand.value) } : { ...guard, target }
}

function fromCompare(compare: Compare): wire.Compare {
  return wire.newCompare({
    result: COMPARE_RESULTS.indexOf(compare.result),
    target: COMPARE_TARGETS.indexOf(compare.target),
    key: compare.key,
    ...present(compare.rangeEnd),
    targetUnion: fromOperand(compare),
  })
}

function fromOperand(compare: Compare): wire.Compare['targetUnion'] {
  if (compare.target === 'value') {
    return compare.value === undefined ? undefined : { type: 'value', value: compare.value }
  }
  if (compare.target === 'lease') {
    return compare.lease === undefined
      ? undefined
      : { type: 'lease', value: fromLease(compare.lease) }
  }
  if (compare.number === undefined) return undefined
  return { type: OPERANDS[compare.target], value: BigInt(compare.number) }
}

function fromSort(place: number): number {
  return place < 0 ? UNKNOWN_SORT : place
}

function present(rangeEnd: Interval['rangeEnd']): { rangeEnd: Uint8Array } | undefined {
  return rangeEnd === undefined ? undefined : { rangeEnd }
}

/** The nearest safe integer. */
export function toSafe(value: bigint): number {
  if (value > SAFE_MAX) return Number.MAX_SAFE_INTEGER
  return value < -SAFE_MAX ? Number.MIN_SAFE_INTEGER : Number(value)
}

/** A lease's 64 bits as 16 hex digits; '' for none. */
export function toLease(lease: bigint): string {
  return lease === 0n ? '' : BigInt.asUintN(64, lease).toString(16).padStart(16, '0')
}

function fromLease(lease: string | undefined): bigint {
  return lease === undefined || lease === '' ? 0n : BigInt.asIntN(64, BigInt(`0x${lease}`))
}
