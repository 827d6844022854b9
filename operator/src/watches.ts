// What the operator watches, and which cluster a change of it is about.

import { CLUSTER_LABEL } from './api/labels.ts'
import {
  CONFIG_MAPS,
  DISRUPTION_BUDGETS,
  PODS,
  RAFT_CLUSTERS,
  SERVICE_ACCOUNTS,
  SERVICES,
  STATEFUL_SETS,
  VOLUME_CLAIMS,
} from './api/resource-types.ts'
import { clusterOfLabel, isMoreThanStatus, type WatchSpec } from './controller/controller.ts'
import { keyOf } from './controller/object-store.ts'
import { leanClaim, leanPod } from './reconcile/pod-facts.ts'

/** Labels by which caches can be asked. */
export const INDEXED_LABELS = [CLUSTER_LABEL] as const

/**
 * Only what carries our label is held in memory: a cluster may have thousands of other pods. Of pods and claims, only what is
 * read: they are compared with nothing.
 */
export const WATCHES: readonly WatchSpec[] = [
  { type: RAFT_CLUSTERS, clusterOf: keyOf, isRelevant: isMoreThanStatus },
  ...[STATEFUL_SETS, SERVICES, CONFIG_MAPS, SERVICE_ACCOUNTS, DISRUPTION_BUDGETS].map((type) =>
    labelled({ type }),
  ),
  labelled({ type: PODS, lean: leanPod }),
  labelled({ type: VOLUME_CLAIMS, lean: leanClaim }),
]

function labelled(watch: Pick<WatchSpec, 'type' | 'lean'>): WatchSpec {
  return { ...watch, labelSelector: CLUSTER_LABEL, clusterOf: clusterOfLabel(CLUSTER_LABEL) }
}
