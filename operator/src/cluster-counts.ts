// What happened to each RaftCluster since this process started: counted by the passes over it, read when somebody scrapes.
// The figures of a cluster vanish with it.

import type { Counter, Family, Registry, Sample } from '../../lib/metrics.ts'
import { GATES, type Gate } from './api/gates.ts'
import type { ObjectKey } from './api/kube-object.ts'
import type { RaftClusterStatus } from './api/raft-cluster.ts'
import type { PassObserver } from './reconcile/pass-observer.ts'

const SERIES_MAX = 10_000

/** Of one cluster. */
interface Counts {
  readonly key: ObjectKey
  leaderChanges: number
  /** By what had become of the member. */
  readonly replacements: Map<string, number>
}

export class ClusterCounts implements PassObserver {
  readonly #clusters = new Map<string, Counts>()
  readonly #denials: Family<Counter>

  constructor(registry: Registry) {
    registry.counterFrom(
      {
        name: 'raftbase_operator_cluster_leader_changes_total',
        help: 'How often a majority confirmed another leader than before.',
        labelNames: ['namespace', 'name'],
        seriesMax: SERIES_MAX,
      },
      () => this.#samples(({ leaderChanges }) => [[[], leaderChanges]]),
    )
    registry.counterFrom(
      {
        name: 'raftbase_operator_cluster_replacements_total',
        help: 'Replacements of members that were begun, by what had become of the member.',
        labelNames: ['namespace', 'name', 'reason'],
        seriesMax: SERIES_MAX,
      },
      () =>
        this.#samples(({ replacements }) =>
          [...replacements].map(([reason, count]) => [[reason], count] as const),
        ),
    )
    this.#denials = registry.counterFamily({
      name: 'raftbase_operator_gate_denied_total',
      help: 'Passes in which something that was to be done was kept waiting, by what kept it.',
      labelNames: ['gate'],
    })
    for (const gate of GATES) this.#denials.labelled(gate)
  }

  led(key: ObjectKey, { isChange }: { readonly isChange: boolean }): void {
    this.#of(key).leaderChanges += isChange ? 1 : 0
  }

  written(key: ObjectKey, before: RaftClusterStatus, after: RaftClusterStatus): void {
    const { replacements: old = [] } = before
    for (const { member, startedAt, reason } of after.replacements ?? []) {
      if (old.some((one) => one.member === member && one.startedAt === startedAt)) continue
      const { replacements } = this.#of(key)
      replacements.set(reason, (replacements.get(reason) ?? 0) + 1)
    }
  }

  denied(gate: Gate): void {
    this.#denials.labelled(gate).increment()
  }

  forget({ namespace, name }: ObjectKey): void {
    this.#clusters.delete(`${namespace}/${name}`)
  }

  #of(key: ObjectKey): Counts {
    const at = `${key.namespace}/${key.name}`
    const known = this.#clusters.get(at)
    if (known !== undefined) return known
    const counts: Counts = { key, leaderChanges: 0, replacements: new Map() }
    this.#clusters.set(at, counts)
    return counts
  }

  #samples(
    read: (counts: Counts) => readonly (readonly [readonly string[], number])[],
  ): readonly Sample[] {
    return [...this.#clusters.values()].flatMap((counts) => {
      const { namespace, name } = counts.key
      return read(counts).map(([labels, value]) => ({
        labels: [namespace, name, ...labels],
        value,
      }))
    })
  }
}
