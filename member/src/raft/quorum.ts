// Majorities, simple and joint (§6): which value a quorum has reached, and how a vote stands. Pure; sizes are those of a
// membership, so counting beats sorting. A joint quorum is a majority of each half.

import type { MemberId } from './types.ts'

export type VoteResult = 'won' | 'lost' | 'pending'

/** The smallest number of voters that is a majority of `count`. */
export function majority(count: number): number {
  return (count >> 1) + 1
}

/**
 * The largest number that a majority of `values` has reached: 2 for [1, 2, 3], 1 for [1, 1, 2, 3]. Infinity when there
 * are none, so that the empty half of a joint configuration never holds the other back.
 */
export function majorityValue(values: readonly number[]): number {
  const count = values.length
  if (count === 0) return Infinity
  const needed = majority(count)
  let best = -Infinity
  for (let i = 0; i < count; i++) {
    const value = values[i]!
    if (value <= best) continue
    let reached = 0
    for (let j = 0; j < count; j++) if (values[j]! >= value) reached++
    if (reached >= needed) best = value
  }
  return best
}

/** How the vote stands among `voters`; absent from `votes` means not heard yet. No voters: won. */
export function majorityVotes(
  voters: readonly MemberId[],
  votes: ReadonlyMap<MemberId, boolean>,
): VoteResult {
  if (voters.length === 0) return 'won'
  const needed = majority(voters.length)
  let granted = 0
  let refused = 0
  for (const voter of voters) {
    const vote = votes.get(voter)
    if (vote === true) granted++
    else if (vote === false) refused++
  }
  if (granted >= needed) return 'won'
  return refused > voters.length - needed ? 'lost' : 'pending'
}

/** Won in both halves, lost as soon as it is lost in one. */
export function jointVotes(
  halves: { readonly voters: readonly MemberId[]; readonly votersOutgoing: readonly MemberId[] },
  votes: ReadonlyMap<MemberId, boolean>,
): VoteResult {
  const incoming = majorityVotes(halves.voters, votes)
  const outgoing = majorityVotes(halves.votersOutgoing, votes)
  if (incoming === 'lost' || outgoing === 'lost') return 'lost'
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending'
}
