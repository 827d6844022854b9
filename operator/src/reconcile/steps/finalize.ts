// After the last pod of a rollout: as long as it has not proved itself, the version before is the way back. Then the way back is
// closed, and what an older version would not understand may be used. In that order: once the level is raised, members of the
// version before refuse to start, and spec.version must not lead there any more. That the level is still to be raised is seen
// by the members alone, so that a crash in between, or a status that was lost, needs nothing of its own. Pure.

import { NOTHING, stop, type StepResult } from '../actions.ts'
import { askLeader } from './advance.ts'
import type { Facts } from './facts.ts'
import { mayDisrupt } from './gate.ts'
import type { Undertaking } from './operation.ts'
import { updateRevision, type Versions, versionIn } from './revision.ts'
import { learnersOf, votersOf } from './roster.ts'

/** Between two looks while the level is being raised. */
const RAISED_SECONDS = 0.25

/** The versions, with the way back closed once nobody needs it any more. */
export function withoutWayBack(
  facts: Facts,
  { undertaking, versions }: { readonly undertaking: Undertaking; readonly versions: Versions },
): Versions {
  const { rollback, wanted } = versions
  // Where the way back is what runs, it leads back from a spec that was not followed.
  if (rollback === undefined || rollback === wanted) return versions
  if (!isProven(facts, { undertaking, versions })) return versions
  return { ...versions, rollback: undefined }
}

/** Every member has run the template without trouble for as long as a step of a rollout may take. */
function isProven(
  facts: Facts,
  { undertaking, versions }: { readonly undertaking: Undertaking; readonly versions: Versions },
): boolean {
  const { cluster, roster, members, statefulSet, hasFormed, isDeleting } = facts
  if (!hasFormed || isDeleting || isHeldUp(facts)) return false
  if (undertaking.operation !== undefined || undertaking.ended !== undefined) return false
  if (versions.failed !== undefined || versionIn(statefulSet) !== versions.wanted) return false
  const revision = updateRevision(facts)
  if (revision === undefined || learnersOf(roster).length > 0) return false
  if (members.some(({ pod }) => pod?.revision !== revision)) return false
  const voters = votersOf(roster).map(({ name }) => name)
  const healthySeconds = cluster.spec.update.progressDeadlineSeconds
  return mayDisrupt(facts, { voters, isPlanned: true, healthySeconds }) === undefined
}

function isHeldUp({ cluster, conflicts, hasFinalizer }: Facts): boolean {
  return cluster.spec.paused || conflicts.length > 0 || !hasFinalizer
}

/** The level that every member understands; undefined when it is in force, or not everybody has told. */
function levelOwed({ members, electorate }: Facts): number | undefined {
  const known = members.map(({ report }) => report?.knownFeatureLevel)
  const inForce = electorate.leader?.member.report?.featureLevel
  if (inForce === undefined || known.length === 0) return undefined
  const level = Math.min(...known.map((one) => one ?? 0))
  return level > inForce ? level : undefined
}

/** In the pass that closes the way back the status is written first; should it end there, the next one goes on. */
export function planFinalize(
  model: Facts & { readonly undertaking: Undertaking; readonly versions: Versions },
): StepResult {
  if (model.versions.rollback !== undefined) return NOTHING
  const level = levelOwed(model)
  if (level === undefined || !isProven(model, model)) return NOTHING
  const action = askLeader(model, { type: 'finalize', level })
  return action === undefined ? NOTHING : stop(RAISED_SECONDS, 'Finalize', [action])
}
