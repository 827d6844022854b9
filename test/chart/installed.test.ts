// The chart installed by Helm on a real API server: what others may not do to a cluster's objects, that the operator may,
// with the rights the chart gives it and no more, what an uninstall leaves, and that no second operator serves the same
// namespaces.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiServer, missingApiServer } from '../support/api-server.ts'
import type { CommandResult } from '../support/command.ts'
import { waitFor } from '../e2e/support/wait.ts'
import { CHART, helm, type HelmResult, missingHelm } from '../support/helm.ts'

const WHAT = 'the tests of the installed chart'
const SKIPPED = missingApiServer(WHAT) ?? missingHelm(WHAT)
const OPERATOR = '--as=system:serviceaccount:raftbase-system:raftbase-operator'
const COLLECTOR = '--as=system:serviceaccount:kube-system:namespace-controller'
const LABELS = { 'raftbase.io/cluster': 'demo', 'app.kubernetes.io/name': 'raftbase' }
const SERVED = 'prod'

let server: ApiServer

beforeAll(async () => {
  if (SKIPPED !== undefined) return
  server = await ApiServer.start()
  for (const name of [SERVED, 'other', 'third'])
    await server.mustKubectl(['create', 'namespace', name])
  const installed = await install('raftbase', 'raftbase-system', SERVED)
  if (installed.code !== 0) throw new Error(installed.stderr)
  await server.servesRaftClusters()
  // Whoever takes a namespace away has all rights, in a cluster that has one.
  const role = ['create', 'clusterrolebinding', 'collector', '--clusterrole=cluster-admin']
  await server.mustKubectl([...role, '--serviceaccount=kube-system:namespace-controller'])
  await waitFor({ what: 'the policies to be in force', timeoutMs: 30_000 }, async () => {
    await create(SERVED, cluster('probe', { deletionProtection: true }))
    const { code } = await run('delete', 'raftcluster', 'probe', '-n', SERVED)
    return code === 0 ? { notYet: 'deleted' } : true
  })
}, 180_000)

afterAll(async () => {
  await server?.stop()
}, 30_000)

describe.skipIf(SKIPPED !== undefined)('the admission policies', { timeout: 60_000 }, () => {
  test('a protected RaftCluster is not deleted, alone or with all others, until it is not protected', async () => {
    await create(SERVED, cluster('protected', { deletionProtection: true }))
    const refusal =
      'spec.deletionProtection is true: to delete RaftCluster protected, set it to false'
    const one = ['delete', 'raftcluster', 'protected', '-n', SERVED]
    expectRefused(await run(...one), refusal)
    const collection = `/apis/raftbase.io/v1alpha1/namespaces/${SERVED}/raftclusters`
    expectRefused(await run('delete', '--raw', collection), 'spec.deletionProtection is true')
    await patch('raftcluster', 'protected', { spec: { deletionProtection: false } })
    expectAllowed(await run(...one))
  })

  test('a protected RaftCluster goes with its namespace, and when its owner insists', async () => {
    await create(SERVED, cluster('protected', { deletionProtection: true }))
    expectAllowed(await run('delete', 'raftcluster', 'protected', '-n', SERVED, COLLECTOR))
    await create(SERVED, cluster('protected', { deletionProtection: true }))
    await run('annotate', 'raftcluster', 'protected', '-n', SERVED, 'raftbase.io/allow=true')
    expectAllowed(await run('delete', 'raftcluster', 'protected', '-n', SERVED))
  })

  test('only the operator changes the spec or the size of a StatefulSet of a cluster', async () => {
    await create(SERVED, statefulSet('demo', LABELS))
    const grown = { spec: { replicas: 5 } }
    expectRefused(await patch('statefulset', 'demo', grown), 'belongs to the RaftCluster of that')
    const scale = ['scale', 'statefulset', 'demo', '-n', SERVED, '--replicas=5']
    expectRefused(await run(...scale), 'set its spec.replicas instead')
    const restart = ['rollout', 'restart', 'statefulset/demo', '-n', SERVED]
    expectRefused(await run(...restart), 'belongs to the RaftCluster of that name')
    const unlabelled = { metadata: { labels: { 'raftbase.io/cluster': null } }, ...grown }
    expectRefused(await patch('statefulset', 'demo', unlabelled), 'belongs to the RaftCluster')
    expectAllowed(await patch('statefulset', 'demo', { metadata: { labels: { mine: 'yes' } } }))
    expectAllowed(await patch('statefulset', 'demo', grown, OPERATOR))
  })

  test('only the operator and those who collect garbage delete volumes and ConfigMaps of a cluster', async () => {
    for (const object of [volumeClaim('data-demo-0'), configMap('demo-membership')]) {
      await create(SERVED, object)
      const { kind, metadata } = object
      const args = ['delete', kind, metadata.name, '-n', SERVED, '--wait=false']
      expectRefused(await run(...args), `${metadata.name} belongs to RaftCluster demo`)
      const collection = `/api/v1/namespaces/${SERVED}/${kind.toLowerCase()}s`
      expectRefused(await run('delete', '--raw', collection), 'belongs to RaftCluster demo')
      expectAllowed(await run(...args, '--dry-run=server', COLLECTOR))
      expectAllowed(await run(...args, OPERATOR))
      await run(
        'patch',
        kind,
        metadata.name,
        '-n',
        SERVED,
        '--patch={"metadata":{"finalizers":null}}',
      )
    }
    await create(SERVED, volumeClaim('data-demo-1'))
    await run('annotate', 'pvc', 'data-demo-1', '-n', SERVED, 'raftbase.io/allow=true')
    expectAllowed(await run('delete', 'pvc', 'data-demo-1', '-n', SERVED, '--wait=false'))
  })

  test('what belongs to no cluster, and namespaces that are not served, are left alone', async () => {
    await create(SERVED, statefulSet('foreign', { app: 'foreign' }))
    expectAllowed(await run('scale', 'statefulset', 'foreign', '-n', SERVED, '--replicas=2'))
    expectAllowed(await patch('statefulset', 'foreign', { spec: { replicas: 3 } }))
    await create('other', cluster('elsewhere', { deletionProtection: true }))
    expectAllowed(await run('delete', 'raftcluster', 'elsewhere', '-n', 'other'))
  })

  test('the operator may only let RaftClusters go in a namespace it does not serve, and make no pod where it does', async () => {
    const can = async (...args: readonly string[]): Promise<string> =>
      (await run('auth', 'can-i', ...args, OPERATOR)).stdout.trim()
    expect(await can('list', 'raftclusters.raftbase.io', '-n', SERVED)).toBe('yes')
    expect(await can('list', 'raftclusters.raftbase.io', '-n', 'other')).toBe('no')
    expect(await can('get', 'leases.coordination.k8s.io', '-n', 'raftbase-system')).toBe('yes')
    expect(await can('get', 'leases.coordination.k8s.io', '-n', SERVED)).toBe('no')
    expect(await can('create', 'pods', '-n', SERVED)).toBe('no')
    // Those of a cluster's certificates, by name; nobody lists them.
    expect(await can('get', 'secrets', '-n', SERVED)).toBe('yes')
    expect(await can('list', 'secrets', '-n', SERVED)).toBe('no')
    expect(await can('get', 'secrets', '-n', 'other')).toBe('no')
    expectAllowed(await run('get', 'namespace', SERVED, OPERATOR))
    expect(await can('patch', 'raftclusters.raftbase.io', '-n', 'other')).toBe('yes')
    expect(await can('delete', 'raftclusters.raftbase.io', '-n', 'other')).toBe('no')
  })
})

describe.skipIf(SKIPPED !== undefined)('a release', { timeout: 60_000 }, () => {
  test('that would serve a namespace another one serves is refused, one for other namespaces is not', async () => {
    const taken = 'an operator of release raftbase-system/raftbase already serves namespace prod'
    expectRefused(await install('second', 'third', SERVED, 'crds.enabled=false'), taken)
    expectRefused(await install('second', 'third', undefined, 'crds.enabled=false'), taken)
    expectAllowed(await install('second', 'third', 'other', 'crds.enabled=false'))
    expectAllowed(await uninstall('second', 'third'))
  })

  test('of the whole cluster is the only one', async () => {
    expectAllowed(await uninstall('raftbase', 'raftbase-system'))
    expectAllowed(await install('raftbase', 'raftbase-system'))
    const taken = 'an operator of release raftbase-system/raftbase already serves every namespace'
    expectRefused(await install('second', 'third', 'other', 'crds.enabled=false'), taken)
    expectRefused(await install('second', 'third', undefined, 'crds.enabled=false'), taken)
  })

  test('that is uninstalled leaves the definition and every RaftCluster, and takes them over when it is back', async () => {
    await create(SERVED, cluster('kept', {}))
    expectAllowed(await uninstall('raftbase', 'raftbase-system'))
    expectAllowed(await run('get', 'raftcluster', 'kept', '-n', SERVED))
    const left = await run('get', 'validatingadmissionpolicies,clusterroles', '-o', 'name')
    expect(left.stdout).not.toContain('/raftbase')
    expectAllowed(await install('raftbase', 'raftbase-system'))
    expectAllowed(await run('get', 'raftcluster', 'kept', '-n', SERVED))
    expectAllowed(await uninstall('raftbase', 'raftbase-system'))
    expectRefused(await install('renamed', 'third'), 'invalid ownership metadata')
    expectAllowed(
      await install('renamed', 'third', undefined, 'crds.enabled=true', '--take-ownership'),
    )
  })
})

/** Serves one namespace, or all. */
async function install(
  release: string,
  namespace: string,
  served?: string,
  set = 'crds.enabled=true',
  ...rest: readonly string[]
): Promise<HelmResult> {
  const scope = served === undefined ? '' : `,rbac.scope=Namespaces,rbac.namespaces[0]=${served}`
  const flags = ['--namespace', namespace, '--create-namespace', '--set', set + scope, ...rest]
  return helm('install', release, CHART, '--kubeconfig', server.kubeconfig, ...flags)
}

async function uninstall(release: string, namespace: string): Promise<HelmResult> {
  const flags = ['--namespace', namespace, '--kubeconfig', server.kubeconfig]
  return helm('uninstall', release, ...flags)
}

function run(...args: readonly string[]): Promise<CommandResult> {
  return server.kubectl(args)
}

function patch(kind: string, name: string, change: object, ...rest: readonly string[]) {
  const text = JSON.stringify(change)
  return run('patch', kind, name, '-n', SERVED, '--type=merge', '--patch', text, ...rest)
}

async function create(namespace: string, object: object): Promise<void> {
  await server.mustKubectl(['apply', '-n', namespace, '-f', '-'], JSON.stringify(object))
}

function expectAllowed(result: HelmResult): void {
  expect(result).toMatchObject({ code: 0 })
}

function expectRefused(result: HelmResult, reason: string): void {
  expect(result).toMatchObject({ code: 1 })
  expect(result.stderr).toContain(reason)
}

function cluster(name: string, spec: object): object {
  return {
    apiVersion: 'raftbase.io/v1alpha1',
    kind: 'RaftCluster',
    metadata: { name },
    spec: { version: '0.1.0', ...spec },
  }
}

function statefulSet(name: string, labels: Readonly<Record<string, string>>): object {
  const container = { name: 'a', image: 'a' }
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, labels },
    spec: {
      serviceName: name,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  }
}

function volumeClaim(name: string) {
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } }
  const kind = 'PersistentVolumeClaim'
  return { apiVersion: 'v1', kind, metadata: { name, labels: LABELS }, spec }
}

function configMap(name: string) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: LABELS } }
}
