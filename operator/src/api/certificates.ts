// The certificates of a cluster: which there are, what each is for, and what is known of it. One authority signs all of them,
// or the user gives those of the members. Pure.

import type { RaftCluster } from './raft-cluster.ts'
import {
  clientServiceName,
  leaderServiceName,
  memberHost,
  memberName,
  peerServiceName,
} from './names.ts'

export interface CertificateFacts {
  /** Of the whole certificate, hex. */
  readonly sha256: string
  /** RFC 3339. */
  readonly notBefore: string
  readonly notAfter: string
}

export interface AuthorityFacts {
  readonly current: CertificateFacts
  /** Trusted, and signs nothing yet. */
  readonly next?: CertificateFacts
  /** Trusted, and signs nothing any more. */
  readonly previous?: CertificateFacts
}

export interface LeafFacts {
  readonly certificate?: CertificateFacts
  readonly hosts: readonly string[]
  /** Which of our authorities has signed it. */
  readonly signer?: string
  /** SHA-256 of whom it comes with as trusted. */
  readonly trusts: readonly string[]
  readonly problem?: string
}

/** `peer` and `server` are the members', `client` is for applications, `operator` ours. */
export type LeafUse = 'peer' | 'server' | 'client' | 'operator'

/** What a user's Secret holds for members; with a problem none of it is used. */
export interface GivenLeafFacts {
  /** Name of the Secret. */
  readonly secret: string
  readonly certificate?: CertificateFacts
  /** SHA-256 of whom its `ca.crt` names, each once. */
  readonly trusts: readonly string[]
  readonly problem?: string
}

/** What a certificate has to be good for that a user gives. */
export interface GivenNeed {
  readonly use: 'peer' | 'server'
  /** Name of the Secret. */
  readonly secret: string
  readonly usages: readonly ('server' | 'client')[]
  /** In groups: where none of a group is there, its first line says so for all of them. */
  readonly hosts: readonly { readonly pattern: string; readonly names: readonly string[] }[]
}

export interface LeafOrder {
  readonly use: LeafUse
  readonly commonName: string
  readonly usages: readonly ('server' | 'client')[]
  readonly hosts: readonly string[]
  readonly lifeMs: number
}

export function authorityName(cluster: string): string {
  return `${cluster}-ca`
}

/** What of the spec says where the authority comes from. */
function sourceOf({ spec }: RaftCluster) {
  // The schema holds both parts to the same.
  return spec.tls?.peer ?? spec.tls?.client
}

/** The Secret with the authority that somebody else gives, if it holds one; undefined where the operator makes one. */
export function givenAuthority(cluster: RaftCluster): string | undefined {
  if (issuerOf(cluster) !== undefined) return requestName(cluster.metadata.name)
  return sourceOf(cluster)?.secretRef?.name
}

/** Whom cert-manager is to ask; undefined for a cluster that does not use it. */
export function issuerOf(
  cluster: RaftCluster,
): { readonly name: string; readonly kind: 'Issuer' | 'ClusterIssuer' } | undefined {
  const issuer = sourceOf(cluster)?.issuerRef
  return issuer === undefined ? undefined : { name: issuer.name, kind: issuer.kind ?? 'Issuer' }
}

/** Of the Certificate that cert-manager is asked for, and of the Secret it puts it in. */
export function requestName(cluster: string): string {
  return `${cluster}-authority`
}

export function leafName(cluster: string, use: LeafUse): string {
  return `${cluster}-${use}-tls`
}

/** The leaves that a cluster with this spec has, in the order in which they are made. */
export function leavesOf(cluster: RaftCluster): readonly LeafOrder[] {
  const { tls } = cluster.spec
  const { name, namespace } = cluster.metadata
  const orders: LeafOrder[] = []
  const { peer, client } = tls ?? {}
  const inNamespace = (service: string): readonly string[] => [
    `${service}.${namespace}.svc`,
    `${service}.${namespace}.svc.${cluster.spec.clusterDomain}`,
  ]
  const members = inNamespace(`*.${peerServiceName(name)}`)
  const own = ['localhost', '127.0.0.1', '::1']
  if (peer !== undefined) {
    const usages = ['server', 'client'] as const
    const lifeMs = hoursOf(peer.duration)
    orders.push({ use: 'peer', commonName: `${name}-peer`, usages, hosts: members, lifeMs })
  }
  if (client !== undefined) {
    const services = [clientServiceName(name), leaderServiceName(name)]
    const hosts = [
      ...members,
      ...services.flatMap((service) => [
        service,
        `${service}.${namespace}`,
        ...inNamespace(service),
      ]),
      ...own,
    ]
    const lifeMs = hoursOf(client.duration)
    const server = ['server'] as const
    orders.push({ use: 'server', commonName: `${name}-server`, usages: server, hosts, lifeMs })
    const shown = { usages: ['client'] as const, hosts: [], lifeMs }
    orders.push({ use: 'client', commonName: `${name}-client`, ...shown })
    orders.push({ use: 'operator', commonName: 'raftbase-operator', ...shown })
  }
  return orders
}

/** With source Secret: what each of them has to hold, if it is no authority. */
export function givenNeeds(cluster: RaftCluster): readonly GivenNeed[] {
  const { peer, client } = cluster.spec.tls ?? {}
  const { name, namespace } = cluster.metadata
  // Members that are to be removed still need theirs.
  const count = Math.max(cluster.spec.replicas, cluster.status.members?.length ?? 0)
  const members = Array.from({ length: count }, (_, ordinal) => memberName(name, ordinal))
  const full = {
    pattern: memberHost(cluster, '*'),
    names: members.map((member) => memberHost(cluster, member)),
  }
  const needs: GivenNeed[] = []
  if (peer?.secretRef !== undefined) {
    const usages = ['server', 'client'] as const
    needs.push({ use: 'peer', secret: peer.secretRef.name, usages, hosts: [full] })
  }
  if (client?.secretRef !== undefined) {
    const inNamespace = `${peerServiceName(name)}.${namespace}.svc`
    const short = {
      pattern: `*.${inNamespace}`,
      names: members.map((member) => `${member}.${inNamespace}`),
    }
    const services = [
      clientServiceName(name),
      ...(cluster.spec.services.leader.enabled ? [leaderServiceName(name)] : []),
    ].flatMap((service) => [
      `${service}.${namespace}.svc`,
      `${service}.${namespace}.svc.${cluster.spec.clusterDomain}`,
    ])
    needs.push({
      use: 'server',
      secret: client.secretRef.name,
      // The operator shows it to members that ask who comes.
      usages: client.mode === 'Mutual' ? ['server', 'client'] : ['server'],
      hosts: [full, short, ...services.map((host) => ({ pattern: host, names: [host] }))],
    })
  }
  return needs
}

/** `2160h`, as the schema has checked. */
function hoursOf(duration: string): number {
  return Number.parseInt(duration, 10) * 3_600_000
}
