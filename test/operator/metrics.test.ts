// What the operator tells of each cluster, read from statuses as the cache has them.

import { expect, test } from 'vitest'
import { Registry } from '../../lib/metrics.ts'
import type { KubeObject } from '../../operator/src/api/kube-object.ts'
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
  expect(scrape({ phase: 'Updating', ...counts, members, conditions }).toSorted()).toEqual([
    'condition type="Progressing",status="False",reason="Stalled" 1',
    'condition type="TLSReady",status="True",reason="Issued" 1',
    'members role="Follower" 1',
    'members role="Leader" 1',
    'members role="Unknown" 1',
    'out_of_date_pods  2',
    'phase phase="Updating" 1',
    'quorum_margin  0',
  ])
})

test('a status that makes no sense is left out', () => {
  const status = { conditions: [{ type: 1 }, null, 'Ready'], replicas: '3', members: 'none' }
  expect(scrape(status)).toEqual([])
})
