// Certificates as users give them in Secrets, good for all members of `prod/demo` unless a test says otherwise. They are valid
// at the time of the tests' clocks and of OpenSSL's, which knows no other than the machine's.

import {
  type CertificatePair,
  type CertificateRequest,
  createAuthority,
  issueCertificate,
} from '../../../lib/pki/certificate.ts'

export const LONG = {
  notBeforeMs: Date.parse('2026-01-01T00:00:00Z'),
  notAfterMs: Date.parse('2046-01-01T00:00:00Z'),
} as const

export const MEMBER_HOSTS = ['*.demo-peer.prod.svc.cluster.local'] as const
export const SERVER_HOSTS = [
  ...MEMBER_HOSTS,
  '*.demo-peer.prod.svc',
  'demo-client.prod.svc',
  'demo-client.prod.svc.cluster.local',
] as const

export function company(commonName = 'company'): CertificatePair {
  return createAuthority({ commonName, ...LONG })
}

export function memberLeaf(
  signer: CertificatePair,
  changed: Partial<CertificateRequest> = {},
): CertificatePair {
  const usages = ['server', 'client'] as const
  const request = { commonName: 'demo', usages, hosts: SERVER_HOSTS, ...LONG, ...changed }
  return issueCertificate(request, signer)
}

/** Fields of a Secret. */
export function givenData(
  { certificate, key }: CertificatePair,
  trusted: readonly CertificatePair[],
): Record<string, string> {
  const authorities = trusted.map((one) => one.certificate).join('')
  return { 'tls.crt': encode(certificate), 'tls.key': encode(key), 'ca.crt': encode(authorities) }
}

export function encode(text: string): string {
  return Buffer.from(text).toString('base64')
}
