// The first start: the target is latched, then membership and StatefulSet are made for all N at once, then a majority says
// that the cluster exists, and that is latched for ever. Whatever has happened in between, a cluster that may already hold
// data is never made again. Pure.

import type { RaftClusterStatus } from '../../api/raft-cluster.ts'
import { NOTHING, type StepResult, stop } from '../actions.ts'
import type { Model } from './model.ts'

/** After which a first start is said to be stalled. It goes on all the same. */
export const BOOTSTRAP_DEADLINE_SECONDS = 600

/**
 * What the status has to say before this pass does anything. What was decided is kept; something new is decided only when
 * the pass goes as far as acting on it, or when the members themselves say that the cluster exists.
 */
export function latchesOf(model: Model): Pick<RaftClusterStatus, 'bootstrap' | 'clusterId'> {
  const { cluster, hasFormed, founders, token, clusterId, observed } = model
  const { bootstrap: before, clusterId: knownId } = cluster.status
  const isDecided = before !== undefined || (!isBlocked(model) && (hasFormed || mayStart(model)))
  const completedAt =
    before?.completedAt ?? (hasFormed && !isBlocked(model) ? observed.now : undefined)
  const id = knownId ?? (hasFormed && !isBlocked(model) ? clusterId : undefined)
  const startedAt = before?.startedAt ?? observed.now
  const bootstrap = {
    replicas: founders,
    token,
    startedAt,
    ...(completedAt === undefined ? {} : { completedAt }),
  }
  return {
    ...(isDecided ? { bootstrap } : {}),
    ...(id === undefined ? {} : { clusterId: id }),
  }
}

/** People have to decide first, or it is on its way out. */
function isBlocked({ freeze, conflicts, isDeleting, hasFinalizer }: Model): boolean {
  return freeze !== undefined || conflicts.length > 0 || isDeleting || !hasFinalizer
}

function mayStart({ cluster, foreignClaims, statefulSet }: Model): boolean {
  return !cluster.spec.paused && (foreignClaims.length === 0 || statefulSet !== undefined)
}

/** Volumes of an earlier cluster would be taken over by the first pods: until somebody decides, nothing starts. */
export function planForeignVolumes({ foreignClaims, statefulSet }: Model): StepResult {
  if (foreignClaims.length === 0 || statefulSet !== undefined) return NOTHING
  return stop(10, 'ForeignCluster')
}

/** Nothing to do but wait; the members form the cluster by themselves. */
export function planBootstrap({ hasFormed, history }: Model): StepResult {
  if (hasFormed) return NOTHING
  return stop(2, history === 'forgotten' ? 'RecoveryRequired' : 'WaitingForQuorum')
}
