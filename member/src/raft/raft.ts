// One step of the core: the rules of terms that hold in every role, then dispatch by role. Pure and synchronous: same
// inputs and seed, same outputs.

import { unreachable } from '../../../lib/assert.ts'
import { stepCandidate, tickCandidate } from './candidate.ts'
import { handleVote, hearsLeader, learnCommit, refuseVote } from './election.ts'
import { stepFollower, tickFollower } from './follower.ts'
import { stepLeader, tickLeader } from './leader.ts'
import type { Message, MsgVote, MsgVoteResp } from './message.ts'
import { handleReadIndex, handleReadIndexResp } from './read-index.ts'
import { becomeFollower } from './roles.ts'
import type { RaftState } from './state.ts'
import type { MemberId } from './types.ts'

/** One tick of the driver's clock. */
export function tick(state: RaftState): void {
  state.now++
  switch (state.role) {
    case 'follower':
      tickFollower(state)
      return
    case 'preCandidate':
    case 'candidate':
      tickCandidate(state)
      return
    case 'leader':
      tickLeader(state)
      return
    default:
      unreachable(state.role)
  }
}

/** Takes in one message; whatever it is, it cannot break an invariant. */
export function step(state: RaftState, message: Message): void {
  if (message.type === 'MsgUnreachable' || message.type === 'MsgSnapStatus') {
    stepRole(state, message)
    return
  }
  if (isVote(message) || isVoteResp(message)) learnCommit(state, message)
  if (isVote(message) && !message.transfer && message.term > state.term && hearsLeader(state)) {
    // Never overrides a majority that hears the leader (§4.2.3). A vote gets no answer: the sender would not heed it.
    if (message.type === 'MsgPreVote') refuseVote(state, message, 'hearsLeader')
    return
  }
  if (message.term < state.term) {
    answerOldTerm(state, message)
    return
  }
  if (message.term > state.term && !isAboutFuture(message)) {
    // The one that was asked to campaign does so: the hand-over ends as it was meant to.
    if (state.transfer?.target === message.from) state.transfer = undefined
    becomeFollower(state, { term: message.term, leader: leaderOf(message), reason: 'newTerm' })
  }
  switch (message.type) {
    case 'MsgVote':
    case 'MsgPreVote':
      handleVote(state, message)
      return
    case 'MsgReadIndex':
      handleReadIndex(state, message)
      return
    case 'MsgReadIndexResp':
      handleReadIndexResp(state, message)
      return
    default:
      stepRole(state, message)
  }
}

function stepRole(state: RaftState, message: Message): void {
  switch (state.role) {
    case 'follower':
      stepFollower(state, message)
      return
    case 'preCandidate':
    case 'candidate':
      stepCandidate(state, message)
      return
    case 'leader':
      stepLeader(state, message)
      return
    default:
      unreachable(state.role)
  }
}

function isVote(message: Message): message is MsgVote {
  return message.type === 'MsgVote' || message.type === 'MsgPreVote'
}

function isVoteResp(message: Message): message is MsgVoteResp {
  return message.type === 'MsgVoteResp' || message.type === 'MsgPreVoteResp'
}

/** A pre-vote and its grant speak of a term that nobody is in yet. */
function isAboutFuture(message: Message): boolean {
  if (message.type === 'MsgPreVote') return true
  return message.type === 'MsgPreVoteResp' && !message.reject
}

/** Whom the message shows to lead its term. */
function leaderOf(message: Message): MemberId | undefined {
  switch (message.type) {
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      return message.from
    default:
      return undefined
  }
}

/** §5.1: a message of an old term is refused; its sender learns of the new one where it waits for an answer. */
function answerOldTerm(state: RaftState, message: Message): void {
  const { id, term } = state
  switch (message.type) {
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      state.send({ type: 'MsgTermNotice', from: id, to: message.from, term })
      return
    case 'MsgVote':
    case 'MsgPreVote':
      refuseVote(state, message, 'oldTerm')
      return
    case 'MsgReadIndex': {
      const { from: to, context } = message
      state.send({ type: 'MsgReadIndexResp', from: id, to, term, context, index: 0, reject: true })
      return
    }
    default:
    // Late answers (F22).
  }
}
