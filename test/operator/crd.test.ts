// The CustomResourceDefinition on a real API server: what it accepts, refuses and says, its defaults, columns and status.
// The tables are the contract of crds/raftclusters.yaml; each refusal is a sentence that a user reads.

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { SPEC_DEFAULTS } from '../../operator/src/api/defaults.ts'
import { CONDITION_TYPES } from '../../operator/src/api/conditions.ts'
import { PHASES } from '../../operator/src/api/raft-cluster.ts'
import { ApiServer, missingApiServer } from '../support/api-server.ts'
import { eventually } from '../support/process-cluster.ts'
import { merge } from './support/observation.ts'
import { printedTable } from './support/printed-table.ts'
import { CHANGES } from './support/spec-changes.ts'
import { SERVER_ACCEPTED, SERVER_CHANGES, SERVER_REFUSED } from './support/server-specs.ts'
import { TLS_ACCEPTED, TLS_CHANGES, TLS_REFUSED } from './support/tls-specs.ts'

type Json = Readonly<Record<string, unknown>>

const CRD = parse(
  readFileSync(new URL('../../crds/raftclusters.yaml', import.meta.url), 'utf8'),
) as Json

const MERGE = 'application/merge-patch+json'
const PATH = '/apis/raftbase.io/v1alpha1/namespaces/default/raftclusters'

/** Patches of `spec: {version: 0.1.0}` that are accepted when a cluster is made. */
const ACCEPTED: readonly (readonly [string, Json])[] = [
  ['nothing but a version', {}],
  ['one member', { replicas: 1 }],
  ['five members', { replicas: 5 }],
  ['healing by hand', { selfHeal: { mode: 'Manual', maxReplacementsPerHour: 0 } }],
  [
    'objects for the Prometheus operator',
    {
      monitoring: {
        podMonitor: { enabled: true, labels: { release: 'prometheus', 'example.org/team': '' } },
        prometheusRule: { enabled: true },
      },
    },
  ],
  ['volumes that outlive scaling', { storage: { size: '1Gi', whenScaled: 'Retain' } }],
  ['a version before a release', { version: '1.2.3-rc.1' }],
  ['a cluster domain', { clusterDomain: 'k8s.example.org' }],
  ['a repository with a port', { image: { repository: 'registry.example.org:5000/raftbase' } }],
  [
    'a pull policy and secrets',
    { image: { pullPolicy: 'Always', pullSecrets: [{ name: 'key' }] } },
  ],
  ['a size as a number of bytes', { storage: { size: 1073741824 } }],
  [
    'a storage class',
    { storage: { size: '20Gi', storageClassName: 'fast', whenDeleted: 'Delete' } },
  ],
  [
    'requests up to the limits',
    { resources: { requests: { cpu: '1' }, limits: { cpu: '1000m' } } },
  ],
  ['a limit without a request', { resources: { limits: { memory: '1Gi' } } }],
  ['Required anti-affinity', { scheduling: { antiAffinity: 'Required' } }],
  [
    'spread over zones',
    {
      scheduling: {
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'topology.kubernetes.io/zone',
            whenUnsatisfiable: 'ScheduleAnyway',
          },
        ],
      },
    },
  ],
  [
    'node selector, tolerations, affinity and a priority',
    {
      scheduling: {
        nodeSelector: { disk: 'ssd' },
        tolerations: [{ key: 'dedicated', operator: 'Equal', value: 'db', effect: 'NoSchedule' }],
        affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: {} } },
        priorityClassName: 'important',
      },
    },
  ],
  [
    'labels and annotations of pods',
    {
      podMetadata: {
        labels: { 'example.org/team': 'core', tier: '' },
        annotations: { note: 'x y' },
      },
    },
  ],
  [
    'slow timing',
    { raft: { heartbeatInterval: '500ms', electionTimeout: '5s', snapshotLogSize: '1Gi' } },
  ],
  ['election timeout at exactly five heartbeats', { raft: { electionTimeout: '500ms' } }],
  [
    'a load balancer and a leader Service',
    {
      services: {
        client: { type: 'LoadBalancer', annotations: { 'example.org/internal': 'true' } },
        leader: { enabled: true },
      },
    },
  ],
  ['no disruption budget', { disruption: { pdb: 'None', unhealthyPodEviction: 'AlwaysAllow' } }],
  ['a cluster that is paused and protected', { paused: true, deletionProtection: true }],
]

/** Patches that are refused, and what the answer says. */
const REFUSED: readonly (readonly [string, Json, RegExp])[] = [
  ['no version', { version: null }, /spec\.version: Required value/],
  ['a version with a v', { version: 'v1.0.0' }, /spec\.version/],
  ['a version of two numbers', { version: '1.0' }, /spec\.version/],
  [
    'two members',
    { replicas: 2 },
    /spec\.replicas: Unsupported value: 2: supported values: "?1"?, "?3"?, "?5"?, "?7"?, "?9"?/,
  ],
  ['no member', { replicas: 0 }, /spec\.replicas/],
  ['eleven members', { replicas: 11 }, /spec\.replicas/],
  ['a domain with capitals', { clusterDomain: 'Cluster.local' }, /spec\.clusterDomain/],
  [
    'a repository with a tag',
    { image: { repository: 'raftbase/member:1' } },
    /repository takes no tag/,
  ],
  ['an empty repository', { image: { repository: '' } }, /spec\.image\.repository/],
  ['an unknown pull policy', { image: { pullPolicy: 'Sometimes' } }, /Unsupported value/],
  ['a secret without a name', { image: { pullSecrets: [{}] } }, /name: Required value/],
  ['a size that is too small', { storage: { size: '100Mi' } }, /quantity of at least 256Mi/],
  ['a size that is no quantity', { storage: { size: 'much' } }, /quantity of at least 256Mi/],
  ['an unknown policy for volumes', { storage: { whenDeleted: 'Recycle' } }, /Unsupported value/],
  [
    'a request above its limit',
    { resources: { requests: { memory: '2Gi' }, limits: { memory: '1Gi' } } },
    /a request must not exceed the limit/,
  ],
  [
    'a request that is no quantity',
    { resources: { requests: { cpu: 'all' } } },
    /must be a quantity/,
  ],
  ['a negative request', { resources: { requests: { cpu: '-1' } } }, /must be a quantity/],
  ['a tiny memory limit', { resources: { limits: { memory: '64Mi' } } }, /at least 128Mi/],
  ['an unknown anti-affinity', { scheduling: { antiAffinity: 'Maybe' } }, /Unsupported value/],
  [
    'a spread without a topology key',
    {
      scheduling: {
        topologySpreadConstraints: [{ maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' }],
      },
    },
    /topologyKey: Required value/,
  ],
  [
    'a label of ours',
    { podMetadata: { labels: { 'raftbase.io/role': 'leader' } } },
    /podMetadata\.labels must not contain/,
  ],
  [
    'a label the operator sets',
    { podMetadata: { labels: { 'app.kubernetes.io/name': 'mine' } } },
    /podMetadata\.labels must not contain/,
  ],
  [
    'a label of the StatefulSet controller',
    { podMetadata: { labels: { 'controller-revision-hash': 'x' } } },
    /podMetadata\.labels must not contain/,
  ],
  ['a label value with spaces', { podMetadata: { labels: { team: 'a b' } } }, /that is no label/],
  ['a label key with spaces', { podMetadata: { labels: { 'my team': 'a' } } }, /that is no label/],
  [
    'an annotation of ours',
    { podMetadata: { annotations: { 'raftbase.io/cluster-uid': 'x' } } },
    /podMetadata\.annotations has a key/,
  ],
  ['a heartbeat that is too short', { raft: { heartbeatInterval: '9ms' } }, /must be 10ms to 10s/],
  ['a heartbeat in minutes', { raft: { heartbeatInterval: '1m' } }, /heartbeatInterval/],
  [
    'an election timeout below five heartbeats',
    { raft: { electionTimeout: '499ms' } },
    /at least 5 times heartbeatInterval/,
  ],
  ['an election timeout that is too long', { raft: { electionTimeout: '51s' } }, /at most 50s/],
  ['a snapshot for every entry', { raft: { snapshotLogSize: '1Ki' } }, /from 64Ki to 64Gi/],
  [
    'an unknown Service type',
    { services: { client: { type: 'ExternalName' } } },
    /Unsupported value/,
  ],
  [
    'an annotation of ours on the Service',
    { services: { client: { annotations: { 'raftbase.io/applied': 'x' } } } },
    /are set by the operator/,
  ],
  [
    'a label of ours on a PodMonitor',
    { monitoring: { podMonitor: { labels: { 'raftbase.io/cluster': 'x' } } } },
    /spec\.monitoring labels must not contain keys of raftbase\.io/,
  ],
  [
    'what is no label on a PrometheusRule',
    { monitoring: { prometheusRule: { labels: { team: 'a b' } } } },
    /a key or a value that is no label/,
  ],
  ['an unknown budget', { disruption: { pdb: 'Maybe' } }, /Unsupported value/],
]

/** What the definition says needs no server. */
describe('the definition of RaftCluster', () => {
  const version = (CRD['spec'] as { versions: readonly Json[] }).versions[0]!
  const root = (version['schema'] as { openAPIV3Schema: Json }).openAPIV3Schema

  test('describes every field', () => {
    expect(undescribed(root, '')).toEqual([])
  })

  test('has the defaults that the operator takes for absent fields', () => {
    const { spec } = root['properties'] as Record<string, Json>
    const { services, clusterDomain, monitoring, ...defaults } = SPEC_DEFAULTS
    for (const [field, value] of Object.entries(defaults)) {
      expect([field, (spec!['properties'] as Record<string, Json>)[field]!['default']]).toEqual([
        field,
        value,
      ])
    }
    // Without a default in the schema, so that a stored object says only what its user said.
    expect([services.client.type, services.leader.enabled]).toEqual(['ClusterIP', false])
    expect(clusterDomain).toBe('cluster.local')
    const none = { enabled: false, labels: {} }
    expect(monitoring).toEqual({ podMonitor: none, prometheusRule: none })
  })

  test('knows the phases the operator gives', () => {
    const { status } = root['properties'] as Record<string, Json>
    const { phase } = status!['properties'] as Record<string, Json>
    expect(phase!['enum']).toEqual([...PHASES])
  })
})

/** Paths without a description; what Kubernetes describes itself is left out. */
function undescribed(schema: Json, path: string): string[] {
  const properties = (schema['properties'] ?? {}) as Record<string, Json>
  const items = schema['items'] as Json | undefined
  return [
    ...Object.entries(properties).flatMap(([name, child]) => {
      const at = `${path}.${name}`
      const isStandard = ['.apiVersion', '.kind', '.metadata'].includes(at)
      const lacks = !isStandard && typeof child['description'] !== 'string'
      return [...(lacks ? [at] : []), ...undescribed(child, at)]
    }),
    ...(items === undefined ? [] : undescribed(items, `${path}[]`)),
  ]
}

const SKIPPED = missingApiServer('the CustomResourceDefinition on a real API server')

describe.skipIf(SKIPPED !== undefined)('on a real API server, a RaftCluster', () => {
  let server: ApiServer
  let count = 0

  beforeAll(async () => {
    server = await ApiServer.start()
    const made = await server.request(
      'POST',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
      { body: CRD },
    )
    if (made.status !== 201) throw new Error(String(made.body['message']))
    await eventually(
      'the resource is served',
      async () => ((await server.request('GET', PATH)).status === 200 ? true : undefined),
      { timeoutMs: 30_000 },
    )
  }, 90_000)

  afterAll(async () => {
    await server.stop()
  })

  function resource(spec: Json, name = `demo-${(count += 1)}`): Json {
    return {
      apiVersion: 'raftbase.io/v1alpha1',
      kind: 'RaftCluster',
      metadata: { name },
      spec: merge({ version: '0.1.0' }, spec),
    }
  }

  const create = (object: Json) =>
    server.request('POST', `${PATH}?fieldValidation=Strict`, { body: object })

  const setStatus = (name: string, status: Json) =>
    server.request('PATCH', `${PATH}/${name}/status`, { body: { status }, contentType: MERGE })

  const change = (name: string, spec: Json) =>
    server.request('PATCH', `${PATH}/${name}`, { body: { spec }, contentType: MERGE })

  test.each([...ACCEPTED, ...TLS_ACCEPTED, ...SERVER_ACCEPTED])(
    'may have %s',
    async (_what, spec) => {
      const answer = await create(resource(spec))
      expect(answer.body['message'] ?? answer.status).toBe(201)
    },
  )

  test.each([...REFUSED, ...TLS_REFUSED, ...SERVER_REFUSED])(
    'is refused with %s',
    async (_what, spec, says) => {
      const answer = await create(resource(spec))
      expect(answer.status).toBe(422)
      expect(answer.body['message']).toMatch(says)
    },
  )

  test.each(['1demo', 'demo.one', `a${'b'.repeat(45)}`])(
    'is refused under the name %s',
    async (name) => {
      const answer = await create(resource({}, name))
      expect(answer.status).toBe(422)
      expect(answer.body['message']).toMatch(/metadata\.name must be at most 45 characters/)
    },
  )

  test('may have a name of 45 characters', async () => {
    expect((await create(resource({}, `a${'b'.repeat(44)}`))).status).toBe(201)
  })

  test('is refused with a field that does not exist, by its name', async () => {
    const answer = await create(resource({ replica: 3 }))
    expect(answer.status).toBe(400)
    expect(answer.body['message']).toMatch(/unknown field "spec\.replica"/)
  })

  test.each([...CHANGES, ...TLS_CHANGES, ...SERVER_CHANGES])(
    'may change, or not: %s',
    async (...row) => {
      const [_what, before, patch, says] = row
      const object = resource(before)
      const { name } = object['metadata'] as { name: string }
      expect((await create(object)).status).toBe(201)
      expect((await setStatus(name, { clusterId: '0123456789abcdef' })).status).toBe(200)
      const answer = await change(name, patch)
      expect(answer.status).toBe(says === undefined ? 200 : 422)
      expect(answer.body['message'] ?? 'accepted').toMatch(says ?? /^accepted$/)
    },
  )

  test.each([
    ['the version before', '0.1.0', undefined],
    ['a correction of the new one', '0.2.1', undefined],
    ['the next minor version', '0.3.0', /the last change of version is not final yet/],
    ['the next minor version of another sort', '0.3.0-rc.1', /is not final yet/],
  ])('may take %s as long as an upgrade is not final', async (_what, version, says) => {
    const object = resource({ version: '0.2.0' })
    const { name } = object['metadata'] as { name: string }
    await create(object)
    await setStatus(name, { clusterId: '0123456789abcdef', rollbackVersion: '0.1.0' })
    // Everything else may change meanwhile.
    expect((await change(name, { paused: true })).status).toBe(200)
    const answer = await change(name, { version })
    expect(answer.status).toBe(says === undefined ? 200 : 422)
    expect(answer.body['message'] ?? 'accepted').toMatch(says ?? /^accepted$/)
    await setStatus(name, { rollbackVersion: null })
    expect((await change(name, { version: '0.3.0' })).status).toBe(version === '0.1.0' ? 422 : 200)
  })

  test('may have its version corrected until it has formed', async () => {
    const object = resource({ version: '9.9.9' })
    const { name } = object['metadata'] as { name: string }
    await create(object)
    expect((await change(name, { version: '0.1.0' })).status).toBe(200)
  })

  test('has its defaults filled in', async () => {
    const answer = await create(resource({}))
    const { services: _, clusterDomain: _domain, monitoring: _none, ...stored } = SPEC_DEFAULTS
    expect(answer.body['spec']).toEqual({ ...stored, version: '0.1.0' })
  })

  test('keeps spec and status apart', async () => {
    const object = resource({})
    const { name } = object['metadata'] as { name: string }
    const made = await create({ ...object, status: { phase: 'Healthy' } })
    expect(made.body['status']).toBeUndefined()
    const touched = await server.request('PATCH', `${PATH}/${name}/status`, {
      body: { spec: { paused: true }, status: { phase: 'Healthy' } },
      contentType: MERGE,
    })
    expect(touched.body['spec']).toMatchObject({ paused: false })
    expect(touched.body['status']).toEqual({ phase: 'Healthy' })
    const metadata = touched.body['metadata'] as { generation: number }
    expect(metadata.generation).toBe(1)
  })

  test('prints its columns', async () => {
    const object = resource({})
    const { name } = object['metadata'] as { name: string }
    await create(object)
    const time = '2026-03-01T08:00:00Z'
    const conditions = CONDITION_TYPES.map((type) => ({
      type,
      status: 'True',
      reason: 'Any',
      message: `about ${type}`,
      lastTransitionTime: time,
    }))
    const set = await setStatus(name, {
      ready: '3/3',
      phase: 'Healthy',
      version: '0.1.0',
      updatedReplicas: 3,
      leader: { name: `${name}-1`, raftId: '0123456789abcdef', term: 7, since: time },
      operation: { type: 'Bootstrap' },
      conditions,
    })
    expect(set.body['message'] ?? set.status).toBe(200)
    const { columns, cells } = await printedTable(server, `${PATH}/${name}`)
    expect(columns).toEqual([
      'Name',
      'Ready',
      'Leader',
      'Status',
      'Version',
      'Age',
      'Quorum*',
      'Term*',
      'Updated*',
      'Operation*',
      'Message*',
    ])
    const age = cells[5]
    expect(cells).toEqual([
      name,
      '3/3',
      `${name}-1`,
      'Healthy',
      '0.1.0',
      age,
      'True',
      7,
      3,
      'Bootstrap',
      'about Ready',
    ])
  })

  test('is scaled by its scale subresource, which says who its pods are', async () => {
    const object = resource({})
    const { name } = object['metadata'] as { name: string }
    await create(object)
    const status = { replicas: 3, selector: 'raftbase.io/cluster=demo' }
    await setStatus(name, status)
    const scale = await server.request('GET', `${PATH}/${name}/scale`)
    expect(scale.body).toMatchObject({ spec: { replicas: 3 }, status })
    const body = { spec: { replicas: 5 } }
    await server.request('PATCH', `${PATH}/${name}/scale`, { body, contentType: MERGE })
    const now = await server.request('GET', `${PATH}/${name}`)
    expect(now.body).toMatchObject({ spec: { replicas: 5 } })
  })

  test.each([
    ['ScaleUp', 3, 5, { 3: 200, 5: 200, 7: 200, 1: 422 }],
    ['ScaleDown', 5, 3, { 5: 200, 3: 200, 1: 200, 7: 422 }],
  ] as const)('in the middle of a %s may only be cancelled or taken further', async (...row) => {
    const [type, fromReplicas, toReplicas, answers] = row
    for (const [replicas, expected] of Object.entries(answers)) {
      const object = resource({ replicas: toReplicas })
      const { name } = object['metadata'] as { name: string }
      await create(object)
      await setStatus(name, { operation: { type, step: 'CatchUp', fromReplicas, toReplicas } })
      const answer = await change(name, { replicas: Number(replicas) })
      expect([replicas, answer.status]).toEqual([replicas, expected])
      // Everything else may change meanwhile.
      expect((await change(name, { paused: true })).status).toBe(200)
    }
  })
})
