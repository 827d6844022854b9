// What members said last: asked anew in each pass, all at once, and remembered for as long as the same pod lives. The only
// thing the operator remembers between passes that decides what the status says; without it, it asks again.

import type { Clock } from '../../../lib/clock.ts'
import type { Status } from '../../../member/src/rest/contract.ts'
import { PORTS } from '../api/names.ts'
import type { MemberClient } from '../member-client/member-client.ts'
import type { MemberReport, MemberSighting, PodFacts } from './observed.ts'

interface Remembered {
  readonly podUid: string
  readonly report: MemberReport
  readonly seenAtMs: number
}

export class Sightings {
  readonly #client: MemberClient
  readonly #clock: Clock
  /** By uid of the RaftCluster, then by name of the member. Bounded by the members there are. */
  readonly #remembered = new Map<string, Map<string, Remembered>>()

  constructor(options: { readonly client: MemberClient; readonly clock: Clock }) {
    this.#client = options.client
    this.#clock = options.clock
  }

  async look(
    clusterUid: string,
    pods: readonly PodFacts[],
    signal: AbortSignal,
  ): Promise<readonly MemberSighting[]> {
    const before = this.#remembered.get(clusterUid)
    const after = new Map<string, Remembered>()
    const sightings = await Promise.all(
      pods.map(async (pod) => {
        const old = before?.get(pod.name)
        const known = old?.podUid === pod.uid ? old : undefined
        const answer = await this.#ask(pod, signal)
        if ('report' in answer) {
          const seenAtMs = this.#clock.monotonicMs()
          after.set(pod.name, { podUid: pod.uid, report: answer.report, seenAtMs })
          return { name: pod.name, report: answer.report, ageSeconds: 0 }
        }
        if (known === undefined) {
          return { name: pod.name, ageSeconds: 0, silence: answer.silence }
        }
        after.set(pod.name, known)
        const ageSeconds = Math.max(1, (this.#clock.monotonicMs() - known.seenAtMs) / 1000)
        return { name: pod.name, report: known.report, ageSeconds, silence: answer.silence }
      }),
    )
    this.#remembered.set(clusterUid, after)
    return sightings
  }

  forget(clusterUid: string): void {
    this.#remembered.delete(clusterUid)
  }

  async #ask(
    pod: PodFacts,
    signal: AbortSignal,
  ): Promise<{ readonly report: MemberReport } | { readonly silence: string }> {
    const baseUrl = memberBaseUrl(pod)
    if (baseUrl === undefined) return { silence: 'its pod has no address' }
    const answer = await this.#client.status(baseUrl, { signal })
    if (answer.kind === 'silent') return { silence: `${answer.reason}, ${answer.detail}` }
    if (answer.status.name !== pod.name) {
      return { silence: `at its address ${answer.status.name} answers` }
    }
    return { report: reportOf(answer.status) }
  }
}

/** Where its REST API is; undefined while its container does not run. By address: a name may resolve late. */
export function memberBaseUrl(pod: PodFacts): string | undefined {
  if (pod.ip === undefined || pod.container !== 'running') return undefined
  const host = pod.ip.includes(':') ? `[${pod.ip}]` : pod.ip
  return `http://${host}:${PORTS.api}`
}

function reportOf(status: Status): MemberReport {
  const { clusterId, memberId, incarnation, notReadyReason, role, term, leader } = status
  const { committed, applied, lastIndex, lastLogTerm, membershipEpoch } = status
  const { state, detail } = status.dataDirectory
  return {
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(memberId === undefined ? {} : { memberId }),
    ...(incarnation === undefined ? {} : { incarnation }),
    version: status.version,
    state: status.state,
    dataDirectory: { state, ...(detail === undefined ? {} : { detail }) },
    ready: status.ready,
    ...(notReadyReason === undefined ? {} : { notReadyReason }),
    alarms: status.alarms,
    ...(role === undefined ? {} : { role }),
    ...(term === undefined ? {} : { term }),
    ...(leader === undefined ? {} : { leader }),
    ...(committed === undefined ? {} : { committed }),
    ...(applied === undefined ? {} : { applied }),
    ...(lastIndex === undefined ? {} : { lastIndex }),
    ...(lastLogTerm === undefined ? {} : { lastLogTerm }),
    ...(membershipEpoch === undefined ? {} : { membershipEpoch }),
    configuration: status.members.map(({ id, name, role: kind }) => ({ id, name, role: kind })),
  }
}
