// Whether a member may be disturbed or the membership changed now: the one place that says so, for every operation. It
// answers with the first thing that speaks against it, by name and for people to read: without figures that tick, because it is
// shown in the status. Pure.

import type { Gate } from '../../api/gates.ts'
import type { Facts } from './facts.ts'
import type { MemberView } from './members.ts'

/** Log entries a voter may be behind what is committed while something else is taken away from the cluster. */
const LAG_ENTRIES_MAX = 1000

/** One that is closed now. */
export interface Denial {
  readonly gate: Gate
  readonly message: string
}

export interface Disruption {
  /** Whom it takes away, if anybody; what is wrong with this one does not count. */
  readonly subject?: string
  /** Names of the voters there are when it is done. */
  readonly voters: readonly string[]
  /** Not to heal something: then everything that stays has to be well, and to have been so for a while. */
  readonly isPlanned: boolean
  /** How long that is, where it is not `update.minHealthySeconds`. */
  readonly healthySeconds?: number
}

/** Undefined: nothing speaks against it. */
export function mayDisrupt(facts: Facts, disruption: Disruption): Denial | undefined {
  const { electorate, freeze, isRosterCurrent, views } = facts
  const { subject, voters, isPlanned } = disruption
  if (freeze !== undefined) return denial('Frozen', freeze.message)
  const leader = electorate.leader?.member
  if (leader === undefined) return denial('NoLeader', 'no leader is confirmed by a majority')
  if (!leader.isFresh || !leader.healthy || !isRosterCurrent) {
    const message = `${leader.name} leads and has not confirmed a read in this pass`
    return denial('LeaderNotConfirmed', message)
  }
  const others = views.filter(({ name, isVoter }) => isVoter && name !== subject)
  const ending = others.find(({ pod }) => pod?.isTerminating === true)
  if (ending !== undefined) return denial('MemberEnding', `${ending.name} is ending`)
  const staying = views.filter(({ name }) => voters.includes(name) && name !== subject)
  const healthy = staying.filter(isServing).length
  const quorum = Math.floor(voters.length / 2) + 1
  if (healthy < quorum) {
    const message = `${healthy} of ${voters.length} voters would be healthy, ${quorum} are needed`
    return denial('Quorum', message)
  }
  const { minHealthySeconds } = facts.cluster.spec.update
  const seconds = disruption.healthySeconds ?? minHealthySeconds
  return isPlanned ? unwell(facts, staying, seconds) : undefined
}

export function denial(gate: Gate, message: string): Denial {
  return { gate, message }
}

function isServing({ healthy, isFresh }: MemberView): boolean {
  return healthy && isFresh
}

/** A planned disturbance waits until all that stay are well. */
function unwell(
  facts: Facts,
  staying: readonly MemberView[],
  healthySeconds: number,
): Denial | undefined {
  const { cluster, observed, electorate } = facts
  const committed = electorate.leader?.member.report?.committed ?? 0
  for (const { name, healthy, reason, report, isFresh, pod } of staying) {
    if (!healthy || !isFresh) {
      return denial('MemberUnhealthy', `${name} is not healthy (${reason ?? 'silent'})`)
    }
    const lag = committed - (report?.applied ?? 0)
    if (lag > LAG_ENTRIES_MAX) {
      return denial('MemberBehind', `${name} is more than ${LAG_ENTRIES_MAX} entries behind`)
    }
    const before = cluster.status.members?.find((member) => member.name === name)
    if (before === undefined || !before.healthy) {
      return denial('MinHealthySeconds', `${name} has just become healthy`)
    }
    // A restart that was over before anybody looked is in no status.
    const since = [before.lastTransitionTime, pod?.runningSince ?? ''].toSorted().at(-1)!
    const seconds = (Date.parse(observed.now) - Date.parse(since)) / 1000
    if (seconds < healthySeconds) {
      const message = `${name} has been healthy for less than ${healthySeconds} s`
      return denial('MinHealthySeconds', message)
    }
  }
  return undefined
}
