// What a follower does with each message of its leader: takes over entries, the commit index and snapshots.

import { invariant } from '../../../lib/assert.ts'
import { isMember } from './conf-change.ts'
import { believeLeader, handleTimeoutNow, loseLeader, tickElection } from './election.ts'
import type { Message, MsgApp, MsgHeartbeat, MsgSnap } from './message.ts'
import { expireReads } from './read-index.ts'
import { becomeFollower } from './roles.ts'
import type { RaftState } from './state.ts'
import type { Index, MemberId } from './types.ts'

export function stepFollower(state: RaftState, message: Message): void {
  switch (message.type) {
    case 'MsgApp':
      if (hear(state, message.from)) handleAppend(state, message)
      return
    case 'MsgHeartbeat':
      if (hear(state, message.from)) handleHeartbeat(state, message)
      return
    case 'MsgSnap':
      if (hear(state, message.from)) handleSnapshot(state, message)
      return
    case 'MsgTimeoutNow':
      handleTimeoutNow(state, message)
      return
    case 'MsgTermNotice':
    case 'MsgUnreachable':
      // In this term the notice means: I lead no more.
      if (message.from === state.leader) loseLeader(state)
      return
    default:
    // Answers to what this member asked in another role.
  }
}

export function tickFollower(state: RaftState): void {
  expireReads(state)
  tickElection(state)
}

/** Notes a word of the leader; false when this term has another one, so that the message is void. */
function hear(state: RaftState, from: MemberId): boolean {
  if (state.leader === undefined) {
    becomeFollower(state, { term: state.term, leader: from, reason: 'leaderHeard' })
  }
  if (state.leader !== from) return false
  state.electionElapsed = 0
  believeLeader(state)
  return true
}

function handleAppend(state: RaftState, message: MsgApp): void {
  const { log } = state
  const { prevIndex, prevTerm, entries } = message
  if (prevIndex < log.committed) {
    // An old message; what is committed is the same on both sides.
    acknowledge(state, message.from, log.committed)
    return
  }
  // A member that waits to be added knows no membership: entries alone would never tell it the first one.
  if (isBlank(state) || !log.has(prevIndex, prevTerm)) {
    refuseAppend(state, message)
    return
  }
  const oldLast = log.lastIndex
  const cut = log.merge(entries)
  if (cut !== undefined) state.trace({ type: 'conflictTruncated', from: cut, to: oldLast })
  const last = prevIndex + entries.length
  log.commitTo(Math.min(message.commit, last))
  acknowledge(state, message.from, last)
}

/** Waits to be added: only a snapshot gives it a membership to start from. */
function isBlank({ log, confState }: RaftState): boolean {
  return log.lastIndex === 0 && confState.voters.length === 0
}

function acknowledge(state: RaftState, to: MemberId, index: Index): void {
  const { id, term } = state
  state.send({
    type: 'MsgAppResp',
    from: id,
    to,
    term,
    index,
    reject: false,
    hintIndex: 0,
    hintTerm: 0,
  })
}

/** Names the last position where the two logs may agree, so that one round skips a whole term (§5.3). */
function refuseAppend(state: RaftState, message: MsgApp): void {
  const { id, term, log } = state
  const { from, prevIndex, prevTerm } = message
  const end = Math.min(prevIndex, log.lastIndex)
  const hintIndex = Math.max(log.committed, log.lastWithTermAtMost(prevTerm, end))
  const hintTerm = log.term(hintIndex)
  invariant(hintTerm !== undefined, 'hint is not in the log', { hintIndex })
  state.send({
    type: 'MsgAppResp',
    from: id,
    to: from,
    term,
    index: prevIndex,
    reject: true,
    hintIndex,
    hintTerm,
  })
}

function handleHeartbeat(state: RaftState, message: MsgHeartbeat): void {
  const { id, term, log } = state
  // The leader tells no more than this member acknowledged to it in this term: where it says more, the log has lost its end.
  if (message.commit > log.lastIndex) {
    state.trace({ type: 'logLost', acknowledged: message.commit, lastIndex: log.lastIndex })
  }
  log.commitTo(Math.min(message.commit, log.lastIndex))
  const { from, context } = message
  state.send({ type: 'MsgHeartbeatResp', from: id, to: from, term, context })
}

function handleSnapshot(state: RaftState, message: MsgSnap): void {
  const reason = maybeRestore(state, message)
  const { snapshot } = message
  if (reason === undefined) {
    state.trace({ type: 'snapshotRestored', snapshot })
    const { confState, index } = snapshot
    state.trace({ type: 'confChanged', confState, index })
  } else state.trace({ type: 'snapshotIgnored', snapshot, reason })
  acknowledge(state, message.from, state.log.committed)
}

/** Returns why the snapshot is not needed; undefined when it has replaced the log. */
function maybeRestore(state: RaftState, { snapshot }: MsgSnap): string | undefined {
  const { log } = state
  const { index, term, confState } = snapshot
  // No log is ahead of its leader's term (§5.3).
  if (term > state.term) return 'impossible'
  if (index <= log.committed) return 'committed'
  if (state.pendingSnapshot !== undefined) return 'installing'
  if (!isMember(confState, state.id)) return 'notMember'
  if (log.has(index, term)) {
    log.commitTo(index)
    return 'inLog'
  }
  log.restore(snapshot, state.readyNumber + 1)
  state.pendingSnapshot = snapshot
  state.outbox.snapshot = snapshot
  state.confState = confState
  state.tracker.configure(confState, { now: state.now, lastIndex: index })
  return undefined
}
