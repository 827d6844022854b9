// The certificates of a cluster: an authority of its own, leaves that are renewed at two thirds of their life, and an authority
// that is exchanged in three phases, each of which every member has acknowledged before the next begins: the new one is
// trusted beside the old one; leaves are signed by the new one; the old one is forgotten. Nothing restarts. Pure.

import type { Finding } from '../../api/conditions.ts'
import {
  type AuthorityFacts,
  authorityName,
  type CertificateFacts,
  givenAuthority,
  type LeafFacts,
  leafName,
  type LeafOrder,
  leavesOf,
} from '../../api/certificates.ts'
import { ROTATE_ANNOTATION } from '../../api/labels.ts'
import { CERTIFICATES } from '../../api/resource-types.ts'
import { certificateRequest } from '../../resources/certificate-request.ts'
import { type Action, NOTHING, stop, type StepResult } from '../actions.ts'
import type { SecretFacts } from '../observed.ts'
import { differenceOf } from './foundations.ts'
import type { MemberView } from './members.ts'
import type { Model } from './model.ts'

type CertificateAction = Extract<Action, { type: 'writeCertificate' }>
type Known = SecretFacts | undefined

/** Of a certificate's life; after it a new one is made. */
const RENEWAL_SHARE = 2 / 3
/** With less than this left, renewal has been failing for long. */
const EXPIRING_SHARE = 1 / 4
/** Each phase of an exchange lasts so long: applications are told by their kubelets, and acknowledge nothing. */
const PHASE_SECONDS_MIN = 180
const RETRY_SECONDS = 1

export function planTls(model: Model): StepResult {
  const orders = leavesOf(model.cluster)
  if (orders.length === 0 || model.observed.tls === undefined) return NOTHING
  // A Secret of somebody else under one of our names: the condition says so, and nothing is written over it.
  if (foreignSecrets(model).length > 0 || model.observed.tls.forbidden !== undefined) return NOTHING
  const request = requestAction(model)
  if (request !== undefined) return stop(RETRY_SECONDS, 'Certificates', [request])
  const authority = authorityAction(model)
  const actions = authority === undefined ? leafActions(model) : [authority]
  if (actions.length === 0) return NOTHING
  return stop(RETRY_SECONDS, 'Certificates', actions)
}

/** Names of Secrets that are not ours. */
export function foreignSecrets({ observed, cluster }: Model): readonly string[] {
  const { tls } = observed
  if (tls === undefined) return []
  const { name } = cluster.metadata
  const known: (readonly [string, Known])[] = [
    [authorityName(name), tls.authority],
    ...leavesOf(cluster).map(({ use }) => [leafName(name, use), tls.leaves[use]] as const),
  ]
  return known.filter(([, secret]) => secret?.isOurs === false).map(([secretName]) => secretName)
}

/** Asks cert-manager, or puts right what it was asked for. */
function requestAction({ observed, cluster }: Model): Action | undefined {
  const { request } = observed.tls ?? {}
  if (request === undefined || request.isBlocked) return undefined
  const object = certificateRequest(cluster)
  const apply = { type: 'apply', title: 'Certificate', resource: CERTIFICATES } as const
  if (request.live === undefined) return { ...apply, object, why: 'create' }
  if (request.live.metadata.deletionTimestamp !== undefined) return undefined
  const why = differenceOf(request.live, object)
  if (why === undefined) return undefined
  const { uid } = request.live.metadata
  const metadata = { ...object.metadata, ...(uid === undefined ? {} : { uid }) }
  return { ...apply, object: { ...object, metadata }, why }
}

/** What is to be done about the authority; first of all things, because everything hangs on it. */
function authorityAction(model: Model): CertificateAction | undefined {
  const { observed, cluster } = model
  const known = observed.tls?.authority
  const secret = authorityName(cluster.metadata.name)
  const write = (order: CertificateAction['order'], why: string): CertificateAction => ({
    type: 'writeCertificate',
    secret,
    order,
    why,
    ...(known === undefined ? {} : { over: overOf(known) }),
  })
  const { given } = observed.tls ?? {}
  const from = givenAuthority(cluster)
  const taken = from === undefined ? {} : { from }
  // Nothing is taken from a Secret that is not there or makes no sense; what is in force goes on.
  const isUsable = given === undefined || given.certificate !== undefined
  if (known === undefined) {
    return isUsable ? write({ kind: 'newAuthority', ...taken }, 'there is none') : undefined
  }
  const { facts } = known
  // Damaged: members trust what it signed, and a new one would be strange to them. Somebody has to look at it.
  if (facts === undefined) return undefined
  const wish = cluster.metadata.annotations?.[ROTATE_ANNOTATION]
  const isWished = wish !== undefined && wish !== known.rotatedFor
  if (facts.next === undefined && facts.previous === undefined) {
    if (given !== undefined) {
      if (!isUsable || given.certificate?.sha256 === facts.current.sha256) return undefined
      return write({ kind: 'nextAuthority', ...taken }, `Secret ${from} has another one`)
    }
    if (isWished) return write({ kind: 'nextAuthority', wish }, 'the user wants another one')
    if (!isDue(facts.current, observed.now)) return undefined
    return write({ kind: 'nextAuthority' }, 'two thirds of its life are over')
  }
  if (!hasLasted(model) || waitingFor(model, facts).length > 0) return undefined
  if (facts.next !== undefined) {
    return write({ kind: 'promoteAuthority' }, 'every member trusts the next one')
  }
  return write({ kind: 'forgetPrevious' }, 'nobody shows a certificate of the one before')
}

/** Counted from the last Secret that was written: an application is told what lies in its own, however late that was. */
function hasLasted({ observed: { tls, now } }: Model): boolean {
  const written = Object.values(tls?.leaves ?? {}).flatMap(({ since }) => since ?? [])
  // Secrets of an operator of before say it of the authority alone.
  return [tls?.authority?.since, ...written].every(
    (since) => secondsSince(since, now) >= PHASE_SECONDS_MIN,
  )
}

/** Of whom the phase of the exchange that is under way still waits, in words; none of it may be missing. */
function waitingFor(model: Model, facts: AuthorityFacts): readonly string[] {
  const { members, cluster, observed } = model
  const { next, current } = facts
  const leaves = leavesOf(cluster).filter(({ use }) => {
    const leaf = observed.tls?.leaves[use]?.facts
    return next === undefined
      ? leaf?.signer !== current.sha256
      : leaf?.trusts.includes(next.sha256) !== true
  })
  const waiting = members.filter((member) =>
    next === undefined
      ? !showsNewest(member, model)
      : !trustedBy(model).every(
          (use) => tlsOf(member)?.[use]?.trusts.includes(next.sha256) === true,
        ),
  )
  return [
    ...leaves.map(({ use }) => leafName(cluster.metadata.name, use)),
    ...waiting.map(({ name }) => name),
  ]
}

/** Whether the member has in force what the Secrets hold. */
function showsNewest(member: MemberView, model: Model): boolean {
  const { leaves } = model.observed.tls ?? { leaves: {} }
  return shownBy(model).every((use) => {
    const wanted = leaves[use === 'peer' ? 'peer' : 'server']?.facts.certificate?.sha256
    return wanted !== undefined && tlsOf(member)?.[use]?.certificate === wanted
  })
}

/** Whether the member trusts whom the authority's Secret names, and nobody else any more. */
function trustsNewest(member: MemberView, model: Model, authority: AuthorityFacts): boolean {
  return trustedBy(model).every((use) => isSameTrust(tlsOf(member)?.[use]?.trusts ?? [], authority))
}

/** What it says now: an old answer proves nothing. */
function tlsOf(member: MemberView) {
  return member.isFresh ? member.report?.tls : undefined
}

/** Under which uses members show certificates. */
function shownBy({ cluster }: Model): readonly ('peer' | 'client')[] {
  const { peer, client } = cluster.spec.tls ?? {}
  return [
    ...(peer === undefined ? [] : ['peer' as const]),
    ...(client === undefined ? [] : ['client' as const]),
  ]
}

/** Under which they trust somebody: without `Mutual` clients are not asked who they are. */
function trustedBy(model: Model): readonly ('peer' | 'client')[] {
  const isMutual = model.cluster.spec.tls?.client?.mode === 'Mutual'
  return shownBy(model).filter((use) => use === 'peer' || isMutual)
}

function leafActions(model: Model): readonly CertificateAction[] {
  const { observed, cluster } = model
  const authority = observed.tls?.authority?.facts
  if (authority === undefined) return []
  return leavesOf(cluster).flatMap((order): readonly CertificateAction[] => {
    const known = observed.tls?.leaves[order.use]
    const why = whyIssue(order, known?.facts, { authority, now: observed.now })
    const secret = leafName(cluster.metadata.name, order.use)
    const over = known === undefined ? {} : { over: overOf(known) }
    const write = { type: 'writeCertificate', secret, ...over } as const
    if (why !== undefined) return [{ ...write, order: { kind: 'leaf', leaf: order }, why }]
    if (isSameTrust(known!.facts.trusts, authority)) return []
    return [{ ...write, order: { kind: 'trust' }, why: 'others are trusted now' }]
  })
}

/** Why a certificate has to be made; undefined when the one that is there does. */
function whyIssue(
  { hosts }: LeafOrder,
  leaf: LeafFacts | undefined,
  { authority, now }: { readonly authority: AuthorityFacts; readonly now: string },
): string | undefined {
  if (leaf === undefined) return 'there is none'
  const { certificate, signer, problem } = leaf
  if (certificate === undefined) return problem ?? 'it cannot be read'
  // While the next authority is not trusted by everybody, the current one goes on signing.
  if (signer !== authority.current.sha256) return 'another authority signs now'
  const missing = hosts.filter((host) => !leaf.hosts.includes(canonical(host)))
  if (missing.length > 0) return `it is not valid for ${missing.join(', ')}`
  return isDue(certificate, now) ? 'two thirds of its life are over' : undefined
}

/** As a certificate shows an address. */
function canonical(host: string): string {
  return host === '::1' ? '0:0:0:0:0:0:0:1' : host
}

function isSameTrust(trusts: readonly string[], authority: AuthorityFacts): boolean {
  const { current, next, previous } = authority
  const wanted = [current, next, previous].flatMap((one) => one?.sha256 ?? [])
  return trusts.toSorted().join() === wanted.toSorted().join()
}

function isDue(certificate: CertificateFacts, now: string): boolean {
  return lifeUsed(certificate, now) >= RENEWAL_SHARE
}

function lifeUsed({ notBefore, notAfter }: CertificateFacts, now: string): number {
  const [from, to, at] = [notBefore, notAfter, now].map(Date.parse) as [number, number, number]
  return (at - from) / (to - from)
}

function secondsSince(since: string | undefined, now: string): number {
  return since === undefined ? 0 : (Date.parse(now) - Date.parse(since)) / 1000
}

function overOf({ uid, resourceVersion }: SecretFacts) {
  return { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) }
}

/** Undefined for a cluster without certificates. */
export function tlsReady(model: Model): Extract<Finding, { type: 'TLSReady' }> | undefined {
  const type = 'TLSReady'
  const status = 'False'
  const { cluster, observed, members } = model
  const orders = leavesOf(cluster)
  const { tls } = observed
  if (orders.length === 0 || tls === undefined) return undefined
  const foreign = foreignSecrets(model)
  if (foreign.length > 0) {
    const message = `Secrets under our names belong to others: ${foreign.join(', ')}`
    return { type, status, reason: 'NameConflict', message }
  }
  if (tls.forbidden !== undefined) {
    const message =
      `the operator may not read Secrets in ${cluster.metadata.namespace}, where certificates lie ` +
      '(rbac.secrets of its chart)'
    return { type, status, reason: 'Forbidden', message }
  }
  const { authority } = tls
  if (authority !== undefined && authority.facts === undefined) {
    const name = authorityName(cluster.metadata.name)
    const message = `Secret ${name} holds no certificate authority with its key any more: put it back`
    return { type, status, reason: 'AuthorityDamaged', message }
  }
  if (tls.request?.problem !== undefined) {
    return { type, status, reason: 'IssuerNotReady', message: tls.request.problem }
  }
  if (tls.given?.problem !== undefined) {
    const message = `Secret ${givenAuthority(cluster)}: ${tls.given.problem}`
    return { type, status, reason: 'IssuerNotReady', message }
  }
  const missing = orders.filter(({ use }) => tls.leaves[use]?.facts.certificate === undefined)
  if (authority?.facts === undefined || missing.length > 0) {
    const names = missing.map(({ use }) => leafName(cluster.metadata.name, use)).join(', ')
    return { type, status, reason: 'Issuing', message: `being made: ${names}` }
  }
  const expiring = orders.filter(({ use }) => {
    const { certificate } = tls.leaves[use]!.facts
    return lifeUsed(certificate!, observed.now) > 1 - EXPIRING_SHARE
  })
  if (expiring.length > 0) {
    const names = expiring.map(({ use }) => leafName(cluster.metadata.name, use)).join(', ')
    return { type, status, reason: 'Expiring', message: `should have been renewed: ${names}` }
  }
  if (authority.facts.next !== undefined || authority.facts.previous !== undefined) {
    const what =
      authority.facts.next === undefined
        ? 'certificates of the new authority are handed out'
        : 'the new authority becomes trusted beside the old one'
    const waiting = waitingFor(model, authority.facts)
    const rest = waiting.length === 0 ? '' : `; waiting for ${waiting.join(', ')}`
    return { type, status, reason: 'RotationInProgress', message: `${what}${rest}` }
  }
  const behind = members.filter(
    (member) =>
      member.isFresh &&
      !(showsNewest(member, model) && trustsNewest(member, model, authority.facts!)),
  )
  if (behind.length > 0) {
    const names = behind.map(({ name }) => name).join(', ')
    return { type, status, reason: 'NotInForce', message: `not in force yet at ${names}` }
  }
  const until = orders.map(({ use }) => tls.leaves[use]!.facts.certificate!.notAfter).toSorted()[0]
  return {
    type,
    status: 'True',
    reason: 'Issued',
    message: `every certificate is good until ${until}`,
  }
}
