// Who a member is. A Raft id is a function of cluster token, name and incarnation and is never reused (design decision
// 10); a cluster id is a function of the token and of the members the cluster was made of.

import { clusterIdOf, describeInitialCluster, memberIdOf as idOf } from '../../../lib/identity.ts'
import type { MemberId } from '../raft/types.ts'

export interface InitialMember {
  readonly name: string
  readonly peerUrls: readonly string[]
}

export interface Identity {
  /** 16 lower-case hex digits. */
  readonly clusterId: string
  readonly memberId: MemberId
  readonly name: string
  readonly incarnation: number
  readonly token: string
  /** `n1=http://…,n2=http://…`, sorted by name: what the cluster was made of. */
  readonly initialCluster: string
}

const FIRST_INCARNATION = 1

export function memberIdOf(token: string, name: string, incarnation: number): MemberId {
  return idOf(token, name, incarnation) as MemberId
}

export function identityOf(options: {
  token: string
  name: string
  members: readonly InitialMember[]
  incarnation?: number
}): Identity {
  const { incarnation = FIRST_INCARNATION } = options
  const initialCluster = describeInitialCluster(options.members)
  return {
    clusterId: clusterIdOf(options.token, initialCluster),
    memberId: memberIdOf(options.token, options.name, incarnation),
    name: options.name,
    incarnation,
    token: options.token,
    initialCluster,
  }
}
