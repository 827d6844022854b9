// What the parts of a cluster are called and where they are reached. All of it follows from the RaftCluster's name,
// namespace and clusterDomain, which never change; the raft ids follow from its uid. Pure.

import { clusterIdOf, describeInitialCluster, memberIdOf } from '../../../lib/identity.ts'
import type { RaftCluster } from './raft-cluster.ts'

export const PORTS = { client: 2379, peer: 2380, metrics: 2381, api: 8080 } as const

/** The volume claim template's name; the StatefulSet controller adds the pod's. */
export const DATA_VOLUME = 'data'

export function peerServiceName(cluster: string): string {
  return `${cluster}-peer`
}

export function clientServiceName(cluster: string): string {
  return `${cluster}-client`
}

export function leaderServiceName(cluster: string): string {
  return `${cluster}-leader`
}

export function membershipName(cluster: string): string {
  return `${cluster}-membership`
}

export function configName(cluster: string): string {
  return `${cluster}-config`
}

export function serviceAccountName(cluster: string): string {
  return `${cluster}-member`
}

/** A pod is called like its member. */
export function memberName(cluster: string, ordinal: number): string {
  return `${cluster}-${ordinal}`
}

export function claimName(cluster: string, ordinal: number): string {
  return `${DATA_VOLUME}-${memberName(cluster, ordinal)}`
}

/** The ordinal in a pod's or a claim's name; undefined for a name that is of no member of this cluster. */
export function ordinalOf(cluster: string, name: string): number | undefined {
  const member = name.startsWith(`${DATA_VOLUME}-${cluster}-`)
    ? name.slice(DATA_VOLUME.length + 1)
    : name
  if (!member.startsWith(`${cluster}-`)) return undefined
  const digits = member.slice(cluster.length + 1)
  return /^(0|[1-9][0-9]{0,4})$/.test(digits) ? Number(digits) : undefined
}

/** The name that resolves to one member's pod, ready or not. `member` may be a placeholder. */
export function memberHost(cluster: RaftCluster, member: string): string {
  const { name, namespace } = cluster.metadata
  return `${member}.${peerServiceName(name)}.${namespace}.svc.${cluster.spec.clusterDomain}`
}

export function memberUrl(cluster: RaftCluster, member: string, port: number): string {
  return `${schemeOf(cluster, port)}://${memberHost(cluster, member)}:${port}`
}

export function serviceUrl(cluster: RaftCluster, service: string, port: number): string {
  return `${schemeOf(cluster, port)}://${service}.${cluster.metadata.namespace}.svc:${port}`
}

function schemeOf({ spec }: RaftCluster, port: number): 'http' | 'https' {
  const use = port === PORTS.peer ? spec.tls?.peer : spec.tls?.client
  return use === undefined ? 'http' : 'https'
}

/** `N` names and URLs, in the order of their ordinals. */
export function initialMembers(
  cluster: RaftCluster,
  replicas: number,
): readonly { readonly name: string; readonly peerUrl: string }[] {
  return Array.from({ length: replicas }, (_, ordinal) => {
    const name = memberName(cluster.metadata.name, ordinal)
    return { name, peerUrl: memberUrl(cluster, name, PORTS.peer) }
  })
}

/** What the cluster's id is going to be: a function of the token and of whom it is made of. */
export function expectedClusterId(
  cluster: RaftCluster,
  options: { readonly token: string; readonly replicas: number },
): string {
  const members = initialMembers(cluster, options.replicas).map(({ name, peerUrl }) => ({
    name,
    peerUrls: [peerUrl],
  }))
  return clusterIdOf(options.token, describeInitialCluster(members))
}

/** Far more replacements than a name ever sees. */
const INCARNATIONS_MAX = 1000

/** Which incarnation of `member` this id is; undefined when it is none. */
export function incarnationOf(token: string, member: string, raftId: string): number | undefined {
  for (let incarnation = 1; incarnation <= INCARNATIONS_MAX; incarnation += 1) {
    if (memberIdOf(token, member, incarnation) === raftId) return incarnation
  }
  return undefined
}

export function expectedRaftId(token: string, member: string, incarnation: number): string {
  return memberIdOf(token, member, incarnation)
}
