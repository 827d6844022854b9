// Stores Readies in their order, one write and flush at a time; what becomes ready meanwhile shares the next flush (group
// commit). A Ready counts as persisted, and its dependent messages leave, only when its flush has returned. A disk without
// space is waited for; any other failure of it is the end.

import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'
import { hasCode } from '../../../lib/errors.ts'
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
  /** Rejects with NO_SPACE and `isFailed` false when nothing was written and the batch may be saved again. */
  save(batch: LogBatch): Promise<void>
  readonly isFailed: boolean
}

export interface PersisterOptions {
  readonly wal: LogWriter
  readonly clock: Clock
  readonly timers: Timers
  /** Called after the flush with the number of the newest Ready it covered. */
  readonly onPersisted: (number: number, messages: readonly PeerMessage[]) => void
  /** There is no space for the next write, or there is again. */
  readonly onSpace: (isFull: boolean) => void
  /** The disk failed: the process must end, nothing is tried again. */
  readonly onFailure: (error: unknown) => void
}

/** How often a disk without space is tried again. */
const SPACE_RETRY_MS = 250
/** Readies that wait beyond this number become one. */
const QUEUE_MAX = 256
/** Messages that wait for one write; of more the oldest are dropped, as if they were lost on their way. */
const MESSAGES_MAX = 4096

/** What of a Ready is to be stored, and what leaves once it is. */
interface Waiting {
  number: number
  readonly part: LogBatch | undefined
  messages: PeerMessage[]
  /** Must be done before anything of it, or after it, is stored. */
  readonly before: (() => Promise<void>) | undefined
}

export class Persister {
  readonly #options: PersisterOptions
  #queue: Waiting[] = []
  #writingSinceMs: number | undefined
  #fullSinceMs: number | undefined
  #running = false
  #failed = false
  #stopped = false
  #retry: TimerHandle | undefined
  #wake: (() => void) | undefined
  #idleWaiters: (() => void)[] = []

  constructor(options: PersisterOptions) {
    this.#options = options
  }

  /**
   * Takes a Ready to be stored; returns at once. `before` runs when all earlier ones are stored, and this one and all later
   * ones wait for it: the file of a snapshot has its name before the log goes on from it.
   */
  enqueue(ready: Ready, before?: () => Promise<void>): void {
    const { number, messagesAfterPersist } = ready
    const isEmpty = isNothing(ready) && before === undefined
    if (isEmpty && !this.#running && !this.#failed) {
      this.#options.onPersisted(number, messagesAfterPersist)
      return
    }
    const last = this.#queue.at(-1)
    if (isEmpty && last !== undefined) {
      last.number = number
      addMessages(last, messagesAfterPersist)
      return
    }
    const { entries, hardState, snapshot, mustSync: sync } = ready
    const part = isEmpty ? undefined : { entries, hardState, snapshot, sync }
    this.#queue.push({ number, part, messages: [...messagesAfterPersist], before })
    if (this.#queue.length > QUEUE_MAX) this.#fold()
    if (!this.#running && !this.#failed) void this.#run()
  }

  /** How long the write under way has been running; 0 when there is none. */
  stalledMs(nowMs: number): number {
    return this.#writingSinceMs === undefined ? 0 : nowMs - this.#writingSinceMs
  }

  /** How long there has been no space; undefined while there is. */
  fullMs(nowMs: number): number | undefined {
    return this.#fullSinceMs === undefined ? undefined : nowMs - this.#fullSinceMs
  }

  /** Resolves when everything enqueued so far is stored, or storing has failed, or there is no space for it. */
  stop(): Promise<void> {
    this.#stopped = true
    this.#retry?.cancel()
    this.#wake?.()
    if (this.#failed || !this.#running) return Promise.resolve()
    return new Promise((resolve) => this.#idleWaiters.push(resolve))
  }

  /** Never rejects: a failure goes to `onFailure`. */
  async #run(): Promise<void> {
    this.#running = true
    try {
      while (this.#queue.length > 0) {
        const { before } = this.#queue[0]!
        this.#writingSinceMs = this.#options.clock.monotonicMs()
        if (before !== undefined) await before()
        const taken = this.#take()
        const batch = merge(taken.map((waiting) => waiting.part))
        if (batch !== undefined && !(await this.#save(batch))) break
        this.#writingSinceMs = undefined
        const messages = taken.flatMap((waiting) => waiting.messages)
        this.#options.onPersisted(taken.at(-1)!.number, messages)
      }
    } catch (error) {
      this.#failed = true
      this.#options.onFailure(error)
    }
    this.#running = false
    for (const resolve of this.#idleWaiters.splice(0)) resolve()
  }

  /** The first that waits and those behind it, up to the next that has something to do before. */
  #take(): Waiting[] {
    let count = 1
    while (count < this.#queue.length && this.#queue[count]!.before === undefined) count++
    return this.#queue.splice(0, count)
  }

  /** Returns whether the batch is stored; it is not when there was no space for it until the stop. */
  async #save(batch: LogBatch): Promise<boolean> {
    const { wal, clock, onSpace } = this.#options
    for (;;) {
      try {
        this.#writingSinceMs = clock.monotonicMs()
        await wal.save(batch)
        break
      } catch (error) {
        if (!hasCode(error, 'NO_SPACE') || wal.isFailed) throw error
      }
      // Waiting for space is not a disk that hangs.
      this.#writingSinceMs = undefined
      if (this.#fullSinceMs === undefined) {
        this.#fullSinceMs = clock.monotonicMs()
        onSpace(true)
      }
      await this.#untilRetry()
      if (this.#stopped) return false
    }
    if (this.#fullSinceMs !== undefined) {
      this.#fullSinceMs = undefined
      onSpace(false)
    }
    return true
  }

  #untilRetry(): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#retry = this.#options.timers.after(SPACE_RETRY_MS, resolve)
    })
  }

  /** Makes one of all that wait behind the last that has something to do before. */
  #fold(): void {
    const from = Math.max(
      0,
      this.#queue.findLastIndex(({ before }) => before !== undefined),
    )
    const folded = this.#queue.splice(from)
    const waiting: Waiting = {
      number: folded.at(-1)!.number,
      part: merge(folded.map(({ part }) => part)),
      messages: [],
      before: folded[0]!.before,
    }
    addMessages(
      waiting,
      folded.flatMap(({ messages }) => messages),
    )
    this.#queue.push(waiting)
  }
}

function addMessages(waiting: Waiting, messages: readonly PeerMessage[]): void {
  if (messages.length === 0) return
  waiting.messages.push(...messages)
  if (waiting.messages.length > MESSAGES_MAX)
    waiting.messages = waiting.messages.slice(-MESSAGES_MAX)
}

function isNothing(ready: Ready): boolean {
  return ready.entries.length === 0 && ready.hardState === undefined && ready.snapshot === undefined
}

/**
 * One batch that leaves the log as the batches one after the other would: a later conflicting suffix replaces the earlier,
 * a snapshot voids what was before it. Undefined when there is nothing to write.
 */
export function merge(parts: readonly (LogBatch | undefined)[]): LogBatch | undefined {
  let entries: Entry[] = []
  let shared = true
  let hardState: HardState | undefined
  let snapshot: SnapshotMeta | undefined
  let sync = false
  for (const part of parts) {
    if (part === undefined) continue
    if (part.snapshot !== undefined) {
      snapshot = part.snapshot
      entries = []
      shared = false
    }
    const first = part.entries[0]
    if (first !== undefined) {
      if (entries.length === 0) {
        entries = part.entries as Entry[]
        shared = true
      } else {
        const keep = first.index - entries[0]!.index
        if (shared || keep < entries.length) entries = entries.slice(0, Math.max(keep, 0))
        shared = false
        for (const entry of part.entries) entries.push(entry)
      }
    }
    hardState = part.hardState ?? hardState
    sync ||= part.sync
  }
  if (entries.length === 0 && hardState === undefined && snapshot === undefined) return undefined
  return { snapshot, entries, hardState, sync }
}
