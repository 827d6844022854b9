// What the members' configuration file shall say and under which number, and who has taken it over. A change of it restarts
// nobody; until every voter has acknowledged it, it is pending. Pure.

import { canonicalJson } from '../../api/canonical.ts'
import type { RaftCluster } from '../../api/raft-cluster.ts'
import { CONFIGURATION } from '../../resources/children.ts'
import { CONFIG_FILE, readConfiguration, settingsOf } from '../../resources/configuration.ts'
import { CONFIG_FILE_RENDERER, type Configuration } from '../../resources/render.ts'
import type { Facts } from './facts.ts'
import type { MemberView } from './members.ts'

/** One more whenever it says something else. Nobody takes over a lower one than it has, whoever deleted the file. */
export function configurationOf(facts: Facts): Configuration {
  const { cluster, observed } = facts
  const settings = settingsOf(
    cluster,
    observed.pods.map(({ memoryLimit }) => memoryLimit),
  )
  const recorded = recordedConfiguration(facts)
  const acknowledged = observed.sightings.map(({ report }) => report?.configFile?.epoch ?? 0)
  const newest = Math.max(0, ...acknowledged)
  const isSame =
    recorded !== undefined && canonicalJson(recorded.settings) === canonicalJson(settings)
  if (isSame && recorded.epoch >= newest) return recorded
  return { epoch: Math.max(recorded?.epoch ?? 0, newest) + 1, settings }
}

export function recordedConfiguration({ ours }: Pick<Facts, 'ours'>): Configuration | undefined {
  const data = ours.get(CONFIGURATION.title)?.['data'] as
    | Readonly<Record<string, unknown>>
    | undefined
  return readConfiguration(data?.[CONFIG_FILE])
}

/** What it has told, now or at any time before: a member that is silent has not forgotten it. */
export function configEpochOf(
  { name, report }: Pick<MemberView, 'name' | 'report'>,
  { status }: RaftCluster,
): number | undefined {
  const before = status.members?.find((other) => other.name === name)?.configEpoch
  return report?.configFile?.epoch ?? before
}

export interface ConfigurationLag {
  readonly epoch: number
  /** Voters that have not acknowledged it. */
  readonly behind: readonly string[]
  /** The first that refuses it, in its words. */
  readonly refused: string | undefined
}

/** Undefined when it is in force everywhere, or the pods have no such file. */
export function configurationLag(
  model: Facts & {
    readonly render: { readonly renderer: number; readonly configuration: Configuration }
    readonly renderer: { readonly isForeign: boolean }
  },
): ConfigurationLag | undefined {
  const { members, cluster, render, renderer, hasFormed } = model
  if (!hasFormed || renderer.isForeign || render.renderer < CONFIG_FILE_RENDERER) return undefined
  const { epoch } = render.configuration
  const late = members.filter(
    (member) => member.isVoter && (configEpochOf(member, cluster) ?? 0) < epoch,
  )
  if (late.length === 0) return undefined
  // One that has looked at an older content and refused that has not seen this one yet.
  const refusing = late.find(({ report }) => report?.configFile?.problem !== undefined)
  return {
    epoch,
    behind: late.map(({ name }) => name),
    refused:
      refusing === undefined
        ? undefined
        : `${refusing.name}: ${refusing.report?.configFile?.problem}`,
  }
}
