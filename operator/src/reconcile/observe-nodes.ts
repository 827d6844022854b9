// Whether a member that is unwell is so because of its node: the node is not ready, or it does not exist any more and took a
// local disk with it. Read only for such members, straight from the API server, and only when the operator has been given the
// right to: nodes and volumes are outside of any namespace. Reads only.

import type { KubeObject } from '../api/kube-object.ts'
import { NODES, VOLUMES } from '../api/resource-types.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import type { ClaimFacts, MemberSighting, NodeFacts, PodFacts } from './observed.ts'

const HOST_LABEL = 'kubernetes.io/hostname'
const LABEL_VALUE = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/

interface Look {
  readonly api: KubeApi
  readonly signal: AbortSignal
}

/** Of the nodes on which pods are that do not answer. */
export async function observeNodes(
  pods: readonly PodFacts[],
  sightings: readonly MemberSighting[],
  look: Look,
): Promise<readonly NodeFacts[]> {
  const silent = pods.filter(
    (pod) =>
      pod.isTerminating ||
      pod.container !== 'running' ||
      sightings.some(({ name, silence }) => name === pod.name && silence !== undefined),
  )
  const names = new Set(silent.flatMap(({ node }) => node ?? []))
  return await Promise.all([...names].toSorted().map((name) => nodeOf(name, look)))
}

async function nodeOf(name: string, { api, signal }: Look): Promise<NodeFacts> {
  const node = await api.get(NODES, { namespace: '', name }, { signal })
  if (node === undefined) return { name, state: 'Gone' }
  const { conditions } = (node['status'] ?? {}) as {
    readonly conditions?: readonly {
      readonly type?: string
      readonly status?: string
      readonly lastTransitionTime?: string
    }[]
  }
  const ready = conditions?.find(({ type }) => type === 'Ready')
  if (ready?.status === 'True' || ready?.lastTransitionTime === undefined) {
    return { name, state: 'Ready' }
  }
  return { name, state: 'NotReady', since: ready.lastTransitionTime }
}

/** With the hosts that are gone, for those whose volume can be used nowhere else. */
export async function withStranded(
  claims: readonly ClaimFacts[],
  pods: readonly PodFacts[],
  look: Look,
): Promise<readonly ClaimFacts[]> {
  return await Promise.all(
    claims.map(async (claim) => {
      const pod = pods.find(({ ordinal }) => ordinal === claim.ordinal)
      const isWaiting = pod === undefined || pod.node === undefined
      if (claim.phase !== 'Bound' || claim.volume === undefined || !isWaiting) return claim
      const volume = await look.api.get(
        VOLUMES,
        { namespace: '', name: claim.volume },
        { signal: look.signal },
      )
      const hosts = volume === undefined ? [] : hostsOf(volume)
      if (hosts.length === 0 || (await anyExists(hosts, look))) return claim
      return { ...claim, stranded: hosts.join(', ') }
    }),
  )
}

async function anyExists(hosts: readonly string[], { api, signal }: Look): Promise<boolean> {
  const pages = await Promise.all(
    hosts.map((host) =>
      api.list(NODES, { labelSelector: `${HOST_LABEL}=${host}`, limit: 1, signal }),
    ),
  )
  return pages.some(({ items }) => items.length > 0)
}

/** The hosts a volume can be used on; empty when that is not a matter of single hosts. */
function hostsOf(volume: KubeObject): readonly string[] {
  const spec = (volume['spec'] ?? {}) as {
    readonly nodeAffinity?: {
      readonly required?: {
        readonly nodeSelectorTerms?: readonly {
          readonly matchExpressions?: readonly {
            readonly key?: string
            readonly operator?: string
            readonly values?: readonly string[]
          }[]
        }[]
      }
    }
  }
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms ?? []
  const hosts = terms.map(({ matchExpressions = [] }) => {
    const own = matchExpressions.find(
      ({ key, operator }) => key === HOST_LABEL && operator === 'In',
    )
    return own?.values ?? []
  })
  // A term without hosts may be met by any node.
  if (hosts.some((values) => values.length === 0)) return []
  const all = [...new Set(hosts.flat())]
  return all.every((host) => LABEL_VALUE.test(host)) ? all : []
}
