// membership.json: what an operator tells the members of a cluster about it, in a file that they read at start and whenever
// it changes. The operator writes it, the member reads it, both by the types here. A hint for bootstrap and join: a member
// that has data goes by its log, and by this file only where it fences. Pure.
//
//   { "schema": 1, "cluster": "prod/demo", "token": "9c1e…", "phase": "Running", "clusterId": "9f3c…", "epoch": 14,
//     "initialCluster": "demo-0=http://demo-0.demo-peer.prod.svc:2380,…",
//     "members": [ { "name": "demo-0", "ordinal": 0, "incarnation": 1, "raftId": "a1…", "state": "Voter",
//                    "peerUrl": "http://demo-0.demo-peer.prod.svc:2380" } ] }

import { clusterIdOf, describeInitialCluster, memberIdOf } from './identity.ts'

export const MEMBERSHIP_SCHEMA = 1
/** A file of 32 members is far smaller. */
export const MEMBERSHIP_BYTES_MAX = 256 * 1024

const MEMBERS_MAX = 64
const PROBLEMS_MAX = 8

export const MEMBERSHIP_PHASES = ['Bootstrapping', 'Running', 'Recovering'] as const
/**
 * Bootstrapping: the voters listed make a new cluster, unless a peer already belongs to one. Running: the cluster exists;
 * whoever has no data joins, or waits. Recovering: nobody takes part until an operator has decided who survives.
 */
export type MembershipPhase = (typeof MEMBERSHIP_PHASES)[number]

export const MEMBERSHIP_STATES = ['Voter', 'Learner'] as const
export type MembershipState = (typeof MEMBERSHIP_STATES)[number]

export interface MembershipEntry {
  readonly name: string
  readonly ordinal: number
  /** 1 for the first disk of this name, one more for each disk that replaces it. */
  readonly incarnation: number
  /** 16 hex digits, as `memberIdOf` makes it of token, name and incarnation; checked when given. */
  readonly raftId?: string
  readonly state: MembershipState
  /** Exactly what this member advertises to its peers. */
  readonly peerUrl: string
}

export interface MembershipDocument {
  readonly schema: typeof MEMBERSHIP_SCHEMA
  /** For people: namespace and name. */
  readonly cluster: string
  /** `-initial-cluster-token` of every member. */
  readonly token: string
  readonly phase: MembershipPhase
  /**
   * In phase Bootstrapping: a majority has made the cluster, and those who have not started yet may still come. Whoever is
   * blank then has to be told by a majority of the others that it is not known; it cannot make anything by itself.
   */
  readonly formed?: boolean
  /** 16 hex digits. Given in phase Running; before, `clusterIdOf` tells what it is going to be. */
  readonly clusterId?: string
  /** Grows with every change of this document; a member reports in its status which one it has read. */
  readonly epoch: number
  /** `NAME=URL,…`: whom the cluster was made of. Does not change afterwards. */
  readonly initialCluster: string
  /** Everybody who belongs to the cluster now, those about to join as learners included. */
  readonly members: readonly MembershipEntry[]
}

export type ParsedMembership =
  | { readonly ok: true; readonly document: MembershipDocument }
  /** Every problem, each naming the field; a few at most. */
  | { readonly ok: false; readonly problems: readonly string[] }

/** Checks everything a member relies on. Unknown fields are passed over: a newer operator may write more. */
export function parseMembership(text: string): ParsedMembership {
  if (text.length > MEMBERSHIP_BYTES_MAX) return refused(['the file is too large'])
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Cut short or no JSON at all: a reader tries again when the file changes.
    return refused(['the file is not JSON'])
  }
  if (!isObject(value)) return refused(['the file is not a JSON object'])
  if (value['schema'] !== MEMBERSHIP_SCHEMA) {
    return refused([`schema: is ${describe(value['schema'])}, this version reads 1`])
  }
  const problems = [...problemsOfDocument(value), ...problemsOfMembers(value['members'])]
  if (problems.length > 0) return refused(problems)
  const document = value as unknown as MembershipDocument
  const contradictions = contradictionsOf(document)
  return contradictions.length > 0 ? refused(contradictions) : { ok: true, document }
}

/** `NAME=URL,…` as name and URL. A part without `=` has an undefined URL. */
export function splitInitialCluster(
  text: string,
): readonly { readonly name: string; readonly url: string | undefined }[] {
  return text.split(',').map((part) => {
    const entry = part.trim()
    const at = entry.indexOf('=')
    if (at < 0) return { name: entry, url: undefined }
    return { name: entry.slice(0, at), url: entry.slice(at + 1) }
  })
}

const FIELDS: Readonly<Record<string, { readonly is: (value: unknown) => boolean; says: string }>> =
  {
    cluster: { is: isText(512), says: 'is not a name' },
    token: { is: isMatch(/^[\x21-\x7e]{1,128}$/), says: 'is not a cluster token' },
    phase: { is: isOneOf(MEMBERSHIP_PHASES), says: `is none of ${MEMBERSHIP_PHASES.join(', ')}` },
    epoch: { is: isCount, says: 'is not a count' },
    initialCluster: { is: isText(64 * 1024), says: 'is not a text NAME=URL,…' },
    members: { is: Array.isArray, says: 'is not a list' },
  }

const ENTRY_FIELDS: typeof FIELDS = {
  name: { is: isMatch(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/), says: 'is not a member name' },
  ordinal: { is: isCount, says: 'is not an ordinal' },
  incarnation: { is: (value) => isCount(value) && value !== 0, says: 'is not 1 or more' },
  state: { is: isOneOf(MEMBERSHIP_STATES), says: `is none of ${MEMBERSHIP_STATES.join(', ')}` },
  peerUrl: { is: isPeerUrl, says: 'is not http://HOST:PORT or https://HOST:PORT' },
}

function problemsOfDocument(value: Readonly<Record<string, unknown>>): string[] {
  const problems = problemsOf(value, FIELDS, '')
  const { clusterId, formed } = value
  if (formed !== undefined && typeof formed !== 'boolean') {
    problems.push('formed: is not true or false')
  }
  if (clusterId !== undefined && !isId(clusterId)) {
    problems.push(`clusterId: is not 16 hex digits (${describe(clusterId)})`)
  }
  if (clusterId === undefined && value['phase'] === 'Running') {
    problems.push('clusterId: is required in phase Running')
  }
  return problems
}

function problemsOfMembers(members: unknown): string[] {
  if (!Array.isArray(members)) return []
  if (members.length === 0) return ['members: is empty']
  if (members.length > MEMBERS_MAX) return [`members: are more than ${MEMBERS_MAX}`]
  return members.flatMap((entry: unknown, position) => {
    const at = `members[${position}]`
    if (!isObject(entry)) return [`${at}: is not an object`]
    const problems = problemsOf(entry, ENTRY_FIELDS, `${at}.`)
    const { raftId } = entry
    if (raftId !== undefined && !isId(raftId)) problems.push(`${at}.raftId: is not 16 hex digits`)
    return problems
  })
}

/** What contradicts itself in a document whose fields are sound each by itself. */
function contradictionsOf(document: MembershipDocument): string[] {
  const { token, members, phase, initialCluster, clusterId } = document
  const problems: string[] = []
  const names = new Set<string>()
  for (const [position, { name, incarnation, raftId }] of members.entries()) {
    const at = `members[${position}]`
    if (names.has(name)) problems.push(`${at}.name: ${name} is there twice`)
    names.add(name)
    const id = memberIdOf(token, name, incarnation)
    if (raftId !== undefined && raftId !== id) {
      problems.push(`${at}.raftId: is ${raftId}, but token, name and incarnation make ${id}`)
    }
  }
  const parts = splitInitialCluster(initialCluster)
  for (const { name, url } of parts) {
    if (!isPeerUrl(url)) problems.push(`initialCluster: has no usable URL for ${describe(name)}`)
  }
  if (phase !== 'Bootstrapping' || problems.length > 0) return problems
  const initial = parts.map(({ name, url }) => ({ name, peerUrls: [url!] }))
  const voters = members.map(({ name, peerUrl }) => ({ name, peerUrls: [peerUrl] }))
  const made = describeInitialCluster(initial)
  if (made !== describeInitialCluster(voters)) {
    problems.push('initialCluster: does not name exactly the members and their URLs')
  }
  if (members.some(({ state, incarnation }) => state !== 'Voter' || incarnation !== 1)) {
    problems.push('members: a cluster is made of voters, each in its first incarnation')
  }
  if (clusterId !== undefined && clusterId !== clusterIdOf(token, made)) {
    problems.push('clusterId: is not what token and initialCluster make')
  }
  return problems
}

function problemsOf(
  value: Readonly<Record<string, unknown>>,
  fields: typeof FIELDS,
  prefix: string,
): string[] {
  return Object.entries(fields)
    .filter(([name, { is }]) => !is(value[name]))
    .map(([name, { says }]) => `${prefix}${name}: ${says} (${describe(value[name])})`)
}

function refused(problems: readonly string[]): ParsedMembership {
  return { ok: false, problems: problems.slice(0, PROBLEMS_MAX) }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isId(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)
}

function isText(lengthMax: number): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && value !== '' && value.length <= lengthMax
}

function isMatch(pattern: RegExp): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && pattern.test(value)
}

function isOneOf(words: readonly string[]): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && words.includes(value)
}

/** Host and port and nothing else. */
function isPeerUrl(value: unknown): boolean {
  return (
    typeof value === 'string' &&
    /^https?:\/\/(\[[0-9a-fA-F:.]+\]|[^\s/:@?#,=]+):[0-9]{1,5}$/.test(value)
  )
}

function describe(value: unknown): string {
  if (value === undefined) return 'missing'
  return (JSON.stringify(value) ?? typeof value).slice(0, 64)
}
