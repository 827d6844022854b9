// Every message, both directions, against an independent implementation of protobuf: what we write it reads, and what it
// writes we read, field for field.

import { describe, expect, test } from 'vitest'
import { type Prng, SeededPrng } from '../../../lib/prng.ts'
import {
  type Field,
  type MessageType,
  type ProtoFile,
  isScalar,
  resolve,
} from '../../../member/proto/parse.ts'
import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type {
  ConfChange,
  ConfState,
  Entry,
  HardState,
  MemberId,
  SnapshotMeta,
} from '../../../member/src/raft/types.ts'
import type { NodeMessage } from '../../../member/src/transport/transport.ts'
import * as kv from '../../../member/src/wire/kv.gen.ts'
import * as mvcc from '../../../member/src/wire/mvcc.gen.ts'
import * as raft from '../../../member/src/wire/raft-codec.ts'
import { Reader } from '../../../member/src/wire/reader.ts'
import * as request from '../../../member/src/wire/request.gen.ts'
import * as state from '../../../member/src/wire/state.gen.ts'
import { Writer } from '../../../member/src/wire/writer.ts'
import { PROTOS, independentDecode, independentEncode, independentView } from './independent.ts'
import {
  randomBytes,
  randomConfChange,
  randomEntry,
  randomHardState,
  randomId,
  randomNodeMessage,
  randomPeerMessage,
  randomSnapshotMeta,
  randomUint,
} from './raft-random.ts'

const ROUNDS = 60

/** A message as we have it, and as the library has it. */
interface Pair {
  readonly ours: Record<string, unknown>
  readonly theirs: Record<string, unknown>
}

/** A random message of any type of any of our files; deeper than three levels, nested messages are left out. */
function randomMessage(prng: Prng, file: ProtoFile, message: MessageType, depth = 0): Pair {
  const ours: Record<string, unknown> = {}
  const theirs: Record<string, unknown> = {}
  for (const oneof of message.oneofs) {
    ours[camel(oneof)] = undefined
    const fields = message.fields.filter((field) => field.oneof === oneof)
    const field = fields[prng.next(fields.length + 1)]
    const value =
      field === undefined ? undefined : randomValue(prng, file, { message, field, depth })
    if (field === undefined || value === undefined) continue
    ours[camel(oneof)] = { type: camel(field.name), value: value.ours }
    theirs[camel(oneof)] = { case: camel(field.name), value: value.theirs }
  }
  for (const field of message.fields.filter((each) => each.oneof === undefined)) {
    const name = camel(field.name)
    if (field.label === 'repeated') {
      const values = Array.from({ length: prng.next(4) }, () =>
        randomValue(prng, file, { message, field, depth }),
      ).filter((value) => value !== undefined)
      ours[name] = values.map((value) => value.ours)
      theirs[name] = values.map((value) => value.theirs)
    } else {
      const value = randomValue(prng, file, { message, field, depth })
      ours[name] = value?.ours
      if (value !== undefined) theirs[name] = value.theirs
    }
  }
  return { ours, theirs }
}

function randomValue(
  prng: Prng,
  file: ProtoFile,
  at: { readonly message: MessageType; readonly field: Field; readonly depth: number },
): { ours: unknown; theirs: unknown } | undefined {
  const { message, field, depth } = at
  if (isScalar(field.type)) return randomScalar(prng, field)
  const target = resolve(PROTOS, file, { scope: message.name, reference: field.type })
  if (target.type.kind === 'enum') {
    // Values that nobody has named yet too: they are kept.
    const value = prng.next(8) === 0 ? prng.next(2 ** 31) : prng.next(target.type.values.length)
    return { ours: value, theirs: value }
  }
  if (
    depth === 3 ||
    (field.label === 'single' && field.oneof === undefined && prng.next(3) === 0)
  ) {
    return undefined
  }
  if (target.type.name === 'SnapshotMeta') {
    const meta = randomSnapshotMeta(prng)
    return { ours: meta, theirs: theirMeta(meta) }
  }
  return randomMessage(prng, target.file, target.type, depth + 1)
}

function randomScalar(prng: Prng, field: Field): { ours: unknown; theirs: unknown } {
  const sign = prng.next(2) === 0 ? 1 : -1
  switch (field.type) {
    case 'bool':
      return both(prng.next(2) === 0)
    case 'bytes':
      return both(randomBytes(prng, [0, 10, 300][prng.next(3)]!))
    case 'string':
      return both(['', 'n1', 'http://münchen:2380', 'a'.repeat(200), '\ufeff漢🙂'][prng.next(5)])
    case 'int32':
      return both(prng.next(2 ** 32) | 0)
    case 'uint32':
      return both(prng.next(2) * prng.next(2 ** 32))
    default:
  }
  if (field.jsType === 'JS_STRING') {
    const id = randomId(prng)
    return { ours: id, theirs: BigInt(`0x${id}`) }
  }
  if (field.jsType === 'JS_NUMBER') {
    const value = randomUint(prng) * (field.type === 'int64' ? sign : 1)
    // No negative zero.
    return { ours: value + 0, theirs: BigInt(value) }
  }
  const bits = [0n, 1n, 127n, 128n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, BigInt(randomUint(prng))]
  const value = bits[prng.next(bits.length)]!
  return both(field.type === 'int64' ? BigInt.asIntN(64, value * BigInt(sign)) : value)
}

function both(value: unknown): { ours: unknown; theirs: unknown } {
  return { ours: value, theirs: value }
}

function camel(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

const MODULES = {
  'kv.proto': kv,
  'mvcc.proto': mvcc,
  'request.proto': request,
  'state.proto': state,
}

describe('generated codecs agree with @bufbuild/protobuf in both directions', () => {
  for (const [path, module] of Object.entries(MODULES)) {
    const file = PROTOS.get(path)!
    const messages = file.types.filter((type) => type.kind === 'message')
    test.each(messages.map((message) => [`${file.package}.${message.name}`, message] as const))(
      '%s',
      (fullName, message) => {
        const functions = module as unknown as Record<string, (value: unknown) => never>
        const encode = functions[`encode${message.name}`]!
        const decode = functions[`decode${message.name}`]!
        const prng = new SeededPrng(message.name.length * 1000 + message.fields.length)
        for (let i = 0; i < ROUNDS; i++) {
          const { ours, theirs } = randomMessage(prng, file, message)
          expect(independentDecode(fullName, encode(ours))).toEqual(
            independentView(fullName, theirs),
          )
          expect(decode(independentEncode(fullName, theirs))).toEqual(ours)
        }
      },
    )
  }
})

test('what we write is byte for byte what @bufbuild/protobuf writes where fields are in order', () => {
  const prng = new SeededPrng(11)
  const file = PROTOS.get('kv.proto')!
  for (const name of ['PutRequest', 'RangeRequest', 'TxnRequest', 'DeleteRangeResponse']) {
    const message = file.types.find((type) => type.name === name) as MessageType
    const encode = (kv as unknown as Record<string, (value: unknown) => Uint8Array>)[
      `encode${name}`
    ]!
    for (let i = 0; i < ROUNDS; i++) {
      const { ours, theirs } = randomMessage(prng, file, message)
      const expected = Buffer.from(independentEncode(`etcdserverpb.${name}`, theirs))
      expect(Buffer.from(encode(ours)).equals(expected)).toBe(true)
    }
  }
})

function theirId(id: string): bigint {
  return BigInt(`0x${id}`)
}

function theirConfState(confState: ConfState): Record<string, unknown> {
  return {
    voters: confState.voters.map(theirId),
    votersOutgoing: confState.votersOutgoing.map(theirId),
    learners: confState.learners.map(theirId),
    learnersNext: confState.learnersNext.map(theirId),
    autoLeave: confState.autoLeave,
  }
}

function theirMeta(meta: SnapshotMeta): Record<string, unknown> {
  const { index, term, confState } = meta
  return { index: BigInt(index), term: BigInt(term), confState: theirConfState(confState) }
}

function theirChange(change: ConfChange): Record<string, unknown> {
  return {
    changes: change.changes.map(({ type, memberId }) => ({
      type: ['addVoter', 'addLearner', 'remove'].indexOf(type),
      memberId: theirId(memberId),
    })),
    transition: ['auto', 'jointImplicit', 'jointExplicit'].indexOf(change.transition),
    context: change.context,
  }
}

function theirEntry(entry: Entry): Record<string, unknown> {
  const { index, term, data, change } = entry
  return {
    index: BigInt(index),
    term: BigInt(term),
    data,
    ...(change === undefined ? {} : { type: 1, change: theirChange(change) }),
  }
}

function theirHardState({ term, vote, commit }: HardState): Record<string, unknown> {
  const theirVote = vote === undefined ? {} : { vote: theirId(vote) }
  return { term: BigInt(term), commit: BigInt(commit), ...theirVote }
}

/** Numbers become bigints; entries and snapshots are converted; the body's case is the type without its `Msg`. */
function theirPeerMessage(message: PeerMessage): Record<string, unknown> {
  const { type, from: _from, to: _to, term, ...fields } = message
  const value: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields) as [string, unknown][]) {
    if (typeof field === 'number') value[name] = BigInt(field)
    else if (name === 'entries') value[name] = (field as Entry[]).map(theirEntry)
    else if (name === 'snapshot') value[name] = theirMeta(field as SnapshotMeta)
    else value[name] = field
  }
  const name = type.slice(3)
  return { term: BigInt(term), body: { case: name[0]!.toLowerCase() + name.slice(1), value } }
}

function theirNodeMessage(message: NodeMessage): Record<string, unknown> {
  const header = { term: BigInt(message.term), origin: theirId(message.origin) }
  if (message.type === 'Forward') {
    const requests = message.requests.map(({ sequence, data }) => {
      return { sequence: BigInt(sequence), data }
    })
    return { body: { case: 'forward', value: { ...header, requests } } }
  }
  const sequences = message.sequences.map(BigInt)
  const reason = ['notLeader', 'overloaded', 'transferring', 'noSpace'].indexOf(message.reason)
  return { body: { case: 'forwardRefused', value: { ...header, sequences, reason } } }
}

describe('hand-written codecs agree with @bufbuild/protobuf in both directions', () => {
  const from = '0123456789abcdef' as MemberId
  const to = 'fedcba9876543210' as MemberId
  interface Codec<T> {
    readonly random: (prng: Prng) => T
    readonly encode: (value: T) => Uint8Array
    readonly decode: (bytes: Uint8Array) => T
    readonly theirs: (value: T) => Record<string, unknown>
  }
  function check<T>(name: string, codec: Codec<T>): void {
    test(`raftbase.raft.${name}`, () => {
      const fullName = `raftbase.raft.${name}`
      const prng = new SeededPrng(name.length)
      for (let i = 0; i < ROUNDS * 5; i++) {
        const value = codec.random(prng)
        const theirs = codec.theirs(value)
        expect(independentDecode(fullName, codec.encode(value))).toEqual(
          independentView(fullName, theirs),
        )
        expect(codec.decode(independentEncode(fullName, theirs))).toEqual(value)
      }
    })
  }
  check<Entry>('Entry', {
    random: (prng) => randomEntry(prng, 1 + prng.next(2 ** 31), prng.next(100)),
    encode: (entry) => {
      const w = new Writer()
      raft.writeEntry(w, entry)
      return w.finish()
    },
    decode: (bytes) => raft.readEntry(new Reader(bytes)),
    theirs: theirEntry,
  })
  check<HardState>('HardState', {
    random: randomHardState,
    encode: raft.encodeHardState,
    decode: raft.decodeHardState,
    theirs: theirHardState,
  })
  check<ConfChange>('ConfChange', {
    random: randomConfChange,
    encode: raft.encodeConfChange,
    decode: raft.decodeConfChange,
    theirs: theirChange,
  })
  check<SnapshotMeta>('SnapshotMeta', {
    random: randomSnapshotMeta,
    encode: raft.encodeSnapshotMeta,
    decode: raft.decodeSnapshotMeta,
    theirs: theirMeta,
  })
  check<PeerMessage>('PeerMessage', {
    random: (prng) => randomPeerMessage(prng, from, to),
    encode: raft.encodePeerMessage,
    decode: (bytes) => raft.decodePeerMessage(bytes, { from, to }),
    theirs: theirPeerMessage,
  })
  check<NodeMessage>('NodeMessage', {
    random: randomNodeMessage,
    encode: raft.encodeNodeMessage,
    decode: raft.decodeNodeMessage,
    theirs: theirNodeMessage,
  })
})
