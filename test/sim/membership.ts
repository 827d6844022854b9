// Changes of membership in a simulation: asks whoever leads, as an operator would, at any moment and with no care whether
// it is a good one. What the leader refuses is as good as what it does; anything but an honest answer is a failure.

import { RaftbaseError } from '../../lib/errors.ts'
import type { MembershipCall, MembershipChange } from '../../member/src/node/membership.ts'
import type { SimCluster } from './cluster.ts'
import type { MembershipAction } from './fault-plan.ts'
import type { SimMember } from './member.ts'

/** Members that belong to the cluster or wait to; more are not added. */
const MEMBERS_MAX = 7
const TIMEOUT_MS = 3000

export function changeMembership(
  cluster: SimCluster,
  { change, which }: { readonly change: MembershipAction; readonly which: number },
): void {
  const leader = cluster.leader
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
  const { member } = leader
  const run = async (): Promise<void> => {
    try {
      const result = await member.membership.change(wanted, call)
      cluster.trace.tell(leader.name, `changed its membership, epoch ${result.epoch}`)
      if (isStale) throw new Error('a stale change of membership was made')
    } catch (error) {
      if (!(error instanceof RaftbaseError)) cluster.world.fail(error)
      else cluster.trace.tell(leader.name, `membership: ${error.code}, ${error.message}`)
    }
  }
  void run()
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
    case 'add': {
      if (members.size >= MEMBERS_MAX) return undefined
      const { id, name } = cluster.join()
      return { type: 'addLearner', id, name, peerUrls: [`sim://${name}`] }
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
      const dead = cluster.members.find(({ id, isUp }) => voters.includes(id) && !isUp)
      return { type: 'replace', removed: dead?.id ?? voter, promoted: learner }
    }
    default:
      // Already so would be answered before the epoch is looked at.
      return learner === undefined ? undefined : { type: 'remove', id: learner }
  }
}
