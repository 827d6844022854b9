// The StatefulSet of a cluster. It gives members stable names and volumes and restarts pods that are gone; it never rolls,
// never deletes a volume and never decides who belongs to the cluster. Its template is the same for one member and for
// five, so that a change of size touches no pod. Pure.

import { fingerprint } from '../api/canonical.ts'
import type { KubeObject } from '../api/kube-object.ts'
import {
  CLUSTER_UID_ANNOTATION,
  RENDERER_ANNOTATION,
  selectorLabels,
  TEMPLATE_ANNOTATION,
} from '../api/labels.ts'
import { DATA_VOLUME, peerServiceName } from '../api/names.ts'
import { buildPodTemplate } from './pod-template.ts'
import { childMeta, type RenderContext, type TemplateContext } from './render.ts'

export type StatefulSetContext = TemplateContext & Pick<RenderContext, 'replicas' | 'token'>

export function buildStatefulSet(context: StatefulSetContext): KubeObject {
  const { name } = context.cluster.metadata
  const template = buildPodTemplate(context)
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: childMeta(context, {
      name,
      component: 'member',
      annotations: marksOf(context, template),
    }),
    spec: {
      replicas: context.replicas,
      serviceName: peerServiceName(name),
      podManagementPolicy: 'Parallel',
      updateStrategy: { type: 'OnDelete' },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      selector: { matchLabels: selectorLabels(name) },
      template,
      volumeClaimTemplates: [claimTemplate(context)],
    },
  }
}

/** The objects of revision 1 are as they were: writing them again for another mark would be news of every cluster. */
function marksOf({ renderer }: StatefulSetContext, template: object): Record<string, string> {
  const revision = { [RENDERER_ANNOTATION]: String(renderer) }
  return renderer === 1 ? revision : { ...revision, [TEMPLATE_ANNOTATION]: fingerprint(template) }
}

/** Marked from birth with the cluster whose data it is going to hold: a volume outlives everything else. */
function claimTemplate({ cluster, token }: StatefulSetContext): Readonly<Record<string, unknown>> {
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
