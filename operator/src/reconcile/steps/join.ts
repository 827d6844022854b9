// How one name becomes a member: a blank volume, an identity that was never used, a pod, the log of the others, and the
// word to everybody that its disk holds promises from now on. Then it may get its vote. Pure.

import { claimName, memberName, memberUrl, PORTS } from '../../api/names.ts'
import type { OperationStatus } from '../../api/raft-cluster.ts'
import type { ClaimFacts, MemberReport, PodFacts } from '../observed.ts'
import { acting, type Advance, asking, waiting } from './advance.ts'
import { isOverdue } from './deadline.ts'
import type { MemberView } from './members.ts'
import type { Facts } from './facts.ts'
import type { RosterEntry } from './roster.ts'
import { replicasOf } from './wanted.ts'

/** Of the log. The leader itself refuses beyond it. */
const CATCH_UP_ENTRIES = 1000

/** What a process says of a disk that a new member cannot begin on. */
const SPOILED: ReadonlySet<string> = new Set(['Corrupt', 'Tombstoned', 'AwaitingReplacement'])

/** In the order in which they come. */
const STEPS = ['DropLearner', 'PrepareVolume', 'AddLearner', 'StartPod', 'CatchUp', 'Announce']

export type Joining =
  | { readonly kind: 'underWay'; readonly advance: Advance }
  | { readonly kind: 'ready'; readonly learner: RosterEntry }

/** `learner` may be there already, from an earlier pass. */
export function joinOf(facts: Facts, ordinal: number, operation: OperationStatus): Joining {
  const name = memberName(facts.cluster.metadata.name, ordinal)
  const learner = facts.roster.entries.findLast(
    (entry) => entry.name === name && entry.role === 'learner',
  )
  const advance =
    learner === undefined
      ? begin(facts, { name, ordinal, operation })
      : follow(facts, { learner, operation })
  if (advance !== undefined) return { kind: 'underWay', advance }
  return { kind: 'ready', learner: learner! }
}

/** The one that is least far, which is what the others wait for. */
export function leastFar(advances: readonly Advance[]): Advance | undefined {
  return advances.toSorted((left, right) => STEPS.indexOf(left.step) - STEPS.indexOf(right.step))[0]
}

interface Newcomer {
  readonly name: string
  readonly ordinal: number
  readonly operation: OperationStatus
}

/** Nothing of it is in the membership: whatever lies under its name belongs to nobody. */
function begin(facts: Facts, newcomer: Newcomer): Advance {
  const { name, ordinal } = newcomer
  const pod = facts.observed.pods.find((one) => one.name === name)
  const claim = facts.observed.claims.find((one) => one.ordinal === ordinal)
  return prepare(facts, newcomer, { pod, claim }) ?? addLearner(facts, name)
}

interface Found {
  readonly pod: PodFacts | undefined
  readonly claim: ClaimFacts | undefined
}

/** Undefined once a new member can begin: nothing is there, or a process that says it is blank. */
function prepare(facts: Facts, newcomer: Newcomer, { pod, claim }: Found): Advance | undefined {
  const { name, ordinal, operation } = newcomer
  const step = 'PrepareVolume'
  const hasPlace = (replicasOf(facts.statefulSet) ?? 0) > ordinal
  if (claim === undefined) {
    if (pod === undefined && !hasPlace) return undefined
    return waiting(step, 'waiting for its new volume', name)
  }
  if (claim.clusterUid !== facts.token) {
    return waiting(step, `${claim.name} may hold data of another cluster; delete it`, name)
  }
  const view = facts.views.find((one) => one.name === name)
  const state = view?.report?.state === 'parked' ? view.report.dataDirectory.state : undefined
  if (claim.isTerminating) return removePod(pod, name)
  if (state === 'Fresh' && view?.isFresh === true && claim.uid !== operation.volume) {
    return undefined
  }
  const isLeft = pod === undefined && !hasPlace
  const isUnusable = claim.phase === 'Lost' || claim.stranded !== undefined
  const isOld = claim.uid === operation.volume || isUnusable || SPOILED.has(state ?? '')
  if (!isLeft && !isOld) return waiting(step, 'waiting for its pod to say what it found', name)
  // What the leader has not confirmed in this pass is no reason to delete anything.
  if (!facts.isRosterCurrent) return waiting(step, 'waiting for a leader that is confirmed', name)
  const message = `${claim.name} is of a member that is none any more, and is deleted`
  const action = { type: 'deleteClaim', name: claim.name, uid: claim.uid } as const
  return acting(step, message, name, action)
}

/** A claim is gone when no pod uses it. */
function removePod(pod: PodFacts | undefined, name: string): Advance {
  const step = 'PrepareVolume'
  if (pod === undefined || pod.isTerminating) {
    return waiting(step, 'waiting for its old volume to be gone', name)
  }
  const reason = 'it gets a new volume'
  const action = { type: 'replacePod', name, uid: pod.uid, reason } as const
  return acting(step, `its pod ends, because ${reason}`, name, action)
}

export function addLearner(facts: Facts, name: string): Advance {
  const { cluster, recorded, roster } = facts
  const known = [
    ...roster.entries.filter((entry) => entry.name === name),
    ...(recorded?.members ?? []).filter((entry) => entry.name === name),
    ...(cluster.status.members ?? []).filter((member) => member.name === name),
  ]
  const incarnation = Math.max(0, ...known.map((one) => one.incarnation ?? 0)) + 1
  const change = {
    type: 'add',
    name,
    incarnation,
    peerUrls: [memberUrl(cluster, name, PORTS.peer)],
  } as const
  return asking(facts, {
    step: 'AddLearner',
    message: `${name} is added without a vote`,
    member: name,
    change,
  })
}

/** Undefined once it may get its vote. */
function follow(
  facts: Facts,
  { learner, operation }: { readonly learner: RosterEntry; readonly operation: OperationStatus },
): Advance | undefined {
  const { name, ordinal } = learner
  const view = facts.views.find((one) => one.name === name)
  const report = view?.report
  if (view === undefined || report === undefined || !view.isFresh) {
    return waiting('StartPod', silence(view, ordinal, facts), name)
  }
  if (report.state === 'parked' && isSpoiled(facts, learner, report)) {
    return drop(facts, learner, `its volume is ${report.dataDirectory.state}`)
  }
  if (report.state !== 'running' || report.memberId !== learner.raftId) {
    return waiting('StartPod', view.message ?? 'it has not joined yet', name)
  }
  const behind = lagOf(facts, learner)
  if (behind !== undefined) {
    if (operation.step !== 'CatchUp' || !isOverdue(facts, operation))
      return waiting('CatchUp', behind, name)
    return drop(facts, learner, `it has not caught up within the deadline: ${behind}`)
  }
  if (report.membershipFile?.listed === 'Voter') return undefined
  const message = 'waiting until its node knows that its disk must not be replaced any more'
  return waiting('Announce', message, name)
}

/** Blank, it waits only as long as it has not read that it may join; or for ever, once it was told to be a voter. */
function isSpoiled(facts: Facts, learner: RosterEntry, report: MemberReport): boolean {
  const { state } = report.dataDirectory
  if (state !== 'AwaitingReplacement') return SPOILED.has(state)
  const { recorded } = facts
  const told = recorded?.members.find(({ name }) => name === learner.name)
  const hasRead = report.membershipFile?.epoch === recorded?.epoch
  return hasRead && told?.incarnation === learner.incarnation && told.state === 'Voter'
}

function silence(view: MemberView | undefined, ordinal: number, facts: Facts): string {
  if (view?.pod !== undefined) return view.message ?? 'it has not answered yet'
  const claim = claimName(facts.cluster.metadata.name, ordinal)
  return `waiting for its pod and for ${claim}`
}

/** As its leader has it; undefined when it has caught up. */
function lagOf({ electorate }: Facts, { raftId }: RosterEntry): string | undefined {
  const leader = electorate.leader?.member.report
  const peer = leader?.peers.find(({ id }) => id === raftId)
  if (leader?.committed === undefined || peer === undefined) return 'its leader has not met it yet'
  if (peer.progress === 'snapshot') return 'it is being sent a snapshot'
  const lag = leader.committed - (peer.match ?? 0)
  if (peer.active === false) return 'its leader does not hear of it'
  return lag > CATCH_UP_ENTRIES || peer.progress === 'probe'
    ? `it has to catch up ${rounded(lag)} entries`
    : undefined
}

/** To its power of ten, so that the status does not tick. */
function rounded(lag: number): string {
  return lag < CATCH_UP_ENTRIES ? 'a few' : `about ${10 ** Math.floor(Math.log10(lag))}`
}

/** Without a vote, nobody counts on it: it starts anew on another disk. */
function drop(facts: Facts, { name, raftId }: RosterEntry, why: string): Advance {
  return asking(facts, {
    step: 'DropLearner',
    message: `${name} is removed and added anew: ${why}`,
    member: name,
    change: { type: 'remove', name, id: raftId },
  })
}
