// Elections: pre-vote, vote, the early campaign after a leader is lost, and hand-over of leadership. A pre-vote asks
// whether an election could be won and changes nothing; members that hear a live leader refuse it, so that whoever was
// cut off disturbs nobody when it returns (§9.6).

import type { MsgTimeoutNow, MsgVote, MsgVoteResp } from './message.ts'
import { jointVotes } from './quorum.ts'
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  retrySoon,
} from './roles.ts'
import type { RaftState } from './state.ts'
import type { Index, MemberId, Term } from './types.ts'

/** Whether this member has reason to believe that the cluster has a leader. */
export function hearsLeader(state: RaftState): boolean {
  if (state.role === 'leader') return true
  if (state.leader === undefined || state.leaderLost) return false
  return state.electionElapsed < state.config.electionTicks
}

/** Starts a pre-vote, or gives the leader up when this member may not campaign. */
export function campaign(state: RaftState, reason: string): void {
  if (!mayCampaign(state)) {
    becomeFollower(state, { term: state.term, leader: undefined, reason })
    return
  }
  becomePreCandidate(state, reason)
  state.votes.set(state.id, true)
  askForVotes(state, 'MsgPreVote', false)
  tally(state)
}

/** The leader asked for it: no pre-vote, and members that hear the leader answer too (§3.10). */
export function handleTimeoutNow(state: RaftState, message: MsgTimeoutNow): void {
  if (message.from !== state.leader || !mayCampaign(state)) return
  elect(state, 'transfer', true)
}

/** A vote for another, or a refusal, by the rules common to all roles. */
export function handleVote(state: RaftState, message: MsgVote): void {
  const refusal = voteRefusal(state, message)
  const granted = refusal === undefined
  const isPreVote = message.type === 'MsgPreVote'
  const reason = refusal ?? 'upToDate'
  if (isPreVote && granted) makeWay(state, message)
  if (!isPreVote && granted) {
    state.vote = message.from
    state.electionElapsed = 0
    state.earlyTicks = undefined
  }
  if (!isPreVote && reason === 'logBehind') askNext(state)
  castVote(state, message, { granted, reason })
  if (isPreVote && !granted) maybeAskAgain(state, message)
}

/**
 * There is no leader, and this member's log is longer than the candidate's: it asks next, before the candidate asks again.
 * Else one that only those elect who cannot store their votes would raise the term for ever, each time sooner than the
 * others' timeouts, which begin anew with the term (F33).
 */
function askNext(state: RaftState): void {
  if (state.role !== 'follower' || !mayCampaign(state)) return
  const { heartbeatTicks } = state.config
  state.earlyTicks = heartbeatTicks + state.prng.next((heartbeatTicks >> 1) + 1)
}

/**
 * A sender that asks for a pre-vote hears no leader any more. If it refused or ignored this member while it still did,
 * it is asked again, lest both wait for their next attempt.
 */
function maybeAskAgain(state: RaftState, { from: to, term }: MsgVote): void {
  if (state.role === 'preCandidate' && term === state.term + 1) {
    state.votes.delete(to)
    askForVote(state, { type: 'MsgPreVote', to, transfer: false })
  } else if (state.role === 'candidate' && term === state.term && !state.votes.has(to)) {
    askForVote(state, { type: 'MsgVote', to, transfer: false })
  }
}

/** Answers without looking further: this member hears a leader, or is ahead of the sender's term. */
export function refuseVote(state: RaftState, message: MsgVote, reason: string): void {
  castVote(state, message, { granted: false, reason })
}

export function handleVoteResp(state: RaftState, message: MsgVoteResp): void {
  const expected = state.role === 'preCandidate' ? 'MsgPreVoteResp' : 'MsgVoteResp'
  if (message.type !== expected) return
  // Nobody has been asked before the own vote is on disk.
  if (!state.votes.has(state.id)) return
  // A granted pre-vote carries the term that was asked for.
  const term = state.role === 'preCandidate' && !message.reject ? state.term + 1 : state.term
  if (message.term !== term || state.votes.has(message.from)) return
  state.votes.set(message.from, !message.reject)
  tally(state)
}

/**
 * What somebody knows to be committed is so for ever and for everyone who has the entry. A leader finds out by itself.
 * Whoever learns of a change of membership starts over: it counted the wrong votes.
 */
export function learnCommit(state: RaftState, message: MsgVote | MsgVoteResp): void {
  const { commit, commitTerm } = message
  if (state.role === 'leader' || !state.log.has(commit, commitTerm)) return
  if (!state.log.commitTo(commit) || state.role === 'follower' || mayCampaign(state)) return
  becomeFollower(state, { term: state.term, leader: undefined, reason: 'membershipChanges' })
  retrySoon(state)
}

/** A candidate's own vote counts once it is on its disk. */
export function countOwnVote(state: RaftState): void {
  if (state.role !== 'candidate' || state.votes.has(state.id)) return
  if (state.durableTerm !== state.term || state.durableVote !== state.id) return
  state.votes.set(state.id, true)
  tally(state)
}

/**
 * The leader this member follows is gone: it starts a pre-vote within half a heartbeat, each member at another moment.
 * Whoever still hears the leader refuses it.
 */
export function loseLeader(state: RaftState): void {
  const isPending = state.leaderLost && state.earlyTicks !== undefined
  state.leaderLost = true
  state.doubted = state.leader
  state.doubtedAt = undefined
  if (isPending || !mayCampaign(state)) return
  const delay = state.prng.next((state.config.heartbeatTicks >> 1) + 1)
  if (delay === 0) campaign(state, 'leaderLost')
  else state.earlyTicks = delay
}

/**
 * A word of the leader. After it was lost this may be an old one that was still on its way: the next heartbeat must
 * follow in time, or the campaign does.
 */
export function believeLeader(state: RaftState): void {
  state.leaderLost = false
  if (state.doubted === undefined) return
  const { heartbeatTicks } = state.config
  const halfHeartbeat = heartbeatTicks >> 1
  if (state.doubtedAt === undefined) {
    state.doubtedAt = state.now
    if (!mayCampaign(state)) return
    state.earlyTicks = heartbeatTicks + halfHeartbeat + state.prng.next(halfHeartbeat + 1)
  } else if (state.now - state.doubtedAt > halfHeartbeat) {
    state.doubted = undefined
    state.earlyTicks = undefined
  }
}

/** Counts down to the campaign of a member that hears no leader. */
export function tickElection(state: RaftState): void {
  state.electionElapsed++
  if (state.earlyTicks !== undefined) {
    state.earlyTicks--
    if (state.earlyTicks === 0) {
      state.doubtedAt = undefined
      campaign(state, 'leaderLost')
      return
    }
  }
  if (state.electionElapsed < state.electionTimeout) return
  campaign(state, state.role === 'follower' ? 'leaderSilent' : 'retry')
}

/** A change of membership that is committed but not applied yet could make this member count the wrong votes. */
function mayCampaign(state: RaftState): boolean {
  const { log } = state
  return state.isPromotable && log.nextConfChange(log.applied, log.committed) === undefined
}

function elect(state: RaftState, reason: string, transfer: boolean): void {
  becomeCandidate(state, reason)
  askForVotes(state, 'MsgVote', transfer)
}

function askForVotes(state: RaftState, type: MsgVote['type'], transfer: boolean): void {
  const { id, confState } = state
  const voters = new Set([...confState.voters, ...confState.votersOutgoing])
  for (const to of voters) if (to !== id) askForVote(state, { type, to, transfer })
}

function askForVote(
  state: RaftState,
  { type, to, transfer }: Pick<MsgVote, 'type' | 'to' | 'transfer'>,
): void {
  const { lastIndex, lastTerm } = state.log
  const term = type === 'MsgPreVote' ? state.term + 1 : state.term
  const { commit, commitTerm } = knownCommit(state)
  const from = state.id
  state.send({ type, from, to, term, lastIndex, lastTerm, transfer, commit, commitTerm })
}

function tally(state: RaftState): void {
  const result = jointVotes(state.confState, state.votes)
  if (result === 'pending') return
  const { term } = state
  if (state.role === 'preCandidate') {
    if (result === 'won') elect(state, 'preVoteWon', false)
    // Others hear a leader, or know more: wait as long as any follower.
    else becomeFollower(state, { term, leader: undefined, reason: 'preVoteLost' })
  } else if (result === 'won') {
    becomeLeader(state)
  } else {
    becomeFollower(state, { term, leader: undefined, reason: 'voteLost' })
    retrySoon(state)
  }
}

/** Why the vote is refused; undefined: it is granted (§5.2, §5.4.1). */
function voteRefusal(state: RaftState, message: MsgVote): string | undefined {
  const isPreVote = message.type === 'MsgPreVote'
  const isFree = state.vote === undefined && state.leader === undefined
  const asksAhead = isPreVote && message.term > state.term
  if (state.vote !== message.from && !isFree && !asksAhead) return 'alreadyVoted'
  if (!state.log.isUpToDate({ index: message.lastIndex, term: message.lastTerm }))
    return 'logBehind'
  // Of two that ask at the same time for the same term one makes way, lest they split the vote.
  const isFresh = state.electionElapsed < state.config.heartbeatTicks
  if (asksSame(state, message) && isFresh && !goesFirst(state, message)) return 'asksItself'
  return undefined
}

function asksSame(state: RaftState, message: MsgVote): boolean {
  return (
    state.role === 'preCandidate' &&
    message.type === 'MsgPreVote' &&
    message.term === state.term + 1
  )
}

/** Whether the sender's log is longer, or, both being equal, its id is larger. */
function goesFirst(state: RaftState, message: MsgVote): boolean {
  const { lastIndex, lastTerm } = state.log
  if (message.lastTerm !== lastTerm) return message.lastTerm > lastTerm
  if (message.lastIndex !== lastIndex) return message.lastIndex > lastIndex
  return message.from > state.id
}

/** Leaves the field to a sender that asked for a pre-vote at the same time. */
function makeWay(state: RaftState, message: MsgVote): void {
  if (state.earlyTicks !== undefined) state.earlyTicks = state.config.heartbeatTicks
  if (!asksSame(state, message) || !goesFirst(state, message)) return
  becomeFollower(state, { term: state.term, leader: undefined, reason: 'madeWay' })
  retrySoon(state)
}

function castVote(
  state: RaftState,
  message: MsgVote,
  { granted, reason }: { readonly granted: boolean; readonly reason: string },
): void {
  const isPreVote = message.type === 'MsgPreVote'
  const candidate: MemberId = message.from
  const type = isPreVote ? 'preVoteCast' : 'voteCast'
  state.trace({ type, candidate, term: message.term, granted, reason })
  // A granted pre-vote names the term it is about; a refusal the term this member is in.
  const term = isPreVote && granted ? message.term : state.term
  const resp = isPreVote ? 'MsgPreVoteResp' : 'MsgVoteResp'
  const known = knownCommit(state)
  state.send({ type: resp, from: state.id, to: candidate, term, reject: !granted, ...known })
}

function knownCommit({ log }: RaftState): { readonly commit: Index; readonly commitTerm: Term } {
  return { commit: log.effective, commitTerm: log.term(log.effective) ?? 0 }
}
