// Members that know each other by certificates: who is let in, what both logs say, and certificates that change meanwhile
// (X2, the peer side of F44).

import { X509Certificate } from 'node:crypto'
import { connect as connectPlain } from 'node:net'
import { connect } from 'node:tls'
import { expect, test } from 'vitest'
import { systemTimers } from '../../../lib/clock.ts'
import type { CertificatePair } from '../../../lib/pki/certificate.ts'
import { RevocationList } from '../../../lib/pki/revocation.ts'
import type { TlsMaterial } from '../../../lib/tls/material.ts'
import { tcpNetwork } from '../../../member/src/transport/socket.ts'
import { peerSecurity, type PeerTlsOptions } from '../../../member/src/transport/tls.ts'
import { authority, leaf, revocationList } from '../../support/certificates.ts'
import { hasOpenssl, makeChain } from '../../support/openssl.ts'
import {
  addressOf,
  CLUSTER_ID,
  heartbeat,
  introduce as introduceAll,
  memberId,
  type MemberOptions,
  RecordingLog,
  startMember,
  type TestMember,
  until,
} from './harness.ts'

const CA = authority()

class Holder {
  material: TlsMaterial
  readonly #listeners = new Set<(material: TlsMaterial) => void>()

  constructor(material: TlsMaterial) {
    this.material = material
  }

  subscribe(listener: (material: TlsMaterial) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  change(material: Partial<TlsMaterial>): void {
    this.material = { ...this.material, ...material }
    for (const listener of this.#listeners) listener(this.material)
  }
}

interface SecureMember extends TestMember {
  readonly tls: Holder
  readonly tlsLog: RecordingLog
}

function shown({ certificate, key }: CertificatePair) {
  const pair = { pem: certificate, keyPem: key, leaf: new X509Certificate(certificate) }
  return { server: pair, client: pair }
}

function trusted(...signers: readonly CertificatePair[]) {
  const pem = signers.map(({ certificate }) => certificate).join('')
  const certificates = signers.map(({ certificate }) => new X509Certificate(certificate))
  return { authorities: { pem, certificates } }
}

async function secureMember(
  options: MemberOptions,
  changed: Partial<PeerTlsOptions> & { pair?: CertificatePair; trusts?: CertificatePair[] } = {},
): Promise<SecureMember> {
  const { pair = leaf(CA), trusts = [CA], ...rest } = changed
  const tls = new Holder({ ...shown(pair), ...trusted(...trusts), revocations: undefined })
  const tlsLog = new RecordingLog()
  const security = peerSecurity({
    holder: tls,
    versions: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', ciphers: undefined },
    allowed: { commonNames: [], hostNames: [] },
    isSelfSigned: false,
    requiresCertificate: true,
    checksPeerHosts: true,
    timers: systemTimers,
    log: tlsLog,
    ...rest,
  })
  const network = tcpNetwork(security)
  const member = await startMember({ ...options, network, isSecure: true })
  return { ...member, tls, tlsLog }
}

/** Resolves once the two are connected. */
async function introduce(a: TestMember, b: TestMember): Promise<void> {
  introduceAll([a, b])
  await until(() => isUp(a, b) && isUp(b, a), 'the connection of both')
}

function isUp(from: TestMember, to: TestMember): boolean {
  return from.transport.peerStatus(to.id).connected
}

function reasonsOf(member: TestMember, message: string) {
  return member.log.warnings
    .filter((line) => line.message === message)
    .map(({ fields }) => fields['reason'])
}

function rejections(member: TestMember) {
  return member.log.warnings.filter(
    ({ message }) => message === 'rejected connection on peer endpoint',
  )
}

const HAS_OPENSSL = hasOpenssl('peers under an intermediate authority')

test.runIf(HAS_OPENSSL)(
  'members meet under an authority that another one has signed, whose root nobody names',
  async () => {
    const chain = makeChain(['localhost', '127.0.0.1', '::1'])
    const middle = { certificate: chain.middle, key: '' }
    const pair = chain.leaf
    const [a, b, c] = [
      await secureMember({ number: 1 }, { pair, trusts: [middle] }),
      await secureMember({ number: 2 }, { pair, trusts: [middle] }),
      await secureMember({ number: 3 }),
    ]
    await introduce(a, b)
    // The same with files that come later.
    const meets = { ...shown(pair), ...trusted(middle) }
    c.tls.change(meets)
    await introduce(a, c)
    expect([a, b, c].flatMap(rejections)).toEqual([])
  },
)

test('members with certificates of one authority meet, and what they send is encrypted', async () => {
  const a = await secureMember({ number: 1 })
  const b = await secureMember({ number: 2 })
  await introduce(a, b)
  expect(a.url.startsWith('https:')).toBe(true)
  a.transport.send([heartbeat({ from: a.id, to: b.id }, 1)])
  await until(() => b.handler.messages.length > 0, 'a message')
  expect([...a.log.warnings, ...b.log.warnings]).toEqual([])
})

const EXPIRED = { notBeforeMs: Date.now() - 7_200_000, notAfterMs: Date.now() - 3_600_000 }

test.each([
  { what: 'of another authority', reason: 'authority', pair: leaf(authority('other')) },
  { what: 'that has expired', reason: 'expired', pair: leaf(CA, EXPIRED) },
  {
    what: 'that is not valid yet',
    reason: 'notYetValid',
    pair: leaf(CA, { notBeforeMs: Date.now() + 3_600_000, notAfterMs: Date.now() + 7_200_000 }),
  },
  { what: 'for servers only', reason: 'usage', pair: leaf(CA, { usages: ['server'] }) },
])(
  'X2: a peer with a certificate $what is refused, and both say why once',
  async ({ pair, reason }) => {
    const a = await secureMember({ number: 1 })
    const b = await secureMember({ number: 2 }, { pair })
    b.transport.setPeers([addressOf(a)])
    await until(() => a.refusals.length >= 3, 'three attempts')
    expect(rejections(a).map(({ fields }) => fields['reason'])).toEqual([reason])
    await until(() => b.log.warnings.length > 0, 'the other log')
    expect(
      b.log.warnings.map(({ message, fields }) => [message, fields['code'], fields['reason']]),
    ).toEqual([['peer connection refused', 'CERTIFICATE_REFUSED', reason]])
    expect(a.handler.events).toEqual([])
  },
)

test('X2: a revoked certificate is refused, and a connection that has it is cut when the list comes', async () => {
  const pair = leaf(CA)
  const a = await secureMember({ number: 1 })
  const b = await secureMember({ number: 2 }, { pair })
  await introduce(a, b)
  a.tls.change({ revocations: new RevocationList(Buffer.from(revocationList(CA, [pair]))) })
  await until(() => a.handler.events.includes('down 2'), 'the end of the connection')
  expect(a.tlsLog.warnings[0]?.message).toBe('cut a peer connection whose certificate was revoked')
  await until(() => rejections(a).length > 0, 'the refusal')
  expect(rejections(a)[0]?.fields['reason']).toBe('revoked')
  // The revoked one is not dialled either.
  const dialled = a.log.warnings.find(({ message }) => message === 'peer connection refused')
  expect(dialled?.fields['reason']).toBe('revoked')
})

test('X2: a certificate for other hosts is refused by both sides', async () => {
  const pair = leaf(CA, { hosts: ['n2.example'] })
  const a = await secureMember({ number: 1 })
  const b = await secureMember({ number: 2 }, { pair })
  a.transport.setPeers([addressOf(b)])
  b.transport.setPeers([addressOf(a)])
  await until(() => reasonsOf(a, 'refused a peer connection').length > 0, 'the acceptor')
  await until(() => reasonsOf(a, 'peer connection refused').length > 0, 'the dialler')
  expect(reasonsOf(a, 'refused a peer connection')).toEqual(['hostName'])
  expect(reasonsOf(a, 'peer connection refused')).toEqual(['hostName'])
  const line = a.log.warnings.find(({ message }) => message === 'refused a peer connection')
  expect(line?.fields).toMatchObject({
    peer: memberId(2),
    expected: '127.0.0.1',
    got: 'DNS:n2.example',
  })
  expect(a.handler.events).toEqual([])
})

test('X2: a member cannot take the name of another with a certificate of its own', async () => {
  const a = await secureMember({ number: 1 })
  // The real member 2 is elsewhere; this one has a sound certificate, for loopback, and claims to be it.
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: ['https://n2.example:2380'] }])
  const impostor = await secureMember({ number: 2 })
  impostor.transport.setPeers([addressOf(a)])
  await until(() => a.refusals.length > 0, 'the refusal')
  expect(a.log.warnings.map(({ fields }) => fields['reason'])).toContain('hostName')
  expect(impostor.transport.peerStatus(a.id).connected).toBe(false)
})

test('the check of the host can be switched off', async () => {
  const pair = leaf(CA, { hosts: ['n2.example'] })
  const a = await secureMember({ number: 1 }, { checksPeerHosts: false })
  const b = await secureMember({ number: 2 }, { pair })
  a.transport.setPeers([addressOf(b)])
  b.transport.setPeers([addressOf(a)])
  // It may come; it still is not found at an address that its certificate does not have.
  await until(() => b.transport.peerStatus(a.id).lastHeardMs !== undefined, 'the connection')
  expect(a.log.warnings.map(({ fields }) => fields['reason'])).toEqual(['hostName'])
})

test.each([
  { allowed: { commonNames: ['someone'], hostNames: [] }, reason: 'commonName' },
  { allowed: { commonNames: [], hostNames: ['peer.example'] }, reason: 'hostName' },
])('only allowed names come in ($reason)', async ({ allowed, reason }) => {
  const a = await secureMember({ number: 1 }, { allowed })
  const b = await secureMember({ number: 2 })
  b.transport.setPeers([addressOf(a)])
  await until(() => rejections(a).length > 0, 'the refusal')
  expect(rejections(a)[0]?.fields['reason']).toBe(reason)
})

test('allowed names let those in who have them', async () => {
  const allowed = { commonNames: ['someone', 'member'], hostNames: [] }
  const a = await secureMember({ number: 1 }, { allowed })
  const b = await secureMember({ number: 2 }, { allowed })
  await introduce(a, b)
  expect(a.log.warnings).toEqual([])
})

test('X2: without a certificate, or without TLS, nobody gets a word in', async () => {
  const a = await secureMember({ number: 1 })
  a.transport.setPeers([{ id: memberId(2), name: 'n2', peerUrls: [] }])
  const hello = `GET /raftbase/member?id=${memberId(2)} HTTP/1.1\r\nHost: x\r\n\r\n`
  const none = await answerTo(connect({ port: a.port, ca: CA.certificate }), hello)
  expect(none).toContain('"reason":"missing"')
  expect(none).not.toContain(CLUSTER_ID)
  expect(await answerTo(connectPlain(a.port), hello)).not.toContain('HTTP/1.1')
  expect(rejections(a).map(({ fields }) => fields['reason'])).toEqual(['missing', 'handshake'])
})

test('a member that speaks no TLS is not reached at an https URL, nor the reverse', async () => {
  const secure = await secureMember({ number: 1 })
  const plain = await startMember({ number: 2 })
  const { port } = plain
  secure.transport.setPeers([{ ...addressOf(plain), peerUrls: [`https://127.0.0.1:${port}`] }])
  plain.transport.setPeers([
    { ...addressOf(secure), peerUrls: [`http://127.0.0.1:${secure.port}`] },
  ])
  await until(() => rejections(secure).length > 0, 'the refusal')
  await until(() => plain.refusals.length > 0, 'the other refusal')
  expect(secure.handler.events).toEqual([])
  expect(plain.handler.events).toEqual([])
})

test('sessions are not resumed: each handshake is judged by the rules of its time', async () => {
  const a = await secureMember({ number: 1 })
  const pair = leaf(CA)
  const options = { port: a.port, ca: CA.certificate, cert: pair.certificate, key: pair.key }
  const first = connect(options)
  const sessions: Buffer[] = []
  first.on('session', (session) => sessions.push(session))
  await answerTo(first, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const [session] = sessions
  const second = connect(session === undefined ? options : { ...options, session })
  const reused = new Promise((resolve) => {
    second.once('secureConnect', () => resolve(second.isSessionReused()))
  })
  await answerTo(second, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  expect(await reused).toBe(false)
})

test('authority and certificates change under an open connection, which stays, and new ones go on', async () => {
  const a = await secureMember({ number: 1 })
  const b = await secureMember({ number: 2 })
  await introduce(a, b)
  const next = authority('next')
  for (const member of [a, b]) member.tls.change(trusted(CA, next))
  for (const member of [a, b]) member.tls.change(shown(leaf(next)))
  for (const member of [a, b]) member.tls.change(trusted(next))
  const c = await secureMember({ number: 3 }, { pair: leaf(next), trusts: [next] })
  a.transport.setPeers([addressOf(b), addressOf(c)])
  c.transport.setPeers([addressOf(a)])
  await until(() => c.handler.events.includes('up 1'), 'the new member')
  expect(a.handler.events).toEqual(['up 2', 'up 3'])
  const old = await secureMember({ number: 4 })
  old.transport.setPeers([addressOf(a)])
  await until(() => old.log.warnings.length > 0, 'the refusal of the old authority')
  expect(old.log.warnings[0]?.fields['reason']).toBe('authority')
})

test('X3: handshakes that do not go on are cut, the oldest first, and keep no peer out', async () => {
  const limits = { handshakeTimeoutMs: 400, maxPendingHandshakes: 8 }
  const a = await secureMember({ number: 1, limits })
  const silent = Array.from({ length: 40 }, () => connectPlain(a.port))
  const closed = silent.map(
    (socket) =>
      new Promise<void>(
        (resolve) => void socket.on('error', () => {}).on('close', () => resolve()),
      ),
  )
  for (const socket of silent) socket.resume()
  const b = await secureMember({ number: 2 })
  await introduce(a, b)
  await Promise.all(closed)
  expect(isUp(a, b)).toBe(true)
})

test('self-signed certificates encrypt and check nobody', async () => {
  const options = { isSelfSigned: true, requiresCertificate: false, trusts: [] }
  const a = await secureMember({ number: 1 }, { ...options, pair: leaf(authority('a')) })
  const b = await secureMember({ number: 2 }, { ...options, pair: leaf(authority('b')) })
  await introduce(a, b)
  expect(a.log.warnings).toEqual([])
})

function answerTo(socket: ReturnType<typeof connectPlain>, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    socket.on('data', (chunk) => (answer += chunk.toString()))
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
    socket.write(text)
  })
}
