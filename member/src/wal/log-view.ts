// What a log amounts to while its records are replayed: where it ends, its hard state, and whether it contains the
// snapshot it is read from behind of. Hands the consumer what lies behind that snapshot and nothing else, so that cuts at
// or below the snapshot, which its log cannot show, reach it as well.

import type { Entry, HardState, Index, SnapshotMeta, Term } from '../raft/types.ts'
import type { LogRecord } from './record.ts'
import { type SegmentHeader, walCorrupt } from './segment.ts'

export type BatchConsumer = (batch: LogRecord) => void | Promise<void>

export interface LogViewOptions {
  /** Of the oldest segment that is replayed. */
  readonly start: SegmentHeader
  readonly after: SnapshotMeta | undefined
  readonly onBatch: BatchConsumer
}

export class LogView {
  readonly #after: SnapshotMeta | undefined
  readonly #afterIndex: Index
  readonly #onBatch: BatchConsumer
  #lastIndex: Index
  #lastTerm: Term
  #hardState: HardState | undefined
  /** The log's term at `after`; undefined while it does not reach so far. */
  #afterTerm: Term | undefined
  /** Whether the consumer holds entries. */
  #isFilled = false

  constructor({ start, after, onBatch }: LogViewOptions) {
    this.#after = after
    this.#afterIndex = after?.index ?? 0
    this.#onBatch = onBatch
    this.#lastIndex = start.lastIndex
    this.#lastTerm = start.lastTerm
    this.#hardState = start.hardState
    if (start.lastIndex === this.#afterIndex) this.#afterTerm = start.lastTerm
  }

  get lastIndex(): Index {
    return this.#lastIndex
  }

  get lastTerm(): Term {
    return this.#lastTerm
  }

  get hardState(): HardState | undefined {
    return this.#hardState
  }

  /** Throws WAL_CORRUPT if the record cannot follow what came before it. */
  take(
    record: LogRecord,
    where: { readonly file: string; readonly offset: number },
  ): void | Promise<void> {
    const { snapshot, entries, hardState } = record
    const isReset = snapshot !== undefined && this.#restartAt(snapshot, where)
    const first = entries[0]
    if (first !== undefined && (first.index > this.#lastIndex + 1 || first.index < 1)) {
      const details = { ...where, expectedIndex: this.#lastIndex + 1, foundIndex: first.index }
      throw walCorrupt('entries leave a gap', details)
    }
    if (hardState !== undefined) this.#hardState = hardState
    const isCut = this.#append(entries) || isReset
    const visible = this.#visible(entries)
    const reset = isCut && this.#isFilled ? this.#after : undefined
    if (visible.length > 0) this.#isFilled = true
    else if (reset !== undefined) this.#isFilled = false
    if (reset === undefined && visible.length === 0 && hardState === undefined) return undefined
    return this.#onBatch({ snapshot: reset, entries: visible, hardState })
  }

  /** Whether the log must start over behind the snapshot, which the consumer's has done by then. */
  async finish(): Promise<boolean> {
    const after = this.#after
    if (after === undefined || this.#afterTerm === after.term) return false
    if (this.#isFilled) await this.#onBatch({ snapshot: after, entries: [], hardState: undefined })
    this.#isFilled = false
    return true
  }

  #restartAt(
    snapshot: SnapshotMeta,
    where: { readonly file: string; readonly offset: number },
  ): boolean {
    if (snapshot.index > this.#afterIndex) {
      const details = { ...where, snapshotIndex: snapshot.index, newestIndex: this.#afterIndex }
      throw walCorrupt('snapshot that the log follows is missing', details)
    }
    this.#lastIndex = snapshot.index
    this.#lastTerm = snapshot.term
    this.#afterTerm = snapshot.index === this.#afterIndex ? snapshot.term : undefined
    return true
  }

  /** Returns whether entries the consumer cannot see cut away entries it can. */
  #append(entries: readonly Entry[]): boolean {
    const last = entries.at(-1)
    if (last === undefined) return false
    const first = entries[0]!
    this.#lastIndex = last.index
    this.#lastTerm = last.term
    if (first.index > this.#afterIndex) return false
    this.#afterTerm = entries[this.#afterIndex - first.index]?.term
    return true
  }

  #visible(entries: readonly Entry[]): readonly Entry[] {
    const first = entries[0]
    if (first === undefined || first.index > this.#afterIndex) return entries
    return entries.slice(this.#afterIndex - first.index + 1)
  }
}
