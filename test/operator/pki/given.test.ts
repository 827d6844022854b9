// What is judged of certificates that users give, and that OpenSSL comes to the same end: whoever passes here meets another
// with the same Secret, and whoever OpenSSL turns away does not pass.

import type { AddressInfo } from 'node:net'
import { connect, createSecureContext, createServer, type TLSSocket } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { CertificatePair } from '../../../lib/pki/certificate.ts'
import { type GivenNeed, givenNeeds } from '../../../operator/src/api/certificates.ts'
import type { KubeObject } from '../../../operator/src/api/kube-object.ts'
import { readGivenSecrets } from '../../../operator/src/pki/given.ts'
import { hasOpenssl, makeChain, makeShortKeyed } from '../../support/openssl.ts'
import {
  company,
  encode,
  givenData,
  LONG,
  MEMBER_HOSTS,
  memberLeaf,
  SERVER_HOSTS,
} from '../support/given-certificates.ts'
import { observationOf } from '../support/observation.ts'

const HAS_OPENSSL = hasOpenssl('intermediates and short keys in Secrets of users')
const HOST = 'demo-1.demo-peer.prod.svc.cluster.local'
const CA = company()
const OTHER = company('other')
const GIVEN = { source: 'Secret', secretRef: { name: 'members' } }

function needOf(use: 'peer' | 'server', spec: object = {}): GivenNeed {
  const tls = { peer: GIVEN, client: GIVEN, ...spec }
  return givenNeeds(observationOf({ story: '', spec: { tls } }).cluster).find(
    (need) => need.use === use,
  )!
}

function secretOf(data: Readonly<Record<string, string>>): KubeObject {
  const metadata = { name: 'members', namespace: 'prod', uid: 'uid-members' }
  return { apiVersion: 'v1', kind: 'Secret', metadata, data }
}

function judge(
  data: Readonly<Record<string, string>> | undefined,
  need: GivenNeed = needOf('peer'),
): string | undefined {
  const secret = data === undefined ? undefined : secretOf(data)
  const { leaves, authority } = readGivenSecrets([{ need, secret }], Date.now())
  return (leaves?.[need.use] ?? authority).problem
}

/** A handshake of the Secret with itself, as members have it with each other: what each side says of the other's. */
async function meet(data: Readonly<Record<string, string>>): Promise<string[]> {
  const pem = (field: string) => Buffer.from(data[field] ?? '', 'base64').toString()
  const shared = {
    cert: pem('tls.crt'),
    key: pem('tls.key'),
    ca: pem('ca.crt'),
    allowPartialTrustChain: true,
    rejectUnauthorized: false,
  }
  const server = createServer({ ...shared, requestCert: true })
  // As members' listeners: Node.js' own forgets the option.
  Object.assign(server, { _sharedCreds: createSecureContext(shared) })
  onTestFinished(() => {
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const met = new Promise<TLSSocket>((resolve) => server.once('secureConnection', resolve))
  const client = connect({ ...shared, port, host: '127.0.0.1', servername: HOST })
  const secured = new Promise<void>((resolve, reject) => {
    client.once('secureConnect', resolve)
    client.once('error', reject)
  })
  const [accepted] = await Promise.all([met, secured])
  client.destroy()
  accepted.destroy()
  return [accepted, client].flatMap(({ authorizationError }) =>
    authorizationError == null ? [] : [String(authorizationError)],
  )
}

function trusted(pem: string): CertificatePair[] {
  return [{ certificate: pem, key: '' }]
}

describe('a Secret with a certificate of members', () => {
  test('that has everything has no problem, and members meet with it', async () => {
    const data = givenData(memberLeaf(CA), [CA, OTHER])
    expect(judge(data)).toBeUndefined()
    expect(judge(data, needOf('server'))).toBeUndefined()
    expect(await meet(data)).toEqual([])
  })

  test.each<readonly [string, () => Record<string, string>, RegExp]>([
    [
      'is signed by nobody there',
      () => givenData(memberLeaf(OTHER), [CA]),
      /does not lead to an authority of ca\.crt.*CN=other/,
    ],
    [
      'is for servers alone',
      () => givenData(memberLeaf(CA, { usages: ['server'] }), [CA]),
      /not made for clients \(extended key usage clientAuth\)/,
    ],
    [
      'is for clients alone',
      () => givenData(memberLeaf(CA, { usages: ['client'] }), [CA]),
      /not made for servers \(extended key usage serverAuth\)/,
    ],
    [
      'has expired',
      () => givenData(memberLeaf(CA, { notAfterMs: Date.now() - 60_000 }), [CA]),
      /tls\.crt expired on 20/,
    ],
    [
      'is not valid yet',
      () => givenData(memberLeaf(CA, { notBeforeMs: Date.now() + 3_600_000 }), [CA]),
      /tls\.crt is not valid before 20/,
    ],
    [
      'is for other hosts',
      () => givenData(memberLeaf(CA, { hosts: ['demo-client.prod.svc'] }), [CA]),
      /^tls\.crt is not valid for \*\.demo-peer\.prod\.svc\.cluster\.local$/,
    ],
  ])('that %s is refused, as OpenSSL does', async (_, make, problem) => {
    const data = make()
    expect(judge(data)).toMatch(problem)
    expect(await meet(data)).not.toEqual([])
  })

  test.runIf(HAS_OPENSSL)(
    'with an intermediate is good with it in tls.crt, or trusted in its place',
    async () => {
      const { root, middle, leaf } = makeChain(SERVER_HOSTS)
      const whole = { ...leaf, certificate: leaf.certificate + middle }
      for (const [pair, ca] of [
        [whole, root],
        [leaf, middle],
        [leaf, middle + root],
      ] as const) {
        const data = givenData(pair, trusted(ca))
        expect(judge(data)).toBeUndefined()
        expect(await meet(data)).toEqual([])
      }
      const without = givenData(leaf, trusted(root))
      expect(judge(without)).toMatch(
        /does not lead to an authority of ca\.crt: nobody there is CN=middle/,
      )
      expect(await meet(without)).not.toEqual([])
    },
  )

  test.each<readonly [string, Record<string, string | undefined>, RegExp]>([
    ['no certificate', { 'tls.crt': undefined }, /tls\.crt and tls\.key are no certificate/],
    ['no key', { 'tls.key': undefined }, /^tls\.key is missing$/],
    ['a key that is none', { 'tls.key': encode('x') }, /^tls\.key is no key that can be read$/],
    [
      'the key of another',
      { 'tls.key': encode(OTHER.key) },
      /tls\.key is the key of another certificate/,
    ],
    ['nobody to trust', { 'ca.crt': undefined }, /^ca\.crt is missing, which says who signs/],
    ['nothing in ca.crt', { 'ca.crt': encode('x') }, /^ca\.crt is not a list of certificates$/],
    [
      'half a list',
      { 'ca.crt': encode(`${CA.certificate}-----BEGIN CERTIFICATE-----\n`) },
      /not a list/,
    ],
    ['too many', { 'ca.crt': encode(CA.certificate.repeat(65)) }, /more than 64 certificates/],
  ])('with %s says so by the field', (_, changed, problem) => {
    const all = { ...givenData(memberLeaf(CA), [CA]), ...changed }
    const data = Object.entries(all).filter(([, value]) => value !== undefined)
    expect(judge(Object.fromEntries(data) as Record<string, string>)).toMatch(problem)
  })

  test('that does not exist is said to', () => {
    expect(judge(undefined)).toBe('there is no such Secret')
  })

  test('with several faults names them all', () => {
    const pair = memberLeaf(OTHER, { usages: ['server'], hosts: [], notAfterMs: Date.now() - 1000 })
    expect(judge(givenData(pair, [CA]))?.split('; ')).toHaveLength(4)
  })

  test.runIf(HAS_OPENSSL)(
    'with a key that is too short for OpenSSL is refused in its words',
    () => {
      const pair = makeShortKeyed(SERVER_HOSTS)
      expect(judge(givenData(pair, [pair]))).toMatch(/it cannot be used: .*too small/)
    },
  )
})

describe('names', () => {
  test('may be those of each member, as many as there are', () => {
    const names = [0, 1, 2].map((i) => `demo-${i}.demo-peer.prod.svc.cluster.local`)
    expect(judge(givenData(memberLeaf(CA, { hosts: names }), [CA]))).toBeUndefined()
    const few = givenData(memberLeaf(CA, { hosts: names.slice(0, 2) }), [CA])
    expect(judge(few)).toBe(`tls.crt is not valid for ${names[2]}`)
  })

  test('of servers are those under which they are reached', () => {
    const short = givenData(memberLeaf(CA, { hosts: MEMBER_HOSTS }), [CA])
    expect(judge(short, needOf('server'))).toBe(
      'tls.crt is not valid for *.demo-peer.prod.svc, demo-client.prod.svc, ' +
        'demo-client.prod.svc.cluster.local',
    )
  })

  test('a server needs to be a client only where the operator has to show something', () => {
    const data = givenData(memberLeaf(CA, { usages: ['server'] }), [CA])
    expect(judge(data, needOf('server'))).toMatch(/not made for the operator .*clientAuth/)
    const open = needOf('server', { client: { ...GIVEN, mode: 'Server' } })
    expect(judge(data, open)).toBeUndefined()
  })
})

describe('two Secrets', () => {
  const [peer, server] = [needOf('peer'), { ...needOf('server'), secret: 'servers' }]

  test('are judged each for its own', () => {
    const read = readGivenSecrets(
      [
        { need: peer, secret: secretOf(givenData(memberLeaf(CA), [CA])) },
        { need: server, secret: secretOf(givenData(memberLeaf(OTHER), [CA])) },
      ],
      Date.now(),
    )
    expect(read.leaves?.peer?.problem).toBeUndefined()
    expect(read.leaves?.server?.problem).toMatch(/does not lead to/)
  })

  test('of which one holds an authority are no pair', () => {
    const secrets = [
      { need: peer, secret: secretOf(givenData(memberLeaf(CA), [CA])) },
      { need: server, secret: secretOf(givenData(OTHER, [OTHER])) },
    ]
    expect(readGivenSecrets(secrets, Date.now()).leaves?.server?.problem).toMatch(
      /tls\.crt is the certificate of an authority, not of a member/,
    )
  })

  test('with an authority each are one too many', () => {
    const secrets = [
      { need: peer, secret: secretOf(givenData(CA, [CA])) },
      { need: server, secret: secretOf(givenData(OTHER, [OTHER])) },
    ]
    const { authority, leaves } = readGivenSecrets(secrets, Date.now())
    expect(leaves).toBeUndefined()
    expect(authority.problem).toMatch(/it holds an authority, and so does servers/)
  })
})

test('an authority whose time is over signs nothing', () => {
  const old = company('old')
  const { leaves } = readGivenSecrets(
    [
      {
        need: needOf('peer'),
        secret: secretOf(givenData(memberLeaf(old, { notAfterMs: LONG.notAfterMs + 1e12 }), [old])),
      },
    ],
    LONG.notAfterMs + 60_000,
  )
  expect(leaves?.peer?.problem).toMatch(/does not lead to a valid authority of ca\.crt/)
})
