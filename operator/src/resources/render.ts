// What every builder of this folder gets, and what they share. A builder is a pure function of the context to one object,
// as it shall be applied; nothing a pod is made from depends on the number of members. Pure.

import type { MembershipEntry } from '../../../lib/membership-file.ts'
import { fingerprint } from '../api/canonical.ts'
import type { KubeObject, ObjectMeta } from '../api/kube-object.ts'
import { APPLIED_ANNOTATION, clusterLabels, ownerReference } from '../api/labels.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'

/** How the operator was installed, where it matters to what it makes. */
export interface RenderOptions {
  /** Image of members whose cluster names none, without a tag. */
  readonly memberRepository: string
  /** Where the documents lie that conditions and events point at; undefined: they point at none. Nothing of a pod. */
  readonly docsUrl?: string
  /** By which new clusters are rendered, and the newest that it knows: {@link RENDERER_REVISION}. */
  readonly newestRenderer: number
}

/**
 * How far the first start is. Completing: a majority has formed the cluster and not every member has data yet; who has none
 * may still start, but can make nothing by itself. Running: a member without data has lost it.
 */
export type MembershipPhase = 'Bootstrapping' | 'Completing' | 'Running'

export interface RenderContext {
  readonly cluster: RaftCluster
  readonly options: RenderOptions
  /** Pods there shall be now, which is not what the spec says while the size changes. */
  readonly replicas: number
  /** Voters that a drain has to leave a majority of: those there are, or more if there are going to be more. */
  readonly voters: number
  readonly token: string
  readonly phase: MembershipPhase
  readonly clusterId: string
  /** Members the cluster was made of. */
  readonly founders: number
  readonly membership: {
    readonly epoch: number
    readonly entries: readonly MembershipEntry[]
  }
  /** By which revision of the rules the pods are rendered. */
  readonly renderer: number
  /** What the members' configuration file says. */
  readonly configuration: Configuration
}

export interface Configuration {
  readonly epoch: number
  readonly settings: Readonly<Record<string, string | number>>
}

/** What the pods are made from: nothing of it depends on how many there are. */
export type TemplateContext = Pick<RenderContext, 'cluster' | 'options' | 'renderer'>

/** One object of a cluster as it shall be. */
export interface Builder {
  (context: RenderContext): KubeObject
}

/**
 * Grows when the same RaftCluster is rendered into different pods. Pods that exist keep theirs until a change of the spec makes
 * them anew, or somebody approves (reconcile/steps/renderer.ts).
 *
 * 1: every setting on the command line. 2: what may change without a restart is in a mounted file.
 */
export const RENDERER_REVISION = 2

/** From which on members have a configuration file. */
export const CONFIG_FILE_RENDERER = 2

export function childMeta(
  { cluster }: Pick<RenderContext, 'cluster'>,
  child: {
    readonly name: string
    readonly component: string
    readonly annotations?: Readonly<Record<string, string>>
  },
): ObjectMeta {
  const { name, namespace } = cluster.metadata
  return {
    name: child.name,
    namespace,
    labels: clusterLabels(name, child.component),
    ...(child.annotations === undefined ? {} : { annotations: child.annotations }),
    ownerReferences: [ownerReference(cluster)],
  }
}

/** With the fingerprint of all of it, by which the next pass sees whether anything of it has to be written again. */
export function stamped(object: KubeObject): KubeObject {
  const annotations = { ...object.metadata.annotations, [APPLIED_ANNOTATION]: fingerprint(object) }
  return { ...object, metadata: { ...object.metadata, annotations } }
}
