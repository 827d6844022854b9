// Asks a member for its status. Whatever it answers is data from outside: checked before anybody decides by it, and
// bounded in size and time.

import type { Timers } from '../../../lib/clock.ts'
import type { Status } from '../../../member/src/rest/contract.ts'
import { Deadline } from '../deadline.ts'
import { closeAgents, memberAgents, openGet, readText, silenceOf } from './http-get.ts'
import type { MemberTrust } from './trust.ts'
import type { MemberAnswer, MemberClient } from './member-client.ts'

const STATUS_TIMEOUT_MS = 2000
/** Nine members with all their URLs are a few kilobytes. */
const STATUS_BYTES_MAX = 256 * 1024

export interface StatusClientOptions {
  readonly timers: Timers
  readonly trust: MemberTrust
  readonly timeoutMs?: number | undefined
}

export class StatusClient implements MemberClient {
  readonly #options: StatusClientOptions
  readonly #agents = memberAgents()

  constructor(options: StatusClientOptions) {
    this.#options = options
  }

  async status(
    baseUrl: string,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<MemberAnswer> {
    const { timers, timeoutMs = STATUS_TIMEOUT_MS } = this.#options
    const deadline = new Deadline({ timers, timeoutMs, signal })
    try {
      const answer = await openGet(new URL('/v1/status', baseUrl), {
        agents: this.#agents,
        trust: this.#options.trust,
        accept: 'application/json',
        signal: deadline.signal,
      })
      const text = await readText(answer, STATUS_BYTES_MAX)
      if (text === undefined) return malformed('its answer is too large')
      if (answer.statusCode !== 200) return malformed(`it answers ${answer.statusCode ?? 0}`)
      return readStatus(text)
    } catch (error) {
      if (signal.aborted) throw error
      return silenceOf(error, deadline.hasPassed)
    } finally {
      deadline.cancel()
    }
  }

  close(): void {
    closeAgents(this.#agents)
  }
}

function readStatus(text: string): MemberAnswer {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    return malformed('its answer is not JSON')
  }
  const problem = problemOf(content)
  if (problem !== undefined) return malformed(problem)
  return { kind: 'answered', status: content as Status }
}

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string'
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0
const isFlag: Check = (value) => typeof value === 'boolean'
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const listOf =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    Array.isArray(value) && value.every((item) => isRecord(item) && hasFields(item, fields))
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value)
const oneOf =
  (...accepted: readonly string[]): Check =>
  (value) =>
    accepted.some((one) => one === value)

/**
 * What somebody decides by. A value we do not know of a state we do know the name of is refused; fields we do not know are
 * from a newer member and let be.
 */
const FIELDS: Readonly<Record<string, Check>> = {
  name: isText,
  version: isText,
  clusterId: optional(isText),
  memberId: optional(isText),
  incarnation: optional(isCount),
  state: oneOf('starting', 'recovering', 'running', 'parked', 'stopping', 'failed'),
  startupPhase: isText,
  ready: isFlag,
  role: optional(oneOf('follower', 'preCandidate', 'candidate', 'leader', 'learner')),
  term: optional(isCount),
  leader: optional(isText),
  committed: optional(isCount),
  applied: optional(isCount),
  lastIndex: optional(isCount),
  membershipEpoch: optional(isCount),
  featureLevel: optional(isCount),
  knownFeatureLevel: optional(isCount),
  quotaBytes: optional(isCount),
  quotaUsedBytes: optional(isCount),
  diskBytes: optional(isCount),
  diskFreeBytes: optional(isCount),
  configFile: optional(
    (value) =>
      isRecord(value) && hasFields(value, { epoch: optional(isCount), problem: optional(isText) }),
  ),
  dataDirectory: (value) => isRecord(value) && isText(value['state']),
  members: listOf({ id: isText, name: isText, role: oneOf('voter', 'learner') }),
  peers: listOf({ id: isText, connected: isFlag, match: optional(isCount) }),
  alarms: (value) => Array.isArray(value) && value.every(isText),
}

function problemOf(content: unknown): string | undefined {
  if (!isRecord(content)) return 'its answer is not an object'
  const wrong = Object.entries(FIELDS).find(([field, check]) => !check(content[field]))
  return wrong === undefined ? undefined : `its ${wrong[0]} makes no sense`
}

function hasFields(item: object, fields: Readonly<Record<string, Check>>): boolean {
  const record = item as Readonly<Record<string, unknown>>
  return Object.entries(fields).every(([field, check]) => check(record[field]))
}

function malformed(detail: string): MemberAnswer {
  return { kind: 'silent', reason: 'malformed', detail }
}
