// How far cert-manager is with what it is asked for, in words that say who has to do something. Reads only.

import { givenAuthority, issuerOf, requestName } from '../api/certificates.ts'
import type { KubeObject } from '../api/kube-object.ts'
import { isControlledBy, TAKEN_FROM_ANNOTATION } from '../api/labels.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { CERTIFICATES, CLUSTER_ISSUERS, ISSUERS } from '../api/resource-types.ts'
import { isKubeError } from '../kube/errors.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import type { RequestFacts } from './observed.ts'

interface Look {
  readonly api: KubeApi
  readonly signal: AbortSignal
}

/** Undefined for a cluster that does not use it. */
export async function lookAtRequest(
  cluster: RaftCluster,
  look: Look,
): Promise<RequestFacts | undefined> {
  if (issuerOf(cluster) === undefined) return undefined
  const { namespace, name, uid } = cluster.metadata
  const { api, signal } = look
  try {
    const live = await api.get(CERTIFICATES, { namespace, name: requestName(name) }, { signal })
    // Absent is the object or its kind: only a list tells which.
    if (live === undefined) await api.list(CERTIFICATES, { namespace, limit: 1, signal })
    if (live !== undefined && !isControlledBy(live, uid)) {
      const problem = `Certificate ${requestName(name)} belongs to somebody else`
      return { problem, isBlocked: true }
    }
    const problem = await troubleOf(cluster, live, look)
    return {
      ...(live === undefined ? {} : { live }),
      ...(problem === undefined ? {} : { problem }),
      isBlocked: false,
    }
  } catch (error) {
    if (isKubeError(error, 'notFound')) {
      return { problem: 'cert-manager is not installed', isBlocked: true }
    }
    if (!isKubeError(error, 'forbidden')) throw error
    const problem =
      "the operator may not use cert-manager: rbac.certManager of the operator's chart"
    return { problem, isBlocked: true }
  }
}

/**
 * The Certificate of a cluster that cert-manager gave its authority once and that comes from elsewhere now. Only such a
 * cluster costs a request; one whose user names what cert-manager makes keeps it.
 */
export async function lookAtFormerRequest(
  cluster: RaftCluster,
  authority: KubeObject | undefined,
  { api, signal }: Look,
): Promise<RequestFacts['live']> {
  const { namespace, name, uid } = cluster.metadata
  const request = requestName(name)
  const takenFrom = authority?.metadata.annotations?.[TAKEN_FROM_ANNOTATION]
  if (takenFrom !== request || givenAuthority(cluster) === request) return undefined
  try {
    const live = await api.get(CERTIFICATES, { namespace, name: request }, { signal })
    const isGoing = live?.metadata.deletionTimestamp !== undefined
    return live === undefined || isGoing || !isControlledBy(live, uid) ? undefined : live
  } catch (error) {
    // Without the right it stays until the RaftCluster goes, and takes it along.
    if (isKubeError(error, 'forbidden')) return undefined
    throw error
  }
}

/** Of the Certificate, and where it is not ready, of who should sign it. */
async function troubleOf(
  cluster: RaftCluster,
  live: KubeObject | undefined,
  look: Look,
): Promise<string | undefined> {
  if (live !== undefined && readinessOf(live)?.status === 'True') return undefined
  const issuer = await issuerTrouble(cluster, look)
  if (issuer !== undefined) return issuer
  if (live === undefined) return undefined
  const said = readinessOf(live)?.message ?? 'cert-manager has not looked at it yet'
  return `Certificate ${live.metadata.name} is not ready: ${said}`
}

async function issuerTrouble(
  cluster: RaftCluster,
  { api, signal }: Look,
): Promise<string | undefined> {
  const { name, kind } = issuerOf(cluster)!
  const [type, namespace] =
    kind === 'Issuer' ? [ISSUERS, cluster.metadata.namespace] : [CLUSTER_ISSUERS, '']
  try {
    const issuer = await api.get(type, { namespace, name }, { signal })
    if (issuer === undefined) return `there is no ${kind} ${name}`
    const ready = readinessOf(issuer)
    if (ready?.status === 'True') return undefined
    return `${kind} ${name} is not ready: ${ready?.message ?? 'nobody has looked at it yet'}`
  } catch (error) {
    // An operator of some namespaces may not look at what is in none: the Certificate says enough.
    if (isKubeError(error, 'forbidden')) return undefined
    throw error
  }
}

function readinessOf(
  object: KubeObject,
): { readonly status?: string; readonly message?: string } | undefined {
  const status = object['status'] as
    | { conditions?: readonly { type?: string; status?: string; message?: string }[] }
    | undefined
  return status?.conditions?.find(({ type }) => type === 'Ready')
}
