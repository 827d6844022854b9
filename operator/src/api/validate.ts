// A RaftCluster as it comes from the API server, made ready for use. The schema and its rules are checked there, before
// anything is stored; what is left to do is what an older schema could not know: fields that were added since. Pure.

import { withDefaults } from './defaults.ts'
import type { KubeObject } from './kube-object.ts'
import type { RaftCluster, RaftClusterStatus } from './raft-cluster.ts'

/** The object with every default filled in; undefined when it lacks what every stored object has. */
export function readRaftCluster(object: KubeObject): RaftCluster | undefined {
  const { metadata } = object
  const { namespace, uid } = metadata
  const spec = withDefaults(object['spec'])
  if (namespace === undefined || uid === undefined || spec.version === '') return undefined
  return {
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: { ...metadata, namespace, uid, generation: metadata.generation ?? 0 },
    spec,
    status: inOrder(object['status'] ?? {}),
  }
}

/** The API server keeps a list of members by their names, in an order of its own. */
function inOrder(status: RaftClusterStatus): RaftClusterStatus {
  if (status.members === undefined) return status
  const members = status.members.toSorted(
    (left, right) =>
      left.name.length - right.name.length ||
      (left.name < right.name ? -1 : Number(left.name > right.name)),
  )
  return { ...status, members }
}
