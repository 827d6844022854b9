// The algebra of membership: what a change makes of a configuration, and which changes make sense (§4 of the
// dissertation, §6 of the paper). Pure. Example, replacing 3 by 4 in {1, 2, 3}:
//   {addVoter 4, remove 3}  voters 1 2 4, outgoing 1 2 3, autoLeave   (quorums of both are needed)
//   {} (leave)              voters 1 2 4

import { invariant } from '../../../lib/assert.ts'
import type { ConfChange, ConfChangeSingle, ConfState, MemberId } from './types.ts'

/** Why a change cannot follow a configuration. */
export type ConfChangeProblem =
  /** Only leaving may follow a joint configuration. */
  | 'joint'
  /** Leaving needs a joint configuration. */
  | 'notJoint'
  /** Nobody could ever commit anything again. */
  | 'noVoters'
  /** One member twice in a change. */
  | 'duplicate'

export function isJoint(confState: ConfState): boolean {
  return confState.votersOutgoing.length > 0
}

/** Whether `id` has a vote in either half. */
export function isVoter(confState: ConfState, id: MemberId): boolean {
  return confState.voters.includes(id) || confState.votersOutgoing.includes(id)
}

export function isMember(confState: ConfState, id: MemberId): boolean {
  return isVoter(confState, id) || confState.learners.includes(id)
}

/** Why `change` may not follow `confState`; undefined when it may. */
export function confChangeProblem(
  confState: ConfState,
  change: ConfChange,
): ConfChangeProblem | undefined {
  const leaves = change.changes.length === 0
  if (isJoint(confState)) return leaves ? undefined : 'joint'
  if (leaves) return 'notJoint'
  const ids = new Set(change.changes.map(({ memberId }) => memberId))
  if (ids.size < change.changes.length) return 'duplicate'
  return edit(confState, change.changes, []).voters.length === 0 ? 'noVoters' : undefined
}

/** The configuration after `change`, which must be one that may follow (`confChangeProblem`). Arguments stay as they are. */
export function applyConfChange(confState: ConfState, change: ConfChange): ConfState {
  const problem = confChangeProblem(confState, change)
  invariant(problem === undefined, 'configuration change cannot follow', { problem, confState })
  if (change.changes.length === 0) return leaveJoint(confState)
  const simple = edit(confState, change.changes, [])
  const isSmall = changedVoters(confState.voters, simple.voters) <= 1
  // Growing the very first voters out of nothing has no old majority to ask.
  if (confState.voters.length === 0) return simple
  if (change.transition === 'auto' && isSmall) return simple
  const joint = edit(confState, change.changes, confState.voters)
  return { ...joint, autoLeave: change.transition !== 'jointExplicit' }
}

function leaveJoint(confState: ConfState): ConfState {
  const { voters, learners, learnersNext } = confState
  return {
    voters,
    votersOutgoing: [],
    learners: sorted([...learners, ...learnersNext]),
    learnersNext: [],
    autoLeave: false,
  }
}

/** Applies each single change to the incoming half. */
function edit(
  confState: ConfState,
  changes: readonly ConfChangeSingle[],
  votersOutgoing: readonly MemberId[],
): ConfState {
  const voters = new Set(confState.voters)
  const learners = new Set(confState.learners)
  const learnersNext = new Set<MemberId>()
  for (const { type, memberId } of changes) {
    voters.delete(memberId)
    learners.delete(memberId)
    if (type === 'addVoter') voters.add(memberId)
    else if (type === 'addLearner') {
      // Nobody learns and votes at once: a voter of the old half waits until that half is left.
      if (votersOutgoing.includes(memberId)) learnersNext.add(memberId)
      else learners.add(memberId)
    }
  }
  return {
    voters: sorted(voters),
    votersOutgoing: sorted(votersOutgoing),
    learners: sorted(learners),
    learnersNext: sorted(learnersNext),
    autoLeave: false,
  }
}

/** The number of members that vote in exactly one of the two. */
function changedVoters(before: readonly MemberId[], after: readonly MemberId[]): number {
  const left = before.filter((id) => !after.includes(id)).length
  const joined = after.filter((id) => !before.includes(id)).length
  return left + joined
}

function sorted(ids: Iterable<MemberId>): readonly MemberId[] {
  return [...ids].sort()
}

/** Trips an invariant on a configuration that no sequence of changes leads to. */
export function checkConfState(confState: ConfState): void {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState
  const details = { confState }
  for (const ids of [voters, votersOutgoing, learners, learnersNext]) {
    invariant(
      ids.every((id, i) => i === 0 || ids[i - 1]! < id),
      'membership is not sorted',
      details,
    )
  }
  invariant(!learners.some((id) => isVoter(confState, id)), 'a learner votes', details)
  invariant(
    learnersNext.every((id) => votersOutgoing.includes(id) && !voters.includes(id)),
    'a future learner is no outgoing voter',
    details,
  )
  invariant(isJoint(confState) || !autoLeave, 'nothing to leave', details)
  invariant(!isJoint(confState) || voters.length > 0, 'nobody to hand over to', details)
}
