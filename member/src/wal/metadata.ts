// member.json: who the member is that a data directory belongs to. Written once at the first start and again when the
// identity changes; replaced as a whole, so that a crash leaves the old file or the new one. JSON, for people; a checksum
// over the other fields, for damage.

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { RaftbaseError, hasCode } from '../../../lib/errors.ts'
import type { MemberId } from '../raft/types.ts'
import { flushed, removeIfPresent, withFile } from './files.ts'
import type { FileSystem } from './file-system.ts'

export const METADATA_FILE = 'member.json'
/** Beside it from the day on which the member was removed from its cluster. */
export const TOMBSTONE_FILE = 'removed.json'
/** Who the member will be whose snapshot is being restored here; becomes RESTORED_FILE when that is there whole. */
export const RESTORING_FILE = 'restoring.json'
/** Who the member will be that was restored here and may not have started yet; without meaning beside METADATA_FILE. */
export const RESTORED_FILE = 'restored.json'
/** Of the files in a data directory, all of them together; the status tells it. */
export const STORAGE_FORMAT_VERSION = 1
/** An identity is far smaller; what is larger is not ours. */
const METADATA_BYTES_MAX = 1024 * 1024

export interface Metadata {
  readonly clusterId: string
  readonly memberId: MemberId
  readonly name: string
  readonly incarnation: number
  readonly token: string
  readonly initialCluster: string
}

/**
 * The identity in `directory`, or undefined when it has none yet. Rejects with METADATA_CORRUPT (details: file, reason) or
 * DATA_DIR_UNUSABLE for a format newer than this program.
 */
export async function readMetadata(
  fs: FileSystem,
  directory: string,
  name = METADATA_FILE,
): Promise<Metadata | undefined> {
  const path = join(directory, name)
  const text = await readText(fs, path)
  if (text === undefined) return undefined
  const metadata = parseMetadata(text, path)
  // A killed process may have named the file without making the name durable.
  await fs.flushDirectory(directory)
  return metadata
}

/** Stores the identity; durable when it resolves. Rejects with NO_SPACE or DISK_FAILED. */
export async function writeMetadata(
  fs: FileSystem,
  directory: string,
  metadata: Metadata,
  name = METADATA_FILE,
): Promise<void> {
  await replaceFile(fs, { directory, name, text: formatMetadata(metadata) })
}

/** The snapshot of the member that RESTORING_FILE names is there whole; durable when it resolves. */
export async function completeRestore(fs: FileSystem, directory: string): Promise<void> {
  await fs.rename(join(directory, RESTORING_FILE), join(directory, RESTORED_FILE))
  await flushed(() => fs.flushDirectory(directory))
}

/** Nothing is restored here after all. */
export async function abandonRestore(fs: FileSystem, directory: string): Promise<void> {
  await removeIfPresent(fs, join(directory, RESTORING_FILE))
  await flushed(() => fs.flushDirectory(directory))
}

/** Whether the directory says that its member was removed from the cluster. */
export async function readTombstone(fs: FileSystem, directory: string): Promise<boolean> {
  return (await readText(fs, join(directory, TOMBSTONE_FILE))) !== undefined
}

/** From now on this directory is of a member that was removed; durable when it resolves. */
export async function writeTombstone(
  fs: FileSystem,
  directory: string,
  memberId: MemberId,
): Promise<void> {
  const text = `${JSON.stringify({ memberId, removed: true })}\n`
  await replaceFile(fs, { directory, name: TOMBSTONE_FILE, text })
}

/** The file has its old content or the new one, whenever the process is killed. */
async function replaceFile(
  fs: FileSystem,
  { directory, name, text }: { directory: string; name: string; text: string },
): Promise<void> {
  const path = join(directory, name)
  const temporary = `${path}.tmp`
  // failpoint: await identityBeforeWrite
  await removeIfPresent(fs, temporary)
  await withFile(await fs.open(temporary, 'create'), async (file) => {
    await file.write([Buffer.from(text)], 0)
    await flushed(() => file.flush())
  })
  // failpoint: await identityWritten
  await fs.rename(temporary, path)
  // failpoint: await identityRenamed
  await flushed(() => fs.flushDirectory(directory))
  // failpoint: await identityStored
}

async function readText(fs: FileSystem, path: string): Promise<string | undefined> {
  try {
    return await withFile(await fs.open(path, 'read'), async (file) => {
      const bytes = Buffer.alloc(Math.min(await file.size(), METADATA_BYTES_MAX))
      return bytes.subarray(0, await file.read(bytes, 0)).toString('utf8')
    })
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

function formatMetadata(metadata: Metadata): string {
  const { clusterId, memberId, name, incarnation, token, initialCluster } = metadata
  const fields = { clusterId, memberId, name, incarnation, token, initialCluster }
  const body = { formatVersion: STORAGE_FORMAT_VERSION, ...fields }
  return `${JSON.stringify({ ...body, checksum: checksumOf(body) }, undefined, 2)}\n`
}

function parseMetadata(text: string, file: string): Metadata {
  const value = parseObject(text, file)
  const { formatVersion, checksum, ...fields } = value
  // Before the version: every format keeps this checksum, lest a damaged digit pass for a newer version.
  if (checksum !== checksumOf({ formatVersion, ...fields })) throw corrupt(file, 'checksum differs')
  if (typeof formatVersion === 'number' && formatVersion > STORAGE_FORMAT_VERSION) {
    throw new RaftbaseError('DATA_DIR_UNUSABLE', 'data directory was written by a newer version', {
      details: { file, formatVersion, formatVersionMax: STORAGE_FORMAT_VERSION },
    })
  }
  // Anything but a file this format writes differs from what its fields would be written as.
  const metadata = fields as unknown as Metadata
  if (formatMetadata(metadata) !== text) throw corrupt(file, 'not in the form it is written in')
  return metadata
}

function parseObject(text: string, file: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw corrupt(file, 'not JSON', cause)
  }
  if (typeof value !== 'object' || value === null) throw corrupt(file, 'not a JSON object')
  return { ...value }
}

function checksumOf(body: Readonly<Record<string, unknown>>): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex')
}

function corrupt(file: string, reason: string, cause?: unknown): RaftbaseError {
  const options = { details: { file, reason }, cause }
  return new RaftbaseError('METADATA_CORRUPT', 'identity of the data directory is damaged', options)
}
