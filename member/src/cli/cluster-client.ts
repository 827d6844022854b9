// A running cluster, asked through whichever member answers. Endpoints are tried in order and the leader is found from any
// of them. A change is asked for again until an answer comes or time is up: members answer one that has happened already as
// done, so repeating it after a lost answer is safe.

import { systemClock, systemTimers } from '../../../lib/clock.ts'
import type { Membership, Nodes, Problem } from '../rest/contract.ts'
import type { ClientFlags } from './client-settings.ts'
import {
  MemberClient,
  type MemberRequest,
  ProblemError,
  reasonOf,
  UnreachableError,
} from './member-client.ts'

/** Of one attempt: a leader that hangs has a successor by then. */
const ATTEMPT_MS = 3000
/** Beyond the deadline that the member was given, for its answer to arrive. */
const ANSWER_GRACE_MS = 500
const PAUSE_MS = 100
/** A local read waits for nothing. */
const READ_MS = 2000

export type Change = Pick<MemberRequest, 'method' | 'path' | 'body'> & {
  readonly expectedEpoch?: number | undefined
  /** Whether TIMEOUT is an answer: it was tried, and repeating it is for the caller to decide. */
  readonly isTriedOnce?: boolean
}

type Json = Readonly<Record<string, unknown>>

/** Why there was no answer in the end. */
export class GaveUpError extends Error {
  /** Whether the change may have happened, or may still happen. */
  readonly isInDoubt: boolean

  constructor(message: string, options: { readonly isInDoubt: boolean }) {
    super(message)
    this.name = 'GaveUpError'
    this.isInDoubt = options.isInDoubt
  }
}

export class ClusterClient {
  readonly #client: MemberClient
  readonly #endpoints: readonly string[]
  /** Where the members say they are: asked when no endpoint helps. */
  readonly #learnt = new Set<string>()
  readonly #deadlineMs: number

  constructor({ endpoints, timeoutMs, tls }: Pick<ClientFlags, 'endpoints' | 'timeoutMs' | 'tls'>) {
    this.#client = new MemberClient({ timeoutMs: Math.min(timeoutMs, READ_MS), tls })
    this.#endpoints = endpoints
    this.#deadlineMs = systemClock.monotonicMs() + timeoutMs
  }

  get endpoints(): readonly string[] {
    return this.#endpoints
  }

  get members(): MemberClient {
    return this.#client
  }

  get leftMs(): number {
    return this.#deadlineMs - systemClock.monotonicMs()
  }

  /** Whether there is time for another attempt after a pause. */
  get hasTime(): boolean {
    return this.leftMs > 2 * PAUSE_MS
  }

  /** The first endpoint that knows who the members are, and what it says. */
  async nodes(): Promise<{ readonly apiUrl: string; readonly nodes: Nodes['nodes'] }> {
    const found = await this.#first(async (apiUrl) => {
      const nodes = await this.#client.nodes(apiUrl)
      if (nodes.length === 0) throw new UnreachableError('does not take part in a cluster now')
      return { apiUrl, nodes }
    })
    for (const { apiUrls } of found.nodes) for (const url of apiUrls) this.#learnt.add(url)
    return found
  }

  /** The membership as the leader has it; as whoever answers has it while none can be reached. */
  async membership(): Promise<Membership> {
    const { apiUrl, nodes } = await this.nodes()
    const leader = nodes.find(({ status }) => status === 'leader')
    const urls = [...(leader?.apiUrls ?? []), apiUrl]
    return this.#first(async (url) => {
      const answer = await this.#client.request({
        method: 'GET',
        apiUrl: url,
        path: '/cluster/members',
      })
      if (!Array.isArray(answer['members'])) throw new UnreachableError('no answer of a member')
      return answer as unknown as Membership
    }, urls)
  }

  /** Has the leader do it. Rejects with ProblemError when it is refused, GaveUpError when there is no answer. */
  async change(change: Change): Promise<Json> {
    let isInDoubt = false
    for (;;) {
      const round = await this.#round(change)
      if ('answer' in round) return round.answer
      isInDoubt ||= round.isInDoubt
      const { last } = round
      const isHopeless = !round.isReached && !isInDoubt
      if (isHopeless || !this.hasTime) {
        if (last instanceof ProblemError && !isInDoubt) throw last
        const why = isHopeless ? reasonOf(last) : `gave up in the end; last: ${reasonOf(last)}`
        throw new GaveUpError(why, { isInDoubt })
      }
      await this.pause()
    }
  }

  async pause(): Promise<void> {
    await new Promise<void>((resolve) => void systemTimers.after(PAUSE_MS, resolve))
  }

  close(): void {
    this.#client.close()
  }

  /** Asks each address once, one that a member names as the leader's first. Throws a refusal that no repeating cures. */
  async #round(change: Change): Promise<Round> {
    const queue = [...this.#endpoints, ...this.#learnt]
    const asked = new Set<string>()
    let isReached = false
    let isInDoubt = false
    let last: unknown = new UnreachableError('no time was left to ask anybody')
    for (let apiUrl = queue.shift(); apiUrl !== undefined; apiUrl = queue.shift()) {
      if (asked.has(apiUrl) || this.leftMs < 1) continue
      asked.add(apiUrl)
      try {
        return { answer: await this.#attempt(apiUrl, change) }
      } catch (error) {
        if (error instanceof ProblemError) {
          const isOver = change.isTriedOnce === true && error.problem.code === 'TIMEOUT'
          if (isOver || !isPassing(error.problem)) throw error
          isReached = true
          isInDoubt ||= error.problem.outcome === 'unknown'
          const leaderUrls = error.problem.leaderApiUrls ?? []
          for (const url of leaderUrls) this.#learnt.add(url)
          queue.unshift(...leaderUrls)
          // The leader has answered: the others could only point to it.
          if (isOfTheLeader(error.problem)) return { isReached, isInDoubt, last: error }
        } else if (!(error instanceof UnreachableError)) {
          isInDoubt = true
        }
        // What a member says of itself tells more than that another one is not there.
        if (tellsMore(error, last)) last = error
      }
    }
    return { isReached, isInDoubt, last }
  }

  #attempt(apiUrl: string, { method, path, body, expectedEpoch }: Change): Promise<Json> {
    const timeoutMs = Math.max(1, Math.min(ATTEMPT_MS, Math.floor(this.leftMs)))
    const query = new URLSearchParams({ timeout: `${timeoutMs}ms` })
    if (expectedEpoch !== undefined) query.set('expectedEpoch', String(expectedEpoch))
    return this.#client.request({
      method,
      apiUrl,
      path: `${path}?${query.toString()}`,
      ...(body === undefined ? {} : { body }),
      timeoutMs: timeoutMs + ANSWER_GRACE_MS,
    })
  }

  /** What the first address that answers says; rejects with what each of them said. */
  async #first<T>(
    ask: (apiUrl: string) => Promise<T>,
    urls: readonly string[] = this.#endpoints,
  ): Promise<T> {
    const reasons: string[] = []
    for (const url of new Set(urls)) {
      try {
        return await ask(url)
      } catch (error) {
        reasons.push(`${url}: ${reasonOf(error)}`)
      }
    }
    throw new UnreachableError(reasons.join('; '))
  }
}

/** A refusal with a reason before "ask another one", and that before nothing at all. */
function tellsMore(error: unknown, before: unknown): boolean {
  return weightOf(error) >= weightOf(before)
}

function weightOf(error: unknown): number {
  if (!(error instanceof ProblemError)) return 0
  return error.problem.code === 'NOT_LEADER' ? 1 : 2
}

type Round =
  | { readonly answer: Json }
  /** `isReached`: a member answered. `isInDoubt`: the change may have happened. */
  | { readonly isReached: boolean; readonly isInDoubt: boolean; readonly last: unknown }

const PASSING: ReadonlySet<string> = new Set([
  'NOT_LEADER',
  'NO_LEADER',
  'OVERLOADED',
  'TIMEOUT',
  'OUTCOME_UNKNOWN',
  'SHUTTING_DOWN',
])

const LEADERS_REASONS: ReadonlySet<string> = new Set([
  'silent',
  'transferring',
  'notReady',
  'confChangePending',
])

function isOfTheLeader({ reason }: Problem): boolean {
  return reason !== undefined && LEADERS_REASONS.has(reason)
}

/** Whether asking again may bring another answer without anybody doing something. */
function isPassing({ code, reason, match }: Problem & { readonly match?: unknown }): boolean {
  // A learner that is behind is the caller's to wait for; a leader that is too new is not.
  if (code === 'NOT_READY') return match === undefined
  if (code === 'MEMBERSHIP_CONFLICT') return reason === 'confChangePending'
  return PASSING.has(code)
}
