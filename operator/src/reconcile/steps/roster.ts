// Who belongs to the cluster: as its members say, who have applied it; else as the members were told last; else as it was
// made. What members say is committed, so that the newest word wins. Pure.

import type { MembershipDocument, MembershipEntry } from '../../../../lib/membership-file.ts'
import {
  expectedRaftId,
  incarnationOf,
  memberName,
  memberUrl,
  ordinalOf,
  PORTS,
} from '../../api/names.ts'
import type { RaftCluster } from '../../api/raft-cluster.ts'
import type { MemberReport } from '../observed.ts'

/** One identity. While a member is replaced its name has two. */
export interface RosterEntry {
  readonly name: string
  readonly ordinal: number
  readonly incarnation: number
  readonly raftId: string
  readonly role: 'voter' | 'learner'
}

export interface Roster {
  /** By ordinal, then incarnation. */
  readonly entries: readonly RosterEntry[]
  /** Of the configuration it is; undefined when no member has told one. */
  readonly epoch: number | undefined
}

interface Known {
  readonly cluster: RaftCluster
  readonly token: string
  readonly clusterId: string
}

export function rosterOf(
  reports: ReadonlyMap<string, MemberReport>,
  known: Known & { readonly recorded: MembershipDocument | undefined; readonly founders: number },
): Roster {
  const newest = newestConfiguration([...reports.values()], known.clusterId)
  const recorded = known.recorded
  const entries =
    newest !== undefined
      ? newest.configuration.flatMap((member) => entryOf(member, known) ?? [])
      : recorded !== undefined
        ? recorded.members.map((member) => recordedEntry(member, known.token))
        : foundersOf(known)
  return {
    entries: entries.toSorted(
      (left, right) => left.ordinal - right.ordinal || left.incarnation - right.incarnation,
    ),
    epoch: newest?.membershipEpoch,
  }
}

/** Of two members of the same epoch it does not matter which. */
function newestConfiguration(
  reports: readonly MemberReport[],
  clusterId: string,
): MemberReport | undefined {
  return reports
    .filter(
      ({ state, configuration, membershipEpoch, ...report }) =>
        state === 'running' &&
        report.clusterId === clusterId &&
        configuration.length > 0 &&
        membershipEpoch !== undefined,
    )
    .toSorted((left, right) => (right.membershipEpoch ?? 0) - (left.membershipEpoch ?? 0))[0]
}

/** Undefined for somebody that is not of this cluster by name and identity: freeze.ts looks at those. */
function entryOf(
  member: MemberReport['configuration'][number],
  { cluster, token }: Known,
): RosterEntry | undefined {
  const { id: raftId, role } = member
  // A member that has not told its name yet is one of the first.
  const name = member.name === '' ? founderOf(raftId, { cluster, token }) : member.name
  if (name === undefined) return undefined
  const ordinal = ordinalOf(cluster.metadata.name, name)
  const incarnation = incarnationOf(token, name, raftId)
  if (ordinal === undefined || incarnation === undefined) return undefined
  return { name, ordinal, incarnation, raftId, role }
}

const FOUNDERS_MAX = 9

function founderOf(
  raftId: string,
  { cluster, token }: Omit<Known, 'clusterId'>,
): string | undefined {
  for (let ordinal = 0; ordinal < FOUNDERS_MAX; ordinal += 1) {
    const name = memberName(cluster.metadata.name, ordinal)
    if (expectedRaftId(token, name, 1) === raftId) return name
  }
  return undefined
}

function recordedEntry(
  { name, ordinal, incarnation, state }: MembershipEntry,
  token: string,
): RosterEntry {
  const raftId = expectedRaftId(token, name, incarnation)
  const role = state === 'Voter' ? 'voter' : 'learner'
  return { name, ordinal, incarnation, raftId, role }
}

function foundersOf(known: Known & { readonly founders: number }): readonly RosterEntry[] {
  const { cluster, token, founders } = known
  return Array.from({ length: founders }, (_, ordinal) => {
    const name = memberName(cluster.metadata.name, ordinal)
    const raftId = expectedRaftId(token, name, 1)
    return { name, ordinal, incarnation: 1, raftId, role: 'voter' as const }
  })
}

export function votersOf({ entries }: Roster): readonly RosterEntry[] {
  return entries.filter(({ role }) => role === 'voter')
}

export function learnersOf({ entries }: Roster): readonly RosterEntry[] {
  return entries.filter(({ role }) => role === 'learner')
}

/** Ordinals of everybody in it reach up to below this. */
export function ordinalsBelow(entries: readonly RosterEntry[]): number {
  return Math.max(-1, ...entries.map(({ ordinal }) => ordinal)) + 1
}

/**
 * What the members are told of it: for each name its newest identity. One that was told to be a voter is never told
 * anything else again: a blank disk joins as a learner only under an identity that never had a vote. Whoever has data goes
 * by its log, so that a learner is told before it gets its vote.
 */
export function membershipEntries(
  { entries }: Roster,
  known: {
    readonly cluster: RaftCluster
    readonly recorded: MembershipDocument | undefined
    readonly hasData: (entry: RosterEntry) => boolean
  },
): readonly MembershipEntry[] {
  const newest = entries.filter(
    (entry) =>
      !entries.some((other) => other.name === entry.name && other.incarnation > entry.incarnation),
  )
  return newest.map((entry) => {
    const { name, ordinal, incarnation, raftId, role } = entry
    const before = known.recorded?.members.find(
      (member) => member.name === name && member.incarnation === incarnation,
    )
    const isVoter = role === 'voter' || before?.state === 'Voter' || known.hasData(entry)
    const peerUrl = memberUrl(known.cluster, name, PORTS.peer)
    const state = isVoter ? 'Voter' : 'Learner'
    return { name, ordinal, incarnation, raftId, state, peerUrl }
  })
}
