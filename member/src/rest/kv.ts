// /v1/kv/{key}: raw bytes in and out of the replicated state. The key is everything after the prefix, percent-decoded.
// /v1/compaction: how far back it can be read.

import { Buffer } from 'node:buffer'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { KeyValue } from '../node/member-node.ts'
import type { CompactionResult, DeleteResult, PutResult } from './contract.ts'
import { KV_PREFIX } from './endpoints.ts'
import { type Answer, jsonAnswer, problemAnswer } from './errors.ts'
import { invalid, jsonBody } from './json-body.ts'
import type { Call } from './route.ts'
import { consistencyOf, parsePositiveInteger, percentDecode } from './target.ts'

/** Ignoring one of these would do what the client asked not to be done. */
const REFUSED_WRITE_HEADERS = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'content-range',
] as const

export async function putKey(call: Call): Promise<Answer> {
  refuseConditions(call)
  const key = keyOf(call)
  const options = call.options()
  const limitBytes = call.services.limits.requestBytesMax
  const value = await call.body({ limitBytes, overheadBytes: key.length })
  const result = await call.services.node.put({ key, value }, options)
  const { revision, version, createRevision } = result
  return jsonAnswer({ revision, version, createRevision } satisfies PutResult)
}

export async function getKey(call: Call): Promise<Answer> {
  const key = keyOf(call)
  const consistency = consistencyOf(call.query)
  const revisionText = call.query.get('revision')
  const asked =
    revisionText === undefined ? {} : { revision: parsePositiveInteger(revisionText, 'revision') }
  const { kv, revision } = await call.services.node.get(
    { key, consistency, ...asked },
    call.options(),
  )
  const headers = { 'raftbase-revision': String(revision) }
  if (kv === undefined) {
    const error = new RaftbaseError('NOT_FOUND', 'key does not exist', { details: { revision } })
    return problemAnswer(error, { headers })
  }
  return valueAnswer(call, kv, headers)
}

export async function deleteKey(call: Call): Promise<Answer> {
  refuseConditions(call)
  const key = keyOf(call)
  const { deleted, revision } = await call.services.node.delete({ key }, call.options())
  return jsonAnswer({ deleted, revision } satisfies DeleteResult)
}

/** Answers when earlier revisions cannot be read any more; their memory comes back by and by. */
export async function compact(call: Call): Promise<Answer> {
  const { node, limits } = call.services
  const options = call.options()
  const bytes = await call.body({ limitBytes: limits.jsonBytesMax, overheadBytes: 0 })
  const { revision: asked } = jsonBody(bytes, call.contentType, ['revision'])
  if (typeof asked !== 'number' || !Number.isSafeInteger(asked) || asked < 1) {
    throw invalid('revision', `an integer from 1 to ${Number.MAX_SAFE_INTEGER}`)
  }
  const { revision } = await node.compact({ revision: asked }, options)
  return jsonAnswer({ compactRevision: asked, revision } satisfies CompactionResult)
}

function valueAnswer(call: Call, kv: KeyValue, revision: Record<string, string>): Answer {
  const etag = `"${kv.modRevision}"`
  const headers = {
    ...revision,
    'content-type': 'application/octet-stream',
    etag,
    'raftbase-create-revision': String(kv.createRevision),
    'raftbase-mod-revision': String(kv.modRevision),
    'raftbase-version': String(kv.version),
  }
  if (matchesTag(call.headers['if-none-match'], etag)) return { status: 304, headers, body: '' }
  // A copy: the socket may still be sending it when the state's own memory is written again.
  return { status: 200, headers, body: Buffer.from(kv.value) }
}

/** The key's bytes. Throws INVALID_ARGUMENT when it is empty or malformed, REQUEST_TOO_LARGE when it is too long. */
function keyOf(call: Call): Uint8Array {
  const key = percentDecode(call.path.slice(KV_PREFIX.length), 'key')
  const limitBytes = call.services.limits.keyBytesMax
  if (key.length === 0) {
    throw new RaftbaseError('INVALID_ARGUMENT', 'key is empty', {
      details: { field: 'key', accepted: `1 to ${limitBytes} bytes` },
    })
  }
  if (key.length > limitBytes) {
    throw new RaftbaseError('REQUEST_TOO_LARGE', 'key exceeds the limit', {
      details: { field: 'key', limitBytes },
    })
  }
  return key
}

function refuseConditions(call: Call): void {
  for (const field of REFUSED_WRITE_HEADERS) {
    if (call.headers[field] === undefined) continue
    throw new RaftbaseError('INVALID_ARGUMENT', 'writes take no conditions', {
      details: { field, accepted: 'no such header' },
    })
  }
}

/** Whether `If-None-Match` names the tag; weak comparison (RFC 9110 §13.1.2). */
function matchesTag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((item) => {
    const tag = item.trim()
    return tag === '*' || tag === etag || tag === `W/${etag}`
  })
}
