// The core's types as bytes and back: what members tell each other, and, re-exported, what the log stores
// (member/proto/raft.proto). Decoding answers anything malformed with WIRE_MALFORMED, facts included that the core takes
// for granted: entries of a message are consecutive and their terms never fall. Byte fields of what is decoded are views
// into the input.

import { unreachable } from '../../../lib/assert.ts'
import type { MsgApp, MsgAppResp, PeerMessage } from '../raft/message.ts'
import type { Entry, MemberId, SnapshotMeta, Term } from '../raft/types.ts'
import {
  delimitedSize,
  entrySize,
  readEntry,
  readNested,
  readSnapshotMeta,
  writeEntry,
  writeFlag,
  writeSnapshotMeta,
  writeUint,
} from './log-codec.ts'
import { Reader, malformed } from './reader.ts'
import { Writer } from './writer.ts'

export {
  decodeConfChange,
  decodeHardState,
  decodeSnapshotMeta,
  encodeConfChange,
  encodeHardState,
  encodeSnapshotMeta,
  entrySize,
  readEntry,
  readSnapshotMeta,
  writeEntry,
  writeSnapshotMeta,
} from './log-codec.ts'
export { decodeNodeMessage, encodeNodeMessage } from './node-codec.ts'

/** Tags of the members of PeerMessage.body: field number << 3 | 2. */
const BODY_TAGS = {
  MsgApp: 0x12,
  MsgAppResp: 0x1a,
  MsgVote: 0x22,
  MsgVoteResp: 0x2a,
  MsgPreVote: 0x32,
  MsgPreVoteResp: 0x3a,
  MsgHeartbeat: 0x42,
  MsgHeartbeatResp: 0x4a,
  MsgSnap: 0x52,
  MsgReadIndex: 0x5a,
  MsgReadIndexResp: 0x62,
  MsgTimeoutNow: 0x6a,
  MsgTermNotice: 0x72,
} as const satisfies Record<PeerMessage['type'], number>

const BODY_TYPES: ReadonlyMap<number, PeerMessage['type']> = new Map(
  Object.entries(BODY_TAGS).map(([type, tag]) => [tag, type as PeerMessage['type']]),
)

/** Upper bound of a message without entries, contexts and snapshot. */
const MESSAGE_BYTES = 64

/** `from` and `to` are not part of the bytes: they are the connection's. */
export function encodePeerMessage(message: PeerMessage): Uint8Array {
  let capacity = MESSAGE_BYTES
  if (message.type === 'MsgApp') {
    for (const entry of message.entries) capacity += 1 + delimitedSize(entrySize(entry))
    // Room for the length of the body to grow into.
    capacity += 8
  }
  const w = new Writer(capacity)
  writeUint(w, 0x08, message.term)
  w.byte(BODY_TAGS[message.type])
  const mark = w.begin()
  writeBody(w, message)
  w.end(mark)
  return w.finish()
}

export function decodePeerMessage(
  bytes: Uint8Array,
  addresses: { readonly from: MemberId; readonly to: MemberId },
): PeerMessage {
  const r = new Reader(bytes)
  let term = 0
  let message: PeerMessage | undefined
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    const type = BODY_TYPES.get(tag)
    if (tag === 0x08) {
      term = r.safeUint()
    } else if (type === undefined) {
      r.skip(tag)
    } else {
      // The term comes first, as every field with a lower number does; one that follows the body is not ours.
      if (message !== undefined) malformed('message has two bodies')
      const outerEnd = r.enter()
      message = readBody(r, type, { from: addresses.from, to: addresses.to, term })
      r.leave(outerEnd)
    }
  }
  if (message === undefined) malformed('message has no body this version knows')
  if (message.term !== term) malformed('term follows the body')
  return message
}

function writeBody(w: Writer, message: PeerMessage): void {
  switch (message.type) {
    case 'MsgApp':
      return writeApp(w, message)
    case 'MsgAppResp':
      return writeAppResp(w, message)
    case 'MsgVote':
    case 'MsgPreVote':
      writeUint(w, 0x08, message.lastIndex)
      writeUint(w, 0x10, message.lastTerm)
      writeFlag(w, 0x18, message.transfer)
      writeUint(w, 0x20, message.commit)
      return writeUint(w, 0x28, message.commitTerm)
    case 'MsgVoteResp':
    case 'MsgPreVoteResp':
      writeFlag(w, 0x08, message.reject)
      writeUint(w, 0x20, message.commit)
      return writeUint(w, 0x28, message.commitTerm)
    case 'MsgHeartbeat':
      writeUint(w, 0x08, message.commit)
      return writeText(w, 0x12, message.context)
    case 'MsgHeartbeatResp':
    case 'MsgReadIndex':
      return writeText(w, 0x0a, message.context)
    case 'MsgSnap':
      return writeSnap(w, message.snapshot)
    case 'MsgReadIndexResp':
      writeText(w, 0x0a, message.context)
      writeUint(w, 0x10, message.index)
      return writeFlag(w, 0x18, message.reject)
    case 'MsgTimeoutNow':
    case 'MsgTermNotice':
      return
    default:
      unreachable(message)
  }
}

interface Header {
  readonly from: MemberId
  readonly to: MemberId
  readonly term: Term
}

function readBody(r: Reader, type: PeerMessage['type'], header: Header): PeerMessage {
  const { from, to, term } = header
  switch (type) {
    case 'MsgApp':
      return readApp(r, header)
    case 'MsgAppResp':
      return readAppResp(r, header)
    case 'MsgVote':
    case 'MsgPreVote': {
      const { first, second, flag, commit, commitTerm } = readVote(r)
      const last = { lastIndex: first, lastTerm: second }
      return { type, from, to, term, ...last, transfer: flag, commit, commitTerm }
    }
    case 'MsgVoteResp':
    case 'MsgPreVoteResp': {
      const { first, commit, commitTerm } = readVote(r)
      return { type, from, to, term, reject: first !== 0, commit, commitTerm }
    }
    case 'MsgHeartbeat':
      return readHeartbeat(r, header)
    case 'MsgHeartbeatResp':
    case 'MsgReadIndex':
      return { type, from, to, term, context: readContext(r).context }
    case 'MsgSnap':
      return readSnap(r, header)
    case 'MsgReadIndexResp': {
      const { context, index, reject } = readContext(r)
      return { type, from, to, term, context, index, reject }
    }
    case 'MsgTimeoutNow':
    case 'MsgTermNotice':
      for (let tag = r.tag(); tag !== 0; tag = r.tag()) r.skip(tag)
      return { type, from, to, term }
    default:
      return unreachable(type)
  }
}

function writeApp(w: Writer, message: MsgApp): void {
  writeUint(w, 0x08, message.prevIndex)
  writeUint(w, 0x10, message.prevTerm)
  writeUint(w, 0x18, message.commit)
  for (const entry of message.entries) {
    w.byte(0x22)
    w.safeUint(entrySize(entry))
    writeEntry(w, entry)
  }
}

function readApp(r: Reader, { from, to, term }: Header): MsgApp {
  let prevIndex = 0
  let prevTerm = 0
  let commit = 0
  const entries: Entry[] = []
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) prevIndex = r.safeUint()
    else if (tag === 0x10) prevTerm = r.safeUint()
    else if (tag === 0x18) commit = r.safeUint()
    else if (tag === 0x22) entries.push(readNested(r, readEntry))
    else r.skip(tag)
  }
  let lastTerm = prevTerm
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!
    if (entry.index !== prevIndex + 1 + i) malformed('entries are not consecutive', { prevIndex })
    if (entry.term < lastTerm || entry.term > term)
      malformed('terms are out of order', { prevIndex })
    lastTerm = entry.term
  }
  return { type: 'MsgApp', from, to, term, prevIndex, prevTerm, entries, commit }
}

function writeAppResp(w: Writer, message: MsgAppResp): void {
  writeUint(w, 0x08, message.index)
  writeFlag(w, 0x10, message.reject)
  writeUint(w, 0x18, message.hintIndex)
  writeUint(w, 0x20, message.hintTerm)
}

function readAppResp(r: Reader, { from, to, term }: Header): MsgAppResp {
  let index = 0
  let reject = false
  let hintIndex = 0
  let hintTerm = 0
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) index = r.safeUint()
    else if (tag === 0x10) reject = r.bool()
    else if (tag === 0x18) hintIndex = r.safeUint()
    else if (tag === 0x20) hintTerm = r.safeUint()
    else r.skip(tag)
  }
  return { type: 'MsgAppResp', from, to, term, index, reject, hintIndex, hintTerm }
}

function writeText(w: Writer, tag: number, text: string): void {
  if (text === '') return
  w.byte(tag)
  w.string(text)
}

function readHeartbeat(r: Reader, { from, to, term }: Header): PeerMessage {
  let commit = 0
  let context = ''
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) commit = r.safeUint()
    else if (tag === 0x12) context = r.string()
    else r.skip(tag)
  }
  return { type: 'MsgHeartbeat', from, to, term, commit, context }
}

/** ReadIndexResp; HeartbeatResp and ReadIndex are its first field alone. */
function readContext(r: Reader): { context: string; index: number; reject: boolean } {
  let context = ''
  let index = 0
  let reject = false
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x0a) context = r.string()
    else if (tag === 0x10) index = r.safeUint()
    else if (tag === 0x18) reject = r.bool()
    else r.skip(tag)
  }
  return { context, index, reject }
}

interface VoteFields {
  readonly first: number
  readonly second: number
  readonly flag: boolean
  readonly commit: number
  readonly commitTerm: number
}

/** Vote; of VoteResp the first field is a boolean, and there is no second nor flag. */
function readVote(r: Reader): VoteFields {
  let first = 0
  let second = 0
  let flag = false
  let commit = 0
  let commitTerm = 0
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) first = r.safeUint()
    else if (tag === 0x10) second = r.safeUint()
    else if (tag === 0x18) flag = r.bool()
    else if (tag === 0x20) commit = r.safeUint()
    else if (tag === 0x28) commitTerm = r.safeUint()
    else r.skip(tag)
  }
  return { first, second, flag, commit, commitTerm }
}

function writeSnap(w: Writer, meta: SnapshotMeta): void {
  w.byte(0x0a)
  const mark = w.begin()
  writeSnapshotMeta(w, meta)
  w.end(mark)
}

function readSnap(r: Reader, { from, to, term }: Header): PeerMessage {
  let snapshot: SnapshotMeta | undefined
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x0a) snapshot = readNested(r, readSnapshotMeta)
    else r.skip(tag)
  }
  if (snapshot === undefined) malformed('snapshot message without a snapshot')
  return { type: 'MsgSnap', from, to, term, snapshot }
}
