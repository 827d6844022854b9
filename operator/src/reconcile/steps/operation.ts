// Which operation is under way, and how it goes on: one at a time. What was begun is on record in the status before anything
// is done for it, and it goes on until it has ended, whatever the spec says meanwhile; only a change of size can be turned
// round. Pure.

import { unreachable } from '../../../../lib/assert.ts'
import type { Gate } from '../../api/gates.ts'
import type { OperationStatus, ReplacementStatus } from '../../api/raft-cluster.ts'
import { type Action, NOTHING, stop, type StepResult } from '../actions.ts'
import { type Advance, asking } from './advance.ts'
import type { Facts } from './facts.ts'
import type { Denial } from './gate.ts'
import {
  advanceReplace,
  deferralOf,
  type Loss,
  lossOf,
  recentReplacements,
  wantsWay,
} from './replace.ts'
import { learnersOf, votersOf } from './roster.ts'
import { advanceRollout, isRolloutNeeded } from './rollout.ts'
import { isOverdue } from './deadline.ts'
import { isForeign } from './renderer.ts'
import { type Versions, versionsOf } from './revision.ts'
import { advanceScaleDown, advanceScaleUp, retargeted, scaleNeeded } from './scale.ts'

export interface Undertaking {
  /** As the status shall say it; undefined: nothing is under way. */
  readonly operation: OperationStatus | undefined
  /** What this pass does for it. None in the pass that begins it. */
  readonly actions: readonly Action[]
  /** The operation that has ended with this pass. */
  readonly ended?: OperationStatus
  /** The operation that this one has turned round. */
  readonly turned?: OperationStatus
  /** A lost member that is not replaced yet, and what keeps it from being. */
  readonly deferred?: { readonly member: string; readonly why: string }
  /** The gate that kept this pass from going on. */
  readonly denied?: Gate
  readonly replacements: readonly ReplacementStatus[]
}

/** Which version the template shall name, given how the rollout goes. */
export function versionsFor(facts: Facts, { operation }: Undertaking): Versions {
  const { onFailure } = facts.cluster.spec.update
  const { rollbackVersion } = facts.cluster.status
  const hasFailed =
    operation?.type === 'Rollout' &&
    operation.step === 'WaitReady' &&
    onFailure === 'Rollback' &&
    !isForeign(facts) &&
    // The rollout is one of a version: somebody still runs the one before, if only for want of a majority.
    facts.members.some(({ report }) => report?.version === rollbackVersion) &&
    isOverdue(facts, operation)
  return versionsOf(facts, hasFailed)
}

const MESSAGE_LENGTH_MAX = 1000
const MAKE_WAY = 'MakeWay'
/** Between two looks while something is waited for. */
const OPERATION_SECONDS = 1
const ACTED_SECONDS = 0.25

export function undertakingOf(facts: Facts): Undertaking {
  const replacements = recentReplacements(facts)
  const latched = latchedOf(facts)
  if (!facts.hasFormed || facts.isDeleting) return idle(replacements)
  if (isHeld(facts)) return { operation: latched, actions: [], replacements }
  return latched === undefined ? begin(facts) : goOn(facts, latched)
}

function idle(replacements: readonly ReplacementStatus[]): Undertaking {
  return { operation: undefined, actions: [], replacements }
}

/** People come first. */
function isHeld({ cluster, conflicts, freeze, hasFinalizer }: Facts): boolean {
  return cluster.spec.paused || conflicts.length > 0 || freeze !== undefined || !hasFinalizer
}

function latchedOf({ cluster }: Facts): OperationStatus | undefined {
  const { operation } = cluster.status
  return operation?.type === 'Bootstrap' || operation?.type === 'Delete' ? undefined : operation
}

/**
 * A lost member would be waited for in vain. Everything but a replacement can be taken up again from what there is, once
 * nobody is in the middle of joining.
 */
function goOn(facts: Facts, latched: OperationStatus): Undertaking {
  const replacements = recentReplacements(facts)
  const loss = latched.type === 'Replace' || !facts.isRosterCurrent ? undefined : lossOf(facts)
  const denial = loss === undefined ? undefined : deferralOf(facts, loss)
  if (loss !== undefined && denial === undefined) return beginReplacement(facts, loss)
  const way = loss === undefined ? undefined : makeWay(facts, latched, loss)
  if (way !== undefined) return { ...way, ...deferredOf(loss, denial) }
  const isScale = latched.type === 'ScaleUp' || latched.type === 'ScaleDown'
  const operation = isScale ? retargeted(facts, latched) : latched
  const isTurned = operation.type !== latched.type
  const advance = advanceOf(facts, operation)
  if (advance.isDone === true) {
    const over = { ...idle(replacements), ended: latched, ...deferredOf(loss, denial) }
    return isTurned ? { ...over, turned: latched } : over
  }
  return {
    operation: inStep(facts, operation, advance),
    // What was decided only now is done in the next pass, when it is on record.
    actions: operation === latched ? advance.actions : [],
    ...(isTurned ? { turned: latched } : {}),
    ...(advance.gate === undefined ? {} : { denied: advance.gate }),
    ...deferredOf(loss, denial),
    replacements,
  }
}

function deferredOf(
  loss: Loss | undefined,
  denial: Denial | undefined,
): Pick<Undertaking, 'deferred' | 'denied'> {
  if (loss === undefined || denial === undefined) return {}
  return { deferred: { member: loss.member.name, why: denial.message }, denied: denial.gate }
}

/** New members that do not get any further, because no node takes their pods for instance, are let go for now. */
function makeWay(facts: Facts, latched: OperationStatus, loss: Loss): Undertaking | undefined {
  const isBegun = latched.step === MAKE_WAY
  if (latched.type !== 'ScaleUp' || !wantsWay(facts, loss)) return undefined
  if (!isBegun && !isOverdue(facts, latched)) return undefined
  const learner = learnersOf(facts.roster).at(-1)!
  const { name, raftId } = learner
  const advance = asking(facts, {
    step: MAKE_WAY,
    message: `${name} has not joined in time and is removed for now: ${loss.member.name} is lost`,
    member: name,
    change: { type: 'remove', name, id: raftId },
  })
  return {
    operation: inStep(facts, latched, advance),
    actions: isBegun ? advance.actions : [],
    replacements: recentReplacements(facts),
  }
}

/** Healing comes before anything that somebody has asked for. */
function begin(facts: Facts): Undertaking {
  const replacements = recentReplacements(facts)
  const { now } = facts.observed
  // As long as nobody says who belongs to the cluster, nothing is begun but what brings its pods back.
  const loss = facts.isRosterCurrent ? lossOf(facts) : undefined
  const denial = loss === undefined ? undefined : deferralOf(facts, loss)
  if (loss !== undefined && denial === undefined) return beginReplacement(facts, loss)
  const deferred = deferredOf(loss, denial)
  if (isRolloutNeeded(facts)) {
    const rollout: OperationStatus = { type: 'Rollout', step: 'Begin', startedAt: now }
    return { ...started(facts, rollout, replacements), ...deferred }
  }
  const { replicas } = facts.cluster.spec
  const type = facts.isRosterCurrent ? scaleNeeded(facts, replicas) : undefined
  if (type === undefined) return { ...idle(replacements), ...deferred }
  const operation: OperationStatus = {
    type,
    step: 'Begin',
    fromReplicas: facts.electorate.voters,
    toReplicas: replicas,
    startedAt: now,
  }
  return { ...started(facts, operation, replacements), ...deferred }
}

function beginReplacement(facts: Facts, { member, reason }: Loss): Undertaking {
  const { now } = facts.observed
  const replacements = recentReplacements(facts)
  const volume = reason === 'AwaitingReplacement' ? undefined : member.claim?.uid
  const operation: OperationStatus = {
    type: 'Replace',
    step: 'Begin',
    member: member.name,
    startedAt: now,
    ...(volume === undefined ? {} : { volume }),
  }
  const begun = { member: member.name, startedAt: now, reason }
  return started(
    facts,
    operation,
    reason === 'Unfinished' ? replacements : [...replacements, begun],
  )
}

function started(
  facts: Facts,
  operation: OperationStatus,
  replacements: readonly ReplacementStatus[],
): Undertaking {
  const advance = advanceOf(facts, operation)
  return { operation: inStep(facts, operation, advance), actions: [], replacements }
}

function advanceOf(facts: Facts, operation: OperationStatus): Advance {
  switch (operation.type) {
    case 'ScaleUp':
      return advanceScaleUp(facts, operation)
    case 'ScaleDown':
      return advanceScaleDown(facts, operation)
    case 'Replace':
      return advanceReplace(facts, operation)
    case 'Rollout':
      return advanceRollout(facts, operation)
    case 'Bootstrap':
    case 'Delete':
      return { step: operation.step, message: '', actions: [], isDone: true }
    default:
      return unreachable(operation.type)
  }
}

/** The time of a step is that of its beginning. */
function inStep(facts: Facts, operation: OperationStatus, advance: Advance): OperationStatus {
  const { observed } = facts
  const { step, member } = advance
  // Whom a replacement is about does not change with its steps.
  const about = operation.type === 'Replace' ? operation.member : member
  const isSame = operation.step === step && operation.member === about
  const { member: _, ...rest } = operation
  const said = observed.refusal === undefined ? '' : ` (${observed.refusal.message})`
  return {
    ...rest,
    step,
    ...(about === undefined ? {} : { member: about }),
    stepStartedAt: isSame ? (operation.stepStartedAt ?? observed.now) : observed.now,
    message: `${about === undefined ? '' : `${about}: `}${advance.message}${said}`.slice(
      0,
      MESSAGE_LENGTH_MAX,
    ),
  }
}

/** What the spec asks for that is not what is under way, in words; undefined: nothing. */
export function laterThan(
  facts: Facts & { readonly undertaking: Undertaking },
): string | undefined {
  const { cluster, roster, isRosterCurrent, undertaking } = facts
  const { operation } = undertaking
  const { replicas } = cluster.spec
  const isScale = operation?.type === 'ScaleUp' || operation?.type === 'ScaleDown'
  if (operation === undefined) return undefined
  if (operation.type !== 'Rollout' && isRolloutNeeded(facts)) return 'the rollout of the template'
  if (isScale || !isRosterCurrent) return undefined
  // Whoever is being replaced has no vote in between.
  const replaced = operation.type === 'Replace' ? [operation.member] : []
  const size = new Set([...votersOf(roster).map(({ name }) => name), ...replaced]).size
  return size === replicas ? undefined : `the change from ${size} to ${replicas} members`
}

/** The pass ends with it: what it did changes everything else. */
export function planOperation({ undertaking }: { readonly undertaking: Undertaking }): StepResult {
  const { operation, actions, ended } = undertaking
  if (operation === undefined)
    return ended === undefined ? NOTHING : stop(ACTED_SECONDS, 'OperationEnded')
  return stop(actions.length > 0 ? ACTED_SECONDS : OPERATION_SECONDS, operation.step, actions)
}
