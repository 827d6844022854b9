// The codecs of the log and of the peers against themselves: decode after encode is the identity, sizes are exact, and
// what the core takes for granted is checked. Against an independent implementation: cross-check.test.ts.

import { describe, expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import type { MsgApp } from '../../../member/src/raft/message.ts'
import type { MemberId } from '../../../member/src/raft/types.ts'
import {
  decodeConfChange,
  decodeHardState,
  decodeNodeMessage,
  decodePeerMessage,
  decodeSnapshotMeta,
  encodeConfChange,
  encodeHardState,
  encodeNodeMessage,
  encodePeerMessage,
  encodeSnapshotMeta,
  entrySize,
  readEntry,
  writeEntry,
} from '../../../member/src/wire/raft-codec.ts'
import { Reader } from '../../../member/src/wire/reader.ts'
import { Writer } from '../../../member/src/wire/writer.ts'
import {
  randomConfChange,
  randomEntry,
  randomHardState,
  randomNodeMessage,
  randomPeerMessage,
  randomSnapshotMeta,
} from './raft-random.ts'

const ROUNDS = 500
const from = '00000000000000a1' as MemberId
const to = 'ffffffffffffffff' as MemberId

function encodeEntry(entry: Parameters<typeof writeEntry>[1]): Uint8Array {
  const w = new Writer()
  writeEntry(w, entry)
  return w.finish()
}

function appBytes(changes: Partial<MsgApp>): Uint8Array {
  const entry = { term: 3, type: 'normal', data: new Uint8Array([1]), change: undefined } as const
  return encodePeerMessage({
    type: 'MsgApp',
    from,
    to,
    term: 3,
    prevIndex: 6,
    prevTerm: 2,
    commit: 5,
    entries: [
      { ...entry, index: 7 },
      { ...entry, index: 8 },
    ],
    ...changes,
  })
}

describe('what is encoded is decoded again', () => {
  test('entries, in exactly entrySize bytes', () => {
    const prng = new SeededPrng(1)
    for (let i = 0; i < ROUNDS; i++) {
      const entry = randomEntry(prng, 1 + prng.next(2 ** 32) * 2 ** prng.next(21), 1 + prng.next(9))
      const bytes = encodeEntry(entry)
      expect(bytes.length).toBe(entrySize(entry))
      expect(readEntry(new Reader(bytes))).toEqual(entry)
    }
  })

  test('hard states, conf changes and snapshot identities', () => {
    const prng = new SeededPrng(2)
    for (let i = 0; i < ROUNDS; i++) {
      const hardState = randomHardState(prng)
      expect(decodeHardState(encodeHardState(hardState))).toEqual(hardState)
      const change = randomConfChange(prng)
      expect(decodeConfChange(encodeConfChange(change))).toEqual(change)
      const meta = randomSnapshotMeta(prng)
      expect(decodeSnapshotMeta(encodeSnapshotMeta(meta))).toEqual(meta)
    }
  })

  test('every message between members, with the connection for its sender and receiver', () => {
    const prng = new SeededPrng(3)
    const seen = new Set<string>()
    for (let i = 0; i < ROUNDS; i++) {
      const message = randomPeerMessage(prng, from, to)
      seen.add(message.type)
      expect(decodePeerMessage(encodePeerMessage(message), { from, to })).toEqual(message)
      const nodeMessage = randomNodeMessage(prng)
      seen.add(nodeMessage.type)
      expect(decodeNodeMessage(encodeNodeMessage(nodeMessage))).toEqual(nodeMessage)
    }
    expect(seen.size).toBe(15)
  })
})

test('the bytes of an entry in a message are those of its log record: encoded once, used twice', () => {
  const prng = new SeededPrng(4)
  for (let i = 0; i < 50; i++) {
    const entry = randomEntry(prng, 7, 3)
    const record = Buffer.from(encodeEntry(entry))
    const message = Buffer.from(appBytes({ entries: [entry] }))
    expect(message.subarray(message.length - record.length).equals(record)).toBe(true)
  }
})

test('data of a decoded entry is a view into the input', () => {
  const bytes = appBytes({})
  const message = decodePeerMessage(bytes, { from, to }) as MsgApp
  expect(message.entries[1]!.data.buffer).toBe(bytes.buffer)
})

describe('what the core takes for granted is checked', () => {
  const entry = { type: 'normal', data: new Uint8Array(0), change: undefined } as const
  const cases: readonly [string, Uint8Array][] = [
    ['a gap between the entries', appBytes({ entries: [{ ...entry, index: 8, term: 3 }] })],
    [
      'terms that fall',
      appBytes({
        entries: [
          { ...entry, index: 7, term: 3 },
          { ...entry, index: 8, term: 2 },
        ],
      }),
    ],
    ['an entry older than the one before it', appBytes({ prevTerm: 4, term: 5 })],
    ['an entry of a later term than the message', appBytes({ term: 2 })],
    ['no body', new Uint8Array([0x08, 3])],
    ['a body this version does not know', new Uint8Array([0x08, 3, 0xfa, 0x01, 0])],
    ['two bodies', new Uint8Array([0x6a, 0, 0x72, 0])],
    ['a term behind the body', new Uint8Array([0x6a, 0, 0x08, 3])],
    ['a snapshot message without a snapshot', new Uint8Array([0x52, 0])],
    ['an integer above 2^53 - 1 (X20)', new Uint8Array([0x08, ...varint(2n ** 53n), 0x6a, 0])],
  ]
  test.each(cases)('%s is malformed', (_, bytes) => {
    expect(() => decodePeerMessage(bytes, { from, to })).toThrow(
      expect.objectContaining({ code: 'WIRE_MALFORMED' }),
    )
  })

  test('2^53 - 1 itself is a term like any other (X20)', () => {
    const bytes = new Uint8Array([0x08, ...varint(2n ** 53n - 1n), 0x6a, 0])
    expect(decodePeerMessage(bytes, { from, to }).term).toBe(Number.MAX_SAFE_INTEGER)
  })

  const entries: readonly [string, readonly number[]][] = [
    ['without an index', [0x10, 1]],
    ['of a type this version does not know', [0x08, 1, 0x10, 1, 0x18, 2]],
    ['of type confChange without a change', [0x08, 1, 0x10, 1, 0x18, 1]],
    ['of type normal with a change', [0x08, 1, 0x10, 1, 0x2a, 0]],
    ['with data and a change', [0x08, 1, 0x10, 1, 0x18, 1, 0x22, 1, 7, 0x2a, 0]],
  ]
  test.each(entries)('an entry %s is malformed', (_, bytes) => {
    expect(() => readEntry(new Reader(new Uint8Array(bytes)))).toThrow(
      expect.objectContaining({ code: 'WIRE_MALFORMED' }),
    )
  })
})

function varint(value: bigint): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return [...bytes, Number(rest)]
}
