// What the TLS settings accept, and how they say no (contract etcd-v3 6.2, 6.3).

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { loadMemberConfig, type MemberConfig } from '../../member/src/config.ts'
import { authority, leaf } from '../support/certificates.ts'

const folder = mkdtempSync(join(tmpdir(), 'raftbase-tls-config-'))
afterAll(() => rmSync(folder, { recursive: true }))
const ca = authority()
const [first, second] = [leaf(ca), leaf(ca)]
const FILES = {
  'ca.crt': ca.certificate,
  'a.crt': first.certificate,
  'a.key': first.key,
  'b.key': second.key,
  'text.pem': 'not PEM at all\n',
}
for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text)

function load(argv: readonly string[], environment: Record<string, string> = {}, file = '{}') {
  const sources = { environment, readFile: () => file, workingDirectory: folder }
  return loadMemberConfig({ ...sources, argv: [...argv, '-config=c.json'] })
}

function accept(argv: readonly string[], environment = {}, file = '{}'): MemberConfig {
  const loaded = load(argv, environment, file)
  if (loaded.kind !== 'config') throw new Error(JSON.stringify(loaded))
  return loaded.config
}

function refuse(argv: readonly string[]): string[] {
  const loaded = load(argv)
  if (loaded.kind !== 'refused') throw new Error(`accepted: ${argv.join(' ')}`)
  return loaded.problems.map(({ field, reason }) => `${field}: ${reason}`)
}

const CLIENT = ['-cert-file=a.crt', '-key-file=a.key']
const PEER = ['-peer-cert-file=a.crt', '-peer-key-file=a.key', '-peer-trusted-ca-file=ca.crt']
const PEER_URL = '-peer-url=https://127.0.0.1:2380'
const CLIENT_URL = '-client-url=https://127.0.0.1:2379'

test('certificates make https URLs, and the REST API is advertised with it', () => {
  const config = accept([...CLIENT, ...PEER, PEER_URL, CLIENT_URL])
  expect(config.listenPeer[0]).toMatchObject({ isSecure: true, url: 'https://127.0.0.1:2380' })
  expect(config.advertisePeerUrls).toEqual(['https://127.0.0.1:2380'])
  expect(config.advertiseApiUrls).toEqual(['https://127.0.0.1:8080'])
  expect(config.tls.client).toMatchObject({
    files: { certificate: join(folder, 'a.crt') },
    requiresCertificate: false,
  })
  expect(config.tls.peer).toMatchObject({ requiresCertificate: true, isSelfSigned: false })
})

test('authorities alone demand certificates of clients; the flag that says so needs them', () => {
  const only = accept([...CLIENT, '-trusted-ca-file=ca.crt'])
  expect(only.tls.client?.requiresCertificate).toBe(true)
  accept([...CLIENT, '-trusted-ca-file=ca.crt', '-client-cert-auth'])
  expect(refuse([...CLIENT, '-client-cert-auth'])).toEqual([
    '-client-cert-auth: needs -trusted-ca-file as well',
  ])
  accept([...CLIENT, '-client-cert-auth=false'])
})

test('switches that are true or false come from flags, variables and the file alike', () => {
  for (const config of [
    accept(['-auto-tls']),
    accept(['--auto-tls=true']),
    accept([], { RAFTBASE_AUTO_TLS: 'true' }),
    accept([], {}, '{"auto-tls": true}'),
  ]) {
    expect(config.tls.client).toMatchObject({ isSelfSigned: true, requiresCertificate: false })
  }
  expect(accept(['-auto-tls=false']).tls.client).toBeUndefined()
  expect(refuse(['-auto-tls=yes'])).toEqual(['-auto-tls: is neither true nor false'])
})

test('certificates of their own win over auto-TLS, as with etcd', () => {
  const config = accept([...CLIENT, '-auto-tls', ...PEER, '-peer-auto-tls'])
  expect(config.tls.client?.isSelfSigned).toBe(false)
  expect(config.tls.peer?.isSelfSigned).toBe(false)
  const made = accept(['-peer-auto-tls', PEER_URL, '-data-dir=d']).tls.peer
  expect(made?.files.certificate).toBe(join(folder, 'd/fixtures/peer/cert.pem'))
})

describe('what does not fit together is refused', () => {
  test.each([
    [
      [CLIENT_URL],
      '-client-url: TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:2379 with HTTPS scheme',
    ],
    [
      [PEER_URL],
      '-peer-url: TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url https://127.0.0.1:2380 with HTTPS scheme',
    ],
    [['-cert-file=a.crt'], '-cert-file: needs -key-file as well'],
    [['-key-file=a.key'], '-key-file: needs -cert-file as well'],
    [['-trusted-ca-file=ca.crt'], '-trusted-ca-file: needs -cert-file as well'],
    [
      ['-peer-cert-file=a.crt', '-peer-key-file=a.key'],
      '-peer-cert-file: needs -peer-trusted-ca-file as well',
    ],
    [
      [...PEER, '-peer-client-cert-file=a.crt'],
      '-peer-client-cert-file: needs -peer-client-key-file as well',
    ],
    [[...CLIENT, '-client-crl-file=ca.crt'], '-client-crl-file: needs -trusted-ca-file as well'],
    [
      [...PEER, '-peer-cert-allowed-cn=a', '-peer-cert-allowed-hostname=b'],
      '-peer-cert-allowed-hostname: and -peer-cert-allowed-cn are mutually exclusive',
    ],
    [['-auto-tls', '-trusted-ca-file=ca.crt'], '-trusted-ca-file: has no effect with -auto-tls'],
    [
      ['-tls-min-version=TLS1.3', '-tls-max-version=TLS1.2'],
      '-tls-min-version: min version (TLS1.3) is greater than max version (TLS1.2)',
    ],
    [
      ['-tls-min-version=TLS1.3', '-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
      '-cipher-suites: cipher suites cannot be configured when only TLS1.3 is enabled',
    ],
    [['-cipher-suites=RC4'], '-cipher-suites: unexpected TLS cipher suite RC4'],
    [
      [...PEER, PEER_URL, '-advertise-peer-url=http://127.0.0.1:2380'],
      '-advertise-peer-url: tells others http://127.0.0.1:2380 while -peer-url listens on https://127.0.0.1:2380',
    ],
    [
      ['-initial-cluster=n1=http://127.0.0.1:2380,n2=https://127.0.0.1:2382'],
      '-initial-cluster: has https://127.0.0.1:2382, and no --peer-cert-file to connect to it with',
    ],
    [
      ['-listen-metrics-urls=https://127.0.0.1:1', ...CLIENT],
      '-listen-metrics-urls: is always served without TLS',
    ],
    [['-self-signed-cert-validity=0'], '-self-signed-cert-validity: is out of range'],
  ])('%j', (argv, problem) => {
    expect(refuse(argv)).toEqual([problem])
  })
})

describe('files that cannot be used are refused with everything else', () => {
  test.each([
    [['-cert-file=none.crt', '-key-file=a.key'], ['-cert-file: cannot be read (ENOENT)']],
    [['-cert-file=.', '-key-file=a.key'], ['-cert-file: cannot be read (EISDIR)']],
    [
      ['-cert-file=text.pem', '-key-file=text.pem'],
      [
        '-cert-file: cannot be used (no certificate in it)',
        '-key-file: cannot be used (no private key in it)',
      ],
    ],
    [
      ['-cert-file=a.crt', '-key-file=b.key', '-name=..'],
      ['-name: is not a member name', `-key-file: is not the key of ${join(folder, 'a.crt')}`],
    ],
    [
      [...CLIENT, '-trusted-ca-file=ca.crt', '-client-crl-file=a.crt'],
      ['-client-crl-file: cannot be used (not a certificate revocation list)'],
    ],
  ])('%j', (argv, problems) => {
    expect(refuse(argv)).toEqual(problems)
  })
})
