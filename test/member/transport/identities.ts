// Identities of the members in these tests, also for a member in a process of its own.

import type { MemberId } from '../../../member/src/raft/types.ts'

export const CLUSTER_ID = '00000000000000c1'

export function memberId(number: number): MemberId {
  return number.toString(16).padStart(16, '0') as MemberId
}
