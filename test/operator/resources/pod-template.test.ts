// What pods are made from: the same for every size of a cluster, bounded by the memory it may use. How everything looks in
// full is in testdata/bootstrap-*/applied.yaml.

import { describe, expect, test } from 'vitest'
import { loadMemberConfig } from '../../../member/src/config.ts'
import { canonicalJson } from '../../../operator/src/api/canonical.ts'
import {
  memberArguments,
  memberEnvironment,
} from '../../../operator/src/resources/member-arguments.ts'
import { buildPodTemplate } from '../../../operator/src/resources/pod-template.ts'
import { buildConfiguration, settingsOf } from '../../../operator/src/resources/configuration.ts'
import {
  type MembershipPhase,
  type RenderContext,
  RENDERER_REVISION,
} from '../../../operator/src/resources/render.ts'
import { buildStatefulSet } from '../../../operator/src/resources/stateful-set.ts'
import { observationOf, UID } from '../support/observation.ts'

function context(
  spec: Readonly<Record<string, unknown>>,
  phase: MembershipPhase = 'Running',
): RenderContext {
  const { cluster, options } = observationOf({ story: '', spec, status: 'none' })
  const { replicas } = cluster.spec
  const membership = { epoch: 1, entries: [] }
  const sizes = { replicas, voters: replicas, founders: replicas }
  const configuration = { epoch: 1, settings: settingsOf(cluster, []) }
  const rest = { token: UID, phase, clusterId: '0', membership, configuration }
  return { cluster, options, ...sizes, ...rest, renderer: RENDERER_REVISION }
}

describe('the template of the pods', () => {
  test('is byte for byte the same for every size and phase of a cluster (invariant 11)', () => {
    const templates = new Set<string>()
    const claims = new Set<string>()
    for (const replicas of [1, 3, 5]) {
      for (const phase of ['Bootstrapping', 'Completing', 'Running'] as const) {
        const made = context({ replicas }, phase)
        templates.add(canonicalJson(buildPodTemplate(made)))
        const spec = buildStatefulSet(made)['spec'] as Readonly<Record<string, unknown>>
        expect(spec['replicas']).toBe(replicas)
        claims.add(canonicalJson(spec['volumeClaimTemplates']))
      }
    }
    expect([templates.size, claims.size]).toEqual([1, 1])
  })

  test('bears labels of the user, and never lets them replace its own', () => {
    const labels = { team: 'core', 'app.kubernetes.io/name': 'mine' }
    const template = buildPodTemplate(context({ podMetadata: { labels } }))
    expect(template['metadata']).toMatchObject({
      labels: { team: 'core', 'app.kubernetes.io/name': 'raftbase', 'raftbase.io/cluster': 'demo' },
    })
  })

  test.each([
    ['Preferred', ['preferredDuringSchedulingIgnoredDuringExecution']],
    ['Required', ['requiredDuringSchedulingIgnoredDuringExecution']],
    ['None', []],
  ])('with anti-affinity %s says %j', (antiAffinity, fields) => {
    const template = buildPodTemplate(context({ scheduling: { antiAffinity } }))
    const { affinity } = template['spec'] as { affinity?: { podAntiAffinity: object } }
    expect(Object.keys(affinity?.podAntiAffinity ?? {})).toEqual(fields)
  })
})

/** The command line of `demo-1`, and the text of its file. */
function commandOf(spec: Readonly<Record<string, unknown>>, renderer: number) {
  const made = context(spec)
  const argv = memberArguments(made.cluster, renderer).map((text) =>
    text.replaceAll('$(POD_NAME)', 'demo-1'),
  )
  const data = buildConfiguration(made)['data'] as Readonly<Record<string, string>>
  return { argv, file: data['member.json']! }
}

describe('what a memory limit allows a member', () => {
  test.each([
    ['128Mi', 64 * 1024 ** 2, 83],
    ['1Gi', 512 * 1024 ** 2, 665],
    ['16Gi', 2 * 1024 ** 3, 10649],
    ['1000000000', 500_000_000, 619],
  ])('%s allows half of it for the state and 65 percent for the heap', (memory, quota, heap) => {
    const { cluster } = context({ resources: { limits: { memory } } })
    expect(memberArguments(cluster, 1)).toContain(`-quota-backend-bytes=${quota}`)
    expect(settingsOf(cluster, [])).toMatchObject({ 'quota-backend-bytes': quota })
    expect(memberEnvironment(cluster)).toContainEqual({
      name: 'NODE_OPTIONS',
      value: `--max-old-space-size=${heap}`,
    })
  })

  test('no limit leaves both to their defaults', () => {
    const { cluster } = context({ resources: { requests: { memory: '1Gi' } } })
    expect(memberArguments(cluster, 1).join(' ')).not.toContain('quota')
    expect(settingsOf(cluster, [])).toEqual({ 'snapshot-log-bytes': 64 * 1024 ** 2 })
    expect(memberEnvironment(cluster)).toHaveLength(1)
  })

  const MEBIBYTE = 1024 ** 2
  test.each([
    ['a limit that grows counts once every pod has it', '1Gi', undefined, [128], 64],
    ['a limit that shrinks counts at once', '128Mi', undefined, [1024], 64],
    ['a pod without a limit holds nobody back', '1Gi', undefined, [undefined], 512],
    ['a limit that goes counts until no pod has it', undefined, undefined, [1024, undefined], 512],
    ['the quota of the spec is taken as it is', '1Gi', '700Mi', [1024], 700],
    ['and without a limit', undefined, '700Mi', [undefined], 700],
    ['but never more than the memory of a pod that has less', '1Gi', '700Mi', [256, 1024], 256],
  ] as const)('%s', (_what, memory, quotaBackendBytes, pods, quota) => {
    const { cluster } = context({
      ...(memory === undefined ? {} : { resources: { limits: { memory } } }),
      ...(quotaBackendBytes === undefined ? {} : { server: { quotaBackendBytes } }),
    })
    const limits = pods.map((limit) => (limit === undefined ? undefined : limit * MEBIBYTE))
    expect(settingsOf(cluster, limits)).toMatchObject({ 'quota-backend-bytes': quota * MEBIBYTE })
  })
})

describe('the command line and the file of a member', () => {
  const SPEC = {
    resources: { limits: { memory: '1Gi' } },
    raft: { heartbeatInterval: '200ms', electionTimeout: '2s', snapshotLogSize: '128Mi' },
  }

  test.each([1, 2])('of revision %i are such as members accept', (renderer) => {
    const { argv, file } = commandOf(SPEC, renderer)
    const readFile = (path: string): string => {
      expect(path).toBe('/etc/raftbase/config/member.json')
      return file
    }
    const loaded = loadMemberConfig({ argv, environment: {}, readFile, workingDirectory: '/' })
    expect(loaded).toMatchObject({
      kind: 'config',
      config: {
        name: 'demo-1',
        dataDir: '/data/member',
        membershipFile: '/etc/raftbase/membership/membership.json',
        advertisePeerUrls: ['http://demo-1.demo-peer.prod.svc.cluster.local:2380'],
        heartbeatMs: 200,
        electionMs: 2000,
        snapshotLogBytes: 128 * 1024 ** 2,
        quotaBackendBytes: 512 * 1024 ** 2,
      },
      warnings: [],
      ...(renderer === 1 ? {} : { fileEpoch: 1 }),
    })
  })

  test.each([
    ['Periodic', '1h30m', { mode: 'periodic', retentionMs: 5_400_000 }],
    ['Periodic', '87600h', { mode: 'periodic', retentionMs: 87_600 * 3_600_000 }],
    ['Revision', '100000', { mode: 'revision', retentionRevisions: 100_000 }],
    [
      'Revision',
      '1000000000000000',
      { mode: 'revision', retentionRevisions: 1_000_000_000_000_000 },
    ],
  ])('say how history goes: %s, %s', (mode, retention, autoCompaction) => {
    const server = { quotaBackendBytes: '64Gi', autoCompaction: { mode, retention } }
    const { argv, file } = commandOf({ server }, 2)
    const readFile = (): string => file
    const loaded = loadMemberConfig({ argv, environment: {}, readFile, workingDirectory: '/' })
    const config = { autoCompaction, quotaBackendBytes: 64 * 1024 ** 3 }
    expect(loaded).toMatchObject({ kind: 'config', config, warnings: [] })
  })
})
