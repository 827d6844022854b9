// One open main revision: puts, deletes and reads that see them, made visible to others by commit. There is no way back:
// whoever may have to refuse does so before the first change (txn.ts, TXN-12).

import { invariant } from '../../../lib/assert.ts'
import { checkDelete, checkPut, checkRange } from './request-shape.ts'
import { evaluateRange, placesOf, pushAt, type RangeResult, refuseRevision } from './range.ts'
import { type KeyValue, leaseHalf, Records } from './records.ts'
import { type Refusal, refuse } from './refusal.ts'
import type { DeleteRequest, PutRequest, RangeQuery } from './requests.ts'
import type { Slab } from './slab.ts'
import type { State } from './state.ts'

export interface PutResult {
  readonly ok: true
  readonly revision: number
  readonly createRevision: number
  readonly version: number
  /** Only if asked for and there was one. */
  readonly prevKv: KeyValue | undefined
}

export interface DeleteResult {
  readonly ok: true
  /** The new revision, or the one before if nothing has been changed yet. */
  readonly revision: number
  readonly deleted: number
  /** The versions removed, in key order; empty unless asked for. */
  readonly prevKvs: Records
}

export class WriteTxn {
  readonly #state: State
  readonly #main: number
  readonly #onCommit: () => void
  #changeCount = 0
  #isOpen = true

  constructor(state: State, onCommit: () => void) {
    this.#state = state
    this.#main = state.revision + 1
    this.#onCommit = onCommit
  }

  /** The new revision once something has been changed, before that the store's (REV-10). */
  get revision(): number {
    return this.#changeCount === 0 ? this.#state.revision : this.#main
  }

  /** Refuses as PUT-4, PUT-5 and RGE-6 say; then nothing has been changed. Copies key and value. */
  put(request: PutRequest): PutResult | Refusal {
    this.#checkOpen()
    const result = putInto(this.#state, request, { main: this.#main, sub: this.#changeCount })
    if (result.ok) this.#changeCount++
    return result
  }

  /** Deletes the live keys of the interval in key order (DEL-1). Refuses only an empty key. */
  delete(request: DeleteRequest): DeleteResult | Refusal {
    this.#checkOpen()
    const state = this.#state
    const reason = checkDelete(request)
    if (reason !== undefined) return refuse(reason, state)
    const prevKvs = new Records()
    const { from, to } = placesOf(state, request)
    let deleted = 0
    for (let place = from; place < to; place = state.index.next(place)) {
      if (!state.index.isLiveAt(place)) continue
      if (request.prevKv === true) {
        pushAt(state, prevKvs, state.log.mustLocate(state.index.sequenceAt(place)))
      }
      state.delete(place, this.#main, this.#changeCount)
      this.#changeCount++
      deleted++
    }
    return { ok: true, revision: this.revision, deleted, prevKvs }
  }

  /** Sees the changes made so far unless it names a revision, which must be one from before (TXN-11). */
  range(query: RangeQuery): RangeResult | Refusal {
    this.#checkOpen()
    const reason = checkRange(query)
    if (reason !== undefined) return refuse(reason, this.#state)
    const refusal = refuseRevision(query.revision, this.#state)
    return refusal ?? evaluateRange(this.#state, query, this.revision)
  }

  /** Ends the transaction and returns the store's revision: raised by one if there was a change (REV-2). */
  commit(): number {
    this.#checkOpen()
    this.#isOpen = false
    this.#state.revision = this.revision
    this.#onCommit()
    return this.#state.revision
  }

  #checkOpen(): void {
    invariant(this.#isOpen, 'transaction used after commit', { revision: this.#main })
  }
}

/** One put as the change `at`; see {@link WriteTxn.put}. The revision becomes visible by whoever calls. */
export function putInto(
  state: State,
  request: PutRequest,
  at: { readonly main: number; readonly sub: number },
): PutResult | Refusal {
  const reason = checkPut(request)
  if (reason !== undefined) return refuse(reason, state)
  const { key } = request
  let { value } = request
  let leaseHigh = leaseHalf(request.lease, 'high')
  let leaseLow = leaseHalf(request.lease, 'low')
  if (request.ignoreValue === true || request.ignoreLease === true) {
    const stored = state.locateLive(key, Infinity)
    if (stored < 0) return refuse('keyNotFound', state)
    const slab = state.log.slabOf(stored)
    const word = state.log.wordOf(stored)
    if (request.ignoreValue === true) value = slab.value(word)
    if (request.ignoreLease === true) {
      leaseHigh = slab.leaseHigh(word)
      leaseLow = slab.leaseLow(word)
    }
  }
  const { main, sub } = at
  const replaced = state.put({ main, sub, key, value, leaseHigh, leaseLow })
  if (replaced < 0) {
    return { ok: true, revision: main, createRevision: main, version: 1, prevKv: undefined }
  }
  const slab = state.log.slabOf(replaced)
  const word = state.log.wordOf(replaced)
  const prevKv = request.prevKv === true ? rowAt(slab, word) : undefined
  const createRevision = slab.createRevision(word)
  return { ok: true, revision: main, createRevision, version: slab.version(word) + 1, prevKv }
}

function rowAt(slab: Slab, word: number): KeyValue {
  const rows = new Records()
  rows.push(slab, word)
  return rows.at(0)
}
