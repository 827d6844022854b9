// Replicated requests and their bytes: decode after encode is the identity, and numbers at the edges keep their meaning.

import { describe, expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import {
  DEFAULT_QUOTA_BYTES,
  type RequestBody,
  RequestEncoder,
  decodeConfChangeContext,
  decodeRequest,
  encodeConfChangeContext,
  encodeRequest,
  requestCost,
} from '../../../member/src/apply/request.ts'
import { toRange, toSafe, toTxn } from '../../../member/src/apply/kv-convert.ts'
import { newCompare, newRangeRequest, newTxnRequest } from '../../../member/src/wire/kv.gen.ts'
import {
  decodeRequest as decodeWire,
  encodeRequest as encodeWire,
} from '../../../member/src/wire/request.gen.ts'
import { MEMBER_IDS, ORIGIN, randomBody } from './random-requests.ts'

test('requests of every kind are decoded again, whatever is left out of them', () => {
  const prng = new SeededPrng(5)
  for (let sequence = 1; sequence <= 2000; sequence++) {
    const request = randomBody(prng, 50)
    const bytes = encodeRequest({ origin: ORIGIN, sequence, request })
    const decoded = decodeRequest(bytes)
    expect(decoded).toMatchObject({
      origin: ORIGIN,
      sequence,
      level: 0,
      quotaBytes: DEFAULT_QUOTA_BYTES,
    })
    // What was absent is now present at its default: the bytes are the same.
    expect(encodeRequest({ origin: ORIGIN, sequence, request: decoded.request! })).toEqual(bytes)
    expect(requestCost(decoded.request!)).toBe(requestCost(request))
    // And they are what the generated codec makes of them.
    expect(encodeWire(decodeWire(bytes))).toEqual(bytes)
  }
})

test('requests that share memory are what each of them is alone', () => {
  const prng = new SeededPrng(6)
  const encoder = new RequestEncoder()
  const encoded: { shared: Uint8Array; alone: Uint8Array }[] = []
  for (let sequence = 1; sequence <= 3000; sequence++) {
    const value = new Uint8Array([0, 10, 300, 7000, 9000, 100_000][prng.next(6)]!).fill(sequence)
    const put = { type: 'put', key: Buffer.from(`key-${sequence}`), value } as const
    const request = prng.next(3) === 0 ? randomBody(prng, 50) : put
    const replicated = { origin: ORIGIN, sequence, request }
    encoded.push({ shared: encoder.encode(replicated), alone: encodeRequest(replicated) })
  }
  expect(encoded.every(({ shared, alone }) => Buffer.compare(shared, alone) === 0)).toBe(true)
})

test('puts of ordinary size have little memory beside their own bytes', () => {
  const encoder = new RequestEncoder()
  const memories = new Set<ArrayBufferLike>()
  let bytes = 0
  for (let sequence = 1; sequence <= 1000; sequence++) {
    const put = { type: 'put', key: Buffer.from('key'), value: new Uint8Array(256) } as const
    const encoded = encoder.encode({ origin: ORIGIN, sequence, request: put })
    memories.add(encoded.buffer)
    bytes += encoded.length
  }
  const allocated = [...memories].reduce((sum, memory) => sum + memory.byteLength, 0)
  expect(allocated).toBeLessThan(bytes + 100_000)
})

describe('the quota travels with the request', () => {
  const request = { type: 'deleteRange', key: Buffer.from('k') } as const
  test.each([
    [undefined, DEFAULT_QUOTA_BYTES],
    [DEFAULT_QUOTA_BYTES, DEFAULT_QUOTA_BYTES],
    [1, 1],
    [Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER],
  ])('%d is read as %d', (quotaBytes, expected) => {
    const quota = quotaBytes === undefined ? {} : { quotaBytes }
    const bytes = encodeRequest({ origin: ORIGIN, sequence: 1, ...quota, request })
    expect(decodeRequest(bytes).quotaBytes).toBe(expected)
  })
})

test('the context of a membership change is decoded again', () => {
  const members = MEMBER_IDS.map((id, i) => {
    const urls = [`http://n${i}:2380`]
    return {
      id,
      name: `n${i}`,
      peerUrls: urls,
      clientUrls: [],
      apiUrls: urls,
      version: '0.1.0',
      level: i,
    }
  })
  const moved = members.map(({ id, peerUrls }) => ({ id, peerUrls }))
  const context = { origin: ORIGIN, sequence: 9, members, moved }
  expect(decodeConfChangeContext(encodeConfChangeContext(context))).toEqual(context)
})

function leased(lease: string): RequestBody {
  return { type: 'put', key: Buffer.from('k'), value: Buffer.from('v'), lease }
}

describe('numbers beyond 2^53 keep their meaning (X20)', () => {
  test.each([
    [0n, 0],
    [2n ** 53n - 1n, Number.MAX_SAFE_INTEGER],
    [2n ** 53n, Number.MAX_SAFE_INTEGER],
    [2n ** 63n - 1n, Number.MAX_SAFE_INTEGER],
    [-(2n ** 53n), Number.MIN_SAFE_INTEGER],
    [-(2n ** 63n), Number.MIN_SAFE_INTEGER],
  ])('%d counts as %d', (value, expected) => {
    expect(toSafe(value)).toBe(expected)
    expect(toRange(newRangeRequest({ limit: value, revision: value }))).toMatchObject({
      limit: expected,
      revision: expected,
    })
  })

  test('a lease is 64 bits, negative ones included', () => {
    for (const lease of [
      '0000000000000001',
      '7fffffffffffffff',
      '8000000000000000',
      'ffffffffffffffff',
    ]) {
      const bytes = encodeRequest({ origin: ORIGIN, sequence: 1, request: leased(lease) })
      expect(decodeRequest(bytes).request).toMatchObject({ lease })
    }
  })
})

describe('guards', () => {
  test('an operand of another target counts as absent (CMP-5)', () => {
    const targetUnion = { type: 'modRevision', value: 7n } as const
    const guards = [0, 1, 2, 3, 4].map((target) => newCompare({ target, targetUnion }))
    const { compares } = toTxn(newTxnRequest({ compare: guards }))
    expect(
      compares.map((compare) => [compare.target, 'number' in compare, 'value' in compare]),
    ).toEqual([
      ['version', false, false],
      ['create', false, false],
      ['mod', true, false],
      ['value', false, false],
      ['lease', false, false],
    ])
  })

  test.each([
    ['result', newCompare({ result: 4 })],
    ['target', newCompare({ target: 5 })],
  ])('a %s nobody knows is malformed', (_, compare) => {
    expect(() => toTxn(newTxnRequest({ compare: [compare] }))).toThrow(
      expect.objectContaining({ code: 'WIRE_MALFORMED' }),
    )
  })

  test('a sort nobody knows is passed on, to be refused (RNG-9)', () => {
    expect(toRange(newRangeRequest({ sortOrder: 3, sortTarget: -1 }))).toMatchObject({
      sortOrder: 'unknown',
      sortTarget: 'unknown',
    })
  })
})
