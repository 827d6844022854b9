// The loop against a real API server, where the shapes of objects are checked, defaults are filled in and fields have owners.
// No controller runs: pods do not appear, and members are played here. Caches show what is there when a pass begins.

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { KubeObject, ResourceType } from '../../operator/src/api/kube-object.ts'
import {
  CONFIG_MAPS,
  DISRUPTION_BUDGETS,
  NAMESPACES,
  POD_MONITORS,
  PROMETHEUS_RULES,
  RAFT_CLUSTERS,
  SECRETS,
  SERVICES,
  STATEFUL_SETS,
  VOLUME_CLAIMS,
} from '../../operator/src/api/resource-types.ts'
import { readRaftCluster } from '../../operator/src/api/validate.ts'
import type { KubeClient } from '../../operator/src/kube/client.ts'
import { openKubeconfigAccess } from '../../operator/src/kube/kubeconfig.ts'
import { ApiServer, missingApiServer } from '../support/api-server.ts'
import { eventually } from '../support/process-cluster.ts'
import { clientOf } from './support.ts'
import { podSpec, RealScene } from './support/real-scene.ts'

const SKIPPED = missingApiServer('reconciling against a real API server')
const CRD = parse(
  readFileSync(new URL('../../crds/raftclusters.yaml', import.meta.url), 'utf8'),
) as KubeObject
const PROMETHEUS = new URL('testdata/prometheus-operator.yaml', import.meta.url).pathname

/** Every optional field set, so that everything the operator can render is stored and read back. */
const FULL_SPEC = {
  version: '0.1.0',
  clusterDomain: 'k8s.example.org',
  image: {
    repository: 'mirror.example.org/member',
    pullPolicy: 'IfNotPresent',
    pullSecrets: [{ name: 'key' }],
  },
  storage: { size: 2147483648, storageClassName: 'fast' },
  resources: { requests: { cpu: '1000m', memory: '1024Mi' }, limits: { cpu: 2, memory: '2048Mi' } },
  scheduling: {
    antiAffinity: 'Required',
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'topology.kubernetes.io/zone',
        whenUnsatisfiable: 'ScheduleAnyway',
      },
      { maxSkew: 2, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule' },
    ],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'disk', operator: 'Exists' }] }],
        },
      },
    },
    nodeSelector: { disk: 'ssd' },
    tolerations: [
      { key: 'dedicated', operator: 'Equal', value: 'db', effect: 'NoSchedule' },
      { key: 'dedicated', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 },
    ],
    priorityClassName: 'important',
  },
  podMetadata: { labels: { 'example.org/team': 'core' }, annotations: { note: 'x' } },
  raft: { heartbeatInterval: '200ms', electionTimeout: '2s', snapshotLogSize: '128Mi' },
  services: {
    client: { type: 'NodePort', annotations: { 'example.org/a': '1', 'example.org/b': '2' } },
    leader: { enabled: true },
  },
}

describe.skipIf(SKIPPED !== undefined)('on a real API server', () => {
  let server: ApiServer
  let client: KubeClient
  let count = 0

  beforeAll(async () => {
    server = await ApiServer.start()
    client = clientOf(await openKubeconfigAccess(server.kubeconfig))
    const made = await server.request(
      'POST',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
      { body: CRD },
    )
    if (made.status !== 201) throw new Error(String(made.body['message']))
    await eventually('the resource is served', async () => {
      const served = await server.request('GET', '/apis/raftbase.io/v1alpha1/raftclusters')
      return served.status === 200 ? true : undefined
    })
  }, 120_000)

  afterAll(async () => {
    client?.close()
    await server?.stop()
  })

  /** A namespace of its own with a RaftCluster `demo`, and an operator for it. */
  async function scene(spec: Readonly<Record<string, unknown>> = {}): Promise<RealScene> {
    const namespace = `scene-${(count += 1)}`
    await client.create(NAMESPACES, namespaceObject(namespace))
    await client.create(RAFT_CLUSTERS, cluster(namespace, { version: '0.1.0', ...spec }))
    return new RealScene({ client, server, key: { namespace, name: 'demo' } })
  }

  test('everything is made once, is valid, and is not written again', async () => {
    const world = await scene(FULL_SPEC)
    await world.passes(4)
    const before = await world.versions()
    expect([...before.keys()].toSorted()).toEqual([
      'configmaps/demo-config',
      'configmaps/demo-membership',
      'poddisruptionbudgets/demo',
      'raftclusters/demo',
      'serviceaccounts/demo-member',
      'services/demo-client',
      'services/demo-leader',
      'services/demo-peer',
      'statefulsets/demo',
    ])
    await world.passes(3)
    expect(await world.versions()).toEqual(before)
    expect(world.reasons).toEqual(['BootstrapStarted'])
  })

  test('with TLS the certificates come first, are valid, and are not written again', async () => {
    const tls = { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } }
    const world = await scene({ tls })
    await world.passes(6)
    const { namespace } = world.key
    const read = async () => {
      const names = ['ca', 'peer-tls', 'server-tls', 'client-tls', 'operator-tls']
      const secrets = await Promise.all(
        names.map((name) => client.get(SECRETS, { namespace, name: `demo-${name}` })),
      )
      return secrets.map((secret) => [secret?.['type'], secret?.metadata.resourceVersion])
    }
    const before = await read()
    expect(before.map(([type]) => type)).toEqual(Array(5).fill('kubernetes.io/tls'))
    await world.passes(3)
    expect(await read()).toEqual(before)
    const made = await client.get(STATEFUL_SETS, world.key)
    expect(JSON.stringify(made)).toContain('-peer-url=https://0.0.0.0:2380')
    const status = (await client.get(RAFT_CLUSTERS, world.key))?.['status']
    expect(JSON.stringify(status)).toContain('"type":"TLSReady"')
    // Peer URLs are who the members are.
    const off = { spec: { tls: null } }
    const options = { fieldManager: 'test' }
    await expect(client.patch(RAFT_CLUSTERS, world.key, off, options)).rejects.toMatchObject({
      code: 'invalid',
    })
  })

  test('an operator that comes after another one, as in an upgrade, writes nothing', async () => {
    const world = await scene(FULL_SPEC)
    await world.passes(4)
    const before = await world.versions()
    const next = new RealScene({ client, server, key: world.key })
    await next.passes(3)
    expect(await next.versions()).toEqual(before)
    expect(next.reasons).toEqual([])
  })

  test('an operator with a newer template, and the older one after it, leave the pods as they are', async () => {
    const { key } = await scene(FULL_SPEC)
    const [first, newer, older] = [1, 2, 1].map(
      (newestRenderer) => new RealScene({ client, server, key, newestRenderer }),
    ) as [RealScene, RealScene, RealScene]
    const live = async () => (await newer.get(STATEFUL_SETS, 'demo'))!
    await first.passes(4)
    const before = await first.versions()
    expect([...before.keys()]).not.toContain('configmaps/demo-config')
    await newer.passes(3)
    expect(await newer.versions()).toEqual(before)

    await newer.patch(RAFT_CLUSTERS, 'demo', {
      metadata: { annotations: { 'raftbase.io/restamp': '2' } },
    })
    await newer.passes(3)
    const approved = await live()
    expect(approved.metadata.annotations).toMatchObject({ 'raftbase.io/renderer': '2' })
    expect(JSON.stringify(templateOf(approved))).toContain(
      '-config=/etc/raftbase/config/member.json',
    )
    const file = (await newer.get(CONFIG_MAPS, 'demo-config'))!['data'] as Record<string, string>
    expect(JSON.parse(file['member.json']!)).toEqual({
      epoch: 1,
      'snapshot-log-bytes': 128 * 1024 ** 2,
      'quota-backend-bytes': 1024 ** 3,
    })

    await newer.patch(RAFT_CLUSTERS, 'demo', { spec: { scheduling: { priorityClassName: null } } })
    await newer.patch(STATEFUL_SETS, 'demo', { spec: { replicas: 5 } })
    await older.passes(3)
    expect(specOf(await live())['replicas']).toBe(3)
    expect(templateOf(await live())).toEqual(templateOf(approved))
    const { rendererRevision } = await older.status()
    expect(rendererRevision).toBe(2)

    await newer.passes(3)
    const template = templateOf(await live()) as { spec: Record<string, unknown> }
    expect(template.spec['priorityClassName']).toBeUndefined()
    expect(template).toMatchObject({ metadata: templateOf(approved)['metadata'] })
    expect([...first.reasons, ...newer.reasons, ...older.reasons]).toEqual(['BootstrapStarted'])
  })

  test('pods of the template are admitted under the restricted level', async () => {
    const world = await scene({ resources: { limits: { memory: '256Mi' } } })
    await world.passes(3)
    const set = await world.get(STATEFUL_SETS, 'demo')
    const { template } = set!['spec'] as { template: { metadata: object; spec: object } }
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
    await server.request('PATCH', `/api/v1/namespaces/${world.key.namespace}`, {
      body: { metadata: { labels } },
      contentType: 'application/merge-patch+json',
    })
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...template.metadata, name: 'demo-0' },
      spec: podSpec(template.spec),
    }
    const path = `/api/v1/namespaces/${world.key.namespace}/pods?dryRun=All&fieldValidation=Strict`
    const answer = await server.request('POST', path, { body: pod })
    expect(answer.body['message'] ?? answer.status).toBe(201)
    const root = { ...pod, spec: { ...pod.spec, securityContext: { runAsUser: 0 } } }
    expect((await server.request('POST', path, { body: root })).status).toBe(403)
  })

  test.each<[string, ResourceType, string, object, (live: KubeObject) => unknown]>([
    [
      'size of the StatefulSet',
      STATEFUL_SETS,
      'demo',
      { spec: { replicas: 5 } },
      (live) => specOf(live)['replicas'],
    ],
    [
      'selector of a Service',
      SERVICES,
      'demo-client',
      { spec: { selector: { 'raftbase.io/cluster': 'other' } } },
      (live) => specOf(live)['selector'],
    ],
    [
      'disruption budget',
      DISRUPTION_BUDGETS,
      'demo',
      { spec: { minAvailable: 0 } },
      (live) => specOf(live)['minAvailable'],
    ],
    [
      'membership',
      CONFIG_MAPS,
      'demo-membership',
      { data: { 'membership.json': '{}' } },
      (live) => live['data'],
    ],
  ])('a changed %s is set back, and told', async (_what, type, name, patch, look) => {
    const world = await scene()
    await world.passes(3)
    await world.startPods()
    world.members.leader = 1
    await world.passes(2)
    const before = look((await world.get(type, name))!)
    await world.patch(type, name, patch)
    expect(look((await world.get(type, name))!)).not.toEqual(before)
    await world.passes(1)
    expect(look((await world.get(type, name))!)).toEqual(before)
    expect(world.reasons.at(-1)).toBe('DriftReverted')
    expect(world.reasons).toHaveLength(4)
  })

  test('what the spec does not ask for any more goes, and is no drift', async () => {
    const world = await scene(FULL_SPEC)
    await world.passes(3)
    const services = {
      client: { type: 'ClusterIP', annotations: { 'example.org/a': '1', 'example.org/b': null } },
      leader: { enabled: false },
    }
    await world.patch(RAFT_CLUSTERS, 'demo', { spec: { services, disruption: { pdb: 'None' } } })
    await world.passes(2)
    const service = (await world.get(SERVICES, 'demo-client'))!
    expect(specOf(service)['type']).toBe('ClusterIP')
    expect(Object.keys(service.metadata.annotations ?? {}).toSorted()).toEqual([
      'example.org/a',
      'raftbase.io/applied',
    ])
    expect(await world.get(SERVICES, 'demo-leader')).toBeUndefined()
    expect(await world.get(DISRUPTION_BUDGETS, 'demo')).toBeUndefined()
    expect(world.reasons).toEqual(['BootstrapStarted'])
  })

  test('a spec that makes no pod is refused by the API server and shown in its words', async () => {
    const affinity = { nodeAffinity: { bogus: 1 } }
    const world = await scene({ scheduling: { affinity } })
    await world.passes(1)
    expect((await world.passes(1)).kind).toBe('retry')
    const ready = (await world.status()).conditions!.find(({ type }) => type === 'Ready')
    expect(ready).toMatchObject({ status: 'False', reason: 'Rejected' })
    expect(ready!.message).toMatch(/create StatefulSet demo was refused: .*nodeAffinity\.bogus/)
    const before = await world.versions()
    await world.passes(2)
    expect(await world.versions()).toEqual(before)
    await world.patch(RAFT_CLUSTERS, 'demo', { spec: { scheduling: { affinity: null } } })
    await world.passes(2)
    expect(await world.get(STATEFUL_SETS, 'demo')).toBeDefined()
    expect((await world.status()).phase).toBe('Bootstrapping')
  })

  test('a status with every field is stored as it was derived', async () => {
    const world = await scene()
    await world.passes(3)
    await world.startPods()
    world.members.leader = 1
    await world.passes(2)
    const status = await world.status()
    expect(status).toMatchObject({
      phase: 'Healthy',
      ready: '3/3',
      version: '0.1.0',
      votingMembers: 3,
      leader: { name: 'demo-1', term: 4 },
      connection: { client: `http://demo-client.${world.key.namespace}.svc:2379` },
    })
    expect(status.members).toHaveLength(3)
    expect(status.conditions).toHaveLength(10)
    expect(world.reasons).toEqual(['BootstrapStarted', 'ClusterFormed', 'LeaderElected'])
    const onPods = world.events.filter(({ regarding }) => regarding.kind === 'Pod')
    expect(onPods.map(({ reason, regarding }) => [reason, regarding.metadata.name])).toEqual([
      ['LeaderElected', 'demo-1'],
    ])
    const before = await world.versions()
    await world.passes(2)
    expect(await world.versions()).toEqual(before)
    const roles = await world.labelsOf('raftbase.io/role')
    expect(roles).toEqual(['follower', 'leader', 'follower'])
  })

  test('a Service of somebody else is not taken over, labelled like ours or not', async () => {
    const world = await scene()
    const foreign = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'demo-client', namespace: world.key.namespace },
      spec: { ports: [{ port: 1 }] },
    }
    const made = await client.create(SERVICES, foreign)
    await world.passes(3)
    expect(await world.get(SERVICES, 'demo-client')).toMatchObject({
      metadata: { resourceVersion: made.metadata.resourceVersion },
    })
    expect(await world.get(STATEFUL_SETS, 'demo')).toBeUndefined()
    expect(world.reasons).toEqual(['NameConflict'])
    await client.delete(SERVICES, { ...world.key, name: 'demo-client' })
    await world.passes(1)
    expect(await world.get(STATEFUL_SETS, 'demo')).toBeDefined()
  })

  test('a decision about a RaftCluster that has been replaced hits nothing', async () => {
    const world = await scene()
    await world.passes(1)
    const stale = await world.snapshot()
    await world.patch(RAFT_CLUSTERS, 'demo', { metadata: { finalizers: null } })
    await client.delete(RAFT_CLUSTERS, world.key)
    await client.create(
      RAFT_CLUSTERS,
      cluster(world.key.namespace, { version: '0.1.0', replicas: 1 }),
    )
    const before = await world.versions()
    expect((await world.passWith(stale)).kind).toBe('wait')
    const after = await world.versions()
    expect([...after.keys()]).toEqual([...before.keys()])
    const now = readRaftCluster((await world.get(RAFT_CLUSTERS, 'demo'))!)!
    expect(now.status.bootstrap?.replicas ?? 1).toBe(1)
  })

  test('a deletion ends the members, then deletes the volumes it was asked to, then is over', async () => {
    const world = await scene({ storage: { size: '1Gi', whenDeleted: 'Delete' } })
    await world.passes(3)
    await world.startPods()
    await world.makeClaims()
    await client.delete(RAFT_CLUSTERS, world.key)
    await world.passes(1)
    expect(specOf((await world.get(STATEFUL_SETS, 'demo'))!)['replicas']).toBe(0)
    expect((await world.status()).operation?.step).toBe('StopMembers')
    expect(
      (await client.list(VOLUME_CLAIMS, { namespace: world.key.namespace })).items,
    ).toHaveLength(4)
    await world.endPods()
    await world.passes(2)
    const left = await client.list(VOLUME_CLAIMS, { namespace: world.key.namespace })
    expect(left.items.map(({ metadata }) => metadata.name)).toEqual(['data-demo-9'])
    await world.passes(1)
    expect(await world.get(RAFT_CLUSTERS, 'demo')).toBeUndefined()
  })

  test('a webhook that is down keeps a PrometheusRule from being written, and nothing else', async () => {
    await server.mustKubectl(['apply', '-f', PROMETHEUS, '-f', '-'], JSON.stringify(DEAD_WEBHOOK))
    // Until the kinds are served, and the webhook is known.
    const triesRule = async () => {
      const path = '/apis/monitoring.coreos.com/v1/namespaces/default/prometheusrules?dryRun=All'
      const [apiVersion, kind] = ['monitoring.coreos.com/v1', 'PrometheusRule']
      const body = { apiVersion, kind, metadata: { name: 'tried' } }
      return (await server.request('POST', path, { body })).status
    }
    const answers = (status: number) => async () =>
      (await triesRule()) === status ? true : undefined
    await eventually('rules are refused', answers(500))
    const monitoring = { podMonitor: { enabled: true }, prometheusRule: { enabled: true } }
    const world = await scene({ monitoring })
    const said = async () => {
      const { conditions = [] } = await world.status()
      return conditions.find(({ type }) => type === 'MonitoringReady')
    }
    await world.passes(4)
    expect(await said()).toMatchObject({
      status: 'False',
      reason: 'Rejected',
      message: expect.stringMatching(/^PrometheusRule: .*failed calling webhook/),
    })
    expect(await world.get(STATEFUL_SETS, 'demo')).toBeDefined()
    expect(specOf((await world.get(POD_MONITORS, 'demo'))!)['selector']).toEqual({
      matchLabels: { 'raftbase.io/cluster': 'demo', 'app.kubernetes.io/name': 'raftbase' },
    })
    const { name } = DEAD_WEBHOOK.metadata
    await server.mustKubectl(['delete', 'validatingwebhookconfiguration', name])
    await eventually('rules are taken', answers(201))
    // A new spec is a new try.
    const prometheusRule = { enabled: true, labels: { team: 'core' } }
    await world.patch(RAFT_CLUSTERS, 'demo', { spec: { monitoring: { prometheusRule } } })
    await world.passes(2)
    expect(await said()).toMatchObject({ status: 'True', reason: 'Applied' })
    const { labels } = (await world.get(PROMETHEUS_RULES, 'demo'))!.metadata
    expect(labels).toMatchObject({ team: 'core', 'raftbase.io/cluster': 'demo' })
  })
})

/** Of the Prometheus operator, which checks rules before they are stored. */
const DEAD_WEBHOOK = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { name: 'prometheus-rules' },
  webhooks: [
    {
      name: 'rules.monitoring.example.org',
      clientConfig: { url: 'https://127.0.0.1:1/' },
      rules: [
        {
          apiGroups: ['monitoring.coreos.com'],
          apiVersions: ['*'],
          operations: ['CREATE', 'UPDATE'],
          resources: ['prometheusrules'],
        },
      ],
      failurePolicy: 'Fail',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
    },
  ],
}

function namespaceObject(name: string): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
}

function cluster(namespace: string, spec: object): KubeObject {
  return {
    apiVersion: 'raftbase.io/v1alpha1',
    kind: 'RaftCluster',
    metadata: { name: 'demo', namespace },
    spec,
  }
}

function specOf(object: KubeObject): Readonly<Record<string, unknown>> {
  return object['spec'] as Readonly<Record<string, unknown>>
}

function templateOf(object: KubeObject): Readonly<Record<string, unknown>> {
  return specOf(object)['template'] as Readonly<Record<string, unknown>>
}
