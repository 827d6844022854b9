// An authority of cert-manager: what it is asked for, what is said while nothing comes, and what becomes of what it makes.

import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { authority } from '../../support/certificates.ts'
import { fingerprint, Scene } from '../support/certificate-scene.ts'
import { encode } from '../support/given-certificates.ts'

function isReady(status: string, message = ''): object {
  return { status: { conditions: [{ type: 'Ready', status, message }] } }
}

/** What cert-manager does with the Certificate. */
function issue(scene: Scene): X509Certificate {
  const { certificate, key } = authority('raftbase prod/demo')
  const data = { 'tls.crt': encode(certificate), 'tls.key': encode(key) }
  const metadata = { name: 'demo-authority', namespace: 'prod', uid: 'uid-of-cert-manager' }
  scene.secrets.put({ apiVersion: 'v1', kind: 'Secret', metadata, data })
  const live = scene.secrets.others.get('certificates/demo-authority')!
  scene.secrets.others.set('certificates/demo-authority', { ...live, ...isReady('True') })
  scene.nowMs += 31_000
  return new X509Certificate(certificate)
}

describe('cert-manager', () => {
  const SOURCE = { source: 'CertManager', issuerRef: { name: 'company', kind: 'ClusterIssuer' } }
  const TLS = { peer: SOURCE, client: SOURCE }
  const issuer = { apiVersion: 'cert-manager.io/v1', kind: 'ClusterIssuer' }

  test('that is missing, has no issuer, or an issuer that is not ready, is said', async () => {
    const scene = new Scene(TLS)
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toBe('False IssuerNotReady: cert-manager is not installed')
    scene.secrets.isCertManagerThere = true
    scene.nowMs += 3000
    expect(await scene.settle()).toEqual(['create Certificate demo-authority'])
    expect(await scene.condition()).toBe('False IssuerNotReady: there is no ClusterIssuer company')
    const metadata = { name: 'company' }
    const sick = { ...issuer, metadata, ...isReady('False', 'no such vault') }
    scene.secrets.others.set('clusterissuers/company', sick)
    scene.nowMs += 3000
    expect(await scene.condition()).toBe(
      'False IssuerNotReady: ClusterIssuer company is not ready: no such vault',
    )
    scene.secrets.others.set('clusterissuers/company', { ...sick, ...isReady('True') })
    scene.nowMs += 3000
    expect(await scene.condition()).toBe(
      'False IssuerNotReady: Certificate demo-authority is not ready: ' +
        'cert-manager has not looked at it yet',
    )
  })

  test('gives the authority, and what it renews is taken over in the phases of an exchange', async () => {
    const scene = new Scene(TLS)
    scene.secrets.isCertManagerThere = true
    await scene.settle()
    const first = issue(scene)
    expect(await scene.settle()).toHaveLength(5)
    scene.deliver()
    expect(scene.secrets.certificate('demo-peer-tls').verify(first.publicKey)).toBe(true)
    expect(await scene.condition()).toMatch(/^True Issued/)
    const second = issue(scene)
    expect((await scene.settle())[0]).toBe(
      'write nextAuthority into Secret demo-ca: Secret demo-authority has another one',
    )
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([first, second].map(fingerprint))
  })

  test('is asked again when somebody has changed what it was asked for', async () => {
    const scene = new Scene(TLS)
    scene.secrets.isCertManagerThere = true
    await scene.settle()
    issue(scene)
    await scene.settle()
    const live = scene.secrets.others.get('certificates/demo-authority')!
    const spec = { ...(live['spec'] as object), isCA: false }
    scene.secrets.others.set('certificates/demo-authority', { ...live, spec })
    scene.nowMs += 31_000
    expect(await scene.settle()).toEqual(['drift Certificate demo-authority'])
  })

  test('is asked no more once the authority comes from elsewhere, and keeps what somebody else uses', async () => {
    const scene = new Scene(TLS)
    scene.secrets.isCertManagerThere = true
    await scene.settle()
    issue(scene)
    await scene.settle()
    scene.deliver()
    const asked = 'certificates/demo-authority'
    const given = { source: 'Secret', secretRef: { name: 'demo-authority' } }
    scene.spec = { tls: { peer: given, client: given } }
    expect(await scene.settle()).toEqual([])
    expect(scene.secrets.others.has(asked)).toBe(true)
    scene.spec = { tls: { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } } }
    const { metadata, ...rest } = scene.secrets.others.get(asked)!
    const foreign = { ...metadata, ownerReferences: [] }
    scene.secrets.others.set(asked, { ...rest, metadata: foreign })
    expect(await scene.settle()).toEqual([])
    scene.secrets.others.set(asked, { ...rest, metadata })
    scene.nowMs += 31_000
    expect(await scene.settle()).toEqual(['delete Certificate demo-authority'])
    expect(await scene.condition()).toMatch(/^True Issued/)
    // Who never used it is not asked about it.
    scene.secrets.requests.length = 0
    scene.nowMs += 31_000
    expect(await scene.settle()).toEqual([])
  })

  test('a Certificate of somebody else under that name is left alone, and said', async () => {
    const scene = new Scene(TLS)
    scene.secrets.isCertManagerThere = true
    const metadata = { name: 'demo-authority', namespace: 'prod', uid: 'foreign' }
    const foreign = { apiVersion: 'cert-manager.io/v1', kind: 'Certificate', metadata }
    scene.secrets.others.set('certificates/demo-authority', foreign)
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toBe(
      'False IssuerNotReady: Certificate demo-authority belongs to somebody else',
    )
  })
})
