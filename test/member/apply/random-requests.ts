// Random replicated requests from a seed, valid and not: empty keys, unknown sorts, revisions of the past, the future and
// beyond 2^53, transactions that contradict themselves, members nobody knows, bytes that are no request at all.

import type { Prng } from '../../../lib/prng.ts'
import type { RequestBody } from '../../../member/src/apply/request.ts'
import { encodeRequest } from '../../../member/src/apply/request.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import type {
  Compare,
  DeleteRequest,
  PutRequest,
  RangeQuery,
  TxnOp,
  TxnRequest,
} from '../../../member/src/mvcc/store.ts'

export const MEMBER_IDS = ['1', 'a', 'f'].map((digit) => digit.padStart(16, '0') as MemberId)
export const ORIGIN = '8f3c6a5be2d10977'

function pick<T>(prng: Prng, values: readonly T[]): T {
  return values[prng.next(values.length)]!
}

function randomKey(prng: Prng): Uint8Array {
  if (prng.next(30) === 0) return new Uint8Array(0)
  return Buffer.from(`k${prng.next(12)}`)
}

function randomEnd(prng: Prng): { rangeEnd?: Uint8Array } {
  if (prng.next(2) === 0) return {}
  return {
    rangeEnd: pick(prng, [new Uint8Array(0), new Uint8Array(1), Buffer.from(`k${prng.next(12)}`)]),
  }
}

function randomRevision(prng: Prng, revision: number): number {
  const near = revision - prng.next(30)
  return pick(prng, [
    0,
    -1,
    near,
    near,
    near,
    revision,
    revision + 1,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
  ])
}

function randomPut(prng: Prng): PutRequest {
  const ignoreValue = prng.next(8) === 0
  const ignoreLease = prng.next(8) === 0
  return {
    key: randomKey(prng),
    value: ignoreValue && prng.next(4) > 0 ? new Uint8Array(0) : Buffer.from(`v${prng.next(99)}`),
    lease: ignoreLease ? '' : pick(prng, ['', '', '00000000000000ab', 'ffffffffffffffff']),
    prevKv: prng.next(2) === 0,
    ignoreValue,
    ignoreLease,
  }
}

function randomDelete(prng: Prng): DeleteRequest {
  return { key: randomKey(prng), ...randomEnd(prng), prevKv: prng.next(2) === 0 }
}

function randomRange(prng: Prng, revision: number): RangeQuery {
  return {
    key: randomKey(prng),
    ...randomEnd(prng),
    limit: prng.next(4),
    revision: randomRevision(prng, revision),
    sortOrder: pick(prng, ['none', 'ascend', 'descend', 'unknown']),
    sortTarget: pick(prng, ['key', 'version', 'create', 'mod', 'value', 'unknown']),
    keysOnly: prng.next(4) === 0,
    countOnly: prng.next(4) === 0,
    minModRevision: prng.next(3) === 0 ? randomRevision(prng, revision) : 0,
  }
}

function randomCompare(prng: Prng, revision: number): Compare {
  const guard = {
    key: randomKey(prng),
    ...randomEnd(prng),
    result: pick(prng, ['equal', 'greater', 'less', 'notEqual'] as const),
  }
  switch (prng.next(4)) {
    case 0:
      return { ...guard, target: 'value', value: Buffer.from(`v${prng.next(99)}`) }
    case 1:
      return { ...guard, target: 'lease', lease: pick(prng, ['', '00000000000000ab']) }
    case 2:
      // No operand: zero (CMP-5).
      return { ...guard, target: pick(prng, ['version', 'create', 'mod'] as const) }
    default:
      return { ...guard, target: 'mod', number: randomRevision(prng, revision) }
  }
}

function randomTxn(prng: Prng, revision: number, depth = 0): TxnRequest {
  const ops = () => Array.from({ length: prng.next(4) }, () => randomOp(prng, revision, depth))
  const compares = Array.from({ length: prng.next(3) }, () => randomCompare(prng, revision))
  return { compares, success: ops(), failure: ops() }
}

function randomOp(prng: Prng, revision: number, depth: number): TxnOp {
  switch (prng.next(depth < 2 ? 9 : 7)) {
    case 0:
    case 1:
    case 2:
      return { type: 'put', put: randomPut(prng) }
    case 3:
      return { type: 'delete', delete: randomDelete(prng) }
    case 4:
    case 5:
      return { type: 'range', range: randomRange(prng, revision) }
    case 6:
      return prng.next(6) === 0 ? { type: 'none' } : { type: 'put', put: randomPut(prng) }
    default:
      return { type: 'txn', txn: randomTxn(prng, revision, depth + 1) }
  }
}

/** `revision` is the store's, roughly: what the numbers are chosen around. */
export function randomBody(prng: Prng, revision: number): RequestBody {
  switch (prng.next(13)) {
    case 0:
    case 1:
    case 2:
      return { type: 'deleteRange', ...randomDelete(prng) }
    case 3:
    case 4:
    case 5:
    case 6:
      return { type: 'txn', ...randomTxn(prng, revision) }
    case 7:
      return { type: 'compaction', revision: randomRevision(prng, revision) }
    case 8: {
      const id = prng.next(4) === 0 ? ('00000000000000ee' as MemberId) : pick(prng, MEMBER_IDS)
      const urls = Array.from({ length: prng.next(3) }, (_, i) => `http://n:${i}`)
      const version = `0.1.${prng.next(9)}`
      return {
        type: 'memberAttributes',
        id,
        name: 'n',
        peerUrls: urls,
        clientUrls: urls,
        apiUrls: [],
        version,
        level: 0,
      }
    }
    case 9:
      return {
        type: 'finalize',
        level: prng.next(3),
        epoch: prng.next(2) === 0 ? undefined : prng.next(50),
      }
    default:
      return { type: 'put', ...randomPut(prng) }
  }
}

/** The data of one entry. */
export function randomEntryData(prng: Prng, revision: number, sequence: number): Uint8Array {
  const kind = prng.next(40)
  if (kind === 0) return new Uint8Array(0)
  const quotaBytes = prng.next(6) === 0 ? 1000 + prng.next(2000) : Number.POSITIVE_INFINITY
  const request = randomBody(prng, revision)
  const data = encodeRequest({ origin: ORIGIN, sequence, quotaBytes, request }).slice()
  if (kind === 1) return data.subarray(0, prng.next(data.length))
  if (kind === 2) data[prng.next(data.length)]! ^= 1 << prng.next(8)
  return data
}
