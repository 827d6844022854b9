// What a member does with each message while it asks for votes or pre-votes.

import { handleVoteResp, tickElection } from './election.ts'
import { stepFollower } from './follower.ts'
import type { Message } from './message.ts'
import { expireReads } from './read-index.ts'
import { becomeFollower } from './roles.ts'
import type { RaftState } from './state.ts'

export function stepCandidate(state: RaftState, message: Message): void {
  switch (message.type) {
    case 'MsgVoteResp':
    case 'MsgPreVoteResp':
      handleVoteResp(state, message)
      return
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      // Somebody leads this term already (§5.2).
      becomeFollower(state, { term: state.term, leader: message.from, reason: 'leaderHeard' })
      stepFollower(state, message)
      return
    default:
    // Nothing that concerns a member without a leader.
  }
}

export function tickCandidate(state: RaftState): void {
  expireReads(state)
  tickElection(state)
}
