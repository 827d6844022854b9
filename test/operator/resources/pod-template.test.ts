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
import type { MembershipPhase, RenderContext } from '../../../operator/src/resources/render.ts'
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
  return { cluster, options, ...sizes, token: UID, phase, clusterId: '0', membership }
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

describe('what a memory limit allows a member', () => {
  test.each([
    ['128Mi', 64 * 1024 ** 2, 83],
    ['1Gi', 512 * 1024 ** 2, 665],
    ['16Gi', 2 * 1024 ** 3, 10649],
    ['1000000000', 500_000_000, 619],
  ])('%s allows half of it for the state and 65 percent for the heap', (memory, quota, heap) => {
    const { cluster } = context({ resources: { limits: { memory } } })
    expect(memberArguments(cluster)).toContain(`-quota-backend-bytes=${quota}`)
    expect(memberEnvironment(cluster)).toContainEqual({
      name: 'NODE_OPTIONS',
      value: `--max-old-space-size=${heap}`,
    })
  })

  test('no limit leaves both to their defaults', () => {
    const { cluster } = context({ resources: { requests: { memory: '1Gi' } } })
    expect(memberArguments(cluster).join(' ')).not.toContain('quota')
    expect(memberEnvironment(cluster)).toHaveLength(1)
  })
})

test('the command line of a member is one that members accept', () => {
  const { cluster } = context({
    resources: { limits: { memory: '1Gi' } },
    raft: { heartbeatInterval: '200ms', electionTimeout: '2s', snapshotLogSize: '128Mi' },
  })
  const argv = memberArguments(cluster).map((text) => text.replaceAll('$(POD_NAME)', 'demo-1'))
  const loaded = loadMemberConfig({
    argv,
    environment: {},
    readFile: () => '',
    workingDirectory: '/',
  })
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
  })
})
