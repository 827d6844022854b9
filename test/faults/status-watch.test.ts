// What watches the members of every scenario can fail: each rule by an example that breaks it.

import { expect, test } from 'vitest'
import { type MemberStatus, StatusRecord } from './support/status-watch.ts'

const SEEN = {
  clusterId: 'c',
  memberId: 'a1',
  incarnation: 1,
  membershipEpoch: 3,
  members: [{ id: 'a1', role: 'voter' }],
  term: 5,
  committed: 40,
  revision: 9,
  ready: true,
}

/** What was seen of n1, as pid and what differs from the first. */
function violations(...seen: readonly (readonly [number, Partial<MemberStatus>])[]): string[] {
  const record = new StatusRecord()
  for (const [pid, differs] of seen) {
    record.add('n1', pid, { ...SEEN, ...differs } as unknown as MemberStatus)
  }
  record.finish()
  return record.violations
}

test('a term that falls over a restart is seen, also after a status that said nothing of terms', () => {
  const silent = { term: undefined, committed: undefined, revision: undefined } as object
  expect(violations([1, {}], [2, silent], [2, { term: 4 }])).toEqual(['n1: term 5 -> 4'])
})

test('revision and commit index may begin lower in a new life, until it is ready', () => {
  const lower = { committed: 30, revision: 7 }
  expect(violations([1, {}], [2, { ...lower, ready: false }], [2, {}])).toEqual([])
  expect(violations([1, {}], [2, lower])).toEqual(['n1: committed 40 -> 30', 'n1: revision 9 -> 7'])
  expect(violations([1, {}], [1, { ...lower, ready: false }])).toHaveLength(2)
})

test('a disk that replaces a lost one begins at nothing, under an id of its own', () => {
  const blank = { memberId: 'a2', incarnation: 2, term: 0, committed: 0, revision: 0 }
  expect(violations([1, {}], [2, blank])).toEqual([])
})

const at = (epoch: number): Partial<MemberStatus> => ({ configFile: { epoch } })

test('the epoch of a configuration file does not fall in one life', () => {
  expect(violations([1, at(7)], [1, at(6)])).toEqual(['n1 1: epoch of its file 7 -> 6'])
})

test('an acknowledged change of membership that the membership of its epoch has not is seen', () => {
  const record = new StatusRecord()
  const change = { epoch: 3, what: 'b1 added', holds: (of: readonly string[]) => of.includes('b1') }
  record.acknowledge(change)
  record.add('n1', 1, SEEN as unknown as MemberStatus)
  record.finish()
  expect(record.violations.join()).toContain('acknowledged at epoch 3, not so: b1 added')
})
