// The certificates of a cluster through its whole life, from the first pass to the exchange of their authority.

import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { CertificatePair } from '../../../lib/pki/certificate.ts'
import { Certificates } from '../../../operator/src/reconcile/certificates.ts'
import { plan } from '../../../operator/src/reconcile/plan.ts'
import { authority, leaf } from '../../support/certificates.ts'
import {
  appliedBy,
  DAY_MS,
  fingerprint,
  meets,
  Scene,
  SIGNAL,
} from '../support/certificate-scene.ts'
import { encode } from '../support/given-certificates.ts'
import { UID } from '../support/observation.ts'

describe('a new cluster', () => {
  test('has its authority first, then every certificate, then nothing more to do', async () => {
    const scene = new Scene()
    expect(await scene.condition()).toMatch(/^False Issuing/)
    expect(await scene.pass()).toEqual(['write newAuthority into Secret demo-ca: there is none'])
    expect(await scene.pass()).toEqual(
      ['peer', 'server', 'client', 'operator'].map(
        (use) => `write leaf into Secret demo-${use}-tls: there is none`,
      ),
    )
    scene.deliver()
    expect(await scene.pass()).toEqual([])
    expect(await scene.condition()).toMatch(/^True Issued/)
    expect(scene.events).toEqual([])
  })

  test('certificates are signed by it, for the names and uses they need, and no key but its own signs', async () => {
    const { secrets } = await Scene.issued()
    const authority = secrets.certificate('demo-ca')
    for (const use of ['peer', 'server', 'client', 'operator']) {
      const leaf = secrets.certificate(`demo-${use}-tls`)
      expect(leaf.verify(authority.publicKey)).toBe(true)
      expect(leaf.ca).toBe(false)
      expect(secrets.trusts(`demo-${use}-tls`)).toEqual([fingerprint(authority)])
    }
    const peer = secrets.certificate('demo-peer-tls')
    const host = 'demo-1.demo-peer.prod.svc.cluster.local'
    expect(peer.checkHost(host)).toBeDefined()
    expect(peer.keyUsage).toHaveLength(2)
    const server = secrets.certificate('demo-server-tls')
    for (const name of ['demo-client', 'demo-client.prod', 'demo-client.prod.svc', host]) {
      expect(server.checkHost(name)).toBeDefined()
    }
    expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    const client = secrets.certificate('demo-client-tls')
    expect(client.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2'])
    expect(client.subjectAltName).toBeUndefined()
    const owners = [...secrets.objects.values()].map(({ metadata }) => metadata.ownerReferences)
    expect(owners.every((owner) => owner?.[0]?.uid === UID)).toBe(true)
  })

  test('without spec.tls there is none of it, and no Secret is even looked at', async () => {
    const scene = new Scene({})
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toBe('none')
    expect(scene.secrets.requests).toEqual([])
  })

  test('the plan carries no key, and the pods nothing that changes with a certificate', async () => {
    const scene = await Scene.issued()
    const observed = await scene.observe()
    expect(JSON.stringify(observed.tls)).not.toMatch(/PRIVATE|BEGIN/)
    const before = appliedBy(observed)
    expect(before).toContain('-peer-cert-file=/etc/raftbase/peer-tls/tls.crt')
    expect(before).toContain('https://demo-0.demo-peer.prod.svc.cluster.local:2380')
    scene.nowMs += 61 * DAY_MS
    await scene.settle()
    expect(appliedBy(await scene.observe())).toBe(before)
  })

  test('two operators at once make one authority', async () => {
    const scene = new Scene()
    const observed = await scene.observe()
    const [action] = plan(observed).actions
    if (action?.type !== 'writeCertificate') throw new Error('no authority is made')
    const clock = { monotonicMs: () => 0, wallMs: () => scene.nowMs }
    const [one, other] = [0, 1].map(() => new Certificates({ api: scene.secrets.api, clock }))
    await one!.write(action, observed.cluster, SIGNAL)
    await expect(other!.write(action, observed.cluster, SIGNAL)).rejects.toMatchObject({
      code: 'alreadyExists',
    })
  })
})

describe('renewal', () => {
  test('comes at two thirds of the life, with a new key, and is told', async () => {
    const scene = await Scene.issued()
    const before = scene.secrets.pem('demo-peer-tls', 'tls.key')
    scene.nowMs += 59 * DAY_MS
    expect(await scene.settle()).toEqual([])
    scene.nowMs += 2 * DAY_MS
    const done = await scene.settle()
    expect(done).toHaveLength(4)
    expect(done[0]).toBe('write leaf into Secret demo-peer-tls: two thirds of its life are over')
    expect(scene.events).toEqual(Array(4).fill('CertificateRenewed'))
    expect(scene.secrets.pem('demo-peer-tls', 'tls.key')).not.toBe(before)
    expect(await scene.condition()).toMatch(
      /^False NotInForce: not in force yet at demo-0, demo-1, demo-2/,
    )
    scene.deliver()
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test('what was deleted, damaged or emptied is made anew', async () => {
    const scene = await Scene.issued()
    scene.secrets.objects.delete('demo-client-tls')
    const peer = scene.secrets.objects.get('demo-peer-tls')!
    const server = scene.secrets.objects.get('demo-server-tls')!
    scene.secrets.put({ ...peer, data: { 'tls.crt': 'bm9uc2Vuc2U=' } })
    const { 'ca.crt': _, ...rest } = server['data'] as Record<string, string>
    scene.secrets.put({ ...server, data: rest })
    scene.nowMs += 60_000
    expect(await scene.settle()).toEqual([
      'write leaf into Secret demo-peer-tls: no certificate with its key',
      'write trust into Secret demo-server-tls: others are trusted now',
      'write leaf into Secret demo-client-tls: there is none',
    ])
  })

  test('a damaged authority is not replaced, and said', async () => {
    const scene = await Scene.issued()
    const secret = scene.secrets.objects.get('demo-ca')!
    scene.secrets.put({ ...secret, data: {} })
    scene.nowMs += 70 * DAY_MS
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(/^False AuthorityDamaged: Secret demo-ca/)
  })

  test('a Secret of somebody else is left alone, and said', async () => {
    const scene = new Scene()
    const mine = { name: 'demo-peer-tls', namespace: 'prod', uid: 'mine' }
    scene.secrets.put({ apiVersion: 'v1', kind: 'Secret', metadata: mine, data: {} })
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toBe(
      'False NameConflict: Secrets under our names belong to others: demo-peer-tls',
    )
  })

  test('that does not happen is told when a quarter of the life is left', async () => {
    const scene = await Scene.issued()
    scene.nowMs += 70 * DAY_MS
    expect(await scene.condition()).toMatch(/^False Expiring/)
    const { conditions = [], phase } = plan(await scene.observe()).status
    const degraded = conditions.find(({ type }) => type === 'Degraded')
    expect([phase, degraded?.status, degraded?.reason]).toEqual([
      'Degraded',
      'True',
      'CertificateExpiring',
    ])
  })
})

const PHASE_MS = 181_000

test('two operators that go on with an exchange: the slower one looks again', async () => {
  const scene = await Scene.issued()
  scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
  scene.nowMs += PHASE_MS
  await scene.settle()
  scene.deliver()
  scene.nowMs += PHASE_MS
  const observed = await scene.observe()
  const promote = plan(observed).actions.find(({ type }) => type === 'writeCertificate')
  expect(await scene.pass()).toMatchObject([expect.stringMatching(/promoteAuthority/)])
  await expect(scene.write(promote!, observed)).rejects.toMatchObject({ code: 'conflict' })
})

describe('exchanging the authority', () => {
  test('goes in three phases, each acknowledged by every member', async () => {
    const scene = await Scene.issued()
    const first = fingerprint(scene.secrets.certificate('demo-ca'))
    scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
    scene.nowMs += 60_000
    const begun = await scene.settle()
    expect(begun[0]).toBe('write nextAuthority into Secret demo-ca: the user wants another one')
    expect(begun.slice(1)).toHaveLength(4)
    const next = fingerprint(scene.secrets.certificate('demo-ca', 'next.crt'))
    // Both are trusted; the old one still signs, and nothing goes on before members have said so.
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([first, next])
    scene.nowMs += PHASE_MS
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(
      /^False RotationInProgress: the new authority becomes trusted.*waiting for demo-0, demo-1, demo-2/,
    )
    scene.deliver()
    const reissued = await scene.settle()
    expect(reissued[0]).toBe(
      'write promoteAuthority into Secret demo-ca: every member trusts the next one',
    )
    expect(reissued.slice(1)).toHaveLength(4)
    const authority = scene.secrets.certificate('demo-ca')
    expect(fingerprint(authority)).toBe(next)
    expect(scene.secrets.certificate('demo-peer-tls').verify(authority.publicKey)).toBe(true)
    expect(scene.secrets.trusts('demo-peer-tls').toSorted()).toEqual([first, next].toSorted())
    // Forgotten only when everybody shows the new certificates, and not at once.
    scene.deliver()
    expect(await scene.settle()).toEqual([])
    scene.nowMs += PHASE_MS
    const over = await scene.settle()
    expect(over[0]).toBe(
      'write forgetPrevious into Secret demo-ca: nobody shows a certificate of the one before',
    )
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([next])
    scene.deliver()
    expect(await scene.condition()).toMatch(/^True Issued/)
    expect(scene.events.filter((reason) => reason.startsWith('CA'))).toEqual([
      'CARotationStarted',
      'CARotated',
    ])
    // The wish is fulfilled once.
    scene.nowMs += PHASE_MS
    expect(await scene.settle()).toEqual([])
  })

  test('waits for a member that does not take what is new, for ever', async () => {
    const scene = await Scene.issued()
    scene.stuck.add(1)
    scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
    scene.nowMs += 60_000
    await scene.settle()
    scene.deliver()
    scene.nowMs += DAY_MS
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(/waiting for demo-1$/)
    scene.stuck.clear()
    expect((await scene.settle())[0]).toMatch(/^write promoteAuthority/)
  })

  test('a phase is counted from the last Secret that was written, however late that was', async () => {
    const scene = await Scene.issued()
    scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
    scene.nowMs += 60_000
    // The operator ends after the authority, and is back when the phase seems to be over.
    expect(await scene.pass()).toHaveLength(1)
    scene.nowMs += PHASE_MS
    expect(await scene.settle()).toHaveLength(4)
    scene.deliver()
    scene.nowMs += 30_000
    // An application may not have been told yet whom to trust.
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(/^False RotationInProgress/)
    scene.nowMs += PHASE_MS
    expect((await scene.settle())[0]).toMatch(/^write promoteAuthority/)
  })

  test('has not ended while a member still trusts the one before', async () => {
    const scene = await Scene.issued()
    scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
    for (let i = 0; i < 3; i++) {
      scene.nowMs += PHASE_MS
      await scene.settle()
      if (i < 2) scene.deliver()
    }
    expect(scene.events).toContain('CARotated')
    scene.stuck.add(1)
    scene.deliver()
    expect(await scene.condition()).toMatch(/^False NotInForce: not in force yet at demo-1/)
  })

  test('is due by itself at two thirds of its life', async () => {
    const scene = await Scene.issued()
    scene.nowMs += 1220 * DAY_MS
    expect((await scene.settle())[0]).toBe(
      'write nextAuthority into Secret demo-ca: two thirds of its life are over',
    )
  })

  test('a wish that is older than the cluster is fulfilled', async () => {
    const scene = new Scene()
    scene.annotations = { 'raftbase.io/rotate-ca': 'before' }
    expect(await scene.settle()).toHaveLength(5)
  })

  test('every trust and certificate on the way lets old and new talk to each other', async () => {
    const scene = await Scene.issued()
    scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
    let shown = scene.secrets.certificate('demo-peer-tls')
    let trusted = scene.secrets.pem('demo-peer-tls', 'ca.crt')
    for (let i = 0; i < 12; i++) {
      await scene.pass()
      scene.nowMs += PHASE_MS
      const [certificate, authorities] = [
        scene.secrets.certificate('demo-peer-tls'),
        scene.secrets.pem('demo-peer-tls', 'ca.crt'),
      ]
      // A member that has the files of now and one that has those of before.
      expect(meets(certificate, trusted) && meets(shown, authorities)).toBe(true)
      ;[shown, trusted] = [certificate, authorities]
      scene.deliver()
    }
    expect(await scene.condition()).toMatch(/^True Issued/)
    expect(scene.events).toContain('CARotated')
  })
})

test('Secrets are read one by one and not with each pass', async () => {
  const scene = await Scene.issued()
  await scene.pass()
  scene.secrets.requests.length = 0
  for (let i = 0; i < 20; i++) {
    scene.nowMs += 1000
    await scene.pass()
  }
  expect(scene.secrets.requests).toEqual([])
  scene.nowMs += 15_000
  await scene.pass()
  expect(scene.secrets.requests).toHaveLength(5)
})

function give(scene: Scene, pair: CertificatePair, changed: object = {}): X509Certificate {
  const data = { 'tls.crt': encode(pair.certificate), 'tls.key': encode(pair.key), ...changed }
  const metadata = { name: 'company', namespace: 'prod', uid: 'uid-company' }
  scene.secrets.put({ apiVersion: 'v1', kind: 'Secret', metadata, data })
  scene.nowMs += 60_000
  return new X509Certificate(pair.certificate)
}

describe('an authority that is given', () => {
  const GIVEN = { source: 'Secret', secretRef: { name: 'company' } }
  const TLS = { peer: GIVEN, client: GIVEN }

  test('signs, and nothing is made before it is there', async () => {
    const scene = new Scene(TLS)
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toBe(
      'False CertificateInvalid: Secret company: there is no such Secret',
    )
    const given = give(scene, authority('company'))
    expect(await scene.settle()).toHaveLength(5)
    scene.deliver()
    expect(scene.secrets.certificate('demo-peer-tls').verify(given.publicKey)).toBe(true)
    expect(scene.secrets.trusts('demo-client-tls')).toEqual([fingerprint(given)])
    expect(await scene.condition()).toMatch(/^True Issued/)
    // It is no business of ours when it is renewed.
    scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
    expect(await scene.settle()).toEqual([])
  })

  test('can take the place of one that was made, and is looked for at once', async () => {
    const scene = await Scene.issued()
    const given = give(scene, authority('company'))
    scene.spec = { tls: TLS }
    scene.nowMs -= 59_000
    expect((await scene.settle())[0]).toMatch(/^write nextAuthority .* has another one$/)
    expect(scene.secrets.trusts('demo-peer-tls')).toContain(fingerprint(given))
  })

  test('that changes is taken over in the phases of an exchange', async () => {
    const scene = new Scene(TLS)
    const first = give(scene, authority('company'))
    await scene.settle()
    scene.deliver()
    const second = give(scene, authority('company'))
    expect((await scene.settle())[0]).toBe(
      'write nextAuthority into Secret demo-ca: Secret company has another one',
    )
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([first, second].map(fingerprint))
    expect(scene.secrets.certificate('demo-peer-tls').verify(first.publicKey)).toBe(true)
    for (let i = 0; i < 3; i++) {
      scene.nowMs += 181_000
      scene.deliver()
      await scene.settle()
    }
    scene.deliver()
    expect(scene.secrets.certificate('demo-peer-tls').verify(second.publicKey)).toBe(true)
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([fingerprint(second)])
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test.each([
    ['for nobody here', () => leaf(authority('x')), {}, 'ca.crt is missing'],
    ['without a key', () => authority('x'), { 'tls.key': '' }, 'no certificate with its key'],
  ])('that is %s is said, and what is in force goes on', async (_, pair, changed, problem) => {
    const scene = new Scene(TLS)
    give(scene, authority('company'))
    await scene.settle()
    scene.deliver()
    give(scene, pair(), changed)
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toContain(`False CertificateInvalid: Secret company: `)
    expect(await scene.condition()).toContain(problem)
    // Leaves are still renewed by the one that is in force.
    scene.nowMs += 61 * DAY_MS
    expect(await scene.settle()).toHaveLength(4)
  })
})

test('without the right to read Secrets nothing is written, and that is said', async () => {
  const scene = new Scene()
  scene.secrets.isForbidden = true
  expect(await scene.settle()).toEqual([])
  expect(await scene.condition()).toMatch(/^False Forbidden: .*Secrets in prod.*rbac.secrets/)
  scene.secrets.isForbidden = false
  scene.nowMs += 3000
  expect(await scene.settle()).toHaveLength(5)
})
