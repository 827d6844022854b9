// What members said last: asked anew in each pass, all at once, and remembered for as long as the same pod lives. The only
// thing the operator remembers between passes that decides what the status says; without it, it asks again.

import type { Clock, Timers } from '../../../lib/clock.ts'
import type { Status } from '../../../member/src/rest/contract.ts'
import { memberBaseUrl } from '../api/member-url.ts'
import type { MemberAnswer, MemberClient } from '../member-client/member-client.ts'
import type { MemberReport, MemberSighting, PodFacts, StorageReport } from './observed.ts'

/**
 * How long a pass waits for a member that answered lately. One that hangs must not hold up what the others say, the name
 * of a new leader above all; its answer still counts when it comes.
 */
const PATIENCE_MS = 500

interface Remembered {
  readonly podUid: string
  readonly report: MemberReport
  readonly seenAtMs: number
}

type MembershipFileReport = NonNullable<MemberReport['membershipFile']>
type ConfigFileReport = NonNullable<MemberReport['configFile']>
type PeerReport = MemberReport['peers'][number]

type Answer =
  | { readonly kind: 'answered'; readonly report: MemberReport }
  /** `gone`: nobody listens there, so that what it said before counts no more. */
  | { readonly kind: 'silent' | 'gone'; readonly silence: string }

export interface SightingsOptions {
  readonly client: MemberClient
  readonly clock: Clock
  readonly timers: Timers
}

export class Sightings {
  readonly #options: SightingsOptions
  /** By uid of the RaftCluster, then by name of the member. Bounded by the members there are. */
  readonly #remembered = new Map<string, Map<string, Remembered>>()

  constructor(options: SightingsOptions) {
    this.#options = options
  }

  async look(
    clusterUid: string,
    pods: readonly PodFacts[],
    signal: AbortSignal,
  ): Promise<readonly MemberSighting[]> {
    const remembered = this.#remembered.get(clusterUid) ?? new Map<string, Remembered>()
    this.#remembered.set(clusterUid, remembered)
    for (const [name, { podUid }] of remembered) {
      if (!pods.some((pod) => pod.name === name && pod.uid === podUid)) remembered.delete(name)
    }
    return await Promise.all(pods.map((pod) => this.#lookAt(pod, remembered, signal)))
  }

  forget(clusterUid: string): void {
    this.#remembered.delete(clusterUid)
  }

  async #lookAt(
    pod: PodFacts,
    remembered: Map<string, Remembered>,
    signal: AbortSignal,
  ): Promise<MemberSighting> {
    const { name, uid } = pod
    const asking = this.#ask(pod, signal).then((answer) => {
      if (answer.kind === 'answered') {
        const seenAtMs = this.#options.clock.monotonicMs()
        remembered.set(name, { podUid: uid, report: answer.report, seenAtMs })
      } else if (answer.kind === 'gone') {
        remembered.delete(name)
      }
      return answer
    })
    const answer = remembered.has(name) ? await this.#soon(asking) : await asking
    if (answer.kind === 'answered') return { name, report: answer.report, ageSeconds: 0 }
    const { silence } = answer
    const known = remembered.get(name)
    if (known === undefined) return { name, ageSeconds: 0, silence }
    const ageSeconds = Math.max(1, (this.#options.clock.monotonicMs() - known.seenAtMs) / 1000)
    return { name, report: known.report, ageSeconds, silence }
  }

  async #soon(asking: Promise<Answer>): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const timer = this.#options.timers.after(PATIENCE_MS, () => {
      resolve({ kind: 'silent', silence: 'no answer yet' })
    })
    try {
      return await Promise.race([asking, promise])
    } finally {
      timer.cancel()
    }
  }

  async #ask(pod: PodFacts, signal: AbortSignal): Promise<Answer> {
    const baseUrl = memberBaseUrl(pod)
    if (baseUrl === undefined) return { kind: 'gone', silence: 'its pod has no address' }
    const { client } = this.#options
    const first = await client.status(baseUrl, { signal })
    // A connection that was kept open breaks when its process ends, and also when it was idle for too long.
    const isBroken = first.kind === 'silent' && first.reason === 'failed'
    return answerOf(pod, isBroken ? await client.status(baseUrl, { signal }) : first)
  }
}

function answerOf(pod: PodFacts, answer: MemberAnswer): Answer {
  if (answer.kind === 'answered') {
    if (answer.status.name === pod.name) {
      return { kind: 'answered', report: reportOf(answer.status) }
    }
    return { kind: 'gone', silence: `at its address ${answer.status.name} answers` }
  }
  const isGone = answer.reason === 'refused' || answer.reason === 'failed'
  return { kind: isGone ? 'gone' : 'silent', silence: `${answer.reason}, ${answer.detail}` }
}

function reportOf(status: Status): MemberReport {
  const { clusterId, memberId, incarnation, notReadyReason, role, term, leader } = status
  const { committed, applied, lastIndex, lastLogTerm, membershipEpoch, membershipFile } = status
  const { featureLevel, knownFeatureLevel } = status
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
    ...(featureLevel === undefined ? {} : { featureLevel }),
    ...(knownFeatureLevel === undefined ? {} : { knownFeatureLevel }),
    ...(membershipFile === undefined ? {} : { membershipFile: fileOf(membershipFile) }),
    ...(status.configFile === undefined ? {} : { configFile: configOf(status.configFile) }),
    ...(status.tls === undefined ? {} : { tls: tlsOf(status.tls) }),
    storage: storageOf(status),
    peers: status.peers.map(peerOf),
    configuration: status.members.map(({ id, name, role: kind }) => ({ id, name, role: kind })),
  }
}

function fileOf({ epoch, listed }: NonNullable<Status['membershipFile']>): MembershipFileReport {
  return {
    ...(epoch === undefined ? {} : { epoch }),
    ...(listed === undefined ? {} : { listed }),
  }
}

function storageOf(status: Status): StorageReport {
  const { quotaBytes, quotaUsedBytes, diskBytes, diskFreeBytes } = status
  return {
    ...(quotaBytes === undefined ? {} : { quotaBytes }),
    ...(quotaUsedBytes === undefined ? {} : { quotaUsedBytes }),
    ...(diskBytes === undefined ? {} : { diskBytes }),
    ...(diskFreeBytes === undefined ? {} : { diskFreeBytes }),
  }
}

function configOf({ epoch, problem }: NonNullable<Status['configFile']>): ConfigFileReport {
  return {
    ...(epoch === undefined ? {} : { epoch }),
    ...(problem === undefined ? {} : { problem }),
  }
}

function tlsOf({ client, peer }: NonNullable<Status['tls']>): NonNullable<MemberReport['tls']> {
  return {
    ...(client === undefined ? {} : { client: useOf(client) }),
    ...(peer === undefined ? {} : { peer: useOf(peer) }),
  }
}

function useOf({ certificate, trusts = [] }: NonNullable<NonNullable<Status['tls']>['peer']>) {
  return { ...(certificate === undefined ? {} : { certificate: certificate.sha256 }), trusts }
}

function peerOf({ id, match, progress, active }: Status['peers'][number]): PeerReport {
  return {
    id,
    ...(match === undefined ? {} : { match }),
    ...(progress === undefined ? {} : { progress }),
    ...(active === undefined ? {} : { active }),
  }
}
