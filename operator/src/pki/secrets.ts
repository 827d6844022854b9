// Certificates of a cluster as they lie in Secrets: read into facts, and made. The authority's Secret is the only one with a key
// that signs: `tls.crt` and `tls.key` sign now, `next.*` will, `previous.crt` did. Every other Secret has a certificate, its
// key, and in `ca.crt` everybody who is to be trusted at the moment.

import { X509Certificate } from 'node:crypto'
import {
  type CertificatePair,
  createAuthority,
  issueCertificate,
} from '../../../lib/pki/certificate.ts'
import type { AuthorityFacts, LeafFacts, LeafOrder } from '../api/certificates.ts'
import type { KubeObject } from '../api/kube-object.ts'
import {
  certificatesIn,
  encode,
  factsOf,
  fingerprintOf,
  hostsOf,
  mustReadPair,
  readCertificate,
  readPair,
  readText,
} from './secret-data.ts'

/** Base64, as in a Secret; null removes the field. */
export type SecretData = Readonly<Record<string, string | null>>

const AUTHORITY_LIFE_MS = 5 * 365 * 24 * 3_600_000
/** Other clocks may be behind ours. */
const BACKDATE_MS = 300_000

/** Undefined when it does not hold a usable authority. */
export function readAuthority(secret: KubeObject): AuthorityFacts | undefined {
  const current = readPair(secret, 'tls')
  if (current === undefined || !new X509Certificate(current.certificate).ca) return undefined
  const next = readPair(secret, 'next')
  const previous = readText(secret, 'previous.crt')
  return {
    current: factsOf(current.certificate),
    ...(next === undefined ? {} : { next: factsOf(next.certificate) }),
    ...(previous === undefined || readCertificate(previous) === undefined
      ? {}
      : { previous: factsOf(previous) }),
  }
}

/** `authority` is the Secret that may have signed it. */
export function readLeaf(secret: KubeObject, authority: KubeObject | undefined): LeafFacts {
  const pair = readPair(secret, 'tls')
  const trusts = certificatesIn(readText(secret, 'ca.crt') ?? '').map(fingerprintOf)
  if (pair === undefined) return { trusts, hosts: [], problem: 'no certificate with its key' }
  const certificate = new X509Certificate(pair.certificate)
  const signers = authority === undefined ? [] : trustedPems(authority)
  const signer = signers
    .map((pem) => new X509Certificate(pem))
    .find((one) => certificate.checkIssued(one) && certificate.verify(one.publicKey))
  return {
    certificate: factsOf(pair.certificate),
    hosts: hostsOf(certificate),
    trusts,
    ...(signer === undefined ? {} : { signer: fingerprintOf(signer) }),
  }
}

/** Made, or taken from `given`. */
export function newAuthority(cluster: string, nowMs: number, given?: KubeObject): SecretData {
  return authorityFields('tls', takenOrMade(cluster, nowMs, given))
}

export function nextAuthority(cluster: string, nowMs: number, given?: KubeObject): SecretData {
  return authorityFields('next', takenOrMade(cluster, nowMs, given))
}

/** The next one signs from now on, the one before is still trusted. */
export function promotedAuthority(authority: KubeObject): SecretData {
  const next = mustReadPair(authority, 'next')
  return {
    ...authorityFields('tls', next),
    'previous.crt': encode(mustReadPair(authority, 'tls').certificate),
    'next.crt': null,
    'next.key': null,
  }
}

export function withoutPrevious(): SecretData {
  return { 'previous.crt': null }
}

/** Without whom it comes with as trusted. */
export function newLeaf(authority: KubeObject, order: LeafOrder, nowMs: number): SecretData {
  const { commonName, usages, hosts, lifeMs } = order
  const signer = mustReadPair(authority, 'tls')
  const pair = issueCertificate(
    { commonName, usages, hosts, notBeforeMs: nowMs - BACKDATE_MS, notAfterMs: nowMs + lifeMs },
    signer,
  )
  return authorityFields('tls', pair)
}

/** Certificate, key and chain as the user has them. */
export function leafOf(given: KubeObject): SecretData {
  return authorityFields('tls', mustReadPair(given, 'tls'))
}

/** Whom the authority's Secret names, and whoever `beside` trusts already. */
export function trustOf(authority: KubeObject, beside?: KubeObject): SecretData {
  return trustIn(trustedPems(authority), beside)
}

/** Whom the user's Secret names, and whoever `beside` trusts already. */
export function givenTrustOf(given: KubeObject, beside?: KubeObject): SecretData {
  return trustIn([readText(given, 'ca.crt') ?? ''], beside)
}

/** Each once. */
function trustIn(pems: readonly string[], beside: KubeObject | undefined): SecretData {
  const before = beside === undefined ? '' : (readText(beside, 'ca.crt') ?? '')
  const all = [before, ...pems].flatMap(certificatesIn)
  const unique = new Map(all.map((one) => [fingerprintOf(one), one.toString()]))
  return { 'ca.crt': encode([...unique.values()].join('')) }
}

/** What somebody who connects with it needs; undefined while it is not complete. */
export function connectWith(
  secret: KubeObject,
): { readonly ca: string; readonly cert: string; readonly key: string } | undefined {
  const ca = readText(secret, 'ca.crt')
  const pair = readPair(secret, 'tls')
  return ca === undefined || pair === undefined
    ? undefined
    : { ca, cert: pair.certificate, key: pair.key }
}

function takenOrMade(cluster: string, nowMs: number, given?: KubeObject): CertificatePair {
  if (given === undefined) return makeAuthority(cluster, nowMs)
  const { certificate, key } = mustReadPair(given, 'tls')
  // Behind it may stand the chain up to its root, which is nobody to trust here.
  return { certificate: certificatesIn(certificate)[0]!.toString(), key }
}

function makeAuthority(cluster: string, nowMs: number): CertificatePair {
  return createAuthority({
    commonName: `raftbase ${cluster}`,
    notBeforeMs: nowMs - BACKDATE_MS,
    notAfterMs: nowMs + AUTHORITY_LIFE_MS,
  })
}

function authorityFields(prefix: 'tls' | 'next', pair: CertificatePair): SecretData {
  return { [`${prefix}.crt`]: encode(pair.certificate), [`${prefix}.key`]: encode(pair.key) }
}

/** Who signs, who will and who did. */
function trustedPems(authority: KubeObject): readonly string[] {
  return ['tls.crt', 'next.crt', 'previous.crt']
    .map((field) => readText(authority, field))
    .filter((pem) => pem !== undefined)
}
