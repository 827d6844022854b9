// The versioned key space: façade of this module. Every change of a key is kept under its revision until it is compacted
// away; any revision from the compact revision on can be read. State lives off the JS heap (slab.ts, key-index.ts).
//
// Pure and synchronous: the state after a sequence of operations is a function of that sequence, whatever compaction
// steps, captures and reads come between. Refusals are results. A change copies its key and value.

import { invariant } from '../../../lib/assert.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import { Compactor, type HashResult, type Remembered } from './compaction.ts'
import { evaluateRange, pushAt, type RangeResult, refuseRevision } from './range.ts'
import { type KeyValue, Records } from './records.ts'
import { type Refusal, refuse } from './refusal.ts'
import { checkRange } from './request-shape.ts'
import type { DeleteRequest, PutRequest, RangeQuery, TxnRequest } from './requests.ts'
import { StoreSnapshot } from './snapshot.ts'
import { State } from './state.ts'
import { evaluateTxn, type TxnOptions, type TxnResult } from './txn.ts'
import { type DeleteResult, type PutResult, putInto, WriteTxn } from './write-txn.ts'

export { isReadOnlyTxn } from './txn.ts'
export type { TxnOpResult, TxnOptions, TxnResult } from './txn.ts'
export { validateTxn } from './request-shape.ts'
export type { HashResult } from './compaction.ts'
export type { RangeResult } from './range.ts'
export type { KeyValue, Records } from './records.ts'
export type { Refusal, RefusalReason } from './refusal.ts'
export type * from './requests.ts'
export type { StoreSnapshot } from './snapshot.ts'
export type { DeleteResult, PutResult, WriteTxn } from './write-txn.ts'

export interface ChangesResult {
  readonly ok: true
  /** In revision order; deletions are rows of their own. Never part of a revision. */
  readonly records: Records
  /** Where to continue: everything below has been returned. */
  readonly nextRevision: number
}

export class Store {
  readonly #state: State
  readonly #compactor: Compactor
  #isWriting = false

  /** An empty store, or one around a restored state (restore.ts). */
  constructor(restored?: { readonly state: State; readonly remembered: readonly Remembered[] }) {
    this.#state = restored?.state ?? new State()
    this.#compactor = new Compactor(this.#state, restored?.remembered)
  }

  /** Main revision of the last change; 1 for a store that was never written to (REV-1). */
  get revision(): number {
    return this.#state.revision
  }

  /** Reads below it are refused; -1 while never compacted. */
  get compactRevision(): number {
    return this.#state.compactRevision
  }

  /** Keys that exist at the latest revision. */
  get keyCount(): number {
    return this.#state.keyCount
  }

  /** Memory behind the store, in bytes. Differs between members with the progress of their compaction. */
  get bytes(): number {
    return this.#state.log.allocatedBytes + this.#state.index.allocatedBytes
  }

  /** Bytes of all records in memory, also of those not yet removed by compaction. Differs between members. */
  get usedBytes(): number {
    return this.#state.log.usedBytes
  }

  /** Bytes of the keys that exist at the latest revision and of their values. The same on all members. */
  get liveBytes(): number {
    return this.#state.liveBytes
  }

  /** Reads an interval. Refuses an empty key, an unknown sort, and revisions in the future or compacted. */
  range(query: RangeQuery): RangeResult | Refusal {
    this.#checkIdle()
    const reason = checkRange(query)
    if (reason !== undefined) return refuse(reason, this.#state)
    const refusal = refuseRevision(query.revision, this.#state)
    return refusal ?? evaluateRange(this.#state, query, this.#state.revision)
  }

  /** The key as it exists now, or at a revision that is not compacted; undefined if it does not. */
  get(key: Uint8Array, revision?: number): KeyValue | undefined {
    this.#checkIdle()
    if (revision !== undefined && revision < this.#state.compactRevision) return undefined
    const location = this.#state.locateLive(key, revision ?? Infinity)
    if (location < 0) return undefined
    const records = new Records()
    pushAt(this.#state, records, location)
    return records.at(0)
  }

  /** Opens the next main revision. Until its commit, only the transaction may be used. */
  begin(): WriteTxn {
    this.#checkIdle()
    this.#isWriting = true
    return new WriteTxn(this.#state, () => {
      this.#isWriting = false
    })
  }

  /** One put in a revision of its own. */
  put(request: PutRequest): PutResult | Refusal {
    this.#checkIdle()
    const main = this.#state.revision + 1
    const result = putInto(this.#state, request, { main, sub: 0 })
    if (result.ok) this.#state.revision = main
    return result
  }

  /** One delete of an interval, in a revision of its own if it matches anything. */
  delete(request: DeleteRequest): DeleteResult | Refusal {
    const txn = this.begin()
    const result = txn.delete(request)
    txn.commit()
    return result
  }

  /** Guards, then one of two branches, all or nothing. Its shape has been validated (validateTxn). */
  txn(request: TxnRequest, options: TxnOptions = {}): TxnResult | Refusal {
    this.#checkIdle()
    return evaluateTxn(this.#state, request, { ...options, begin: () => this.begin() })
  }

  /** Makes everything before `revision` unreadable at once (CPT-1). Memory comes back by {@link compactStep}. */
  compact(revision: number): { readonly ok: true } | Refusal {
    this.#checkIdle()
    return this.#compactor.compact(revision)
  }

  /**
   * Leaves out revisions, so that no revision of this store after now is one that another store, which had the same changes
   * until now, has given to a change. Throws INVALID_ARGUMENT if that leaves the range of revisions.
   */
  raiseRevision(by: number): void {
    this.#checkIdle()
    const raised = this.#state.revision + by
    if (by < 0 || !Number.isSafeInteger(raised)) {
      throw new RaftbaseError('INVALID_ARGUMENT', 'revision out of range', {
        details: { revision: this.#state.revision, by },
      })
    }
    this.#state.revision = raised
  }

  /** A part of the work compaction leaves behind, about `maxRecords` records. Returns whether more is left. */
  compactStep(maxRecords: number): boolean {
    this.#checkIdle()
    return this.#compactor.step(maxRecords)
  }

  /** The state hash at `revision`, 0 for the latest (HSH-1 to HSH-4). Reads the whole state unless remembered. */
  hash(revision: number): HashResult | Refusal {
    this.#checkIdle()
    return this.#compactor.hash(revision)
  }

  /**
   * The changes from main revision `from` on, ending with the revision in which `maxCount` is reached. Refused if `from`
   * is below the compact revision; empty if it is in the future.
   */
  changes(from: number, maxCount: number): ChangesResult | Refusal {
    this.#checkIdle()
    const state = this.#state
    if (from < state.compactRevision) return refuse('compacted', state)
    const records = new Records()
    const { slabs } = state.log
    let position = state.log.slabPositionOfMain(from)
    let record = slabs[position]?.positionOfMain(from) ?? 0
    let last = from - 1
    for (; position < slabs.length; position++, record = 0) {
      const slab = slabs[position]!
      for (; record < slab.count; record++) {
        const word = slab.offsetAt(record)
        const main = slab.main(word)
        if (records.length >= maxCount && main !== last) {
          return { ok: true, records, nextRevision: last + 1 }
        }
        records.push(slab, word)
        last = main
      }
    }
    return { ok: true, records, nextRevision: Math.max(from, state.revision + 1) }
  }

  /** Pins the state as it is now, without copying it. To be released when it has been read. */
  capture(): StoreSnapshot {
    this.#checkIdle()
    return new StoreSnapshot(this.#state, this.#compactor.remembered)
  }

  #checkIdle(): void {
    invariant(!this.#isWriting, 'store used while a transaction is open')
  }
}
