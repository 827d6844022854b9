// A snapshot as it leaves a cluster, in a file that a user keeps: the stream of a snapshot (snapshot-stream.ts), zeros up to
// a multiple of 512 bytes, and the SHA-256 of all of that in the last 32 bytes. etcd's clients expect this shape of the file
// that they save. Such a file has its name only when it is whole, verified and flushed.

import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { hasCode, RaftbaseError } from '../../../lib/errors.ts'
import { removeIfPresent, withFile } from './files.ts'
import type { FileSystem } from './file-system.ts'
import { Gatherer } from './gatherer.ts'
import { SnapshotDecoder, type SnapshotHeader } from './snapshot-stream.ts'

const BLOCK_BYTES = 512
const DIGEST_BYTES = 32
const READ_BYTES = 1024 * 1024

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** What a whole, undamaged file is known by. */
export interface PortableSnapshot {
  readonly header: SnapshotHeader
  readonly bytes: number
  /** Of all bytes before the digest itself, 64 hex digits: what the file ends with. */
  readonly digest: string
}

/** Turns the stream of a snapshot into the file of one. Pieces are passed on, not copied. */
export async function* sealSnapshot(stream: Chunks): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of stream) {
    hash.update(chunk)
    bytes += chunk.length
    yield chunk
  }
  const padding = Buffer.alloc(paddingAfter(bytes))
  hash.update(padding)
  yield Buffer.concat([padding, hash.digest()])
}

function paddingAfter(bytes: number): number {
  return (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES
}

/**
 * Takes a file in pieces of any size and gives back the data of each frame once it is verified. Throws SNAPSHOT_CORRUPT
 * (details: offset, and what `context` adds), or SNAPSHOT_REFUSED for a newer format. Memory: one frame.
 */
export class PortableSnapshotDecoder {
  readonly #context: Readonly<Record<string, unknown>>
  readonly #stream: SnapshotDecoder
  readonly #hash = createHash('sha256')
  #streamBytes = 0
  /** What was read behind the stream. */
  #rest = Buffer.alloc(0)

  constructor(context: Readonly<Record<string, unknown>> = {}) {
    this.#context = context
    this.#stream = new SnapshotDecoder(context)
  }

  /** Verified data, in order; may be views into what was pushed. */
  push(chunk: Uint8Array): Uint8Array[] {
    const { data, rest } = this.#stream.pushUntilEnd(chunk)
    const own = chunk.subarray(0, chunk.length - rest.length)
    this.#hash.update(own)
    this.#streamBytes += own.length
    if (rest.length > 0) {
      const bytesMax = paddingAfter(this.#streamBytes) + DIGEST_BYTES
      if (this.#rest.length + rest.length > bytesMax) {
        throw this.#corrupt('snapshot has bytes behind its end', this.#streamBytes + bytesMax)
      }
      this.#rest = Buffer.concat([this.#rest, rest])
    }
    return data
  }

  /** Call when the file has ended: throws unless it was whole. */
  finish(): PortableSnapshot {
    const header = this.#stream.finish()
    const paddingBytes = paddingAfter(this.#streamBytes)
    const bytes = this.#streamBytes + this.#rest.length
    if (this.#rest.length < paddingBytes + DIGEST_BYTES) {
      throw this.#corrupt('snapshot is cut short', bytes)
    }
    const padding = this.#rest.subarray(0, paddingBytes)
    const digest = this.#rest.subarray(paddingBytes)
    if (!this.#hash.update(padding).digest().equals(digest)) {
      throw this.#corrupt('snapshot digest differs', this.#streamBytes)
    }
    return { header, bytes, digest: digest.toString('hex') }
  }

  #corrupt(message: string, offset: number): RaftbaseError {
    return new RaftbaseError('SNAPSHOT_CORRUPT', message, {
      details: { ...this.#context, offset },
    })
  }
}

export interface SaveOptions {
  readonly fs: FileSystem
  /** Absolute, as `temporary`, which is in the same directory, names no file yet, and is gone afterwards. */
  readonly path: string
  readonly temporary: string
  readonly chunks: Chunks
  /** Whether a file of this name may be replaced. */
  readonly replaces: boolean
  /** Gets the verified data, piece by piece, before the file has its name; may throw. */
  readonly onData?: (data: Uint8Array) => void | Promise<void>
  /** Something failed, and then the temporary file could not be removed either, for this reason. */
  readonly onLeftover: (error: unknown) => void
}

/**
 * Verifies a file that arrives while writing it; durable when it resolves. When it rejects, nothing is left but what was there
 * before: INVALID_ARGUMENT (there is such a file), the decoder's codes, what `chunks` threw, NO_SPACE or DISK_FAILED. With two
 * exceptions: DISK_FAILED with `file` in its details means that the whole file is there, under a name that is not durable; and
 * after `onLeftover` the temporary file is still there. It rejects with what failed first.
 */
export async function savePortableSnapshot(options: SaveOptions): Promise<PortableSnapshot> {
  const { fs, path, temporary, chunks, onData } = options
  await refuseToReplace(options)
  const decoder = new PortableSnapshotDecoder()
  let saved: PortableSnapshot
  try {
    saved = await withFile(await fs.open(temporary, 'create'), async (file) => {
      const gatherer = new Gatherer(file)
      for await (const chunk of chunks) {
        for (const data of decoder.push(chunk)) await onData?.(data)
        await gatherer.add(chunk)
      }
      const whole = decoder.finish()
      await gatherer.finish()
      return whole
    })
    // Another one may have been saved meanwhile.
    await refuseToReplace(options)
    await fs.rename(temporary, path)
  } catch (error) {
    await removeIfPresent(fs, temporary).catch(options.onLeftover)
    throw error
  }
  await makeNameDurable(fs, path)
  return saved
}

/** What it replaced is gone already: taking the new file away again would leave nothing of either. */
async function makeNameDurable(fs: FileSystem, path: string): Promise<void> {
  try {
    await fs.flushDirectory(dirname(path))
  } catch (cause) {
    const message = 'the file is whole, but its name may not outlast a loss of power'
    throw new RaftbaseError('DISK_FAILED', message, { details: { file: path }, cause })
  }
}

async function refuseToReplace({ fs, path, replaces }: SaveOptions): Promise<void> {
  if (replaces) return
  try {
    await (await fs.open(path, 'read')).close()
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return
    throw error
  }
  throw new RaftbaseError('INVALID_ARGUMENT', 'file exists', { details: { file: path } })
}

/**
 * Reads a file whole. Each verified piece is handed to `onData`; only a reader that got to the end knows that nothing is
 * missing. Rejects with NOT_FOUND, DISK_FAILED, the decoder's codes (details: file, offset) or what `onData` throws.
 */
export async function readPortableSnapshot(
  fs: FileSystem,
  path: string,
  onData: (data: Uint8Array) => void | Promise<void>,
): Promise<PortableSnapshot> {
  const decoder = new PortableSnapshotDecoder({ file: path })
  return withFile(await fs.open(path, 'read'), async (file) => {
    for (let position = 0; ; ) {
      const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
      const count = await file.read(buffer, position)
      if (count === 0) return decoder.finish()
      position += count
      for (const data of decoder.push(buffer.subarray(0, count))) await onData(data)
    }
  })
}
