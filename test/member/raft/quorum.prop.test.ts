// Majorities against brute force: every subset of the voters is tried.

import { describe, expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import type { Prng } from '../../../lib/prng.ts'
import {
  jointVotes,
  majority,
  majorityValue,
  majorityVotes,
} from '../../../member/src/raft/quorum.ts'
import { Tracker } from '../../../member/src/raft/tracker.ts'
import type { ConfState, MemberId } from '../../../member/src/raft/types.ts'
import { memberId } from './cluster.ts'

/** Whether some set of more than half of `values` has all reached `value`. */
function someMajorityReached(values: readonly number[], value: number): boolean {
  for (let subset = 0; subset < 2 ** values.length; subset++) {
    const chosen = values.filter((_, i) => (subset & (1 << i)) !== 0)
    if (chosen.length * 2 > values.length && chosen.every((one) => one >= value)) return true
  }
  return false
}

function bruteForceValue(values: readonly number[]): number {
  if (values.length === 0) return Infinity
  return Math.max(...values.filter((value) => someMajorityReached(values, value)))
}

/** Whether each way of casting the missing votes ends in a majority (won), none does (lost), or some do. */
function bruteForceVotes(
  voters: readonly MemberId[],
  votes: ReadonlyMap<MemberId, boolean>,
): 'won' | 'lost' | 'pending' {
  const missing = voters.filter((voter) => !votes.has(voter))
  let wins = 0
  for (let cast = 0; cast < 2 ** missing.length; cast++) {
    const granted = voters.filter(
      (voter) => votes.get(voter) ?? (cast & (1 << missing.indexOf(voter))) !== 0,
    )
    if (voters.length === 0 || granted.length * 2 > voters.length) wins++
  }
  if (wins === 0) return 'lost'
  return wins === 2 ** missing.length ? 'won' : 'pending'
}

function randomMembers(prng: Prng, countMax: number): readonly MemberId[] {
  const count = prng.next(countMax + 1)
  const ids = new Set<MemberId>()
  while (ids.size < count) ids.add(memberId(1 + prng.next(8)))
  return [...ids].toSorted()
}

function randomVotes(prng: Prng): ReadonlyMap<MemberId, boolean> {
  const votes = new Map<MemberId, boolean>()
  for (let number = 1; number <= 8; number++) {
    const vote = prng.next(3)
    if (vote < 2) votes.set(memberId(number), vote === 0)
  }
  return votes
}

describe('quorums', () => {
  test('a majority is more than half, and the smallest such number', () => {
    for (let count = 1; count <= 20; count++) {
      expect(majority(count) * 2).toBeGreaterThan(count)
      expect((majority(count) - 1) * 2).toBeLessThanOrEqual(count)
    }
  })

  test('any two majorities overlap (§5.2)', () => {
    for (let count = 1; count <= 20; count++) expect(majority(count) * 2).toBeGreaterThan(count)
  })

  test('the value of a majority is what brute force finds', () => {
    const prng = new SeededPrng(1)
    for (let i = 0; i < 3000; i++) {
      const values = Array.from({ length: prng.next(8) }, () => prng.next(6))
      expect(majorityValue(values)).toBe(bruteForceValue(values))
    }
  })

  test('a vote stands as brute force finds', () => {
    const prng = new SeededPrng(2)
    for (let i = 0; i < 3000; i++) {
      const voters = randomMembers(prng, 6)
      const votes = randomVotes(prng)
      expect(majorityVotes(voters, votes)).toBe(bruteForceVotes(voters, votes))
    }
  })

  test('a joint vote is won when won in both halves, lost when lost in one (§6)', () => {
    const prng = new SeededPrng(3)
    for (let i = 0; i < 3000; i++) {
      const voters = randomMembers(prng, 5)
      const votersOutgoing = randomMembers(prng, 5)
      const votes = randomVotes(prng)
      const halves = [bruteForceVotes(voters, votes), bruteForceVotes(votersOutgoing, votes)]
      const won = halves.every((half) => half === 'won')
      const expected = halves.includes('lost') ? 'lost' : won ? 'won' : 'pending'
      expect(jointVotes({ voters, votersOutgoing }, votes)).toBe(expected)
    }
  })

  test('what a joint configuration has on disk is what both halves have (§6)', () => {
    const prng = new SeededPrng(4)
    for (let i = 0; i < 2000; i++) {
      const confState: ConfState = {
        voters: randomMembers(prng, 5),
        votersOutgoing: randomMembers(prng, 5),
        learners: [],
        learnersNext: [],
        autoLeave: false,
      }
      const tracker = new Tracker({
        id: memberId(99),
        electionTicks: 10,
        electionJitterTicks: 10,
        heartbeatTicks: 1,
        maxBytesPerMessage: 1,
        maxInflightMessages: 1,
        maxInflightBytes: 1,
        maxUncommittedBytes: 1,
        maxCommittedBytesPerReady: 1,
        maxPendingReads: 1,
      })
      tracker.configure(confState, { now: 0, lastIndex: 100 })
      for (const progress of tracker.peers) progress.maybeUpdate(1 + prng.next(9))
      const matches = (ids: readonly MemberId[]) => ids.map((id) => tracker.get(id)!.match)
      const halves = [confState.voters, confState.votersOutgoing].map((ids) =>
        bruteForceValue(matches(ids)),
      )
      expect(tracker.quorumMatch()).toBe(Math.min(...halves))
    }
  })
})
