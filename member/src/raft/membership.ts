// Changes of membership (§4 of the dissertation, §6 of the paper): one at a time, in force once applied, tied to the
// index of their entry. What a change means is conf-change.ts.

import { applyConfChange, confChangeProblem, isJoint, isMember, isVoter } from './conf-change.ts'
import { abortTransfer, resign } from './leader.ts'
import { confirmRounds } from './read-index.ts'
import type { ProposeRefusal } from './ready.ts'
import { appendEntry, flushAppends, maybeCommit } from './replication.ts'
import { becomeFollower } from './roles.ts'
import type { RaftState } from './state.ts'
import type { ConfChange, Index } from './types.ts'

const NO_BYTES = new Uint8Array(0)

/** Appends `change`, or returns why not. The caller has checked that this member leads and hands nothing over. */
export function appendConfChange(state: RaftState, change: ConfChange): ProposeRefusal | undefined {
  // A change is decided on by who knows what is committed: known since the Raft single-server bug of 2015.
  if (!state.hasCommittedInTerm) return 'notReady'
  if (state.pendingConfIndex > state.log.applied) return 'confChangePending'
  if (confChangeProblem(state.confState, change) !== undefined) return 'confChangeInvalid'
  if (abandons(state, change)) return 'confChangeInvalid'
  appendEntry(state, NO_BYTES, change)
  state.pendingConfIndex = state.log.lastIndex
  return undefined
}

/**
 * Whether the change takes the vote of a leader whose vote the others cannot do without until they know of the change.
 * If it vanished at that moment, nobody could ever be elected again. It hands leadership over first.
 */
function abandons({ confState, id }: RaftState, change: ConfChange): boolean {
  if (change.changes.length === 0 || confState.voters.length > 2) return false
  return !applyConfChange(confState, change).voters.includes(id)
}

/** The state machine has applied everything up to `index`: changes of membership among it are in force now. */
export function applyUpTo(state: RaftState, index: Index): void {
  const { log } = state
  for (;;) {
    const entry = log.nextConfChange(log.applied, index)
    if (entry === undefined) break
    log.appliedTo(entry.index)
    switchTo(state, entry.change!, entry.index)
  }
  log.appliedTo(index)
  const { pendingSnapshot } = state
  if (pendingSnapshot !== undefined && log.applied >= pendingSnapshot.index) {
    state.pendingSnapshot = undefined
  }
  maybeLeaveJoint(state)
}

function switchTo(state: RaftState, change: ConfChange, index: Index): void {
  const confState = applyConfChange(state.confState, change)
  state.confState = confState
  state.trace({ type: 'confChanged', confState, index })
  const isLeader = state.role === 'leader'
  // Whoever leaves hears of the commit that makes it leave.
  if (isLeader) flushAppends(state)
  state.tracker.configure(confState, { now: state.now, lastIndex: state.log.lastIndex })
  if (!isVoter(confState, state.id)) {
    const reason = isMember(confState, state.id) ? 'demoted' : 'removed'
    if (isLeader) resign(state, reason)
    else if (state.role !== 'follower') {
      becomeFollower(state, { term: state.term, leader: undefined, reason })
    }
    return
  }
  if (!isLeader) return
  const { transfer } = state
  if (transfer !== undefined && !confState.voters.includes(transfer.target)) {
    abortTransfer(state, 'notVoter')
  }
  state.replicationDue = true
  // Another quorum may have what the old one lacked.
  maybeCommit(state)
  confirmRounds(state)
}

/** The joint configuration is in force: its old half is left as soon as the leader may propose it (§6). */
function maybeLeaveJoint(state: RaftState): void {
  if (!isJoint(state.confState) || !state.confState.autoLeave || !state.hasCommittedInTerm) return
  if (state.pendingConfIndex > state.log.applied) return
  appendConfChange(state, { changes: [], transition: 'auto', context: NO_BYTES })
}
