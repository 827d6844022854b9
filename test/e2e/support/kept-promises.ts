// What must hold at every moment of a scenario, whoever acts (contract, section 17): seen by watches from the beginning to
// the end, so that nothing in between is missed but what the API server itself merged into one event.

import { type WatchedCommand, watchObject } from './kubectl.ts'
import type { RaftCluster } from './raft-cluster.ts'

export class KeptPromises {
  readonly #cluster: WatchedCommand
  readonly #statefulSet: WatchedCommand

  constructor({ namespace, name }: RaftCluster) {
    const members = '{range .object.status.members[*]}{.name}={.raftId} {end}'
    const columns = `{.object.status.clusterId}|${members}`
    this.#cluster = watchObject({ namespace, kind: 'raftcluster', name, columns })
    const size = '{.object.spec.replicas}'
    this.#statefulSet = watchObject({ namespace, kind: 'statefulset', name, columns: size })
  }

  async stop(): Promise<void> {
    await this.#cluster.stop()
    await this.#statefulSet.stop()
  }

  /** What has been broken until now, in words. */
  get breaches(): readonly string[] {
    const seen = this.#cluster.lines.map(({ text }) => text.split('|'))
    const sizes = this.#statefulSet.lines.map(({ text }) => Number(text))
    if (seen.length === 0 || sizes.length === 0) return ['nothing was seen']
    const clusters = new Set(seen.map(([clusterId = '']) => clusterId).filter((id) => id !== ''))
    const isStep = sizes.every((size, at) => Math.abs(size - (sizes[at - 1] ?? size)) <= 1)
    return [
      ...(clusters.size <= 1 ? [] : [`two clusters: ${[...clusters].join()} (1)`]),
      ...identityBreaches(seen.map(([, members = '']) => members)),
      ...(isStep ? [] : [`the StatefulSet changed by more than one: ${sizes.join()} (6)`]),
    ]
  }
}

/** Of lines of `name=id`: an id belongs to one member, who never becomes who it was before. */
function identityBreaches(lines: readonly string[]): readonly string[] {
  const breaches: string[] = []
  const owners = new Map<string, string>()
  const lives = new Map<string, string[]>()
  for (const [name = '', id = ''] of lines.flatMap((line) =>
    line.split(' ').map((one) => one.split('=')),
  )) {
    if (id === '') continue
    const owner = owners.get(id) ?? name
    if (owner !== name) breaches.push(`${id} was ${owner} and is ${name} (4)`)
    owners.set(id, name)
    const ids = lives.get(name) ?? []
    lives.set(name, ids)
    if (ids.at(-1) === id) continue
    if (ids.includes(id)) breaches.push(`${name} is ${id} again (4)`)
    ids.push(id)
  }
  return breaches
}
