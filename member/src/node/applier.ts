// Applies committed entries in order, a bounded slice of a turn at a time, so that heartbeats and ticks never wait for a
// long queue. Answers the requests of this process, and decides how much of the log's tail stays in memory.

import { invariant } from '../../../lib/assert.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { ApplyResult, StateMachine } from '../apply/state-machine.ts'
import { applyConfChange } from '../raft/raw-node.ts'
import type { Entry, Index, SnapshotMeta } from '../raft/types.ts'
import type { Proposals } from './proposals.ts'
import type { Reads } from './reads.ts'

/** How long one slice of applying may hold the event loop. */
const SLICE_MS = 5
/** The clock is looked at after this many entries. */
const SLICE_ENTRIES = 4
/** Granularity of forgetting the tail. */
const CHECKPOINT_BYTES = 128 * 1024
/** What an entry costs in memory beside its data. */
export const ENTRY_OVERHEAD_BYTES = 200

export interface ApplierOptions {
  readonly proposals: Proposals<ApplyResult>
  readonly reads: Reads
  readonly clock: Clock
  /** This process: entries that carry it answer requests of ours. */
  readonly origin: string
  /** How many bytes of applied entries stay in memory for followers that lag, given the size of the state. */
  readonly tailBytesMax: (stateBytes: number) => number
  /** The index and data bytes of what was applied, for whoever counts. */
  readonly onApplied?: (entries: number, bytes: number) => void
  /** A member told what it is, its peer URLs among it. */
  readonly onMemberTold?: () => void
}

/** What a start begins with. Nobody holds on to it: a snapshot replaces the state, and the log forgets. */
export interface AppliedSoFar {
  readonly stateMachine: StateMachine
  /** What the log holds in memory: of that, what is applied is part of the tail. */
  readonly entries: readonly Entry[]
}

export class Applier {
  readonly #options: ApplierOptions
  #stateMachine: StateMachine
  #queue: Entry[] = []
  #next = 0
  #paused = false
  /** Stretches of at least CHECKPOINT_BYTES of applied entries still in memory, oldest first: last index and size. */
  #checkpoints: { readonly index: Index; readonly bytes: number }[] = []
  #checkpointedBytes = 0
  #sinceCheckpointBytes = 0
  #appliedBytes = 0

  constructor(options: ApplierOptions, { stateMachine, entries }: AppliedSoFar) {
    this.#options = options
    this.#stateMachine = stateMachine
    const { appliedIndex } = stateMachine
    for (const entry of entries) if (entry.index <= appliedIndex) this.#retain(entry)
  }

  get stateMachine(): StateMachine {
    return this.#stateMachine
  }

  get hasWork(): boolean {
    return !this.#paused && this.#next < this.#queue.length
  }

  /** Bytes of entry data applied since the start. */
  get appliedBytes(): number {
    return this.#appliedBytes
  }

  enqueue(entries: readonly Entry[]): void {
    if (this.#next === this.#queue.length) {
      this.#queue = entries as Entry[]
      this.#next = 0
    } else {
      this.#queue = this.#queue.slice(this.#next).concat(entries)
      this.#next = 0
    }
  }

  /** Applies one slice; returns the new applied index, or undefined when there was nothing to do. */
  applySlice(): Index | undefined {
    if (!this.hasWork) return undefined
    const { clock, reads } = this.#options
    const startMs = clock.monotonicMs()
    let bytes = 0
    const from = this.#next
    do {
      const end = Math.min(this.#next + SLICE_ENTRIES, this.#queue.length)
      while (this.#next < end) {
        const entry = this.#queue[this.#next++]!
        bytes += entry.data.length
        this.#apply(entry)
      }
    } while (this.#next < this.#queue.length && clock.monotonicMs() - startMs < SLICE_MS)
    const count = this.#next - from
    if (this.#next === this.#queue.length) {
      this.#queue = []
      this.#next = 0
    }
    this.#appliedBytes += bytes
    this.#options.onApplied?.(count, bytes)
    const applied = this.#stateMachine.appliedIndex
    reads.applied(applied)
    return applied
  }

  /** The index up to which the log's tail may be forgotten now; undefined when it is small enough. */
  compactable(): Index | undefined {
    const max = this.#options.tailBytesMax(this.#stateMachine.store.bytes)
    let index: Index | undefined
    while (this.#checkpointedBytes > max) {
      const oldest = this.#checkpoints.shift()!
      this.#checkpointedBytes -= oldest.bytes
      index = oldest.index
    }
    return index
  }

  /** Entries wait until `install`: a snapshot is being read into a new state. What waited is part of it. */
  pause(): void {
    this.#paused = true
    this.#queue = []
    this.#next = 0
  }

  install(stateMachine: StateMachine, meta: SnapshotMeta): void {
    invariant(stateMachine.appliedIndex === meta.index, 'snapshot holds another index', {
      expected: meta.index,
      actual: stateMachine.appliedIndex,
    })
    this.#stateMachine = stateMachine
    this.#paused = false
    this.#checkpoints = []
    this.#checkpointedBytes = 0
    this.#sinceCheckpointBytes = 0
    this.#options.proposals.snapshotInstalled(meta.term)
    this.#options.reads.applied(meta.index)
  }

  #apply(entry: Entry): void {
    const { proposals, origin } = this.#options
    const stateMachine = this.#stateMachine
    // failpoint: beforeApply if entry.data.length > 0
    // failpoint: beforeMembership if entry.change !== undefined
    if (entry.term > stateMachine.appliedTerm) proposals.termApplied(entry.term)
    const result =
      entry.change === undefined
        ? stateMachine.applyNormal(entry.index, entry.term, entry.data)
        : stateMachine.applyConfChange(
            entry.index,
            entry.term,
            entry.change.context,
            applyConfChange(stateMachine.confState, entry.change),
          )
    // failpoint: afterApply if entry.data.length > 0
    // failpoint: afterMembership if entry.change !== undefined
    if (result?.outcome.type === 'memberAttributes') this.#options.onMemberTold?.()
    if (result !== undefined && result.origin === origin) proposals.applied(result.sequence, result)
    this.#retain(entry)
  }

  /** Counts an applied entry as part of the tail. */
  #retain(entry: Entry): void {
    this.#sinceCheckpointBytes += entry.data.length + ENTRY_OVERHEAD_BYTES
    if (this.#sinceCheckpointBytes >= CHECKPOINT_BYTES) {
      this.#checkpoints.push({ index: entry.index, bytes: this.#sinceCheckpointBytes })
      this.#checkpointedBytes += this.#sinceCheckpointBytes
      this.#sinceCheckpointBytes = 0
    }
  }
}
