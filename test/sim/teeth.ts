// Runs seeds against the broken build that was loaded (mutate.ts) until a checker catches it, and prints one line of JSON.

import { type Mutant, MUTANTS, type MutantConditions } from './mutants.ts'
import { type Plan, planOf } from './plan.ts'
import { describeFailure, type RunFailure, runPlan } from './run.ts'
import { Scenario } from './scenario.ts'
import { STORIES } from './stories.ts'

/** The plan of a seed, with what the mutant needs to show at all. Damage and changes of membership do not go together. */
function conditioned(seed: number, conditions: MutantConditions): Plan {
  const { damage, doubles, membership, compaction = false, operations = false } = conditions
  // What is compacted cannot be looked back at: other mutants are caught sooner without.
  const plan = planOf(seed, {
    reconfigures: membership === true,
    compacts: compaction,
    operates: operations,
  })
  const { network, chaosMs, faults } = plan
  const count = damage === true ? 20 : 0
  const extra = Array.from({ length: count }, (_, i) => {
    const atMs = 2000 + Math.floor((i * chaosMs) / (count + 1))
    const number = plan.seed * 31 + i
    return i % 2 === 0
      ? ({
          atMs,
          action: { type: 'rot', member: number, file: number, at: number * 7919 },
        } as const)
      : ({
          atMs,
          action: { type: 'kill', member: number - 1, losesPower: 'no', downMs: 200 },
        } as const)
  })
  const kept =
    damage === true ? faults.filter(({ action }) => action.type !== 'membership') : faults
  return {
    ...plan,
    reconfigures: plan.reconfigures && damage !== true,
    faults: [...kept, ...extra].toSorted((a, b) => a.atMs - b.atMs),
    network: doubles === true ? { ...network, doubled: Math.max(network.doubled, 100) } : network,
  }
}

const mutant = MUTANTS.find(({ name }) => name === process.env['SIM_MUTANT'])!
process.on('unhandledRejection', (error) => {
  throw error
})
async function tell(seed: number, story: keyof typeof STORIES): Promise<RunFailure | undefined> {
  const scenario = await Scenario.started({ seed })
  try {
    await STORIES[story](scenario)
    await scenario.end()
  } catch (error) {
    return describeFailure(error)
  }
  return undefined
}

/** Those that are searched; first the one that is known to show it, so that a run of the tests does not search. */
function* seeds({ fromSeed = 1, seedsMax, shownBy }: Mutant): Generator<number> {
  const isWide = process.env['SIM_TEETH'] === 'wide'
  if (shownBy !== undefined && !isWide) yield shownBy
  for (let seed = fromSeed; seed < fromSeed + seedsMax; seed++) yield seed
}

for (const seed of seeds(mutant)) {
  const failure =
    mutant.story === undefined
      ? (await runPlan({ plan: conditioned(seed, mutant.with ?? {}) })).failure
      : await tell(seed, mutant.story)
  if (failure === undefined) continue
  const { checker, what } = failure
  console.log(JSON.stringify({ seed, checker, what: what.slice(0, 300) }))
  process.exit(0)
}
console.log(JSON.stringify({ seed: undefined }))
