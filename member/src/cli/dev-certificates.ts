// The certificates of `raftbase dev --tls`: one authority, one certificate for all members, one for clients. Made anew at each
// start, so that none ever expires; the authority's key is written nowhere.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../../lib/clock.ts'
import { createAuthority, issueCertificate } from '../../../lib/pki/certificate.ts'

const LIFE_MS = 365 * 24 * 3_600_000
const HOSTS = ['localhost', '127.0.0.1', '::1']

/** Absolute paths. */
export interface DevCertificates {
  readonly authority: string
  readonly member: { readonly certificate: string; readonly key: string }
  readonly client: { readonly certificate: string; readonly key: string }
}

export function certificatePaths(dataDir: string): DevCertificates {
  const path = (name: string): string => join(dataDir, 'certificates', name)
  return {
    authority: path('ca.crt'),
    member: { certificate: path('member.crt'), key: path('member.key') },
    client: { certificate: path('client.crt'), key: path('client.key') },
  }
}

/** Throws the system's error. */
export function makeCertificates(dataDir: string): void {
  const nowMs = systemClock.wallMs()
  const validity = { notBeforeMs: nowMs - 3_600_000, notAfterMs: nowMs + LIFE_MS }
  const authority = createAuthority({ commonName: 'raftbase dev', ...validity })
  const member = issueCertificate(
    { commonName: 'member', usages: ['server', 'client'], hosts: HOSTS, ...validity },
    authority,
  )
  const client = issueCertificate(
    { commonName: 'client', usages: ['client'], hosts: [], ...validity },
    authority,
  )
  const paths = certificatePaths(dataDir)
  mkdirSync(join(dataDir, 'certificates'), { recursive: true, mode: 0o700 })
  for (const [path, text] of [
    [paths.authority, authority.certificate],
    [paths.member.certificate, member.certificate],
    [paths.member.key, member.key],
    [paths.client.certificate, client.certificate],
    [paths.client.key, client.key],
  ] as const) {
    writeFileSync(path, text, { mode: 0o600 })
  }
}

/** Flags of every member. */
export function certificateFlags(dataDir: string): Readonly<Record<string, string>> {
  const { authority, member } = certificatePaths(dataDir)
  return {
    'cert-file': member.certificate,
    'key-file': member.key,
    'trusted-ca-file': authority,
    'peer-cert-file': member.certificate,
    'peer-key-file': member.key,
    'peer-trusted-ca-file': authority,
  }
}
