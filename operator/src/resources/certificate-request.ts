// What cert-manager is asked for: an authority for this cluster alone, signed by the user's issuer. It signs every certificate
// of the cluster in the hands of the operator, and members trust it and nothing above it. Pure.

import { issuerOf, requestName } from '../api/certificates.ts'
import type { KubeObject } from '../api/kube-object.ts'
import { clusterLabels, ownerReference } from '../api/labels.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { stamped } from './render.ts'

/** Five years, as an authority of our own. An issuer may give less; cert-manager renews at two thirds of what there is. */
const DURATION = '43800h0m0s'
/** X.520's bound. */
const COMMON_NAME_MAX = 64

export function certificateRequest(cluster: RaftCluster): KubeObject {
  const { name, namespace } = cluster.metadata
  const labels = clusterLabels(name, 'certificates')
  return stamped({
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: {
      name: requestName(name),
      namespace,
      labels,
      ownerReferences: [ownerReference(cluster)],
    },
    spec: {
      isCA: true,
      commonName: `raftbase ${namespace}/${name}`.slice(0, COMMON_NAME_MAX),
      secretName: requestName(name),
      secretTemplate: { labels },
      duration: DURATION,
      privateKey: { algorithm: 'ECDSA', size: 256, rotationPolicy: 'Always' },
      usages: ['digital signature', 'cert sign', 'crl sign'],
      issuerRef: { ...issuerOf(cluster), group: 'cert-manager.io' },
    },
  })
}
