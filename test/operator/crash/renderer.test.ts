// Operators of several versions over the same clusters, and configurations that change: pods are made anew when the spec or
// somebody asks for it, and for nothing else; what members keep reaches them without that.

import { expect } from 'vitest'
import type { RaftClusterStatus } from '../../../operator/src/api/raft-cluster.ts'
import type { StoredObject } from '../../support/fake-api-store.ts'
import { KEY, STATEFUL_SET } from './scene.ts'
import {
  bootstrap,
  describeRareScenarios,
  describeScenarios,
  isAt,
  isOfSize,
  isSettled,
  type NamedScenario,
} from './suite.ts'
import type { World } from './world.ts'

const CONFIGURATION = {
  collection: 'v1/configmaps',
  namespace: KEY.namespace,
  name: 'demo-config',
}
const HOUR = { autoCompaction: { mode: 'Periodic', retention: '1h' } }

function reasonOf(status: RaftClusterStatus, type: string): string | undefined {
  return status.conditions?.find((condition) => condition.type === type)?.reason
}

/** Everything of the StatefulSet that restarts a pod when it changes. */
function templateOf(world: World): unknown {
  return (world.store.get(STATEFUL_SET)['spec'] as { template?: unknown }).template
}

function revisionsOf(pods: readonly StoredObject[]): readonly unknown[] {
  return pods.map(
    ({ metadata }) =>
      (metadata['annotations'] as Record<string, string> | undefined)?.['raftbase.io/renderer'] ??
      '1',
  )
}

/** Every member has it in force and has said so. */
const isInForce = (world: World, settings: Readonly<Record<string, unknown>>) => () => {
  const names = (world.status.members ?? []).map(({ name }) => name)
  const wanted = JSON.stringify(settings)
  const has = (name: string): boolean => {
    const { epoch: _, ...rest } = world.members.settingsOf(name) ?? {}
    return JSON.stringify(rest) === wanted
  }
  return reasonOf(world.status, 'UpToDate') === 'AllUpdated' && names.every(has)
}

const KEPT = { 'snapshot-log-bytes': 67_108_864 }
const KEPT_AN_HOUR = {
  ...KEPT,
  'auto-compaction-mode': 'periodic',
  'auto-compaction-retention': '1h',
}

const SCENARIOS: readonly NamedScenario[] = [
  [
    'what members keep is changed, its file is deleted, and it is changed back',
    {},
    async (world) => {
      await bootstrap(world)
      const before = templateOf(world)
      world.change('history of an hour', { server: HOUR })
      await world.until('every member keeps an hour', isInForce(world, KEPT_AN_HOUR))
      world.note('the user deletes the ConfigMap')
      world.store.delete(CONFIGURATION)
      await world.until('it is there again', () => world.store.find(CONFIGURATION) !== undefined)
      world.change('all history', { server: { autoCompaction: null } })
      await world.until('every member keeps everything', isInForce(world, KEPT))
      await world.until('all is quiet', isSettled(world))
      expect(templateOf(world)).toEqual(before)
      expect(world.events.map(({ reason }) => reason)).not.toContain('RolloutStarted')
    },
    45,
  ],
]

describeScenarios(SCENARIOS)

const RARE: readonly NamedScenario[] = [
  [
    'a newer operator restarts nobody until it is approved, and neither does the older one when it comes back',
    { update: { minHealthySeconds: 2 } },
    async (world) => {
      world.replaceOperators(1)
      await bootstrap(world)
      const before = templateOf(world)
      world.replaceOperators(2)
      world.change('history of an hour', { server: HOUR })
      await world.until(
        'it is said to wait',
        () => reasonOf(world.status, 'UpToDate') === 'RestampPending',
      )
      await world.pass(10)
      expect(templateOf(world)).toEqual(before)
      world.annotate({ 'raftbase.io/restamp': '2' })
      await world.until('every member keeps an hour', isInForce(world, KEPT_AN_HOUR))
      await world.until('all is quiet', isSettled(world))
      expect(new Set(revisionsOf(world.kubernetes.pods()))).toEqual(new Set(['2']))
      const approved = templateOf(world)
      world.replaceOperators(1)
      world.change('more memory', { resources: { limits: { memory: '1Gi' } } })
      await world.until(
        'it is said to be too new',
        () => reasonOf(world.status, 'UpToDate') === 'NewerRenderer',
      )
      world.scale(5)
      await world.until('it has grown', isOfSize(world, 5))
      expect(templateOf(world)).toEqual(approved)
      world.invariants.checkSize()
    },
    45,
  ],
  [
    'a version brings the newer template, fails, and is taken back with the older one',
    { update: { minHealthySeconds: 2, onFailure: 'Rollback', progressDeadlineSeconds: 20 } },
    async (world) => {
      world.replaceOperators(1)
      await bootstrap(world)
      const before = templateOf(world)
      world.replaceOperators(2)
      world.kubernetes.brokenTags.add('0.1.2')
      world.upgrade('0.1.2')
      await world.until('it is taken back', () => world.status.failedVersion === '0.1.2')
      const isBack = () =>
        revisionsOf(world.kubernetes.pods()).every((revision) => revision === '1')
      await world.until('all is as it was', () => isBack() && world.status.ready === '3/3')
      expect(templateOf(world)).toEqual(before)
      world.kubernetes.brokenTags.clear()
      world.upgrade('0.1.1')
      await world.until('another version is rolled out', isAt(world, '0.1.1'))
      expect(new Set(revisionsOf(world.kubernetes.pods()))).toEqual(new Set(['2']))
      world.invariants.checkSize()
    },
    45,
  ],
]

describeRareScenarios(RARE)
