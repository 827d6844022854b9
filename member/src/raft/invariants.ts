// What is true of every state, and of every change from one state to a later one (Figure 3 of the paper, as far as one
// member can see it). `checkState` is cheap enough for every Ready.

import { invariant } from '../../../lib/assert.ts'
import { checkConfState } from './conf-change.ts'
import type { RaftState } from './state.ts'
import type { Index, MemberId, Role, Term } from './types.ts'

/** The facts of one moment that later moments are compared with. */
export interface Observation {
  readonly term: Term
  readonly vote: MemberId | undefined
  readonly role: Role
  readonly leader: MemberId | undefined
  readonly committed: Index
  readonly applying: Index
  readonly applied: Index
  readonly firstIndex: Index
  readonly lastIndex: Index
  readonly truncations: number
  readonly committedTerm: Term | undefined
  readonly termOf: (index: Index) => Term | undefined
}

export function observe(state: RaftState): Observation {
  const { term, vote, role, leader, log } = state
  const { committed, applying, applied, firstIndex, lastIndex, truncations } = log
  return {
    term,
    vote,
    role,
    leader,
    committed,
    applying,
    applied,
    firstIndex,
    lastIndex,
    truncations,
    committedTerm: log.term(committed),
    termOf: (index) => log.term(index),
  }
}

/** Trips an invariant when `state` contradicts itself. */
export function checkState(state: RaftState): void {
  const { term, vote, role, leader, log, id } = state
  const { applied, applying, committed, lastIndex, persisted, handedOut } = log
  invariant(applied <= applying, 'applied past what was handed out', { applied, applying })
  invariant(applying <= committed, 'handed out past commit', { applying, committed })
  invariant(committed <= lastIndex, 'commit past the log', { committed, lastIndex })
  invariant(handedOut <= lastIndex, 'stored past the log', { handedOut, lastIndex })
  invariant(persisted <= handedOut, 'durable past what was handed out', { persisted, handedOut })
  invariant(log.lastTerm <= term, 'log is ahead of the term', { lastTerm: log.lastTerm, term })
  invariant(state.durableTerm <= term, 'disk is ahead of the term', { term })
  if (state.pendingSnapshot === undefined) {
    invariant(log.start.index <= applied, 'forgot what is not applied', { applied })
  }
  if (role === 'leader') {
    invariant(leader === id, 'leads and follows', { leader })
    invariant(vote === id, 'leads without its own vote', { vote })
    invariant(state.durableTerm === term, 'leads a term that is not durable', { term })
    invariant(state.uncommittedBytes >= 0, 'uncommitted bytes fell below zero', { term })
    for (const { match, next, id: peer } of state.tracker.peers) {
      invariant(match < next, 'next is not after match', { peer, match, next })
      invariant(next <= lastIndex + 1, 'next is past the log', { peer, next, lastIndex })
    }
  } else {
    invariant(leader !== id, 'follows itself', { role })
  }
  if (role === 'candidate') invariant(vote === id, 'asks for votes it did not give', { vote })
}

/** Trips an invariant when `after` cannot have followed `before` in the life of one process. */
export function checkTransition(before: Observation, after: Observation): void {
  const { term, committed } = before
  invariant(after.term >= term, 'term fell', { before: term, after: after.term })
  invariant(after.committed >= committed, 'commit fell', { committed, after: after.committed })
  invariant(after.applying >= before.applying, 'handed out fell', { after: after.applying })
  invariant(after.applied >= before.applied, 'applied fell', { after: after.applied })
  invariant(after.firstIndex >= before.firstIndex, 'forgotten entries came back', {
    after: after.firstIndex,
  })
  const committedTerm = after.termOf(committed)
  invariant(
    committedTerm === before.committedTerm ||
      committedTerm === undefined ||
      before.committedTerm === undefined,
    'a committed entry changed',
    { committed },
  )
  if (after.term !== term) return
  const keptVote = before.vote === undefined || after.vote === before.vote
  invariant(keptVote, 'a second vote in one term', { term, before: before.vote, after: after.vote })
  const wasLeader = before.role === 'leader'
  if (wasLeader && after.role === 'leader') {
    // Leader Append-Only (§5.3).
    invariant(after.truncations === before.truncations, 'a leader replaced entries', { term })
    invariant(after.lastIndex >= before.lastIndex, 'a leader lost entries', { term })
  } else {
    invariant(after.role !== 'leader' || !wasLeader, 'led a term twice', { term })
  }
}

/** The checks that cost more than a Ready should: configuration and the terms along the log. */
export function checkDeep(state: RaftState): void {
  checkConfState(state.confState)
  const { log } = state
  let term = log.start.term
  for (let index = log.firstIndex; index <= log.lastIndex; index++) {
    const entry = log.entry(index)
    invariant(entry.index === index, 'entry is in another place', { index, found: entry.index })
    invariant(entry.term >= term, 'term falls along the log', { index })
    invariant((entry.type === 'confChange') === (entry.change !== undefined), 'entry is neither', {
      index,
    })
    term = entry.term
  }
}
