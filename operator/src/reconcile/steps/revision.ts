// Which template the pods are made from, and which version it names: what the spec says, or, after a rollout that failed, what
// ran before. Pure.

import type { KubeObject } from '../../api/kube-object.ts'
import { MEMBER_CONTAINER } from '../../resources/pod-template.ts'
import type { Facts } from './facts.ts'
import type { PodFacts } from '../observed.ts'

/** The revision of the template as it is now; undefined until the StatefulSet controller has looked at it. */
export function updateRevision({
  statefulSet,
}: {
  readonly statefulSet: KubeObject | undefined
}): string | undefined {
  if (statefulSet === undefined) return undefined
  const status = statefulSet['status'] as
    | { readonly observedGeneration?: number; readonly updateRevision?: string }
    | undefined
  if (status?.observedGeneration !== statefulSet.metadata.generation) return undefined
  return status?.updateRevision
}

/** Pods that run an older template; undefined while nobody knows which is the newest. */
export function outdatedPods(facts: Facts): readonly PodFacts[] | undefined {
  const revision = updateRevision(facts)
  if (revision === undefined) return undefined
  return facts.observed.pods.filter(
    (pod) => pod.revision !== undefined && pod.revision !== revision,
  )
}

export interface Versions {
  /** What the template shall name. */
  readonly wanted: string
  /** What ran before the last change of version: the way back that is still open. */
  readonly rollback: string | undefined
  /** The version of the spec, when its rollout failed and was taken back. */
  readonly failed: string | undefined
  /** Why the version of the spec is not rolled out: it is too far from what runs, or too early. */
  readonly deferred?: string
}

export function versionsOf(facts: Facts, hasJustFailed = false): Versions {
  const { cluster, hasFormed, statefulSet } = facts
  const { version } = cluster.spec
  const { rollbackVersion, failedVersion } = cluster.status
  const live = versionIn(statefulSet)
  const isChange = hasFormed && live !== undefined && live !== version
  const deferred = isChange ? whyDeferred({ version, live, rollbackVersion }) : undefined
  if (deferred !== undefined) {
    return { wanted: live!, rollback: rollbackVersion ?? live, failed: undefined, deferred }
  }
  // What has failed never becomes the way back.
  const isWayBack = isChange && (rollbackVersion === undefined || isSettledOn(facts, live))
  const rollback = isWayBack && failedVersion !== version ? live : rollbackVersion
  const isFailed = (failedVersion === version || hasJustFailed) && rollback !== undefined
  const failed = isFailed && rollback !== version ? version : undefined
  const wanted = failed === undefined ? version : (rollback ?? version)
  return { wanted, rollback: rollback === version && !isChange ? undefined : rollback, failed }
}

/**
 * One minor version at a time, each final before the next. The API server refuses such edits too, by what the status says:
 * not those that come before the status does, nor under the definition of an older release.
 */
function whyDeferred(known: {
  readonly version: string
  readonly live: string
  readonly rollbackVersion: string | undefined
}): string | undefined {
  const { version, live, rollbackVersion } = known
  const further = minorsBetween(live, version)
  if (version === rollbackVersion || further <= 0) return undefined
  if (further > 1) {
    return (
      `spec.version ${version} is more than one minor version after ${live}, which runs: set it ` +
      `back to ${live}, and go one minor version at a time`
    )
  }
  if (rollbackVersion === undefined || rollbackVersion === live) return undefined
  return (
    `spec.version ${version} waits: ${live} is not final yet, and may still be taken back to ` +
    rollbackVersion
  )
}

/** How many minor versions `to` is after `from`; 0 where one of them is none. Another major version is never near. */
function minorsBetween(from: string, to: string): number {
  const [left, right] = [from, to].map((text) => /^(\d+)\.(\d+)\./.exec(text)?.map(Number))
  if (left === undefined || right === undefined) return 0
  if (left[1] !== right[1]) return right[1]! > left[1]! ? Number.POSITIVE_INFINITY : 0
  return right[2]! - left[2]!
}

/** Every pod runs the template with that version. */
function isSettledOn(facts: Facts, live: string): boolean {
  return outdatedPods(facts)?.length === 0 && facts.cluster.status.rollbackVersion !== live
}

/** The tag of the members' image. */
export function versionIn(statefulSet: KubeObject | undefined): string | undefined {
  const spec = statefulSet?.['spec'] as
    | {
        readonly template?: {
          readonly spec?: {
            readonly containers?: readonly { readonly name?: string; readonly image?: string }[]
          }
        }
      }
    | undefined
  const containers = spec?.template?.spec?.containers ?? []
  const image = containers.find(({ name }) => name === MEMBER_CONTAINER)?.image
  return image?.slice(image.lastIndexOf(':') + 1)
}
