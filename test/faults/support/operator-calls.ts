// What an operator asks of the members while everything else happens: of each in turn, until one says that it is so, and then
// once more, because every call has to be safe to repeat. The first attempt and one in so many after it are cut off once they
// were sent: the answer is lost, whatever has become of it.

import { request } from 'node:http'
import type { MemberProcess } from '../../support/process-cluster.ts'
import { sleep } from './duration.ts'
import { type FaultRun, PATIENCE_MS } from './fault-run.ts'
import type { Nemesis } from './nemesis.ts'

/** Shorter than an election: many answers do not come in time. */
const ANSWER_MS = 700
const CUT_ONE_IN = 3
/** After the last byte was sent. */
const CUT_MS_MAX = 10
/** Nothing that is asked is malformed, and nothing of it is about what does not exist. */
const NEVER = new Set([400, 404, 405, 413, 415, 500])

export interface Question {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly body?: object
}

export interface Answered {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export interface Expectation {
  /** What the membership is, as `ID role` of each member, at the epoch that was answered. */
  readonly holds: (members: readonly string[]) => boolean
  /** Before each attempt. */
  readonly meanwhile?: () => void
}

interface Listed {
  readonly epoch: number
  readonly members: readonly { readonly name: string }[]
}

export class OperatorCalls {
  readonly run: FaultRun
  readonly #nemesis: Nemesis
  sent = 0
  /** Connections that were cut after the request had been sent. */
  cut = 0
  /** Calls that nobody answered in time. */
  unanswered = 0
  #newest: Listed | undefined
  /** The highest that anybody has told. */
  #epoch: number | undefined

  constructor(run: FaultRun, nemesis: Nemesis) {
    this.run = run
    this.#nemesis = nemesis
  }

  get summary(): string {
    return `${this.sent} calls, ${this.cut} of them cut off and ${this.unanswered} not answered in time`
  }

  /** Whom the newest acknowledged membership names: what a member that joins is started with. */
  get listed(): readonly MemberProcess[] {
    const { members, founders } = this.run.cluster
    const names = new Set(this.#newest?.members.map(({ name }) => name))
    return names.size === 0 ? founders : members.filter(({ name }) => names.has(name))
  }

  /**
   * Asks for a change of membership, as it is asked for at the newest epoch that anybody has told, until the answer is 200, and then until it is so again. Rejects when that takes too long, or
   * at an answer that must never be.
   */
  async until(
    what: string,
    question: Question | ((epoch: number | undefined) => Question),
    { holds, meanwhile }: Expectation,
  ): Promise<void> {
    const untilMs = performance.now() + 2 * PATIENCE_MS
    let last: Answered | undefined
    let agreed = 0
    let wasCut = false
    while (performance.now() < untilMs) {
      meanwhile?.()
      this.#nemesis.supervise()
      const via = this.#somebody()
      const cutBefore = this.cut
      const asked = typeof question === 'function' ? question(this.#epoch) : question
      const answer = via === undefined ? undefined : await this.once(via, asked, !wasCut)
      wasCut ||= this.cut > cutBefore
      last = answer ?? last
      this.#hear(answer?.body['epoch'])
      if (answer?.status === 200) {
        this.#take(what, answer.body as unknown as Listed, holds)
        if (++agreed === 2) return
      }
      if (answer !== undefined && (NEVER.has(answer.status) || answer.body['reason'] === 'removed'))
        break
      await sleep(50)
    }
    const told = last === undefined ? 'nobody answered' : JSON.stringify(last)
    throw new Error(`${what}: ${told}\n${this.run.explain()}`)
  }

  /** Undefined: not answered, or cut off, which happens as soon as everything was sent if it is `lost` beforehand. */
  once(
    via: MemberProcess,
    { method, path, body }: Question,
    lost = false,
  ): Promise<Answered | undefined> {
    const { prng } = this.#nemesis
    this.sent++
    const isCut = lost || prng.next(CUT_ONE_IN) === 0
    const cutMs = lost ? 0 : prng.next(CUT_MS_MAX)
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const options = { method, headers, agent: false, timeout: ANSWER_MS } as const
    const answer = Promise.withResolvers<Answered | undefined>()
    let isOver = false
    const end = (answered: Answered | undefined, isCutOff = false): void => {
      if (isOver) return
      isOver = true
      if (isCutOff) this.cut++
      else if (answered === undefined) this.unanswered++
      answer.resolve(answered)
      call.destroy()
    }
    const call = request(`${via.api}${path}`, options, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.once('end', () => end(parse(response.statusCode, text)))
      response.on('error', () => end(undefined))
    })
    call.once('timeout', () => end(undefined))
    call.on('error', () => end(undefined))
    if (isCut) call.once('finish', () => setTimeout(() => end(undefined, true), cutMs))
    call.end(body === undefined ? undefined : JSON.stringify(body))
    return answer.promise
  }

  #take(what: string, listed: Listed, holds: Expectation['holds']): void {
    this.run.watch.acknowledge({ epoch: listed.epoch, what, holds })
    if (listed.epoch >= (this.#newest?.epoch ?? 0)) this.#newest = listed
  }

  #hear(epoch: unknown): void {
    if (typeof epoch === 'number') this.#epoch = Math.max(epoch, this.#epoch ?? 0)
  }

  #somebody(): MemberProcess | undefined {
    const { running } = this.run.cluster
    const asked = running.filter((member) => this.run.members.includes(member))
    return asked[this.#nemesis.prng.next(Math.max(1, asked.length))]
  }
}

function parse(status: number | undefined, text: string): Answered {
  try {
    return { status: status ?? 0, body: JSON.parse(text) as Answered['body'] }
  } catch {
    return { status: status ?? 0, body: { text } } // Shown as it is where it matters.
  }
}
