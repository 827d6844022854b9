// What the shells around the cores tell each other as bytes and back (NodeMessage in member/proto/raft.proto): requests
// carried to the leader, and their refusal. Malformed bytes are answered with WIRE_MALFORMED; the data of a request is a
// view into the input. Other modules reach it through raft-codec.ts.

import { unreachable } from '../../../lib/assert.ts'
import { EMPTY_BYTES } from '../../../lib/bytes.ts'
import type {
  Forward,
  ForwardRefused,
  ForwardedRequest,
  NodeMessage,
} from '../transport/transport.ts'
import { readNested, writeUint } from './log-codec.ts'
import { Reader, malformed } from './reader.ts'
import { Writer } from './writer.ts'

const REFUSED_REASONS = [
  'notLeader',
  'overloaded',
  'transferring',
  'noSpace',
] as const satisfies readonly ForwardRefused['reason'][]

/** Upper bound of a message without its requests or sequences. */
const MESSAGE_BYTES = 64

export function encodeNodeMessage(message: NodeMessage): Uint8Array {
  switch (message.type) {
    case 'Forward':
      return encodeForward(message)
    case 'ForwardRefused':
      return encodeForwardRefused(message)
    default:
      return unreachable(message)
  }
}

export function decodeNodeMessage(bytes: Uint8Array): NodeMessage {
  const r = new Reader(bytes)
  let message: NodeMessage | undefined
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag !== 0x0a && tag !== 0x12) {
      r.skip(tag)
      continue
    }
    if (message !== undefined) malformed('message has two bodies')
    message = tag === 0x0a ? readNested(r, readForward) : readNested(r, readForwardRefused)
  }
  if (message === undefined) malformed('message has no body this version knows')
  return message
}

function encodeForward(message: Forward): Uint8Array {
  let capacity = MESSAGE_BYTES
  for (const { data } of message.requests) capacity += data.length + 24
  const w = new Writer(capacity)
  w.byte(0x0a)
  const mark = w.begin()
  writeUint(w, 0x08, message.term)
  w.byte(0x11)
  w.hexId(message.origin)
  for (const { sequence, data } of message.requests) {
    w.byte(0x1a)
    const requestMark = w.begin()
    writeUint(w, 0x08, sequence)
    w.byte(0x12)
    w.bytes(data)
    w.end(requestMark)
  }
  w.end(mark)
  return w.finish()
}

function readForward(r: Reader): Forward {
  let term = 0
  let origin: string | undefined
  const requests: ForwardedRequest[] = []
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) term = r.safeUint()
    else if (tag === 0x11) origin = r.hexId()
    else if (tag === 0x1a) requests.push(readNested(r, readForwardedRequest))
    else r.skip(tag)
  }
  if (origin === undefined) malformed('forward without an origin')
  return { type: 'Forward', term, origin, requests }
}

function readForwardedRequest(r: Reader): ForwardedRequest {
  let sequence = 0
  let data = EMPTY_BYTES
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) sequence = r.safeUint()
    else if (tag === 0x12) data = r.bytes()
    else r.skip(tag)
  }
  return { sequence, data }
}

function encodeForwardRefused(message: ForwardRefused): Uint8Array {
  const w = new Writer(MESSAGE_BYTES + message.sequences.length * 8)
  w.byte(0x12)
  const mark = w.begin()
  writeUint(w, 0x08, message.term)
  w.byte(0x11)
  w.hexId(message.origin)
  if (message.sequences.length > 0) {
    w.byte(0x1a)
    const packedMark = w.begin()
    for (const sequence of message.sequences) w.safeUint(sequence)
    w.end(packedMark)
  }
  writeUint(w, 0x20, REFUSED_REASONS.indexOf(message.reason))
  w.end(mark)
  return w.finish()
}

function readForwardRefused(r: Reader): ForwardRefused {
  let term = 0
  let origin: string | undefined
  const sequences: number[] = []
  let reason = 0
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === 0x08) term = r.safeUint()
    else if (tag === 0x11) origin = r.hexId()
    else if (tag === 0x18) sequences.push(r.safeUint())
    else if (tag === 0x1a) {
      const outerEnd = r.enter()
      while (r.remaining > 0) sequences.push(r.safeUint())
      r.leave(outerEnd)
    } else if (tag === 0x20) reason = r.int32()
    else r.skip(tag)
  }
  if (origin === undefined) malformed('refusal without an origin')
  const name = REFUSED_REASONS[reason]
  if (name === undefined) malformed('reason is unknown', { reason })
  return { type: 'ForwardRefused', term, origin, sequences, reason: name }
}
