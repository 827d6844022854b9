// The configuration file of the members: what may change without a restart, in a ConfigMap that is mounted into every pod. Each
// content has an epoch, which members tell back once it is in force (docs/adr/0024). A setting is in the file only when the
// spec asks for it: a member of an older version refuses a file with one that it does not know. Pure.

import { configName } from '../api/names.ts'
import { bytesOf } from '../api/quantity.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { type Builder, childMeta, type Configuration } from './render.ts'

export const CONFIG_FILE = 'member.json'
/** The key of a file under which members find its number. */
const EPOCH = 'epoch'

const QUOTA_BYTES_MAX = 2 * 1024 ** 3
const QUOTA_BYTES_MIN = 1024 ** 2
/** Of a memory limit. The rest is for the heap, buffers of requests, and a snapshot that is being sent. */
const QUOTA_SHARE = 0.5

export const buildConfiguration: Builder = (context) => {
  const { epoch, settings } = context.configuration
  const content = { [EPOCH]: epoch, ...settings }
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: childMeta(context, {
      name: configName(context.cluster.metadata.name),
      component: 'member',
    }),
    data: { [CONFIG_FILE]: `${JSON.stringify(content, undefined, 2)}\n` },
  }
}

/** What a file of ours says; undefined for one that we did not write. */
export function readConfiguration(text: unknown): Configuration | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const content: unknown = JSON.parse(text)
    if (typeof content !== 'object' || content === null) return undefined
    const { [EPOCH]: epoch, ...settings } = content as Record<string, string | number>
    return typeof epoch === 'number' ? { epoch, settings } : undefined
  } catch {
    // Somebody has edited it; it is written anew.
    return undefined
  }
}

/** `limits`: memory limits, in bytes, of the pods that there are; undefined for a pod without one. */
export function settingsOf(
  cluster: RaftCluster,
  limits: readonly (number | undefined)[],
): Configuration['settings'] {
  const { raft, server } = cluster.spec
  const asked = server.quotaBackendBytes
  const wanted = asked === undefined ? undefined : bytesOf(asked)
  // While a limit is changed, some pods still have the old one: nobody may keep more than the smallest memory holds.
  const quotas = [memoryLimitBytes(cluster), ...limits].flatMap(
    (limit) => quotaOf(wanted, limit) ?? [],
  )
  const compaction = server.autoCompaction
  return {
    'snapshot-log-bytes': bytesOf(raft.snapshotLogSize) ?? 0,
    ...(quotas.length === 0 ? {} : { 'quota-backend-bytes': Math.min(...quotas) }),
    ...(compaction === undefined
      ? {}
      : {
          'auto-compaction-mode': compaction.mode.toLowerCase(),
          'auto-compaction-retention': compaction.retention,
        }),
  }
}

/** Without a wish and a limit the member's own default holds. A state that outgrows its memory would kill every member at once. */
export function quotaOf(wanted: number | undefined, limit: number | undefined): number | undefined {
  if (limit === undefined) return wanted
  if (wanted !== undefined) return Math.min(wanted, limit)
  return Math.min(QUOTA_BYTES_MAX, Math.max(QUOTA_BYTES_MIN, Math.floor(limit * QUOTA_SHARE)))
}

export function memoryLimitBytes(cluster: RaftCluster): number | undefined {
  const limit = cluster.spec.resources.limits?.['memory']
  return limit === undefined ? undefined : bytesOf(limit)
}
