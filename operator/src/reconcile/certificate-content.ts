// What is written when a plan orders a certificate: fields of a Secret, its marks, and what is told of it. Everything that an
// order was decided on is compared with what is there now, because another operator may have been faster.

import { unreachable } from '../../../lib/assert.ts'
import type { KubeObject } from '../api/kube-object.ts'
import {
  CERTIFICATES_SINCE_ANNOTATION,
  ROTATE_ANNOTATION,
  TAKEN_FROM_ANNOTATION,
} from '../api/labels.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { KubeError } from '../kube/errors.ts'
import { isAsJudged, readGivenAuthority } from '../pki/given.ts'
import {
  givenTrustOf,
  leafOf,
  newAuthority,
  newLeaf,
  nextAuthority,
  promotedAuthority,
  readAuthority,
  type SecretData,
  trustOf,
  withoutPrevious,
} from '../pki/secrets.ts'
import type { Action, PlannedEvent } from './actions.ts'

export type CertificateAction = Extract<Action, { type: 'writeCertificate' }>

export interface Written {
  readonly data: SecretData
  /** Null removes one. */
  readonly annotations: Readonly<Record<string, string | null>>
}

/** As things are when the order is carried out. */
export interface FoundSecrets {
  readonly cluster: RaftCluster
  readonly authority: KubeObject | undefined
  /** The user's, or cert-manager's. */
  readonly given: KubeObject | undefined
  readonly basis: KubeObject | undefined
  readonly nowMs: number
}

/** The Secret of somebody else that something is taken from. */
export function sourceOf({ order }: CertificateAction): string | undefined {
  if ('given' in order) return order.given.secret
  return 'from' in order ? order.from : undefined
}

/** The Secret of ours whose content it is decided on. */
export function basisOf({ order, secret }: CertificateAction): string | undefined {
  switch (order.kind) {
    case 'nextAuthority':
    case 'promoteAuthority':
    case 'forgetPrevious':
      return secret
    default:
      return 'beside' in order ? order.beside : undefined
  }
}

export function isOutdated(action: CertificateAction, found: FoundSecrets): boolean {
  const { order, over, secret } = action
  const { basis, given } = found
  if (basisOf(action) === secret) {
    const { uid, resourceVersion } = basis?.metadata ?? {}
    if (uid !== over?.uid || resourceVersion !== over?.resourceVersion) return true
  }
  if ('given' in order) return given === undefined || !isAsJudged(given, order.given)
  const from = sourceOf(action)
  return from !== undefined && readGivenAuthority(from, given).certificate === undefined
}

export function contentOf({ order }: CertificateAction, found: FoundSecrets): Written {
  const { cluster, authority, given, basis, nowMs } = found
  const { namespace, name, annotations: wishes } = cluster.metadata
  const whose = `${namespace}/${name}`
  const since = {
    [CERTIFICATES_SINCE_ANNOTATION]: `${new Date(nowMs).toISOString().slice(0, 19)}Z`,
  }
  const isBeside = 'beside' in order
  const beside = isBeside ? basis : undefined
  if (order.kind === 'newAuthority') {
    // A wish that is older than the authority itself is fulfilled.
    const wish = wishes?.[ROTATE_ANNOTATION]
    const rotated = wish === undefined ? {} : { [ROTATE_ANNOTATION]: wish }
    const annotations = { ...since, ...rotated, ...markOf(order.from) }
    return { data: newAuthority(whose, nowMs, given), annotations }
  }
  if (order.kind === 'givenLeaf' || order.kind === 'givenTrust') {
    if (given === undefined) throw new KubeError('conflict', 'the given certificate is gone')
    const leaf = order.kind === 'givenLeaf' ? leafOf(given) : {}
    const annotations = { ...since, ...markOf(order.given.secret) }
    return { data: { ...leaf, ...givenTrustOf(given, beside) }, annotations }
  }
  if (authority === undefined || readAuthority(authority) === undefined) {
    throw new KubeError('conflict', 'the authority of the cluster is gone')
  }
  switch (order.kind) {
    case 'nextAuthority': {
      const rotated = order.wish === undefined ? {} : { [ROTATE_ANNOTATION]: order.wish }
      const mark = order.from === undefined ? UNMARKED : markOf(order.from)
      return {
        data: nextAuthority(whose, nowMs, given),
        annotations: { ...since, ...rotated, ...mark },
      }
    }
    case 'promoteAuthority':
      return { data: promotedAuthority(authority), annotations: since }
    case 'forgetPrevious':
      return { data: withoutPrevious(), annotations: since }
    case 'leaf':
    case 'trust': {
      const leaf = order.kind === 'leaf' ? newLeaf(authority, order.leaf, nowMs) : {}
      // The mark stays until whoever was given is trusted no more.
      const annotations = { ...since, ...(isBeside ? {} : UNMARKED) }
      return { data: { ...leaf, ...trustOf(authority, beside) }, annotations }
    }
    default:
      return unreachable(order)
  }
}

function markOf(from: string | undefined): Readonly<Record<string, string>> {
  return from === undefined ? {} : { [TAKEN_FROM_ANNOTATION]: from }
}

const UNMARKED = { [TAKEN_FROM_ANNOTATION]: null } as const

export function eventsOf({ order, secret, why, over }: CertificateAction): readonly PlannedEvent[] {
  const base = { type: 'Normal', action: 'WriteCertificate' } as const
  if (order.kind === 'leaf' && over !== undefined) {
    const message = `the certificate in Secret ${secret} was made anew: ${why}`
    return [{ ...base, reason: 'CertificateRenewed', message, occasion: secret }]
  }
  if (order.kind === 'givenLeaf' && over !== undefined) {
    const message = `Secret ${secret} has another certificate: ${why}`
    return [{ ...base, reason: 'CertificateRenewed', message, occasion: secret }]
  }
  if (order.kind === 'nextAuthority') {
    const message = `another authority, because ${why}: it becomes trusted beside the one before`
    return [{ ...base, reason: 'CARotationStarted', message }]
  }
  if (order.kind === 'forgetPrevious') {
    const message = 'the new authority alone is trusted from now on'
    return [{ ...base, reason: 'CARotated', message }]
  }
  return []
}
