// The harness of the crash suite: at each change the operator makes, something goes wrong, and every time the same end.
// RAFTBASE_FAULTS=long tries every point, RAFTBASE_FAULT_SLICE=0 to 3 one fourth of them, RAFTBASE_SEEDS widens the search.

import { describe, expect, test } from 'vitest'
import { phaseTold, replicasOf, STATEFUL_SET } from './scene.ts'
import { tagsOf } from './sim-kubernetes.ts'
import { type Accident, World, type WorldOptions } from './world.ts'

const SEEDS = Number(process.env['RAFTBASE_SEEDS'] ?? 1)
const isExhaustive = process.env['RAFTBASE_FAULTS'] === 'long'
const SLICES = 4
/** Which fourth of the points; undefined for all of them. */
const SLICE = isExhaustive ? process.env['RAFTBASE_FAULT_SLICE'] : undefined
const POINTS_MAX = 600
/** At least this often, where not every point is tried: the shortest lives have some 30 changes. */
const EVERY_MAX = 45
/** Of one test: every point of a long scenario takes minutes. */
const TIMEOUT_MS = isExhaustive ? 1_200_000 : 120_000

export type Scenario = (world: World) => Promise<void>
export type NamedScenario = readonly [
  name: string,
  spec: WorldOptions['spec'],
  scenario: Scenario,
  /** One in so many points is tried; all of them with RAFTBASE_FAULTS=long. */
  stride: number,
]

interface Trouble {
  readonly accident: Omit<Accident, 'effect'>
  readonly operators?: 1 | 2
  readonly turnPercent?: number
  /** How much rarer than a plain crash it is tried where not every point is. */
  readonly rarity: number
}

const TROUBLES: readonly (readonly [name: string, trouble: Trouble])[] = [
  ['it is killed before each change', { accident: { operator: 'diesBefore' }, rarity: 1 }],
  ['it is killed after each change', { accident: { operator: 'diesAfter' }, rarity: 1 }],
  ['the answer to each change is lost', { accident: { operator: 'hearsNothing' }, rarity: 9 }],
  [
    'one of two is killed after each change while the other acts',
    { accident: { operator: 'diesAfter' }, operators: 2, rarity: 9 },
  ],
  [
    'it is killed after each change, and everything is seen late',
    { accident: { operator: 'diesAfter' }, turnPercent: 25, rarity: 9 },
  ],
  [
    'a pod is lost after each change',
    { accident: { operator: 'goesOn', losesPod: true }, rarity: 9 },
  ],
  [
    'a pod is lost, and it is killed, after each change',
    { accident: { operator: 'diesAfter', losesPod: true }, rarity: 9 },
  ],
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

/** Each scenario alone, with trouble at its changes, with two operators, with caches far behind. */
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

    test.each(TROUBLES)('%s', async (what, trouble) => {
      let count = 0
      for (let seed = 1; seed <= SEEDS; seed += 1) {
        count += await tryPoints({ seed, spec, scenario, stride }, trouble)
      }
      if (isExhaustive) console.info(`${count} points: ${what}`)
      expect(count).toBeGreaterThan(0)
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

/** Each scenario alone, beside a second operator and with late caches; with every trouble at every change only in the long form. */
export function describeRareScenarios(scenarios: readonly NamedScenario[]): void {
  if (isExhaustive) describeScenarios(scenarios)
  describe.each(scenarios)('%s', (_name, spec, scenario) => {
    test.each([
      { seed: 1, operators: 1 },
      { seed: 2, operators: 2 },
      { seed: 3, operators: 1, turnPercent: 25 },
    ] as const)('%j', async (options) => {
      const world = new World({ ...options, ...(spec === undefined ? {} : { spec }) })
      await scenario(world)
      expect(world.effectCount).toBeGreaterThan(0)
    })
  })
}

/** Until a life is over before the point is reached; returns how many points there were. */
async function tryPoints(
  life: {
    readonly seed: number
    readonly spec: WorldOptions['spec']
    readonly scenario: Scenario
    readonly stride: number
  },
  { accident, rarity, operators, turnPercent }: Trouble,
): Promise<number> {
  const { seed, spec, scenario, stride } = life
  let count = 0
  const every =
    SLICE !== undefined ? SLICES : isExhaustive ? 1 : Math.min(stride * rarity, EVERY_MAX)
  // The two plain crashes are tried at other points than each other where not all are.
  const first =
    SLICE !== undefined
      ? 1 + Number(SLICE)
      : accident.operator === 'diesBefore'
        ? 1
        : 1 + (every >> 1)
  for (let effect = first; effect <= POINTS_MAX; ) {
    const world = new World({
      seed,
      accident: { ...accident, effect },
      ...(spec === undefined ? {} : { spec }),
      ...(operators === undefined ? {} : { operators }),
      ...(turnPercent === undefined ? {} : { turnPercent }),
    })
    await scenario(world)
    if (world.effectCount < effect) return count
    // None where the change was refused: nothing had happened after which anybody could die. The next one is as good.
    count += world.accidentCount
    effect += world.accidentCount === 0 && SLICE === undefined ? 1 : every
  }
  throw new Error(`a life of more than ${POINTS_MAX} changes`)
}
