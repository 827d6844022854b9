// How the certificates of a cluster are, as a condition and by name: the nearest cause first, then what is under way. Pure.

import {
  type AuthorityFacts,
  authorityName,
  type CertificateFacts,
  type LeafFacts,
  leafName,
  leavesOf,
  type LeafUse,
} from '../../api/certificates.ts'
import type { Finding } from '../../api/conditions.ts'
import type { CertificateStatus } from '../../api/raft-cluster.ts'
import { givenExchange, givenProblem } from './given-leaves.ts'
import type { Model } from './model.ts'
import { waitingFor } from './tls.ts'
import {
  areLeavesGiven,
  foreignSecrets,
  isExpiring,
  isSameSet,
  keptUses,
  showsNewest,
  trustedOf,
  trustsNewest,
  unshown,
} from './tls-views.ts'

type TlsFinding = Extract<Finding, { type: 'TLSReady' }>

/** Undefined for a cluster without certificates. */
export function tlsReady(model: Model): TlsFinding | undefined {
  if (leavesOf(model.cluster).length === 0 || model.observed.tls === undefined) return undefined
  const found = obstacle(model) ?? expiring(model) ?? faultOfSource(model) ?? underWay(model)
  if (found !== undefined) return found
  const until = certificateStatuses(model)
    .filter(({ role }) => role !== 'authority')
    .map(({ notAfter }) => notAfter)
    .toSorted()[0]
  const message = `every certificate is good until ${until}`
  return { type: 'TLSReady', status: 'True', reason: 'Issued', message }
}

/** The certificates that are kept good, and until when each is; those of the authority last. */
export function certificateStatuses(model: Model): readonly CertificateStatus[] {
  return inForce(model).map(({ role, certificate }) => ({
    role,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
  }))
}

interface InForce {
  readonly role: LeafUse | 'authority'
  readonly secret: string
  readonly certificate: CertificateFacts
}

function inForce(model: Model): readonly InForce[] {
  const { tls } = model.observed
  const { name } = model.cluster.metadata
  const leaves = keptUses(model).flatMap((role): readonly InForce[] => {
    const certificate = tls?.leaves[role]?.facts.certificate
    return certificate === undefined ? [] : [{ role, secret: leafName(name, role), certificate }]
  })
  const authority = areLeavesGiven(model) ? undefined : tls?.authority?.facts?.current
  if (authority === undefined) return leaves
  return [...leaves, { role: 'authority', secret: authorityName(name), certificate: authority }]
}

function no(reason: TlsFinding['reason'], message: string): TlsFinding {
  return { type: 'TLSReady', status: 'False', reason, message }
}

/** What keeps everything from being made, whatever the source. */
function obstacle(model: Model): TlsFinding | undefined {
  const { tls } = model.observed
  const { name, namespace } = model.cluster.metadata
  const foreign = foreignSecrets(model)
  if (foreign.length > 0) {
    return no('NameConflict', `Secrets under our names belong to others: ${foreign.join(', ')}`)
  }
  if (tls?.forbidden !== undefined) {
    const message =
      `the operator may not read Secrets in ${namespace}, where certificates lie ` +
      '(rbac.secrets of its chart)'
    return no('Forbidden', message)
  }
  if (!areLeavesGiven(model) && tls?.authority !== undefined && tls.authority.facts === undefined) {
    const message =
      `Secret ${authorityName(name)} holds no certificate authority with its key any more: ` +
      'put it back'
    return no('AuthorityDamaged', message)
  }
  return undefined
}

/** What is in force ends soon; whatever is wrong with its source is part of the message. */
function expiring(model: Model): TlsFinding | undefined {
  const ending = inForce(model).filter(({ certificate }) =>
    isExpiring(certificate, model.observed.now),
  )
  if (ending.length === 0) return undefined
  const names = ending.map(({ secret, certificate }) => `${secret} (until ${certificate.notAfter})`)
  const why = faultOfSource(model)?.message
  const rest = why === undefined ? '' : `; ${why}`
  return no('Expiring', `should have been renewed: ${names.join(', ')}${rest}`)
}

function faultOfSource(model: Model): TlsFinding | undefined {
  const { request } = model.observed.tls ?? {}
  if (request?.problem !== undefined) return no('IssuerNotReady', request.problem)
  const problem = givenProblem(model)
  if (problem === undefined) return undefined
  // What cert-manager makes is in its hands.
  return no(request === undefined ? 'CertificateInvalid' : 'IssuerNotReady', problem)
}

function underWay(model: Model): TlsFinding | undefined {
  const { cluster, members, observed } = model
  const tls = observed.tls!
  const areGiven = areLeavesGiven(model)
  const authority = tls.authority?.facts
  const missing = keptUses(model).filter((use) => tls.leaves[use]?.facts.certificate === undefined)
  if (missing.length > 0 || (authority === undefined && !areGiven)) {
    const names = missing.map((use) => leafName(cluster.metadata.name, use)).join(', ')
    return no('Issuing', `being made: ${names}`)
  }
  const exchange = areGiven ? givenExchange(model) : authorityExchange(model, authority!)
  if (exchange !== undefined) return no('RotationInProgress', exchange)
  const behind = members.filter(
    (member) => member.isFresh && !(showsNewest(member, model) && trustsNewest(member, model)),
  )
  const names = [...staleSecrets(model), ...behind.map(({ name }) => name)]
  if (names.length === 0) return undefined
  return no('NotInForce', `not in force yet at ${names.join(', ')}`)
}

/** Secrets that are about to be told whom to trust. */
function staleSecrets(model: Model): readonly string[] {
  const { tls } = model.observed
  const authority = tls?.authority?.facts
  if (authority === undefined || areLeavesGiven(model)) return []
  return keptUses(model)
    .filter((use) => !isSameSet(tls?.leaves[use]?.facts.trusts ?? [], trustedOf(authority)))
    .map((use) => leafName(model.cluster.metadata.name, use))
}

function authorityExchange(model: Model, authority: AuthorityFacts): string | undefined {
  const leaves = Object.entries(model.observed.tls?.leaves ?? {})
  const given = leaves.filter(([, { takenFrom }]) => takenFrom !== undefined)
  if (given.length > 0) {
    const isOurs = ({ signer }: LeafFacts): boolean => signer === authority.current.sha256
    const waiting = given.flatMap(([use]) => unshown(use as LeafUse, isOurs, model))
    const rest = waiting.length === 0 ? '' : `; waiting for ${[...new Set(waiting)].join(', ')}`
    return `certificates of the cluster's authority take the place of given ones${rest}`
  }
  if (authority.next === undefined && authority.previous === undefined) return undefined
  const what =
    authority.next === undefined
      ? 'certificates of the new authority are handed out'
      : 'the new authority becomes trusted beside the old one'
  const waiting = waitingFor(model, authority)
  return waiting.length === 0 ? what : `${what}; waiting for ${waiting.join(', ')}`
}
