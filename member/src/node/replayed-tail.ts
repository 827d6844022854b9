// The end of the log while it is read at a start: what is committed is applied at once, and of that only the newest part is
// kept for followers that lag. A log may be many times longer than what is kept of it, so its entries wait as bytes in
// memory that is used again and again, and become objects once the log has ended: a start leaves no garbage in the heap that
// the process would hold on to.

import type { StateMachine } from '../apply/state-machine.ts'
import { applyConfChange, type InitialState } from '../raft/raw-node.ts'
import type { HardState, SnapshotMeta } from '../raft/types.ts'
import type { LogRecord } from '../wal/wal.ts'
import { ENTRY_OVERHEAD_BYTES } from './applier.ts'
import { PackedEntries } from './packed-entries.ts'

/** So much more than what is kept may wait before it is forgotten, as a share: forgetting takes time. */
const EXCESS = 0.25

export interface ReplayedTailOptions {
  readonly stateMachine: StateMachine
  /** The snapshot that the state was built from. */
  readonly after: SnapshotMeta | undefined
  /** Bytes of applied entries to keep, given the size of the state. */
  readonly tailBytesMax: (stateBytes: number) => number
}

export class ReplayedTail {
  readonly #stateMachine: StateMachine
  readonly #tailBytesMax: (stateBytes: number) => number
  readonly #entries: PackedEntries
  #appliedBytes = 0
  #commit: number

  constructor({ stateMachine, after, tailBytesMax }: ReplayedTailOptions) {
    this.#stateMachine = stateMachine
    this.#tailBytesMax = tailBytesMax
    const { index, term } = after ?? { index: 0, term: 0 }
    this.#entries = new PackedEntries({ index, term })
    this.#commit = index
  }

  /** Bytes of entry data that were applied. */
  get appliedBytes(): number {
    return this.#appliedBytes
  }

  /** Copies what it keeps of `batch`. */
  add(batch: LogRecord): void {
    const entries = this.#entries
    if (batch.snapshot !== undefined) entries.cutAfter(entries.start.index)
    const first = batch.entries[0]
    if (first !== undefined) entries.cutAfter(first.index - 1)
    for (const entry of batch.entries) entries.push(entry)
    if (batch.hardState !== undefined) this.#commit = Math.max(this.#commit, batch.hardState.commit)
    this.#applyCommitted()
    const max = this.#max()
    if (this.#size() > max * (1 + EXCESS)) this.#forgetOld(max)
  }

  initialState(hardState: HardState | undefined): InitialState {
    this.#forgetOld(this.#max())
    const { appliedIndex, appliedTerm, confState } = this.#stateMachine
    const stored = hardState ?? { term: 0, vote: undefined, commit: 0 }
    const term = Math.max(stored.term, appliedTerm)
    return {
      // A vote belongs to its term; a newer term of a snapshot has seen no vote of ours that left this member.
      hardState: {
        term,
        vote: term === stored.term ? stored.vote : undefined,
        commit: Math.max(stored.commit, appliedIndex),
      },
      confState,
      applied: appliedIndex,
      logStart: this.#entries.start,
      entries: this.#entries.unpack(),
    }
  }

  #applyCommitted(): void {
    const machine = this.#stateMachine
    const upTo = Math.min(this.#commit, this.#entries.lastIndex)
    while (machine.appliedIndex < upTo) {
      const entry = this.#entries.at(machine.appliedIndex + 1)
      this.#appliedBytes += entry.data.length
      if (entry.change === undefined) machine.applyNormal(entry.index, entry.term, entry.data)
      else {
        const confState = applyConfChange(machine.confState, entry.change)
        machine.applyConfChange(entry.index, entry.term, entry.change.context, confState)
      }
    }
  }

  #max(): number {
    return this.#tailBytesMax(this.#stateMachine.store.bytes)
  }

  /** As the applier counts it while the member runs. */
  #size(): number {
    return sizeOf(this.#entries.dataBytes, this.#entries.count)
  }

  /** Drops the oldest applied entries until no more than `max` bytes are left. */
  #forgetOld(max: number): void {
    const entries = this.#entries
    let { dataBytes, count } = entries
    let index = entries.start.index
    while (index < this.#stateMachine.appliedIndex && sizeOf(dataBytes, count) > max) {
      dataBytes -= entries.lengthAt(++index)
      count--
    }
    entries.dropThrough(index)
  }
}

function sizeOf(dataBytes: number, count: number): number {
  return dataBytes + count * ENTRY_OVERHEAD_BYTES
}
