// Who a member and a cluster are, as functions of what both sides know beforehand (docs/adr/0010): the member computes its
// own ids with them, and the operator those it expects. Pure.

import { createHash } from 'node:crypto'

export interface NamedPeer {
  readonly name: string
  readonly peerUrls: readonly string[]
}

/** 16 lower-case hex digits. Never the same for two incarnations of a name, whose disks differ. */
export function memberIdOf(token: string, name: string, incarnation: number): string {
  return digest('member', [token, name, String(incarnation)])
}

/** 16 lower-case hex digits. `initialCluster` is canonical: see {@link describeInitialCluster}. */
export function clusterIdOf(token: string, initialCluster: string): string {
  return digest('cluster', [token, initialCluster])
}

/**
 * Of a cluster that is made from a snapshot: never that of the cluster the snapshot is of, whatever its token and members
 * are called, and the same for all members that are made from the same file in the same way.
 */
export function restoredClusterIdOf(options: {
  readonly token: string
  readonly initialCluster: string
  /** SHA-256 of the snapshot. */
  readonly digest: string
  /** Of the state it begins with. */
  readonly revision: number
  readonly compactRevision: number
}): string {
  const { token, initialCluster, revision, compactRevision } = options
  const state = [options.digest, String(revision), String(compactRevision)]
  return digest('restored cluster', [token, initialCluster, ...state])
}

/** The canonical text of an initial cluster, `n1=http://…,n2=http://…`: sorted. */
export function describeInitialCluster(members: readonly NamedPeer[]): string {
  return members
    .flatMap((member) => member.peerUrls.map((url) => `${member.name}=${url}`))
    .toSorted()
    .join(',')
}

/** Length-prefixed parts, so that no two lists of parts read the same. */
function digest(kind: string, parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of ['raftbase', kind, ...parts]) hash.update(`${Buffer.byteLength(part)}:${part}`)
  return hash.digest('hex').slice(0, 16)
}
