// PURE: whether the certificate that somebody shows is good enough, and if not, why, in words for both logs.

import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { RevocationList } from '../pki/revocation.ts'

export type CertificateFault =
  | 'missing'
  | 'expired'
  | 'notYetValid'
  /** No authority that is trusted here has signed it. */
  | 'authority'
  | 'revoked'
  /** Not meant for what it is used for (extended key usage). */
  | 'usage'
  /** Neither a name nor an address that it has to be valid for. */
  | 'hostName'
  | 'commonName'

export interface CertificateRefusal {
  readonly reason: CertificateFault
  readonly detail: string
  readonly expected?: string
  readonly got?: string
}

/** Restrictions beside the authority; each empty list allows everything. */
export interface AllowedCertificates {
  readonly commonNames: readonly string[]
  readonly hostNames: readonly string[]
}

/** A dial failed for what the other side's certificate is, found by a check beside OpenSSL's. */
export class CertificateError extends Error {
  readonly refusal: CertificateRefusal

  constructor(refusal: CertificateRefusal) {
    super(refusal.detail)
    this.refusal = refusal
  }
}

/** Names of OpenSSL's verdicts on a certificate, as errors of a dial have them in `code`. */
const VERDICT =
  /^(UNABLE_TO_(GET|VERIFY|DECRYPT|DECODE)_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_(CA|PURPOSE)|PATH_LENGTH_|AKID_|HOSTNAME_|ERR_TLS_CERT_)/

/** What is wrong with the certificate of the one who was dialled; undefined when the dial failed for another reason. */
export function refusalOf(error: unknown): CertificateRefusal | undefined {
  if (error instanceof CertificateError) return error.refusal
  const { code, host, cert } = (error ?? {}) as {
    readonly code?: unknown
    readonly host?: string
    readonly cert?: { readonly subjectaltname?: string }
  }
  if (typeof code !== 'string' || !VERDICT.test(code)) return undefined
  const refusal = judgeVerification(code, true)
  if (refusal?.reason !== 'hostName' || host === undefined) return refusal
  return { ...refusal, expected: host, got: cert?.subjectaltname ?? 'no names' }
}

/** The verdict of OpenSSL, translated; undefined when it found nothing wrong. */
export function judgeVerification(
  code: string | undefined,
  hasCertificate: boolean,
): CertificateRefusal | undefined {
  if (!hasCertificate) return MISSING
  switch (code) {
    case undefined:
      return undefined
    case 'CERT_HAS_EXPIRED':
      return { reason: 'expired', detail: 'the certificate, or one of its chain, has expired' }
    case 'CERT_NOT_YET_VALID':
      return { reason: 'notYetValid', detail: 'the certificate is not valid yet' }
    case 'INVALID_PURPOSE':
      return { reason: 'usage', detail: 'the certificate is not meant for this use' }
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return { reason: 'hostName', detail: 'the certificate is for other hosts' }
    default:
      return {
        reason: 'authority',
        detail: 'the certificate is not signed by an authority that is trusted here',
        got: code,
      }
  }
}

/** Whether the certificate, already verified, is revoked or not among the allowed ones. */
export function judgeCertificate(
  certificate: X509Certificate,
  options: {
    readonly revocations: RevocationList | undefined
    readonly allowed: AllowedCertificates
  },
): CertificateRefusal | undefined {
  const { revocations, allowed } = options
  const { commonNames, hostNames } = allowed
  if (isRevoked(certificate, revocations)) {
    const { serialNumber } = certificate
    return { reason: 'revoked', detail: 'the certificate is revoked', got: serialNumber }
  }
  const commonName = commonNameOf(certificate) ?? ''
  if (commonNames.length > 0 && !commonNames.includes(commonName)) {
    const detail = 'the common name of the certificate is not allowed'
    return { reason: 'commonName', detail, expected: commonNames.join(', '), got: commonName }
  }
  return hostNames.length === 0 ? undefined : judgeHosts(certificate, hostNames)
}

/** Whether the certificate is valid for at least one of these names or addresses. */
export function judgeHosts(
  certificate: X509Certificate,
  hosts: readonly string[],
): CertificateRefusal | undefined {
  if (hosts.some((host) => isValidFor(certificate, host))) return undefined
  return {
    reason: 'hostName',
    detail: 'the certificate is for other hosts',
    expected: hosts.join(', '),
    got: certificate.subjectAltName ?? certificate.subject,
  }
}

export function isValidFor(certificate: X509Certificate, host: string): boolean {
  const options = { subject: 'never' } as const
  return isIP(host) === 0
    ? certificate.checkHost(host, options) !== undefined
    : certificate.checkIP(host) !== undefined
}

export function commonNameOf(certificate: X509Certificate): string | undefined {
  return /(?:^|\n)CN=(.*)/.exec(certificate.subject)?.[1]
}

/** It or any of its chain. */
export function isRevoked(
  certificate: X509Certificate,
  revocations: RevocationList | undefined,
): boolean {
  if (revocations === undefined) return false
  const seen = new Set<string>()
  let current: X509Certificate | undefined = certificate
  while (current !== undefined && !seen.has(current.fingerprint256)) {
    if (revocations.isRevoked(current)) return true
    seen.add(current.fingerprint256)
    current = current.issuerCertificate
  }
  return false
}

const MISSING: CertificateRefusal = {
  reason: 'missing',
  detail: 'a client certificate is required and none was shown',
}
