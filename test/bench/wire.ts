// What encoding and decoding cost, beside @bufbuild/protobuf on the same messages: `node test/bench/wire.ts`. Each figure
// is the median of several runs: nanoseconds of this thread's CPU per message, so that a busy machine matters less.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  decodePutRequest,
  decodeRangeResponse,
  decodeTxnRequest,
  encodePutRequest,
  encodeRangeResponse,
  encodeTxnRequest,
  newCompare,
  newPutRequest,
  newRangeRequest,
  newRangeResponse,
  newResponseHeader,
  newTxnRequest,
} from '../../member/src/wire/kv.gen.ts'
import { newKeyValue } from '../../member/src/wire/mvcc.gen.ts'
import type { MsgApp } from '../../member/src/raft/message.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import { decodePeerMessage, encodePeerMessage } from '../../member/src/wire/raft-codec.ts'
import { decodeRequest, encodeRequest, newRequest } from '../../member/src/wire/request.gen.ts'
import { descriptorOf } from '../member/wire/independent.ts'

const RUNS = 7
const RUN_MS = 60

/** Keeps results alive, so that nothing measured is optimised away. */
let sink = 0

function nsPerCall(work: () => { readonly length: number } | object): number {
  const figures: number[] = []
  for (let run = 0; run < RUNS; run++) {
    let calls = 0
    const start = threadMs()
    let elapsed = 0
    do {
      for (let i = 0; i < 50; i++) sink += work() === undefined ? 0 : 1
      calls += 50
      elapsed = threadMs() - start
    } while (elapsed < RUN_MS)
    figures.push((elapsed * 1e6) / calls)
  }
  return figures.toSorted((a, b) => a - b)[RUNS >> 1]!
}

function threadMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

interface Case {
  readonly name: string
  readonly fullName: string
  readonly encode: () => Uint8Array
  readonly decode: (bytes: Uint8Array) => object
}

const key = Buffer.from('/registry/pods/default/web-000017'.slice(0, 32))
const value = Buffer.alloc(256, 7)
const put = newPutRequest({ key, value })
const kv = newKeyValue({
  key,
  value,
  createRevision: 1_234_567,
  modRevision: 2_345_678,
  version: 9,
})
const range = newRangeResponse({
  header: newResponseHeader({
    clusterId: 14841639068965178418n,
    memberId: 10276657743932975437n,
    revision: 2_345_678,
    raftTerm: 7,
  }),
  kvs: Array.from({ length: 100 }, () => kv),
  count: 100,
})
const txn = newTxnRequest({
  compare: [
    newCompare({ target: 2, key, targetUnion: { type: 'modRevision', value: 2_345_678n } }),
  ],
  success: [{ request: { type: 'requestPut', value: put } }],
  failure: [{ request: { type: 'requestRange', value: newRangeRequest({ key }) } }],
})
const request = newRequest({
  origin: '8f3c6a5be2d10977',
  sequence: 1_234_567,
  op: { type: 'put', value: put },
})
const member = '00000000000000a1' as MemberId
const data = encodeRequest(request)
const app: MsgApp = {
  type: 'MsgApp',
  from: member,
  to: member,
  term: 7,
  prevIndex: 1_000_000,
  prevTerm: 7,
  commit: 999_990,
  entries: Array.from({ length: 64 }, (_, i) => {
    return { index: 1_000_001 + i, term: 7, type: 'normal', data, change: undefined }
  }),
}

const cases: readonly Case[] = [
  {
    name: 'PutRequest, 32 B + 256 B',
    fullName: 'etcdserverpb.PutRequest',
    encode: () => encodePutRequest(put),
    decode: decodePutRequest,
  },
  {
    name: 'TxnRequest, compare + put + range',
    fullName: 'etcdserverpb.TxnRequest',
    encode: () => encodeTxnRequest(txn),
    decode: decodeTxnRequest,
  },
  {
    name: 'RangeResponse, 100 pairs',
    fullName: 'etcdserverpb.RangeResponse',
    encode: () => encodeRangeResponse(range),
    decode: decodeRangeResponse,
  },
  {
    name: 'Request with a put',
    fullName: 'raftbase.request.Request',
    encode: () => encodeRequest(request),
    decode: decodeRequest,
  },
  {
    name: 'MsgApp, 64 entries of 300 B',
    fullName: 'raftbase.raft.PeerMessage',
    encode: () => encodePeerMessage(app),
    decode: (bytes) => decodePeerMessage(bytes, { from: member, to: member }),
  },
]

console.log('| Message | encode ns | bufbuild ns | ratio | decode ns | bufbuild ns | ratio |')
console.log('| --- | --- | --- | --- | --- | --- | --- |')
for (const { name, fullName, encode, decode } of cases) {
  const bytes = encode()
  const descriptor = descriptorOf(fullName)
  const message = create(descriptor, fromBinary(descriptor, bytes))
  const ours = { encode: nsPerCall(encode), decode: nsPerCall(() => decode(bytes)) }
  const theirs = {
    encode: nsPerCall(() => toBinary(descriptor, message)),
    decode: nsPerCall(() => fromBinary(descriptor, bytes)),
  }
  const columns = (['encode', 'decode'] as const).flatMap((way) => [
    ours[way].toFixed(0),
    theirs[way].toFixed(0),
    (theirs[way] / ours[way]).toFixed(1),
  ])
  console.log(`| ${[name, ...columns].join(' | ')} |`)
}
if (sink === 0) console.log('nothing was measured')
