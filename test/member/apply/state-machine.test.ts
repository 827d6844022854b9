// What one entry does to the replicated state, and what it is answered: members, membership, quota, entries that this
// version does not understand, and damaged snapshots.

import { describe, expect, test } from 'vitest'
import {
  type RequestBody,
  encodeConfChangeContext,
  encodeRequest,
} from '../../../member/src/apply/request.ts'
import {
  type ApplyOutcome,
  type MemberRecord,
  StateMachine,
  StateMachineRestorer,
} from '../../../member/src/apply/state-machine.ts'
import type { ConfState, MemberId } from '../../../member/src/raft/types.ts'
import * as wire from '../../../member/src/wire/request.gen.ts'
import { newPutRequest } from '../../../member/src/wire/kv.gen.ts'

const ORIGIN = '8f3c6a5be2d10977'
const [A, B, C] = ['a', 'b', 'c'].map((digit) => digit.padStart(16, '0') as MemberId) as [
  MemberId,
  MemberId,
  MemberId,
]

function record(id: MemberId, changes: Partial<MemberRecord> = {}): MemberRecord {
  return {
    id,
    name: id,
    peerUrls: [],
    clientUrls: [],
    apiUrls: [],
    version: '',
    level: 0,
    ...changes,
  }
}

function conf(changes: Partial<ConfState>): ConfState {
  const empty = { voters: [], votersOutgoing: [], learners: [], learnersNext: [] }
  return { ...empty, autoLeave: false, ...changes }
}

/** A state machine of members A and B that counts the entries by itself. */
class Harness {
  readonly machine: StateMachine
  sequence = 0

  constructor(knownLevel = 0) {
    this.machine = new StateMachine({
      members: [record(A), record(B)],
      confState: conf({ voters: [A, B] }),
      knownLevel,
    })
  }

  tellLevels(level: number): void {
    for (const id of [A, B]) this.apply({ type: 'memberAttributes', ...record(id, { level }) })
  }

  applyData(data: Uint8Array): ApplyOutcome | undefined {
    const result = this.machine.applyNormal(this.machine.appliedIndex + 1, 1, data)
    return result?.outcome
  }

  apply(request: RequestBody, quotaBytes?: number): ApplyOutcome | undefined {
    this.sequence++
    const quota = quotaBytes === undefined ? {} : { quotaBytes }
    return this.applyData(
      encodeRequest({ origin: ORIGIN, sequence: this.sequence, ...quota, request }),
    )
  }

  put(key: string, value: string | Uint8Array, quotaBytes?: number): ApplyOutcome | undefined {
    return this.apply({ type: 'put', key: Buffer.from(key), value: Buffer.from(value) }, quotaBytes)
  }

  changeMembers(
    confState: ConfState,
    context: Uint8Array,
  ): ReturnType<StateMachine['applyConfChange']> {
    return this.machine.applyConfChange(this.machine.appliedIndex + 1, 1, context, confState)
  }
}

test('a result names who waits for it, and the position moves with the state', () => {
  const { machine } = new Harness()
  const request = { type: 'put', key: Buffer.from('k'), value: Buffer.from('v') } as const
  const data = encodeRequest({ origin: ORIGIN, sequence: 42, request })
  expect(machine.applyNormal(1, 3, data)).toMatchObject({
    origin: ORIGIN,
    sequence: 42,
    outcome: { type: 'put', put: { ok: true, revision: 2, version: 1 } },
  })
  expect([machine.appliedIndex, machine.appliedTerm, machine.store.revision]).toEqual([1, 3, 2])
})

test('an entry without data moves the position and nothing else (§8)', () => {
  const { machine } = new Harness()
  expect(machine.applyNormal(1, 3, new Uint8Array(0))).toBeUndefined()
  expect([machine.appliedIndex, machine.appliedTerm, machine.store.revision]).toEqual([1, 3, 1])
})

test('an entry that is not the next one trips an invariant', () => {
  const { machine } = new Harness()
  expect(() => machine.applyNormal(2, 1, new Uint8Array(0))).toThrow('not the next')
})

describe('members', () => {
  test('attributes replace the record of a known member', () => {
    const harness = new Harness()
    const changed = record(B, { name: 'n2', clientUrls: ['http://h:2379'], version: '0.1.0' })
    expect(harness.apply({ type: 'memberAttributes', ...changed })).toEqual({
      type: 'memberAttributes',
    })
    expect(harness.machine.members.get(B)).toEqual(changed)
    expect(harness.machine.members.get(A)).toEqual(record(A))
  })

  test('attributes of a member that is not part of the cluster are refused', () => {
    const harness = new Harness()
    expect(harness.apply({ type: 'memberAttributes', ...record(C) })).toMatchObject({
      type: 'refused',
      reason: 'memberNotFound',
    })
    expect(harness.machine.members.has(C)).toBe(false)
  })

  test('a change adds the records its context describes and answers who asked', () => {
    const harness = new Harness()
    const joining = record(C, { name: 'n3', peerUrls: ['http://n3:2380'] })
    const context = encodeConfChangeContext({
      origin: ORIGIN,
      sequence: 7,
      members: [joining],
      moved: [],
    })
    const confState = conf({ voters: [A, B], learners: [C] })
    expect(harness.changeMembers(confState, context)).toEqual({
      origin: ORIGIN,
      sequence: 7,
      outcome: { type: 'confChange', confState },
    })
    expect(harness.machine.members.get(C)).toEqual(joining)
    expect(harness.machine.confState).toBe(confState)
  })

  test('a change may say that members are reached elsewhere, and of them nothing else', () => {
    const harness = new Harness()
    const told = record(A, { name: 'n1', clientUrls: ['http://n1:2379'], version: '0.1.0' })
    harness.apply({ type: 'memberAttributes', ...told })
    const moved = [A, C].map((id) => ({ id, peerUrls: ['http://elsewhere:2380'] }))
    const context = encodeConfChangeContext({ origin: ORIGIN, sequence: 7, members: [], moved })
    harness.changeMembers(conf({ voters: [A, B] }), context)
    const { members } = harness.machine
    expect(members.get(A)).toEqual({ ...told, peerUrls: ['http://elsewhere:2380'] })
    // Of whom nobody has heard nothing is kept.
    expect(members.has(C)).toBe(false)
    // What a member tells later without peer URLs leaves them as they are.
    harness.apply({ type: 'memberAttributes', ...told, peerUrls: [], version: '0.2.0' })
    expect(members.get(A)).toMatchObject({
      peerUrls: ['http://elsewhere:2380'],
      version: '0.2.0',
    })
  })

  test('a joint configuration keeps both halves; leaving it drops who is gone', () => {
    const harness = new Harness()
    const nothing = new Uint8Array(0)
    harness.changeMembers(conf({ voters: [A, C], votersOutgoing: [A, B] }), nothing)
    expect([...harness.machine.members.keys()].toSorted()).toEqual([A, B, C])
    expect(harness.machine.members.get(C)).toEqual(record(C, { name: '' }))
    harness.changeMembers(conf({ voters: [A, C] }), nothing)
    expect([...harness.machine.members.keys()].toSorted()).toEqual([A, C])
  })

  test('a context nobody can read leaves the change in force', () => {
    const harness = new Harness()
    expect(harness.changeMembers(conf({ voters: [A, B, C] }), Buffer.from([0xff]))).toBeUndefined()
    expect(harness.machine.members.size).toBe(3)
  })
})

describe('quota (QTA-2)', () => {
  const value = new Uint8Array(1000)

  test('a put that reaches the quota it carries is refused, one below it is not', () => {
    const harness = new Harness()
    // One key and the overhead of its record: 256 + 1 + 1000.
    expect(harness.put('a', value, 1258)).toMatchObject({ type: 'put' })
    expect(harness.put('b', value, 2514)).toMatchObject({ type: 'refused', reason: 'noSpace' })
    expect(harness.machine.store.revision).toBe(2)
    expect(harness.put('b', value, 2515)).toMatchObject({ type: 'put' })
  })

  test('deletes, compaction and read-only transactions pass, and make room', () => {
    const harness = new Harness()
    harness.put('a', value)
    const range = { type: 'range', range: { key: Buffer.from('a') } } as const
    const txn = { type: 'txn', compares: [], success: [range], failure: [] } as const
    expect(harness.apply(txn, 1)).toMatchObject({ type: 'txn' })
    expect(harness.apply({ type: 'compaction', revision: 2 }, 1)).toEqual({
      type: 'compaction',
      revision: 2,
    })
    expect(harness.put('b', value, 2000)).toMatchObject({ reason: 'noSpace' })
    expect(harness.apply({ type: 'deleteRange', key: Buffer.from('a') }, 1)).toMatchObject({
      type: 'deleteRange',
    })
    expect(harness.put('b', value, 2000)).toMatchObject({ type: 'put' })
  })

  test('of a transaction the dearer branch counts, also when the other one would run', () => {
    const harness = new Harness()
    const put = { type: 'put', put: { key: Buffer.from('a'), value } } as const
    const nested = { type: 'txn', txn: { compares: [], success: [put], failure: [] } } as const
    const txn = { type: 'txn', compares: [], success: [], failure: [nested] } as const
    expect(harness.apply(txn, 1257)).toMatchObject({ reason: 'noSpace' })
    expect(harness.apply(txn, 1258)).toMatchObject({ type: 'txn' })
  })

  test('without a quota of its own a request is held to 2 GiB', () => {
    expect(new Harness().put('a', value)).toMatchObject({ type: 'put' })
  })
})

test('a key longer than any store can hold is refused, alone and inside a transaction', () => {
  const harness = new Harness()
  const put = { key: new Uint8Array(2 ** 24), value: new Uint8Array(0) }
  expect(harness.apply({ type: 'put', ...put })).toMatchObject({ reason: 'tooLarge' })
  const nested = { compares: [], success: [], failure: [{ type: 'put', put }] } as const
  const txn = { compares: [], success: [{ type: 'txn', txn: nested }], failure: [] } as const
  expect(harness.apply({ type: 'txn', ...txn })).toMatchObject({ reason: 'tooLarge' })
})

function atLevel(level: number, op: wire.Request['op']): Uint8Array {
  return wire.encodeRequest(wire.newRequest({ origin: ORIGIN, sequence: 5, level, op }))
}

describe('entries that not every member understands', () => {
  const put = { type: 'put', value: newPutRequest({ key: Buffer.from('k') }) } as const

  test('a request above the level of the cluster is refused by all, also by those that understand it', () => {
    const harness = new Harness()
    expect(harness.applyData(atLevel(1, put))).toMatchObject({ reason: 'unsupported' })
    const able = new Harness(1)
    able.tellLevels(1)
    expect(able.applyData(atLevel(1, put))).toMatchObject({ reason: 'unsupported' })
    expect([harness.machine.store.revision, able.machine.store.revision]).toEqual([1, 1])
  })

  test('a kind of request this version does not know is refused, and its sender told', () => {
    const harness = new Harness()
    const unknownField = Buffer.from([0xa2, 0x06, 1, 0])
    const data = Buffer.concat([atLevel(0, undefined), unknownField])
    const result = harness.machine.applyNormal(1, 1, data)
    expect(result).toMatchObject({
      origin: ORIGIN,
      sequence: 5,
      outcome: { reason: 'unsupported' },
    })
  })

  test('bytes that are no request are passed over', () => {
    const harness = new Harness()
    expect(harness.applyData(Buffer.from([0x0a, 0xff]))).toBeUndefined()
    expect(harness.machine.appliedIndex).toBe(1)
  })

  test('a guard nobody knows makes the whole transaction unreadable, not true', () => {
    const harness = new Harness()
    const compare = { result: 9, target: 0, key: Buffer.from('k'), rangeEnd: new Uint8Array(0) }
    const txn = {
      compare: [{ ...compare, targetUnion: undefined }],
      success: [{ request: { type: 'requestPut', value: put.value } as const }],
      failure: [],
    }
    expect(harness.applyData(atLevel(0, { type: 'txn', value: txn }))).toBeUndefined()
    expect(harness.machine.store.revision).toBe(1)
  })

  test('a member that was downgraded below what the log needs stops instead of diverging', () => {
    const able = new Harness(1)
    able.tellLevels(1)
    able.apply({ type: 'finalize', level: 1, epoch: undefined })
    const unreadable = Buffer.concat([atLevel(1, put), Buffer.from([0xff])])
    for (const data of [atLevel(1, put), unreadable]) {
      const downgraded = restore(streamOf(able.machine), 0)
      expect(() => downgraded.applyNormal(downgraded.appliedIndex + 1, 1, data)).toThrow(
        expect.objectContaining({ code: 'PROTOCOL_MISMATCH' }),
      )
    }
  })
})

const finalize = (level: number, epoch?: number) => ({ type: 'finalize', level, epoch }) as const

describe('the feature level of the cluster', () => {
  const put = { type: 'put', value: newPutRequest({ key: Buffer.from('k') }) } as const
  test('is raised by a request alone, and from then on requests that need it are applied', () => {
    const harness = new Harness(2)
    harness.tellLevels(2)
    expect([harness.machine.level, harness.machine.commonLevel]).toEqual([0, 2])
    expect(harness.apply(finalize(1))).toEqual({ type: 'finalize', level: 1 })
    expect(harness.applyData(atLevel(1, put))).toMatchObject({ type: 'put' })
    expect(harness.applyData(atLevel(2, put))).toMatchObject({ reason: 'unsupported' })
  })

  test('is not raised while a member does not understand it, or has not told', () => {
    const harness = new Harness(1)
    expect(harness.apply(finalize(1))).toMatchObject({ reason: 'levelTooHigh' })
    harness.apply({ type: 'memberAttributes', ...record(A, { level: 1 }) })
    expect(harness.apply(finalize(1))).toMatchObject({ reason: 'levelTooHigh' })
    harness.apply({ type: 'memberAttributes', ...record(B, { level: 1 }) })
    harness.changeMembers(conf({ voters: [A, B], learners: [C] }), new Uint8Array(0))
    expect(harness.apply(finalize(1))).toMatchObject({ reason: 'levelTooHigh' })
    harness.changeMembers(conf({ voters: [A, B] }), new Uint8Array(0))
    expect(harness.apply(finalize(1))).toEqual({ type: 'finalize', level: 1 })
  })

  test('is raised in the membership that is meant and in no other', () => {
    const harness = new Harness(1)
    harness.tellLevels(1)
    harness.changeMembers(conf({ voters: [A] }), new Uint8Array(0))
    const { membershipEpoch } = harness.machine
    expect(harness.apply(finalize(1, 0))).toMatchObject({ reason: 'epochDiffers' })
    expect(harness.machine.level).toBe(0)
    expect(harness.apply(finalize(1, membershipEpoch))).toEqual({ type: 'finalize', level: 1 })
  })

  test('stays as it was raised: a repeated request is done, in any membership; a lower one changes nothing', () => {
    const harness = new Harness(2)
    harness.tellLevels(2)
    harness.apply(finalize(2, 0))
    harness.changeMembers(conf({ voters: [A, B], learners: [C] }), new Uint8Array(0))
    for (const request of [finalize(2, 0), finalize(1), finalize(0)]) {
      expect(harness.apply(request)).toEqual({ type: 'finalize', level: 2 })
    }
    expect(harness.machine.level).toBe(2)
  })

  test('is part of the state: of its hash, of snapshots and of what is made of them', () => {
    const [raised, plain] = [new Harness(1), new Harness(1)]
    for (const harness of [raised, plain]) harness.tellLevels(1)
    raised.apply(finalize(1))
    plain.apply(finalize(0))
    expect(raised.machine.hash()).not.toBe(plain.machine.hash())
    const restored = restore(streamOf(raised.machine), 1)
    expect([restored.level, restored.hash()]).toEqual([1, raised.machine.hash()])
    const founders = { members: [record(C)], confState: conf({ voters: [C] }) }
    const refounded = restored.refound({ ...founders, raiseRevisionBy: 0, compacts: false })
    expect(refounded.level).toBe(1)
  })

  test('a member that does not understand what the others were raised to stops', () => {
    const harness = new Harness(0)
    harness.tellLevels(1)
    expect(() => harness.apply(finalize(1))).toThrow(
      expect.objectContaining({ code: 'PROTOCOL_MISMATCH' }),
    )
  })
})

function streamOf(machine: StateMachine): Buffer {
  const capture = machine.capture()
  const bytes = Buffer.concat([...capture.chunks()])
  capture.release()
  return bytes
}

function sample(): Harness {
  const harness = new Harness()
  for (let i = 0; i < 20; i++) harness.put(`k${i % 7}`, `v${i}`)
  harness.apply({ type: 'compaction', revision: 10 })
  harness.apply({ type: 'deleteRange', key: Buffer.from('k1') })
  return harness
}

function restore(bytes: Uint8Array, knownLevel = 0): StateMachine {
  const restorer = new StateMachineRestorer(knownLevel)
  restorer.addChunk(bytes)
  return restorer.finish()
}

describe('snapshots', () => {
  test('name the position and membership they stand for', () => {
    const { machine } = sample()
    const capture = machine.capture()
    expect(capture.meta).toEqual({ index: 22, term: 1, confState: machine.confState })
    capture.release()
    const restored = restore(streamOf(machine))
    expect([restored.appliedIndex, restored.appliedTerm, restored.hash()]).toEqual([
      22,
      1,
      machine.hash(),
    ])
  })

  test('carry the epoch of the membership and the ids that never come back', () => {
    const harness = new Harness()
    expect([harness.machine.membershipEpoch, harness.machine.removed.size]).toEqual([0, 0])
    harness.put('a', '1')
    harness.changeMembers(conf({ voters: [A] }), new Uint8Array(0))
    harness.put('a', '2')
    const { machine } = harness
    expect(machine.membershipEpoch).toBe(2)
    expect([...machine.removed]).toEqual([B])
    const restored = restore(streamOf(machine))
    expect(restored.membershipEpoch).toBe(2)
    expect([...restored.removed]).toEqual([B])
    expect(restored.hash()).toBe(machine.hash())
  })

  test('show the state as it was when captured, whatever is applied while they are read', () => {
    const harness = sample()
    const hash = harness.machine.hash()
    const capture = harness.machine.capture()
    const chunks = capture.chunks()
    const restorer = new StateMachineRestorer()
    restorer.addChunk(chunks.next().value as Uint8Array)
    for (let i = 0; i < 20; i++) harness.put(`new${i}`, 'x')
    for (const chunk of chunks) restorer.addChunk(chunk)
    capture.release()
    expect(restorer.finish().hash()).toBe(hash)
  })

  test('cut short at any byte are corrupt', () => {
    const bytes = streamOf(sample().machine)
    for (let length = 0; length < bytes.length; length++) {
      expect(() => restore(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'SNAPSHOT_CORRUPT' }),
      )
    }
  })

  test.each([
    ['a header longer than any', [0xff, 0xff, 0xff, 0xff]],
    ['a header that is malformed', [1, 0, 0, 0, 0x0a]],
    ['a format that never was', [2, 0, 0, 0, 0x08, 0]],
    ['no position', [2, 0, 0, 0, 0x08, 1]],
  ])('with %s are corrupt', (_, bytes) => {
    expect(() => restore(Buffer.from(bytes))).toThrow(
      expect.objectContaining({ code: 'SNAPSHOT_CORRUPT' }),
    )
  })

  test('of a newer format are refused as such, not as damage', () => {
    expect(() => restore(Buffer.from([2, 0, 0, 0, 0x08, 2]))).toThrow(
      expect.objectContaining({ code: 'SNAPSHOT_REFUSED' }),
    )
  })
})
