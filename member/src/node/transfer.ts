// Handing leadership to another voter on request, and waiting until it is confirmed.

import { RaftbaseError } from '../../../lib/errors.ts'
import type { MemberId } from '../raft/types.ts'
import type { Driver } from './driver.ts'
import type { LeaderWatch } from './leader-watch.ts'
import type { CallOptions } from './member-node.ts'
import { bestSuccessor } from './successor.ts'

/** To `target`, or to the most caught-up voter; see `MemberNode.transferLeader`. */
export async function transferLeader(
  member: { readonly id: MemberId; readonly driver: Driver; readonly leaderWatch: LeaderWatch },
  target: MemberId | undefined,
  options: CallOptions,
): Promise<MemberId> {
  const { id, driver, leaderWatch } = member
  const chosen = target ?? bestSuccessor(driver.raft)
  if (driver.leader !== id) {
    throw new RaftbaseError('NOT_LEADER', 'this member does not lead', {
      details: { leader: driver.leader },
    })
  }
  if (chosen === undefined) throw new RaftbaseError('NO_LEADER', 'no other voter can take over')
  if (chosen === id) return chosen
  const peer = driver.raft.status().progress.find((one) => one.id === chosen)
  if (peer?.recentlyActive === false) {
    // Tried all the same, it would hold every write up for an election timeout.
    throw new RaftbaseError('NOT_READY', 'the member that is to lead does not answer', {
      details: { reason: 'silent', member: chosen },
    })
  }
  const result = driver.transferLeader(chosen)
  if (!result.accepted) {
    throw new RaftbaseError('INVALID_ARGUMENT', 'leadership cannot go to that member', {
      details: { field: 'target', target: chosen, reason: result.reason },
    })
  }
  await leaderWatch.becomes(chosen, options)
  return chosen
}
