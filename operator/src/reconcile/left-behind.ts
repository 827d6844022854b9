// A namespace that is being deleted takes the operator's rights in it away along with everything else, in no order. What
// is left then is its RaftCluster, held by a finalizer that nobody else removes: it is let go. There is nothing to wait for:
// pods and volumes go with the namespace, whatever the RaftCluster says about them.

import type { RaftCluster } from '../api/raft-cluster.ts'
import { NAMESPACES } from '../api/resource-types.ts'
import { isKubeError } from '../kube/errors.ts'
import type { KubeApi } from '../kube/kube-api.ts'

/** Whether `error` says that the operator has lost its rights because the cluster's namespace is being deleted. */
export async function isLeftBehind(
  error: unknown,
  cluster: RaftCluster,
  { api, signal }: { readonly api: KubeApi; readonly signal: AbortSignal },
): Promise<boolean> {
  if (!isKubeError(error, 'forbidden')) return false
  if (cluster.metadata.deletionTimestamp === undefined) return false
  const key = { namespace: '', name: cluster.metadata.namespace }
  const namespace = await api.get(NAMESPACES, key, { signal })
  return namespace?.metadata.deletionTimestamp !== undefined
}
