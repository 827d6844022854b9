// PURE: who may talk to whom. Identity travels in HTTP header fields in both directions and is judged on both sides: same
// protocol, same cluster, the member that was meant, a member of this cluster (fault contract, promise 6).

import type { ErrorCode } from '../../../lib/errors.ts'
import type { CertificateFault } from '../../../lib/tls/judge.ts'
import type { MemberId } from '../raft/types.ts'
import type { PeerIdentity } from './options.ts'

export const PEER_PATH = '/raftbase/peer'
export const SNAPSHOT_PATH = '/raftbase/snapshot'
export const UPGRADE_TOKEN = 'raftbase-peer/1'

/** Names as Node.js gives them: lower case. On the wire they are written `Raftbase-Cluster-Id` and so on. */
const FIELD = {
  version: 'raftbase-protocol-version',
  cluster: 'raftbase-cluster-id',
  member: 'raftbase-member-id',
  to: 'raftbase-to-member-id',
  name: 'raftbase-member-name',
  incarnation: 'raftbase-incarnation',
  initialCluster: 'raftbase-initial-cluster',
  peerUrls: 'raftbase-peer-urls',
} as const

/** A longer text is left out: it only helps a person to find the difference. */
const INITIAL_CLUSTER_CHARACTERS_MAX = 4096
const NAME_CHARACTERS_MAX = 256
/** A longer list is left out by whoever writes it, and malformed to whoever reads it. */
const PEER_URLS_CHARACTERS_MAX = 2048
const PEER_URLS_MAX = 8

export type RefusalReason =
  /** A field is missing or malformed. */
  | 'malformed'
  | 'protocol'
  | 'cluster'
  /** The URL dialled is the dialler's own. */
  | 'self'
  /** Another member answers at the URL dialled. */
  | 'otherMember'
  /** The dialler is not in the set of members that this one knows (yet, or any more). */
  | 'notKnownHere'
  | 'removed'
  /** The id is known with another incarnation. */
  | 'incarnation'
  /** The receiver could not take it. */
  | 'failed'
  /** Too much of it at the moment; nothing is wrong. */
  | 'busy'
  | CertificateFault

/** Why a connection is refused. `expected` and `got` are from the point of view of the one who refuses. */
export interface Refusal {
  readonly status: number
  readonly code: ErrorCode
  readonly reason: RefusalReason
  readonly detail: string
  readonly expected?: string
  readonly got?: string
  /** What the refusing member's cluster was made of. */
  readonly initialCluster?: string
}

export type Judgement =
  | { readonly accepted: true; readonly identity: PeerIdentity }
  | { readonly accepted: false; readonly refusal: Refusal; readonly identity?: PeerIdentity }

export type Fields = Readonly<Record<string, string | readonly string[] | undefined>>

/** What the judging member knows of the others. */
export interface KnownMembers {
  isPeer(member: MemberId): boolean
  /** Whether somebody who is no peer may come in all the same: of this cluster, only not heard of here yet. */
  admits(stranger: PeerIdentity): boolean
  isRemoved(member: MemberId): boolean
  /** Where this peer is reached, as the membership has it; undefined for who is no peer. */
  peerUrlsOf(member: MemberId): readonly string[] | undefined
  /** The incarnation that this id was first seen with; undefined before. */
  incarnationOf(member: MemberId): number | undefined
}

/** Header fields with which `self` opens a connection to `to`. */
export function helloFields(self: PeerIdentity, to: MemberId): Record<string, string> {
  return { ...welcomeFields(self), [wireName(FIELD.to)]: to }
}

/** Header fields with which `self` accepts a connection. */
export function welcomeFields(self: PeerIdentity): Record<string, string> {
  const fields: Record<string, string> = {
    [wireName(FIELD.version)]: String(self.protocolVersion),
    [wireName(FIELD.cluster)]: self.clusterId,
    [wireName(FIELD.member)]: self.memberId,
    [wireName(FIELD.name)]: encodeURIComponent(self.name),
    [wireName(FIELD.incarnation)]: String(self.incarnation),
  }
  const { initialCluster, peerUrls = [] } = self
  const urls = peerUrls.map(encodeURIComponent).join(',')
  if (urls !== '' && urls.length <= PEER_URLS_CHARACTERS_MAX) {
    fields[wireName(FIELD.peerUrls)] = urls
  }
  if (initialCluster !== undefined && initialCluster.length <= INITIAL_CLUSTER_CHARACTERS_MAX) {
    fields[wireName(FIELD.initialCluster)] = encodeURI(initialCluster)
  }
  return fields
}

/** The acceptor's judgement of a dialler's header. */
export function judgeHello(self: PeerIdentity, fields: Fields, known: KnownMembers): Judgement {
  const judged = judgeIdentity(self, fields)
  if (!judged.accepted) return judged
  const { identity } = judged
  const refuse = (refusal: Refusal): Judgement => ({ accepted: false, refusal, identity })
  const id = identity.memberId
  if (id === self.memberId) return refuse(SELF)
  const to = one(fields[FIELD.to])
  if (to !== self.memberId) return refuse(otherMember({ expected: self.memberId, got: to }))
  if (known.isRemoved(id)) return refuse(REMOVED)
  if (!known.isPeer(id) && !known.admits(identity)) return refuse({ ...NOT_KNOWN_HERE, got: id })
  return judgeIncarnation(identity, known) ?? judged
}

/** The dialler's judgement of an acceptor's header: it must be `to`. */
export function judgeWelcome(
  self: PeerIdentity,
  fields: Fields,
  to: { readonly member: MemberId; readonly known: KnownMembers },
): Judgement {
  const judged = judgeIdentity(self, fields)
  if (!judged.accepted) return judged
  const { identity } = judged
  if (identity.memberId !== to.member) {
    const refusal = otherMember({ expected: to.member, got: identity.memberId })
    return { accepted: false, refusal, identity }
  }
  return judgeIncarnation(identity, to.known) ?? judged
}

/** What both sides check: the fields are there, the protocol and the cluster are the same. */
function judgeIdentity(self: PeerIdentity, fields: Fields): Judgement {
  const version = one(fields[FIELD.version])
  // First: what the other fields mean depends on it.
  if (version !== undefined && version !== String(self.protocolVersion)) {
    return { accepted: false, refusal: protocolRefusal(self, version) }
  }
  const identity = readIdentity(fields)
  if (identity === undefined) return { accepted: false, refusal: MALFORMED }
  if (identity.clusterId === self.clusterId) return { accepted: true, identity }
  const refusal: Refusal = {
    status: 412,
    code: 'CLUSTER_MISMATCH',
    reason: 'cluster',
    detail: 'cluster ID mismatch: the two members belong to different clusters',
    expected: self.clusterId,
    got: identity.clusterId,
    ...(self.initialCluster === undefined ? {} : { initialCluster: self.initialCluster }),
  }
  return { accepted: false, refusal, identity }
}

function judgeIncarnation(identity: PeerIdentity, known: KnownMembers): Judgement | undefined {
  const incarnation = known.incarnationOf(identity.memberId)
  if (incarnation === undefined || incarnation === identity.incarnation) return undefined
  const refusal: Refusal = {
    status: 412,
    code: 'MEMBER_MISMATCH',
    reason: 'incarnation',
    detail: 'this member id was known with another incarnation',
    expected: String(incarnation),
    got: String(identity.incarnation),
  }
  return { accepted: false, refusal, identity }
}

function readIdentity(fields: Fields): PeerIdentity | undefined {
  const version = decimal(one(fields[FIELD.version]))
  const clusterId = identifier(one(fields[FIELD.cluster]))
  const memberId = identifier(one(fields[FIELD.member]))
  const name = text(one(fields[FIELD.name]), NAME_CHARACTERS_MAX)
  const incarnation = decimal(one(fields[FIELD.incarnation]))
  const initialCluster = text(one(fields[FIELD.initialCluster]), INITIAL_CLUSTER_CHARACTERS_MAX)
  if (version === undefined || clusterId === undefined || memberId === undefined) return undefined
  const peerUrls = readPeerUrls(fields[FIELD.peerUrls])
  if (name === undefined || incarnation === undefined || peerUrls === undefined) return undefined
  const identity = { clusterId, memberId: memberId as MemberId, name, incarnation, peerUrls }
  const optional = initialCluster === undefined ? {} : { initialCluster }
  return { ...identity, protocolVersion: version, ...optional }
}

/** Empty where the field is left out, undefined where it is malformed: these are dialled. */
function readPeerUrls(value: string | readonly string[] | undefined): string[] | undefined {
  if (value === undefined) return []
  const list = one(value)
  if (list === undefined || list.length > PEER_URLS_CHARACTERS_MAX) return undefined
  const urls = list.split(',').map((part) => text(part, PEER_URLS_CHARACTERS_MAX))
  if (urls.length > PEER_URLS_MAX) return undefined
  return urls.every((url) => url !== undefined && isPeerUrl(url)) ? (urls as string[]) : undefined
}

/** A scheme, a host and perhaps a port, and nothing that could make a dial say something else. */
function isPeerUrl(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, hostname, username, password, pathname, search, hash } = new URL(url)
  if (protocol !== 'http:' && protocol !== 'https:') return false
  return hostname !== '' && pathname === '/' && username + password + search + hash === ''
}

const MALFORMED: Refusal = {
  status: 400,
  code: 'WIRE_MALFORMED',
  reason: 'malformed',
  detail: 'a field of the handshake is missing or malformed',
}
const SELF: Refusal = {
  status: 421,
  code: 'MEMBER_MISMATCH',
  reason: 'self',
  detail: 'the peer URL of another member leads to the member itself',
}
const REMOVED: Refusal = {
  status: 410,
  code: 'MEMBER_REMOVED',
  reason: 'removed',
  detail: 'the member has been permanently removed from the cluster',
}
const NOT_KNOWN_HERE: Refusal = {
  status: 403,
  code: 'MEMBER_MISMATCH',
  reason: 'notKnownHere',
  detail: 'this member id is not one of the members known here',
}

function protocolRefusal(self: PeerIdentity, version: string): Refusal {
  return {
    status: 426,
    code: 'PROTOCOL_MISMATCH',
    reason: 'protocol',
    detail: 'the two members speak different versions of the peer protocol',
    expected: String(self.protocolVersion),
    got: version.slice(0, NAME_CHARACTERS_MAX),
  }
}

function otherMember(ids: { expected: MemberId; got: string | undefined }): Refusal {
  return {
    status: 421,
    code: 'MEMBER_MISMATCH',
    reason: 'otherMember',
    detail: 'another member answers at this peer URL',
    expected: ids.expected,
    got: (ids.got ?? '').slice(0, NAME_CHARACTERS_MAX),
  }
}

/** Entries of two initial clusters that differ, by member; `here` or `there` is undefined where the member is missing. */
export interface ClusterDifference {
  readonly name: string
  readonly here: string | undefined
  readonly there: string | undefined
}

/** Compares two texts `name=url,name=url,…` whatever their order. Empty: they are the same, so the token differs. */
export function diffInitialClusters(here: string, there: string): ClusterDifference[] {
  const mine = urlsByName(here)
  const theirs = urlsByName(there)
  const differences: ClusterDifference[] = []
  for (const name of [...new Set([...mine.keys(), ...theirs.keys()])].toSorted()) {
    const difference = { name, here: mine.get(name), there: theirs.get(name) }
    if (difference.here !== difference.there) differences.push(difference)
  }
  return differences
}

function urlsByName(initialCluster: string): Map<string, string> {
  const urls = new Map<string, string[]>()
  for (const entry of initialCluster.split(',')) {
    const equals = entry.indexOf('=')
    const name = entry.slice(0, Math.max(equals, 0)).trim()
    const list = urls.get(name) ?? []
    list.push(entry.slice(equals + 1).trim())
    urls.set(name, list)
  }
  return new Map([...urls].map(([name, list]) => [name, list.toSorted().join(' ')]))
}

function wireName(field: string): string {
  return field.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())
}

function one(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function identifier(value: string | undefined): string | undefined {
  return value !== undefined && /^[0-9a-f]{16}$/.test(value) ? value : undefined
}

function decimal(value: string | undefined): number | undefined {
  return value !== undefined && /^(0|[1-9][0-9]{0,14})$/.test(value) ? Number(value) : undefined
}

/** Percent-decoded and free of control characters, or undefined. */
function text(value: string | undefined, charactersMax: number): string | undefined {
  if (value === undefined || value.length > charactersMax * 9) return undefined
  let decoded: string
  try {
    decoded = decodeURIComponent(value)
  } catch {
    // Malformed percent encoding: the field counts as malformed.
    return undefined
  }
  // oxlint-disable-next-line no-control-regex -- refusing control characters is what it is for.
  return decoded.length <= charactersMax && !/[\u0000-\u001f\u007f]/.test(decoded)
    ? decoded
    : undefined
}
