// What the Raft paper and the dissertation promise about the log and its replication, one test a sentence.

import { describe, expect, test } from 'vitest'
import { ELECTION_TICKS, append, appendResp, heartbeat, lone, voteResp } from './builders.ts'
import { Cluster, bytesOf, confStateOf, memberId } from './cluster.ts'

describe('log replication (§5.3)', () => {
  test('a leader appends a command, then sends it to all others in parallel (§5.3)', () => {
    const member = lone()
    member.lead()
    for (const from of [2, 3]) member.step(appendResp({ from, term: 1, index: 1 }))
    const result = member.node.propose([bytesOf('a')])
    expect(result).toEqual({ accepted: true, term: 1, firstIndex: 2 })
    const ready = member.ready()
    expect(ready.entries).toMatchObject([{ index: 2, term: 1 }])
    expect(ready.messages).toMatchObject([
      { type: 'MsgApp', to: memberId(2), prevIndex: 1, prevTerm: 1 },
      { type: 'MsgApp', to: memberId(3), prevIndex: 1, prevTerm: 1 },
    ])
  })

  test('an entry is committed once the leader has it on a majority (§5.3)', () => {
    const member = lone({ confState: confStateOf([1, 2, 3, 4, 5]) })
    member.campaign()
    for (const type of ['MsgPreVoteResp', 'MsgVoteResp'] as const) {
      for (const from of [2, 3]) member.step(voteResp({ from, term: 1, type }))
    }
    member.step(appendResp({ from: 2, term: 1, index: 1 }))
    expect(member.node.status().committed).toBe(0)
    member.step(appendResp({ from: 2, term: 1, index: 1 }))
    expect(member.node.status().committed).toBe(0)
    member.step(appendResp({ from: 5, term: 1, index: 1 }))
    expect(member.node.status().committed).toBe(1)
  })

  test('committing an entry commits all before it, those of earlier leaders included (§5.3)', () => {
    const member = lone({ terms: [1, 2, 2] })
    member.lead()
    member.step(appendResp({ from: 2, term: 3, index: 4 }))
    const committed = member.readies.flatMap((ready) => ready.committedEntries)
    expect(committed.map(({ index }) => index)).toEqual([1, 2, 3, 4])
  })

  test('a leader tells the highest index it knows to be committed, at once (§5.3)', () => {
    const member = lone()
    member.lead()
    member.step(appendResp({ from: 3, term: 1, index: 1 }))
    member.node.propose([bytesOf('a')])
    member.flush()
    const sent = member.step(appendResp({ from: 2, term: 1, index: 2 }))
    expect(sent).toContainEqual(
      expect.objectContaining({ type: 'MsgApp', to: memberId(3), commit: 2 }),
    )
  })

  test('a follower applies what it learns to be committed, in log order (§5.3)', () => {
    const member = lone()
    member.step(append({ from: 2, term: 1, prev: [0, 0], terms: [1, 1, 1], commit: 2 }))
    member.step(heartbeat({ from: 2, term: 1, commit: 3 }))
    const committed = member.readies.flatMap((ready) => ready.committedEntries)
    expect(committed.map(({ index }) => index)).toEqual([1, 2, 3])
  })

  test('a follower commits no further than what this append shows it to have (Figure 2)', () => {
    const member = lone({ terms: [1, 1, 1] })
    member.step(append({ from: 2, term: 2, prev: [1, 1], terms: [1], commit: 9 }))
    expect(member.node.status().committed).toBe(2)
  })

  test('a follower that crashed is retried until it has everything (§5.3)', () => {
    const cluster = new Cluster()
    cluster.elect(1)
    cluster.crash(3)
    for (const text of ['a', 'b', 'c']) cluster.propose(1, text)
    cluster.deliverAll()
    cluster.tickAll(50)
    expect(cluster.member(1).applied).toBe(4)
    cluster.restart(3)
    cluster.tickAll(3)
    expect(cluster.member(3).applied).toBe(4)
  })

  test('a follower refuses entries whose predecessor it does not have (§5.3)', () => {
    const member = lone({ terms: [1, 1] })
    expect(member.step(append({ from: 2, term: 3, prev: [3, 2], terms: [3] }))).toMatchObject([
      { type: 'MsgAppResp', reject: true, index: 3 },
    ])
    expect(member.step(append({ from: 2, term: 3, prev: [2, 2], terms: [3] }))).toMatchObject([
      { type: 'MsgAppResp', reject: true, index: 2 },
    ])
    expect(member.terms).toEqual([1, 1])
  })

  test.each([
    { name: 'missing entries', log: [1, 1], prev: [2, 1], terms: [2, 3], result: [1, 1, 2, 3] },
    { name: 'a conflict at once', log: [1, 2, 2], prev: [1, 1], terms: [3], result: [1, 3] },
    {
      name: 'a conflict further on',
      log: [1, 2, 2],
      prev: [1, 1],
      terms: [2, 3],
      result: [1, 2, 3],
    },
    { name: 'nothing new', log: [1, 2, 2], prev: [1, 1], terms: [2], result: [1, 2, 2] },
    { name: 'the whole log', log: [2, 2], prev: [0, 0], terms: [1, 3], result: [1, 3] },
  ] as const)('an append with $name deletes exactly what conflicts (§5.3)', (row) => {
    const member = lone({ terms: row.log })
    const { log, prev, terms, result } = row
    const [answer] = member.step(append({ from: 2, term: 5, prev, terms }))
    expect(member.terms).toEqual(result)
    const cuts = log.some((term, i) => result[i] !== term)
    const trace = member.readies.flatMap((ready) => ready.trace)
    expect(trace.some(({ type }) => type === 'conflictTruncated')).toBe(cuts)
    expect(answer).toMatchObject({ reject: false, index: prev[0] + terms.length })
  })

  test('an old append that arrives late does not shorten the log (§5.3, F22)', () => {
    const member = lone()
    member.step(append({ from: 2, term: 1, prev: [0, 0], terms: [1, 1, 1] }))
    member.step(append({ from: 2, term: 1, prev: [0, 0], terms: [1] }))
    expect(member.terms).toEqual([1, 1, 1])
  })

  // Figure 7 of the paper: what followers of the leader of term 8 may look like.
  test.each([
    { name: 'a', log: [1, 1, 1, 4, 4, 5, 5, 6, 6] },
    { name: 'b', log: [1, 1, 1, 4] },
    { name: 'c', log: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6] },
    { name: 'd', log: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7] },
    { name: 'e', log: [1, 1, 1, 4, 4, 4, 4] },
    { name: 'f', log: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3] },
  ])('the log of follower $name of Figure 7 becomes the leader’s (§5.3)', ({ log }) => {
    const leader = lone({ terms: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6], hardState: { term: 7 } })
    const follower = lone({ id: 2, terms: log, hardState: { term: 7 } })
    let messages = leader.lead(3).filter(({ to }) => to === memberId(2))
    let rounds = 0
    for (; messages.length > 0; rounds++) {
      messages = messages
        .flatMap((message) => follower.step(message))
        .flatMap((message) => leader.step(message))
        .filter(({ to }) => to === memberId(2))
    }
    expect(follower.terms).toEqual(leader.terms)
    // Whole terms are skipped: two terms apart at most, so three probes and a commit notice.
    expect(rounds).toBeLessThanOrEqual(4)
  })

  test('a refusal skips a term at a time, whichever side has the longer one (§5.3)', () => {
    const leaderTerms = [1, ...Array.from({ length: 500 }, () => 2)]
    const leader = lone({ terms: leaderTerms, hardState: { term: 3 } })
    const follower = lone({ id: 2, terms: [1, ...Array.from({ length: 500 }, () => 3)] })
    let messages = leader.lead(3).filter(({ to }) => to === memberId(2))
    let rounds = 0
    for (; messages.length > 0; rounds++) {
      messages = messages
        .flatMap((message) => follower.step(message))
        .flatMap((message) => leader.step(message))
        .filter(({ to }) => to === memberId(2))
    }
    expect(follower.terms).toEqual(leader.terms)
    expect(rounds).toBeLessThanOrEqual(4)
  })

  test('a leader never replaces or deletes its own entries (Leader Append-Only, §5.3)', () => {
    const member = lone({ terms: [1] })
    member.lead()
    const before = member.terms
    member.step(append({ from: 3, term: 2, prev: [0, 0], terms: [2, 2, 2] }))
    expect(member.terms).toEqual(before)
  })
})

describe('committing entries of earlier terms (§5.4.2)', () => {
  test('they are not counted, wherever they are stored (§5.4.2, F18)', () => {
    const member = lone({ terms: [1, 2], config: { maxBytesPerMessage: 1 } })
    member.lead()
    for (const from of [2, 3]) member.step(appendResp({ from, term: 3, index: 2 }))
    expect(member.node.status().committed).toBe(0)
    member.step(appendResp({ from: 2, term: 3, index: 3 }))
    expect(member.node.status().committed).toBe(3)
  })

  test('an entry of an earlier term on a majority can still be replaced (Figure 8, F18)', () => {
    const cluster = new Cluster({ voters: 5 })
    cluster.elect(1)
    // (a) 1 leads and writes index 2 to itself and 2 only.
    for (const number of [3, 4, 5]) cluster.isolated.add(number)
    cluster.propose(1, 'a')
    cluster.deliverAll()
    // (b) 5 is elected by 3 and 4 and writes another index 2, which reaches nobody.
    cluster.heal()
    cluster.isolated.add(1)
    cluster.isolated.add(2)
    // 3 and 4 hear no leader.
    cluster.restart(3)
    cluster.restart(4)
    cluster.campaign(5)
    deliverVotes(cluster)
    expect(cluster.node(5).role).toBe('leader')
    const { term } = cluster.node(5).status()
    expect(cluster.node(5).termAt(2)).toBe(term)
    cluster.network.length = 0
    // (c) What is replicated is only counted with an entry of the new leader’s term; so (d) never undoes a commit.
    cluster.crash(5)
    cluster.heal()
    cluster.tickAll(5 * ELECTION_TICKS)
    expect([1, 2]).toContain(cluster.leader?.number)
    const { committed, lastIndex } = cluster.node(2).status()
    expect(committed).toBe(lastIndex)
    expect(cluster.node(2).termAt(committed)).toBe(cluster.node(2).status().term)
    cluster.restart(5)
    cluster.tickAll(30)
    cluster.checkLogs()
    expect(cluster.node(5).termAt(2)).toBe(1)
  })

  test('a new leader commits an empty entry of its term first (§8)', () => {
    const member = lone({ terms: [1, 1] })
    member.lead()
    const [noOp] = member.readies.flatMap((ready) => ready.entries)
    expect(noOp).toMatchObject({ index: 3, term: 2, type: 'normal', data: new Uint8Array(0) })
  })
})

describe('durability (Figure 2: persistent state is updated before responding)', () => {
  test('an acknowledgement waits for the flush of the entries it covers', () => {
    const member = lone()
    member.node.step(append({ from: 2, term: 1, prev: [0, 0], terms: [1] }))
    const ready = member.ready()
    expect(ready.mustSync).toBe(true)
    expect(ready.messages).toEqual([])
    expect(ready.messagesAfterPersist).toMatchObject([{ type: 'MsgAppResp', index: 1 }])
  })

  test('an acknowledgement of what is durable leaves at once', () => {
    const member = lone({ terms: [1] })
    member.node.step(append({ from: 2, term: 1, prev: [1, 1] }))
    const ready = member.ready()
    expect(ready.mustSync).toBe(false)
    expect(ready.messages).toMatchObject([{ type: 'MsgAppResp', index: 1, reject: false }])
  })

  test('whatever carries a term that is not durable waits for it', () => {
    const member = lone({ terms: [1] })
    member.node.step(heartbeat({ from: 2, term: 4 }))
    const ready = member.ready()
    expect(ready.hardState).toMatchObject({ term: 4 })
    expect(ready.messages).toEqual([])
    expect(ready.messagesAfterPersist).toMatchObject([{ type: 'MsgHeartbeatResp', term: 4 }])
    member.node.step(heartbeat({ from: 2, term: 4 }))
    expect(member.ready().messages).toEqual([])
    member.node.advance({ persisted: ready.number })
    member.node.step(heartbeat({ from: 2, term: 4 }))
    expect(member.ready().messages).toMatchObject([{ type: 'MsgHeartbeatResp', term: 4 }])
  })

  test('the own entries of a leader count once they are flushed, in parallel with the others’', () => {
    const member = lone()
    member.lead()
    member.step(appendResp({ from: 2, term: 1, index: 1 }))
    member.node.propose([bytesOf('a')])
    const ready = member.ready()
    expect(ready.messages).toHaveLength(1)
    member.node.step(appendResp({ from: 2, term: 1, index: 2 }))
    expect(member.node.status().committed).toBe(1)
    member.node.advance({ persisted: ready.number })
    expect(member.node.status().committed).toBe(2)
  })

  test('heartbeats and step-down wait for no disk (F33)', () => {
    const member = lone()
    member.lead()
    member.node.propose([bytesOf('a')])
    member.ready()
    member.node.tick()
    expect(member.ready().messages).toMatchObject([
      { type: 'MsgHeartbeat' },
      { type: 'MsgHeartbeat' },
    ])
    member.node.tick(20)
    expect(member.node.role).not.toBe('leader')
  })

  test('a flush of entries that were replaced meanwhile acknowledges nothing, even when they come back', () => {
    const member = lone({ terms: [1] })
    member.node.step(append({ from: 2, term: 2, prev: [1, 1], terms: [2, 2] }))
    const first = member.ready()
    member.node.step(append({ from: 3, term: 3, prev: [1, 1], terms: [3] }))
    const second = member.ready()
    // The leader of term 4 has what the leader of term 2 wrote.
    member.node.step(append({ from: 2, term: 4, prev: [1, 1], terms: [2, 2] }))
    const third = member.ready()
    member.node.advance({ persisted: first.number })
    expect(member.node.status().persistedIndex).toBe(1)
    member.node.advance({ persisted: second.number })
    expect(member.node.status().persistedIndex).toBe(1)
    member.node.advance({ persisted: third.number })
    expect(member.node.status().persistedIndex).toBe(3)
  })

  test('a change of membership takes effect once its commit is on the own disk', () => {
    const member = lone({ confState: confStateOf([1]) })
    member.campaign()
    expect(member.node.role).toBe('leader')
    const changes = [{ type: 'addLearner', memberId: memberId(2) }] as const
    const context = new Uint8Array(0)
    member.node.proposeConfChange({ changes, transition: 'auto', context })
    const entries = member.ready()
    member.node.advance({ persisted: entries.number })
    const commit = member.ready()
    expect(commit).toMatchObject({ mustSync: true, hardState: { commit: 2 }, committedEntries: [] })
    member.node.advance({ persisted: commit.number })
    expect(member.ready().committedEntries).toMatchObject([{ index: 2, type: 'confChange' }])
  })
})

describe('read index (§6.4)', () => {
  test('a round begun before the read does not answer it (§6.4)', () => {
    const member = lone()
    member.lead()
    member.step(appendResp({ from: 2, term: 1, index: 1 }))
    member.node.readIndex('r1')
    const [first] = member.flush()
    member.node.readIndex('r2')
    member.flush()
    const context = (first as { context: string }).context
    const answer = { type: 'MsgHeartbeatResp', to: memberId(1), term: 1, context } as const
    member.step({ ...answer, from: memberId(2) })
    const reads = member.readies.flatMap((ready) => ready.readStates)
    expect(reads).toEqual([{ context: 'r1', index: 1 }])
  })

  test('reads beyond the bound are refused', () => {
    const member = lone()
    member.lead()
    for (const context of ['a', 'b', 'c', 'd', 'e']) member.node.readIndex(context)
    expect(member.ready().refusedReads).toEqual(['d', 'e'])
  })

  test('a member without a leader refuses, and one asked without being the leader says so', () => {
    const member = lone({ terms: [1] })
    member.node.readIndex('a')
    expect(member.ready().refusedReads).toEqual(['a'])
    const question = { type: 'MsgReadIndex', to: memberId(1), term: 1, context: 'b' } as const
    expect(member.step({ ...question, from: memberId(2) })).toMatchObject([
      { type: 'MsgReadIndexResp', context: 'b', reject: true },
    ])
  })
})

function deliverVotes(cluster: Cluster): void {
  for (;;) {
    const i = cluster.network.findIndex(({ type }) => type.includes('Vote'))
    if (i === -1) return
    cluster.deliver(cluster.network.splice(i, 1)[0]!)
  }
}
