// Reads the stream of a snapshot (format: state-snapshot.ts). The bytes come from a disk or from another member: damage is
// an error, never a state.

import { RaftbaseError } from '../../../lib/errors.ts'
import { StoreRestorer } from '../mvcc/restore.ts'
import type { Store } from '../mvcc/store.ts'
import type { MemberId } from '../raft/types.ts'
import { isMalformed } from '../wire/reader.ts'
import { type StateHeader as WireHeader, decodeStateHeader } from '../wire/state.gen.ts'
import { toMemberRecord } from './request.ts'
import { HEADER_LENGTH_BYTES, STATE_FORMAT, type StateHeader } from './state-snapshot.ts'

/** Far above what any membership needs: a longer header is damage, and is not collected. */
const HEADER_BYTES_MAX = 16 * 1024 * 1024

/** What a state machine is built from. */
export interface RestoredState extends StateHeader {
  readonly store: Store
}

export class StateReader {
  readonly #store = new StoreRestorer()
  /** Bytes of the header seen so far, its length in front. */
  #pending = new Uint8Array(0)
  #header: StateHeader | undefined

  /** Takes the next bytes of the stream, cut anywhere; keeps no reference. Throws SNAPSHOT_CORRUPT. */
  addChunk(bytes: Uint8Array): void {
    if (this.#header !== undefined) {
      this.#store.addChunk(bytes)
      return
    }
    const joined = new Uint8Array(this.#pending.length + bytes.length)
    joined.set(this.#pending)
    joined.set(bytes, this.#pending.length)
    this.#pending = joined
    if (joined.length < HEADER_LENGTH_BYTES) return
    const length = new DataView(joined.buffer).getUint32(0, true)
    if (length > HEADER_BYTES_MAX) corrupt('header is too long', { length })
    const end = HEADER_LENGTH_BYTES + length
    if (joined.length < end) return
    this.#header = readHeader(joined.slice(HEADER_LENGTH_BYTES, end))
    this.#pending = new Uint8Array(0)
    if (joined.length > end) this.#store.addChunk(joined.subarray(end))
  }

  /** The state, once all bytes have been added. Throws SNAPSHOT_CORRUPT if they are not a whole stream. */
  finish(): RestoredState {
    if (this.#header === undefined) corrupt('snapshot ends early')
    return { ...this.#header, store: this.#store.finish() }
  }
}

function readHeader(bytes: Uint8Array): StateHeader {
  const { format, meta, members, membershipEpoch, removed, level } = decode(bytes)
  if (format > STATE_FORMAT) {
    throw new RaftbaseError('SNAPSHOT_REFUSED', 'snapshot was written by a newer version', {
      details: { formatVersion: format, formatVersionMax: STATE_FORMAT },
    })
  }
  if (format !== STATE_FORMAT) corrupt('unknown state format', { format })
  if (meta === undefined) corrupt('snapshot without a position')
  return {
    meta,
    members: members.map(toMemberRecord),
    membershipEpoch,
    removed: removed as readonly MemberId[],
    level,
  }
}

function decode(bytes: Uint8Array): WireHeader {
  try {
    return decodeStateHeader(bytes)
  } catch (cause) {
    if (!isMalformed(cause)) throw cause
    throw new RaftbaseError('SNAPSHOT_CORRUPT', 'snapshot header is malformed', { cause })
  }
}

function corrupt(what: string, details: Readonly<Record<string, unknown>> = {}): never {
  throw new RaftbaseError('SNAPSHOT_CORRUPT', what, { details })
}
