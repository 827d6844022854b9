// Certificates of members that users give, through their life: taken, renewed, exchanged for those of another authority, and in
// the place of the operator's own and back, with nobody ever without a chain of trust to somebody who is needed.

import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { CertificatePair } from '../../../lib/pki/certificate.ts'
import { plan } from '../../../operator/src/reconcile/plan.ts'
import { appliedBy, DAY_MS, fingerprint, meets, Scene } from '../support/certificate-scene.ts'
import { company, givenData, memberLeaf } from '../support/given-certificates.ts'

const SOURCE = { source: 'Secret', secretRef: { name: 'company' } }
const TLS = { peer: SOURCE, client: SOURCE }
const OWN = { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } }
const COPIES = ['demo-peer-tls', 'demo-server-tls', 'demo-operator-tls'] as const

/** As `kubectl apply` of the user's Secret; noticed when it is read again. */
function give(
  scene: Scene,
  pair: CertificatePair,
  trusted: readonly CertificatePair[],
  name = 'company',
): string {
  const metadata = { name, namespace: 'prod', uid: `uid-${name}` }
  const data = givenData(pair, trusted)
  scene.secrets.put({ apiVersion: 'v1', kind: 'Secret', metadata, data })
  scene.nowMs += 31_000
  return fingerprint(new X509Certificate(pair.certificate))
}

function sha(pair: CertificatePair): string {
  return fingerprint(new X509Certificate(pair.certificate))
}

function shown(scene: Scene): string[] {
  return COPIES.map((name) => fingerprint(scene.secrets.certificate(name)))
}

async function given(authority = company()): Promise<Scene> {
  const scene = new Scene(TLS)
  give(scene, memberLeaf(authority), [authority])
  await scene.settle()
  scene.deliver()
  return scene
}

/** Every step of the way, members with the newest files and members with those before meet. */
async function settleCarefully(scene: Scene): Promise<string[]> {
  const done: string[] = []
  for (let i = 0; i < 10; i++) {
    const before = COPIES.map(
      (name) => [scene.secrets.certificate(name), scene.secrets.pem(name, 'ca.crt')] as const,
    )
    const actions = await scene.pass()
    done.push(...actions)
    const after = COPIES.map(
      (name) => [scene.secrets.certificate(name), scene.secrets.pem(name, 'ca.crt')] as const,
    )
    const [peer, server, operator] = [0, 1, 2].map((at) => [before[at]!, after[at]!])
    for (const [one, other] of [
      [peer!, peer!],
      [server!, operator!],
      [operator!, server!],
    ] as const) {
      for (const [certificate] of one) {
        for (const [, trusted] of other) expect(meets(certificate, trusted)).toBe(true)
      }
    }
    scene.deliver()
    scene.nowMs += 31_000
  }
  return done
}

describe('a new cluster', () => {
  test('takes what is there, under the names that pods mount, and no authority is made', async () => {
    const scene = new Scene(TLS)
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toBe(
      'False CertificateInvalid: Secret company: there is no such Secret',
    )
    const authority = company()
    const sha256 = give(scene, memberLeaf(authority), [authority])
    expect(await scene.settle()).toEqual(
      COPIES.map((name) => `write givenLeaf into Secret ${name}: there is none`),
    )
    scene.deliver()
    expect(shown(scene)).toEqual([sha256, sha256, sha256])
    expect(scene.secrets.trusts('demo-server-tls')).toEqual([sha(authority)])
    expect(scene.secrets.pem('demo-peer-tls', 'tls.key')).toBe(
      scene.secrets.pem('company', 'tls.key'),
    )
    expect([...scene.secrets.objects.keys()].toSorted()).toEqual(['company', ...COPIES].toSorted())
    expect(await scene.condition()).toMatch(/^True Issued: every certificate is good until 2046/)
  })

  test('with pods that know nothing of it, and a plan without a key', async () => {
    const scene = await given()
    const observed = await scene.observe()
    expect(JSON.stringify(observed.tls)).not.toMatch(/PRIVATE|BEGIN/)
    expect(appliedBy(observed)).not.toContain('company')
    const { certificates = [] } = plan(observed).status
    expect(certificates.map(({ role }) => role)).toEqual(['peer', 'server', 'operator'])
  })

  test('peers and servers may have one each', async () => {
    const [inner, outer] = [company('inner'), company('outer')]
    const scene = new Scene({ peer: SOURCE, client: { ...SOURCE, secretRef: { name: 'outer' } } })
    const peer = give(scene, memberLeaf(inner), [inner])
    const server = give(scene, memberLeaf(outer), [outer], 'outer')
    await scene.settle()
    scene.deliver()
    expect(shown(scene)).toEqual([peer, server, server])
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([sha(inner)])
    expect(await scene.condition()).toMatch(/^True Issued/)
  })
})

describe('a Secret that changes', () => {
  test('to another certificate of the same authority is taken at once, whoever is away', async () => {
    const authority = company()
    const scene = await given(authority)
    scene.stuck.add(1)
    const sha256 = give(scene, memberLeaf(authority), [authority])
    expect(await scene.settle()).toEqual(
      COPIES.map((name) => `write givenLeaf into Secret ${name}: Secret company has another one`),
    )
    expect(shown(scene)).toEqual([sha256, sha256, sha256])
    expect(scene.events).toEqual(Array(3).fill('CertificateRenewed'))
    scene.deliver()
    expect(await scene.condition()).toBe('False NotInForce: not in force yet at demo-1')
  })

  test('to another authority goes in phases, each said by every member', async () => {
    const first = company('first')
    const scene = await given(first)
    const before = shown(scene)
    const second = company('second')
    const sha256 = give(scene, memberLeaf(second), [second])
    expect(await scene.settle()).toEqual(
      COPIES.map(
        (name) =>
          `write givenTrust into Secret ${name}: whom Secret company names becomes trusted too`,
      ),
    )
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([sha(first), sha(second)])
    expect(shown(scene)).toEqual(before)
    expect(await scene.condition()).toMatch(
      /^False RotationInProgress: whom Secret company names.*waiting for demo-0, demo-1, demo-2$/,
    )
    scene.deliver()
    expect(await scene.settle()).toHaveLength(3)
    expect(shown(scene)).toEqual([sha256, sha256, sha256])
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([sha(first), sha(second)])
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(
      /^False RotationInProgress: the certificate of Secret company is handed out; waiting for demo-0/,
    )
    scene.deliver()
    expect(await scene.settle()).toEqual(
      COPIES.map(
        (name) =>
          `write givenTrust into Secret ${name}: nobody shows a certificate of those before`,
      ),
    )
    expect(scene.secrets.trusts('demo-operator-tls')).toEqual([sha(second)])
    scene.deliver()
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test('is never forgotten about by somebody who is away', async () => {
    const scene = await given(company('first'))
    scene.stuck.add(2)
    const second = company('second')
    give(scene, memberLeaf(second), [second])
    await scene.settle()
    scene.deliver()
    scene.nowMs += DAY_MS
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(/waiting for demo-2$/)
    scene.stuck.clear()
    expect(await scene.settle()).toHaveLength(3)
  })

  test('as the documents say, both authorities first, keeps everybody in touch', async () => {
    const [first, second] = [company('first'), company('second')]
    const old = memberLeaf(first)
    const scene = await given(first)
    give(scene, old, [first, second])
    await settleCarefully(scene)
    expect(await scene.condition()).toMatch(/^True Issued/)
    const sha256 = give(scene, memberLeaf(second), [first, second])
    await settleCarefully(scene)
    give(scene, memberLeaf(second), [second])
    await settleCarefully(scene)
    expect(shown(scene)).not.toContain(sha256)
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([sha(second)])
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test('again and again before anything has ended, keeps everybody in touch', async () => {
    const scene = await given(company('0'))
    let last = ''
    for (let i = 1; i < 6; i++) {
      const next = company(String(i))
      last = give(scene, memberLeaf(next), [next])
      await scene.pass()
      if (i % 2 === 0) scene.deliver()
      await scene.pass()
    }
    await settleCarefully(scene)
    expect(shown(scene)).toEqual([last, last, last])
    expect(scene.secrets.trusts('demo-peer-tls')).toHaveLength(1)
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test("and an operator's copy that is lost meanwhile comes back as one that members let in", async () => {
    const [first, second] = [company('first'), company('second')]
    const scene = await given(first)
    give(scene, memberLeaf(second), [second])
    await scene.settle()
    scene.secrets.objects.delete('demo-operator-tls')
    scene.nowMs += 31_000
    expect(await scene.settle()).toEqual([
      'write givenLeaf into Secret demo-operator-tls: there is none',
    ])
    // Members still show what the first has signed.
    expect(scene.secrets.trusts('demo-operator-tls').toSorted()).toEqual(
      [sha(first), sha(second)].toSorted(),
    )
    await settleCarefully(scene)
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test('is not forgotten about before the operator shows the new one too', async () => {
    const scene = await given(company('first'))
    const second = company('second')
    give(scene, memberLeaf(second), [second])
    await scene.settle()
    scene.deliver()
    // It ends after the members' copies.
    const observed = await scene.observe()
    const [peer, server] = plan(observed).actions
    await scene.write(peer!, observed)
    await scene.write(server!, observed)
    scene.deliver()
    const done = await scene.pass()
    expect(done).not.toContainEqual(expect.stringMatching(/givenTrust into Secret demo-server-tls/))
    expect(done).toContainEqual(expect.stringMatching(/givenLeaf into Secret demo-operator-tls/))
    await settleCarefully(scene)
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test('between the look and the write is looked at again', async () => {
    const authority = company()
    const scene = await given(authority)
    give(scene, memberLeaf(authority), [authority])
    const observed = await scene.observe()
    const [action] = plan(observed).actions
    give(scene, memberLeaf(company('other')), [company('stranger')])
    await expect(scene.write(action!, observed)).rejects.toMatchObject({ code: 'conflict' })
  })
})

describe('a Secret with a fault', () => {
  test('is never taken, is told with all that is wrong, and what is in force goes on', async () => {
    const scene = await given()
    const before = shown(scene)
    const other = company('other')
    give(scene, memberLeaf(other, { usages: ['server'], hosts: ['*.elsewhere'] }), [other])
    expect(await scene.settle()).toEqual([])
    expect(shown(scene)).toEqual(before)
    expect(await scene.condition()).toBe(
      'False CertificateInvalid: Secret company: tls.crt is not made for clients (extended key ' +
        'usage clientAuth); tls.crt is not valid for *.demo-peer.prod.svc.cluster.local, ' +
        '*.demo-peer.prod.svc, demo-client.prod.svc, demo-client.prod.svc.cluster.local; tls.crt is ' +
        'not made for the operator (extended key usage clientAuth)',
    )
    const { events } = plan(await scene.observe())
    expect(events.map(({ reason }) => reason)).toContain('CertificateInvalid')
  })

  test('is read again soon, and what is gone is no reason to touch anything', async () => {
    const authority = company()
    const scene = await given(authority)
    scene.secrets.objects.delete('company')
    scene.nowMs += 31_000
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(
      /^False CertificateInvalid: Secret company: there is no/,
    )
    give(scene, memberLeaf(authority), [authority])
    scene.nowMs -= 28_000
    expect(await scene.settle()).toHaveLength(3)
  })

  test('does not keep the operator from renewing what it made', async () => {
    const scene = await Scene.issued(OWN)
    scene.spec = { tls: TLS }
    const authority = company()
    give(scene, memberLeaf(authority, { hosts: [] }), [authority])
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(/^False CertificateInvalid/)
    scene.nowMs += 61 * DAY_MS
    expect(await scene.settle()).toEqual(
      ['peer', 'server', 'client', 'operator'].map(
        (use) => `write leaf into Secret demo-${use}-tls: two thirds of its life are over`,
      ),
    )
  })

  test('that nobody replaces is told when a quarter of the life in force is left', async () => {
    const authority = company()
    const scene = new Scene(TLS)
    const [from, to] = [scene.nowMs - DAY_MS, scene.nowMs + 9 * DAY_MS]
    give(scene, memberLeaf(authority, { notBeforeMs: from, notAfterMs: to }), [authority])
    await scene.settle()
    scene.deliver()
    scene.nowMs += 6 * DAY_MS
    expect(await scene.condition()).toMatch(/^True Issued/)
    scene.nowMs += DAY_MS
    expect(await scene.condition()).toMatch(
      /^False Expiring: should have been renewed: demo-peer-tls \(until 2026-03-10/,
    )
    scene.nowMs += 3 * DAY_MS
    expect(await scene.condition()).toMatch(
      /^False Expiring: .*; Secret company: tls\.crt expired on 2026-03-10/,
    )
  })
})

/** Whether members of a cluster so far without are about to ask, and what is said of it. */
async function asking(scene: Scene) {
  const { actions, status, events } = plan(await scene.observe())
  const isApplied = actions.some(
    (action) => action.type === 'apply' && action.title === 'StatefulSet',
  )
  const said = status.conditions?.find(({ type }) => type === 'UpToDate')
  return { isApplied, said: `${said?.reason}: ${said?.message}`, events }
}

function modeOf(mode: string) {
  return { ...OWN, client: { ...OWN.client, mode } }
}

describe('clients that are to be asked who they are', () => {
  const clientOf = (mode: string) => ({ ...SOURCE, secretRef: { name: 'outer' }, mode })
  const SERVER = { peer: SOURCE, client: clientOf('Server') }
  const MUTUAL = { peer: SOURCE, client: clientOf('Mutual') }

  test('are asked only once the certificate that is given lets the operator in', async () => {
    const [inner, outer] = [company('inner'), company('outer')]
    const scene = new Scene(SERVER)
    give(scene, memberLeaf(inner), [inner])
    give(scene, memberLeaf(outer, { usages: ['server'] }), [outer], 'outer')
    await scene.settle()
    scene.deliver()
    expect(await scene.condition()).toMatch(/^True Issued/)
    scene.children = (await scene.observe()).children
    scene.spec = { tls: MUTUAL }
    const waiting = await asking(scene)
    expect(waiting.isApplied).toBe(false)
    expect(waiting.said).toBe(
      'ModeDeferred: spec.tls.client.mode Mutual waits until Secret outer has a certificate with ' +
        'which members let the operator in',
    )
    expect(waiting.events.map(({ reason }) => reason)).toContain('SpecDeferred')
    expect(await scene.condition()).toMatch(
      /^False CertificateInvalid: Secret outer: .*not made for the operator/,
    )
    // One of another authority even, whom members that ask nobody trust in nothing.
    const peer = { certificate: shown(scene)[0]!, trusts: [sha(inner)] }
    const client = { certificate: shown(scene)[1]!, trusts: [] }
    for (const ordinal of [0, 1, 2]) scene.said.set(ordinal, { peer, client })
    const next = company('next')
    const sha256 = give(scene, memberLeaf(next), [next], 'outer')
    const steps: (readonly [string, boolean])[] = []
    for (let i = 0; i < 3; i++) {
      const { isApplied } = await asking(scene)
      const [done = 'nothing'] = await scene.pass()
      steps.push([done, isApplied])
    }
    expect(steps).toEqual([
      [expect.stringMatching(/^write givenTrust into Secret demo-server-tls/), false],
      [expect.stringMatching(/^write givenLeaf into Secret demo-server-tls/), false],
      ['nothing', true],
    ])
    expect(shown(scene).slice(1)).toEqual([sha256, sha256])
    expect((await asking(scene)).said).toMatch(/^RolloutInProgress/)
  })

  test('are asked at once where the operator shows a certificate of its own', async () => {
    const scene = await Scene.issued(modeOf('Server'))
    scene.children = (await scene.observe()).children
    scene.spec = { tls: modeOf('Mutual') }
    expect(await asking(scene)).toMatchObject({ isApplied: true })
  })
})

describe('another source', () => {
  test("from the operator's own to given ones and back, nobody loses anybody", async () => {
    const scene = await Scene.issued(OWN)
    const own = sha256Of(scene, 'demo-ca')
    const authority = company()
    const sha256 = give(scene, memberLeaf(authority), [authority])
    scene.spec = { tls: TLS }
    const there = await settleCarefully(scene)
    expect(there).toHaveLength(9)
    expect(shown(scene)).toEqual([sha256, sha256, sha256])
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([sha(authority)])
    expect(await scene.condition()).toMatch(/^True Issued/)
    scene.spec = { tls: OWN }
    const back = await settleCarefully(scene)
    expect(back.filter((line) => line.includes('demo-peer-tls'))).toEqual([
      'write trust into Secret demo-peer-tls: the authority of the cluster becomes trusted too',
      'write leaf into Secret demo-peer-tls: another authority signs now',
      'write trust into Secret demo-peer-tls: nobody shows a certificate that was given',
    ])
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([own])
    expect(scene.secrets.objects.get('demo-peer-tls')?.metadata.annotations).not.toHaveProperty(
      'raftbase.io/taken-from',
    )
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test('the way back is turned in the middle, and turned again', async () => {
    const authority = company()
    const scene = await given(authority)
    for (const tls of [OWN, TLS, OWN, TLS]) {
      scene.spec = { tls }
      await scene.pass()
      await scene.pass()
      scene.deliver()
      scene.nowMs += 31_000
    }
    await settleCarefully(scene)
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([sha(authority)])
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test('members that do not say so hold the way back', async () => {
    const scene = await given()
    scene.stuck.add(0)
    scene.spec = { tls: OWN }
    await scene.settle()
    scene.deliver()
    scene.nowMs += DAY_MS
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(
      /^False RotationInProgress: certificates of the cluster's authority/,
    )
  })
})

function sha256Of(scene: Scene, name: string): string {
  return fingerprint(scene.secrets.certificate(name))
}
