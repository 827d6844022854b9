// Clients: each sends one request after the other to some member and records what it saw. Values are unique. A request
// whose member dies, or that gets no answer in time, has an unknown outcome; its client goes on with others.

import { RaftbaseError } from '../../lib/errors.ts'
import type { Prng } from '../../lib/prng.ts'
import type { Member } from '../../member/src/node/member.ts'
import type { KeyValue } from '../../member/src/node/member-node.ts'
import type { History, Outcome, ReadValue, Request, Response } from './checkers/history.ts'
import type { SimMember } from './member.ts'
import type { SimProcess } from './process.ts'
import type { World } from './world.ts'

export interface WorkloadProfile {
  readonly clients: number
  readonly keys: number
  /** A client rests up to twice as long between two requests. */
  readonly thinkMs: number
  readonly timeoutMs: number
  /** Of 100 requests; the rest are linearizable reads. */
  readonly puts: number
  readonly deletes: number
  readonly serializable: number
  /** Values are filled up to so many characters. */
  readonly valueBytes: number
}

/** What became of one request, for checkers of waiting times. */
export interface Answer {
  readonly via: SimMember
  readonly request: Request
  readonly outcome: Outcome
  readonly startedMs: number
  readonly elapsedMs: number
  readonly timeoutMs: number
  /** Its member was paused or died meanwhile: it owes nothing. */
  readonly isDisturbed: boolean
}

export interface WorkloadOptions {
  readonly world: World
  readonly prng: Prng
  readonly profile: WorkloadProfile
  readonly history: History
  readonly members: () => readonly SimMember[]
  readonly onAnswer: (answer: Answer) => void
}

/** How long a client waits beyond the deadline it gave. */
const PATIENCE_MS = 1000
const RETRY_MS = 100

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export class Workload {
  readonly #options: WorkloadOptions
  #isStopped = false
  #valueCount = 0

  constructor(options: WorkloadOptions) {
    this.#options = options
  }

  start(): void {
    for (let i = 0; i < this.#options.profile.clients; i++) this.#later(`c${i + 1}`)
  }

  /** No client sends anything more; what runs may end. */
  stop(): void {
    this.#isStopped = true
  }

  /** One write now through `via`; resolves to its outcome. */
  put(via: SimMember, client: string, timeoutMs: number): Promise<Outcome> {
    const request: Request = { type: 'put', key: `probe-${client}`, value: this.#nextValue(client) }
    return new Promise((resolve) => this.#send({ client, via, request, timeoutMs, onEnd: resolve }))
  }

  /** One linearizable read now through `via`. */
  get(via: SimMember, client: string, key: string, timeoutMs: number): Promise<Outcome> {
    const request: Request = { type: 'get', key }
    return new Promise((resolve) => this.#send({ client, via, request, timeoutMs, onEnd: resolve }))
  }

  #later(client: string, atLeastMs = 0): void {
    const { world, prng, profile } = this.#options
    const thinkMs = (profile.thinkMs * 2 * prng.next(1024)) / 1024
    const delayMs = Math.max(atLeastMs, thinkMs)
    world.schedule({ delayMs, run: () => this.#next(client) })
  }

  #next(client: string): void {
    if (this.#isStopped) return
    const { prng, members, profile } = this.#options
    const all = members()
    const via = all[prng.next(all.length)]!
    if (via.member === undefined) return this.#later(client, RETRY_MS)
    const request = this.#nextRequest(client)
    const { timeoutMs } = profile
    this.#send({ client, via, request, timeoutMs, onEnd: () => this.#later(client) })
  }

  #nextRequest(client: string): Request {
    const { prng, profile } = this.#options
    const key = `k${prng.next(profile.keys)}`
    const dice = prng.next(100)
    if (dice < profile.puts) return { type: 'put', key, value: this.#nextValue(client) }
    if (dice < profile.puts + profile.deletes) return { type: 'delete', key }
    if (dice < profile.puts + profile.deletes + profile.serializable) {
      return { type: 'get', key, serializable: true }
    }
    return { type: 'get', key }
  }

  #nextValue(client: string): string {
    const { prng, profile } = this.#options
    const value = `${client}.${++this.#valueCount}`
    return value.padEnd(prng.next(profile.valueBytes + 1), '.')
  }

  #send(options: {
    readonly client: string
    readonly via: SimMember
    readonly request: Request
    readonly timeoutMs: number
    readonly onEnd: (outcome: Outcome) => void
  }): void {
    const { client, via, request, timeoutMs, onEnd } = options
    const { world, prng, history, onAnswer } = this.#options
    const { member, process } = via
    const startedMs = world.nowMs
    const id = history.invoke({ client, via: via.name, request, nowMs: startedMs })
    if (member === undefined || process === undefined) {
      const outcome: Outcome = { type: 'failed', detail: 'not running' }
      history.end(id, outcome, startedMs)
      return onEnd(outcome)
    }
    const { pauseCount, isPaused } = process
    let isOver = false
    const end = (outcome: Outcome): void => {
      if (isOver) return
      isOver = true
      forget()
      giveUp.cancel()
      history.end(id, outcome, world.nowMs)
      const isDisturbed = !process.isAlive || isPaused || process.pauseCount > pauseCount
      const elapsedMs = (world.nowMs - startedMs) * via.clockRate
      onAnswer({ via, request, outcome, startedMs, elapsedMs, timeoutMs, isDisturbed })
      onEnd(outcome)
    }
    const lost = (detail: string): void => world.act(() => end(unknownOutcome(request, detail)))
    const forget = process.onKill(() => {
      world.schedule({ delayMs: 1, run: () => lost('connection lost') })
    })
    const giveUp = world.schedule({
      delayMs: (timeoutMs + PATIENCE_MS) / via.clockRate,
      run: () => lost('no answer'),
    })
    const travelMs = (): number => 0.05 + prng.next(1000) / 1000
    const answer = (outcome: Outcome): void => {
      world.schedule({ delayMs: travelMs(), run: () => world.act(() => end(outcome)) })
    }
    world.schedule({
      delayMs: travelMs(),
      owner: process,
      run: () => world.act(() => this.#serve({ member, process, request, timeoutMs, answer })),
    })
  }

  /** In the member's process. */
  #serve(options: {
    readonly member: Member
    readonly process: SimProcess
    readonly request: Request
    readonly timeoutMs: number
    readonly answer: (outcome: Outcome) => void
  }): void {
    const { member, process, request, timeoutMs, answer } = options
    process.callCount++
    const run = async (): Promise<void> => {
      const outcome = await perform(member, request, timeoutMs)
      process.callCount--
      answer(outcome)
    }
    run().catch((error: unknown) => this.#options.world.fail(error))
  }
}

/** Whatever is no answer of ours is thrown. */
async function perform(member: Member, request: Request, timeoutMs: number): Promise<Outcome> {
  try {
    return { type: 'done', response: await ask(member, request, timeoutMs) }
  } catch (error) {
    if (!(error instanceof RaftbaseError)) throw error
    return outcomeOf(request, error)
  }
}

async function ask(member: Member, request: Request, timeoutMs: number): Promise<Response> {
  const key = encoder.encode(request.key)
  const options = { timeoutMs }
  switch (request.type) {
    case 'put': {
      const result = await member.put({ key, value: encoder.encode(request.value) }, options)
      return { type: 'put', ...result }
    }
    case 'delete': {
      const result = await member.delete({ key }, options)
      return { type: 'delete', ...result }
    }
    default: {
      const consistency = request.serializable === true ? 'serializable' : 'linearizable'
      const { revision, kv } = await member.get({ key, consistency }, options)
      const value = kv === undefined ? undefined : readValue(kv)
      return { type: 'get', revision, kv: value }
    }
  }
}

export function readValue(kv: KeyValue): ReadValue {
  const { createRevision, modRevision, version } = kv
  return { value: decoder.decode(kv.value), createRevision, modRevision, version }
}

function outcomeOf(request: Request, error: RaftbaseError): Outcome {
  if (error.code === 'OUTCOME_UNKNOWN') return unknownOutcome(request, error.message)
  return { type: 'failed', detail: error.code }
}

/** A read without an answer changed nothing. */
function unknownOutcome(request: Request, detail: string): Outcome {
  return request.type === 'get' ? { type: 'failed', detail } : { type: 'unknown', detail }
}
