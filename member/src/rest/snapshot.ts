// GET /v1/snapshot: the whole state as a file, streamed. Only the file's own end says that it is complete: an answer that is
// cut off, by the client's connection, a deadline or a stop, ends without it, and its chunked encoding without a last chunk.

import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { SnapshotExport } from '../node/member-node.ts'
import type { RestLimits } from './limits.ts'
import type { Call, StreamedAnswer } from './route.ts'
import { consistencyOf } from './target.ts'

export async function getSnapshot(call: Call): Promise<StreamedAnswer> {
  const consistency = consistencyOf(call.query)
  const { node, limits, timers } = call.services
  const snapshot = await node.exportSnapshot({ consistency }, call.options())
  return { stream: (response) => send(response, { snapshot, limits, timers }) }
}

interface Sending {
  readonly snapshot: SnapshotExport
  readonly limits: RestLimits
  readonly timers: Timers
}

/** Resolves when the client has everything, or has gone. Rejects with what cut the answer off. */
async function send(response: ServerResponse, sending: Sending): Promise<void> {
  const { snapshot, limits, timers } = sending
  const ended = new AbortController()
  response.once('close', () => ended.abort(CLIENT_GONE))
  const total = timers.after(limits.snapshotMsMax, () => ended.abort(tooSlow()))
  try {
    if (response.destroyed) return
    response.writeHead(200, headersOf(snapshot))
    for await (const chunk of snapshot.chunks()) {
      ended.signal.throwIfAborted()
      if (!response.write(chunk)) await drained(response, ended.signal, sending)
    }
    response.end()
  } catch (error) {
    response.destroy()
    if (ended.signal.reason === CLIENT_GONE) return
    throw ended.signal.aborted ? ended.signal.reason : error
  } finally {
    total.cancel()
    snapshot.release()
  }
}

const CLIENT_GONE = Symbol('the client has gone')

async function drained(
  response: ServerResponse,
  ended: AbortSignal,
  { limits, timers }: Sending,
): Promise<void> {
  const stalled = new AbortController()
  const timer = timers.after(limits.snapshotStallMs, () => stalled.abort())
  try {
    await once(response, 'drain', { signal: AbortSignal.any([ended, stalled.signal]) })
  } catch (error) {
    throw stalled.signal.aborted ? tooSlow() : error
  } finally {
    timer.cancel()
  }
}

function tooSlow(): RaftbaseError {
  return new RaftbaseError('TIMEOUT', 'client reads a snapshot too slowly')
}

function headersOf(snapshot: SnapshotExport): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'raftbase-snapshot-format': String(snapshot.formatVersion),
    'raftbase-cluster-id': snapshot.clusterId,
    'raftbase-revision': String(snapshot.revision),
    'raftbase-raft-index': String(snapshot.index),
    'raftbase-raft-term': String(snapshot.term),
    'raftbase-member-count': String(snapshot.memberCount),
  }
}
