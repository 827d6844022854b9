// Snapshots in both directions: to this member's disk when the log has grown by half of what the state is large, to a peer
// whose entries are gone from memory, and from a leader. None of them stops writes: the state is captured in an instant
// and read piece by piece. One save, one transfer per peer and one arrival at a time.

import { invariant } from '../../../lib/assert.ts'
import type { Clock, Timers } from '../../../lib/clock.ts'
import { hasCode, RaftbaseError } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { StateMachine, StateSnapshot } from '../apply/state-machine.ts'
import type { MsgSnap } from '../raft/message.ts'
import type { Index, MemberId, SnapshotMeta } from '../raft/types.ts'
import type { Transport } from '../transport/transport.ts'
import {
  encodeSnapshotStream,
  type SnapshotStore,
  type StagedSnapshot,
} from '../wal/snapshot-file.ts'
import { paced } from './paced.ts'

/** A snapshot there was no space for is tried again after this time. */
const SPACE_RETRY_MS = 10_000

export interface SnapshotterOptions {
  readonly snapshots: SnapshotStore
  readonly transport: Transport
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Logger
  readonly clusterId: string
  readonly stateMachine: () => StateMachine
  /** Frees the log up to an index that a durable snapshot covers. */
  readonly releaseLog: (index: Index) => Promise<void>
  /** Resolves once this member's own log is durable up to the index. */
  readonly persistedUpTo: (index: Index) => Promise<void>
  readonly onSnapStatus: (peer: MemberId, ok: boolean) => void
  /** A snapshot could not be written: the disk failed. */
  readonly onFailure: (error: unknown) => void
  /**
   * A snapshot is due when the log has grown by this much and by half the size of the state. (Not by all of it: a state that
   * keeps its history grows as fast as the log, which would then never catch up.)
   */
  readonly snapshotLogBytes: () => number
}

export class Snapshotter {
  readonly #options: SnapshotterOptions
  readonly #abort = new AbortController()
  readonly #sending = new Set<MemberId>()
  /** Peers whose last transfer failed: that was said once and is not worth a line each second. */
  readonly #failing = new Set<MemberId>()
  #isOutOfSpace = false
  #savedAtBytes = 0
  #notBeforeMs = 0
  #saving: Promise<void> | undefined
  #receiving = false
  /** Stored, for the core to decide on. */
  #staged: StagedSnapshot | undefined
  /** The core has accepted it: it becomes this member's newest when its turn has come in the order of effects. */
  #accepted: StagedSnapshot | undefined
  /** Index of the newest snapshot on this disk; 0 before the first. */
  #index: Index

  /** @param options.replayedBytes what of the log behind the newest snapshot was applied at the start */
  constructor(
    options: SnapshotterOptions & { readonly index: Index; readonly replayedBytes: number },
  ) {
    this.#options = options
    this.#index = options.index
    this.#savedAtBytes = -options.replayedBytes
  }

  get index(): Index {
    return this.#index
  }

  /** Whether one is being written to this disk. */
  get isSaving(): boolean {
    return this.#saving !== undefined
  }

  /** Starts a snapshot to disk when one is due. `appliedBytes`: bytes applied since the process started. */
  maybeSave(appliedBytes: number): void {
    if (this.#saving !== undefined || this.#abort.signal.aborted) return
    const { snapshotLogBytes, stateMachine, clock, log, onFailure } = this.#options
    const due = Math.max(snapshotLogBytes(), stateMachine().store.bytes / 2)
    if (appliedBytes - this.#savedAtBytes < due) return
    if (clock.monotonicMs() < this.#notBeforeMs) return
    const savedAtBytes = this.#savedAtBytes
    this.#savedAtBytes = appliedBytes
    this.#saving = this.#save()
      .catch((error: unknown) => {
        if (!hasCode(error, 'NO_SPACE')) return onFailure(error)
        // The log keeps everything meanwhile, and the snapshot before.
        log[this.#isOutOfSpace ? 'debug' : 'warn']({ err: error }, 'no space for a snapshot')
        this.#isOutOfSpace = true
        this.#savedAtBytes = savedAtBytes
        this.#notBeforeMs = clock.monotonicMs() + SPACE_RETRY_MS
      })
      .finally(() => {
        this.#saving = undefined
      })
  }

  /** Streams the state to the peer the core wants to send a snapshot to, and tells the core how it went. */
  send(message: MsgSnap): void {
    if (this.#sending.has(message.to) || this.#abort.signal.aborted) return
    this.#sending.add(message.to)
    void this.#send(message).finally(() => this.#sending.delete(message.to))
  }

  /** Stores a snapshot that a leader streams; the core decides on it when the leader's MsgSnap follows. */
  async receive(from: MemberId, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#receiving) {
      throw new RaftbaseError('SNAPSHOT_REFUSED', 'another snapshot is arriving')
    }
    this.#receiving = true
    try {
      await this.#dropStaged()
      // failpoint: await snapshotReceiving
      this.#staged = await this.#options.snapshots.stage(chunks)
      // failpoint: await snapshotReceived
      const { index, term } = this.#staged.meta
      this.#options.log.info({ from, index, term }, 'snapshot received')
    } finally {
      this.#receiving = false
    }
  }

  /** The meta of a snapshot that is stored and may be stepped into the core. */
  isStaged(meta: SnapshotMeta): boolean {
    const staged = this.#staged?.meta
    return staged !== undefined && staged.index === meta.index && staged.term === meta.term
  }

  /** The core has accepted it: no later arrival takes its place any more. */
  accept(meta: SnapshotMeta): void {
    const staged = this.#staged
    invariant(staged !== undefined && this.isStaged(meta), 'the accepted snapshot is not there', {
      index: meta.index,
    })
    invariant(this.#accepted === undefined, 'two snapshots are installed at once', {
      index: meta.index,
    })
    this.#accepted = staged
    this.#staged = undefined
  }

  /** Makes the accepted one this member's newest snapshot and returns its chunks. */
  async commitAccepted(): Promise<AsyncIterable<Uint8Array>> {
    const accepted = this.#accepted
    invariant(accepted !== undefined, 'no snapshot was accepted')
    const path = await accepted.commit()
    this.#accepted = undefined
    this.#index = accepted.meta.index
    return this.#options.snapshots.read(path)
  }

  /** Removes what the newest snapshot makes superfluous. */
  async cleanUp(): Promise<void> {
    // failpoint: await snapshotCleanup
    await this.#options.snapshots.purge(this.#index)
    // failpoint: await snapshotPurged
    await this.#options.releaseLog(this.#index)
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#saving
    await this.#dropStaged()
    await this.#accepted?.discard()
  }

  async #save(): Promise<void> {
    const { snapshots, clusterId, clock, log, persistedUpTo } = this.#options
    const startMs = clock.monotonicMs()
    const capture = this.#options.stateMachine().capture()
    try {
      const { meta } = capture
      // failpoint: await snapshotSaving
      await unlessAborted(persistedUpTo(meta.index), this.#abort.signal)
      await snapshots.save({ clusterId, meta }, this.#paced(capture))
      this.#index = Math.max(this.#index, meta.index)
      this.#isOutOfSpace = false
      // failpoint: await snapshotSaved
      const durationMs = Math.round(clock.monotonicMs() - startMs)
      log.info({ index: meta.index, term: meta.term, durationMs }, 'snapshot saved')
    } catch (error) {
      if (this.#abort.signal.aborted) return
      throw error
    } finally {
      capture.release()
    }
    await this.cleanUp()
  }

  async #send(message: MsgSnap): Promise<void> {
    const { transport, clusterId, clock, log, onSnapStatus } = this.#options
    const peer = message.to
    const startMs = clock.monotonicMs()
    const capture = this.#options.stateMachine().capture()
    const { meta } = capture
    try {
      const level = this.#failing.has(peer) ? 'debug' : 'info'
      log[level]({ peer, index: meta.index, term: meta.term }, 'snapshot transfer started')
      // failpoint: await snapshotSending
      const stream = encodeSnapshotStream({ clusterId, meta }, this.#paced(capture))
      await transport.sendSnapshot(peer, stream, this.#abort.signal)
      // failpoint: await snapshotSent
      // The message that makes the follower's core decide travels behind the bytes.
      transport.send([{ ...message, snapshot: meta }])
      const durationMs = Math.round(clock.monotonicMs() - startMs)
      log.info({ peer, index: meta.index, durationMs }, 'snapshot transfer finished')
      this.#failing.delete(peer)
      onSnapStatus(peer, true)
    } catch (err) {
      if (!this.#abort.signal.aborted) {
        log[this.#failing.has(peer) ? 'debug' : 'warn']({ err, peer }, 'snapshot transfer failed')
        this.#failing.add(peer)
      }
      onSnapStatus(peer, false)
    } finally {
      capture.release()
    }
  }

  /** The state in pieces that leave room for writes; ends with an error once this member stops. */
  #paced(capture: StateSnapshot): AsyncGenerator<Uint8Array> {
    const { clock, timers } = this.#options
    return paced(capture.chunks(), { signal: this.#abort.signal, clock, timers })
  }

  async #dropStaged(): Promise<void> {
    const staged = this.#staged
    this.#staged = undefined
    await staged?.discard()
  }
}

/** A disk that takes nothing must not keep the member from stopping. */
async function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
