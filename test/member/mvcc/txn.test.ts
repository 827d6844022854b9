// Transactions and guards (contract etcd-v3 section 3.6), statement by statement.

import { describe, expect, test } from 'vitest'
import {
  type Compare,
  isReadOnlyTxn,
  Store,
  type TxnOp,
  type TxnRequest,
  validateTxn,
} from '../../../member/src/mvcc/store.ts'
import { accepted, bytes, FROM, NO_BYTES, put, reasonOf, rows, text } from './support.ts'

const put1 = (key: string, value = ''): TxnOp => ({
  type: 'put',
  put: { key: bytes(key), value: bytes(value) },
})
const delete1 = (key: string, rangeEnd?: Uint8Array): TxnOp => ({
  type: 'delete',
  delete: { key: bytes(key), rangeEnd },
})
const range1 = (key: string, revision = 0): TxnOp => ({
  type: 'range',
  range: { key: bytes(key), revision },
})
const nested = (txn: Partial<TxnRequest>): TxnOp => ({ type: 'txn', txn: txnOf(txn) })

function ops(count: number): TxnOp[] {
  return Array.from({ length: count }, (_, i) => put1(`k${i}`))
}

function on(key: string, end: string): { key: Uint8Array; rangeEnd: Uint8Array } {
  return { key: bytes(key), rangeEnd: bytes(end) }
}

function leaseExists(): boolean {
  return false
}

function txnOf(parts: Partial<TxnRequest>): TxnRequest {
  return { compares: [], success: [], failure: [], ...parts }
}

function verdict(success: readonly TxnOp[], opsMax = 128): string {
  return validateTxn(txnOf({ success }), { opsMax }) ?? 'accepted'
}

function succeeds(store: Store, ...compares: Compare[]): boolean {
  return accepted(store.txn(txnOf({ compares }))).succeeded
}

const never: Compare = { key: bytes('a'), target: 'version', result: 'equal', number: 99 }

describe('shape of a transaction', () => {
  test('the largest of guards and branches is limited, a nested one by what is left (TXN-3)', () => {
    expect(verdict(ops(3), 3)).toBe('accepted')
    expect(verdict(ops(4), 3)).toBe('tooManyOps')
    const compares = Array.from({ length: 4 }, () => never)
    expect(validateTxn(txnOf({ compares }), { opsMax: 3 })).toBe('tooManyOps')
    expect(validateTxn(txnOf({ failure: ops(4) }), { opsMax: 3 })).toBe('tooManyOps')
    expect(verdict([nested({ success: ops(2) })], 3)).toBe('accepted')
    expect(verdict([nested({ success: ops(3) })], 3)).toBe('tooManyOps')
  })

  test.each<[string, TxnOp]>([
    ['keyNotProvided', put1('')],
    ['keyNotProvided', delete1('')],
    ['keyNotProvided', range1('')],
    ['invalidSortOption', { type: 'range', range: { key: bytes('a'), sortOrder: 'unknown' } }],
    ['valueProvided', { type: 'put', put: { key: FROM, value: FROM, ignoreValue: true } }],
    [
      'leaseProvided',
      { type: 'put', put: { key: FROM, value: FROM, ignoreLease: true, lease: '1' } },
    ],
    ['keyNotFound', { type: 'none' }],
  ])('%s is found in both branches and in nested ones (TXN-4, TXN-5)', (reason, op) => {
    expect(verdict([op])).toBe(reason)
    expect(validateTxn(txnOf({ failure: [op] }), { opsMax: 128 })).toBe(reason)
    expect(verdict([nested({ failure: [op] })])).toBe(reason)
  })

  test('a guard needs a key (RGE-6)', () => {
    const compares = [{ ...never, key: NO_BYTES }]
    expect(validateTxn(txnOf({ compares }), { opsMax: 128 })).toBe('keyNotProvided')
  })

  const span = bytes('c')
  test.each<[string, string, TxnOp[]]>([
    ['duplicateKey', 'the same key put twice (TXN-6)', [put1('a'), put1('a')]],
    ['accepted', 'two keys', [put1('a'), put1('b')]],
    ['duplicateKey', 'a put of a key deleted (TXN-7)', [delete1('a'), put1('a')]],
    ['duplicateKey', 'a put before the delete (TXN-7)', [put1('b'), delete1('a', span)]],
    ['accepted', 'a put at the end of the interval deleted', [put1('c'), delete1('a', span)]],
    ['accepted', 'overlapping deletes (TXN-7)', [delete1('a', span), delete1('b')]],
    [
      'duplicateKey',
      'a key put outside and nested (TXN-8)',
      [put1('a'), nested({ failure: [put1('a')] })],
    ],
    [
      'accepted',
      'a key in both branches of one nested (TXN-8)',
      [nested({ success: [put1('a')], failure: [put1('a')] })],
    ],
    [
      'duplicateKey',
      'a key in two nested (TXN-8)',
      [nested({ success: [put1('a')] }), nested({ failure: [put1('a')] })],
    ],
    [
      'duplicateKey',
      'nested put, enclosing delete after it (TXN-8)',
      [nested({ success: [put1('a')] }), delete1('a')],
    ],
    [
      'duplicateKey',
      'put, delete nested before it (TXN-8)',
      [nested({ success: [delete1('a')] }), put1('a')],
    ],
    [
      'duplicateKey',
      'put, delete nested after it (TXN-8)',
      [put1('a'), nested({ success: [delete1('a')] })],
    ],
    [
      'duplicateKey',
      'nested put, delete in an earlier nested (TXN-8)',
      [nested({ success: [delete1('a')] }), nested({ success: [put1('a')] })],
    ],
    [
      'accepted',
      'nested put, delete in a later nested (TXN-8)',
      [nested({ success: [put1('a')] }), nested({ success: [delete1('a')] })],
    ],
    ['accepted', 'a delete to the end (TXN-9)', [delete1('a', FROM), put1('a')]],
  ])('%s: %s', (expected, _, ops) => {
    expect(verdict(ops)).toBe(expected)
  })

  test('the two branches may write the same keys', () => {
    const request = txnOf({ success: [put1('a')], failure: [put1('a'), delete1('b')] })
    expect(validateTxn(request, { opsMax: 128 })).toBeUndefined()
  })
})

describe('execution of a transaction', () => {
  test('all guards must hold, none hold, and each operation has its response (TXN-2)', () => {
    const store = new Store()
    put(store, 'a', '1')
    const holds: Compare = { key: bytes('a'), target: 'version', result: 'equal', number: 1 }
    expect(succeeds(store)).toBe(true)
    expect(succeeds(store, holds)).toBe(true)
    expect(succeeds(store, holds, never)).toBe(false)
    const success = [range1('x'), put1('b'), delete1('x'), nested({})]
    const result = accepted(store.txn(txnOf({ success, failure: [put1('c')] })))
    expect(result.responses.map((response) => response.type)).toEqual([
      'range',
      'put',
      'delete',
      'txn',
    ])
    expect(store.get(bytes('c'))).toBeUndefined()
    const failed = accepted(store.txn(txnOf({ compares: [never], success, failure: [put1('c')] })))
    expect(failed).toMatchObject({ succeeded: false, revision: 4 })
    expect(failed.responses).toHaveLength(1)
  })

  test('a transaction that changes nothing leaves the revision alone (REV-4)', () => {
    const store = new Store()
    put(store, 'a')
    expect(accepted(store.txn(txnOf({ success: [delete1('x'), range1('a')] }))).revision).toBe(2)
    expect(store.revision).toBe(2)
  })

  test('a key deleted to the end and put again is a new life in one revision (TXN-9, REV-7)', () => {
    const store = new Store()
    put(store, 'a', 'old')
    accepted(store.txn(txnOf({ success: [delete1('a', FROM), put1('a', 'new')] })))
    expect(store.get(bytes('a'))).toMatchObject({ createRevision: 3, version: 1 })
    const { records } = accepted(store.changes(3, 10))
    expect([records.isTombstone(0), records.isTombstone(1)]).toEqual([true, false])
  })

  test('a put that keeps the value of a key the same transaction deleted writes an empty one (TXN-9)', () => {
    const store = new Store()
    put(store, 'a', 'old')
    const keep: TxnOp = {
      type: 'put',
      put: { key: bytes('a'), value: NO_BYTES, ignoreValue: true },
    }
    accepted(store.txn(txnOf({ success: [delete1('a', FROM), keep] })))
    expect(store.get(bytes('a'))!.value).toHaveLength(0)
  })

  test('nested guards look at the state before the transaction (TXN-10)', () => {
    const store = new Store()
    const compares: Compare[] = [{ key: bytes('a'), target: 'version', result: 'equal', number: 0 }]
    const inner = nested({ compares, success: [put1('yes')], failure: [put1('no')] })
    accepted(store.txn(txnOf({ success: [put1('a'), inner] })))
    expect(store.get(bytes('yes'))).toMatchObject({ modRevision: 2 })
  })

  test('ranges see the operations before them, unless they name a revision (TXN-11, REV-10)', () => {
    const store = new Store()
    put(store, 'a', 'old')
    const success = [range1('a'), put1('a', 'new'), range1('a'), range1('a', 2)]
    const { responses } = accepted(store.txn(txnOf({ success })))
    const seen = responses.flatMap((response) =>
      response.type === 'range'
        ? [[response.range.revision, text(response.range.kvs.value(0))]]
        : [],
    )
    expect(seen).toEqual([
      [2, 'old'],
      [3, 'new'],
      [3, 'old'],
    ])
  })

  test.each<[string, TxnOp]>([
    ['future', range1('a', 4)],
    ['compacted', range1('a', 2)],
    [
      'leaseNotFound',
      { type: 'put', put: { key: bytes('b'), value: NO_BYTES, lease: '00000000000000aa' } },
    ],
    ['keyNotFound', { type: 'put', put: { key: bytes('b'), value: NO_BYTES, ignoreValue: true } }],
    ['keyNotFound', { type: 'put', put: { key: bytes('b'), value: NO_BYTES, ignoreLease: true } }],
  ])('%s in the branch taken rejects everything before any write (TXN-12)', (reason, op) => {
    const store = new Store()
    put(store, 'a')
    put(store, 'a')
    accepted(store.compact(3))
    const before = store.hash(0)
    for (const bad of [op, nested({ success: [op] })]) {
      const request = txnOf({ success: [put1('c'), bad] })
      expect(reasonOf(store.txn(request, { leaseExists }))).toBe(reason)
      expect(store.hash(0)).toEqual(before)
      const untaken = txnOf({ failure: [bad] })
      expect(reasonOf(store.txn(untaken, { leaseExists }))).toBe('accepted')
    }
  })

  test('only ranges at the top level make a transaction read-only (TXN-14)', () => {
    expect(isReadOnlyTxn(txnOf({ success: [range1('a')], failure: [range1('b')] }))).toBe(true)
    expect(isReadOnlyTxn(txnOf({}))).toBe(true)
    expect(isReadOnlyTxn(txnOf({ success: [nested({ success: [range1('a')] })] }))).toBe(false)
    expect(isReadOnlyTxn(txnOf({ failure: [delete1('a')] }))).toBe(false)
  })

  test('a transaction is one revision: no read between its changes (TXN-13)', () => {
    const store = new Store()
    const txn = store.begin()
    accepted(txn.put({ key: bytes('a'), value: NO_BYTES }))
    expect(() => store.range({ key: bytes('a') })).toThrow('store used while a transaction is open')
    expect(rows(accepted(txn.range({ key: bytes('a') })).kvs)).toHaveLength(1)
    expect(txn.commit()).toBe(2)
    expect(() => txn.commit()).toThrow('transaction used after commit')
  })
})

describe('guards', () => {
  /** a: created 2, modified 3, version 2, value "m", under a lease. */
  const store = new Store()
  put(store, 'a')
  accepted(store.put({ key: bytes('a'), value: bytes('m'), lease: '8000000000000005' }))
  const key = bytes('a')

  test.each<[number, Compare['result'][]]>([
    [1, ['greater', 'notEqual']],
    [2, ['equal']],
    [3, ['less', 'notEqual']],
  ])('a stored version of 2 against %i holds for %s only (CMP-1)', (number, holding) => {
    for (const result of ['equal', 'greater', 'less', 'notEqual'] as const) {
      const compare = { key, target: 'version', result, number } as const
      expect(succeeds(store, compare)).toBe(holding.includes(result))
    }
  })

  test('each target compares its own field (CMP-1)', () => {
    const result = 'equal'
    expect(succeeds(store, { key, target: 'create', result, number: 2 })).toBe(true)
    expect(succeeds(store, { key, target: 'mod', result, number: 3 })).toBe(true)
    expect(succeeds(store, { key, target: 'lease', result, lease: '8000000000000005' })).toBe(true)
    expect(succeeds(store, { key, target: 'value', result, value: bytes('m') })).toBe(true)
    expect(succeeds(store, { key, target: 'value', result: 'greater', value: bytes('lzz') })).toBe(
      true,
    )
    expect(succeeds(store, { key, target: 'value', result: 'less', value: bytes('mm') })).toBe(true)
  })

  test('leases compare as signed numbers (CMP-1)', () => {
    const given = { key, target: 'lease', lease: '0000000000000001' } as const
    expect(succeeds(store, { ...given, result: 'less' })).toBe(true)
    expect(succeeds(store, { ...given, lease: '8000000000000004', result: 'greater' })).toBe(true)
  })

  test('a missing key has zero numbers (CMP-2)', () => {
    const missing = { key: bytes('x'), result: 'equal' } as const
    for (const target of ['version', 'create', 'mod'] as const) {
      expect(succeeds(store, { ...missing, target, number: 0 })).toBe(true)
      expect(succeeds(store, { ...missing, target, result: 'less', number: 1 })).toBe(true)
    }
    expect(succeeds(store, { ...missing, target: 'lease', lease: '' })).toBe(true)
  })

  test('no comparison with the value of a missing key holds (CMP-3)', () => {
    for (const result of ['equal', 'greater', 'less', 'notEqual'] as const) {
      for (const value of [NO_BYTES, bytes('v')]) {
        expect(succeeds(store, { key: bytes('x'), target: 'value', result, value })).toBe(false)
      }
    }
  })

  test('a guard on an interval must hold for every key in it, an empty one is a missing key (CMP-4)', () => {
    const store = new Store()
    for (const key of ['a', 'b', 'b']) put(store, key)
    const version = { target: 'version', result: 'equal' } as const
    expect(succeeds(store, { ...on('a', 'b'), ...version, number: 1 })).toBe(true)
    expect(succeeds(store, { ...on('a', 'c'), ...version, number: 1 })).toBe(false)
    expect(succeeds(store, { ...on('c', 'd'), ...version, number: 0 })).toBe(true)
    expect(succeeds(store, { ...on('c', 'd'), target: 'value', result: 'notEqual' })).toBe(false)
  })

  test('an operand that is not given is zero or empty (CMP-5)', () => {
    expect(succeeds(store, { key, target: 'version', result: 'greater' })).toBe(true)
    expect(succeeds(store, { key, target: 'value', result: 'greater' })).toBe(true)
    expect(succeeds(store, { key: bytes('x'), target: 'mod', result: 'equal' })).toBe(true)
    expect(succeeds(store, { key: bytes('x'), target: 'lease', result: 'equal' })).toBe(true)
  })
})
