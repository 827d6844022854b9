// The StatefulSet of a cluster. It gives members stable names and volumes and restarts pods that are gone; it never rolls,
// never deletes a volume and never decides who belongs to the cluster. Its template is the same for one member and for
// five, so that a change of size touches no pod. Pure.

import { CLUSTER_UID_ANNOTATION, RENDERER_ANNOTATION, selectorLabels } from '../api/labels.ts'
import { DATA_VOLUME, peerServiceName } from '../api/names.ts'
import { buildPodTemplate } from './pod-template.ts'
import { type Builder, childMeta, RENDERER_REVISION, type RenderContext } from './render.ts'

export const buildStatefulSet: Builder = (context) => {
  const { name } = context.cluster.metadata
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: childMeta(context, {
      name,
      component: 'member',
      annotations: { [RENDERER_ANNOTATION]: String(RENDERER_REVISION) },
    }),
    spec: {
      replicas: context.replicas,
      serviceName: peerServiceName(name),
      podManagementPolicy: 'Parallel',
      updateStrategy: { type: 'OnDelete' },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      selector: { matchLabels: selectorLabels(name) },
      template: buildPodTemplate(context),
      volumeClaimTemplates: [claimTemplate(context)],
    },
  }
}

/** Marked from birth with the cluster whose data it is going to hold: a volume outlives everything else. */
function claimTemplate({ cluster, token }: RenderContext): Readonly<Record<string, unknown>> {
  const { size, storageClassName } = cluster.spec.storage
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: DATA_VOLUME,
      labels: selectorLabels(cluster.metadata.name),
      annotations: { [CLUSTER_UID_ANNOTATION]: token },
    },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: String(size) } },
      ...(storageClassName === undefined ? {} : { storageClassName }),
      volumeMode: 'Filesystem',
    },
  }
}
