// Deterministic apply (promise 9, F58): whatever the log contains, members that apply it hold the same state and see the
// same results, and so does one that comes in by snapshot in the middle, or compacts at its own pace.

import { expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import {
  type ApplyResult,
  type MemberRecord,
  StateMachine,
  StateMachineRestorer,
} from '../../../member/src/apply/state-machine.ts'
import { type RequestBody, encodeRequest } from '../../../member/src/apply/request.ts'
import { Records } from '../../../member/src/mvcc/records.ts'
import { MEMBER_IDS, ORIGIN, randomEntryData } from './random-requests.ts'

const ENTRIES = 1500
const CHECK_EVERY = 100

const members = MEMBER_IDS.map((id): MemberRecord => {
  return { id, name: id, peerUrls: [], clientUrls: [], apiUrls: [], version: '', level: 0 }
})
const confState = {
  voters: MEMBER_IDS,
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

/** Results as plain data: lists of records are views into the store, so they are read at once. */
function plain(value: unknown): unknown {
  if (value instanceof Records) {
    return Array.from({ length: value.length }, (_, row) => plain(value.at(row)))
  }
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]))
}

function copyOf(machine: StateMachine, prng: SeededPrng): StateMachine {
  const capture = machine.capture()
  const restorer = new StateMachineRestorer()
  for (const chunk of capture.chunks()) {
    // Cut anywhere.
    const middle = prng.next(chunk.length + 1)
    restorer.addChunk(chunk.subarray(0, middle))
    restorer.addChunk(chunk.subarray(middle))
  }
  capture.release()
  return restorer.finish()
}

test.each([1, 2, 3, 4, 5, 6])(
  'two members and one restored from snapshots agree, seed %d',
  (seed) => {
    const prng = new SeededPrng(seed)
    const first = new StateMachine({ members, confState })
    const second = new StateMachine({ members, confState })
    let third = new StateMachine({ members, confState })
    const seen = new Set<string>()
    for (let index = 1; index <= ENTRIES; index++) {
      const data = randomEntryData(prng, first.store.revision, index)
      const apply = (machine: StateMachine): unknown => plain(machine.applyNormal(index, 1, data))
      const result = apply(first) as ApplyResult | undefined
      seen.add(kindOf(result))
      expect(apply(second)).toEqual(result)
      expect(apply(third)).toEqual(result)
      // Only the second compacts physically, a little at a time.
      if (prng.next(3) === 0) second.maintain(1 + prng.next(50))
      if (index % CHECK_EVERY !== 0) continue
      expect(second.hash()).toBe(first.hash())
      third = copyOf(prng.next(2) === 0 ? first : third, prng)
      expect(third.hash()).toBe(first.hash())
      expect([...third.members.values()].toSorted(byId)).toEqual(
        [...first.members.values()].toSorted(byId),
      )
      expect({ ...third.confState }).toEqual({ ...first.confState })
      expect([third.appliedIndex, third.appliedTerm]).toEqual([index, 1])
    }
    // The run has met every kind of result it is about.
    for (const kind of KINDS) expect(seen).toContain(kind)
  },
)

const KINDS = [
  'nothing',
  'put',
  'deleteRange',
  'txn',
  'compaction',
  'memberAttributes',
  'refused:keyNotProvided',
  'refused:keyNotFound',
  'refused:valueProvided',
  'refused:duplicateKey',
  'refused:compacted',
  'refused:future',
  'refused:invalidSortOption',
  'refused:memberNotFound',
  'refused:noSpace',
]

function kindOf(result: ApplyResult | undefined): string {
  if (result === undefined) return 'nothing'
  const { outcome } = result
  return outcome.type === 'refused' ? `refused:${outcome.reason}` : outcome.type
}

function byId(a: MemberRecord, b: MemberRecord): number {
  return a.id < b.id ? -1 : 1
}

function encoded(request: RequestBody): Uint8Array {
  return encodeRequest({ origin: ORIGIN, sequence: 51, request })
}

test('states that differ in a value, an attribute or the position alone have different hashes', () => {
  const key = Buffer.from('k1')
  const last = [
    undefined,
    new Uint8Array(0),
    encoded({ type: 'put', key, value: Buffer.from('one') }),
    encoded({ type: 'put', key, value: Buffer.from('two') }),
    encoded({ type: 'memberAttributes', ...members[0]!, version: '1' }),
    encoded({ type: 'memberAttributes', ...members[1]!, version: '1' }),
  ]
  const hashes = last.map((data) => {
    const prng = new SeededPrng(9)
    const machine = new StateMachine({ members, confState })
    for (let index = 1; index <= 50; index++) {
      machine.applyNormal(index, 1, randomEntryData(prng, machine.store.revision, index))
    }
    if (data !== undefined) machine.applyNormal(51, 1, data)
    return machine.hash()
  })
  expect(new Set(hashes).size).toBe(last.length)
})
