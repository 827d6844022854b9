// What we issue, read back by Node.js and by openssl where the machine has it.

import { execFileSync, spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  createAuthority,
  createSelfSigned,
  issueCertificate,
} from '../../../lib/pki/certificate.ts'
import { RevocationList } from '../../../lib/pki/revocation.ts'
import { authority, leaf, revocationList, VALID } from '../../support/certificates.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) process.stderr.write('certificate.test.ts: no openssl here, its checks left out\n')

function folder(files: Readonly<Record<string, string>>): string {
  const path = mkdtempSync(join(tmpdir(), 'raftbase-pki-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  return path
}

describe('issued certificates', () => {
  const ca = authority()
  const server = leaf(ca, {
    hosts: ['*.demo-peer.prod.svc', 'localhost', '10.1.2.3', 'fd00::12:0:1'],
  })
  const read = new X509Certificate(server.certificate)
  const readCa = new X509Certificate(ca.certificate)

  test('name their hosts, their uses and their issuer as Node.js reads them', () => {
    expect(read.subject).toBe('CN=member')
    expect(read.issuer).toBe('CN=test authority')
    expect(read.subjectAltName).toBe(
      'DNS:*.demo-peer.prod.svc, DNS:localhost, IP Address:10.1.2.3, IP Address:FD00:0:0:0:0:12:0:1',
    )
    expect(read.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    expect(read.ca).toBe(false)
    expect(read.checkIP('fd00::12:0:1')).toBeDefined()
    expect(read.checkHost('demo-0.demo-peer.prod.svc')).toBeDefined()
    expect(read.checkHost('x.other.svc')).toBeUndefined()
    expect(read.validToDate.getTime()).toBe(Math.floor(VALID.notAfterMs / 1000) * 1000)
  })

  test('are signed by their authority, and by no other of the same name', () => {
    expect(readCa.ca).toBe(true)
    expect(read.checkIssued(readCa)).toBe(true)
    expect(read.verify(readCa.publicKey)).toBe(true)
    const other = new X509Certificate(authority().certificate)
    expect(read.verify(other.publicKey)).toBe(false)
    expect(read.checkIssued(other)).toBe(false)
  })

  test('have serial numbers and keys of their own', () => {
    const another = new X509Certificate(leaf(ca).certificate)
    expect(another.serialNumber).not.toBe(read.serialNumber)
    expect(read.checkPrivateKey(createPrivateKey(server.key))).toBe(true)
    expect(read.checkPrivateKey(createPrivateKey(ca.key))).toBe(false)
  })

  test('last past 2049, where times have another form', () => {
    const notAfterMs = Date.UTC(2061, 4, 6, 7, 8, 9)
    const long = createAuthority({ commonName: 'long', notBeforeMs: VALID.notBeforeMs, notAfterMs })
    expect(new X509Certificate(long.certificate).validToDate.getTime()).toBe(notAfterMs)
  })

  test('sign themselves where there is no authority', () => {
    const pair = createSelfSigned({
      commonName: 'n1',
      usages: ['server'],
      hosts: ['::1'],
      ...VALID,
    })
    const certificate = new X509Certificate(pair.certificate)
    expect(certificate.verify(certificate.publicKey)).toBe(true)
    expect(certificate.checkIP('::1')).toBeDefined()
  })

  test.runIf(hasOpenssl)('are verified by openssl for the use that they are for', () => {
    const client = issueCertificate(
      { commonName: 'c', usages: ['client'], hosts: [], ...VALID },
      ca,
    )
    const files = {
      'ca.pem': ca.certificate,
      's.pem': server.certificate,
      'c.pem': client.certificate,
    }
    const cwd = folder(files)
    const verify = (...argv: string[]) =>
      spawnSync('openssl', ['verify', '-x509_strict', '-CAfile', 'ca.pem', ...argv], { cwd }).status
    expect(verify('-purpose', 'sslserver', 's.pem')).toBe(0)
    expect(verify('-purpose', 'sslclient', 'c.pem')).toBe(0)
    expect(verify('-purpose', 'sslserver', 'c.pem')).not.toBe(0)
  })
})

/** Throws anything but a TypeError on. */
function outcomeOf(file: Uint8Array): 'list' | 'refused' {
  try {
    return new RevocationList(file).size >= 0 ? 'list' : 'refused'
  } catch (error) {
    if (error instanceof TypeError) return 'refused'
    throw error
  }
}

describe.runIf(hasOpenssl)('an authority with an RSA key', () => {
  test('signs, and openssl agrees', () => {
    const cwd = folder({})
    const extensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign']
    const extended = extensions.flatMap((extension) => ['-addext', extension])
    const files = ['-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=rsa']
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', ...files, ...extended], {
      cwd,
      stdio: 'pipe',
    })
    const [certificate, key] = ['ca.pem', 'ca.key'].map((name) =>
      readFileSync(join(cwd, name), 'utf8'),
    ) as [string, string]
    const issued = leaf({ certificate, key })
    writeFileSync(join(cwd, 'leaf.pem'), issued.certificate)
    const verify = ['verify', '-x509_strict', '-CAfile', 'ca.pem', 'leaf.pem']
    expect(spawnSync('openssl', verify, { cwd }).status).toBe(0)
  })
})

describe('revocation lists', () => {
  const ca = authority()
  const [good, bad] = [leaf(ca), leaf(ca)]

  test('revoke what they list, by issuer and serial number', () => {
    const list = new RevocationList(Buffer.from(revocationList(ca, [bad])))
    expect(list.size).toBe(1)
    expect(list.isRevoked(new X509Certificate(bad.certificate))).toBe(true)
    expect(list.isRevoked(new X509Certificate(good.certificate))).toBe(false)
    const foreign = new RevocationList(Buffer.from(revocationList(authority('other'), [bad])))
    expect(foreign.isRevoked(new X509Certificate(bad.certificate))).toBe(false)
  })

  test('of several issuers stand in one file', () => {
    const other = authority('other')
    const revoked = leaf(other)
    const file = revocationList(ca, [bad]) + revocationList(other, [revoked])
    const list = new RevocationList(Buffer.from(file))
    expect(list.isRevoked(new X509Certificate(bad.certificate))).toBe(true)
    expect(list.isRevoked(new X509Certificate(revoked.certificate))).toBe(true)
  })

  test('that are cut short, or no list at all, are refused with a TypeError', () => {
    const pem = revocationList(ca, [good, bad])
    const bytes = Buffer.from(pem.replace(/-----.*-----|\s/g, ''), 'base64')
    expect(new RevocationList(bytes).size).toBe(2)
    for (let length = 0; length < bytes.length; length++) {
      expect(() => new RevocationList(bytes.subarray(0, length))).toThrow(TypeError)
    }
    expect(() => new RevocationList(Buffer.from(good.certificate))).toThrow(TypeError)
  })

  test('with damage in any byte either still are lists or are refused with a TypeError', () => {
    const bytes = Buffer.from(revocationList(ca, [bad]).replace(/-----.*-----|\s/g, ''), 'base64')
    for (let i = 0; i < bytes.length; i++) {
      for (const value of [0, 0x7f, 0x80, 0x84, 0xff]) {
        const damaged = Buffer.from(bytes)
        damaged[i] = value
        expect(['list', 'refused']).toContain(outcomeOf(damaged))
      }
    }
  })

  test.runIf(hasOpenssl)('are read as openssl writes them', () => {
    const config = `[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=1\ncertificate=ca.pem\nprivate_key=ca.key\n`
    const cwd = folder({
      'ca.pem': ca.certificate,
      'ca.key': ca.key,
      'bad.pem': bad.certificate,
      'index.txt': '',
      number: '01\n',
      'openssl.cnf': config,
    })
    const openssl = (...argv: string[]) =>
      execFileSync('openssl', ['ca', '-config', 'openssl.cnf', ...argv], { cwd, stdio: 'pipe' })
    openssl('-revoke', 'bad.pem')
    const list = new RevocationList(openssl('-gencrl'))
    expect(list.isRevoked(new X509Certificate(bad.certificate))).toBe(true)
    expect(list.isRevoked(new X509Certificate(good.certificate))).toBe(false)
    expect(list.nextUpdateMs).toBeGreaterThan(Date.now())
  })
})
