// The replicated state as a stream of bytes: what snapshot files and snapshot transfers carry. Format:
//
//   length of the header in bytes (32-bit little-endian)
//   header (StateHeader in member/proto/state.proto): position, membership, members by id
//   the stream of the key space (mvcc/snapshot.ts), to the end

import type { StoreSnapshot } from '../mvcc/store.ts'
import type { MemberId, SnapshotMeta } from '../raft/types.ts'
import { encodeStateHeader } from '../wire/state.gen.ts'
import type { MemberRecord } from './request.ts'

/** Of everything in the stream but the key space, which names its own. */
export const STATE_FORMAT = 1
export const HEADER_LENGTH_BYTES = 4

export interface StateHeader {
  readonly meta: SnapshotMeta
  /** Sorted by id. */
  readonly members: readonly MemberRecord[]
  readonly membershipEpoch: number
  /** Sorted. */
  readonly removed: readonly MemberId[]
  /** The feature level of the cluster. */
  readonly level: number
}

export class StateSnapshot {
  /** The log position and the membership this state stands for. */
  readonly meta: SnapshotMeta
  readonly #header: StateHeader
  readonly #store: StoreSnapshot

  constructor(header: StateHeader, store: StoreSnapshot) {
    this.meta = header.meta
    this.#header = header
    this.#store = store
  }

  /** An upper bound of what chunks() yields, in bytes, the header aside. */
  get bytes(): number {
    return this.#store.bytes
  }

  /** The stream in pieces of bounded size, made when asked for; writes go on meanwhile. Each belongs to the caller. */
  *chunks(): Generator<Uint8Array, void, undefined> {
    const header = encodeStateHeader({ format: STATE_FORMAT, ...this.#header })
    const first = new Uint8Array(HEADER_LENGTH_BYTES + header.length)
    new DataView(first.buffer).setUint32(0, header.length, true)
    first.set(header, HEADER_LENGTH_BYTES)
    yield first
    yield* this.#store.chunks()
  }

  /** Lets go of the pinned state; chunks() must not be read afterwards. Calling it again does nothing. */
  release(): void {
    this.#store.release()
  }
}

/** FNV-1a over the header, begun with the hash of the key space. */
export function hashOfHeader(header: StateHeader, storeHash: number): number {
  let hash = storeHash | 0
  for (const byte of encodeStateHeader({ format: STATE_FORMAT, ...header })) {
    hash = Math.imul(hash ^ byte, 0x0100_0193)
  }
  return hash >>> 0
}
