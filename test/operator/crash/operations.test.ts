// Changes of size, replacements and rollouts with an operator that dies, acts twice or sees late: the same end every time,
// and no promise broken on the way (faults.md F56).

import { expect, test } from 'vitest'
import { isRunning, tagOf, tagsOf } from './sim-kubernetes.ts'
import {
  bootstrap,
  describeRareScenarios,
  describeScenarios,
  incarnationOf,
  isAt,
  isOfSize,
  type NamedScenario,
} from './suite.ts'
import { World } from './world.ts'

const SCENARIOS: readonly NamedScenario[] = [
  [
    'it grows from one to three to five and shrinks back to one',
    { replicas: 1 },
    async (world) => {
      await bootstrap(world)
      for (const replicas of [3, 5, 3, 1]) {
        world.scale(replicas)
        await world.until(`it has ${replicas} members`, isOfSize(world, replicas))
        world.invariants.checkSize()
      }
      const claims = world.kubernetes.claims().map(({ metadata }) => metadata.name)
      expect(claims).toEqual(['data-demo-0'])
    },
    45,
  ],
  [
    'growth is cancelled half-way, and asked for again',
    {},
    async (world) => {
      await bootstrap(world)
      world.scale(5)
      await world.until(
        'a learner is there',
        () => (world.members.raft?.configuration.members.size ?? 0) > 3,
      )
      world.scale(3)
      await world.until('it is as it was', isOfSize(world, 3))
      world.invariants.checkSize()
      world.scale(5)
      await world.until('it has grown', isOfSize(world, 5))
      world.invariants.checkSize()
    },
    30,
  ],
  [
    'shrinking is cancelled after the first member has gone',
    { replicas: 5, storage: { size: '1Gi', whenScaled: 'Retain' } },
    async (world) => {
      await bootstrap(world)
      world.scale(3)
      await world.until('one has gone', () => (world.members.raft?.voters.length ?? 5) < 5)
      world.scale(5)
      await world.until('it is as it was', isOfSize(world, 5))
      world.invariants.checkSize()
    },
    30,
  ],
  [
    'a learner never catches up, and its cluster is left as it was',
    {},
    async (world) => {
      await bootstrap(world)
      world.members.stuck.add('demo-3')
      world.scale(5)
      await world.until(
        'the other one waits',
        () =>
          world.status.operation?.step === 'StartPod' || world.status.operation?.step === 'CatchUp',
      )
      await world.pass(40)
      expect(world.members.raft?.voters).toHaveLength(3)
      world.scale(3)
      await world.until('it is as it was', isOfSize(world, 3))
      world.invariants.checkSize()
    },
    30,
  ],
  [
    'the status is wiped in the middle of growing',
    {},
    async (world) => {
      await bootstrap(world)
      world.scale(5)
      await world.until(
        'a learner is there',
        () => (world.members.raft?.configuration.members.size ?? 0) > 3,
      )
      world.wipeStatus()
      await world.until('it has grown', isOfSize(world, 5))
      world.invariants.checkSize()
    },
    12,
  ],
  [
    'a pod is lost with its volume, and replaced in place',
    {},
    async (world) => {
      await bootstrap(world)
      world.note('demo-1 loses its disk')
      world.kubernetes.lose('demo-1', { withVolume: true })
      await world.until(
        'it is replaced',
        () =>
          world.members.idOn('demo-1') !== undefined &&
          isOfSize(world, 3)() &&
          incarnationOf(world, 'demo-1') === 2,
      )
      world.invariants.checkSize()
    },
    18,
  ],
  [
    'a node is gone for good with its disk, and its member is made anew on another one',
    { selfHeal: { unreachableSeconds: 20 } },
    async (world) => {
      world.kubernetes.addNodes(['host-0', 'host-1', 'host-2', 'host-3'])
      await bootstrap(world)
      const lost = world.kubernetes.hostOf(world.kubernetes.claims()[1])!
      world.note(`${lost} is removed`)
      world.kubernetes.removeNode(lost)
      const removedAtMs = world.nowMs
      await world.until(
        'it is replaced',
        () => isOfSize(world, 3)() && incarnationOf(world, 'demo-1') === 2,
      )
      expect(world.nowMs - removedAtMs).toBeGreaterThan(20_000)
      expect(world.kubernetes.hostOf(world.kubernetes.claims()[1])).toBe('host-3')
      world.invariants.checkSize()
    },
    45,
  ],
  [
    'a disk is damaged, and replaced by a blank one',
    {},
    async (world) => {
      await bootstrap(world)
      world.note('the disk of demo-2 is damaged')
      world.members.damage('demo-2')
      await world.until(
        'it is replaced',
        () => isOfSize(world, 3)() && incarnationOf(world, 'demo-2') === 2,
      )
      world.invariants.checkSize()
    },
    18,
  ],
  [
    'a version is rolled out, and taken back',
    { update: { minHealthySeconds: 2 } },
    async (world) => {
      await bootstrap(world)
      for (const version of ['0.1.1', '0.1.0']) {
        world.upgrade(version)
        await world.until(`every pod has ${version}`, isAt(world, version))
      }
      world.invariants.checkSize()
    },
    30,
  ],
  [
    'a version that does not start stops at its first pod, and is taken back by hand',
    { update: { minHealthySeconds: 2 } },
    async (world) => {
      await bootstrap(world)
      world.kubernetes.brokenTags.add('0.1.2')
      world.upgrade('0.1.2')
      await world.until(
        'one pod does not start',
        () => tagsOf(world.kubernetes.pods()).length === 2,
      )
      await world.pass(60)
      // A pod that is lost meanwhile comes back under the new template.
      const spared = world.lostPodAtMs === undefined ? 2 : 1
      const running = world.kubernetes.pods().filter(isRunning).length
      expect(running).toBeGreaterThanOrEqual(spared)
      world.upgrade('0.1.0')
      await world.until('all is as it was', isAt(world, '0.1.0'))
      world.invariants.checkSize()
    },
    18,
  ],
  [
    'a version that does not start is taken back by the operator',
    { update: { minHealthySeconds: 2, onFailure: 'Rollback', progressDeadlineSeconds: 20 } },
    async (world) => {
      await bootstrap(world)
      world.kubernetes.brokenTags.add('0.1.2')
      world.upgrade('0.1.2')
      await world.until('it is taken back', () => world.status.failedVersion === '0.1.2')
      await world.until(
        'all is as it was',
        () => tagsOf(world.kubernetes.pods()).join() === '0.1.0' && world.status.ready === '3/3',
      )
      // What runs because another version failed has proved nothing.
      await world.pass(60)
      expect(world.status.rollbackVersion).toBe('0.1.0')
      world.upgrade('0.1.0')
      await world.until('nothing is left of it', isAt(world, '0.1.0'))
    },
    18,
  ],
  [
    'a version proves itself, and its level is raised once nothing leads back any more',
    { update: { minHealthySeconds: 2, progressDeadlineSeconds: 15 } },
    async (world) => {
      await bootstrap(world)
      world.members.levels.set('0.2.0', 1)
      world.upgrade('0.2.0')
      await world.until('every pod has it', isAt(world, '0.2.0'))
      expect([world.members.raft?.level, world.status.rollbackVersion]).toEqual([0, '0.1.0'])
      await world.until('its level is in force', () => world.members.raft?.level === 1)
      await world.until('all is quiet', isAt(world, '0.2.0'))
      expect(world.status.rollbackVersion).toBeUndefined()
      world.invariants.checkSize()
    },
    45,
  ],
  [
    'a disk is lost while the cluster shrinks',
    { replicas: 5, update: { minHealthySeconds: 2 } },
    async (world) => {
      await bootstrap(world)
      world.scale(3)
      await world.until('one has gone', () => (world.members.raft?.voters.length ?? 5) < 5)
      world.note('demo-1 loses its disk')
      world.kubernetes.lose('demo-1', { withVolume: true })
      await world.until('it is replaced, and the rest has gone', isOfSize(world, 3))
      world.invariants.checkSize()
      expect(incarnationOf(world, 'demo-1')).toBe(2)
    },
    30,
  ],
]

describeScenarios(SCENARIOS)

const RARE: readonly NamedScenario[] = [
  [
    'a version is taken back in time, and its level is never raised',
    { update: { minHealthySeconds: 2, progressDeadlineSeconds: 15 } },
    async (world) => {
      await bootstrap(world)
      world.members.levels.set('0.2.0', 1)
      world.upgrade('0.2.0')
      await world.until('every pod has it', isAt(world, '0.2.0'))
      world.upgrade('0.1.0')
      await world.until('every pod is back', isAt(world, '0.1.0'))
      await world.pass(60)
      expect(world.members.raft?.level).toBe(0)
    },
    30,
  ],
  [
    'a template under which no member hears another is replaced without a leader to ask',
    { update: { minHealthySeconds: 2 } },
    async (world) => {
      await bootstrap(world)
      world.note('no member hears another any more')
      world.members.deafTags.add('0.1.0')
      await world.until('nobody leads', () => world.status.leader === undefined)
      world.upgrade('0.1.1')
      await world.until('every pod has the new template', isAt(world, '0.1.1'))
      world.invariants.checkSize()
    },
    30,
  ],
  [
    'a disk is lost while new members find no node, and they make way',
    { update: { minHealthySeconds: 2, progressDeadlineSeconds: 20 } },
    async (world) => {
      await bootstrap(world)
      for (const name of ['demo-3', 'demo-4']) world.kubernetes.unschedulable.add(name)
      world.scale(5)
      await world.until(
        'learners are there',
        () => world.members.raft?.configuration.members.size === 5,
      )
      world.note('demo-1 loses its disk')
      world.kubernetes.lose('demo-1', { withVolume: true })
      await world.until('it is replaced', () => incarnationOf(world, 'demo-1') === 2)
      world.kubernetes.unschedulable.clear()
      await world.until('it has grown', isOfSize(world, 5))
      world.invariants.checkSize()
    },
    30,
  ],
]

describeRareScenarios(RARE)

test.each([1, 2])(
  'a version that does not start is taken back even after it has cost the majority, seed %i',
  async (seed) => {
    const update = { minHealthySeconds: 2, onFailure: 'Rollback', progressDeadlineSeconds: 20 }
    const world = new World({ seed, spec: { update } })
    await bootstrap(world)
    world.kubernetes.brokenTags.add('0.1.2')
    world.upgrade('0.1.2')
    const tagged = (tag: string) => world.kubernetes.pods().filter((pod) => tagOf(pod) === tag)
    await world.until('one pod does not start', () => tagged('0.1.2').length === 1)
    const lost = tagged('0.1.0')[0]!.metadata.name
    world.note(`${lost} is lost, and comes back under the new template`)
    world.kubernetes.lose(lost, { withVolume: false })
    await world.until('it is taken back', () => world.status.failedVersion === '0.1.2')
    await world.until(
      'all is as it was',
      () => tagsOf(world.kubernetes.pods()).join() === '0.1.0' && world.status.ready === '3/3',
    )
    expect(world.members.formedCount).toBe(1)
  },
)
