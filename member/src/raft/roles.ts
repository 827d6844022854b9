// Changes of role and term, and what each of them resets. Why a member changes is decided elsewhere.

import { invariant } from '../../../lib/assert.ts'
import { appendNoOp, countOwnFlush } from './replication.ts'
import { refuseReads } from './read-index.ts'
import type { RaftState } from './state.ts'
import type { MemberId, Role, Term } from './types.ts'

export interface FollowOptions {
  readonly term: Term
  readonly leader: MemberId | undefined
  readonly reason: string
}

export function becomeFollower(state: RaftState, { term, leader, reason }: FollowOptions): void {
  invariant(term >= state.term, 'term falls', { from: state.term, to: term })
  changeRole(state, { role: 'follower', term, leader, reason })
  const { electionTicks, electionJitterTicks } = state.config
  state.electionTimeout = electionTicks + state.prng.next(electionJitterTicks)
}

/** Asks first whether it could win; term and vote stay (§9.6). */
export function becomePreCandidate(state: RaftState, reason: string): void {
  invariant(state.role !== 'leader', 'a leader campaigns', { term: state.term })
  changeRole(state, { role: 'preCandidate', term: state.term, leader: undefined, reason })
  retrySoon(state)
}

/** A new term and the vote for itself (§5.2); the vote counts once it is durable. */
export function becomeCandidate(state: RaftState, reason: string): void {
  invariant(state.role !== 'leader', 'a leader campaigns', { term: state.term })
  changeRole(state, { role: 'candidate', term: state.term + 1, leader: undefined, reason })
  state.vote = state.id
  retrySoon(state)
}

export function becomeLeader(state: RaftState): void {
  invariant(state.role === 'candidate', 'leads without having been elected', { role: state.role })
  changeRole(state, {
    role: 'leader',
    term: state.term,
    leader: state.id,
    reason: 'elected',
  })
  state.tracker.reset(state.confState, { now: state.now, lastIndex: state.log.lastIndex })
  appendNoOp(state)
  countOwnFlush(state)
}

/**
 * At the start: a leader, if there is one, is heard within a heartbeat or two, and without one nobody needs to wait for a
 * whole timeout. The pre-vote keeps this from disturbing anybody.
 */
export function expectLeaderSoon(state: RaftState): void {
  const { electionTicks, heartbeatTicks, id } = state.config
  const { voters, votersOutgoing } = state.confState
  const isAlone = voters.length === 1 && voters[0] === id && votersOutgoing.length === 0
  const soon = 2 * heartbeatTicks + state.prng.next(Math.max(1, electionTicks >> 1))
  state.electionTimeout = isAlone ? 1 : Math.min(state.electionTimeout, soon)
}

/** Draws a shorter timeout than a follower's: whoever campaigns knows that there is no leader. */
export function retrySoon(state: RaftState): void {
  const half = state.config.electionTicks >> 1
  state.electionTimeout = half + state.prng.next(Math.max(1, half))
}

interface RoleChange extends FollowOptions {
  readonly role: Role
}

function changeRole(state: RaftState, { role, term, leader, reason }: RoleChange): void {
  const from = state.role
  const steppedDown = from === 'leader' && role !== 'leader'
  const isNewTerm = term !== state.term
  if (isNewTerm) {
    state.term = term
    state.vote = undefined
    state.doubted = undefined
  }
  state.role = role
  state.electionElapsed = 0
  state.heartbeatElapsed = 0
  state.leaderLost = false
  state.earlyTicks = undefined
  state.votes.clear()
  if (from !== role) state.trace({ type: 'roleChanged', from, to: role, term, reason })
  const leaderChanged = state.leader !== leader || (isNewTerm && leader !== undefined)
  state.leader = leader
  if (leaderChanged) state.trace({ type: 'leaderChanged', leader, term })
  if (steppedDown) layDown(state, reason)
  if (leaderChanged || steppedDown) refuseReads(state)
}

/** What a leader leaves behind. */
function layDown(state: RaftState, reason: string): void {
  if (state.transfer !== undefined) {
    const { target } = state.transfer
    state.transfer = undefined
    state.trace({ type: 'transferAborted', target, reason })
  }
  state.replicationDue = false
  state.uncommittedBytes = 0
}
