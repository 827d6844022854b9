// F44: certificates of another authority that a user gives, taken by the operator's own plan and put under real members: what
// they say of themselves is what it goes by, and nothing of it costs a request or an election.

import { expect, test } from 'vitest'
import type { CertificatePair } from '../../lib/pki/certificate.ts'
import type { Status } from '../../member/src/rest/contract.ts'
import { Scene } from '../operator/support/certificate-scene.ts'
import {
  company,
  givenData,
  memberLeaf,
  SERVER_HOSTS,
} from '../operator/support/given-certificates.ts'
import { revocationList } from '../support/certificates.ts'
import { type ProbeTls, ProbeWriter } from '../support/probe-writer.ts'
import { allSay, SecureCluster, tls } from './support/secure-cluster.ts'

const SOURCE = { source: 'Secret', secretRef: { name: 'company' } }
/** Members are processes of this machine here. */
const HOSTS = [...SERVER_HOSTS, 'localhost', '127.0.0.1', '::1']
const COPY = 'demo-peer-tls'

function give(scene: Scene, authority: CertificatePair): void {
  const data = givenData(memberLeaf(authority, { hosts: HOSTS }), [authority])
  const metadata = { name: 'company', namespace: 'prod', uid: 'uid-company' }
  scene.secrets.put({ apiVersion: 'v1', kind: 'Secret', metadata, data })
  scene.nowMs += 31_000
}

function application(authority: CertificatePair): CertificatePair {
  return memberLeaf(authority, { hosts: [], usages: ['client'] })
}

test('F44: certificates that a user gives of another authority are taken in phases that cost nothing', {
  timeout: 120_000,
}, async () => {
  const [first, second] = [company('first'), company('second')]
  const [old, next] = [first, second].map((one) => tls([first, second], application(one))) as [
    ProbeTls,
    ProbeTls,
  ]
  const scene = new Scene({ peer: SOURCE, client: SOURCE })
  give(scene, first)
  expect(await scene.settle()).toHaveLength(3)
  const lying = () => ({
    'ca.crt': scene.secrets.pem(COPY, 'ca.crt'),
    'tls.crt': scene.secrets.pem(COPY, 'tls.crt'),
    'tls.key': scene.secrets.pem(COPY, 'tls.key'),
  })
  const secure = await SecureCluster.start(() => ({
    ...lying(),
    'crl.pem': revocationList(first, []),
  }))
  const { members } = secure.cluster
  const terms = new Set<number | undefined>()
  const learn = async (as: ProbeTls, what: string): Promise<void> => {
    const [certificate, trusts] = [scene.secrets.certificate(COPY), scene.secrets.trusts(COPY)]
    const sha256 = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
    for (const [ordinal, member] of members.entries()) {
      await allSay(secure, { members: [member], as, what }, (status) => {
        const said = inForceOf(status)
        if (said?.peer?.certificate !== sha256 || !status.ready) return false
        if (said.peer.trusts.toSorted().join() !== trusts.toSorted().join()) return false
        terms.add(status.term)
        scene.said.set(ordinal, said)
        return true
      })
    }
  }
  await learn(old, 'what is given, in force')
  expect(await scene.condition()).toMatch(/^True Issued/)
  terms.clear()
  const writer = new ProbeWriter({
    endpoints: () => members.map((member) => secure.apiUrl(member)),
  })
  writer.useTls(old)

  give(scene, second)
  const phases: string[] = []
  for (const as of [old, next, next]) {
    const done = await scene.settle()
    phases.push(done[0] ?? 'nothing')
    for (const member of members) secure.publish(member, lying())
    // As the documents have it: applications go over once the other authority is trusted.
    await learn(as, `${done[0]}, in force`)
    writer.useTls(next)
  }
  expect(phases.map((line) => line.split(' ')[1])).toEqual([
    'givenTrust',
    'givenLeaf',
    'givenTrust',
  ])
  expect(await scene.settle()).toEqual([])
  expect(await scene.condition()).toMatch(/^True Issued/)
  const report = await writer.stop()
  expect(report.writes.filter(({ outcome }) => outcome !== 'done')).toEqual([])
  expect(report.writes.length).toBeGreaterThan(100)
  expect(terms.size).toBe(1)
})

/** As the operator reads it. */
function inForceOf({ tls: said }: Status) {
  if (said?.peer?.certificate === undefined || said.client?.certificate === undefined) {
    return undefined
  }
  const use = ({ certificate, trusts = [] }: NonNullable<typeof said.peer>) => ({
    certificate: certificate!.sha256,
    trusts,
  })
  return { peer: use(said.peer), client: use(said.client) }
}
