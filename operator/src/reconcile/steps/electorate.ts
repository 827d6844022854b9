// Who leads, and whether there is a quorum: judged from what a majority of the voters says, never from one of them alone.
// Pure.

import type { MemberView } from './members.ts'
import { type Roster, votersOf } from './roster.ts'

export interface Leadership {
  readonly member: MemberView
  readonly term: number
  /** Voters that say so, itself among them. */
  readonly confirmedBy: number
}

export interface Electorate {
  readonly voters: number
  readonly quorum: number
  /** Voters whose reports are recent. */
  readonly heard: number
  readonly healthy: number
  /** Confirmed by a majority of the voters in the highest term that has one, and by itself. */
  readonly leader: Leadership | undefined
  /** A voter has confirmed within the last seconds that a linearizable read succeeds. */
  readonly serves: boolean
  /** A majority is of this cluster and agrees on a leader that has committed something: the cluster exists. */
  readonly hasFormed: boolean
}

/** A voter is its identity: another one under its name has no vote. */
export function electorateOf(members: readonly MemberView[], roster: Roster): Electorate {
  const voters = new Set(votersOf(roster).map(({ raftId }) => raftId))
  const quorum = Math.floor(voters.size / 2) + 1
  const speaking = members.filter(
    ({ report }) => report?.state === 'running' && isOf(voters, report.memberId),
  )
  const leader = leaderOf(speaking, quorum)
  const formed = speaking.filter(
    ({ report, reason }) => report?.clusterId !== undefined && reason !== 'ClusterIdMismatch',
  )
  return {
    voters: voters.size,
    quorum,
    heard: speaking.length,
    healthy: speaking.filter(({ healthy }) => healthy).length,
    leader,
    serves: leader !== undefined && speaking.some(({ healthy }) => healthy),
    hasFormed:
      formed.length >= quorum && leader !== undefined && (leader.member.report?.committed ?? 0) > 0,
  }
}

function isOf(voters: ReadonlySet<string>, id: string | undefined): boolean {
  return id !== undefined && voters.has(id)
}

/**
 * A leader that was replaced while it was paused still claims its old term: the majority is in a newer one. One that has
 * just lost its majority is confirmed by nobody.
 */
function leaderOf(speaking: readonly MemberView[], quorum: number): Leadership | undefined {
  const votes = new Map<string, { term: number; id: string; count: number }>()
  for (const { report } of speaking) {
    if (report?.leader === undefined || report.term === undefined) continue
    const key = `${report.term}/${report.leader}`
    const entry = votes.get(key) ?? { term: report.term, id: report.leader, count: 0 }
    entry.count += 1
    votes.set(key, entry)
  }
  const confirmed = [...votes.values()]
    .filter(({ count }) => count >= quorum)
    .toSorted((left, right) => right.term - left.term)[0]
  if (confirmed === undefined) return undefined
  const member = speaking.find(
    ({ report }) =>
      report?.memberId === confirmed.id &&
      report.role === 'leader' &&
      report.term === confirmed.term,
  )
  if (member === undefined) return undefined
  return { member, term: confirmed.term, confirmedBy: confirmed.count }
}
