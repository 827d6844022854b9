// The members' ServiceAccount: an identity without any right, and without a token to show for it. Pure.

import { serviceAccountName } from '../api/names.ts'
import { type Builder, childMeta } from './render.ts'

export const buildServiceAccount: Builder = (context) => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: childMeta(context, {
    name: serviceAccountName(context.cluster.metadata.name),
    component: 'member',
  }),
  automountServiceAccountToken: false,
})
