// What a member says about itself, put together from its parts. Reads memory only: no disk, no network, no waiting.

import type { StateMachine } from '../apply/state-machine.ts'
import type { RawNode } from '../raft/raw-node.ts'
import type { MemberId } from '../raft/types.ts'
import { STORAGE_FORMAT_VERSION } from '../wal/metadata.ts'
import type { Identity } from './identity.ts'
import type {
  Alarm,
  ConfiguredMember,
  MemberState,
  NodeInfo,
  NodeStatus,
  NotReadyReason,
  PeerInfo,
} from './member-node.ts'

/** Entries that what is applied may be behind what is committed on a member that is ready. */
const READY_LAG_ENTRIES_MAX = 10_000

/** The status of a member whose log has been read. */
export interface MemberStatus extends NodeStatus {
  readonly clusterId: string
  readonly memberId: MemberId
  readonly incarnation: number
}

export interface StatusParts {
  readonly identity: Identity
  readonly version: string
  readonly state: MemberState
  readonly raft: RawNode
  readonly stateMachine: StateMachine
  readonly snapshotIndex: number
  readonly quotaBytes: number
  readonly isDiskFull: boolean
  readonly isConnected: (peer: MemberId) => boolean
}

/** Why a member that runs cannot serve linearizable requests, as far as its own state tells. */
export function whyNotReady(
  memberId: MemberId,
  { confState, appliedIndex, appliedTerm }: StateMachine,
  { leader, term, committed }: ReturnType<RawNode['status']>,
): NotReadyReason | undefined {
  if (!confState.voters.includes(memberId)) return 'learner'
  if (leader === undefined) return 'noLeader'
  const isCurrent = appliedTerm === term && committed - appliedIndex <= READY_LAG_ENTRIES_MAX
  return isCurrent ? undefined : 'catchingUp'
}

/**
 * Whether what is there and what is remembered of it fill the quota. Members differ in this with the progress of their
 * compaction: it may decide what one of them proposes, and not what becomes of a request.
 */
export function isFullOfHistory({ store }: StateMachine, quotaBytes: number): boolean {
  return store.usedBytes >= quotaBytes
}

/** Every member as this one sees it, sorted by name. */
export function memberViews(parts: {
  readonly stateMachine: StateMachine
  readonly leader: MemberId | undefined
  /** This member itself included. */
  readonly isReachable: (member: MemberId) => boolean
}): readonly NodeInfo[] {
  const { stateMachine, leader, isReachable } = parts
  const { members, confState } = stateMachine
  const views = [...members.values()].map((member): NodeInfo => {
    const role = confState.learners.includes(member.id) ? 'learner' : 'follower'
    const status = leader === member.id ? 'leader' : role
    return { ...member, status: isReachable(member.id) ? status : 'unreachable' }
  })
  return views.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

export function memberStatus(parts: StatusParts): MemberStatus {
  const { identity, state, stateMachine } = parts
  const { clusterId, memberId, name, incarnation } = identity
  const raft = parts.raft.status()
  const { store, confState } = stateMachine
  return {
    clusterId,
    memberId,
    name,
    incarnation,
    version: parts.version,
    storageFormatVersion: STORAGE_FORMAT_VERSION,
    state,
    startupPhase: state === 'recovering' ? 'openingPeers' : 'complete',
    dataDirectory: { state: 'Valid' },
    membershipFile: undefined,
    configFile: undefined,
    tls: undefined,
    alarms: alarmsOf(parts),
    disk: undefined,
    isLogRead: true,
    featureLevel: stateMachine.level,
    knownFeatureLevel: stateMachine.knownLevel,
    role: confState.learners.includes(memberId) ? 'learner' : raft.role,
    term: raft.term,
    leader: raft.leader,
    committed: raft.committed,
    applied: stateMachine.appliedIndex,
    firstIndex: raft.firstIndex,
    lastIndex: raft.lastIndex,
    lastLogTerm: parts.raft.termAt(raft.lastIndex) ?? 0,
    persistedIndex: raft.persistedIndex,
    membershipEpoch: stateMachine.membershipEpoch,
    revision: store.revision,
    // -1 before the first compaction: everything can be read.
    compactRevision: Math.max(0, store.compactRevision),
    keyCount: store.keyCount,
    stateBytes: store.bytes,
    quotaBytes: Number.isFinite(parts.quotaBytes) ? parts.quotaBytes : undefined,
    quotaUsedBytes: Math.max(stateMachine.quotaUsedBytes, store.usedBytes),
    snapshotIndex: parts.snapshotIndex,
    members: membersOf(stateMachine),
    peers: peersOf(parts),
  }
}

function alarmsOf({ stateMachine, quotaBytes, isDiskFull }: StatusParts): readonly Alarm[] {
  const isQuotaUsed = stateMachine.quotaUsedBytes >= quotaBytes
  return isDiskFull || isQuotaUsed || isFullOfHistory(stateMachine, quotaBytes) ? ['NOSPACE'] : []
}

/** By name, two lives of one name by id. */
function membersOf({ members, confState }: StateMachine): readonly ConfiguredMember[] {
  const order = [...members.values()].toSorted(
    (a, b) => compare(a.name, b.name) || compare(a.id, b.id),
  )
  return order.map(({ id, name, peerUrls, clientUrls, apiUrls, version, level }) => {
    const role = confState.learners.includes(id) ? 'learner' : 'voter'
    return { id, name, role, peerUrls, clientUrls, apiUrls, version, featureLevel: level }
  })
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function peersOf({ identity, stateMachine, raft, isConnected }: StatusParts): readonly PeerInfo[] {
  const { progress } = raft.status()
  return [...stateMachine.members.values()]
    .filter((member) => member.id !== identity.memberId)
    .map(({ id, name }) => {
      const known = progress.find((peer) => peer.id === id)
      return {
        id,
        name,
        connected: isConnected(id),
        match: known?.match,
        progress: known?.state,
        active: known?.recentlyActive,
      }
    })
}
