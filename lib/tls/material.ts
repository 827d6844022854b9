// What TLS runs on, as it was read from files: certificates, key, authorities, revocation list. Files are taken together or
// not at all; what is wrong with them is said by file. Nothing here opens a file or a socket.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { RevocationList } from '../pki/revocation.ts'
import type { FileContent } from '../watched-files.ts'

/** Absolute paths. Certificate and key come in pairs. */
export interface TlsFiles {
  readonly certificate: string | undefined
  readonly key: string | undefined
  /** Shown to others when we connect; the pair above where there is none. */
  readonly clientCertificate?: string | undefined
  readonly clientKey?: string | undefined
  /** Certificates of the authorities that others must be signed by. */
  readonly authorities: string | undefined
  readonly revocations: string | undefined
}

export interface CertificateWithKey {
  /** With the chain behind the leaf, as it stands in the file. */
  readonly pem: string
  readonly keyPem: string
  readonly leaf: X509Certificate
}

export interface TlsMaterial {
  readonly server: CertificateWithKey | undefined
  readonly client: CertificateWithKey | undefined
  readonly authorities:
    | { readonly pem: string; readonly certificates: readonly X509Certificate[] }
    | undefined
  readonly revocations: RevocationList | undefined
}

export interface TlsFileProblem {
  /** What the file is for. */
  readonly role: keyof TlsFiles
  readonly file: string
  readonly reason: string
}

export type ReadMaterial =
  | { readonly ok: true; readonly material: TlsMaterial }
  | { readonly ok: false; readonly problems: readonly TlsFileProblem[] }

/** Every path that is given, each once. */
export function pathsOf(files: TlsFiles): readonly string[] {
  const { certificate, key, clientCertificate, clientKey, authorities, revocations } = files
  const all = [certificate, key, clientCertificate, clientKey, authorities, revocations]
  return [...new Set(all.filter((path) => path !== undefined))]
}

export function readMaterial(
  files: TlsFiles,
  contentOf: (path: string) => FileContent | undefined,
): ReadMaterial {
  const reader = new MaterialReader(contentOf)
  const server = reader.pair(files, { certificate: 'certificate', key: 'key' })
  const own = { certificate: 'clientCertificate', key: 'clientKey' } as const
  const client = reader.pair(files, own) ?? server
  const authorities = reader.authorities(files)
  const revocations = reader.read(files, 'revocations', (bytes) => new RevocationList(bytes))
  if (reader.problems.length > 0) return { ok: false, problems: reader.problems }
  return { ok: true, material: { server, client, authorities, revocations } }
}

/** What a new file would cure: nothing stops for it. */
export function weaknessesOf(material: TlsMaterial, nowMs: number): readonly string[] {
  const found: string[] = []
  const { server, client, revocations } = material
  for (const [what, pair] of [
    ['certificate', server],
    ['client certificate', client === server ? undefined : client],
  ] as const) {
    if (pair === undefined) continue
    const { validFromDate, validToDate, validTo } = pair.leaf
    if (validToDate.getTime() <= nowMs) found.push(`${what} expired ${validTo}`)
    if (validFromDate.getTime() > nowMs) found.push(`${what} is not valid yet`)
  }
  if (revocations?.nextUpdateMs !== undefined && revocations.nextUpdateMs <= nowMs) {
    found.push('revocation list should have been replaced by now; it still counts')
  }
  return found
}

class MaterialReader {
  readonly problems: TlsFileProblem[] = []
  readonly #contentOf: (path: string) => FileContent | undefined

  constructor(contentOf: (path: string) => FileContent | undefined) {
    this.#contentOf = contentOf
  }

  pair(
    files: TlsFiles,
    roles: { readonly certificate: keyof TlsFiles; readonly key: keyof TlsFiles },
  ): CertificateWithKey | undefined {
    const certificate = this.read(files, roles.certificate, (bytes) => {
      const pem = bytes.toString('latin1')
      return { pem, leaf: certificatesIn(pem)[0]! }
    })
    const key = this.read(files, roles.key, (bytes) => {
      const pem = bytes.toString('latin1')
      return { pem, key: readKey(pem) }
    })
    if (certificate === undefined || key === undefined) return undefined
    if (!certificate.leaf.checkPrivateKey(key.key)) {
      const reason = `is not the key of ${files[roles.certificate]}`
      this.problems.push({ role: roles.key, file: files[roles.key]!, reason })
      return undefined
    }
    return { pem: certificate.pem, keyPem: key.pem, leaf: certificate.leaf }
  }

  authorities(files: TlsFiles): TlsMaterial['authorities'] {
    return this.read(files, 'authorities', (bytes) => {
      const pem = bytes.toString('latin1')
      return { pem, certificates: certificatesIn(pem) }
    })
  }

  read<T>(files: TlsFiles, role: keyof TlsFiles, parse: (bytes: Buffer) => T): T | undefined {
    const path = files[role]
    if (path === undefined) return undefined
    const content = this.#contentOf(path)
    if (content?.bytes === undefined) {
      const reason = `cannot be read (${content?.error ?? 'unknown'})`
      this.problems.push({ role, file: path, reason })
      return undefined
    }
    try {
      return parse(content.bytes)
    } catch (error) {
      // OpenSSL's words are long; their last part says it.
      const words = error instanceof Error ? error.message.split(':').at(-1)! : String(error)
      this.problems.push({ role, file: path, reason: `cannot be used (${words.trim()})` })
      return undefined
    }
  }
}

/** At least one. */
function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g)
  if (blocks === null) throw new TypeError('no certificate in it')
  return blocks.map((block) => new X509Certificate(block))
}

function readKey(pem: string): KeyObject {
  if (!pem.includes('PRIVATE KEY-----')) throw new TypeError('no private key in it')
  return createPrivateKey(pem)
}
