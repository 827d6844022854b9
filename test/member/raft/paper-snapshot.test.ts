// What the Raft paper promises about log compaction and snapshots (§7, Figure 13), one test a sentence.

import { describe, expect, test } from 'vitest'
import type { MsgSnap } from '../../../member/src/raft/message.ts'
import type { ConfState, SnapshotMeta } from '../../../member/src/raft/types.ts'
import {
  append,
  appendResp,
  ELECTION_TICKS,
  heartbeat,
  lone,
  type LoneNode,
  vote,
} from './builders.ts'
import { confStateOf, memberId } from './cluster.ts'

function snap(options: {
  readonly from: number
  readonly term: number
  readonly last: readonly [index: number, term: number]
  readonly confState?: ConfState
}): MsgSnap {
  const { from, term, last, confState = confStateOf([1, 2, 3]) } = options
  const snapshot: SnapshotMeta = { index: last[0], term: last[1], confState }
  return { type: 'MsgSnap', from: memberId(from), to: memberId(1), term, snapshot }
}

/** Steps the snapshot and does what a driver does when it is accepted; returns what was sent. */
function install(member: LoneNode, message: MsgSnap) {
  member.node.step(message)
  const ready = member.ready()
  member.node.advance({ persisted: ready.number })
  if (ready.snapshot !== undefined) member.node.advance({ applied: ready.snapshot.index })
  return [...ready.messages, ...ready.messagesAfterPersist, ...member.flush()]
}

describe('a leader (§7)', () => {
  test('sends a snapshot when it has already discarded the next entry the follower needs', () => {
    const next = lone({ terms: [1, 1, 1, 1, 1], applied: 5, hardState: { commit: 5 } })
    next.node.advance({ compacted: 4 })
    next.lead()
    const answer = next.step(appendResp({ from: 3, term: 2, index: 5, hint: [2, 1] }))
    expect(answer).toMatchObject([
      { type: 'MsgSnap', to: memberId(3), term: 2, snapshot: { index: 5, term: 1 } },
    ])
  })

  test('describes in it the last entry it replaces, with the term, and the latest configuration', () => {
    const confState = confStateOf([1, 2, 3], [4])
    const next = lone({ terms: [1, 1, 1], applied: 3, hardState: { commit: 3 }, confState })
    next.node.advance({ compacted: 3 })
    next.lead()
    const answer = next.step(appendResp({ from: 3, term: 2, index: 3, hint: [0, 0] }))
    expect(answer).toMatchObject([{ snapshot: { index: 3, term: 1, confState } }])
  })

  test('forgets only what is applied', () => {
    const member = lone({ terms: [1, 1, 1], applied: 1, hardState: { commit: 1 } })
    expect(() => member.node.advance({ compacted: 2 })).toThrow('forgets what is not applied')
  })

  test('goes on with entries behind the snapshot once it is there', () => {
    const next = lone({ terms: [1, 1, 1, 1, 1], applied: 5, hardState: { commit: 5 } })
    next.node.advance({ compacted: 5 })
    next.lead()
    next.step(appendResp({ from: 3, term: 2, index: 5, hint: [0, 0] }))
    const sent = next.step(appendResp({ from: 3, term: 2, index: 5 }))
    expect(sent).toMatchObject([{ type: 'MsgApp', to: memberId(3), prevIndex: 5, prevTerm: 1 }])
  })
})

describe('a follower (§7, Figure 13)', () => {
  test('answers a snapshot of an old term with its own term and keeps its log', () => {
    const member = lone({ terms: [1, 3] })
    const sent = install(member, snap({ from: 2, term: 2, last: [9, 2] }))
    expect(sent).toMatchObject([{ type: 'MsgTermNotice', term: 3 }])
    expect(member.terms).toEqual([1, 3])
  })

  test('discards its entire log when the snapshot holds what its log does not', () => {
    const member = lone({ terms: [1, 1, 2, 2] })
    install(member, snap({ from: 2, term: 3, last: [9, 3] }))
    const { firstIndex, lastIndex, committed, applied } = member.node.status()
    expect({ firstIndex, lastIndex, committed, applied }).toEqual({
      firstIndex: 10,
      lastIndex: 9,
      committed: 9,
      applied: 9,
    })
  })

  test('discards also what conflicts with it, however long', () => {
    const member = lone({ terms: [1, 1, 1, 1, 1, 1] })
    install(member, snap({ from: 2, term: 3, last: [4, 2] }))
    expect(member.node.status()).toMatchObject({ firstIndex: 5, lastIndex: 4, committed: 4 })
  })

  test('retains the entries behind it when it describes a prefix of its log', () => {
    const member = lone({ terms: [1, 1, 2, 2] })
    const sent = install(member, snap({ from: 2, term: 2, last: [2, 1] }))
    expect(member.terms).toEqual([1, 1, 2, 2])
    expect(member.readies.every(({ snapshot }) => snapshot === undefined)).toBe(true)
    // It is as good as being told that the prefix is committed.
    expect(member.node.status().committed).toBe(2)
    expect(sent).toMatchObject([{ type: 'MsgAppResp', index: 2, reject: false }])
  })

  test('ignores one that is older than what it knows to be committed', () => {
    const member = lone({ terms: [1, 1, 1], hardState: { commit: 3 } })
    const sent = install(member, snap({ from: 2, term: 2, last: [2, 1] }))
    expect(member.terms).toEqual([1, 1, 1])
    expect(sent).toMatchObject([{ type: 'MsgAppResp', index: 3, reject: false }])
  })

  test('ignores one that claims a term its sender is not in', () => {
    const member = lone({ terms: [1] })
    install(member, snap({ from: 2, term: 2, last: [5, 3] }))
    expect(member.terms).toEqual([1])
    expect(member.node.status()).toMatchObject({ term: 2, committed: 0 })
  })

  test('resets to the configuration in the snapshot', () => {
    const confState = confStateOf([1, 2, 4])
    const member = lone({ terms: [1] })
    install(member, snap({ from: 2, term: 2, last: [5, 2], confState }))
    expect(member.node.confState).toEqual(confState)
  })

  test('acknowledges it only once it is durable, with all before it', () => {
    const member = lone({ terms: [1], hardState: { term: 2 } })
    member.node.step(snap({ from: 2, term: 2, last: [5, 2] }))
    const ready = member.ready()
    expect(ready).toMatchObject({ mustSync: true, messages: [], snapshot: { index: 5 } })
    expect(ready.messagesAfterPersist).toMatchObject([{ type: 'MsgAppResp', index: 5 }])
    // What follows the snapshot waits for it as well.
    member.node.step(append({ from: 2, term: 2, prev: [5, 2], terms: [2] }))
    const next = member.ready()
    expect(next.messages).toEqual([])
    expect(next.messagesAfterPersist).toMatchObject([{ type: 'MsgAppResp', index: 6 }])
    expect(next.entries).toMatchObject([{ index: 6 }])
  })

  test('checks the first entry behind it against its last one', () => {
    const member = lone()
    install(member, snap({ from: 2, term: 3, last: [5, 2] }))
    const refused = member.step(append({ from: 2, term: 3, prev: [6, 3], terms: [3] }))
    expect(refused).toMatchObject([{ type: 'MsgAppResp', reject: true }])
    const taken = member.step(append({ from: 2, term: 3, prev: [5, 2], terms: [3] }))
    expect(taken).toMatchObject([{ type: 'MsgAppResp', index: 6, reject: false }])
  })

  test('judges candidates by its last one', () => {
    const member = lone()
    install(member, snap({ from: 2, term: 3, last: [5, 3] }))
    for (let i = 0; i < 2 * ELECTION_TICKS && member.node.role === 'follower'; i++) {
      member.node.tick()
    }
    member.flush()
    const behind = member.step(vote({ from: 3, term: 4, last: [4, 3] }))
    expect(behind).toMatchObject([{ type: 'MsgVoteResp', reject: true }])
    const equal = member.step(vote({ from: 3, term: 5, last: [5, 3] }))
    expect(equal).toMatchObject([{ type: 'MsgVoteResp', reject: false }])
  })

  test('does not campaign before the snapshot is applied', () => {
    const member = lone()
    member.node.step(snap({ from: 2, term: 2, last: [5, 2] }))
    const ready = member.ready()
    member.node.advance({ persisted: ready.number })
    for (let i = 0; i < 5 * ELECTION_TICKS; i++) member.node.tick()
    member.flush()
    expect(member.node.status()).toMatchObject({ role: 'follower', term: 2 })
    member.node.advance({ applied: 5 })
    member.campaign()
    expect(member.node.role).toBe('preCandidate')
  })

  test('installs one at a time', () => {
    const member = lone()
    member.node.step(snap({ from: 2, term: 2, last: [5, 2] }))
    const first = member.ready()
    member.node.step(snap({ from: 2, term: 2, last: [7, 2] }))
    const second = member.ready()
    expect([first.snapshot?.index, second.snapshot]).toEqual([5, undefined])
  })

  test('hears the leader in it', () => {
    const member = lone({ terms: [1] })
    install(member, snap({ from: 3, term: 2, last: [4, 2] }))
    expect(member.node.status().leader).toBe(memberId(3))
    expect(member.step(heartbeat({ from: 3, term: 2, commit: 4 }))).toMatchObject([
      { type: 'MsgHeartbeatResp', to: memberId(3) },
    ])
  })
})
