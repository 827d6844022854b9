// Linearizable reads by read index (§6.4). The leader notes its commit index, has one round of heartbeats confirm that
// it still leads, and answers every read that waited; nothing is logged. A follower asks the leader. Reads of one turn
// share a round, and a round confirms all before it.

import type { MsgReadIndex, MsgReadIndexResp } from './message.ts'
import type { ReadRequest } from './read-rounds.ts'
import { broadcastHeartbeat } from './replication.ts'
import type { RaftState } from './state.ts'
import type { Index } from './types.ts'

/** A read of this member. Ends in exactly one of Ready's `readStates` and `refusedReads`. */
export function requestRead(state: RaftState, context: string): void {
  if (state.role === 'leader') {
    if (!state.reads.maybeAdd({ from: state.id, context })) state.outbox.refusedReads.push(context)
    return
  }
  const { id, term, leader } = state
  if (leader === undefined || !state.reads.maybeAsk(context, state.now)) {
    state.outbox.refusedReads.push(context)
    return
  }
  state.send({ type: 'MsgReadIndex', from: id, to: leader, term, context })
}

/** A read of another member. */
export function handleReadIndex(state: RaftState, message: MsgReadIndex): void {
  const request = { from: message.from, context: message.context }
  if (state.role !== 'leader' || !state.reads.maybeAdd(request)) refuse(state, request)
}

export function handleReadIndexResp(state: RaftState, message: MsgReadIndexResp): void {
  const { context, index } = message
  if (!state.reads.answered(context)) return
  if (message.reject) state.outbox.refusedReads.push(context)
  else state.outbox.readStates.push({ context, index })
}

/** Begins a round for the reads that wait, at the end of a turn. They keep waiting for the leader's first commit (F46). */
export function maybeBeginRound(state: RaftState): void {
  if (!state.reads.hasWaiting || !state.hasCommittedInTerm) return
  state.reads.begin(state.log.committed)
  confirmRounds(state)
  if (state.reads.unconfirmed !== undefined) broadcastHeartbeat(state)
}

/** A member still follows this leader: it says so with the round's name. */
export function handleRoundAck(state: RaftState, from: RaftState['id'], context: string): void {
  const progress = state.tracker.get(from)
  const number = roundNumber(state, context)
  if (progress === undefined || number <= progress.ackedRound) return
  progress.ackedRound = number
  confirmRounds(state)
}

/** Answers every round that a quorum has confirmed. */
export function confirmRounds(state: RaftState): void {
  if (state.reads.unconfirmed === undefined) return
  for (const { requests, index } of state.reads.confirm(state.tracker.quorumRound())) {
    for (const request of requests) answer(state, request, index)
  }
}

/** This member leads no more, or follows another: whoever asked asks again. */
export function refuseReads(state: RaftState): void {
  for (const request of state.reads.drain()) refuse(state, request)
  state.outbox.refusedReads.push(...state.reads.expire(Infinity))
}

/** Gives up reads whose question or answer was lost. */
export function expireReads(state: RaftState): void {
  const expired = state.reads.expire(state.now - state.config.electionTicks)
  if (expired.length > 0) state.outbox.refusedReads.push(...expired)
}

/** Zero for anything that is not a round of this leadership. */
function roundNumber(state: RaftState, context: string): number {
  const prefix = `${state.term}.`
  if (!context.startsWith(prefix)) return 0
  const number = Number(context.slice(prefix.length))
  return Number.isSafeInteger(number) && number <= state.reads.newest ? number : 0
}

function answer(state: RaftState, { from, context }: ReadRequest, index: Index): void {
  if (from === state.id) {
    state.outbox.readStates.push({ context, index })
    return
  }
  const { id, term } = state
  state.send({ type: 'MsgReadIndexResp', from: id, to: from, term, context, index, reject: false })
}

function refuse(state: RaftState, { from, context }: ReadRequest): void {
  if (from === state.id) {
    state.outbox.refusedReads.push(context)
    return
  }
  const { id, term } = state
  state.send({
    type: 'MsgReadIndexResp',
    from: id,
    to: from,
    term,
    context,
    index: 0,
    reject: true,
  })
}
