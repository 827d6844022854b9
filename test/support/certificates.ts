// Certificates for tests, made when they are needed so that none ever expires in the repository.

import { sign, createPrivateKey, X509Certificate } from 'node:crypto'
import {
  type CertificatePair,
  type CertificateRequest,
  createAuthority,
  issueCertificate,
  pemOf,
} from '../../lib/pki/certificate.ts'
import {
  der,
  objectIdentifier,
  readInside,
  readOne,
  sequence,
  TAG,
  time,
  unsigned,
} from '../../lib/pki/der.ts'

const HOUR_MS = 3_600_000

export const VALID = {
  notBeforeMs: Date.now() - HOUR_MS,
  notAfterMs: Date.now() + 24 * HOUR_MS,
} as const

export function authority(commonName = 'test authority'): CertificatePair {
  return createAuthority({ commonName, ...VALID })
}

/** For both uses and for loopback unless said otherwise. */
export function leaf(
  signer: CertificatePair,
  changed: Partial<CertificateRequest> = {},
): CertificatePair {
  const hosts = ['localhost', '127.0.0.1', '::1']
  const request = { commonName: 'member', usages: ['server', 'client'], hosts, ...VALID } as const
  return issueCertificate({ ...request, ...changed }, signer)
}

/** PEM of a list, signed by `signer`, of the serial numbers of these certificates. */
export function revocationList(
  signer: CertificatePair,
  revoked: readonly CertificatePair[],
  nextUpdateMs = Date.now() + HOUR_MS,
): string {
  const algorithm = sequence(objectIdentifier('1.2.840.10045.4.3.2'))
  const entries = revoked.map(({ certificate }) => {
    const { serialNumber } = new X509Certificate(certificate)
    return sequence(unsigned(Buffer.from(serialNumber, 'hex')), time(Date.now()))
  })
  const body = sequence(
    unsigned(Buffer.from([1])),
    algorithm,
    subjectOf(signer),
    time(Date.now() - HOUR_MS),
    time(nextUpdateMs),
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
  )
  const signature = sign('sha256', body, createPrivateKey(signer.key))
  return pemOf(
    'X509 CRL',
    sequence(body, algorithm, der(TAG.bitString, Buffer.alloc(1), signature)),
  )
}

function subjectOf({ certificate }: CertificatePair): Buffer {
  const [body] = readInside(readOne(new X509Certificate(certificate).raw), TAG.sequence)
  return readInside(body, TAG.sequence)[5]!.bytes
}
