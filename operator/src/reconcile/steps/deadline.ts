// How long one step of an operation may take. Pure.

import type { OperationStatus } from '../../api/raft-cluster.ts'
import type { Facts } from './facts.ts'

/** It has waited longer for one step than it may. */
export function isOverdue({ cluster, observed }: Facts, operation: OperationStatus): boolean {
  const { stepStartedAt } = operation
  if (stepStartedAt === undefined) return false
  const seconds = (Date.parse(observed.now) - Date.parse(stepStartedAt)) / 1000
  return seconds >= cluster.spec.update.progressDeadlineSeconds
}
