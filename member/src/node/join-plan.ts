// PURE: what a member with a blank directory does that is told to join an existing cluster (-initial-cluster-state existing).
// The cluster says who belongs to it; this member must be among them as a learner that has never started. What is checked and
// the texts of the refusals are etcd's (section 6.3 of its contract).

import { RaftbaseError } from '../../../lib/errors.ts'
import type { StateMachine } from '../apply/state-machine.ts'
import type { MemberId } from '../raft/types.ts'
import { memberIdOf } from './identity.ts'
import { awaitingReplacement, type ConfiguredStart, type StartPlan } from './start-plan.ts'

/** Who belongs to a cluster, as one of its members says. */
export interface FoundCluster {
  readonly clusterId: string
  readonly epoch: number
  readonly members: readonly {
    readonly id: MemberId
    readonly name: string
    readonly role: 'voter' | 'learner'
    readonly peerUrls: readonly string[]
    /** It has told what it is. */
    readonly hasStarted: boolean
  }[]
}

export type JoinPlan = Exclude<StartPlan, { readonly type: 'join' }>

/** Beyond any number of disks that one name has lost. */
const INCARNATION_MAX = 1000

/** What this member tells others who want to join; undefined while it does not know itself. */
export function describeCluster({
  members,
  confState,
  membershipEpoch,
}: StateMachine): Omit<FoundCluster, 'clusterId'> | undefined {
  if (members.size === 0) return undefined
  return {
    epoch: membershipEpoch,
    members: [...members.values()].map(({ id, name, peerUrls, version }) => ({
      id,
      name,
      role: confState.learners.includes(id) ? 'learner' : 'voter',
      peerUrls,
      hasStarted: version !== '',
    })),
  }
}

export function planJoin(
  configured: ConfiguredStart,
  answers: readonly FoundCluster[],
  path: string,
): JoinPlan {
  const { name, token, initialCluster } = configured
  const newest = answers.toSorted((a, b) => b.epoch - a.epoch)[0]
  const given = initialCluster.map((member) => `${member.name}=${member.peerUrls.join(',')}`)
  if (newest === undefined) {
    const message =
      'cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs'
    return refuse('PEER_UNREACHABLE', message, { initialCluster: given.join(',') })
  }
  const others = answers.filter(({ clusterId }) => clusterId !== newest.clusterId)
  if (others.length > 0) {
    const clusterIds = [newest, ...others].map(({ clusterId }) => clusterId)
    return refuse('CLUSTER_MISMATCH', 'the peers belong to different clusters', { clusterIds })
  }
  const named = newest.members.filter((member) => member.name === name)
  const own = named.find((member) => member.role === 'learner' && !member.hasStarted)
  if (own === undefined && named.length > 0) {
    const { detail } = awaitingReplacement({ name, memberId: named.at(-1)!.id })
    const details = { directory: path, clusterId: newest.clusterId }
    return refuse('AWAITING_REPLACEMENT', detail!, details)
  }
  const difference = differenceOf(newest, configured)
  if (own === undefined || difference !== undefined) {
    const accepted = newest.members
      .map((member) => `${member.name}=${member.peerUrls[0]}`)
      .join(',')
    const reason = difference ?? `${name} has not been added: raftbase member add ${name}`
    return refuse('CONFIG_INVALID', `error validating peerURLs ${accepted}: ${reason}`, {
      field: '-initial-cluster',
      given: given.join(','),
      accepted,
    })
  }
  const incarnation = incarnationOf(own.id, token, name)
  if (incarnation === undefined) {
    const message = 'the member that was added has an id of another cluster token'
    return refuse('CONFIG_INVALID', message, {
      field: '-initial-cluster-token',
      given: token,
      accepted: 'that of the cluster',
    })
  }
  const { clusterId } = newest
  return {
    type: 'start',
    // It takes its membership from the leader, whoever the cluster was made of.
    identity: { clusterId, memberId: own.id, name, incarnation, token, initialCluster: '' },
    members: [],
    peers: newest.members
      .filter(({ id }) => id !== own.id)
      .map(({ id, name: peer, peerUrls }) => ({ id, name: peer, peerUrls })),
    // What was asked may be old: somebody else may have taken part under this id since.
    asks: 'aMajority',
    voters: newest.members.filter(({ role }) => role === 'voter'),
  }
}

/** Two lives of one name count once: those of a disk that was lost and of the one that replaces it. */
function differenceOf(
  { members }: FoundCluster,
  { initialCluster, name, advertisePeerUrls }: ConfiguredStart,
): string | undefined {
  const urls = new Map<string, Set<string>>()
  for (const member of members) {
    const known = urls.get(member.name) ?? new Set<string>()
    for (const url of member.peerUrls) known.add(url)
    urls.set(member.name, known)
  }
  if (!urls.has(name)) return undefined
  if (urls.size !== initialCluster.length) return 'member count is unequal'
  const matches = (memberName: string, theirs: readonly string[]): boolean => {
    const known = urls.get(memberName)
    return known !== undefined && theirs.every((url) => known.has(url))
  }
  const lost = initialCluster.find((member) => !matches(member.name, member.peerUrls))
  if (lost !== undefined) {
    return `PeerURLs: no match found for existing member (${lost.name}, ${lost.peerUrls.join(',')})`
  }
  if (matches(name, advertisePeerUrls)) return undefined
  return `this member advertises ${advertisePeerUrls.join(',')}, it was added under other URLs`
}

function incarnationOf(id: MemberId, token: string, name: string): number | undefined {
  for (let incarnation = 1; incarnation <= INCARNATION_MAX; incarnation++) {
    if (memberIdOf(token, name, incarnation) === id) return incarnation
  }
  return undefined
}

function refuse(
  code: ConstructorParameters<typeof RaftbaseError>[0],
  message: string,
  details: Readonly<Record<string, unknown>>,
): JoinPlan {
  return { type: 'refuse', error: new RaftbaseError(code, message, { details }) }
}
