// The Lease object that says who leads: read with care, because anybody may have written it, and written the way every
// other client of it expects.

import type { KubeObject } from '../api/kube-object.ts'
import { apiVersionOf, LEASES } from '../api/resource-types.ts'

export interface LeaseRecord {
  /** Empty: released, or never held. */
  readonly holder: string
  readonly durationSeconds: number
  readonly transitions: number
  readonly acquireTime: string | undefined
}

export function readLease(object: KubeObject): LeaseRecord {
  const spec = object['spec']
  const fields: Record<string, unknown> =
    typeof spec === 'object' && spec !== null ? { ...spec } : {}
  const { holderIdentity, leaseDurationSeconds, leaseTransitions, acquireTime } = fields
  return {
    holder: typeof holderIdentity === 'string' ? holderIdentity : '',
    durationSeconds: countOf(leaseDurationSeconds),
    transitions: countOf(leaseTransitions),
    acquireTime: typeof acquireTime === 'string' ? acquireTime : undefined,
  }
}

/** The Lease as it shall be; `current` is the one it replaces, undefined when there is none. */
export function leaseObject(options: {
  readonly namespace: string
  readonly name: string
  readonly record: LeaseRecord
  readonly renewTime: string
  readonly current: KubeObject | undefined
}): KubeObject {
  const { namespace, name, record, renewTime, current } = options
  return {
    apiVersion: apiVersionOf(LEASES),
    kind: LEASES.kind,
    metadata: current?.metadata ?? { namespace, name },
    spec: {
      holderIdentity: record.holder,
      leaseDurationSeconds: record.durationSeconds,
      leaseTransitions: record.transitions,
      ...(record.acquireTime === undefined ? {} : { acquireTime: record.acquireTime }),
      renewTime,
    },
  }
}

function countOf(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : 0
}
