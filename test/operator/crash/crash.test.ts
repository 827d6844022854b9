// The life of a cluster with an operator that dies, acts twice or sees late: one cluster, as it was asked for, or nothing
// left of it. Changes of size, replacements and rollouts are in operations.test.ts (faults.md F56).

import { describe, expect, test } from 'vitest'
import { CLUSTER, KEY, MEMBERSHIP, replicasOf, STATEFUL_SET } from './scene.ts'
import { bootstrap, describeScenarios, destroy, isSettled, type NamedScenario } from './suite.ts'
import { World } from './world.ts'

const SCENARIOS: readonly NamedScenario[] = [
  ['a cluster of one is made', { replicas: 1 }, bootstrap, 1],
  ['a cluster of three is made', {}, bootstrap, 1],
  [
    'a cluster of five with a leader Service',
    { replicas: 5, services: { leader: { enabled: true } } },
    bootstrap,
    3,
  ],
  [
    'a cluster is made and deleted, its volumes kept',
    {},
    async (world) => {
      await bootstrap(world)
      await destroy(world)
      expect(world.kubernetes.claims().map(({ metadata }) => metadata.name)).toEqual([
        'data-demo-0',
        'data-demo-1',
        'data-demo-2',
      ])
      expect(world.members.clustersOnVolumes().size).toBe(1)
    },
    2,
  ],
  [
    'a cluster is made and deleted with its volumes',
    { storage: { size: '1Gi', whenDeleted: 'Delete' } },
    async (world) => {
      await bootstrap(world)
      await destroy(world)
      expect(world.kubernetes.claims()).toEqual([])
    },
    2,
  ],
  [
    'a cluster is deleted in the middle of its first start',
    { storage: { size: '1Gi', whenDeleted: 'Delete' } },
    async (world) => {
      world.createCluster()
      await world.until('its first pod is there', () => world.kubernetes.pods().length > 0)
      await destroy(world)
      expect(world.kubernetes.claims()).toEqual([])
    },
    1,
  ],
  [
    'pods die and come back',
    {},
    async (world) => {
      await bootstrap(world)
      for (const name of ['demo-0', 'demo-1', 'demo-2', 'demo-0']) {
        world.note(`the user deletes pod ${name}`)
        world.kubernetes.deletePod(name)
        await world.pass(4)
        await world.until('the cluster is healthy again', isSettled(world))
      }
    },
    4,
  ],
  [
    'a pod finds no node at first',
    {},
    async (world) => {
      world.kubernetes.unschedulable.add('demo-1')
      world.createCluster()
      await world.until('two of three have formed', () => world.status.clusterId !== undefined)
      expect(world.status.phase).toBe('Degraded')
      world.kubernetes.unschedulable.clear()
      await world.until('it takes part when it comes', isSettled(world))
    },
    3,
  ],
  [
    'the status is wiped while the cluster runs',
    {},
    async (world) => {
      await bootstrap(world)
      world.wipeStatus()
      await world.until('it is derived anew', isSettled(world))
      world.invariants.checkSize()
    },
    3,
  ],
  [
    'the status is wiped in the middle of the first start',
    {},
    async (world) => {
      world.createCluster()
      await world.until('its first volume is there', () => world.kubernetes.claims().length > 0)
      world.wipeStatus()
      await world.until('the cluster is healthy', isSettled(world))
    },
    1,
  ],
  [
    'the StatefulSet is scaled and deleted by hand',
    {},
    async (world) => {
      await bootstrap(world)
      const target = STATEFUL_SET
      world.note('the user scales the StatefulSet')
      world.invariants.allowTampering()
      world.store.patch(target, { spec: { replicas: 1 } })
      await world.pass(3)
      await world.until('the cluster is healthy', isSettled(world))
      world.invariants.checkSize()
      world.note('the user deletes the StatefulSet')
      world.store.delete(target)
      await world.pass(3)
      await world.until('the cluster is healthy', isSettled(world))
      world.invariants.checkSize()
    },
    4,
  ],
  [
    'everything but the volumes is deleted, the status included',
    {},
    async (world) => {
      await bootstrap(world)
      world.note('only the volumes are left')
      world.wipeStatus()
      for (const collection of ['apps/v1/statefulsets', 'v1/configmaps', 'v1/services']) {
        for (const { metadata } of world.store.list(collection)) {
          world.store.delete({ collection, namespace: KEY.namespace, name: metadata.name })
        }
      }
      await world.until('the cluster is back with its data', isSettled(world))
    },
    3,
  ],
  [
    'two of three volumes are lost with everything else, and the third is not reached',
    {},
    async (world) => {
      await bootstrap(world)
      world.note('one volume is left, and its pod finds no node')
      world.wipeStatus()
      world.kubernetes.unschedulable.add('demo-2')
      for (const target of [STATEFUL_SET, MEMBERSHIP]) world.store.delete(target)
      for (const name of ['demo-0', 'demo-1', 'demo-2']) {
        world.kubernetes.lose(name, { withVolume: name !== 'demo-2' })
      }
      await world.until(
        'it is reported',
        () =>
          world.status.conditions?.find(({ type }) => type === 'RecoveryRequired')?.status ===
            'True' && world.status.members?.[0]?.reason === 'AwaitingReplacement',
      )
      await world.pass(50)
      expect([world.status.phase, world.members.formedCount]).toEqual(['NoQuorum', 1])
    },
    3,
  ],
  [
    'a paused cluster is deleted',
    { storage: { size: '1Gi', whenDeleted: 'Delete' } },
    async (world) => {
      await bootstrap(world)
      world.note('the user pauses it')
      world.store.patch(CLUSTER, { spec: { paused: true } })
      await world.until('it is paused', () => world.status.phase === 'Paused')
      await world.pass(20)
      world.note('the user scales the StatefulSet')
      world.store.patch(STATEFUL_SET, { spec: { replicas: 2 } })
      await world.pass(20)
      expect(replicasOf(world.store.find(STATEFUL_SET))).toBe(2)
      await destroy(world)
      expect(world.kubernetes.claims()).toEqual([])
    },
    4,
  ],
  [
    'the same name is used again for a new cluster with new volumes',
    { storage: { size: '1Gi', whenDeleted: 'Delete' } },
    async (world) => {
      await bootstrap(world)
      await destroy(world)
      // A new token: its cluster is another one.
      world.members.formedCount = 0
      world.invariants.forget()
      await bootstrap(world)
    },
    3,
  ],
]

describeScenarios(SCENARIOS)

describe('objects of others', () => {
  test('a StatefulSet under our name is never touched, and the cluster starts when it goes', async () => {
    const world = new World({ seed: 1 })
    const target = STATEFUL_SET
    const foreign = {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'demo', finalizers: ['x/y'] },
    }
    world.store.create(target, {
      ...foreign,
      spec: { replicas: 0, template: { metadata: {}, spec: {} }, volumeClaimTemplates: [] },
    })
    world.kubernetes.ignored.add('demo')
    world.invariants.protect(target.collection, target.name)
    world.createCluster()
    await world.until('it is reported', () => world.status.phase === 'Failed')
    await world.pass(50)
    expect(world.events.map(({ reason }) => reason)).toContain('NameConflict')
    expect(world.kubernetes.pods()).toEqual([])
  })

  test('volumes of an earlier cluster are never used, and the cluster starts when they are gone', async () => {
    const world = new World({ seed: 1 })
    world.createCluster()
    await world.until('it is healthy', isSettled(world))
    await destroy(world)
    for (const { metadata } of world.kubernetes.claims()) {
      world.invariants.protect('v1/persistentvolumeclaims', metadata.name)
    }
    world.invariants.forget()
    world.createCluster()
    await world.until('they are reported', () => world.status.phase === 'Failed')
    await world.pass(50)
    expect(world.kubernetes.pods()).toEqual([])
    expect(world.events.map(({ reason }) => reason)).toContain('PVCConflict')
    world.invariants.release()
    world.members.formedCount = 0
    for (const { metadata } of world.kubernetes.claims()) {
      const target = {
        collection: 'v1/persistentvolumeclaims',
        namespace: KEY.namespace,
        name: metadata.name,
      }
      world.store.patch(target, { metadata: { finalizers: null } })
      world.store.delete(target)
    }
    await world.until('it is healthy', isSettled(world))
  })

  test('a protected cluster is held, running, until the protection is lifted', async () => {
    const spec = { deletionProtection: true, storage: { size: '1Gi', whenDeleted: 'Delete' } }
    const world = new World({ seed: 1, spec })
    await bootstrap(world)
    world.deleteCluster()
    await world.until('it is held', () => world.status.operation?.step === 'Held')
    await world.pass(50)
    expect(world.kubernetes.pods()).toHaveLength(3)
    world.store.patch(CLUSTER, { spec: { deletionProtection: false } })
    await world.until('it is gone', () => world.cluster === undefined)
    expect(world.kubernetes.claims()).toEqual([])
  })
})
