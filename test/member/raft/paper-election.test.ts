// What the Raft paper and the dissertation promise about terms and elections, one test a sentence.

import { describe, expect, test } from 'vitest'
import { ELECTION_TICKS, append, heartbeat, lone, vote, voteResp } from './builders.ts'
import { Cluster, confStateOf, memberId } from './cluster.ts'

describe('terms (§5.1)', () => {
  test('a member that sees a larger term takes it over (§5.1)', () => {
    const member = lone({ terms: [1] })
    member.step(append({ from: 2, term: 4, prev: [1, 1] }))
    expect(member.node.status()).toMatchObject({ term: 4, role: 'follower', leader: memberId(2) })
  })

  test.each(['candidate', 'leader'] as const)(
    'a %s that finds its term out of date becomes a follower at once (§5.1)',
    (role) => {
      const member = lone()
      if (role === 'leader') member.lead()
      else {
        member.campaign()
        member.step(voteResp({ from: 2, term: 1, type: 'MsgPreVoteResp' }))
      }
      expect(member.node.role).toBe(role)
      member.step(append({ from: 3, term: 2, prev: [0, 0] }))
      expect(member.node.status()).toMatchObject({ role: 'follower', term: 2, leader: memberId(3) })
    },
  )

  test('a request with an old term is refused, and the answer carries the new one (§5.1)', () => {
    const member = lone({ terms: [1, 3] })
    const answers = [
      ...member.step(vote({ from: 2, term: 2, last: [9, 2] })),
      ...member.step(append({ from: 2, term: 2, prev: [2, 3], terms: [2] })),
      ...member.step(heartbeat({ from: 2, term: 2, commit: 2 })),
    ]
    expect(answers).toMatchObject([
      { type: 'MsgVoteResp', term: 3, reject: true },
      { type: 'MsgTermNotice', term: 3 },
      { type: 'MsgTermNotice', term: 3 },
    ])
    expect(member.terms).toEqual([1, 3])
    expect(member.node.status().committed).toBe(0)
  })

  test('the current term survives a restart (§5.1, Figure 2)', () => {
    const cluster = new Cluster()
    cluster.elect(1)
    const { term } = cluster.node(1).status()
    for (const number of [1, 2, 3]) cluster.restart(number)
    for (const number of [1, 2, 3]) expect(cluster.node(number).status().term).toBe(term)
  })
})

describe('leader election (§5.2)', () => {
  test('members start as followers (§5.2)', () => {
    expect(lone().node.role).toBe('follower')
  })

  test('a follower stays one as long as it hears a leader (§5.2)', () => {
    const member = lone({ terms: [1] })
    for (let i = 0; i < 100; i++) {
      member.step(heartbeat({ from: 2, term: 1 }))
      member.node.tick(ELECTION_TICKS - 1)
    }
    expect(member.node.status()).toMatchObject({ role: 'follower', term: 1 })
  })

  test('a follower that hears nothing for its timeout begins an election (§5.2)', () => {
    const member = lone({ terms: [1] })
    member.step(heartbeat({ from: 2, term: 1 }))
    member.node.tick(ELECTION_TICKS - 1)
    expect(member.node.role).toBe('follower')
    member.node.tick(ELECTION_TICKS)
    expect(member.node.role).toBe('preCandidate')
  })

  test('a candidate takes the next term, votes for itself and asks every voter (§5.2)', () => {
    const member = lone({ terms: [1, 2] })
    member.campaign()
    const sent = member.step(voteResp({ from: 3, term: 3, type: 'MsgPreVoteResp' }))
    const hardState = member.readies.findLast((ready) => ready.hardState !== undefined)?.hardState
    expect(hardState).toMatchObject({ term: 3, vote: memberId(1) })
    const request = { type: 'MsgVote', term: 3, lastIndex: 2, lastTerm: 2 }
    expect(sent).toMatchObject([
      { ...request, to: memberId(2) },
      { ...request, to: memberId(3) },
    ])
  })

  test.each([
    { voters: 1, grants: 0 },
    { voters: 2, grants: 1 },
    { voters: 3, grants: 1 },
    { voters: 4, grants: 2 },
    { voters: 5, grants: 2 },
    { voters: 7, grants: 3 },
  ])(
    'of $voters voters, itself and $grants more elect a leader, one less does not (§5.2)',
    (row) => {
      const numbers = Array.from({ length: row.voters }, (_, i) => i + 1)
      const member = lone({ confState: confStateOf(numbers) })
      member.campaign()
      for (let i = 0; i < row.grants; i++) {
        expect(member.node.role).toBe('preCandidate')
        member.step(voteResp({ from: i + 2, term: 1, type: 'MsgPreVoteResp' }))
      }
      for (let i = 0; i < row.grants; i++) {
        expect(member.node.role).toBe('candidate')
        member.step(voteResp({ from: i + 2, term: 1 }))
      }
      expect(member.node.role).toBe('leader')
    },
  )

  test('one voter counts once, however often its answer arrives (§5.2)', () => {
    const member = lone({ confState: confStateOf([1, 2, 3, 4, 5]) })
    member.campaign()
    for (const from of [2, 2, 2]) {
      member.step(voteResp({ from, term: 1, type: 'MsgPreVoteResp' }))
    }
    expect(member.node.role).toBe('preCandidate')
    member.step(voteResp({ from: 3, term: 1, type: 'MsgPreVoteResp' }))
    for (const from of [2, 2, 2]) member.step(voteResp({ from, term: 1 }))
    expect(member.node.role).toBe('candidate')
  })

  test('votes that nobody was asked for do not count: the own vote is not on disk yet (§5.2)', () => {
    const member = lone()
    member.campaign()
    member.node.step(voteResp({ from: 2, term: 1, type: 'MsgPreVoteResp' }))
    const asking = member.ready()
    expect(member.node.role).toBe('candidate')
    for (const from of [2, 3]) member.node.step(voteResp({ from, term: 1 }))
    expect(member.node.role).toBe('candidate')
    member.node.advance({ persisted: asking.number })
    expect(member.node.role).toBe('candidate')
    member.node.step(voteResp({ from: 2, term: 1 }))
    expect(member.node.role).toBe('leader')
  })

  test('a vote of somebody who has none does not count (§5.2)', () => {
    const member = lone({ confState: confStateOf([1, 2, 3], [4]) })
    member.campaign()
    member.step(voteResp({ from: 4, term: 1, type: 'MsgPreVoteResp' }))
    member.step(voteResp({ from: 9, term: 1, type: 'MsgPreVoteResp' }))
    expect(member.node.role).toBe('preCandidate')
  })

  test('a member votes for one candidate a term, first come, first served (§5.2)', () => {
    const member = lone()
    expect(member.step(vote({ from: 2, term: 1, last: [0, 0] }))).toMatchObject([{ reject: false }])
    expect(member.step(vote({ from: 3, term: 1, last: [5, 1] }))).toMatchObject([{ reject: true }])
    expect(member.step(vote({ from: 2, term: 1, last: [0, 0] }))).toMatchObject([{ reject: false }])
    expect(member.step(vote({ from: 3, term: 2, last: [5, 1] }))).toMatchObject([{ reject: false }])
  })

  test('a vote survives a restart (§5.2, F19)', () => {
    const member = lone({ hardState: { term: 3, vote: memberId(2) } })
    expect(member.step(vote({ from: 3, term: 3, last: [5, 3] }))).toMatchObject([{ reject: true }])
    expect(member.step(vote({ from: 2, term: 3, last: [0, 0] }))).toMatchObject([{ reject: false }])
  })

  test.each([0, 1])(
    'a candidate follows a leader whose term is at least its own: +%i (§5.2)',
    (more) => {
      const member = lone()
      member.campaign()
      member.step(voteResp({ from: 2, term: 1, type: 'MsgPreVoteResp' }))
      expect(member.node.role).toBe('candidate')
      member.step(append({ from: 3, term: 1 + more, prev: [0, 0] }))
      expect(member.node.status()).toMatchObject({ role: 'follower', leader: memberId(3) })
    },
  )

  test('a candidate does not follow a leader of an older term (§5.2)', () => {
    const member = lone({ terms: [3] })
    member.campaign()
    member.step(voteResp({ from: 2, term: 4, type: 'MsgPreVoteResp' }))
    member.step(append({ from: 3, term: 3, prev: [1, 3], terms: [3] }))
    expect(member.node.status()).toMatchObject({ role: 'candidate', term: 4, lastIndex: 1 })
  })

  test('a candidate whose votes split starts another election (§5.2)', () => {
    const member = lone({ confState: confStateOf([1, 2, 3, 4]) })
    member.campaign()
    for (const from of [2, 3]) member.step(voteResp({ from, term: 1, type: 'MsgPreVoteResp' }))
    member.step(voteResp({ from: 2, term: 1 }))
    member.step(voteResp({ from: 3, term: 1, reject: true }))
    expect(member.node.role).toBe('candidate')
    member.node.tick(ELECTION_TICKS)
    expect(member.node.role).toBe('preCandidate')
    for (const from of [2, 3]) member.step(voteResp({ from, term: 2, type: 'MsgPreVoteResp' }))
    expect(member.node.status()).toMatchObject({ role: 'candidate', term: 2 })
  })

  test('timeouts are drawn anew for each election and member, over the whole range (§5.2)', () => {
    const seen = new Set<number>()
    for (let seed = 1; seed <= 200; seed++) {
      const member = lone({ terms: [1], seed })
      member.step(heartbeat({ from: 2, term: 1 }))
      let ticks = 0
      for (; member.node.role === 'follower'; ticks++) member.node.tick()
      seen.add(ticks)
    }
    expect([...seen].toSorted((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  })

  test('a member that just started waits for a leader no longer than for a few heartbeats', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const member = lone({ seed })
      member.node.tick(ELECTION_TICKS)
      expect(member.node.role).toBe('preCandidate')
    }
  })

  test('a leader keeps its authority by heartbeats to everyone, in every interval (§5.2)', () => {
    const member = lone({ config: { heartbeatTicks: 3 } })
    member.lead()
    member.node.tick(2)
    expect(member.flush().filter(({ type }) => type === 'MsgHeartbeat')).toEqual([])
    member.node.tick(1)
    expect(member.flush()).toMatchObject([
      { type: 'MsgHeartbeat', to: memberId(2) },
      { type: 'MsgHeartbeat', to: memberId(3) },
    ])
  })
})

describe('election restriction (§5.4.1)', () => {
  test.each([
    { what: 'a later last term, though shorter', last: [1, 4], granted: true },
    { what: 'the same last term and more entries', last: [4, 3], granted: true },
    { what: 'the same end', last: [3, 3], granted: true },
    { what: 'the same last term and fewer entries', last: [2, 3], granted: false },
    { what: 'an earlier last term, though longer', last: [9, 2], granted: false },
  ] as const)('a candidate with $what: granted is $granted (§5.4.1)', ({ last, granted }) => {
    for (const type of ['MsgVote', 'MsgPreVote'] as const) {
      const member = lone({ terms: [1, 2, 3] })
      const [answer] = member.step(vote({ from: 2, term: 5, last, type }))
      expect(answer).toMatchObject({ type: `${type}Resp`, reject: !granted })
    }
  })

  test('a candidate without a committed entry cannot win (§5.4.1, F18)', () => {
    const cluster = new Cluster()
    cluster.elect(1)
    cluster.isolated.add(3)
    cluster.propose(1, 'committed by 1 and 2')
    cluster.deliverAll()
    cluster.isolated.clear()
    cluster.isolated.add(1)
    cluster.letCampaign(3)
    expect(cluster.node(3).role).not.toBe('leader')
    cluster.elect(2)
    expect(cluster.node(2).role).toBe('leader')
    cluster.deliverAll()
    expect(cluster.node(3).status().committed).toBe(3)
  })
})

describe('pre-vote (§9.6) and disruptive servers (§4.2.3)', () => {
  test('a pre-vote changes neither the term nor the vote of anybody (§9.6)', () => {
    const member = lone({ terms: [1] })
    const sent = member.campaign()
    expect(sent).toMatchObject([
      { type: 'MsgPreVote', term: 2 },
      { type: 'MsgPreVote', term: 2 },
    ])
    expect(member.node.status().term).toBe(1)
    member.step(vote({ from: 2, term: 9, last: [1, 1], type: 'MsgPreVote' }))
    expect(member.node.status().term).toBe(1)
    expect(member.readies.every((ready) => ready.hardState === undefined)).toBe(true)
  })

  test('a pre-vote answer never counts as a vote (F19)', () => {
    const member = lone()
    member.campaign()
    member.step(voteResp({ from: 2, term: 1, type: 'MsgPreVoteResp' }))
    member.step(voteResp({ from: 3, term: 1, type: 'MsgPreVoteResp' }))
    expect(member.node.role).toBe('candidate')
  })

  test('a member may grant pre-votes to many, and still has its vote (§9.6)', () => {
    const member = lone({ confState: confStateOf([1, 2, 3, 4, 5]) })
    for (const from of [2, 3, 4]) {
      const message = vote({ from, term: 1, last: [0, 0], type: 'MsgPreVote' })
      expect(member.step(message)).toMatchObject([{ type: 'MsgPreVoteResp', reject: false }])
    }
    expect(member.step(vote({ from: 4, term: 1, last: [0, 0] }))).toMatchObject([{ reject: false }])
  })

  test('a member that heard a leader within the minimum timeout does not vote nor take the term over (§4.2.3)', () => {
    const member = lone({ terms: [1] })
    member.step(heartbeat({ from: 2, term: 1 }))
    member.node.tick(ELECTION_TICKS - 1)
    expect(member.step(vote({ from: 3, term: 7, last: [9, 1] }))).toEqual([])
    const preVote = vote({ from: 3, term: 7, last: [9, 1], type: 'MsgPreVote' })
    expect(member.step(preVote)).toMatchObject([{ type: 'MsgPreVoteResp', term: 1, reject: true }])
    expect(member.node.status().term).toBe(1)
    member.node.tick(1)
    expect(member.step(vote({ from: 3, term: 7, last: [9, 1] }))).toContainEqual(
      expect.objectContaining({ type: 'MsgVoteResp', term: 7, reject: false }),
    )
  })

  test('a leader ignores requests for votes too (§4.2.3)', () => {
    const member = lone()
    member.lead()
    expect(member.step(vote({ from: 3, term: 7, last: [9, 1] }))).toEqual([])
    expect(member.node.status()).toMatchObject({ role: 'leader', term: 1 })
  })

  test('a request that the leader asked for is heeded all the same (§3.10, §4.2.3)', () => {
    const member = lone({ terms: [1] })
    member.step(heartbeat({ from: 2, term: 1 }))
    const message = vote({ from: 3, term: 2, last: [1, 1], transfer: true })
    expect(member.step(message)).toMatchObject([{ type: 'MsgVoteResp', term: 2, reject: false }])
  })

  test('a leader that hears no majority for an election timeout steps down (§6.2, F12)', () => {
    const member = lone({ confState: confStateOf([1, 2, 3, 4, 5]) })
    member.campaign()
    for (const type of ['MsgPreVoteResp', 'MsgVoteResp'] as const) {
      for (const from of [2, 3]) member.step(voteResp({ from, term: 1, type }))
    }
    for (let i = 0; i < 5; i++) {
      member.node.tick(ELECTION_TICKS - 1)
      for (const from of [2, 3]) {
        const answer = { type: 'MsgHeartbeatResp', to: memberId(1), term: 1, context: '' } as const
        member.step({ ...answer, from: memberId(from) })
      }
      expect(member.node.role).toBe('leader')
    }
    // One of four others is not a majority.
    for (let i = 0; i < ELECTION_TICKS; i++) {
      expect(member.node.role).toBe('leader')
      const answer = { type: 'MsgHeartbeatResp', to: memberId(1), term: 1, context: '' } as const
      member.step({ ...answer, from: memberId(2) })
      member.node.tick()
    }
    expect(member.node.status()).toMatchObject({ role: 'follower', leader: undefined, term: 1 })
  })

  test('a leader whose process slept finds out before it acts as one (F6)', () => {
    const member = lone()
    member.lead()
    member.node.tick(5 * ELECTION_TICKS)
    expect(member.node.role).not.toBe('leader')
    expect(member.node.propose([new Uint8Array(1)])).toEqual({
      accepted: false,
      reason: 'notLeader',
    })
  })
})
