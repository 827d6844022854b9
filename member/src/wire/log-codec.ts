// What the log stores as bytes and back: entries, hard state, membership, the identity of a snapshot (messages in
// member/proto/raft.proto). Malformed bytes are answered with WIRE_MALFORMED; byte fields of what is decoded are views
// into the input. Other modules reach it through raft-codec.ts.

import { EMPTY_BYTES } from '../../../lib/bytes.ts'
import type {
  ConfChange,
  ConfChangeSingle,
  ConfState,
  Entry,
  HardState,
  MemberId,
  SnapshotMeta,
} from '../raft/types.ts'
import { Reader, malformed } from './reader.ts'
import { Writer, varintSize } from './writer.ts'

const ENTRY_TYPES = ['normal', 'confChange'] as const satisfies readonly Entry['type'][]
const CHANGE_TYPES = [
  'addVoter',
  'addLearner',
  'remove',
] as const satisfies readonly ConfChangeSingle['type'][]
const TRANSITIONS = [
  'auto',
  'jointImplicit',
  'jointExplicit',
] as const satisfies readonly ConfChange['transition'][]

const EMPTY_CONF_STATE: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

/** Writes one entry; whoever needs its length around it takes `entrySize`. */
export function writeEntry(w: Writer, entry: Entry): void {
  w.byte(0x08)
  w.safeUint(entry.index)
  w.byte(0x10)
  w.safeUint(entry.term)
  if (entry.change !== undefined) {
    w.byte(0x18)
    w.byte(1)
    w.byte(0x2a)
    const mark = w.begin()
    writeConfChange(w, entry.change)
    w.end(mark)
  } else if (entry.data.length > 0) {
    w.byte(0x22)
    w.bytes(entry.data)
  }
}

/** Exactly the number of bytes `writeEntry` writes. */
export function entrySize(entry: Entry): number {
  const size = 2 + varintSize(entry.index) + varintSize(entry.term)
  if (entry.change !== undefined) return size + 3 + delimitedSize(confChangeSize(entry.change))
  const { length } = entry.data
  return length === 0 ? size : size + 1 + delimitedSize(length)
}

/** Reads one entry up to the end of the reader's current message. */
export function readEntry(r: Reader): Entry {
  let index = 0
  let term = 0
  let type = 0
  let data = EMPTY_BYTES
  let change: ConfChange | undefined
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) index = r.safeUint()
    else if (tag === 0x10) term = r.safeUint()
    else if (tag === 0x18) type = r.int32()
    else if (tag === 0x22) data = r.bytes()
    else if (tag === 0x2a) change = readNested(r, readConfChange)
    else r.skip(tag)
  }
  if (index === 0) malformed('entry without an index')
  const name = ENTRY_TYPES[type]
  if (name === undefined) malformed('entry type is unknown', { type })
  if (
    (name === 'confChange') !== (change !== undefined) ||
    (change !== undefined && data.length > 0)
  ) {
    malformed('entry content does not match its type', { index })
  }
  return { index, term, type: name, data, change }
}

export function encodeHardState(hardState: HardState): Uint8Array {
  const w = new Writer(40)
  writeUint(w, 0x08, hardState.term)
  if (hardState.vote !== undefined) {
    w.byte(0x11)
    w.hexId(hardState.vote)
  }
  writeUint(w, 0x18, hardState.commit)
  return w.finish()
}

export function decodeHardState(bytes: Uint8Array): HardState {
  const r = new Reader(bytes)
  let term = 0
  let vote: MemberId | undefined
  let commit = 0
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) term = r.safeUint()
    else if (tag === 0x11) vote = r.hexId() as MemberId
    else if (tag === 0x18) commit = r.safeUint()
    else r.skip(tag)
  }
  return { term, vote, commit }
}

export function encodeSnapshotMeta(meta: SnapshotMeta): Uint8Array {
  const w = new Writer()
  writeSnapshotMeta(w, meta)
  return w.finish()
}

export function decodeSnapshotMeta(bytes: Uint8Array): SnapshotMeta {
  return readSnapshotMeta(new Reader(bytes))
}

export function writeSnapshotMeta(w: Writer, meta: SnapshotMeta): void {
  writeUint(w, 0x08, meta.index)
  writeUint(w, 0x10, meta.term)
  w.byte(0x1a)
  const mark = w.begin()
  writeConfState(w, meta.confState)
  w.end(mark)
}

export function readSnapshotMeta(r: Reader): SnapshotMeta {
  let index = 0
  let term = 0
  let confState = EMPTY_CONF_STATE
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) index = r.safeUint()
    else if (tag === 0x10) term = r.safeUint()
    else if (tag === 0x1a) confState = readNested(r, readConfState)
    else r.skip(tag)
  }
  return { index, term, confState }
}

export function writeConfState(w: Writer, confState: ConfState): void {
  writeIds(w, 0x0a, confState.voters)
  writeIds(w, 0x12, confState.votersOutgoing)
  writeIds(w, 0x1a, confState.learners)
  writeIds(w, 0x22, confState.learnersNext)
  writeFlag(w, 0x28, confState.autoLeave)
}

export function readConfState(r: Reader): ConfState {
  const voters: MemberId[] = []
  const votersOutgoing: MemberId[] = []
  const learners: MemberId[] = []
  const learnersNext: MemberId[] = []
  let autoLeave = false
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    const field = tag >>> 3
    if (field === 1 && isIds(tag)) readIds(r, tag, voters)
    else if (field === 2 && isIds(tag)) readIds(r, tag, votersOutgoing)
    else if (field === 3 && isIds(tag)) readIds(r, tag, learners)
    else if (field === 4 && isIds(tag)) readIds(r, tag, learnersNext)
    else if (tag === 0x28) autoLeave = r.bool()
    else r.skip(tag)
  }
  return { voters, votersOutgoing, learners, learnersNext, autoLeave }
}

export function encodeConfChange(change: ConfChange): Uint8Array {
  const w = new Writer(confChangeSize(change))
  writeConfChange(w, change)
  return w.finish()
}

export function decodeConfChange(bytes: Uint8Array): ConfChange {
  return readConfChange(new Reader(bytes))
}

function writeConfChange(w: Writer, change: ConfChange): void {
  for (const { type, memberId } of change.changes) {
    w.byte(0x0a)
    const mark = w.begin()
    writeUint(w, 0x08, CHANGE_TYPES.indexOf(type))
    w.byte(0x11)
    w.hexId(memberId)
    w.end(mark)
  }
  writeUint(w, 0x10, TRANSITIONS.indexOf(change.transition))
  if (change.context.length > 0) {
    w.byte(0x1a)
    w.bytes(change.context)
  }
}

function confChangeSize(change: ConfChange): number {
  let size = change.transition === 'auto' ? 0 : 2
  for (const { type } of change.changes) size += type === 'addVoter' ? 11 : 13
  const { length } = change.context
  return length === 0 ? size : size + 1 + delimitedSize(length)
}

function readConfChange(r: Reader): ConfChange {
  const changes: ConfChangeSingle[] = []
  let transition = 0
  let context = EMPTY_BYTES
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x0a) changes.push(readNested(r, readConfChangeSingle))
    else if (tag === 0x10) transition = r.int32()
    else if (tag === 0x1a) context = r.bytes()
    else r.skip(tag)
  }
  const name = TRANSITIONS[transition]
  if (name === undefined) malformed('transition is unknown', { transition })
  return { changes, transition: name, context }
}

function readConfChangeSingle(r: Reader): ConfChangeSingle {
  let type = 0
  let memberId: MemberId | undefined
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) type = r.int32()
    else if (tag === 0x11) memberId = r.hexId() as MemberId
    else r.skip(tag)
  }
  const name = CHANGE_TYPES[type]
  if (name === undefined) malformed('change type is unknown', { type })
  if (memberId === undefined) malformed('change without a member')
  return { type: name, memberId }
}

/** Bytes of a length and of what it announces. */
export function delimitedSize(length: number): number {
  return varintSize(length) + length
}

/** Reads a nested message with `read`, which stops at its end. */
export function readNested<T>(r: Reader, read: (r: Reader) => T): T {
  const outerEnd = r.enter()
  const value = read(r)
  r.leave(outerEnd)
  return value
}

/** A field of an unsigned number, left out when it is zero. `tag` is below 128. */
export function writeUint(w: Writer, tag: number, value: number): void {
  if (value === 0) return
  w.byte(tag)
  w.safeUint(value)
}

/** A boolean field, left out when it is false. `tag` is below 128. */
export function writeFlag(w: Writer, tag: number, value: boolean): void {
  if (!value) return
  w.byte(tag)
  w.byte(1)
}

function writeIds(w: Writer, tag: number, ids: readonly MemberId[]): void {
  if (ids.length === 0) return
  w.byte(tag)
  w.uint32(ids.length * 8)
  for (const id of ids) w.hexId(id)
}

/** Packed or one by one: protobuf accepts both. */
function isIds(tag: number): boolean {
  return (tag & 7) === 2 || (tag & 7) === 1
}

function readIds(r: Reader, tag: number, into: MemberId[]): void {
  if ((tag & 7) === 1) {
    into.push(r.hexId() as MemberId)
    return
  }
  const outerEnd = r.enter()
  while (r.remaining > 0) into.push(r.hexId() as MemberId)
  r.leave(outerEnd)
}
