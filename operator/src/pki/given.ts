// What users give in Secrets of theirs: an authority that signs for the cluster, or the certificates of its members. Judged
// before anything is taken from it, with everything that is wrong with it in words: members would only say that a
// handshake has failed.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { contextTag, objectIdentifier, readInside, readOne, TAG } from '../../../lib/pki/der.ts'
import { isValidFor } from '../../../lib/tls/judge.ts'
import type { CertificateFacts, GivenLeafFacts, GivenNeed } from '../api/certificates.ts'
import type { KubeObject } from '../api/kube-object.ts'
import {
  certificatesIn,
  factsOf,
  fingerprintOf,
  readCertificate,
  readPair,
  readText,
} from './secret-data.ts'

export interface GivenAuthority {
  /** Name of the Secret. */
  readonly secret: string
  readonly certificate?: CertificateFacts
  readonly problem?: string
}

export interface Given {
  /** What the one Secret holds as an authority. */
  readonly authority: GivenAuthority
  /** Present where what is given is for members. */
  readonly leaves?: Readonly<Partial<Record<'peer' | 'server', GivenLeafFacts>>>
}

interface GivenSecret {
  readonly need: GivenNeed
  /** Undefined when there is none. */
  readonly secret: KubeObject | undefined
}

const USAGES = {
  server: { oid: '1.3.6.1.5.5.7.3.1', name: 'serverAuth' },
  client: { oid: '1.3.6.1.5.5.7.3.2', name: 'clientAuth' },
} as const
const KEY_USAGE = '2.5.29.15'
const DIGITAL_SIGNATURE = 0x80
/** Of intermediates; more than anybody has, and the end of any circle. */
const CHAIN_MAX = 8
/** Every member reads them all with each handshake. */
const AUTHORITIES_MAX = 64

/** Of a cluster whose certificates come from Secrets, one or two of them. */
export function readGivenSecrets(secrets: readonly GivenSecret[], nowMs: number): Given {
  const kinds = secrets.map(({ secret }) => kindOf(secret))
  const authorities = secrets.map(({ need, secret }) => readGivenAuthority(need.secret, secret))
  if (kinds.includes('leaf')) {
    const leaves = secrets.map((one) => [one.need.use, readGivenLeaf(one, nowMs)] as const)
    return { authority: authorities[0]!, leaves: Object.fromEntries(leaves) }
  }
  const [one, other] = authorities
  if (other !== undefined && one!.secret !== other.secret && kinds.every(isAuthority)) {
    const problem = `it holds an authority, and so does ${other.secret}: name one of them for both`
    return { authority: { secret: one!.secret, problem } }
  }
  return { authority: authorities.find(({ problem }) => problem !== undefined) ?? one! }
}

type Kind = 'authority' | 'leaf' | 'unknown'

function isAuthority(kind: Kind): boolean {
  return kind === 'authority'
}

function kindOf(secret: KubeObject | undefined): Kind {
  const text = secret === undefined ? undefined : readText(secret, 'tls.crt')
  const certificate = text === undefined ? undefined : readCertificate(text)
  if (certificate === undefined) return 'unknown'
  return certificate.ca ? 'authority' : 'leaf'
}

/** In words what is wrong with it. */
export function readGivenAuthority(
  secretName: string,
  secret: KubeObject | undefined,
): GivenAuthority {
  const name = { secret: secretName }
  if (secret === undefined) return { ...name, problem: MISSING }
  const pair = readPair(secret, 'tls')
  if (pair === undefined) {
    return { ...name, problem: 'tls.crt and tls.key are no certificate with its key' }
  }
  if (!new X509Certificate(pair.certificate).ca) {
    return { ...name, problem: 'tls.crt is not the certificate of an authority' }
  }
  const kind = createPrivateKey(pair.key).asymmetricKeyType
  if (kind !== 'ec' && kind !== 'rsa') {
    return { ...name, problem: 'the key is neither EC nor RSA' }
  }
  return { ...name, certificate: factsOf(pair.certificate) }
}

const MISSING = 'there is no such Secret'

/** Everything that is wrong with it at once, so that it is corrected once. */
function readGivenLeaf({ need, secret }: GivenSecret, nowMs: number): GivenLeafFacts {
  const name = { secret: need.secret, trusts: [] }
  if (secret === undefined) return { ...name, problem: MISSING }
  const [crt, pem, ca] = ['tls.crt', 'tls.key', 'ca.crt'].map((field) => readText(secret, field))
  const certificate = readCertificate(crt ?? '')
  const key = readKey(pem ?? '')
  const trusted = certificatesIn(ca ?? '')
  const unreadable = [
    ...(certificate === undefined ? [`tls.crt is ${crt ? 'no certificate' : 'missing'}`] : []),
    ...(key === undefined ? [`tls.key is ${pem ? 'no key that can be read' : 'missing'}`] : []),
    ...troubleOfTrust(ca, trusted.length),
  ]
  if (certificate === undefined || key === undefined || unreadable.length > 0) {
    return { ...name, problem: unreadable.join('; ') }
  }
  const problems = [
    ...(certificate.checkPrivateKey(key) ? [] : ['tls.key is the key of another certificate']),
    ...troubleOf(certificate, { need, nowMs }),
    ...troubleOfChain({ certificate, behind: certificatesIn(crt!).slice(1), trusted, nowMs }),
  ]
  // What OpenSSL itself will not take: a key that is too short, a digest that is too old.
  if (problems.length === 0) problems.push(...troubleOfContext({ cert: crt!, key: pem!, ca: ca! }))
  if (problems.length > 0) return { ...name, problem: problems.join('; ') }
  return {
    secret: need.secret,
    certificate: factsOf(crt!),
    trusts: trustsOf(trusted),
  }
}

/** Whether the Secret still holds what was judged. */
export function isAsJudged(secret: KubeObject, judged: GivenLeafFacts): boolean {
  const pair = readPair(secret, 'tls')
  if (pair === undefined || factsOf(pair.certificate).sha256 !== judged.certificate?.sha256) {
    return false
  }
  return trustsOf(certificatesIn(readText(secret, 'ca.crt') ?? '')).join() === judged.trusts.join()
}

function trustsOf(certificates: readonly X509Certificate[]): readonly string[] {
  return [...new Set(certificates.map(fingerprintOf))]
}

function troubleOfTrust(ca: string | undefined, count: number): readonly string[] {
  if (!ca) return ['ca.crt is missing, which says who signs certificates here']
  if (count !== (ca.match(/-----BEGIN CERTIFICATE-----/g) ?? []).length || count === 0) {
    return ['ca.crt is not a list of certificates']
  }
  return count > AUTHORITIES_MAX ? [`ca.crt has more than ${AUTHORITIES_MAX} certificates`] : []
}

/** What is wrong with the certificate itself. */
function troubleOf(
  certificate: X509Certificate,
  { need, nowMs }: { readonly need: GivenNeed; readonly nowMs: number },
): string[] {
  const problems: string[] = []
  if (certificate.ca) problems.push('tls.crt is the certificate of an authority, not of a member')
  const [from, to] = [certificate.validFromDate, certificate.validToDate]
  if (to.getTime() <= nowMs) problems.push(`tls.crt expired on ${to.toISOString()}`)
  if (from.getTime() > nowMs) problems.push(`tls.crt is not valid before ${from.toISOString()}`)
  const missing = need.hosts.flatMap(({ pattern, names }) => {
    const uncovered = names.filter((host) => !isValidFor(certificate, host))
    return uncovered.length === names.length ? [pattern] : uncovered
  })
  if (missing.length > 0) problems.push(`tls.crt is not valid for ${missing.join(', ')}`)
  // Without the list everything is allowed.
  const allowed = certificate.keyUsage as readonly string[] | undefined
  for (const usage of need.usages) {
    const { oid, name } = USAGES[usage]
    if (allowed?.includes(oid) !== false) continue
    const who = usage === 'server' ? 'servers' : need.use === 'peer' ? 'clients' : 'the operator'
    problems.push(`tls.crt is not made for ${who} (extended key usage ${name})`)
  }
  if (!maySignHandshakes(certificate)) {
    problems.push('tls.crt may not be used for signatures (key usage digitalSignature)')
  }
  return problems
}

/** Whether whoever trusts these believes it: as OpenSSL with a partial chain, which is how members look at it. */
function troubleOfChain(chain: {
  readonly certificate: X509Certificate
  readonly behind: readonly X509Certificate[]
  readonly trusted: readonly X509Certificate[]
  readonly nowMs: number
}): string[] {
  const { certificate, behind, trusted, nowMs } = chain
  const isNow = ({ validFromDate, validToDate }: X509Certificate): boolean =>
    validFromDate.getTime() <= nowMs && nowMs < validToDate.getTime()
  const usable = behind.filter((one) => one.ca && isNow(one))
  const anchors = trusted.filter(isNow)
  const reached = new Set([certificate])
  for (let length = 0; length <= CHAIN_MAX; length += 1) {
    if (anchors.some((anchor) => [...reached].some((one) => hasSigned(anchor, one)))) return []
    for (const one of usable) {
      if ([...reached].some((below) => hasSigned(one, below))) reached.add(one)
    }
  }
  const last = [...reached].at(-1)!
  const issuer = last.issuer.replaceAll('\n', ', ')
  const what = trusted.some((anchor) => hasSigned(anchor, last)) ? 'a valid' : 'an'
  return [`tls.crt does not lead to ${what} authority of ca.crt: nobody there is ${issuer}`]
}

function hasSigned(authority: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
}

function troubleOfContext(material: {
  readonly cert: string
  readonly key: string
  readonly ca: string
}): string[] {
  try {
    createSecureContext(material)
    return []
  } catch (error) {
    const words = error instanceof Error ? error.message.split(':').at(-1)! : String(error)
    return [`it cannot be used: ${words.trim()}`]
  }
}

function readKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem)
  } catch {
    // Not a key, or one behind a password: as if there were none.
    return undefined
  }
}

/** RFC 5280 4.2.1.3; a certificate without the extension may do everything. */
function maySignHandshakes({ raw }: X509Certificate): boolean {
  const [body] = readInside(readOne(raw), TAG.sequence)
  const extensions = readInside(body, TAG.sequence).find(({ tag }) => tag === contextTag(3))
  if (extensions === undefined) return true
  const oid = objectIdentifier(KEY_USAGE)
  for (const item of readInside(readOne(extensions.content), TAG.sequence)) {
    const parts = readInside(item, TAG.sequence)
    if (parts[0]?.bytes.equals(oid) !== true) continue
    const bits = readOne(parts.at(-1)!.content).content
    return ((bits[1] ?? 0) & DIGITAL_SIGNATURE) !== 0
  }
  return true
}
