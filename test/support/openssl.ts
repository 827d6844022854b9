// Certificates that only openssl makes: a chain of three, and keys that are too short. Where the machine has none, tests that
// need it are left out, and say so.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CertificatePair } from '../../lib/pki/certificate.ts'

/** For `test.runIf`; says aloud when there is none. */
export function hasOpenssl(what: string): boolean {
  const isThere = spawnSync('openssl', ['version']).status === 0
  if (!isThere) process.stderr.write(`\nSKIPPED: ${what}: there is no openssl here\n\n`)
  return isThere
}

export interface Chain {
  /** PEM of an authority that signs authorities. */
  readonly root: string
  /** PEM of an authority that `root` has signed. */
  readonly middle: string
  /** Signed by `middle`, which does not stand behind it. */
  readonly leaf: CertificatePair
}

/** Valid from now on, for servers and clients. */
export function makeChain(hosts: readonly string[]): Chain {
  return inFolder((run, write, read) => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    write('middle.ext', 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n')
    const usages = 'extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n'
    write('leaf.ext', `subjectAltName=${namesOf(hosts)}\n${usages}`)
    const root = ['-subj', '/CN=root', '-days', '9', '-keyout', 'root.key', '-out', 'root.crt']
    run('req', '-x509', ...key, ...root)
    for (const [name, signer] of [
      ['middle', 'root'],
      ['leaf', 'middle'],
    ] as const) {
      run('req', ...key, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`)
      const by = ['-CA', `${signer}.crt`, '-CAkey', `${signer}.key`, '-CAcreateserial']
      const made = ['-days', '9', '-extfile', `${name}.ext`, '-out', `${name}.crt`]
      run('x509', '-req', '-in', `${name}.csr`, ...by, ...made)
    }
    const leaf = { certificate: read('leaf.crt'), key: read('leaf.key') }
    return { root: read('root.crt'), middle: read('middle.crt'), leaf }
  })
}

/** It signs itself, with a key of 1024 bits. */
export function makeShortKeyed(hosts: readonly string[]): CertificatePair {
  return inFolder((run, _, read) => {
    const names = ['-subj', '/CN=short', '-addext', `subjectAltName=${namesOf(hosts)}`]
    const kind = ['-newkey', 'rsa:1024', '-nodes', '-addext', 'basicConstraints=critical,CA:FALSE']
    run('req', '-x509', '-days', '9', ...names, ...kind, '-keyout', 'a.key', '-out', 'a.crt')
    return { certificate: read('a.crt'), key: read('a.key') }
  })
}

function namesOf(hosts: readonly string[]): string {
  return hosts.map((host) => `${isIP(host) === 0 ? 'DNS' : 'IP'}:${host}`).join()
}

function inFolder<T>(
  make: (
    run: (...argv: readonly string[]) => void,
    write: (name: string, text: string) => void,
    read: (name: string) => string,
  ) => T,
): T {
  const cwd = mkdtempSync(join(tmpdir(), 'raftbase-openssl-'))
  try {
    return make(
      (...argv) => void execFileSync('openssl', argv, { cwd, stdio: 'pipe' }),
      (name, text) => writeFileSync(join(cwd, name), text),
      (name) => readFileSync(join(cwd, name), 'utf8'),
    )
  } finally {
    rmSync(cwd, { recursive: true })
  }
}
