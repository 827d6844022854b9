// The harness of the crash suite: the operator killed before and after each change it makes, restarted with empty memory and
// fresh caches, and every time the same end. RAFTBASE_SEEDS widens the search, RAFTBASE_FAULTS=long tries every point.

import { describe, expect, test } from 'vitest'
import { phaseTold, replicasOf, STATEFUL_SET } from './scene.ts'
import { tagsOf } from './sim-kubernetes.ts'
import { World, type WorldOptions } from './world.ts'

const SEEDS = Number(process.env['RAFTBASE_SEEDS'] ?? 1)
const isExhaustive = process.env['RAFTBASE_FAULTS'] === 'long'
const CRASHES_MAX = 400
/** Of one test: every point of a long scenario takes minutes. */
const TIMEOUT_MS = isExhaustive ? 1_200_000 : 120_000

export type Scenario = (world: World) => Promise<void>
export type NamedScenario = readonly [
  name: string,
  spec: WorldOptions['spec'],
  scenario: Scenario,
  /** One in so many points of a crash is tried; all of them with RAFTBASE_FAULTS=long. */
  stride: number,
]

export const isHealthy = (world: World) => () =>
  world.status.phase === 'Healthy' && world.status.clusterId !== undefined

/** The members were told that their cluster runs, and the pods are labelled. */
export const isSettled = (world: World) => () => {
  const labels = world.kubernetes
    .pods()
    .map(({ metadata }) => (metadata['labels'] as Record<string, string>)['raftbase.io/role'])
  const set = world.store.find(STATEFUL_SET)
  return (
    isHealthy(world)() &&
    replicasOf(set) === replicasOf(world.cluster) &&
    world.status.operation === undefined &&
    phaseTold(world.store) === 'Running' &&
    labels.filter((label) => label === 'leader').length === 1 &&
    labels.every((label) => label !== undefined)
  )
}

export const isOfSize = (world: World, replicas: number) => () =>
  world.status.votingMembers === replicas &&
  world.status.members?.length === replicas &&
  replicasOf(world.cluster) === replicas &&
  world.kubernetes.pods().length === replicas &&
  isSettled(world)()

export const isAt = (world: World, version: string) => () =>
  tagsOf(world.kubernetes.pods()).join() === version &&
  world.status.updatedReplicas === world.kubernetes.pods().length &&
  isSettled(world)()

export function incarnationOf(world: World, name: string): number | undefined {
  return world.status.members?.find((member) => member.name === name)?.incarnation
}

export async function bootstrap(world: World): Promise<void> {
  world.createCluster()
  await world.until('the cluster is healthy', isSettled(world))
  world.invariants.checkSize()
}

export async function destroy(world: World): Promise<void> {
  world.deleteCluster()
  await world.until('the cluster is gone', () => world.cluster === undefined)
  await world.until('its objects are gone', () => world.kubernetes.pods().length === 0)
}

/** Each scenario alone, with a crash before and after changes, with two operators, with caches far behind. */
export function describeScenarios(scenarios: readonly NamedScenario[]): void {
  describe.each(scenarios)('%s', { timeout: TIMEOUT_MS }, (_name, spec, scenario, stride) => {
    test.each(Array.from({ length: SEEDS * 3 }, (_, index) => index + 1))(
      'without a crash, seed %i',
      async (seed) => {
        const world = new World({ seed, ...(spec === undefined ? {} : { spec }) })
        await scenario(world)
        expect(world.effectCount).toBeGreaterThan(0)
      },
    )

    test.each(['before', 'after'] as const)('with a crash %s each change', async (when) => {
      for (let seed = 1; seed <= SEEDS; seed += 1) {
        const step = isExhaustive ? 1 : stride
        const first = 1 + (when === 'before' ? 0 : step >> 1)
        for (let effect = first; effect <= CRASHES_MAX; effect += step) {
          const world = new World({
            seed,
            ...(spec === undefined ? {} : { spec }),
            crashAt: { effect, when },
          })
          await scenario(world)
          if (world.crashCount === 0) break
          expect(effect).toBeLessThan(CRASHES_MAX)
        }
      }
    })

    test('with two operators that act at the same time', async () => {
      for (let seed = 1; seed <= SEEDS * 4; seed += 1) {
        const world = new World({ seed, ...(spec === undefined ? {} : { spec }), operators: 2 })
        await scenario(world)
        expect(world.effectCount).toBeGreaterThan(0)
      }
    })

    test('with caches that are far behind', async () => {
      for (let seed = 1; seed <= SEEDS * 2; seed += 1) {
        const world = new World({ seed, ...(spec === undefined ? {} : { spec }), turnPercent: 25 })
        await scenario(world)
        expect(world.effectCount).toBeGreaterThan(0)
      }
    })
  })
}
