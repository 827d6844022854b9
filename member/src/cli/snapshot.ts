// `raftbase snapshot save` and `raftbase snapshot verify`.

import { resolve } from 'node:path'
import { RaftbaseError } from '../../../lib/errors.ts'
import { randomId } from '../../../lib/prng.ts'
import { loadSnapshot, type SnapshotDescription } from '../node/restore.ts'
import { oneOf } from '../setting-values.ts'
import { DiskFileSystem } from '../wal/disk.ts'
import { type PortableSnapshot, savePortableSnapshot } from '../wal/portable-snapshot.ts'
import { CommandError, type Printed, runClientCommand } from './client-command.ts'
import type { ClusterClient } from './cluster-client.ts'
import type { Command } from './command.ts'
import { runLocalCommand } from './local-command.ts'
import { type Download, reasonOf } from './member-client.ts'
import { renderPairs } from './table.ts'

interface SaveRequest {
  readonly path: string
  readonly consistency: 'linearizable' | 'serializable'
  readonly replaces: boolean
}

/** Returns the exit code. */
export function runSave(command: Command, argv: readonly string[]): Promise<number> {
  return runClientCommand({
    command,
    argv,
    read: (flags): SaveRequest => ({
      path: resolve(flags.words[0] ?? ''),
      consistency: flags.read(
        'consistency',
        'linearizable',
        oneOf(['linearizable', 'serializable']),
      ),
      replaces: flags.isGiven('force'),
    }),
    run: save,
  })
}

/** Returns the exit code. */
export function runVerify(command: Command, argv: readonly string[]): Promise<number> {
  return runLocalCommand({
    command,
    argv,
    read: (flags) => resolve(flags.words[0] ?? ''),
    run: async (file): Promise<Printed> => {
      const { description } = await loadSnapshot(new DiskFileSystem(), file)
      return { json: { file, ...description }, text: renderPairs(describe(file, description)) }
    },
  })
}

/** Tries members one after the other, as long as it is they who fail. */
async function save(cluster: ClusterClient, request: SaveRequest): Promise<Printed> {
  const interrupted = new AbortController()
  const onSignal = (): void => interrupted.abort(new CommandError('interrupted'))
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  try {
    const reasons: string[] = []
    for (const apiUrl of await sources(cluster, request)) {
      const saved = await attempt(cluster, { ...request, apiUrl, signal: interrupted.signal })
      if ('file' in saved) return describeSaved(request.path, apiUrl, saved)
      interrupted.signal.throwIfAborted()
      if (!saved.isOfMember) throw saved.error
      reasons.push(`${apiUrl}: ${reasonOf(saved.error)}`)
    }
    throw new CommandError(reasons.join('; '), 'PEER_UNREACHABLE')
  } finally {
    process.removeListener('SIGINT', onSignal)
    process.removeListener('SIGTERM', onSignal)
  }
}

/** Where to ask, best first: a follower has less to do. What the user names is asked if nothing else helps. */
async function sources(cluster: ClusterClient, { consistency }: SaveRequest): Promise<string[]> {
  const { apiUrl, nodes } = await cluster.nodes()
  if (consistency === 'serializable') return [...new Set([apiUrl, ...cluster.endpoints])]
  const followers = nodes.filter(({ status }) => status === 'follower')
  const urls = followers.flatMap(({ apiUrls }) => apiUrls)
  return [...new Set([...urls, apiUrl, ...cluster.endpoints])]
}

type Attempt =
  | { readonly file: PortableSnapshot; readonly headers: Download['headers'] }
  | { readonly error: unknown; readonly isOfMember: boolean }

async function attempt(
  cluster: ClusterClient,
  request: SaveRequest & { readonly apiUrl: string; readonly signal: AbortSignal },
): Promise<Attempt> {
  const { path, consistency, replaces, apiUrl, signal } = request
  let download: Download
  try {
    const timeoutMs = Math.min(cluster.leftMs, CONFIRM_MS_MAX)
    const query = `consistency=${consistency}&timeout=${Math.max(1, Math.floor(timeoutMs))}ms`
    const wanted = { apiUrl, path: `/v1/snapshot?${query}`, timeoutMs, signal }
    download = await cluster.members.download(wanted)
  } catch (error) {
    return { error, isOfMember: true }
  }
  const temporary = `${path}.${randomId()}.part`
  const fs = new DiskFileSystem()
  try {
    const { chunks, headers } = download
    const onLeftover = (err: unknown): void => {
      process.stderr.write(`raftbase: ${temporary} is left behind: ${reasonOf(err)}\n`)
    }
    const saving = { fs, path, temporary, chunks, replaces, onLeftover }
    const file = await savePortableSnapshot(saving)
    return { file, headers }
  } catch (error) {
    download.abort()
    // What is not of the connection is of this machine, but for bytes that arrived damaged.
    const isOfMember = !(error instanceof RaftbaseError) || error.code === 'SNAPSHOT_CORRUPT'
    return { error: withFile(error, path), isOfMember }
  }
}

/** The longest that a member waits for its confirmation. */
const CONFIRM_MS_MAX = 60_000

function withFile(error: unknown, file: string): unknown {
  if (!(error instanceof RaftbaseError) || error.details['file'] !== undefined) return error
  const { code, message, cause } = error
  return new RaftbaseError(code, message, { details: { ...error.details, file }, cause })
}

function describeSaved(
  path: string,
  apiUrl: string,
  { file, headers }: { file: PortableSnapshot; headers: Download['headers'] },
): Printed {
  const json = {
    file: path,
    bytes: file.bytes,
    digest: file.digest,
    clusterId: file.header.clusterId,
    index: file.header.meta.index,
    term: file.header.meta.term,
    revision: Number(headers['raftbase-revision']),
    memberCount: Number(headers['raftbase-member-count']),
    from: apiUrl,
  }
  return {
    json,
    text: renderPairs([
      ['FILE', path],
      ['BYTES', String(json.bytes)],
      ['SHA-256', json.digest],
      ['CLUSTER', json.clusterId],
      ['REVISION', String(json.revision)],
      ['RAFT INDEX', String(json.index)],
      ['RAFT TERM', String(json.term)],
      ['MEMBERS', String(json.memberCount)],
      ['FROM', apiUrl],
    ]),
  }
}

function describe(file: string, found: SnapshotDescription): (readonly [string, string])[] {
  return [
    ['FILE', file],
    ['BYTES', String(found.bytes)],
    ['SHA-256', found.digest],
    ['HASH', found.hash],
    ['CLUSTER', found.clusterId],
    ['REVISION', String(found.revision)],
    ['COMPACTED', found.compactRevision === 0 ? 'never' : String(found.compactRevision)],
    ['KEYS', String(found.keyCount)],
    ['RAFT INDEX', String(found.index)],
    ['RAFT TERM', String(found.term)],
    ['MEMBERS', found.members.join(', ')],
  ]
}
