// Histories of a store that behaves, or misbehaves in one stated way, under random concurrency: for the checker's own test
// and for measuring its speed.

import type { Prng } from '../../../lib/prng.ts'
import { History, type Operation, type ReadValue, type Request, type Response } from './history.ts'

export const PERTURBATIONS = [
  /** Behaves. */
  'none',
  /** A put that is acknowledged and forgotten. */
  'lostWrite',
  /** A read of the state as it was a few operations ago. */
  'staleRead',
  /** A put that takes effect twice. */
  'appliedTwice',
  /** A put that took effect and is reported as certainly failed. */
  'failedButApplied',
  /** An answer with one number changed. */
  'wrongNumber',
] as const
export type Perturbation = (typeof PERTURBATIONS)[number]

interface Running {
  readonly id: number
  readonly request: Request
  response: Response | undefined
}

export interface RandomHistoryOptions {
  readonly prng: Prng
  readonly operations: number
  readonly clients: number
  readonly keys: number
  /** One in so many operations ends unknown; 0: none. */
  readonly unknownOneIn: number
  readonly perturbation: Perturbation
}

export function randomHistory(options: RandomHistoryOptions): readonly Operation[] {
  const store = new RandomStore(options)
  while (store.history.operations.length < options.operations || store.runningCount > 0)
    store.step()
  return store.history.operations
}

class RandomStore {
  readonly history = new History()
  readonly #options: RandomHistoryOptions
  readonly #prng: Prng
  #running: Running[] = []
  /** Gave up waiting: may take effect at any time. */
  readonly #forgotten: Running[] = []
  #keys = new Map<string, ReadValue>()
  #revision = 1
  readonly #past: { revision: number; keys: Map<string, ReadValue> }[] = []

  constructor(options: RandomHistoryOptions) {
    this.#options = options
    this.#prng = options.prng
  }

  get runningCount(): number {
    return this.#running.length
  }

  step(): void {
    const { operations, clients } = this.#options
    const canStart = this.#running.length < clients && this.history.operations.length < operations
    const choice = this.#prng.next(canStart ? 4 : 3)
    if (choice === 3 || this.#running.length === 0) {
      if (canStart) this.#start()
      return
    }
    if (choice === 0 && this.#forgotten.length > 0 && this.#prng.next(4) === 0) {
      this.#takeEffect(this.#forgotten.splice(this.#prng.next(this.#forgotten.length), 1)[0]!)
      return
    }
    const running = this.#running[this.#prng.next(this.#running.length)]!
    if (running.response === undefined) this.#takeEffect(running)
    else this.#end(running, running.response)
  }

  #start(): void {
    const { keys, clients } = this.#options
    const key = `k${this.#prng.next(keys)}`
    const number = this.history.operations.length
    const choice = this.#prng.next(5)
    const request: Request =
      choice < 2
        ? { type: 'put', key, value: `v${number}` }
        : choice === 2
          ? { type: 'delete', key }
          : { type: 'get', key }
    const id = this.history.invoke({
      client: `c${number % clients}`,
      via: 'store',
      request,
      nowMs: number,
    })
    const running = { id, request, response: undefined }
    const { unknownOneIn } = this.#options
    if (unknownOneIn > 0 && this.#prng.next(unknownOneIn) === 0) {
      this.#forgotten.push(running)
      this.history.end(id, { type: 'unknown', detail: '' }, number)
    } else {
      this.#running.push(running)
    }
  }

  #takeEffect(running: Running): void {
    const { perturbation } = this.#options
    const hits = (name: Perturbation): boolean => perturbation === name && this.#prng.next(3) === 0
    if (running.request.type === 'get') {
      const past = this.#past[Math.max(0, this.#past.length - 1 - this.#prng.next(4))]
      const state =
        past !== undefined && hits('staleRead')
          ? past
          : { revision: this.#revision, keys: this.#keys }
      const kv = state.keys.get(running.request.key)
      running.response = { type: 'get', revision: state.revision, kv }
    } else {
      const before = { revision: this.#revision, keys: this.#keys }
      running.response = this.#write(running.request)
      if (hits('appliedTwice')) this.#write(running.request)
      if (hits('lostWrite')) ({ revision: this.#revision, keys: this.#keys } = before)
      else this.#past.push(before)
    }
    if (hits('wrongNumber')) running.response = this.#spoil(running.response)
  }

  #write(request: Exclude<Request, { type: 'get' }>): Response {
    const old = this.#keys.get(request.key)
    if (request.type === 'delete' && old === undefined)
      return { type: 'delete', revision: this.#revision, deleted: 0 }
    this.#keys = new Map(this.#keys)
    const revision = ++this.#revision
    if (request.type === 'delete') {
      this.#keys.delete(request.key)
      return { type: 'delete', revision, deleted: 1 }
    }
    const createRevision = old?.createRevision ?? revision
    const version = (old?.version ?? 0) + 1
    const kv = { value: request.value, createRevision, modRevision: revision, version }
    this.#keys.set(request.key, kv)
    return { type: 'put', revision, version, createRevision }
  }

  #spoil(response: Response): Response {
    const change = this.#prng.next(2) === 0 ? 1 : -1
    const choice = this.#prng.next(3)
    if (choice === 0) return { ...response, revision: response.revision + change }
    if (response.type === 'put')
      return choice === 1
        ? { ...response, version: response.version + change }
        : { ...response, createRevision: response.createRevision + change }
    if (response.type === 'delete') return { ...response, deleted: 1 - response.deleted }
    if (response.kv === undefined) return response
    const field = (['version', 'modRevision', 'createRevision'] as const)[this.#prng.next(3)]!
    return { ...response, kv: { ...response.kv, [field]: response.kv[field] + change } }
  }

  #end(running: Running, response: Response): void {
    this.#running = this.#running.filter((other) => other !== running)
    const { perturbation } = this.#options
    const isDenied =
      perturbation === 'failedButApplied' &&
      running.request.type !== 'get' &&
      this.#prng.next(3) === 0
    const nowMs = this.history.operations.length
    this.history.end(
      running.id,
      isDenied ? { type: 'failed', detail: '' } : { type: 'done', response },
      nowMs,
    )
  }
}
