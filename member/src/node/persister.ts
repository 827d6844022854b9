// Stores Readies in their order, one write and flush at a time; what becomes ready meanwhile shares the next flush (group
// commit). A Ready counts as persisted, and its dependent messages leave, only when its flush has returned.

import type { Clock } from '../../../lib/clock.ts'
import type { PeerMessage } from '../raft/message.ts'
import type { Ready } from '../raft/ready.ts'
import type { Entry, HardState, SnapshotMeta } from '../raft/types.ts'

export interface LogBatch {
  readonly snapshot: SnapshotMeta | undefined
  readonly entries: readonly Entry[]
  readonly hardState: HardState | undefined
  readonly sync: boolean
}

export interface LogWriter {
  save(batch: LogBatch): Promise<void>
}

export interface PersisterOptions {
  readonly wal: LogWriter
  readonly clock: Clock
  /** Called after the flush with the number of the newest Ready it covered. */
  readonly onPersisted: (number: number, messages: readonly PeerMessage[]) => void
  /** The disk failed: the process must end, nothing is tried again. */
  readonly onFailure: (error: unknown) => void
}

export class Persister {
  readonly #options: PersisterOptions
  #queue: Ready[] = []
  #writingSinceMs: number | undefined
  #running = false
  #failed = false
  #idleWaiters: (() => void)[] = []

  constructor(options: PersisterOptions) {
    this.#options = options
  }

  /** Takes a Ready to be stored; returns at once. */
  enqueue(ready: Ready): void {
    if (isEmpty(ready) && !this.#running && !this.#failed) {
      this.#options.onPersisted(ready.number, ready.messagesAfterPersist)
      return
    }
    this.#queue.push(ready)
    if (!this.#running && !this.#failed) void this.#run()
  }

  /** How long the write under way has been running; 0 when there is none. */
  stalledMs(nowMs: number): number {
    return this.#writingSinceMs === undefined ? 0 : nowMs - this.#writingSinceMs
  }

  /** Resolves when everything enqueued so far is stored, or storing has failed. */
  idle(): Promise<void> {
    if (this.#failed || !this.#running) return Promise.resolve()
    return new Promise((resolve) => this.#idleWaiters.push(resolve))
  }

  /** Never rejects: a failure goes to `onFailure`. */
  async #run(): Promise<void> {
    this.#running = true
    try {
      while (this.#queue.length > 0) {
        const readies = this.#queue
        this.#queue = []
        this.#writingSinceMs = this.#options.clock.monotonicMs()
        const batch = merge(readies)
        if (batch !== undefined) await this.#options.wal.save(batch)
        this.#writingSinceMs = undefined
        const messages = readies.flatMap((ready) => ready.messagesAfterPersist)
        this.#options.onPersisted(readies.at(-1)!.number, messages)
      }
    } catch (error) {
      this.#failed = true
      this.#options.onFailure(error)
    }
    this.#running = false
    for (const resolve of this.#idleWaiters.splice(0)) resolve()
  }
}

function isEmpty(ready: Ready): boolean {
  return ready.entries.length === 0 && ready.hardState === undefined && ready.snapshot === undefined
}

/**
 * One batch that leaves the log as the Readies one after the other would: a later conflicting suffix replaces the
 * earlier, a snapshot voids what was before it. Undefined when there is nothing to write.
 */
export function merge(readies: readonly Ready[]): LogBatch | undefined {
  let entries: Entry[] = []
  let shared = true
  let hardState: HardState | undefined
  let snapshot: SnapshotMeta | undefined
  let sync = false
  for (const ready of readies) {
    if (ready.snapshot !== undefined) {
      snapshot = ready.snapshot
      entries = []
      shared = false
    }
    const first = ready.entries[0]
    if (first !== undefined) {
      if (entries.length === 0) {
        entries = ready.entries as Entry[]
        shared = true
      } else {
        const keep = first.index - entries[0]!.index
        if (shared || keep < entries.length) entries = entries.slice(0, Math.max(keep, 0))
        shared = false
        for (const entry of ready.entries) entries.push(entry)
      }
    }
    hardState = ready.hardState ?? hardState
    sync ||= ready.mustSync
  }
  if (entries.length === 0 && hardState === undefined && snapshot === undefined) return undefined
  return { snapshot, entries, hardState, sync }
}
