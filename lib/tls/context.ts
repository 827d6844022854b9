// From what was read and allowed to what node:tls takes: contexts of listeners and of dials, the same versions and ciphers for
// both. Loaded only where TLS is configured.

import { constants, X509Certificate } from 'node:crypto'
import {
  checkServerIdentity,
  type ConnectionOptions,
  createSecureContext,
  type PeerCertificate,
  type SecureContext,
  type SecureContextOptions,
  type SecureVersion,
} from 'node:tls'
import { type AllowedCertificates, CertificateError, judgeCertificate } from './judge.ts'
import type { TlsMaterial } from './material.ts'

export interface TlsVersions {
  readonly minVersion: SecureVersion
  readonly maxVersion: SecureVersion
  /** OpenSSL's names, for TLS 1.2 only; undefined: Node.js' choice. */
  readonly ciphers: readonly string[] | undefined
}

const CIPHERS_OF_TLS_13 = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
]

/** Throws what OpenSSL finds wrong with it (a key too short, an algorithm too old). */
export function serverOptions(material: TlsMaterial, versions: TlsVersions): SecureContextOptions {
  const { server, authorities } = material
  return {
    ...common(versions),
    ...(server === undefined ? {} : { cert: server.pem, key: server.keyPem }),
    ...(authorities === undefined ? {} : { ca: authorities.pem }),
    // A session that is resumed was judged by the rules of its time.
    secureOptions: constants.SSL_OP_NO_TICKET,
    honorCipherOrder: true,
  }
}

export function clientContext(material: TlsMaterial, versions: TlsVersions): SecureContext {
  const { client, authorities } = material
  return createSecureContext({
    ...common(versions),
    ...(client === undefined ? {} : { cert: client.pem, key: client.keyPem }),
    ...(authorities === undefined ? {} : { ca: authorities.pem }),
  })
}

/** Checks of a dial: the host in the URL, then what `judgeCertificate` knows. */
export function serverChecks(
  allowed: AllowedCertificates,
  material: TlsMaterial,
): Pick<ConnectionOptions, 'checkServerIdentity'> {
  return {
    checkServerIdentity: (host: string, shown: PeerCertificate) => {
      const problem = checkServerIdentity(host, shown)
      if (problem !== undefined) return problem
      const certificate = new X509Certificate(shown.raw)
      const { revocations } = material
      const refusal = judgeCertificate(certificate, { revocations, allowed })
      return refusal === undefined ? undefined : new CertificateError(refusal)
    },
  }
}

function common({ minVersion, maxVersion, ciphers }: TlsVersions): SecureContextOptions {
  return {
    minVersion,
    maxVersion,
    // Go, and so etcd, trusts an intermediate that is given as an authority.
    allowPartialTrustChain: true,
    ...(ciphers === undefined ? {} : { ciphers: [...ciphers, ...CIPHERS_OF_TLS_13].join(':') }),
  }
}
