// PURE: what a member does at its start, given what its data directory, its settings and the membership file say. A blank
// directory is the dangerous case: whoever has lost its disk has forgotten its votes and what it acknowledged, and must not
// take part under the id it had (design decision 10, docs/adr/0010).

import { type ErrorCode, RaftbaseError } from '../../../lib/errors.ts'
import { type MembershipDocument, splitInitialCluster } from '../../../lib/membership-file.ts'
import type { PeerAddress } from '../transport/transport.ts'
import { type Identity, type InitialMember, identityOf, memberIdOf } from './identity.ts'
import type { DataDirectoryStatus } from './member-node.ts'

/** What the settings say. */
export interface ConfiguredStart {
  readonly name: string
  readonly token: string
  readonly advertisePeerUrls: readonly string[]
  readonly initialCluster: readonly InitialMember[]
  readonly initialClusterState: 'new' | 'existing'
}

/** What lies in the data directory. */
export interface FoundDirectory {
  readonly path: string
  /** Undefined: it is blank, or no member has started in it since a snapshot was restored into it. */
  readonly identity: Identity | undefined
  /** Of the member that is to start from a restored snapshot and has no log yet. */
  readonly restored?: Identity | undefined
  /** It says that its member was removed. */
  readonly isTombstoned: boolean
}

/** What the membership file says, if there is one; undefined document: nothing that can be used. */
export interface FoundMembership {
  readonly document: MembershipDocument | undefined
  readonly problem: string | undefined
}

export type StartPlan =
  | {
      readonly type: 'start'
      readonly identity: Identity
      /** Whom the cluster was made of, or is: the log begins with them. Empty for one that joined. */
      readonly members: readonly InitialMember[]
      /** Whom one that joined talks to until its log tells. */
      readonly peers: readonly PeerAddress[]
      /**
       * Whether to ask the voters first if they already know this member: of a cluster that may not exist yet whoever
       * answers, of one that has formed so many that no majority could be made without one of them.
       */
      readonly asks: 'nobody' | 'whoeverAnswers' | 'aMajority'
      /** Those to ask, itself among them where it is one of them. */
      readonly voters: readonly InitialMember[]
    }
  /** Ask these who belongs to the cluster that this member is to join; join-plan.ts goes on with what they say. */
  | { readonly type: 'join'; readonly peers: readonly InitialMember[] }
  /** Stay up, take no part, look again when the file changes. */
  | { readonly type: 'park'; readonly directory: DataDirectoryStatus }
  | { readonly type: 'refuse'; readonly error: RaftbaseError }

export function planStart(
  configured: ConfiguredStart,
  directory: FoundDirectory,
  membership: FoundMembership | undefined,
): StartPlan {
  if (membership === undefined) return planFromSettings(configured, directory)
  const { document, problem } = membership
  if (directory.isTombstoned) return parkTombstoned(REMOVED_TEXT)
  if (document === undefined) {
    const { identity } = directory
    // The log is the authority; without a file nobody fences it.
    if (identity?.name === configured.name) return resume(identity)
    if (identity !== undefined) {
      return park('ForeignCluster', `the data directory is of ${identity.name}`, 'DATA_DIR_FOREIGN')
    }
    return park('Fresh', `the membership file cannot be used: ${problem ?? 'it is not there'}`)
  }
  if (directory.identity === undefined) {
    const plan = planBlank(configured, document)
    return directory.restored === undefined || plan.type !== 'start'
      ? plan
      : planRestored(configured, document, directory.restored)
  }
  return planUsed({ configured, document, identity: directory.identity, path: directory.path })
}

/** Without a file: what is wrong ends the process with one line. */
function planFromSettings(configured: ConfiguredStart, directory: FoundDirectory): StartPlan {
  const { name, token, initialCluster, initialClusterState } = configured
  const { path, identity: recorded } = directory
  if (directory.isTombstoned) {
    return refuse('MEMBER_REMOVED', REMOVED_TEXT, { directory: path })
  }
  const isNew = initialClusterState === 'new'
  const identity = identityOf({ token, name, members: initialCluster })
  const there = recorded ?? directory.restored
  if (there !== undefined) {
    const error = foreignDirectory({ there, here: identity, path, isNewCluster: isNew })
    if (error !== undefined) return { type: 'refuse', error }
    return recorded === undefined ? beginRestored(there, 'whoeverAnswers') : resume(there)
  }
  if (!isNew) {
    return { type: 'join', peers: initialCluster.filter((member) => member.name !== name) }
  }
  return found(identity, initialCluster, 'whoeverAnswers')
}

function planBlank(configured: ConfiguredStart, document: MembershipDocument): StartPlan {
  const { name } = configured
  const { phase, token, members } = document
  if (phase === 'Recovering') {
    return park('Fresh', 'the cluster is being recovered; nobody takes part meanwhile')
  }
  const own = members.find((entry) => entry.name === name)
  if (own === undefined) return park('Fresh', `the membership file does not list ${name}`)
  if (configured.advertisePeerUrls.join(',') !== own.peerUrl) {
    const advertised = configured.advertisePeerUrls.join(',')
    return park(
      'Fresh',
      `this member advertises ${advertised}, the membership file has ${own.peerUrl}`,
    )
  }
  const founders = membersOf(document.initialCluster)
  const made = identityOf({ token, name, members: founders, incarnation: own.incarnation })
  const identity = { ...made, clusterId: document.clusterId ?? made.clusterId }
  if (phase === 'Bootstrapping') {
    return found(identity, founders, document.formed === true ? 'aMajority' : 'whoeverAnswers')
  }
  if (own.state === 'Voter') return parkAwaiting(identity)
  return {
    type: 'start',
    // It takes its membership from the leader, whoever the cluster was made of.
    identity: { ...identity, initialCluster: '' },
    members: [],
    peers: peersIn(document, name),
    // The file may be behind the log: a learner that was promoted since, and has lost its disk, must not take part either.
    asks: 'aMajority',
    voters: votersIn(document),
  }
}

/** Makes the cluster with the other founders. */
function found(
  identity: Identity,
  founders: readonly InitialMember[],
  asks: 'whoeverAnswers' | 'aMajority',
): StartPlan {
  return { type: 'start', identity, members: founders, peers: [], asks, voters: founders }
}

/** Where a blank one would start as a founder, one that begins with a restored snapshot may as well. */
function planRestored(
  configured: ConfiguredStart,
  document: MembershipDocument,
  restored: Identity,
): StartPlan {
  const here = { ...restored, name: configured.name, token: document.token }
  const clusterId = document.clusterId ?? restored.clusterId
  const differences = differencesOf(restored, { ...here, clusterId }, FILE_FACTS)
  if (differences.length > 0) return parkForeign(differences)
  if (document.phase === 'Bootstrapping') {
    return beginRestored(restored, document.formed === true ? 'aMajority' : 'whoeverAnswers')
  }
  return park('Fresh', 'a snapshot was restored here, but the cluster exists already')
}

function planUsed(options: {
  readonly configured: ConfiguredStart
  readonly document: MembershipDocument
  readonly identity: Identity
  readonly path: string
}): StartPlan {
  const { configured, document, identity } = options
  const here = { ...identity, name: configured.name, token: document.token }
  const clusterId = document.clusterId ?? identity.clusterId
  const differences = differencesOf(identity, { ...here, clusterId }, FILE_FACTS)
  if (differences.length > 0) return parkForeign(differences)
  if (document.phase === 'Recovering') {
    return park('Valid', 'the cluster is being recovered; nobody takes part meanwhile')
  }
  const own = document.members.find((entry) => entry.name === configured.name)
  // A file that is behind the log is no reason to stay away; one that is ahead means that this disk was given up.
  if (own !== undefined && own.incarnation > identity.incarnation) {
    const { incarnation } = identity
    return parkTombstoned(
      `this data is of incarnation ${incarnation}, which incarnation ${own.incarnation} has replaced`,
    )
  }
  return resume(identity, peersIn(document, configured.name))
}

/** What a blank member that was told about itself by a peer says of its directory. */
export function awaitingReplacement(
  { name, memberId }: Pick<Identity, 'name' | 'memberId'>,
  peer?: string,
  isRestored = false,
): DataDirectoryStatus {
  const what = isRestored ? 'begins with a restored snapshot' : 'is blank'
  const who = peer === undefined ? 'the cluster knows' : `${peer} knows`
  return {
    state: 'AwaitingReplacement',
    code: 'AWAITING_REPLACEMENT',
    detail: `member ${memberId} has already been bootstrapped: the data directory ${what}, but ${who} ${name} as a member; it has to be replaced under a new id`,
  }
}

/** What a blank member says that was told to ask a majority and did not reach one. */
export function unanswered(answers: number, needed: number): DataDirectoryStatus {
  const detail = `the data directory is blank and the cluster has formed: ${answers} of the ${needed} members that have to be asked answered`
  return { state: 'Fresh', detail }
}

/** As etcd says it. */
export const REMOVED_TEXT =
  'the member has been permanently removed from the cluster; data-dir used by this member must be removed'

type Fact = 'name' | 'token' | 'initialCluster' | 'clusterId'
const FILE_FACTS: readonly Fact[] = ['name', 'token', 'clusterId']

function differencesOf(there: Identity, here: Identity, facts: readonly Fact[]): string[] {
  return facts
    .filter((fact) => there[fact] !== here[fact])
    .map((fact) => `${fact}: ${there[fact]} there, ${here[fact]} here`)
}

/** DATA_DIR_FOREIGN with every fact that differs, as a user would recognize it; undefined when none does. */
export function foreignDirectory(options: {
  readonly there: Identity
  readonly here: Identity
  readonly path: string
  readonly isNewCluster: boolean
}): RaftbaseError | undefined {
  const { there, here, path, isNewCluster } = options
  // One that joined has not recorded whom the cluster was made of.
  const facts: readonly Fact[] =
    isNewCluster && there.initialCluster !== ''
      ? ['name', 'token', 'initialCluster']
      : ['name', 'token']
  const differences = differencesOf(there, here, facts)
  if (differences.length === 0) return undefined
  const message = `data directory belongs to another ${whose(differences)}`
  const details = { directory: path, differences }
  return new RaftbaseError('DATA_DIR_FOREIGN', message, { details })
}

/** A different name alone is another member of the same cluster. */
function whose(differences: readonly string[]): 'member' | 'cluster' {
  return differences.length === 1 && differences[0]!.startsWith('name:') ? 'member' : 'cluster'
}

/** A log begins with the members that are recorded beside it, whatever the settings say today. */
function resume(identity: Identity, peers: readonly PeerAddress[] = []): StartPlan {
  const members = membersOf(identity.initialCluster)
  return { type: 'start', identity, members, peers, asks: 'nobody', voters: [] }
}

/**
 * A restored snapshot is not proof that this member never took part: restored a second time, it has forgotten what it did
 * after the first. So it asks, like a blank one.
 */
function beginRestored(identity: Identity, asks: 'whoeverAnswers' | 'aMajority'): StartPlan {
  return found(identity, membersOf(identity.initialCluster), asks)
}

function membersOf(initialCluster: string): readonly InitialMember[] {
  if (initialCluster === '') return []
  const urls = new Map<string, string[]>()
  for (const { name, url } of splitInitialCluster(initialCluster)) {
    urls.set(name, [...(urls.get(name) ?? []), url!])
  }
  return [...urls].map(([name, peerUrls]) => ({ name, peerUrls }))
}

function votersIn({ members }: MembershipDocument): readonly InitialMember[] {
  return members
    .filter(({ state }) => state === 'Voter')
    .map(({ name, peerUrl }) => ({ name, peerUrls: [peerUrl] }))
}

function peersIn({ members, token }: MembershipDocument, name: string): readonly PeerAddress[] {
  return members
    .filter((entry) => entry.name !== name)
    .map((entry) => ({
      id: memberIdOf(token, entry.name, entry.incarnation),
      name: entry.name,
      peerUrls: [entry.peerUrl],
    }))
}

function park(state: DataDirectoryStatus['state'], detail: string, code?: ErrorCode): StartPlan {
  const directory = code === undefined ? { state, detail } : { state, code, detail }
  return { type: 'park', directory }
}

function parkForeign(differences: readonly string[]): StartPlan {
  const detail = `the data directory is of another ${whose(differences)}: ${differences.join('; ')}`
  return park('ForeignCluster', detail, 'DATA_DIR_FOREIGN')
}

function parkTombstoned(detail: string): StartPlan {
  return park('Tombstoned', detail, 'MEMBER_REMOVED')
}

function parkAwaiting(identity: Identity): StartPlan {
  return { type: 'park', directory: awaitingReplacement(identity) }
}

function refuse(
  code: ErrorCode,
  message: string,
  details: Readonly<Record<string, unknown>>,
): StartPlan {
  return { type: 'refuse', error: new RaftbaseError(code, message, { details }) }
}
