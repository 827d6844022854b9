// What the steps about certificates look at in the same way: whom members trust and what they show, by their own words, and
// whose turn it is in the life of a certificate. Pure.

import {
  type AuthorityFacts,
  authorityName,
  type CertificateFacts,
  issuerOf,
  type LeafFacts,
  leafName,
  leavesOf,
  type LeafUse,
} from '../../api/certificates.ts'
import type { Action } from '../actions.ts'
import type { SecretFacts } from '../observed.ts'
import type { MemberView } from './members.ts'
import type { Model } from './model.ts'

export type CertificateAction = Extract<Action, { type: 'writeCertificate' }>
/** As members call it. */
type MemberUse = 'peer' | 'client'

/** Of a certificate's life; after it a new one is made. */
const RENEWAL_SHARE = 2 / 3
/** With less than this left, whoever renews at a third has been failing for long. */
const EXPIRING_SHARE = 1 / 4

/** Whether the user gives the certificates of members, or did before nothing could be read any more. */
export function areLeavesGiven({ observed: { tls }, cluster }: Model): boolean {
  if (tls?.givenLeaves !== undefined) return true
  if (tls?.given?.problem === undefined || issuerOf(cluster) !== undefined) return false
  return Object.values(tls.leaves).some(({ takenFrom }) => takenFrom !== undefined)
}

/** The certificates that a cluster has and that are kept good, by us or by the user. */
export function keptUses(model: Model): readonly LeafUse[] {
  const uses = leavesOf(model.cluster).map(({ use }) => use)
  return areLeavesGiven(model) ? uses.filter((use) => use !== 'client') : uses
}

/** Names of Secrets that are not ours. */
export function foreignSecrets(model: Model): readonly string[] {
  const { tls } = model.observed
  if (tls === undefined) return []
  const { name } = model.cluster.metadata
  const known: (readonly [string, SecretFacts | undefined])[] = [
    ...(areLeavesGiven(model) ? [] : [[authorityName(name), tls.authority] as const]),
    ...keptUses(model).map((use) => [leafName(name, use), tls.leaves[use]] as const),
  ]
  return known.filter(([, secret]) => secret?.isOurs === false).map(([secretName]) => secretName)
}

/** Whether the member has in force what the Secrets hold. */
export function showsNewest(member: MemberView, model: Model): boolean {
  return shownBy(model).every((use) => showsNewestOf(use, member, model))
}

function showsNewestOf(use: MemberUse, member: MemberView, { observed }: Model): boolean {
  const wanted = observed.tls?.leaves[secretOf(use)]?.facts.certificate?.sha256
  return wanted !== undefined && tlsOf(member)?.[use]?.certificate === wanted
}

/** Whether the member trusts whom the Secrets name, and nobody else any more. */
export function trustsNewest(member: MemberView, model: Model): boolean {
  return trustedBy(model).every((use) =>
    isSameSet(
      tlsOf(member)?.[use]?.trusts ?? [],
      model.observed.tls?.leaves[secretOf(use)]?.facts.trusts ?? [],
    ),
  )
}

/** What it says now: an old answer proves nothing. */
export function tlsOf(member: MemberView) {
  return member.isFresh ? member.report?.tls : undefined
}

/** Under which uses members show certificates. */
export function shownBy({ cluster }: Model): readonly MemberUse[] {
  const { peer, client } = cluster.spec.tls ?? {}
  return [
    ...(peer === undefined ? [] : ['peer' as const]),
    ...(client === undefined ? [] : ['client' as const]),
  ]
}

/** Under which they trust somebody: without `Mutual`, and until that is rolled out, clients are not asked who they are. */
export function trustedBy(model: Model): readonly MemberUse[] {
  const { mode } = model.cluster.spec.tls?.client ?? {}
  const isMutual = mode === 'Mutual' && model.modeDeferred === undefined
  return shownBy(model).filter((use) => use === 'peer' || isMutual)
}

/** The Secret that a member has mounted for it. */
function secretOf(use: MemberUse): 'peer' | 'server' {
  return use === 'peer' ? 'peer' : 'server'
}

/** `peer` stands for itself; members and the operator meet under the other uses. */
function circleOf(use: LeafUse): { readonly secrets: readonly LeafUse[]; readonly at: MemberUse } {
  return use === 'peer'
    ? { secrets: ['peer'], at: 'peer' }
    : { secrets: ['server', 'operator'], at: 'client' }
}

/** Who is not known to trust all of `wanted` yet, of those who meet under this use, in words. */
export function distrustful(
  use: LeafUse,
  wanted: readonly string[],
  model: Model,
): readonly string[] {
  const { secrets, at } = circleOf(use)
  const areIn = (trusts: readonly string[] = []): boolean =>
    wanted.every((one) => trusts.includes(one))
  const { leaves } = model.observed.tls ?? { leaves: {} }
  const members = trustedBy(model).includes(at) ? model.members : []
  return [
    ...secrets
      .filter((secret) => !areIn(leaves[secret]?.facts.trusts))
      .map((secret) => leafName(model.cluster.metadata.name, secret)),
    ...members.filter((member) => !areIn(tlsOf(member)?.[at]?.trusts)).map(({ name }) => name),
  ]
}

/** Of those who meet under this use, which Secrets hold no such certificate, and which members do not show theirs. */
export function unshown(
  use: LeafUse,
  isWanted: (facts: LeafFacts) => boolean,
  model: Model,
): readonly string[] {
  const { secrets, at } = circleOf(use)
  const { leaves } = model.observed.tls ?? { leaves: {} }
  const members = shownBy(model).includes(at) ? model.members : []
  return [
    ...secrets
      .filter((secret) => {
        const facts = leaves[secret]?.facts
        return facts === undefined || !isWanted(facts)
      })
      .map((secret) => leafName(model.cluster.metadata.name, secret)),
    ...members.filter((member) => !showsNewestOf(at, member, model)).map(({ name }) => name),
  ]
}

/** SHA-256 of everybody whom the authority's Secret names. */
export function trustedOf({ current, next, previous }: AuthorityFacts): readonly string[] {
  return [current, next, previous].flatMap((one) => one?.sha256 ?? [])
}

export function isSameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.toSorted().join() === right.toSorted().join()
}

export function isDue(certificate: CertificateFacts, now: string): boolean {
  return lifeUsed(certificate, now) >= RENEWAL_SHARE
}

/** Renewal has been failing for long, or nobody has given another one. */
export function isExpiring(certificate: CertificateFacts, now: string): boolean {
  return lifeUsed(certificate, now) > 1 - EXPIRING_SHARE
}

function lifeUsed({ notBefore, notAfter }: CertificateFacts, now: string): number {
  const [from, to, at] = [notBefore, notAfter, now].map(Date.parse) as [number, number, number]
  return (at - from) / (to - from)
}

export function overOf({ uid, resourceVersion }: SecretFacts) {
  return { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) }
}
