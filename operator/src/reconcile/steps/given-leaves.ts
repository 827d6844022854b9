// Certificates of members that the user gives (docs/adr/0036): copied into the Secrets that pods mount, and exchanged in phases
// whenever the user's Secret holds others. Whom the new certificate needs becomes trusted beside those before; it takes the
// place of the old one once every member has said so; the others are forgotten once nobody shows a certificate of theirs.
// What phase it is follows from what the Secrets hold. Nothing that has a fault is taken. Pure.

import {
  type GivenLeafFacts,
  type LeafFacts,
  leafName,
  type LeafUse,
} from '../../api/certificates.ts'
import type { Model } from './model.ts'
import { type CertificateAction, distrustful, overOf, unshown } from './tls-views.ts'

/** Who meets members under the certificate of the other. */
const SIBLINGS: Readonly<Partial<Record<LeafUse, LeafUse>>> = {
  server: 'operator',
  operator: 'server',
}

interface Part {
  readonly use: LeafUse
  readonly given: GivenLeafFacts
}

type Phase =
  | { readonly kind: 'write'; readonly order: CertificateAction['order']; readonly why: string }
  | { readonly kind: 'wait'; readonly what: string; readonly waiting: readonly string[] }
  | { readonly kind: 'done' }

export function givenLeafActions(model: Model): readonly CertificateAction[] {
  return partsOf(model).flatMap((part): readonly CertificateAction[] => {
    const phase = phaseOf(part, model)
    if (phase.kind !== 'write') return []
    const known = model.observed.tls?.leaves[part.use]
    const { order, why } = phase
    const secret = leafName(model.cluster.metadata.name, part.use)
    const over = known === undefined ? {} : { over: overOf(known) }
    return [{ type: 'writeCertificate', secret, order, why, ...over }]
  })
}

/** What an exchange that is under way waits for; undefined when there is none. */
export function givenExchange(model: Model): string | undefined {
  const phases = partsOf(model)
    .filter(({ given }) => given.problem === undefined)
    .map((part) => phaseOf(part, model))
  const first = phases.find(({ kind }) => kind !== 'done')
  if (first === undefined || first.kind === 'done') return undefined
  if (first.kind === 'write') return first.why
  const waiting = phases.flatMap((phase) => (phase.kind === 'wait' ? phase.waiting : []))
  return `${first.what}; waiting for ${[...new Set(waiting)].join(', ')}`
}

/** What the user gives cannot be used, and the operator's own certificate is in force: it is kept good meanwhile. */
export function isLeftAsItWas(use: LeafUse, { observed: { tls } }: Model): boolean {
  const given = tls?.givenLeaves?.[use === 'peer' ? 'peer' : 'server']
  const known = tls?.leaves[use]
  return given?.problem !== undefined && known !== undefined && known.takenFrom === undefined
}

/** What is wrong with what the user gives, each Secret once. */
export function givenProblem({ observed: { tls } }: Model): string | undefined {
  const given = tls?.givenLeaves === undefined ? [tls?.given] : Object.values(tls.givenLeaves)
  const faults = new Map<string, readonly string[]>()
  for (const one of given) {
    if (one?.problem === undefined) continue
    const all = [...(faults.get(one.secret) ?? []), ...one.problem.split('; ')]
    // Peers and servers may want the same of it, servers more.
    const longest = all.filter((text, at) =>
      all.every((other, i) => i === at || !other.startsWith(text) || (other === text && i > at)),
    )
    faults.set(one.secret, longest)
  }
  if (faults.size === 0) return undefined
  return [...faults].map(([secret, texts]) => `Secret ${secret}: ${texts.join('; ')}`).join('. ')
}

/** The operator meets members as their clients do, and shows what they show. */
function partsOf({ observed: { tls } }: Model): readonly Part[] {
  const { peer, server } = tls?.givenLeaves ?? {}
  return [
    ...(peer === undefined ? [] : [{ use: 'peer', given: peer } as const]),
    ...(server === undefined
      ? []
      : [{ use: 'server', given: server } as const, { use: 'operator', given: server } as const]),
  ]
}

function phaseOf({ use, given }: Part, model: Model): Phase {
  if (given.problem !== undefined) return { kind: 'done' }
  const { leaves } = model.observed.tls ?? { leaves: {} }
  const facts = leaves[use]?.facts
  const nameOf = (one: LeafUse): string => leafName(model.cluster.metadata.name, one)
  if (facts === undefined) {
    // Lost in the middle of an exchange: whoever is trusted on the other side of the connection still has to be.
    const other = SIBLINGS[use]
    const beside =
      other === undefined || leaves[other] === undefined ? {} : { beside: nameOf(other) }
    return { kind: 'write', order: { kind: 'givenLeaf', given, ...beside }, why: 'there is none' }
  }
  const { trusts, certificate } = facts
  const isLacking = given.trusts.some((one) => !trusts.includes(one))
  const isTrustingMore = trusts.some((one) => !given.trusts.includes(one))
  if (isLacking) {
    const order = { kind: 'givenTrust', given, beside: nameOf(use) } as const
    return { kind: 'write', order, why: `whom Secret ${given.secret} names becomes trusted too` }
  }
  if (certificate?.sha256 !== given.certificate?.sha256) {
    // Where nobody else is trusted, every member has said so when that was written.
    const waiting = isTrustingMore ? distrustful(use, given.trusts, model) : []
    if (waiting.length > 0) {
      const what = `whom Secret ${given.secret} names becomes trusted beside those before`
      return { kind: 'wait', what, waiting }
    }
    const order = { kind: 'givenLeaf', given, beside: nameOf(use) } as const
    return { kind: 'write', order, why: `Secret ${given.secret} has another one` }
  }
  if (!isTrustingMore) return { kind: 'done' }
  const isGiven = (one: LeafFacts): boolean => one.certificate?.sha256 === certificate?.sha256
  const waiting = unshown(use, isGiven, model)
  if (waiting.length > 0) {
    const what = `the certificate of Secret ${given.secret} is handed out`
    return { kind: 'wait', what, waiting }
  }
  const order = { kind: 'givenTrust', given } as const
  return { kind: 'write', order, why: 'nobody shows a certificate of those before' }
}
