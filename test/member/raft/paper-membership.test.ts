// What the Raft paper and the dissertation promise about changes of membership (§4, §6), one test a sentence. Scripts of whole
// conversations are in testdata/, the algebra in conf-change.prop.test.ts.

import { describe, expect, test } from 'vitest'
import type { ConfChange } from '../../../member/src/raft/types.ts'
import { append, appendResp, ELECTION_TICKS, lone, type LoneNode, voteResp } from './builders.ts'
import { Cluster, bytesOf, confStateOf, memberId } from './cluster.ts'

type Single = ConfChange['changes'][number]['type']

function change(...singles: readonly (readonly [type: Single, id: number])[]): ConfChange {
  return {
    changes: singles.map(([type, id]) => ({ type, memberId: memberId(id) })),
    transition: 'auto',
    context: new Uint8Array(0),
  }
}

/** The leader of term 1 of {1, 2, 3} with its own first entry committed. */
function leader(confState = confStateOf([1, 2, 3])): LoneNode {
  const member = lone({ confState })
  member.campaign()
  for (const type of ['MsgPreVoteResp', 'MsgVoteResp'] as const) {
    for (const from of [2, 3]) member.step(voteResp({ from, term: 1, type }))
  }
  expect(member.node.role).toBe('leader')
  return member
}

function acknowledge(member: LoneNode, from: readonly number[], index: number): void {
  for (const peer of from) member.step(appendResp({ from: peer, term: 1, index }))
}

describe('a change of membership (§4)', () => {
  test('is refused before the leader has committed an entry of its term (raft-dev, 10 July 2015)', () => {
    const member = leader()
    expect(member.node.proposeConfChange(change(['addVoter', 4]))).toMatchObject({
      accepted: false,
      reason: 'notReady',
    })
    acknowledge(member, [2], 1)
    expect(member.node.proposeConfChange(change(['addVoter', 4]))).toMatchObject({ accepted: true })
  })

  test('is refused while the one before is not applied (§4.1)', () => {
    const member = leader()
    acknowledge(member, [2], 1)
    member.node.proposeConfChange(change(['addLearner', 4]))
    const second = change(['addLearner', 5])
    expect(member.node.proposeConfChange(second)).toMatchObject({ reason: 'confChangePending' })
    acknowledge(member, [2], 2)
    expect(member.node.proposeConfChange(second)).toMatchObject({ accepted: true })
  })

  test('of one voter takes effect at once and counts the new member from then on (§4.1)', () => {
    const member = leader()
    acknowledge(member, [2], 1)
    member.node.proposeConfChange(change(['addVoter', 4]))
    member.flush()
    acknowledge(member, [2], 2)
    expect(member.node.confState).toEqual(confStateOf([1, 2, 3, 4]))
    member.node.propose([bytesOf('x')])
    member.flush()
    acknowledge(member, [2], 3)
    // Two of four are no majority.
    expect(member.node.status().committed).toBe(2)
    acknowledge(member, [4], 3)
    expect(member.node.status().committed).toBe(3)
  })

  test('of more than one voter passes through a configuration that needs both majorities (§6)', () => {
    const member = leader()
    acknowledge(member, [2], 1)
    member.node.proposeConfChange(change(['addVoter', 4], ['remove', 3]))
    member.flush()
    acknowledge(member, [2], 2)
    const { voters, votersOutgoing } = member.node.confState
    expect([voters, votersOutgoing].map((ids) => ids.length)).toEqual([3, 3])
    // The leader leaves it by itself; that entry needs a majority of {1, 2, 4} and of {1, 2, 3}.
    expect(member.node.status().lastIndex).toBe(3)
    acknowledge(member, [3], 3)
    expect(member.node.status().committed).toBe(2)
    acknowledge(member, [4], 3)
    expect(member.node.status().committed).toBe(3)
    expect(member.node.confState).toEqual(confStateOf([1, 2, 4]))
  })

  test('does not count the leader itself while it removes itself, and ends its leadership (§4.2.2)', () => {
    const member = leader()
    acknowledge(member, [2], 1)
    member.node.proposeConfChange(change(['remove', 1]))
    member.flush()
    acknowledge(member, [2], 2)
    expect(member.node.status()).toMatchObject({ role: 'follower', term: 1 })
    expect(member.node.confState).toEqual(confStateOf([2, 3]))
    for (let i = 0; i < 5 * ELECTION_TICKS; i++) member.node.tick()
    expect(member.node.status()).toMatchObject({ role: 'follower', term: 1 })
  })

  test('is undone in the log of a follower whose leader could not commit it', () => {
    const member = lone({ terms: [1] })
    const uncommitted = { ...change(['addVoter', 4]) }
    const message = append({ from: 2, term: 2, prev: [1, 1], terms: [2] })
    const entries = [
      {
        ...message.entries[0]!,
        type: 'confChange' as const,
        data: new Uint8Array(0),
        change: uncommitted,
      },
    ]
    member.step({ ...message, entries })
    expect(member.node.confState).toEqual(confStateOf([1, 2, 3]))
    member.step(append({ from: 3, term: 3, prev: [1, 1], terms: [3], commit: 2 }))
    expect(member.node.confState).toEqual(confStateOf([1, 2, 3]))
    expect(member.terms).toEqual([1, 3])
  })
})

describe('a new member (§4.2.1)', () => {
  test('has no vote while it catches up: its acknowledgements commit nothing, and nobody asks it', () => {
    const member = leader(confStateOf([1, 2, 3], [4]))
    acknowledge(member, [2], 1)
    member.node.propose([bytesOf('x')])
    member.flush()
    acknowledge(member, [4], 2)
    expect(member.node.status().committed).toBe(1)
    const candidate = lone({ confState: confStateOf([1, 2, 3], [4]) })
    const asked = candidate.campaign().map(({ to }) => to)
    expect(asked).toEqual([memberId(2), memberId(3)])
  })

  test('does not campaign, however long it hears nobody', () => {
    const learner = lone({ id: 4, confState: confStateOf([1, 2, 3], [4]) })
    for (let i = 0; i < 10 * ELECTION_TICKS; i++) learner.node.tick()
    expect(learner.node.status()).toMatchObject({ role: 'follower', term: 0 })
  })

  test('without a membership starts from a snapshot, not from entries', () => {
    const blank = lone({ id: 4, confState: confStateOf([]) })
    const answer = blank.step(append({ from: 1, to: 4, term: 1, prev: [0, 0], terms: [1, 1] }))
    expect(answer).toMatchObject([{ type: 'MsgAppResp', index: 0, reject: true }])
  })
})

describe('a removed member (§4.2.3)', () => {
  test('that does not know it cannot disturb the others, however often it tries (F51)', () => {
    const cluster = new Cluster()
    cluster.elect(1)
    cluster.deliverAll()
    cluster.isolated.add(3)
    const leading = cluster.member(1)
    leading.node.proposeConfChange(change(['remove', 3]))
    cluster.settle(leading)
    cluster.tickAll(3)
    expect(leading.node.confState.voters).toHaveLength(2)
    const { term } = leading.node.status()
    const removed = cluster.member(3)
    cluster.tickAll(100)
    cluster.heal()
    cluster.tickAll(200)
    // It asks for pre-votes again and again: nobody grants one, and no term moves.
    expect(removed.node.role).not.toBe('leader')
    expect(leading.node.status()).toMatchObject({ role: 'leader', term })
    expect(cluster.node(2).status().term).toBe(term)
  })
})
