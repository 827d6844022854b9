// The first start: the target is latched, then membership and StatefulSet are made for all N at once, then a majority says
// that the cluster exists, and that is latched for ever. Whatever has happened in between, a cluster that may already hold
// data is never made again. Pure.

import type { BootstrapStatus } from '../../api/raft-cluster.ts'
import { NOTHING, type StepResult, stop } from '../actions.ts'
import type { Model } from './model.ts'

/** After which a first start is said to be stalled. It goes on all the same. */
export const BOOTSTRAP_DEADLINE_SECONDS = 600

/** What the status has to say before this pass does anything. */
export function latchesOf({ cluster, hasFormed, replicas, token, clusterId, observed }: Model): {
  readonly bootstrap: BootstrapStatus
  readonly clusterId: string | undefined
} {
  const before = cluster.status.bootstrap
  const completedAt = before?.completedAt ?? (hasFormed ? observed.now : undefined)
  return {
    bootstrap: {
      replicas,
      token,
      startedAt: before?.startedAt ?? observed.now,
      ...(completedAt === undefined ? {} : { completedAt }),
    },
    clusterId: cluster.status.clusterId ?? (hasFormed ? clusterId : undefined),
  }
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
