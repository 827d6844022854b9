// What the tests of the operator's runtime share: a client over an API server, conditions to wait for, objects to store.

import { createLogger, type Logger } from '../../lib/logger.ts'
import { type Clock, systemClock, systemTimers, type Timers } from '../../lib/clock.ts'
import type { KubeObject, ObjectMeta } from '../../operator/src/api/kube-object.ts'
import type { ClusterAccess } from '../../operator/src/kube/cluster-access.ts'
import { type AnsweredRequest, KubeClient } from '../../operator/src/kube/client.ts'
import { RateLimit } from '../../operator/src/kube/rate-limit.ts'

export const silentLog: Logger = createLogger({ level: 'silent' })

/** Access without credentials, or with those that `headers` returns at the time of a request. */
export function plainAccess(
  url: string,
  headers: () => Record<string, string> = () => ({}),
): ClusterAccess & { invalidations: number } {
  const access = {
    server: new URL(url),
    namespace: undefined,
    invalidations: 0,
    credentials: () => Promise.resolve({ headers: headers(), tls: {} }),
    invalidate: () => {
      access.invalidations++
    },
  }
  return access
}

export function clientOf(
  access: ClusterAccess,
  options: {
    readonly onRequest?: (request: AnsweredRequest) => void
    readonly time?: Clock & Timers
  } = {},
): KubeClient {
  const clock = options.time ?? systemClock
  const timers = options.time ?? systemTimers
  return new KubeClient({
    access,
    rateLimit: new RateLimit({
      clock,
      timers,
      requestsPerSecond: 10_000,
      burst: 10_000,
    }),
    timers,
    clock,
    userAgent: 'raftbase-operator/test',
    onRequest: options.onRequest,
  })
}

/** Resolves when `condition` holds; the deadline is generous because a loaded machine is slow, not wrong. */
export async function until(
  what: string,
  condition: () => boolean,
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export function configMap(
  name: string,
  data: Record<string, string> = {},
  metadata: Partial<ObjectMeta> = {},
): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default', ...metadata },
    data,
  }
}
