// Two clusters with TLS under writes. Certificates that the operator made are lost, and it is killed while they are made anew;
// those of the other cluster are given in a Secret, and exchanged there: a faulty one is not taken, another one is, and so is
// one of another authority. What is new is in force within the time that a kubelet takes, and no pod and no write notices
// (faults.md F56).

import { X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CertificatePair } from '../../../lib/pki/certificate.ts'
import { givenData } from '../../operator/support/given-certificates.ts'
import { authority, leaf, VALID } from '../../support/certificates.ts'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { asDocumented } from '../support/drills.ts'
import { apply, getObject, kubectl, watchObject } from '../support/kubectl.ts'
import { killOperators, operatorRolledOut } from '../support/operator-release.ts'
import { condition, RaftCluster, type RaftClusterObject } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('certificates')
const LEAVES = ['peer', 'server', 'client', 'operator'] as const
/** A kubelet looks at its Secrets about once a minute, those of a kind cluster of this run more often. */
const IN_FORCE_MS_MAX = 180_000

const GIVEN = 'given-members'
const APPLICATION = 'given-application'
const applications = authority('applications')
const company = authority('company')
const newCompany = authority('new company')
const HOSTS = [
  `*.given-peer.${NAMESPACE}.svc.cluster.local`,
  `*.given-peer.${NAMESPACE}.svc`,
  `given-client.${NAMESPACE}.svc.cluster.local`,
  `given-client.${NAMESPACE}.svc`,
  // As the writer calls it.
  'given-client',
] as const

let demo: RaftCluster
let given: RaftCluster

beforeAll(async () => {
  try {
    await giveCertificate(memberLeaf(company, 1), company)
    await give(APPLICATION, leaf(applications, { usages: ['client'] }), [company, newCompany])
    const members = { source: 'Secret', secretRef: { name: GIVEN } }
    const created = await Promise.all([
      create('demo', { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } }),
      create('given', { peer: members, client: members }),
    ])
    ;[demo, given] = created
    await Promise.all(created.map((one) => inForce(one)))
  } catch (error) {
    await printDiagnostics(NAMESPACE)
    throw error
  }
})

afterAll(async () => {
  await operatorRolledOut()
  await Promise.all([demo?.delete(), given?.delete()])
})

test.concurrent('certificates that are lost are made anew though the operator is killed, and nothing restarts', async ({
  onTestFailed,
}) => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const before = { lives: await demo.lives(), certificates: await certificates() }
  const term = (await demo.get())!.status!.leader!.term
  const writer = await ClusterWriter.start(NAMESPACE, 'demo', { isSecure: true })
  const { failures } = await writer.report()
  const columns = '{.object.status.conditions[?(@.type=="TLSReady")].reason}'
  const told = watchObject({ namespace: NAMESPACE, kind: 'raftcluster', name: 'demo', columns })

  const names = LEAVES.map((use) => `demo-${use}-tls`)
  await asDocumented(NAMESPACE, `kubectl delete secret ${names.join(' ')}`)
  await waitFor({ what: 'the renewal to be told of', timeoutMs: 30_000 }, async () => {
    return told.lines.some(({ text }) => text !== 'Issued') || { notYet: told.lines }
  })
  await killOperators()
  await waitFor({ what: 'new certificates', timeoutMs: 90_000 }, async () => {
    const now = await certificates()
    const areNew = now.every((one, i) => one !== '' && one !== before.certificates[i])
    return areNew || { notYet: 'the old ones' }
  })
  await operatorRolledOut()
  await inForce(demo)
  await told.stop()
  await writer.settle('made anew')

  expect(await demo.lives()).toEqual(before.lives)
  const report = await writer.report()
  expect({ ...report, failures: report.failures - failures }).toMatchObject({ failures: 0 })
  expect((await demo.get())!.status!.leader!.term).toBe(term)
  await writer.stop()
}, 400_000)

test.concurrent('certificates that are given are taken once nothing is wrong with them, and exchanged, and nothing restarts', async ({
  onTestFailed,
}) => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const lives = await given.lives()
  const writer = await ClusterWriter.start(NAMESPACE, 'given', {
    isSecure: true,
    secretName: APPLICATION,
  })
  const { failures } = await writer.report()
  const first = await shown()

  await giveCertificate(leaf(company, { hosts: HOSTS.slice(2) }), company)
  const faulty = await given.shows('what is wrong with it', 60_000, (seen) => {
    return condition(seen, 'TLSReady')?.reason === 'CertificateInvalid'
  })
  expect(condition(faulty, 'TLSReady')!.message).toContain(`not valid for ${HOSTS[0]}`)
  expect(faulty.status!.phase).toBe('Healthy')
  expect(await shown()).toBe(first)

  for (const [hours, signer] of [
    [2, company],
    [3, newCompany],
  ] as const) {
    const startedMs = performance.now()
    const pair = memberLeaf(signer, hours)
    await giveCertificate(pair, signer)
    await inForce(given, new X509Certificate(pair.certificate).validToDate)
    expect(await shown()).toBe(fingerprintOf(pair.certificate))
    const trusts = [signer, applications].map(({ certificate }) => fingerprintOf(certificate))
    expect(await trusted()).toEqual(trusts.toSorted())
    console.info(
      `given certificates in force after ${Math.round(performance.now() - startedMs)} ms`,
    )
    await writer.acknowledges(50)
  }

  expect(await given.lives()).toEqual(lives)
  expect(await getObject(NAMESPACE, 'secret', 'given-client-tls')).toBeUndefined()
  await writer.settle('exchanged')
  const report = await writer.report()
  expect({ ...report, failures: report.failures - failures }).toMatchObject({ failures: 0 })
  await writer.stop()
}, 400_000)

function create(name: string, tls: Readonly<Record<string, unknown>>): Promise<RaftCluster> {
  return RaftCluster.create(NAMESPACE, name, {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
    tls,
  })
}

/** Everybody shows and trusts what the Secrets hold; where it is said, certificates that end then. */
async function inForce(cluster: RaftCluster, until?: Date): Promise<RaftClusterObject> {
  return cluster.shows('certificates in force', IN_FORCE_MS_MAX, (seen) => {
    const { status, reason } = condition(seen, 'TLSReady') ?? {}
    const ends = seen.status?.certificates?.map(({ notAfter }) => Date.parse(notAfter)) ?? []
    const areNewest = until === undefined || ends.every((one) => one === until.getTime())
    const isReady = condition(seen, 'Ready')?.status === 'True'
    return status === 'True' && reason === 'Issued' && areNewest && isReady
  })
}

async function certificates(): Promise<readonly string[]> {
  return Promise.all(LEAVES.map((use) => fieldOf(`demo-${use}-tls`, 'tls.crt')))
}

/** Fingerprints of those whom members trust by the copy that pods mount. */
async function trusted(): Promise<readonly string[]> {
  const text = Buffer.from(await fieldOf('given-server-tls', 'ca.crt'), 'base64').toString()
  const pems = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return pems.map(fingerprintOf).toSorted()
}

function fingerprintOf(certificate: string): string {
  return new X509Certificate(certificate).fingerprint256
}

async function fieldOf(secret: string, field: string): Promise<string> {
  type Secret = { readonly data?: Readonly<Record<string, string>> }
  return (await getObject<Secret>(NAMESPACE, 'secret', secret))?.data?.[field] ?? ''
}

/** Fingerprint of what a member shows to a client. */
async function shown(): Promise<string> {
  const print = 'console.log(this.getPeerCertificate().fingerprint256),process.exit()'
  const options = '{host:"localhost",port:8080,rejectUnauthorized:false}'
  const script = `require("tls").connect(${options}).on("secureConnect",function(){${print}})`
  const command = ['--', '/nodejs/bin/node', '-e', script]
  return (await kubectl(['exec', 'given-1', '-n', NAMESPACE, ...command])).trim()
}

/** Each ends at another hour, by which the status tells them apart. */
function memberLeaf(signer: CertificatePair, hours: number): CertificatePair {
  const notAfterMs = VALID.notAfterMs + hours * 3_600_000
  return leaf(signer, { commonName: 'given', hosts: HOSTS, notAfterMs })
}

async function giveCertificate(pair: CertificatePair, signer: CertificatePair): Promise<void> {
  await give(GIVEN, pair, [signer, applications])
}

async function give(
  name: string,
  pair: CertificatePair,
  trusts: readonly CertificatePair[],
): Promise<void> {
  const data = givenData(pair, trusts)
  const type = 'kubernetes.io/tls'
  await apply(NAMESPACE, { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type, data })
}
