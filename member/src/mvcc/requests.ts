// The requests of the key space, as data. Keys, values and leases keep their meaning from etcd's v3 API; enumerations are
// words, with 'unknown' for a number on the wire that this version does not know.

/** Keys by etcd's convention: no `rangeEnd` or an empty one is the key alone, a single 0x00 is "to the end". */
export interface Interval {
  readonly key: Uint8Array
  readonly rangeEnd?: Uint8Array | undefined
}

/** 'point' is one key, 'span' from key to rangeEnd, 'from' from key to the end. */
export function intervalKind(interval: Interval): 'point' | 'span' | 'from' {
  const end = interval.rangeEnd
  if (end === undefined || end.length === 0) return 'point'
  return end.length === 1 && end[0] === 0 ? 'from' : 'span'
}

export type SortOrder = 'none' | 'ascend' | 'descend' | 'unknown'
export type SortTarget = 'key' | 'version' | 'create' | 'mod' | 'value' | 'unknown'

export interface RangeQuery extends Interval {
  /** At most this many rows; 0, negative or absent: all. */
  readonly limit?: number
  /** Read the state right after this main revision; 0, negative or absent: the latest. */
  readonly revision?: number
  readonly sortOrder?: SortOrder
  readonly sortTarget?: SortTarget
  readonly keysOnly?: boolean
  readonly countOnly?: boolean
  /** Inclusive bounds; 0 or absent: none. */
  readonly minModRevision?: number
  readonly maxModRevision?: number
  readonly minCreateRevision?: number
  readonly maxCreateRevision?: number
}

export interface PutRequest {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** 16 lower-case hex digits; '' or absent: none. */
  readonly lease?: string
  /** Whether the answer carries the version replaced. */
  readonly prevKv?: boolean
  /** Keep the stored value; `value` must be empty and the key must exist (PUT-4). */
  readonly ignoreValue?: boolean
  /** Keep the stored lease; `lease` must be none and the key must exist (PUT-5). */
  readonly ignoreLease?: boolean
}

export interface DeleteRequest extends Interval {
  /** Whether the answer carries the versions removed. */
  readonly prevKv?: boolean
}

/** `stored <result> given`: 'greater' holds if the stored operand is greater. */
export type CompareResult = 'equal' | 'greater' | 'less' | 'notEqual'

/** A guard. An operand that is absent is 0, or empty bytes (CMP-5). */
export type Compare = Interval & { readonly result: CompareResult } & CompareOperand

export type CompareOperand =
  | { readonly target: 'version' | 'create' | 'mod'; readonly number?: number }
  | { readonly target: 'value'; readonly value?: Uint8Array }
  | { readonly target: 'lease'; readonly lease?: string }

export type TxnOp =
  | { readonly type: 'range'; readonly range: RangeQuery }
  | { readonly type: 'put'; readonly put: PutRequest }
  | { readonly type: 'delete'; readonly delete: DeleteRequest }
  | { readonly type: 'txn'; readonly txn: TxnRequest }
  /** No member of the oneof set: always refused (TXN-5). */
  | { readonly type: 'none' }

/** The success branch runs if all guards hold, otherwise the failure branch. */
export interface TxnRequest {
  readonly compares: readonly Compare[]
  readonly success: readonly TxnOp[]
  readonly failure: readonly TxnOp[]
}
