// Certificates of a cluster as they lie in Secrets: read into facts, and made. The authority's Secret is the only one with a key
// that signs: `tls.crt` and `tls.key` sign now, `next.*` will, `previous.crt` did. Every other Secret has a certificate, its
// key, and in `ca.crt` everybody who is to be trusted at the moment.

import { Buffer } from 'node:buffer'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  type CertificatePair,
  createAuthority,
  issueCertificate,
} from '../../../lib/pki/certificate.ts'
import type { KubeObject } from '../api/kube-object.ts'
import type { AuthorityFacts, CertificateFacts, LeafFacts, LeafOrder } from '../api/certificates.ts'

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

/** What a user's Secret holds; in words what is wrong with it. */
export function readGiven(secret: KubeObject | undefined): {
  readonly certificate?: CertificateFacts
  readonly problem?: string
} {
  if (secret === undefined) return { problem: 'there is no such Secret' }
  const pair = readPair(secret, 'tls')
  if (pair === undefined) return { problem: 'tls.crt and tls.key are no certificate with its key' }
  if (!new X509Certificate(pair.certificate).ca) {
    return { problem: 'tls.crt is not the certificate of an authority' }
  }
  const kind = createPrivateKey(pair.key).asymmetricKeyType
  if (kind !== 'ec' && kind !== 'rsa') return { problem: 'the key is neither EC nor RSA' }
  return { certificate: factsOf(pair.certificate) }
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

export function newLeaf(authority: KubeObject, order: LeafOrder, nowMs: number): SecretData {
  const { commonName, usages, hosts, lifeMs } = order
  const signer = mustReadPair(authority, 'tls')
  const pair = issueCertificate(
    { commonName, usages, hosts, notBeforeMs: nowMs - BACKDATE_MS, notAfterMs: nowMs + lifeMs },
    signer,
  )
  return { ...authorityFields('tls', pair), ...trustOf(authority) }
}

export function trustOf(authority: KubeObject): SecretData {
  return { 'ca.crt': encode(trustedPems(authority).join('')) }
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

function mustReadPair(secret: KubeObject, prefix: string): CertificatePair {
  const pair = readPair(secret, prefix)
  if (pair === undefined) throw new TypeError(`Secret ${secret.metadata.name} has no ${prefix}.crt`)
  return pair
}

function readPair(secret: KubeObject, prefix: string): CertificatePair | undefined {
  const certificate = readText(secret, `${prefix}.crt`)
  const key = readText(secret, `${prefix}.key`)
  if (certificate === undefined || key === undefined) return undefined
  const parsed = readCertificate(certificate)
  try {
    if (parsed?.checkPrivateKey(createPrivateKey(key)) !== true) return undefined
  } catch {
    // Not a key: as if there were none.
    return undefined
  }
  return { certificate, key }
}

function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    // Not a certificate: as if there were none.
    return undefined
  }
}

function certificatesIn(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  return blocks.map(readCertificate).filter((one) => one !== undefined)
}

function readText(secret: KubeObject, field: string): string | undefined {
  const data = secret['data'] as Readonly<Record<string, unknown>> | undefined
  const value = data !== undefined && Object.hasOwn(data, field) ? data[field] : undefined
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : undefined
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64')
}

function factsOf(pem: string): CertificateFacts {
  const certificate = new X509Certificate(pem)
  return {
    sha256: fingerprintOf(certificate),
    notBefore: certificate.validFromDate.toISOString(),
    notAfter: certificate.validToDate.toISOString(),
  }
}

/** As members tell theirs. */
function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase()
}

function hostsOf({ subjectAltName }: X509Certificate): readonly string[] {
  if (subjectAltName === undefined) return []
  return subjectAltName
    .split(', ')
    .map((name) => name.replace(/^(DNS|IP Address):/, '').toLowerCase())
}
