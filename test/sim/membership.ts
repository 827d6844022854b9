// Changes of membership in a simulation: asks whoever leads, as an operator would, at any moment and with no care whether
// it is a good one. Answers get lost, and whoever asked asks again, of whoever leads by then. What the leader refuses is as
// good as what it does; anything but an honest answer is a failure.

import { RaftbaseError } from '../../lib/errors.ts'
import type { MembershipCall, MembershipChange } from '../../member/src/node/membership.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import { CheckFailure } from './checkers/checker.ts'
import { membersOf } from './checkers/one-cluster.ts'
import type { SimCluster } from './cluster.ts'
import type { MembershipAction } from './fault-plan.ts'
import type { SimMember } from './member.ts'

/** Members that belong to the cluster or wait to; more are not added. */
const MEMBERS_MAX = 7
const TIMEOUT_MS = 3000
/** Between two attempts whose outcome is not known. */
const RETRY_MS = 700
const ATTEMPTS_MAX = 8

const UNKNOWN = { wasDone: false, mayBeDone: false }

interface Asked {
  readonly change: MembershipChange
  readonly call: MembershipCall
  readonly isStale: boolean
  /** Of the first attempts so many get no answer that arrives. */
  lostAnswers: number
  attempts: number
  /** An answer was lost that said it was done. */
  wasDone: boolean
  /** An attempt had no answer. */
  mayBeDone: boolean
  /** Told once: up to where the leader had applied that found it in force, or that it was refused; not if the outcome stays unknown. */
  readonly onEnd?: (end: { readonly index: number } | 'refused') => void
}

export function changeMembership(
  cluster: SimCluster,
  { change, which }: { readonly change: MembershipAction; readonly which: number },
): void {
  const { leader } = cluster
  if (leader?.member === undefined || leader.isPaused) return
  const wanted = changeOf(cluster, leader, change, which)
  if (wanted === undefined) return
  const epoch = leader.member.stateMachine.membershipEpoch
  const isStale = change === 'stale'
  const call: MembershipCall = {
    timeoutMs: TIMEOUT_MS,
    // Every other call says which membership it means.
    ...(isStale ? { expectedEpoch: epoch + 1 } : which % 2 === 0 ? { expectedEpoch: epoch } : {}),
  }
  const lostAnswers = [0, 0, 0, 1, 1, 2][which % 6]!
  attempt(cluster, { change: wanted, call, isStale, lostAnswers, attempts: 0, ...UNKNOWN })
}

/** A member is reached elsewhere from now on; of the answers some are lost. */
export function updatePeerUrl(
  cluster: SimCluster,
  options: {
    readonly id: MemberId
    readonly peerUrl: string
    readonly lostAnswers: number
    readonly onEnd: NonNullable<Asked['onEnd']>
  },
): void {
  const { id, peerUrl, lostAnswers, onEnd } = options
  const change: MembershipChange = { type: 'update', id, peerUrls: [peerUrl] }
  const call = { timeoutMs: TIMEOUT_MS }
  attempt(cluster, {
    change,
    call,
    isStale: false,
    lostAnswers,
    attempts: 0,
    ...UNKNOWN,
    onEnd,
  })
}

/** One call to whoever leads now; its outcome is looked at even if nobody hears it. */
function attempt(cluster: SimCluster, asked: Asked): void {
  const { leader, world } = cluster
  const { process } = leader ?? {}
  if (asked.attempts++ >= ATTEMPTS_MAX) return
  if (leader?.member === undefined || process === undefined) return later(cluster, asked)
  const { member } = leader
  let isOver = false
  const again = (why: string): void => {
    if (isOver) return
    isOver = true
    asked.mayBeDone = true
    forget()
    cluster.trace.tell(leader.name, `membership: no answer (${why}), asked again`)
    later(cluster, asked)
  }
  const forget = process.onKill(() => again('it died'))
  const run = async (): Promise<void> => {
    try {
      const { epoch } = await member.membership.change(asked.change, asked.call)
      if (asked.isStale) throw new Error('a stale change of membership was made')
      if (isOver) return
      if (asked.lostAnswers > 0) {
        asked.lostAnswers--
        asked.wasDone = true
        return again('it was lost')
      }
      isOver = true
      forget()
      cluster.trace.tell(leader.name, `changed its membership, epoch ${epoch}`)
      cluster.onMembership({
        epoch,
        what: JSON.stringify(asked.change),
        holds: (members) => holds(asked.change, members),
      })
      asked.onEnd?.({ index: member.stateMachine.appliedIndex })
    } catch (error) {
      if (!(error instanceof RaftbaseError)) return world.fail(error)
      if (error.code === 'OUTCOME_UNKNOWN' || error.code === 'SHUTTING_DOWN') {
        return again(error.code)
      }
      // Certain of this call, not of those before it.
      const isOfThisCall = error.code === 'TIMEOUT' || error.code === 'NOT_LEADER'
      if (asked.change.type === 'update' && isOfThisCall && asked.mayBeDone) {
        return again(error.code)
      }
      isOver = true
      forget()
      cluster.trace.tell(leader.name, `membership: ${error.code}, ${error.message}`)
      const isSo = holds(asked.change, membersOf(member.stateMachine))
      // Where somebody is reached may have changed again meanwhile.
      const changesBack = asked.change.type === 'update' || asked.change.type === 'addLearner'
      if (!asked.wasDone || !isSo || changesBack || error.code === 'NOT_LEADER') {
        asked.onEnd?.('refused')
        return
      }
      const what = `what was done and is so is refused as ${error.code}`
      world.fail(new CheckFailure('one cluster', `${what}: ${JSON.stringify(asked.change)}`))
    }
  }
  void run()
}

function later(cluster: SimCluster, asked: Asked): void {
  const { world } = cluster
  world.schedule({ delayMs: RETRY_MS, run: () => world.act(() => attempt(cluster, asked)) })
}

/** Whether a membership is one in which the change was made. A joint one is on its way there. */
function holds(change: MembershipChange, members: readonly string[]): boolean {
  const roleOf = (id: MemberId): string | undefined =>
    members.find((member) => member.startsWith(id))?.split(' ')[1]
  const isGone = (id: MemberId): boolean => [undefined, 'leaving'].includes(roleOf(id))
  const isVoter = (id: MemberId): boolean => roleOf(id)?.startsWith('voter') === true
  switch (change.type) {
    case 'addLearner':
      return roleOf(change.id) !== undefined
    case 'promote':
      return change.ids.every(isVoter)
    case 'remove':
      return isGone(change.id)
    case 'replace':
      return isGone(change.removed) && isVoter(change.promoted)
    default:
      // Another address: the same members.
      return roleOf(change.id) !== undefined
  }
}

function changeOf(
  cluster: SimCluster,
  leader: SimMember,
  change: MembershipAction,
  which: number,
): MembershipChange | undefined {
  const { confState, members } = leader.member!.stateMachine
  const { voters, learners } = confState
  const learner = learners[which % Math.max(1, learners.length)]
  const voter = voters[which % Math.max(1, voters.length)]
  switch (change) {
    case 'add':
    case 'addAgain': {
      if (members.size >= MEMBERS_MAX) return undefined
      const gone = change === 'add' ? undefined : someoneGone(cluster, which)
      const { id, identity, peerUrl } = cluster.join(gone)
      return { type: 'addLearner', id, name: identity.name, peerUrls: [peerUrl] }
    }
    case 'promote':
      return learner === undefined ? undefined : { type: 'promote', ids: [learner] }
    case 'promoteAll':
      return learners.length === 0 ? undefined : { type: 'promote', ids: learners }
    case 'remove': {
      const gone = which % 4 === 0 ? learner : voter
      return gone === undefined ? undefined : { type: 'remove', id: gone }
    }
    case 'replace': {
      if (learner === undefined || voter === undefined) return undefined
      const dead = cluster.members.find(({ id, member }) => voters.includes(id) && !member)
      return { type: 'replace', removed: dead?.id ?? voter, promoted: learner }
    }
    case 'removedId': {
      // Its id is used up: whoever leads has to say so.
      const gone = someoneGone(cluster, which)
      if (gone === undefined) return undefined
      const { id, identity, peerUrl } = gone
      return { type: 'addLearner', id, name: identity.name, peerUrls: [peerUrl] }
    }
    default:
      // Already so would be answered before the epoch is looked at.
      return learner === undefined ? undefined : { type: 'remove', id: learner }
  }
}

/** A member that was removed, with everybody who had its name since. */
function someoneGone({ members }: SimCluster, which: number): SimMember | undefined {
  const taken = new Set(
    members.filter(({ isBuried }) => !isBuried).map(({ identity }) => identity.name),
  )
  const gone = members.filter(({ identity }) => !taken.has(identity.name))
  return gone[which % Math.max(1, gone.length)]
}
