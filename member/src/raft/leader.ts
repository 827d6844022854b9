// What a leader does with each answer: moves its view of the peer, commits, confirms reads, hands over.

import type { Message, MsgAppResp, MsgHeartbeatResp, MsgSnapStatus } from './message.ts'
import type { Progress } from './progress.ts'
import { handleRoundAck } from './read-index.ts'
import { broadcastHeartbeat, flushAppends, maybeCommit } from './replication.ts'
import { becomeFollower } from './roles.ts'
import type { RaftState } from './state.ts'
import type { MemberId } from './types.ts'

export function stepLeader(state: RaftState, message: Message): void {
  const progress = state.tracker.get(message.from)
  if (progress === undefined || message.from === state.id) return
  switch (message.type) {
    case 'MsgAppResp':
      hearPeer(state, progress)
      if (message.reject) handleRefusal(state, progress, message)
      else handleAck(state, progress, message)
      return
    case 'MsgHeartbeatResp':
      hearPeer(state, progress)
      handleHeartbeatResp(state, progress, message)
      return
    case 'MsgUnreachable':
      // What is under way is probably lost.
      if (progress.state === 'replicate') progress.becomeProbe()
      return
    case 'MsgSnapStatus':
      handleSnapStatus(progress, message)
      return
    default:
    // A leader asks nothing else. A second leader of this term cannot be (§5.2); what claims to be one is void.
  }
}

/** Heartbeats and step-down depend on nothing but ticks and messages: a slow disk delays neither. */
export function tickLeader(state: RaftState): void {
  const { heartbeatTicks, electionTicks } = state.config
  if (state.tracker.quorumContact() <= state.now - electionTicks) {
    resign(state, 'checkQuorum')
    return
  }
  const { transfer } = state
  if (transfer !== undefined && state.now - transfer.startedAt >= electionTicks) {
    abortTransfer(state, 'timeout')
  }
  state.heartbeatElapsed++
  if (state.heartbeatElapsed >= heartbeatTicks) broadcastHeartbeat(state)
}

/** Leads no more, and says so: those who hear it need not wait for their timeout. */
export function resign(state: RaftState, reason: string): void {
  flushAppends(state)
  const { id, term } = state
  for (const { id: to } of state.tracker.peers) {
    state.send({ type: 'MsgTermNotice', from: id, to, term })
  }
  becomeFollower(state, { term, leader: undefined, reason })
}

/** Returns why leadership cannot go to `target`; undefined when the hand-over has begun. */
export function startTransfer(state: RaftState, target: MemberId): string | undefined {
  if (state.role !== 'leader') return 'notLeader'
  if (target === state.id) return 'isLeader'
  if (!state.confState.voters.includes(target)) return 'notVoter'
  if (state.transfer?.target === target) return undefined
  if (state.transfer !== undefined) abortTransfer(state, 'replaced')
  state.transfer = { target, startedAt: state.now }
  state.trace({ type: 'transferStarted', target })
  state.replicationDue = true
  maybeFinishTransfer(state, state.tracker.get(target)!)
  return undefined
}

export function abortTransfer(state: RaftState, reason: string): void {
  const { transfer } = state
  if (transfer === undefined) return
  state.transfer = undefined
  state.trace({ type: 'transferAborted', target: transfer.target, reason })
}

/** §3.10: the target may campaign once it has everything. */
function maybeFinishTransfer(state: RaftState, { id: to, match }: Progress): void {
  if (state.transfer?.target !== to || match !== state.log.lastIndex) return
  state.send({ type: 'MsgTimeoutNow', from: state.id, to, term: state.term })
}

function hearPeer(state: RaftState, progress: Progress): void {
  progress.lastContact = state.now
  progress.hasAnswered = true
}

function handleAck(state: RaftState, progress: Progress, message: MsgAppResp): void {
  const { log } = state
  // Nobody has what this leader never sent.
  if (message.index > log.lastIndex) return
  const isNews = progress.maybeUpdate(message.index)
  switch (progress.state) {
    case 'probe':
      // Also an old match shows where the log ends when it answers the probe.
      if (isNews || message.index === progress.match) progress.becomeReplicate()
      break
    case 'snapshot':
      if (progress.match >= log.start.index) progress.becomeReplicate()
      break
    default:
      progress.inflights.freeTo(message.index)
  }
  if (progress.next <= log.lastIndex || progress.sentCommit < log.effective) {
    state.replicationDue = true
  }
  if (!isNews) return
  maybeCommit(state)
  maybeFinishTransfer(state, progress)
}

function handleRefusal(state: RaftState, progress: Progress, message: MsgAppResp): void {
  if (message.index === 0) {
    progress.needsSnapshot = true
    state.replicationDue = true
    return
  }
  const hint = state.log.lastWithTermAtMost(message.hintTerm, message.hintIndex)
  if (progress.maybeDecrease(message.index, hint)) state.replicationDue = true
}

function handleHeartbeatResp(
  state: RaftState,
  progress: Progress,
  message: MsgHeartbeatResp,
): void {
  progress.probeSent = false
  const isBehind = progress.match < state.log.lastIndex
  // If what was sent is lost, this one is refused and the peer is probed; else it costs one empty message.
  if (progress.state === 'replicate' && isBehind) progress.mustSend = true
  if (isBehind || progress.state === 'probe') state.replicationDue = true
  if (message.context !== '') handleRoundAck(state, message.from, message.context)
}

function handleSnapStatus(progress: Progress, message: MsgSnapStatus): void {
  if (progress.state !== 'snapshot') return
  if (message.reject) progress.pendingSnapshot = 0
  progress.becomeProbe()
  // It tells itself how far it has come, or answers the next heartbeat: probing before only finds it busy.
  progress.probeSent = true
}
