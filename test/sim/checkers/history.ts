// What clients saw: every operation with its start, its end and its answer, in the order of the events as one recorder saw
// them. The checkers read nothing else. Values of puts are unique within a history, which is what makes reads tell which
// put they saw. An operation without a definite end is unknown: it may have happened, and may still happen.

import { invariant, unreachable } from '../../../lib/assert.ts'

export type Request =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'delete'; readonly key: string }
  | { readonly type: 'get'; readonly key: string; readonly serializable?: boolean }

export interface ReadValue {
  readonly value: string
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
}

export type Response =
  | {
      readonly type: 'put'
      readonly revision: number
      readonly version: number
      readonly createRevision: number
    }
  /** `revision` is the delete's own, or the current one when there was nothing to delete. */
  | { readonly type: 'delete'; readonly revision: number; readonly deleted: number }
  /** `revision` is the state's in which the key was looked up. */
  | { readonly type: 'get'; readonly revision: number; readonly kv: ReadValue | undefined }

export type Outcome =
  | { readonly type: 'done'; readonly response: Response }
  /** Certainly did not happen and never will. */
  | { readonly type: 'failed'; readonly detail: string }
  | { readonly type: 'unknown'; readonly detail: string }

export interface Operation {
  readonly id: number
  readonly client: string
  /** The member that was asked; only for people. */
  readonly via: string
  readonly request: Request
  /** Position of its start among all starts and ends of the history. */
  readonly invoked: number
  /** Position of its end; undefined while it runs. */
  readonly completed: number | undefined
  readonly outcome: Outcome
  readonly startedMs: number
  readonly endedMs: number | undefined
}

export type Verdict =
  | { readonly accepted: true }
  /** `explanation` is for people: the key, and the operations around the first that fits nowhere. */
  | { readonly accepted: false; readonly explanation: string }

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const RUNNING: Outcome = { type: 'unknown', detail: 'still running' }

/** Records operations of any number of clients in one thread. */
export class History {
  readonly #operations: Mutable<Operation>[] = []
  #position = 0

  get operations(): readonly Operation[] {
    return this.#operations
  }

  /** An operation is about to be sent; returns its id for the call that ends it. */
  invoke(options: { client: string; via: string; request: Request; nowMs: number }): number {
    const { client, via, request, nowMs } = options
    const id = this.#operations.length
    this.#operations.push({
      id,
      client,
      via,
      request,
      invoked: this.#position++,
      completed: undefined,
      outcome: RUNNING,
      startedMs: nowMs,
      endedMs: undefined,
    })
    return id
  }

  /** The operation has ended. One that never does stays unknown. */
  end(id: number, outcome: Outcome, nowMs: number): void {
    const operation = this.#operations[id]
    invariant(operation !== undefined, 'no such operation', { id })
    invariant(operation.completed === undefined, 'an operation ends once', { id })
    operation.completed = this.#position++
    operation.outcome = outcome
    operation.endedMs = nowMs
  }
}

/** Whether this operation can have changed the state. */
export function mayWrite({ request, outcome }: Operation): boolean {
  if (request.type === 'get' || outcome.type === 'failed') return false
  return (
    outcome.type !== 'done' || outcome.response.type !== 'delete' || outcome.response.deleted > 0
  )
}

/** One line for people. */
export function describeOperation(operation: Operation): string {
  const { id, client, via, request, invoked, completed, outcome, startedMs, endedMs } = operation
  const what =
    request.type === 'put'
      ? `put ${request.key} = ${request.value.slice(0, 40)}`
      : `${request.type} ${request.key}${request.type === 'get' && request.serializable === true ? ' (serializable)' : ''}`
  const end = outcome.type === 'done' ? describeResponse(outcome.response) : describeEnd(outcome)
  const times = `${startedMs.toFixed(1)}..${endedMs?.toFixed(1) ?? ''} ms`
  return `#${id} [${invoked}, ${completed ?? 'never'}] ${client} via ${via} ${times}: ${what} -> ${end}`
}

function describeEnd(outcome: Exclude<Outcome, { type: 'done' }>): string {
  return `${outcome.type}${outcome.detail === '' ? '' : ` (${outcome.detail.slice(0, 80)})`}`
}

function describeResponse(response: Response): string {
  switch (response.type) {
    case 'put':
      return `revision ${response.revision} version ${response.version} created ${response.createRevision}`
    case 'delete':
      return `revision ${response.revision} deleted ${response.deleted}`
    case 'get': {
      const { kv, revision } = response
      if (kv === undefined) return `absent at revision ${revision}`
      const { value, modRevision, version, createRevision } = kv
      return `${value.slice(0, 40)} of revision ${modRevision} version ${version} created ${createRevision} at revision ${revision}`
    }
    default:
      return unreachable(response)
  }
}
