// A real operator process with the rights that the chart gives it, and no others, on a real API server: from a new
// RaftCluster to its deletion with everything it made, without one request refused. The parts that no controller plays here
// (pods, volumes) are played by the test.

import { X509Certificate } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority } from '../../lib/pki/certificate.ts'
import { ApiServer, missingApiServer } from '../support/api-server.ts'
import { CHART, helm, missingHelm } from '../support/helm.ts'
import { company, givenData, memberLeaf } from './support/given-certificates.ts'
import { until } from './support.ts'
import { OperatorProcess } from './support/operator-process.ts'

const WHAT = "the operator's rights on a real API server"
const SKIPPED = missingApiServer(WHAT) ?? missingHelm(WHAT)
const OPERATOR_NAMESPACE = 'raftbase-system'
const ACCOUNT = 'raftbase-operator'
const TEST_MS = 180_000
const ORDINALS = [0, 1, 2] as const
const CERT_MANAGER = new URL('testdata/cert-manager.yaml', import.meta.url).pathname
const PROMETHEUS = new URL('testdata/prometheus-operator.yaml', import.meta.url).pathname
const DAY_MS = 24 * 3_600_000
const TLS = { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } }

let server: ApiServer
const processes: OperatorProcess[] = []

async function install(values: readonly string[]): Promise<void> {
  const where = ['--namespace', OPERATOR_NAMESPACE, '--kubeconfig', server.kubeconfig]
  const settings = values.flatMap((value) => ['--set', value])
  const args = ['raftbase', CHART, '--create-namespace', ...where, ...settings]
  expect(await helm('upgrade', '--install', ...args)).toMatchObject({ code: 0 })
  await server.servesRaftClusters()
}

async function startAsAccount(name: string, args: readonly string[]): Promise<OperatorProcess> {
  const token = await server.mustKubectl(['create', 'token', ACCOUNT, '-n', OPERATOR_NAMESPACE])
  const process = new OperatorProcess({
    name,
    kubeconfig: server.kubeconfigOf(name, token.trim()),
    args: ['-namespace', OPERATOR_NAMESPACE, ...args],
  })
  processes.push(process)
  await until(`${name} leads`, () => process.isLeading, 60_000)
  return process
}

async function refusals(process: OperatorProcess): Promise<string[]> {
  const requests = await process.metric('raftbase_operator_api_requests_total')
  return [...requests.keys()].filter((labels) => /code="(401|403)"/.test(labels))
}

/** A field of an object in the served namespace; empty when there is no such object. */
function read(kind: string, name: string, path: string): Promise<string> {
  const args = ['get', kind, name, '-n', 'prod', '--ignore-not-found', '-o', `jsonpath={${path}}`]
  return server.mustKubectl(args)
}

async function exists(kind: string, name: string): Promise<boolean> {
  return (await read(kind, name, '.metadata.name')) !== ''
}

async function eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 60_000
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** What the StatefulSet's controller and a kubelet would have made. */
async function playPod(cluster: string, ordinal: number): Promise<void> {
  const labels = { 'raftbase.io/cluster': cluster, 'app.kubernetes.io/name': 'raftbase' }
  const uid = await read('statefulset', cluster, '.metadata.uid')
  const owner = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: cluster, uid, controller: true }
  const ownerReferences = [owner]
  const clusterUid = await read('raftcluster', cluster, '.metadata.uid')
  const annotations = { 'raftbase.io/cluster-uid': clusterUid }
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `${cluster}-${ordinal}`, namespace: 'prod', labels, ownerReferences },
    spec: { containers: [{ name: 'member', image: 'raftbase/member:0.1.0' }] },
  }
  const claim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: `data-${cluster}-${ordinal}`, namespace: 'prod', labels, annotations },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  }
  for (const object of [pod, claim]) {
    await server.mustKubectl(['apply', '-f', '-'], JSON.stringify(object))
  }
}

/** A pod whose node is gone, and a claim whose volume is on another one that is gone: both are looked up. */
async function playDeadNodes(cluster: string): Promise<void> {
  const one = ['pod', `${cluster}-1`, '-n', 'prod']
  const target = { apiVersion: 'v1', kind: 'Node', name: 'gone-1' }
  const binding = {
    apiVersion: 'v1',
    kind: 'Binding',
    metadata: { name: `${cluster}-1`, namespace: 'prod' },
    target,
  }
  const path = `/api/v1/namespaces/prod/pods/${cluster}-1/binding`
  await server.mustKubectl(['create', '--raw', path, '-f', '-'], JSON.stringify(binding))
  expect(await server.mustKubectl(['get', ...one, '-o', 'jsonpath={.spec.nodeName}'])).toBe(
    'gone-1',
  )
  const on = { key: 'kubernetes.io/hostname', operator: 'In', values: ['gone-2'] }
  const volume = {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: `of-${cluster}` },
    spec: {
      capacity: { storage: '1Gi' },
      accessModes: ['ReadWriteOnce'],
      local: { path: '/data' },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [on] }] } },
    },
  }
  await server.mustKubectl(['apply', '-f', '-'], JSON.stringify(volume))
  const claim = ['patch', 'pvc', `data-${cluster}-2`, '-n', 'prod', '--type=merge']
  const spec = { volumeName: `of-${cluster}` }
  await server.mustKubectl([...claim, '-p', JSON.stringify({ spec })])
  const status = { phase: 'Bound' }
  await server.mustKubectl([...claim, '--subresource=status', '-p', JSON.stringify({ status })])
}

async function memberReasons(cluster: string): Promise<string> {
  return read('raftcluster', cluster, '.status.members[*].reason')
}

/** What it says of its certificates. */
function tlsReady(name: string): Promise<string> {
  const condition = '.status.conditions[?(@.type=="TLSReady")]'
  return read('raftcluster', name, `${condition}.reason}: {${condition}.message`)
}

function monitoring(): Promise<string> {
  const condition = '.status.conditions[?(@.type=="MonitoringReady")]'
  return read('raftcluster', 'signed', `${condition}.status} {${condition}.reason`)
}

function ready(message: string): string {
  const status = message === '' ? 'True' : 'False'
  return JSON.stringify({ status: { conditions: [{ type: 'Ready', status, message }] } })
}

async function patchStatus(kind: string, name: string, patch: string): Promise<void> {
  const args = ['patch', kind, name, '-n', 'prod', '--subresource=status', '--type=merge', '-p']
  await server.mustKubectl([...args, patch])
}

function said(what: string): Promise<void> {
  const pointer = / \(see docs\/operator\.md#issuernotready\)$/
  return eventually(`it says: ${what}`, async () =>
    (await tlsReady('signed')).replace(pointer, '').endsWith(what),
  )
}

/** What cert-manager does with a Certificate of an issuer that is ready. */
async function playCertManager(name: string): Promise<X509Certificate> {
  const certificate = `${name}-authority`
  const wanted = JSON.parse(await read('certificate', certificate, '.spec')) as {
    commonName: string
    secretName: string
  }
  const now = Date.now()
  const validity = { notBeforeMs: now - DAY_MS, notAfterMs: now + 365 * DAY_MS }
  const pair = createAuthority({ commonName: wanted.commonName, ...validity })
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name: wanted.secretName, namespace: 'prod' },
    stringData: { 'tls.crt': pair.certificate, 'tls.key': pair.key, 'ca.crt': pair.certificate },
  }
  await server.mustKubectl(['apply', '-f', '-'], JSON.stringify(secret))
  await patchStatus('certificate', certificate, ready(''))
  return new X509Certificate(pair.certificate)
}

/** Of a Secret; undefined while there is none. */
async function certificateIn(secret: string): Promise<X509Certificate | undefined> {
  const text = await read('secret', secret, '.data.tls\\.crt')
  return text === '' ? undefined : new X509Certificate(Buffer.from(text, 'base64'))
}

/** The pods are gone, and with them what protects the volumes they used. */
async function playPodsGone(cluster: string): Promise<void> {
  const pods = ORDINALS.map((ordinal) => `${cluster}-${ordinal}`)
  await server.mustKubectl(['delete', 'pod', '-n', 'prod', '--force', '--grace-period=0', ...pods])
  const unprotected = '{"metadata":{"finalizers":null}}'
  const claims = ORDINALS.map((ordinal) => `data-${cluster}-${ordinal}`)
  const patch = ['patch', 'pvc', '-n', 'prod', '--type=merge', '-p', unprotected]
  await server.mustKubectl([...patch, ...claims])
}

describe.skipIf(SKIPPED !== undefined)('with the rights of the chart', () => {
  beforeAll(async () => {
    server = await ApiServer.start()
    for (const name of ['prod', 'foreign']) await server.mustKubectl(['create', 'namespace', name])
  }, TEST_MS)

  afterEach(async () => {
    for (const process of processes.splice(0)) await process.end()
  })

  afterAll(async () => {
    await server?.stop()
  })

  test(
    'an operator that is there before the definition of its resource waits, says so once, and goes on by itself',
    async () => {
      const process = new OperatorProcess({ name: 'early', kubeconfig: server.kubeconfig })
      processes.push(process)
      await until('it says so', () => process.find('list or watch failed') !== undefined, 60_000)
      expect(process.find('list or watch failed')).toMatchObject({
        level: 'warn',
        kind: 'RaftCluster',
        err: { code: 'notFound', details: { status: 404 } },
      })
      expect((await process.get('/readyz')).status).toBe(503)
      expect((await process.get('/healthz')).status).toBe(200)
      await install(['rbac.scope=Cluster'])
      await until('it leads', () => process.isLeading, 60_000)
      expect((await process.get('/readyz')).status).toBe(200)
      const warnings = process.log.filter(({ level }) => level !== 'info')
      expect(warnings.map(({ msg }) => msg)).toEqual(['list or watch failed'])
    },
    TEST_MS,
  )

  test.each([
    ['wide', 'the whole cluster', ['rbac.scope=Cluster'], ['-read-nodes=true']],
    [
      'narrow',
      'its namespaces',
      ['rbac.scope=Namespaces', 'rbac.namespaces={prod}'],
      ['-watch-namespaces', 'prod'],
    ],
  ])(
    '%s: in %s a RaftCluster is made, told about, kept and deleted without a refusal',
    async (name, _where, values, args) => {
      await install(values)
      const process = await startAsAccount(name, args)
      const cluster = {
        apiVersion: 'raftbase.io/v1alpha1',
        kind: 'RaftCluster',
        metadata: { name, namespace: 'prod' },
        spec: {
          version: '0.1.0',
          replicas: 3,
          tls: TLS,
          storage: { size: '1Gi', whenDeleted: 'Delete' },
        },
      }
      await server.mustKubectl(['apply', '-f', '-'], JSON.stringify(cluster))
      await eventually('the StatefulSet', () => exists('statefulset', name))
      for (const ordinal of ORDINALS) await playPod(name, ordinal)
      await playDeadNodes(name)
      // Only one that may look finds out.
      const reasons =
        name === 'wide' ? 'PodStarting NodeDead NodeDead' : 'PodStarting PodStarting PodStarting'
      await eventually('what is the matter with the members', async () => {
        return (await memberReasons(name)) === reasons
      })
      // Somebody else's hand in it is put right.
      await server.mustKubectl(['delete', 'service', `${name}-client`, '-n', 'prod'])
      await eventually('the Service again', () => exists('service', `${name}-client`))
      await eventually('an event', async () => {
        return (await server.mustKubectl(['events', '-n', 'prod'])).includes('BootstrapStarted')
      })
      await server.mustKubectl(['delete', 'raftcluster', name, '-n', 'prod', '--wait=false'])
      await eventually('scaled down', async () => {
        return (await read('statefulset', name, '.spec.replicas')) === '0'
      })
      await playPodsGone(name)
      await eventually('the RaftCluster is gone', async () => !(await exists('raftcluster', name)))
      expect(await exists('pvc', `data-${name}-0`)).toBe(false)
      expect(await refusals(process)).toEqual([])
      expect(process.log.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
      process.signal('SIGTERM')
      expect(await process.exited).toBe(0)
    },
    TEST_MS,
  )

  test(
    'cert-manager and the Prometheus operator are used as soon as they are there, certificates signed by what the one gives',
    async () => {
      await install(['rbac.certManager=true', 'rbac.monitoring=true'])
      const process = await startAsAccount('signed', [])
      const source = { source: 'CertManager', issuerRef: { name: 'company' } }
      const cluster = {
        apiVersion: 'raftbase.io/v1alpha1',
        kind: 'RaftCluster',
        metadata: { name: 'signed', namespace: 'prod' },
        spec: {
          version: '0.1.0',
          replicas: 3,
          tls: { peer: source, client: source },
          monitoring: { podMonitor: { enabled: true }, prometheusRule: { enabled: true } },
        },
      }
      await server.mustKubectl(['apply', '-f', '-'], JSON.stringify(cluster))
      await said('IssuerNotReady: cert-manager is not installed')
      await eventually('it misses it', async () => (await monitoring()) === 'False NotInstalled')
      await server.mustKubectl(['apply', '-f', CERT_MANAGER, '-f', PROMETHEUS])
      await said('IssuerNotReady: there is no Issuer company')
      const issuer = { apiVersion: 'cert-manager.io/v1', kind: 'Issuer', spec: {} }
      const metadata = { name: 'company', namespace: 'prod' }
      await server.mustKubectl(['apply', '-f', '-'], JSON.stringify({ ...issuer, metadata }))
      await patchStatus('issuer', 'company', ready('no such vault'))
      await said('IssuerNotReady: Issuer company is not ready: no such vault')
      await patchStatus('issuer', 'company', ready(''))
      await patchStatus('certificate', 'signed-authority', ready('it is being issued'))
      await said('Certificate signed-authority is not ready: it is being issued')
      expect(JSON.parse(await read('certificate', 'signed-authority', '.spec'))).toEqual({
        isCA: true,
        commonName: 'raftbase prod/signed',
        secretName: 'signed-authority',
        secretTemplate: { labels: expect.objectContaining({ 'raftbase.io/cluster': 'signed' }) },
        duration: '43800h0m0s',
        privateKey: { algorithm: 'ECDSA', size: 256, rotationPolicy: 'Always' },
        usages: ['digital signature', 'cert sign', 'crl sign'],
        issuerRef: { name: 'company', kind: 'Issuer', group: 'cert-manager.io' },
      })
      expect(await exists('secret', 'signed-ca')).toBe(false)
      await eventually('monitors', async () => (await monitoring()) === 'True Applied')
      expect(await read('podmonitor', 'signed', '.spec.selector.matchLabels')).toContain('"signed"')
      expect(await read('prometheusrule', 'signed', '.spec.groups[0].rules[0].expr')).toContain(
        'raftbase_operator_cluster_quorum_margin{namespace="prod",name="signed"}',
      )
      const off = JSON.stringify({ spec: { monitoring: null } })
      await server.mustKubectl([
        'patch',
        'raftcluster',
        'signed',
        '-n',
        'prod',
        '--type=merge',
        '-p',
        off,
      ])
      await eventually('no monitors', async () => (await monitoring()) === ' ')
      expect(await exists('podmonitor', 'signed')).toBe(false)
      expect(await exists('prometheusrule', 'signed')).toBe(false)
      const authority = await playCertManager('signed')
      for (const use of ['peer', 'server', 'client', 'operator']) {
        await eventually(`the certificate for ${use}`, () => exists('secret', `signed-${use}-tls`))
        const leaf = await certificateIn(`signed-${use}-tls`)
        expect(leaf!.verify(authority.publicKey)).toBe(true)
      }
      // What it is asked for no more goes.
      const own = { source: 'SelfManaged', issuerRef: null }
      const patch = JSON.stringify({ spec: { tls: { peer: own, client: own } } })
      const target = ['raftcluster', 'signed', '-n', 'prod']
      await server.mustKubectl(['patch', ...target, '--type=merge', '-p', patch])
      await eventually('the Certificate is gone', async () => {
        return !(await exists('certificate', 'signed-authority'))
      })
      expect(await refusals(process)).toEqual([])
      expect(process.log.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
    },
    TEST_MS,
  )

  test(
    'certificates that a user gives are taken once nothing is wrong with them',
    async () => {
      await install([])
      const process = await startAsAccount('given', [])
      const source = { source: 'Secret', secretRef: { name: 'company' } }
      const cluster = {
        apiVersion: 'raftbase.io/v1alpha1',
        kind: 'RaftCluster',
        metadata: { name: 'demo', namespace: 'prod' },
        spec: { version: '0.1.0', replicas: 3, tls: { peer: source, client: source } },
      }
      const apply = (data: Readonly<Record<string, string>>) => {
        const metadata = { name: 'company', namespace: 'prod' }
        const secret = { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata }
        return server.mustKubectl(['apply', '-f', '-'], JSON.stringify({ ...secret, data }))
      }
      await server.mustKubectl(['apply', '-f', '-'], JSON.stringify(cluster))
      const says = (what: string) =>
        eventually(`it says: ${what}`, async () => (await tlsReady('demo')).includes(what))
      await says('CertificateInvalid: Secret company: there is no such Secret')
      const authority = company()
      await apply(givenData(memberLeaf(authority, { hosts: ['demo'] }), [authority]))
      await says('tls.crt is not valid for *.demo-peer.prod.svc.cluster.local')
      expect(await exists('secret', 'demo-peer-tls')).toBe(false)
      const good = memberLeaf(authority)
      await apply(givenData(good, [authority]))
      for (const use of ['peer', 'server', 'operator']) {
        await eventually(`the copy for ${use}`, () => exists('secret', `demo-${use}-tls`))
        const copy = await certificateIn(`demo-${use}-tls`)
        expect(copy!.fingerprint256).toBe(new X509Certificate(good.certificate).fingerprint256)
      }
      expect(await exists('secret', 'demo-ca')).toBe(false)
      await eventually('until when they are good', async () => {
        return (
          (await read('raftcluster', 'demo', '.status.certificates[*].role')) ===
          'peer server operator'
        )
      })
      expect(await refusals(process)).toEqual([])
      expect(process.log.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
    },
    TEST_MS,
  )

  test(
    'without the right to Secrets a RaftCluster with certificates says so, and others are served (X17)',
    async () => {
      await install(['rbac.secrets.enabled=false'])
      const process = await startAsAccount('closed', [])
      for (const [name, tls] of Object.entries({ closed: { tls: TLS }, open: {} })) {
        const cluster = {
          apiVersion: 'raftbase.io/v1alpha1',
          kind: 'RaftCluster',
          metadata: { name, namespace: 'prod' },
          spec: { version: '0.1.0', replicas: 3, ...tls },
        }
        await server.mustKubectl(['apply', '-f', '-'], JSON.stringify(cluster))
      }
      await eventually('it says so', async () => (await tlsReady('closed')).startsWith('Forbidden'))
      await eventually('the other is made', () => exists('statefulset', 'open'))
      const refused = await refusals(process)
      expect(refused.every((labels) => labels.includes('verb="get"'))).toBe(true)
      // The right is given: it goes on by itself.
      await install(['rbac.secrets.enabled=true'])
      await eventually('its authority is made', () => exists('secret', 'closed-ca'))
    },
    TEST_MS,
  )

  test(
    'a RaftCluster whose namespace is deleted is let go, although the rights in it went first',
    async () => {
      await server.mustKubectl(['create', 'namespace', 'doomed'])
      await install(['rbac.scope=Namespaces', 'rbac.namespaces={doomed}'])
      const process = await startAsAccount('doomed', ['-watch-namespaces', 'doomed'])
      const cluster = {
        apiVersion: 'raftbase.io/v1alpha1',
        kind: 'RaftCluster',
        metadata: { name: 'doomed', namespace: 'doomed' },
        spec: { version: '0.1.0', replicas: 3 },
      }
      await server.mustKubectl(['apply', '-f', '-'], JSON.stringify(cluster))
      const finalizers = ['get', 'raftcluster', 'doomed', '-n', 'doomed', '--ignore-not-found']
      await eventually('the finalizer', async () => {
        return (await server.mustKubectl([...finalizers, '-o', 'yaml'])).includes('cluster-cleanup')
      })
      // What the namespace's controller does, in the worst order.
      await server.mustKubectl(['delete', 'namespace', 'doomed', '--wait=false'])
      await server.mustKubectl(['delete', 'roles,rolebindings', '--all', '-n', 'doomed'])
      const one = ['raftcluster', 'doomed', '-n', 'doomed']
      await server.mustKubectl(['delete', ...one, '--wait=false'])
      await eventually('the RaftCluster to go', async () => {
        return (await server.mustKubectl(['get', ...one, '--ignore-not-found'])) === ''
      })
      expect(process.log.some(({ msg }) => msg === 'let go with its namespace')).toBe(true)
    },
    TEST_MS,
  )
})
