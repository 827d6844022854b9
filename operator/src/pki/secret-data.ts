// Certificates and keys as they lie in the fields of a Secret: text in base64, read without trusting any of it.

import { Buffer } from 'node:buffer'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { CertificatePair } from '../../../lib/pki/certificate.ts'
import type { CertificateFacts } from '../api/certificates.ts'
import type { KubeObject } from '../api/kube-object.ts'

export function mustReadPair(secret: KubeObject, prefix: string): CertificatePair {
  const pair = readPair(secret, prefix)
  if (pair === undefined) throw new TypeError(`Secret ${secret.metadata.name} has no ${prefix}.crt`)
  return pair
}

export function readPair(secret: KubeObject, prefix: string): CertificatePair | undefined {
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

export function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    // Not a certificate: as if there were none.
    return undefined
  }
}

export function certificatesIn(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  return blocks.map(readCertificate).filter((one) => one !== undefined)
}

export function readText(secret: KubeObject, field: string): string | undefined {
  const data = secret['data'] as Readonly<Record<string, unknown>> | undefined
  const value = data !== undefined && Object.hasOwn(data, field) ? data[field] : undefined
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : undefined
}

export function encode(text: string): string {
  return Buffer.from(text).toString('base64')
}

export function factsOf(pem: string): CertificateFacts {
  const certificate = new X509Certificate(pem)
  return {
    sha256: fingerprintOf(certificate),
    notBefore: certificate.validFromDate.toISOString(),
    notAfter: certificate.validToDate.toISOString(),
  }
}

/** As members tell theirs. */
export function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase()
}

export function hostsOf({ subjectAltName }: X509Certificate): readonly string[] {
  if (subjectAltName === undefined) return []
  return subjectAltName
    .split(', ')
    .map((name) => name.replace(/^(DNS|IP Address):/, '').toLowerCase())
}
