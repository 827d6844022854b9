// Transactions: guards, then one of two branches, nested to any depth the operation limit allows (TXN-*, CMP-*). In this
// order: every guard on the path taken is evaluated against the state before the transaction, then everything that may
// be refused in the branches taken is checked, then they are executed in one main revision.

import { invariant, InvariantViolation, unreachable } from '../../../lib/assert.ts'
import { compareBytes, EMPTY_BYTES } from '../../../lib/bytes.ts'
import type { Location } from './record-log.ts'
import { type RangeResult, placesOf, refuseRevision } from './range.ts'
import { leaseHalf } from './records.ts'
import { type Refusal, type RefusalReason, refuse } from './refusal.ts'
import { checkDelete, checkPut, checkRange } from './request-shape.ts'
import type { Compare, CompareResult, PutRequest, TxnOp, TxnRequest } from './requests.ts'
import type { Slab } from './slab.ts'
import type { State } from './state.ts'
import type { DeleteResult, PutResult, WriteTxn } from './write-txn.ts'

export type TxnOpResult =
  | { readonly type: 'range'; readonly range: RangeResult }
  | { readonly type: 'put'; readonly put: PutResult }
  | { readonly type: 'delete'; readonly delete: DeleteResult }
  | { readonly type: 'txn'; readonly txn: TxnResult }

export interface TxnResult {
  readonly ok: true
  /** The new revision if the executed branch changed something, else the one before. */
  readonly revision: number
  readonly succeeded: boolean
  /** One for each operation of the executed branch, in order. */
  readonly responses: readonly TxnOpResult[]
}

export interface TxnOptions {
  /** Whether this lease exists now; without it every lease does. */
  readonly leaseExists?: (lease: string) => boolean
}

/** Which branch of a transaction was chosen, and of those nested in it, in order. */
interface Path {
  readonly succeeded: boolean
  readonly ops: readonly TxnOp[]
  readonly nested: readonly Path[]
}

/**
 * Evaluates `request` on `state`; `begin` opens the transaction that executes it, and is not called when it is refused.
 * The request's shape has been validated before (validateTxn); a bad one that gets here is refused where it is met.
 */
export function evaluateTxn(
  state: State,
  request: TxnRequest,
  options: TxnOptions & { readonly begin: () => WriteTxn },
): TxnResult | Refusal {
  const path = choose(state, request)
  const refusal = precheck(state, path, options)
  if (refusal !== undefined) return refusal
  const txn = options.begin()
  const responses = execute(txn, path)
  return { ok: true, revision: txn.commit(), succeeded: path.succeeded, responses }
}

/** Whether it changes nothing and needs no log entry: only ranges at the top level (TXN-14). */
export function isReadOnlyTxn(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].every((op) => op.type === 'range')
}

function choose(state: State, request: TxnRequest): Path {
  const succeeded = request.compares.every((compare) => holds(state, compare))
  const ops = succeeded ? request.success : request.failure
  const nested: Path[] = []
  for (const op of ops) if (op.type === 'txn') nested.push(choose(state, op.txn))
  return { succeeded, ops, nested }
}

/** Why the branches taken cannot be executed, if so (TXN-12). */
function precheck(state: State, path: Path, options: TxnOptions): Refusal | undefined {
  let nestedCount = 0
  for (const op of path.ops) {
    const refusal =
      op.type === 'txn'
        ? precheck(state, path.nested[nestedCount++]!, options)
        : precheckOp(state, op, options)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

function precheckOp(
  state: State,
  op: Exclude<TxnOp, { type: 'txn' }>,
  options: TxnOptions,
): Refusal | undefined {
  switch (op.type) {
    case 'range':
      return refuseShape(state, checkRange(op.range)) ?? refuseRevision(op.range.revision, state)
    case 'put':
      return refuseShape(state, checkPut(op.put)) ?? refusePut(state, op.put, options)
    case 'delete':
      return refuseShape(state, checkDelete(op.delete))
    case 'none':
      return refuse('keyNotFound', state)
    default:
      return unreachable(op)
  }
}

function refuseShape(state: State, reason: RefusalReason | undefined): Refusal | undefined {
  return reason === undefined ? undefined : refuse(reason, state)
}

function refusePut(state: State, put: PutRequest, options: TxnOptions): Refusal | undefined {
  if (put.lease !== undefined && put.lease !== '' && options.leaseExists?.(put.lease) === false) {
    return refuse('leaseNotFound', state)
  }
  const needsKey = put.ignoreValue === true || put.ignoreLease === true
  if (!needsKey || state.locateLive(put.key, Infinity) >= 0) return undefined
  return refuse('keyNotFound', state)
}

function execute(txn: WriteTxn, path: Path): TxnOpResult[] {
  let nestedCount = 0
  return path.ops.map((op): TxnOpResult => {
    switch (op.type) {
      case 'range':
        return { type: 'range', range: mustSucceed(txn.range(op.range)) }
      case 'put':
        return { type: 'put', put: executePut(txn, op.put) }
      case 'delete':
        return { type: 'delete', delete: mustSucceed(txn.delete(op.delete)) }
      case 'txn': {
        const nested = path.nested[nestedCount++]!
        const responses = execute(txn, nested)
        const { revision } = txn
        return { type: 'txn', txn: { ok: true, revision, succeeded: nested.succeeded, responses } }
      }
      default:
        throw new InvariantViolation('operation passed the pre-check', { type: op.type })
    }
  })
}

/**
 * A put that keeps the stored value or lease, of a key that existed before the transaction but that an earlier operation
 * of it deleted ("to the end", TXN-9): there is nothing left to keep, so it writes an empty value and no lease.
 */
function executePut(txn: WriteTxn, put: PutRequest): PutResult {
  const result = txn.put(put)
  if (result.ok || result.reason !== 'keyNotFound') return mustSucceed(result)
  return mustSucceed(txn.put({ ...put, ignoreValue: false, ignoreLease: false }))
}

function mustSucceed<T extends { readonly ok: true }>(result: T | Refusal): T {
  invariant(result.ok, 'operation refused after the pre-check', result.ok ? {} : { ...result })
  return result
}

/** Whether the guard holds for every key of its interval, or for the missing key if there is none (CMP-4). */
function holds(state: State, compare: Compare): boolean {
  const { index, log } = state
  const { from, to } = placesOf(state, compare)
  let isEmpty = true
  for (let place = from; place < to; place = index.next(place)) {
    if (!index.isLiveAt(place)) continue
    isEmpty = false
    const location = log.mustLocate(index.sequenceAt(place))
    if (!satisfies(compare.result, orderOf(state, compare, location))) return false
  }
  if (!isEmpty) return true
  // CMP-2, CMP-3: a missing key has zero numbers, and no value that could be compared.
  return compare.target !== 'value' && satisfies(compare.result, orderOf(state, compare, -1))
}

/** Negative, zero or positive as the stored operand is less than, equal to or greater than the given one. */
function orderOf(state: State, compare: Compare, at: Location): number {
  const slab = at < 0 ? undefined : state.log.slabOf(at)
  const word = at < 0 ? 0 : state.log.wordOf(at)
  switch (compare.target) {
    case 'version':
      return (slab?.version(word) ?? 0) - (compare.number ?? 0)
    case 'create':
      return (slab?.createRevision(word) ?? 0) - (compare.number ?? 0)
    case 'mod':
      return (slab?.main(word) ?? 0) - (compare.number ?? 0)
    case 'lease':
      return compareLease(slab, word, compare.lease)
    case 'value':
      return compareBytes(slab?.value(word) ?? EMPTY_BYTES, compare.value ?? EMPTY_BYTES)
    default:
      return unreachable(compare)
  }
}

/** Lease identifiers are signed 64-bit numbers to the protocol. */
function compareLease(slab: Slab | undefined, word: number, given: string | undefined): number {
  const high = ((slab?.leaseHigh(word) ?? 0) | 0) - (leaseHalf(given, 'high') | 0)
  return high === 0 ? (slab?.leaseLow(word) ?? 0) - leaseHalf(given, 'low') : high
}

function satisfies(result: CompareResult, order: number): boolean {
  switch (result) {
    case 'equal':
      return order === 0
    case 'notEqual':
      return order !== 0
    case 'greater':
      return order > 0
    case 'less':
      return order < 0
    default:
      return unreachable(result)
  }
}
