// Growing and shrinking, as far as spec.replicas says. New members come in pairs as learners and get their votes in one
// joint change, so that no even number of voters is passed through on the way up; members leave one at a time, the highest
// ordinal first. Everything is found out from the members and objects: a new operator goes on where the last one stopped. Pure.

import type { OperationStatus } from '../../api/raft-cluster.ts'
import { acting, type Advance, type Advancing, asking, denied, DONE, waiting } from './advance.ts'
import { type Denial, mayDisrupt } from './gate.ts'
import { joinOf, leastFar } from './join.ts'
import type { MemberView } from './members.ts'
import type { Facts } from './facts.ts'
import { ordinalsBelow, type RosterEntry, votersOf } from './roster.ts'
import { replicasOf } from './wanted.ts'

/** The core takes two learners. */
const LEARNERS_MAX = 2

/** Undefined when the cluster has the size it shall have. */
export function scaleNeeded(facts: Facts, target: number): 'ScaleUp' | 'ScaleDown' | undefined {
  const extra = facts.roster.entries.some(({ ordinal }) => ordinal >= target)
  if (extra) return 'ScaleDown'
  return missingOf(facts, target).length > 0 ? 'ScaleUp' : undefined
}

/** What the spec says by now, for an operation that is under way: on, further, or back. */
export function retargeted(facts: Facts, operation: OperationStatus): OperationStatus {
  const { replicas } = facts.cluster.spec
  const { toReplicas } = operation
  if (toReplicas === undefined || replicas === toReplicas) return operation
  const wasUp = operation.type === 'ScaleUp'
  const goesOn = wasUp ? replicas > toReplicas : replicas < toReplicas
  if (goesOn) return { ...operation, toReplicas: replicas }
  return {
    type: wasUp ? 'ScaleDown' : 'ScaleUp',
    step: 'TurnRound',
    fromReplicas: toReplicas,
    toReplicas: replicas,
    startedAt: facts.observed.now,
  }
}

export const advanceScaleUp: Advancing = (facts, operation) => {
  const target = operation.toReplicas ?? 0
  const batch = missingOf(facts, target).slice(0, LEARNERS_MAX)
  if (batch.length === 0) return verify(facts, target)
  const joining = batch.map((ordinal) => joinOf(facts, ordinal, operation))
  const first = leastFar(joining.flatMap((one) => (one.kind === 'underWay' ? [one.advance] : [])))
  if (first !== undefined) return first
  const learners = joining.flatMap((one) => (one.kind === 'ready' ? [one.learner] : []))
  return promote(facts, learners)
}

export function promote(facts: Facts, learners: readonly RosterEntry[]): Advance {
  const names = learners.map(({ name }) => name)
  const step = 'Promote'
  const voters = votersOf(facts.roster).map(({ name }) => name)
  const against = mayDisrupt(facts, { voters, isPlanned: false })
  if (against !== undefined) return denied(step, against, names[0])
  return asking(facts, {
    step,
    message: `${names.join(' and ')} ${names.length === 1 ? 'gets its vote' : 'get their votes'}`,
    member: names[0]!,
    change: { type: 'promote', names, ids: learners.map(({ raftId }) => raftId) },
  })
}

/** Ordinals below `target` that have no vote yet. */
function missingOf({ roster }: Facts, target: number): readonly number[] {
  const there = new Set(votersOf(roster).map(({ ordinal }) => ordinal))
  return Array.from({ length: target }, (_, ordinal) => ordinal).filter(
    (ordinal) => !there.has(ordinal),
  )
}

function verify(facts: Facts, target: number): Advance {
  const sick = facts.members.find(({ healthy, ordinal }) => !healthy && ordinal < target)
  if (sick !== undefined) {
    return waiting('Verify', sick.message ?? 'it does not serve yet', sick.name)
  }
  return DONE
}

export const advanceScaleDown: Advancing = (facts, operation) => {
  const target = operation.toReplicas ?? 0
  const left = leftBehind(facts, target)
  if (left !== undefined) return left
  const extra = facts.roster.entries.filter(({ ordinal }) => ordinal >= target)
  const learner = extra.findLast(({ role }) => role === 'learner')
  if (learner !== undefined) return removeLearner(facts, learner)
  const voter = extra.at(-1)
  return voter === undefined ? DONE : removeVoter(facts, voter, target)
}

/** Pod and volume of whoever was removed last, before the next one is. */
function leftBehind(facts: Facts, target: number): Advance | undefined {
  const { cluster, observed, roster, statefulSet, token, isRosterCurrent } = facts
  const below = ordinalsBelow(roster.entries)
  const pod = observed.pods.findLast(({ ordinal }) => ordinal >= below)
  if (pod !== undefined || (replicasOf(statefulSet) ?? 0) > below) {
    return waiting('StopPod', 'waiting for its pod to end', pod?.name)
  }
  if (cluster.spec.storage.whenScaled !== 'Delete') return undefined
  const claim = observed.claims.findLast(
    ({ ordinal, clusterUid }) =>
      ordinal >= Math.max(below, target) && clusterUid === token && ordinal <= ORDINALS_MAX,
  )
  if (claim === undefined) return undefined
  // The operation is not over before that: nothing would delete it later.
  if (!isRosterCurrent) {
    const message = 'waiting for a leader that says that its member is gone'
    return waiting('DeleteVolume', message, claim.name)
  }
  const message = `${claim.name} goes with its member (spec.storage.whenScaled)`
  if (claim.isTerminating) return waiting('DeleteVolume', message, claim.name)
  const action = { type: 'deleteClaim', name: claim.name, uid: claim.uid } as const
  return acting('DeleteVolume', message, claim.name, action)
}

const ORDINALS_MAX = 64

function removeLearner(facts: Facts, { name, raftId }: RosterEntry): Advance {
  return asking(facts, {
    step: 'RemoveMember',
    message: `${name} has no vote and is removed`,
    member: name,
    change: { type: 'remove', name, id: raftId },
  })
}

function removeVoter(facts: Facts, { name, raftId }: RosterEntry, target: number): Advance {
  const voters = votersOf(facts.roster)
    .filter((entry) => entry.raftId !== raftId)
    .map((entry) => entry.name)
  const against = mayDisrupt(facts, { subject: name, voters, isPlanned: true })
  if (facts.electorate.leader?.member.name === name) {
    return handOver(facts, { name, against, isBest: ({ ordinal }) => ordinal < target })
  }
  const step = 'RemoveMember'
  if (against !== undefined) return denied(step, against, name)
  return asking(facts, {
    step,
    message: `${name} is removed`,
    member: name,
    change: { type: 'remove', name, id: raftId },
  })
}

/** Leadership goes to whoever has applied most, of the best first. */
export function handOver(
  facts: Facts,
  options: {
    readonly name: string
    readonly against: Denial | undefined
    readonly isBest: (member: MemberView) => boolean
  },
): Advance {
  const { name, against, isBest } = options
  const step = 'TransferLeadership'
  if (against !== undefined) return denied(step, against, name)
  const heir = facts.members
    .filter((member) => member.name !== name && member.isVoter && member.healthy)
    .toSorted(
      (left, right) =>
        Number(isBest(right)) - Number(isBest(left)) ||
        (right.report?.applied ?? 0) - (left.report?.applied ?? 0),
    )[0]
  if (heir === undefined) return waiting(step, 'nobody else can lead', name)
  return asking(facts, {
    step,
    message: `${heir.name} takes over from ${name}`,
    member: name,
    change: { type: 'transfer', target: heir.name },
  })
}
