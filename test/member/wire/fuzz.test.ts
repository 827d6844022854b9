// Hostile bytes (X5, X6, X20): whatever is decoded, the answer is a value or WIRE_MALFORMED, soon, without reading beyond
// the input, allocating what a length merely claims, or recursing without end.

import { describe, expect, test } from 'vitest'
import { type Prng, SeededPrng } from '../../../lib/prng.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import {
  type RequestOp,
  type TxnRequest,
  decodePutRequest,
  decodeRangeResponse,
  decodeTxnRequest,
  encodeTxnRequest,
  newPutRequest,
  newRangeRequest,
  newTxnRequest,
} from '../../../member/src/wire/kv.gen.ts'
import * as kv from '../../../member/src/wire/kv.gen.ts'
import { decodeKeyValue, encodeKeyValue, newKeyValue } from '../../../member/src/wire/mvcc.gen.ts'
import * as raft from '../../../member/src/wire/raft-codec.ts'
import { NESTING_MAX, Reader, isMalformed } from '../../../member/src/wire/reader.ts'
import {
  decodeRequest,
  encodeRequest,
  newMemberRecord,
  newRequest,
} from '../../../member/src/wire/request.gen.ts'
import {
  decodeStateHeader,
  encodeStateHeader,
  newStateHeader,
} from '../../../member/src/wire/state.gen.ts'
import { varintSize, Writer } from '../../../member/src/wire/writer.ts'
import {
  randomBytes,
  randomConfChange,
  randomEntry,
  randomHardState,
  randomId,
  randomNodeMessage,
  randomPeerMessage,
  randomSnapshotMeta,
} from './raft-random.ts'

const ROUNDS = 3000
const from = '00000000000000a1' as MemberId

interface Target {
  readonly decode: (bytes: Uint8Array) => unknown
  readonly sample: (prng: Prng) => Uint8Array
}

function sampleTxn(prng: Prng, depth = 0): TxnRequest {
  const op = (): RequestOp => {
    if (depth < 3 && prng.next(3) === 0) {
      return { request: { type: 'requestTxn', value: sampleTxn(prng, depth + 1) } }
    }
    if (prng.next(2) === 0) {
      const put = newPutRequest({ key: randomBytes(prng, 20), value: randomBytes(prng, 200) })
      return { request: { type: 'requestPut', value: put } }
    }
    const range = newRangeRequest({ key: randomBytes(prng, 9), limit: BigInt(prng.next(99)) })
    return { request: { type: 'requestRange', value: range } }
  }
  return newTxnRequest({ success: [op(), op()], failure: [op()] })
}

const targets: Readonly<Record<string, Target>> = {
  entry: {
    decode: (bytes) => raft.readEntry(new Reader(bytes)),
    sample: (prng) => {
      const w = new Writer()
      raft.writeEntry(w, randomEntry(prng, 1 + prng.next(1000), 3))
      return w.finish()
    },
  },
  hardState: {
    decode: raft.decodeHardState,
    sample: (prng) => raft.encodeHardState(randomHardState(prng)),
  },
  confChange: {
    decode: raft.decodeConfChange,
    sample: (prng) => raft.encodeConfChange(randomConfChange(prng)),
  },
  snapshotMeta: {
    decode: raft.decodeSnapshotMeta,
    sample: (prng) => raft.encodeSnapshotMeta(randomSnapshotMeta(prng)),
  },
  peerMessage: {
    decode: (bytes) => raft.decodePeerMessage(bytes, { from, to: from }),
    sample: (prng) => raft.encodePeerMessage(randomPeerMessage(prng, from, from)),
  },
  nodeMessage: {
    decode: raft.decodeNodeMessage,
    sample: (prng) => raft.encodeNodeMessage(randomNodeMessage(prng)),
  },
  request: {
    decode: decodeRequest,
    sample: (prng) => {
      const op = { type: 'txn', value: sampleTxn(prng) } as const
      return encodeRequest(newRequest({ origin: randomId(prng), sequence: prng.next(2 ** 32), op }))
    },
  },
  stateHeader: {
    decode: decodeStateHeader,
    sample: (prng) => {
      const members = [newMemberRecord({ id: randomId(prng), name: 'n1', peerUrls: ['http://n1'] })]
      return encodeStateHeader(
        newStateHeader({ format: 1, meta: randomSnapshotMeta(prng), members }),
      )
    },
  },
  rangeResponse: {
    decode: decodeRangeResponse,
    sample: (prng) => {
      const kvs = [newKeyValue({ key: randomBytes(prng, 9), modRevision: prng.next(2 ** 32) })]
      return kv.encodeRangeResponse(kv.newRangeResponse({ kvs, count: 1 }))
    },
  },
}

/** Whether it was malformed; anything thrown but WIRE_MALFORMED is rethrown. */
function isRefused(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): boolean {
  try {
    decode(bytes)
    return false
  } catch (error) {
    if (!isMalformed(error)) throw error
    return true
  }
}

describe('random, cut and damaged bytes give a value or WIRE_MALFORMED (X6)', () => {
  test.each(Object.entries(targets))('%s', (name, { decode, sample }) => {
    const prng = new SeededPrng(name.length * 31)
    let refused = 0
    for (let i = 0; i < ROUNDS; i++) {
      const bytes = i % 3 === 0 ? randomBytes(prng, 80) : sample(prng).slice()
      if (i % 3 === 1) {
        refused += Number(isRefused(decode, bytes.subarray(0, prng.next(bytes.length + 1))))
        continue
      }
      for (let flips = 1 + prng.next(4); flips > 0 && bytes.length > 0; flips--) {
        bytes[prng.next(bytes.length)]! ^= 1 << prng.next(8)
      }
      refused += Number(isRefused(decode, bytes))
    }
    // The inputs are hostile enough to be refused often, and close enough to valid to pass often.
    expect(refused).toBeGreaterThan(ROUNDS / 20)
    expect(refused).toBeLessThan(ROUNDS * 0.95)
  })
})

describe('lengths are checked before anything is allocated (X5)', () => {
  const lengths = [1n, 2n ** 31n - 1n, 2n ** 32n - 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n]
  test.each(lengths)('a byte string, a text and a message that claim %d bytes', (length) => {
    for (const decode of [
      decodePutRequest,
      decodeRangeResponse,
      decodeStateHeader,
      decodeRequest,
    ]) {
      for (const tag of [0x0a, 0x12, 0x1a, 0x2a]) {
        const bytes = new Uint8Array([tag, ...varint(length)])
        expect(isRefused(decode, bytes)).toBe(true)
      }
    }
  })

  test('a nested message may not reach beyond the one around it', () => {
    // RangeResponse { kvs { key: 3 bytes announced, 1 inside } more: true }
    expect(isRefused(decodeRangeResponse, new Uint8Array([0x12, 3, 0x0a, 3, 1, 0x18, 1]))).toBe(
      true,
    )
  })
})

function nested(levels: number): Uint8Array {
  let txn = newTxnRequest()
  for (let i = 0; i < levels; i++) {
    txn = newTxnRequest({ success: [{ request: { type: 'requestTxn', value: txn } }] })
  }
  return encodeTxnRequest(txn)
}

describe('nesting is bounded (X6)', () => {
  test('as deep as the limit is read, one deeper is malformed', () => {
    // A transaction inside another is two messages deeper: the operation and the transaction.
    expect(isRefused(decodeTxnRequest, nested(NESTING_MAX / 2))).toBe(false)
    expect(isRefused(decodeTxnRequest, nested(NESTING_MAX / 2 + 1))).toBe(true)
  })

  test('a megabyte of group starts is malformed, not a stack overflow', () => {
    expect(isRefused(decodePutRequest, new Uint8Array(1 << 20).fill(0x7b))).toBe(true)
  })
})

describe('fields this version does not know are passed over', () => {
  test.each([
    ['an integer', [0x78, ...varint(2n ** 64n - 1n)]],
    ['a fixed64', [0x79, 1, 2, 3, 4, 5, 6, 7, 8]],
    ['a byte string', [0x7a, 3, 1, 2, 3]],
    ['a fixed32', [0x7d, 1, 2, 3, 4]],
    ['a group with a group inside', [0x7b, 0x08, 1, 0x83, 0x01, 0x84, 0x01, 0x7c]],
    ['a known number with another wire type', [0x08, 5]],
    ['a large field number', [...varint((2n ** 29n - 1n) << 3n), 1]],
  ])('%s', (_, unknown) => {
    const known = [0x0a, 1, 0x6b]
    expect(decodePutRequest(new Uint8Array([...unknown, ...known, ...unknown]))).toEqual(
      newPutRequest({ key: new Uint8Array([0x6b]) }),
    )
  })

  test.each([
    ['field number zero', [0x02, 0]],
    ['a wire type that does not exist', [0x7e]],
    ['a group end without a start', [0x7c]],
    ['a group that ends as another', [0x7b, 0x84, 0x01]],
    ['a group without an end', [0x7b, 0x08, 1]],
    ['an integer of eleven bytes', [0x18, ...Array<number>(10).fill(0x80), 0]],
    ['an integer of 65 bits', [0x18, ...Array<number>(9).fill(0xff), 2]],
    ['a tag of more than 32 bits', [...varint(2n ** 32n), 0]],
  ])('but %s is malformed', (_, bytes) => {
    expect(isRefused(decodePutRequest, new Uint8Array(bytes))).toBe(true)
  })

  test('text that is not UTF-8 is malformed', () => {
    // MemberRecord.name
    const bytes = new Uint8Array([0x4a, 4, 0x12, 2, 0xc3, 0x28])
    expect(isRefused(decodeRequest, bytes)).toBe(true)
  })
})

describe('64-bit integers as numbers are safe or refused (X20)', () => {
  const MAX = 2n ** 53n - 1n
  test.each([0n, 1n, -1n, MAX - 1n, MAX, -MAX, 2n ** 31n, -(2n ** 31n), 2n ** 32n, -(2n ** 32n)])(
    '%d is read and written',
    (value) => {
      const bytes = new Uint8Array([0x10, ...varint(BigInt.asUintN(64, value))])
      const decoded = decodeKeyValue(bytes)
      expect(decoded.createRevision).toBe(Number(value))
      expect(encodeKeyValue(decoded)).toEqual(value === 0n ? new Uint8Array(0) : bytes)
    },
  )

  test.each([MAX + 1n, MAX + 2n, -MAX - 1n, 2n ** 63n - 1n, -(2n ** 63n)])(
    '%d is malformed',
    (value) => {
      const bytes = new Uint8Array([0x10, ...varint(BigInt.asUintN(64, value))])
      expect(isRefused(decodeKeyValue, bytes)).toBe(true)
    },
  )

  test.each([2 ** 53, -(2 ** 53), 0.5, Number.NaN, Number.POSITIVE_INFINITY])(
    '%d is not written',
    (value) => {
      expect(() => encodeKeyValue(newKeyValue({ createRevision: value }))).toThrow(
        'not a safe integer',
      )
    },
  )

  test('as bigints all 64 bits pass', () => {
    for (const lease of [2n ** 63n - 1n, -(2n ** 63n), -1n]) {
      expect(decodeKeyValue(encodeKeyValue(newKeyValue({ lease }))).lease).toBe(lease)
    }
    expect(() => encodeKeyValue(newKeyValue({ lease: 2n ** 63n }))).toThrow('64-bit')
  })

  test('varintSize is what a writer writes, around every edge', () => {
    for (let bits = 0; bits <= 53; bits++) {
      for (const value of [2 ** bits - 1, 2 ** bits]) {
        if (!Number.isSafeInteger(value)) continue
        const w = new Writer()
        w.safeUint(value)
        expect(varintSize(value)).toBe(w.length)
      }
    }
  })
})

function varint(value: bigint): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return [...bytes, Number(rest)]
}
