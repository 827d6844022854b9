// RaftLog: the tail of the log that is in memory, and how far it is handed out, durable, committed and applied. Entries
// at and below `logStart` are gone: a peer that needs them gets a snapshot. Example, entries 6 to 9, 9 not flushed yet:
//   logStart 5 | 6 7 8 9      persisted 8, committed 8, applying 8, applied 7

import { invariant } from '../../../lib/assert.ts'
import type { Entry, Index, SnapshotMeta, Term } from './types.ts'

/** What an entry costs beside its data. */
const ENTRY_OVERHEAD_BYTES = 32

/** Forgotten slots at the front are reclaimed once there are this many and they are half of the array. */
const RECLAIM_COUNT_MIN = 1024

const NO_ENTRIES: readonly Entry[] = []

/** The position of an entry in every log that has it (Log Matching, §5.3). */
export interface LogPosition {
  readonly index: Index
  readonly term: Term
}

/** What a Ready was given to store: durable up to `last` once Ready `number` is. */
interface Handed {
  readonly number: number
  last: Index
}

export interface RaftLogOptions {
  readonly logStart: LogPosition
  /** Durable, consecutive from logStart on. Owned by the log from now on. */
  readonly entries: readonly Entry[]
  readonly committed: Index
  readonly applied: Index
}

export class RaftLog {
  /** Slots below `#head` are forgotten; entry `i` is at `#head + i - logStart.index - 1`. */
  #slots: (Entry | undefined)[]
  #head = 0
  #start: LogPosition
  #last: LogPosition
  #committed: Index
  #applying: Index
  #applied: Index
  #durableCommit: Index
  #persisted: Index
  #handedOut: Index
  #handed: Handed[] = []
  #truncations = 0
  /** Positions of changes of membership among the entries, ascending. */
  #confChanges: Index[] = []
  /** The newest slice, shared among Ready and peers so that it can be encoded once. */
  #slice: { readonly low: Index; readonly high: Index; readonly entries: readonly Entry[] }

  constructor(options: RaftLogOptions) {
    const { logStart, entries, committed, applied } = options
    this.#slots = []
    this.#start = logStart
    this.#last = logStart
    this.#slice = { low: 0, high: 0, entries: NO_ENTRIES }
    this.#committed = committed
    this.#durableCommit = committed
    this.#applying = applied
    this.#applied = applied
    for (const entry of entries) this.append(entry)
    this.#persisted = this.#last.index
    this.#handedOut = this.#last.index
    invariant(logStart.index <= applied, 'state is older than the log', { logStart, applied })
    invariant(applied <= committed, 'applied past commit', { applied, committed })
    invariant(committed <= this.#last.index, 'commit past the log', { committed })
  }

  /** The newest position that is no longer in memory. */
  get start(): LogPosition {
    return this.#start
  }

  get firstIndex(): Index {
    return this.#start.index + 1
  }

  get lastIndex(): Index {
    return this.#last.index
  }

  get lastTerm(): Term {
    return this.#last.term
  }

  /** Invariant: applied <= applying <= committed <= lastIndex. */
  get committed(): Index {
    return this.#committed
  }

  /**
   * Committed and fit to be acted on and told. A change of membership is only once this member's disk knows that it is
   * committed: a majority that forgets may need the vote of a member that has left for good.
   */
  get effective(): Index {
    const change = this.nextConfChange(this.#durableCommit, this.#committed)
    return change === undefined ? this.#committed : change.index - 1
  }

  /** Handed out to be applied. */
  get applying(): Index {
    return this.#applying
  }

  get applied(): Index {
    return this.#applied
  }

  /** Everything up to here is on this member's disk. Falls when a durable tail is replaced. */
  get persisted(): Index {
    return this.#persisted
  }

  /** Handed out to be stored. */
  get handedOut(): Index {
    return this.#handedOut
  }

  /** How often entries were replaced. */
  get truncations(): number {
    return this.#truncations
  }

  /** Undefined for positions that are forgotten or not there yet. */
  term(index: Index): Term | undefined {
    if (index === this.#last.index) return this.#last.term
    if (index === this.#start.index) return this.#start.term
    if (index < this.#start.index || index > this.#last.index) return undefined
    return this.entry(index).term
  }

  entry(index: Index): Entry {
    const entry = this.#slots[this.#head + index - this.#start.index - 1]
    invariant(entry !== undefined, 'entry is not in memory', { index, first: this.firstIndex })
    return entry
  }

  has(index: Index, term: Term): boolean {
    return this.term(index) === term
  }

  /** Whether a log that ends there is at least as complete as this one (§5.4.1). */
  isUpToDate(last: LogPosition): boolean {
    if (last.term !== this.#last.term) return last.term > this.#last.term
    return last.index >= this.#last.index
  }

  /**
   * Entries of [low, high), cut where their size passes `maxBytes`, yet never before the first. Two calls in a row with
   * the same result return the same array.
   */
  slice(low: Index, high: Index, maxBytes: number): readonly Entry[] {
    if (low >= high) return NO_ENTRIES
    let end = low
    let bytes = 0
    const base = this.#head - this.#start.index - 1
    while (end < high) {
      bytes += entryBytes(this.#slots[base + end]!)
      if (bytes > maxBytes && end > low) break
      end++
    }
    if (this.#slice.low !== low || this.#slice.high !== end) {
      const entries = this.#slots.slice(base + low, base + end) as Entry[]
      this.#slice = { low, high: end, entries }
    }
    return this.#slice.entries
  }

  append(entry: Entry): void {
    invariant(entry.index === this.#last.index + 1, 'gap in the log', { index: entry.index })
    invariant(entry.term >= this.#last.term, 'term falls along the log', { term: entry.term })
    this.#slots.push(entry)
    this.#last = entry
    if (entry.type === 'confChange') this.#confChanges.push(entry.index)
  }

  /**
   * Takes over what is missing of consecutive `entries` that follow a position this log has. Returns the first index
   * that was replaced, undefined when nothing was.
   */
  merge(entries: readonly Entry[]): Index | undefined {
    let i = 0
    while (i < entries.length && this.has(entries[i]!.index, entries[i]!.term)) i++
    if (i === entries.length) return undefined
    const first = entries[i]!.index
    const conflicts = first <= this.#last.index
    if (conflicts) this.#truncate(first)
    for (; i < entries.length; i++) this.append(entries[i]!)
    return conflicts ? first : undefined
  }

  /**
   * The largest index up to `index` whose term is at most `term`: where two logs may still agree when one has `term` at
   * `index`. Just below the start when even that is too new.
   */
  lastWithTermAtMost(term: Term, index: Index): Index {
    if (index < this.#start.index) return index
    if (this.#start.term > term) return this.#start.index - 1
    let low = this.#start.index
    let high = Math.min(index, this.#last.index)
    while (low < high) {
      const middle = low + Math.ceil((high - low) / 2)
      if (this.term(middle)! <= term) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Raises the commit index; returns whether it did. */
  commitTo(index: Index): boolean {
    if (index <= this.#committed) return false
    invariant(index <= this.#last.index, 'commit past the log', { index, last: this.#last.index })
    this.#committed = index
    return true
  }

  /** Raises the applied index; returns whether it did. */
  appliedTo(index: Index): boolean {
    if (index <= this.#applied) return false
    invariant(index <= this.#applying, 'applied what was not handed out', {
      index,
      applying: this.#applying,
    })
    this.#applied = index
    return true
  }

  get hasUnstored(): boolean {
    return this.#handedOut < this.#last.index
  }

  get hasUnapplied(): boolean {
    return this.#applying < this.effective
  }

  /** Entries to be stored with Ready `number`; each is handed out once, or again after it was replaced. */
  takeUnstored(number: number): readonly Entry[] {
    if (!this.hasUnstored) return NO_ENTRIES
    const low = Math.max(this.#handedOut, this.#start.index) + 1
    const entries = this.slice(low, this.#last.index + 1, Infinity)
    this.#handedOut = this.#last.index
    this.#handed.push({ number, last: this.#last.index })
    return entries
  }

  /** Effective entries that were not handed out yet, the oldest `maxBytes` of them. */
  takeCommitted(maxBytes: number): readonly Entry[] {
    const entries = this.slice(this.#applying + 1, this.effective + 1, maxBytes)
    this.#applying += entries.length
    return entries
  }

  /** Ready `number` and all before it are durable. Returns whether that raised `persisted`. */
  persistedReady(number: number): boolean {
    let count = 0
    let last = 0
    while (count < this.#handed.length && this.#handed[count]!.number <= number) {
      last = Math.max(last, this.#handed[count]!.last)
      count++
    }
    if (count > 0) this.#handed.splice(0, count)
    if (last <= this.#persisted) return false
    this.#persisted = last
    return true
  }

  /** This member's disk knows that everything up to `index` is committed. Returns whether more is effective now. */
  commitPersisted(index: Index): boolean {
    const before = this.effective
    this.#durableCommit = Math.max(this.#durableCommit, index)
    return this.effective > before
  }

  /** Replaces everything by a snapshot, to be stored with Ready `number`. */
  restore(meta: SnapshotMeta, number: number): void {
    invariant(meta.index > this.#committed, 'snapshot below the commit', { index: meta.index })
    // Until it is durable, this member's disk holds the old log: true up to the commit index.
    this.#forgetHanded(this.#committed)
    this.#slots = []
    this.#head = 0
    this.#start = { index: meta.index, term: meta.term }
    this.#last = this.#start
    this.#confChanges = []
    this.#slice = { low: 0, high: 0, entries: NO_ENTRIES }
    this.#committed = meta.index
    this.#applying = meta.index
    this.#handedOut = meta.index
    this.#handed.push({ number, last: meta.index })
  }

  /** Forgets entries up to `index`, which must be applied. What is forgotten already stays so. */
  compact(index: Index): void {
    if (index <= this.#start.index) return
    invariant(index <= this.#applied, 'forgets what is not applied', { index })
    const term = this.term(index)!
    const count = index - this.#start.index
    this.#slots.fill(undefined, this.#head, this.#head + count)
    this.#head += count
    this.#start = { index, term }
    this.#slice = { low: 0, high: 0, entries: NO_ENTRIES }
    while (this.#confChanges.length > 0 && this.#confChanges[0]! <= index) this.#confChanges.shift()
    if (this.#head >= RECLAIM_COUNT_MIN && this.#head * 2 >= this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head)
      this.#head = 0
    }
  }

  /** The oldest change of membership in (after, upTo]; undefined when there is none. */
  nextConfChange(after: Index, upTo: Index): Entry | undefined {
    for (const index of this.#confChanges) {
      if (index > upTo) return undefined
      if (index > after) return this.entry(index)
    }
    return undefined
  }

  #truncate(from: Index): void {
    invariant(from > this.#committed, 'replaces a committed entry', {
      from,
      committed: this.#committed,
    })
    this.#slots.length = this.#head + from - this.#start.index - 1
    this.#last = from === this.firstIndex ? this.#start : this.entry(from - 1)
    this.#slice = { low: 0, high: 0, entries: NO_ENTRIES }
    this.#truncations++
    this.#forgetHanded(from - 1)
    while (this.#confChanges.length > 0 && this.#confChanges.at(-1)! >= from)
      this.#confChanges.pop()
  }

  /**
   * Stores under way promise nothing beyond `index` any more, even if the same entries come back: the disk passes
   * through the state in between.
   */
  #forgetHanded(index: Index): void {
    this.#handedOut = Math.min(this.#handedOut, index)
    this.#persisted = Math.min(this.#persisted, index)
    for (const handed of this.#handed) handed.last = Math.min(handed.last, index)
  }
}

/** What an entry counts against the limits of messages and windows. */
export function entryBytes(entry: Entry): number {
  const context = entry.change === undefined ? 0 : entry.change.context.length
  return entry.data.length + context + ENTRY_OVERHEAD_BYTES
}
