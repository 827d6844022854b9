// The Services of a cluster: one that gives each member a name, whether it is ready or not; one in front of all that are
// ready; one, if wanted, in front of the leader. Pure.

import { ROLE_LABEL, selectorLabels } from '../api/labels.ts'
import { clientServiceName, leaderServiceName, peerServiceName, PORTS } from '../api/names.ts'
import { type Builder, childMeta } from './render.ts'

type PortName = keyof typeof PORTS

function portsOf(names: readonly PortName[]): readonly Readonly<Record<string, unknown>>[] {
  return names.map((name) => ({ name, port: PORTS[name], protocol: 'TCP', targetPort: name }))
}

/** Headless. Members have to find each other before any of them is ready. */
export const buildPeerService: Builder = (context) => {
  const { name } = context.cluster.metadata
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: childMeta(context, { name: peerServiceName(name), component: 'member' }),
    spec: {
      type: 'ClusterIP',
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: selectorLabels(name),
      ports: portsOf(['peer', 'client', 'api', 'metrics']),
    },
  }
}

/** Ready is who takes part: learners and members that wait for a replacement are not. */
export const buildClientService: Builder = (context) => {
  const { name } = context.cluster.metadata
  const { client } = context.cluster.spec.services
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: childMeta(context, {
      name: clientServiceName(name),
      component: 'client',
      ...(client.annotations === undefined ? {} : { annotations: client.annotations }),
    }),
    spec: {
      type: client.type,
      selector: selectorLabels(name),
      ports: portsOf(['client', 'api']),
    },
  }
}

/** Follows the role labels that the operator puts on the pods. */
export const buildLeaderService: Builder = (context) => {
  const { name } = context.cluster.metadata
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: childMeta(context, { name: leaderServiceName(name), component: 'client' }),
    spec: {
      type: 'ClusterIP',
      selector: { ...selectorLabels(name), [ROLE_LABEL]: 'leader' },
      ports: portsOf(['client', 'api']),
    },
  }
}
