// The algebra of membership against a naive model: a map from member to what it is in each half.

import { describe, expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import type { Prng } from '../../../lib/prng.ts'
import {
  applyConfChange,
  checkConfState,
  confChangeProblem,
  isJoint,
} from '../../../member/src/raft/conf-change.ts'
import { majority } from '../../../member/src/raft/quorum.ts'
import type {
  ConfChange,
  ConfChangeSingle,
  ConfState,
  MemberId,
} from '../../../member/src/raft/types.ts'
import { confStateOf, memberId, memberNumber } from './cluster.ts'

type Kind = 'voter' | 'learner'

/** What each member is, before and after: two maps while joint, one otherwise. */
interface Model {
  readonly old: ReadonlyMap<number, Kind> | undefined
  readonly now: ReadonlyMap<number, Kind>
}

function votersOf(map: ReadonlyMap<number, Kind>): readonly number[] {
  return [...map].filter(([, kind]) => kind === 'voter').map(([number]) => number)
}

function modelApply(model: Model, change: ConfChange): Model | 'invalid' {
  if (change.changes.length === 0) {
    return model.old === undefined ? 'invalid' : { old: undefined, now: model.now }
  }
  if (model.old !== undefined) return 'invalid'
  const now = new Map(model.now)
  const seen = new Set<MemberId>()
  for (const { type, memberId: id } of change.changes) {
    if (seen.has(id)) return 'invalid'
    seen.add(id)
    if (type === 'remove') now.delete(memberNumber(id))
    else now.set(memberNumber(id), type === 'addVoter' ? 'voter' : 'learner')
  }
  const before = votersOf(model.now)
  const after = votersOf(now)
  if (after.length === 0) return 'invalid'
  const changed = new Set(
    [...before, ...after].filter((n) => before.includes(n) !== after.includes(n)),
  )
  const isSimple = before.length === 0 || (change.transition === 'auto' && changed.size <= 1)
  return { old: isSimple ? undefined : model.now, now }
}

function ids(numbers: readonly number[]): readonly MemberId[] {
  return numbers.map(memberId).toSorted()
}

/** The configuration that the model means. */
function toConfState({ old, now }: Model, autoLeave: boolean): ConfState {
  const votersOutgoing = old === undefined ? [] : votersOf(old)
  const learners = [...now].filter(([, kind]) => kind === 'learner').map(([number]) => number)
  return {
    voters: ids(votersOf(now)),
    votersOutgoing: ids(votersOutgoing),
    learners: ids(learners.filter((number) => !votersOutgoing.includes(number))),
    learnersNext: ids(learners.filter((number) => votersOutgoing.includes(number))),
    autoLeave: old !== undefined && autoLeave,
  }
}

function randomChange(prng: Prng): ConfChange {
  const types = ['addVoter', 'addLearner', 'remove'] as const
  const changes: ConfChangeSingle[] = []
  for (let i = prng.next(5); i > 0; i--) {
    changes.push({ type: types[prng.next(3)]!, memberId: memberId(1 + prng.next(6)) })
  }
  const transitions = ['auto', 'jointImplicit', 'jointExplicit'] as const
  return { changes, transition: transitions[prng.next(3)]!, context: new Uint8Array(0) }
}

const change = (changes: readonly ConfChangeSingle[]): ConfChange => ({
  changes,
  transition: 'auto',
  context: new Uint8Array(0),
})

describe('changes of membership', () => {
  test('random sequences agree with the model, and never leave the algebra', () => {
    let applied = 0
    for (let seed = 1; seed <= 300; seed++) {
      const prng = new SeededPrng(seed)
      let model: Model = { old: undefined, now: new Map([[1, 'voter']]) }
      let confState = confStateOf([1])
      for (let i = 0; i < 40; i++) {
        const next = randomChange(prng)
        const expected = modelApply(model, next)
        expect(confChangeProblem(confState, next) === undefined).toBe(expected !== 'invalid')
        if (expected === 'invalid') continue
        applied++
        model = expected
        confState = applyConfChange(confState, next)
        expect(confState).toEqual(toConfState(model, next.transition !== 'jointExplicit'))
        checkConfState(confState)
      }
    }
    expect(applied).toBeGreaterThan(1000)
  })

  test('majorities before and after a change that is not joint always overlap (§4.1)', () => {
    const prng = new SeededPrng(7)
    for (let i = 0; i < 3000; i++) {
      const count = 1 + prng.next(5)
      const before = confStateOf(Array.from({ length: count }, (_, n) => n + 1))
      const next = randomChange(prng)
      if (confChangeProblem(before, next) !== undefined) continue
      const after = applyConfChange(before, next)
      if (isJoint(after)) continue
      const both = before.voters.filter((id) => after.voters.includes(id)).length
      const all = new Set([...before.voters, ...after.voters]).size
      expect(both).toBeGreaterThan(0)
      expect(majority(before.voters.length) + majority(after.voters.length)).toBeGreaterThan(all)
    }
  })

  test('the arguments stay as they are', () => {
    const before = Object.freeze(confStateOf([1, 2, 3]))
    applyConfChange(before, change([{ type: 'remove', memberId: memberId(3) }]))
    expect(before).toEqual(confStateOf([1, 2, 3]))
  })

  test('adding a voter that votes already changes nothing', () => {
    const before = confStateOf([1, 2, 3], [4])
    const again = change([{ type: 'addVoter', memberId: memberId(2) }])
    expect(applyConfChange(before, again)).toEqual(before)
  })

  test.each([
    ['noVoters', confStateOf([1]), [{ type: 'remove', memberId: memberId(1) }]],
    ['notJoint', confStateOf([1]), []],
    [
      'duplicate',
      confStateOf([1]),
      [
        { type: 'addVoter', memberId: memberId(2) },
        { type: 'remove', memberId: memberId(2) },
      ],
    ],
    [
      'joint',
      { ...confStateOf([1, 2]), votersOutgoing: [memberId(1), memberId(3)] },
      [{ type: 'addVoter', memberId: memberId(4) }],
    ],
  ] as const)('%s is found', (problem, confState, changes) => {
    expect(confChangeProblem(confState, change(changes))).toBe(problem)
  })
})
