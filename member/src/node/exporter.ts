// Hands the whole state out to a client, as a snapshot file in pieces. It does not stop writes: the state is captured in an
// instant and read piece by piece, as fast as the client takes it, and half as fast while requests wait. A capture holds
// memory that writes replace meanwhile, so there are few at a time, and each ends with the member.

import type { Clock, Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import { SNAPSHOT_EXPORTS_MAX } from '../limits.ts'
import type { StateMachine } from '../apply/state-machine.ts'
import { sealSnapshot } from '../wal/portable-snapshot.ts'
import { encodeSnapshotStream, SNAPSHOT_FORMAT_VERSION } from '../wal/snapshot-file.ts'
import type { SnapshotExport } from './member-node.ts'
import { paced } from './paced.ts'

export interface ExporterOptions {
  readonly clusterId: string
  readonly clock: Clock
  readonly timers: Timers
  readonly stateMachine: () => StateMachine
  /** Whether requests wait for their outcome. */
  readonly isBusy: () => boolean
}

export class Exporter {
  readonly #options: ExporterOptions
  readonly #abort = new AbortController()
  #count = 0

  constructor(options: ExporterOptions) {
    this.#options = options
  }

  /** The state as it is now; to be released. Throws OVERLOADED or SHUTTING_DOWN. */
  open(): SnapshotExport {
    if (this.#abort.signal.aborted) {
      throw new RaftbaseError('SHUTTING_DOWN', 'the member is stopping')
    }
    if (this.#count >= SNAPSHOT_EXPORTS_MAX) {
      throw new RaftbaseError('OVERLOADED', 'too many snapshots are being read', {
        details: { reason: `${SNAPSHOT_EXPORTS_MAX} at a time` },
      })
    }
    this.#count++
    const { clusterId, stateMachine, clock, timers, isBusy } = this.#options
    const { store, members } = stateMachine()
    const capture = stateMachine().capture()
    const { meta } = capture
    const pace = { signal: this.#abort.signal, clock, timers, isBusy }
    let isReleased = false
    return {
      clusterId,
      formatVersion: SNAPSHOT_FORMAT_VERSION,
      index: meta.index,
      term: meta.term,
      revision: store.revision,
      memberCount: members.size,
      chunks: () =>
        sealSnapshot(encodeSnapshotStream({ clusterId, meta }, paced(capture.chunks(), pace))),
      release: () => {
        if (isReleased) return
        isReleased = true
        this.#count--
        capture.release()
      },
    }
  }

  /** Whoever still reads one gets an error instead of the rest. */
  stop(): void {
    this.#abort.abort(new RaftbaseError('SHUTTING_DOWN', 'the member is stopping'))
  }
}
