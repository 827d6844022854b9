// The certificates of a cluster: an authority of its own, leaves that are renewed at two thirds of their life, and an authority
// that is exchanged in three phases, each of which every member has acknowledged before the next begins: the new one is
// trusted beside the old one; leaves are signed by the new one; the old one is forgotten. Nothing restarts. Pure.

import {
  type AuthorityFacts,
  authorityName,
  givenAuthority,
  type LeafFacts,
  leafName,
  type LeafOrder,
  leavesOf,
  type LeafUse,
} from '../../api/certificates.ts'
import { ROTATE_ANNOTATION } from '../../api/labels.ts'
import { CERTIFICATES } from '../../api/resource-types.ts'
import { certificateRequest } from '../../resources/certificate-request.ts'
import { act, type Action, NOTHING, stop, type StepResult } from '../actions.ts'
import type { LeafSecretFacts } from '../observed.ts'
import { differenceOf } from './foundations.ts'
import { givenLeafActions, isLeftAsItWas } from './given-leaves.ts'
import type { Model } from './model.ts'
import {
  areLeavesGiven,
  type CertificateAction,
  distrustful,
  foreignSecrets,
  isDue,
  isSameSet,
  overOf,
  showsNewest,
  tlsOf,
  trustedBy,
  trustedOf,
  unshown,
} from './tls-views.ts'

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
  const actions = certificateActions(model)
  if (actions.length === 0) return NOTHING
  return stop(RETRY_SECONDS, 'Certificates', actions)
}

function certificateActions(model: Model): readonly CertificateAction[] {
  if (areLeavesGiven(model)) {
    return [...givenLeafActions(model), ...leafActions(model, (use) => isLeftAsItWas(use, model))]
  }
  const authority = authorityAction(model)
  return authority === undefined ? leafActions(model) : [authority]
}

/** Takes back what cert-manager is asked for no more; nothing waits for it. */
export function planFormerRequest({ observed }: Model): StepResult {
  const { formerRequest } = observed.tls ?? {}
  if (formerRequest === undefined) return NOTHING
  const { name, uid = '' } = formerRequest.metadata
  const what = {
    title: 'Certificate',
    resource: CERTIFICATES,
    name,
    uid,
    isOptional: true,
  } as const
  return act({ type: 'deleteChild', ...what })
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
export function waitingFor(model: Model, facts: AuthorityFacts): readonly string[] {
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

function leafActions(
  model: Model,
  isOurs: (use: LeafUse) => boolean = () => true,
): readonly CertificateAction[] {
  const { observed, cluster } = model
  const authority = observed.tls?.authority?.facts
  if (authority === undefined) return []
  return leavesOf(cluster).flatMap((order): readonly CertificateAction[] => {
    if (!isOurs(order.use)) return []
    const known = observed.tls?.leaves[order.use]
    const secret = leafName(cluster.metadata.name, order.use)
    const over = known === undefined ? {} : { over: overOf(known) }
    const write = { type: 'writeCertificate', secret, ...over } as const
    if (known?.takenFrom !== undefined) {
      const back = backFromGiven(order, known, { authority, model })
      return back === undefined ? [] : [{ ...write, ...back }]
    }
    const why = whyIssue(order, known?.facts, { authority, now: observed.now })
    if (why !== undefined) return [{ ...write, order: { kind: 'leaf', leaf: order }, why }]
    if (isSameSet(known!.facts.trusts, trustedOf(authority))) return []
    return [{ ...write, order: { kind: 'trust' }, why: 'others are trusted now' }]
  })
}

/** A certificate that a user gave makes way for one of the authority, in the phases in which it would for another one. */
function backFromGiven(
  order: LeafOrder,
  { facts }: LeafSecretFacts,
  { authority, model }: { readonly authority: AuthorityFacts; readonly model: Model },
): Pick<CertificateAction, 'order' | 'why'> | undefined {
  const { use } = order
  const secret = leafName(model.cluster.metadata.name, use)
  const wanted = trustedOf(authority)
  if (wanted.some((one) => !facts.trusts.includes(one))) {
    const why = 'the authority of the cluster becomes trusted too'
    return { order: { kind: 'trust', beside: secret }, why }
  }
  const isSigned = facts.signer === authority.current.sha256
  if (!isSigned && distrustful(use, wanted, model).length > 0) return undefined
  const why = whyIssue(order, facts, { authority, now: model.observed.now })
  if (why !== undefined) return { order: { kind: 'leaf', leaf: order, beside: secret }, why }
  const isOurs = ({ signer }: LeafFacts): boolean => signer === authority.current.sha256
  if (unshown(use, isOurs, model).length > 0) return undefined
  return { order: { kind: 'trust' }, why: 'nobody shows a certificate that was given' }
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

function secondsSince(since: string | undefined, now: string): number {
  return since === undefined ? 0 : (Date.parse(now) - Date.parse(since)) / 1000
}
