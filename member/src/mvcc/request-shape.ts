// What is wrong with a request whatever the store holds: the checks of stand-alone requests, and of whole transactions
// before they are proposed (TXN-3 to TXN-9). Pure functions of the request.

import { unreachable } from '../../../lib/assert.ts'
import { asBuffer, compareBytes } from '../../../lib/bytes.ts'
import type { RefusalReason } from './refusal.ts'
import {
  type DeleteRequest,
  type Interval,
  intervalKind,
  type PutRequest,
  type RangeQuery,
  type TxnOp,
  type TxnRequest,
} from './requests.ts'

export function checkPut(request: PutRequest): RefusalReason | undefined {
  if (request.key.length === 0) return 'keyNotProvided'
  if (request.ignoreValue === true && request.value.length > 0) return 'valueProvided'
  const hasLease = request.lease !== undefined && request.lease !== ''
  return request.ignoreLease === true && hasLease ? 'leaseProvided' : undefined
}

export function checkDelete(request: DeleteRequest): RefusalReason | undefined {
  return request.key.length === 0 ? 'keyNotProvided' : undefined
}

export function checkRange(query: RangeQuery): RefusalReason | undefined {
  if (query.key.length === 0) return 'keyNotProvided'
  const isUnknown = query.sortOrder === 'unknown' || query.sortTarget === 'unknown'
  return isUnknown ? 'invalidSortOption' : undefined
}

/** The first reason to refuse this transaction whatever the store holds, or undefined. */
export function validateTxn(
  request: TxnRequest,
  limits: { readonly opsMax: number },
): RefusalReason | undefined {
  return checkShape(request, limits.opsMax) ?? checkBranches(request).reason
}

function checkShape(request: TxnRequest, opsMax: number): RefusalReason | undefined {
  const { compares, success, failure } = request
  const ops = Math.max(compares.length, success.length, failure.length)
  if (ops > opsMax) return 'tooManyOps'
  for (const compare of compares) if (compare.key.length === 0) return 'keyNotProvided'
  for (const op of [...success, ...failure]) {
    const reason = checkOp(op, opsMax - ops)
    if (reason !== undefined) return reason
  }
  return undefined
}

function checkOp(op: TxnOp, opsMax: number): RefusalReason | undefined {
  switch (op.type) {
    case 'range':
      return checkRange(op.range)
    case 'put':
      return checkPut(op.put)
    case 'delete':
      return checkDelete(op.delete)
    case 'txn':
      return checkShape(op.txn, opsMax)
    case 'none':
      return 'keyNotFound'
    default:
      return unreachable(op)
  }
}

interface Writes {
  reason: RefusalReason | undefined
  /** Keys put, in byte order without duplicates, and intervals deleted. */
  readonly puts: KeySet
  readonly deletes: Interval[]
}

/** Puts and deletes of both branches together: one branch may repeat what the other one does. */
function checkBranches(request: TxnRequest): Writes {
  const success = checkBranch(request.success)
  if (success.reason !== undefined) return success
  const failure = checkBranch(request.failure)
  if (failure.reason !== undefined) return failure
  success.puts.addAll(failure.puts)
  return { ...success, deletes: [...success.deletes, ...failure.deletes] }
}

function checkBranch(ops: readonly TxnOp[]): Writes {
  const writes: Writes = { reason: undefined, puts: new KeySet(), deletes: [] }
  for (const op of ops) if (op.type === 'delete') writes.deletes.push(op.delete)
  for (const op of ops) {
    if (op.type !== 'txn') continue
    const nested = checkBranches(op.txn)
    if (nested.reason !== undefined) return nested
    // Against deletes of this level and of earlier nested transactions, not of later ones (TXN-8).
    for (const key of nested.puts.keys()) {
      if (writes.puts.has(key) || isCovered(key, writes.deletes)) {
        return { ...writes, reason: 'duplicateKey' }
      }
    }
    writes.puts.addAll(nested.puts)
    writes.deletes.push(...nested.deletes)
  }
  for (const op of ops) {
    if (op.type !== 'put') continue
    if (writes.puts.has(op.put.key) || isCovered(op.put.key, writes.deletes)) {
      return { ...writes, reason: 'duplicateKey' }
    }
    writes.puts.add(op.put.key)
  }
  return writes
}

/** Whether a delete names this key. One "to the end" is not recognised, as in etcd (TXN-9). */
function isCovered(key: Uint8Array, deletes: readonly Interval[]): boolean {
  for (const interval of deletes) {
    const order = compareBytes(interval.key, key)
    const kind = intervalKind(interval)
    if (kind === 'point' && order === 0) return true
    if (kind === 'span' && order <= 0 && compareBytes(key, interval.rangeEnd!) < 0) return true
  }
  return false
}

/** A set of byte strings. Transactions are small, so their keys may be held as text. */
class KeySet {
  readonly #keys = new Map<string, Uint8Array>()

  has(key: Uint8Array): boolean {
    return this.#keys.has(textOf(key))
  }

  add(key: Uint8Array): void {
    this.#keys.set(textOf(key), key)
  }

  addAll(other: KeySet): void {
    for (const key of other.keys()) this.add(key)
  }

  keys(): Iterable<Uint8Array> {
    return this.#keys.values()
  }
}

function textOf(key: Uint8Array): string {
  return asBuffer(key).toString('latin1')
}
