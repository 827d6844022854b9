// The PodDisruptionBudget: a drain of nodes leaves a quorum. It counts every pod of the cluster; what is healthy is what
// is ready, and only voters that take part are. (A selector on the voter label would leave a pod unprotected from its
// restart until the operator has labelled it again.) Pure.

import { selectorLabels } from '../api/labels.ts'
import { type Builder, childMeta } from './render.ts'

export const buildDisruptionBudget: Builder = (context) => {
  const { metadata, spec } = context.cluster
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: childMeta(context, { name: metadata.name, component: 'member' }),
    spec: {
      minAvailable: Math.floor(context.voters / 2) + 1,
      selector: { matchLabels: selectorLabels(metadata.name) },
      unhealthyPodEvictionPolicy: spec.disruption.unhealthyPodEviction,
    },
  }
}
