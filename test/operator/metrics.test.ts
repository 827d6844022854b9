// What the operator tells of each cluster: read from statuses as the cache has them, and counted pass by pass.

import { describe, expect, test } from 'vitest'
import { Registry } from '../../lib/metrics.ts'
import { GATES } from '../../operator/src/api/gates.ts'
import type { KubeObject } from '../../operator/src/api/kube-object.ts'
import { ClusterCounts } from '../../operator/src/cluster-counts.ts'
import { registerOperatorFigures } from '../../operator/src/metrics.ts'

function scrape(status: object): readonly string[] {
  const registry = new Registry()
  const cluster: KubeObject = {
    apiVersion: 'raftbase.io/v1alpha1',
    kind: 'RaftCluster',
    metadata: { namespace: 'prod', name: 'demo' },
    status,
  }
  registerOperatorFigures(registry, {
    isLeader: () => true,
    queueDepth: () => 0,
    openStreams: () => 0,
    clusters: () => [cluster],
    wallMs: () => Date.parse('2026-03-01T08:10:00Z'),
  })
  const own = /^raftbase_operator_cluster_(\w+)\{namespace="prod",name="demo",?(.*)\} (.*)$/
  return registry
    .render()
    .split('\n')
    .flatMap((line) => {
      const [, name, labels, value] = own.exec(line) ?? []
      return name === undefined ? [] : [`${name} ${labels} ${value}`]
    })
}

test('the figures of a cluster say what its status says', () => {
  const conditions = [
    { type: 'Progressing', status: 'False', reason: 'Stalled' },
    { type: 'TLSReady', status: 'True', reason: 'Issued' },
    { type: 'StorageReady', status: 'True', reason: 'AllBound' },
  ]
  const members = [
    { role: 'Leader', healthy: true },
    { role: 'Follower', healthy: true },
    { role: 'Unknown', healthy: false },
  ]
  const counts = { votingMembers: 3, replicas: 3, updatedReplicas: 1 }
  const operation = {
    type: 'Rollout',
    step: 'WaitReady',
    startedAt: '2026-03-01T08:00:00Z',
    stepStartedAt: '2026-03-01T08:09:30Z',
  }
  const status = { phase: 'Updating', ...counts, members, conditions, operation }
  expect(scrape(status).toSorted()).toEqual([
    'condition type="Progressing",status="False",reason="Stalled" 1',
    'condition type="TLSReady",status="True",reason="Issued" 1',
    'members role="Follower" 1',
    'members role="Leader" 1',
    'members role="Unknown" 1',
    'operation_seconds type="Rollout",step="WaitReady" 30',
    'out_of_date_pods  2',
    'phase phase="Updating" 1',
    'quorum_margin  0',
  ])
})

test('a status that makes no sense is left out', () => {
  const operation = { type: 'Rollout', step: 'WaitReady', startedAt: 'yesterday' }
  const conditions = [{ type: 1 }, null, 'Ready']
  const status = { conditions, replicas: '3', members: 'none', operation }
  expect(scrape(status)).toEqual([])
})

function begun(member: string, reason = 'Corrupt') {
  return { member, startedAt: '2026-03-01T08:00:00Z', reason }
}

function counted(): { readonly counts: ClusterCounts; readonly lines: () => readonly string[] } {
  const registry = new Registry()
  const counts = new ClusterCounts(registry)
  const lines = () =>
    registry
      .render()
      .split('\n')
      .filter((line) => /^raftbase_operator_cluster_\w+_total/.test(line))
      .map((line) => line.replace(/^raftbase_operator_cluster_/, ''))
  return { counts, lines }
}

describe('what happened to clusters', () => {
  const key = { namespace: 'prod', name: 'demo' }
  test('a leader that is seen for the first time is no change, and counts from zero', () => {
    const { counts, lines } = counted()
    counts.led(key, { isChange: false })
    expect(lines()).toEqual(['leader_changes_total{namespace="prod",name="demo"} 0'])
    counts.led(key, { isChange: true })
    expect(lines()).toEqual(['leader_changes_total{namespace="prod",name="demo"} 1'])
  })

  test('a replacement counts once, when it is on record, and not when its hour is over', () => {
    const { counts, lines } = counted()
    const [one, other] = [begun('demo-1'), begun('demo-2', 'NodeGone')]
    counts.written(key, {}, { replacements: [one] })
    counts.written(key, { replacements: [one] }, { replacements: [one] })
    counts.written(key, { replacements: [one] }, { replacements: [one, other] })
    counts.written(key, { replacements: [one, other] }, {})
    expect(lines().filter((line) => line.startsWith('replacements'))).toEqual([
      'replacements_total{namespace="prod",name="demo",reason="Corrupt"} 1',
      'replacements_total{namespace="prod",name="demo",reason="NodeGone"} 1',
    ])
  })

  test('the figures of a cluster vanish with it', () => {
    const { counts, lines } = counted()
    counts.led(key, { isChange: true })
    counts.led({ namespace: 'prod', name: 'other' }, { isChange: false })
    counts.forget(key)
    expect(lines()).toEqual(['leader_changes_total{namespace="prod",name="other"} 0'])
  })

  test('every gate is told, closed or not', () => {
    const registry = new Registry()
    const counts = new ClusterCounts(registry)
    counts.denied('Quorum')
    const told = registry.render().match(/gate_denied_total\{.*$/gm)!
    expect(told).toHaveLength(GATES.length)
    expect(told).toContain('gate_denied_total{gate="Quorum"} 1')
    expect(told).toContain('gate_denied_total{gate="Manual"} 0')
  })
})
