// By which revision of the renderer the pods were made that there are, from wherever it is still on record. Pure.

import type { KubeObject } from '../../api/kube-object.ts'
import { RENDERER_ANNOTATION } from '../../api/labels.ts'
import type { Observed } from '../observed.ts'

/**
 * By which the pods were made that there are; undefined when there is nothing yet. The StatefulSet knows best; without it the
 * status, and without both the oldest pod.
 */
export function storedRenderer(
  statefulSet: KubeObject | undefined,
  { cluster, pods }: Pick<Observed, 'cluster' | 'pods'>,
): number | undefined {
  if (statefulSet !== undefined) {
    const spec = statefulSet['spec'] as
      | { readonly template?: { readonly metadata?: KubeObject['metadata'] } }
      | undefined
    const { annotations } = statefulSet.metadata
    const inside = spec?.template?.metadata?.annotations
    return revisionIn(annotations) ?? revisionIn(inside) ?? 1
  }
  const { rendererRevision } = cluster.status
  if (rendererRevision !== undefined) return rendererRevision
  if (pods.length === 0) return undefined
  return Math.min(...pods.map(({ renderer = 1 }) => renderer))
}

function revisionIn(annotations: Readonly<Record<string, string>> | undefined): number | undefined {
  return wholeNumber(annotations?.[RENDERER_ANNOTATION])
}

/** Of an annotation; undefined for text that is none. */
export function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : undefined
}
