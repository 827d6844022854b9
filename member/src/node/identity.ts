// Who a member is. A Raft id is a function of cluster token, name and incarnation and is never reused (design decision
// 10); a cluster id is a function of the token and of the members the cluster was made of.

import { createHash } from 'node:crypto'
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
  return digest('member', [token, name, String(incarnation)]) as MemberId
}

/** The canonical text of an initial cluster: members by name, URLs of one member in sorted order. */
export function describeInitialCluster(members: readonly InitialMember[]): string {
  return members
    .flatMap((member) => member.peerUrls.map((url) => `${member.name}=${url}`))
    .toSorted()
    .join(',')
}

export function identityOf(options: {
  token: string
  name: string
  members: readonly InitialMember[]
}): Identity {
  const initialCluster = describeInitialCluster(options.members)
  return {
    clusterId: digest('cluster', [options.token, initialCluster]),
    memberId: memberIdOf(options.token, options.name, FIRST_INCARNATION),
    name: options.name,
    incarnation: FIRST_INCARNATION,
    token: options.token,
    initialCluster,
  }
}

/** Length-prefixed parts, so that no two lists of parts read the same. */
function digest(kind: string, parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of ['raftbase', kind, ...parts]) hash.update(`${Buffer.byteLength(part)}:${part}`)
  return hash.digest('hex').slice(0, 16)
}
