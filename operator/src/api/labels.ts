// Names, labels and annotations of everything that belongs to a cluster: what is found by them, and what users may rely
// on. Pure.

import type { KubeObject, OwnerReference } from './kube-object.ts'
import type { RaftCluster } from './raft-cluster.ts'

export const API_GROUP = 'raftbase.io'

/** On everything of a cluster: its name. */
export const CLUSTER_LABEL = 'raftbase.io/cluster'
/** On pods, set by the operator and never in the template: `leader`, `follower` or `learner`. */
export const ROLE_LABEL = 'raftbase.io/role'
/** On pods, set by the operator: `true` or `false`. */
export const VOTER_LABEL = 'raftbase.io/voter'

/** On volumes, from their first moment: the uid of the RaftCluster whose data they hold. */
export const CLUSTER_UID_ANNOTATION = 'raftbase.io/cluster-uid'
/** On pods: of which membership document its kubelet was told last. A changed pod is looked at at once. */
export const MEMBERSHIP_EPOCH_ANNOTATION = 'raftbase.io/membership-epoch'
/** On pods: of which configuration file its kubelet was told last. */
export const CONFIG_EPOCH_ANNOTATION = 'raftbase.io/config-epoch'
/** On a RaftCluster: any text; another one exchanges the authority. On the authority's Secret: for which text it was. */
export const ROTATE_ANNOTATION = 'raftbase.io/rotate-ca'
/** On a Secret with a certificate: since when it is as it is. */
export const CERTIFICATES_SINCE_ANNOTATION = 'raftbase.io/since'
/** On a Secret of ours: the Secret that it was taken from. */
export const TAKEN_FROM_ANNOTATION = 'raftbase.io/taken-from'
/** On pods: of which certificates its kubelet was told. A changed pod is looked at at once. */
export const CERTIFICATES_TOLD_ANNOTATION = 'raftbase.io/certificates'
/** On a RaftCluster: `MEMBER@INCARNATION` that may be replaced now, whatever selfHeal says. */
export const REPLACE_ANNOTATION = 'raftbase.io/replace'
/** On children: what the operator wrote last, to tell a change of ours from one of somebody else. */
export const APPLIED_ANNOTATION = 'raftbase.io/applied'
/** On the StatefulSet, and from revision 2 on in its template: by which rules its pods were rendered. */
export const RENDERER_ANNOTATION = 'raftbase.io/renderer'
/** On a StatefulSet of renderer revision 2 or later: fingerprint of the template as it was rendered. */
export const TEMPLATE_ANNOTATION = 'raftbase.io/template'
/** On a RaftCluster: the revision of the renderer that its pods may be made anew for. */
export const RESTAMP_ANNOTATION = 'raftbase.io/restamp'
/** On objects that an admission policy protects: lets the next change through. */
export const ALLOW_ANNOTATION = 'raftbase.io/allow'

export const CLEANUP_FINALIZER = 'raftbase.io/cluster-cleanup'

export const FIELD_MANAGER = 'raftbase-operator'
export const STATUS_FIELD_MANAGER = 'raftbase-operator-status'

/** What selects the pods of a cluster. A selector is for ever: it holds nothing that can change. */
export function selectorLabels(clusterName: string): Readonly<Record<string, string>> {
  return { 'app.kubernetes.io/name': 'raftbase', [CLUSTER_LABEL]: clusterName }
}

/** The recommended labels and ours, for children and pods. */
export function clusterLabels(
  clusterName: string,
  component: string,
): Readonly<Record<string, string>> {
  return {
    ...selectorLabels(clusterName),
    'app.kubernetes.io/instance': clusterName,
    'app.kubernetes.io/component': component,
    'app.kubernetes.io/part-of': 'raftbase',
    'app.kubernetes.io/managed-by': 'raftbase-operator',
  }
}

export function selectorText(clusterName: string): string {
  return Object.entries(selectorLabels(clusterName))
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

export function ownerReference(cluster: RaftCluster): OwnerReference {
  return {
    apiVersion: cluster.apiVersion,
    kind: cluster.kind,
    name: cluster.metadata.name,
    uid: cluster.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  }
}

/** Whether `object` is controlled by the owner with this uid. */
export function isControlledBy(object: KubeObject, uid: string): boolean {
  return (
    object.metadata.ownerReferences?.some(
      (owner) => owner.controller === true && owner.uid === uid,
    ) ?? false
  )
}
