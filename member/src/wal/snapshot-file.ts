// Snapshots on disk: one complete, durable file each, named by index and term. A file has its name only once every byte
// of it is flushed, so a crash leaves the old snapshots or the old and the new one, and leftovers nobody mistakes for
// either. What a snapshot's data means is for others.

import { Buffer } from 'node:buffer'
import { join } from 'node:path'
import { invariant } from '../../../lib/assert.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Index, SnapshotMeta } from '../raft/types.ts'
import { flushed, namesIn, removeIfPresent, withFile } from './files.ts'
import type { FileHandle, FileSystem } from './file-system.ts'
import { Gatherer } from './gatherer.ts'
import {
  decodeSnapshotEnd,
  encodeSnapshotStream,
  END_PAYLOAD_BYTES,
  FRAME_HEADER_BYTES,
  HEADER_PAYLOAD_BYTES_MAX,
  PREAMBLE_BYTES,
  SnapshotDecoder,
  snapshotBytes,
  type SnapshotHeader,
} from './snapshot-stream.ts'

export { namesIn } from './files.ts'
export {
  encodeSnapshotStream,
  SNAPSHOT_FORMAT_VERSION,
  type SnapshotHeader,
} from './snapshot-stream.ts'

const READ_BYTES = 1024 * 1024
const END_BYTES = FRAME_HEADER_BYTES + END_PAYLOAD_BYTES

export interface SnapshotStoreOptions {
  readonly fs: FileSystem
  /** Absolute; made if it is not there. Nobody else puts files into it. */
  readonly directory: string
  readonly clusterId: string
}

export interface StoredSnapshot {
  readonly meta: SnapshotMeta
  readonly path: string
}

/** A verified snapshot that is on disk without being one of this member's yet. */
export interface StagedSnapshot {
  readonly meta: SnapshotMeta
  /** Makes it a snapshot of this member; durable when it resolves. Returns its path. */
  commit(): Promise<string>
  discard(): Promise<void>
}

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

export class SnapshotStore {
  readonly #fs: FileSystem
  readonly #directory: string
  readonly #clusterId: string
  #temporaryCount = 0

  /** Removes leftovers. Rejects with DISK_FAILED. */
  static async open(options: SnapshotStoreOptions): Promise<SnapshotStore> {
    const { fs, directory } = options
    await fs.makeDirectory(directory)
    for (const name of await fs.readDirectory(directory)) {
      if (name.endsWith('.tmp')) await removeIfPresent(fs, join(directory, name))
    }
    // A killed process may have named a snapshot without making the name durable; from here on it counts.
    await fs.flushDirectory(directory)
    return new SnapshotStore(options)
  }

  /** Removes every snapshot from a directory that need not be there, whichever cluster they are of. */
  static async clear(fs: FileSystem, directory: string): Promise<void> {
    for (const name of await namesIn(fs, directory))
      await removeIfPresent(fs, join(directory, name))
  }

  private constructor({ fs, directory, clusterId }: SnapshotStoreOptions) {
    this.#fs = fs
    this.#directory = directory
    this.#clusterId = clusterId
  }

  /**
   * Stores a snapshot; durable when it resolves. Nothing of it is left when it rejects: with what `chunks` threw, NO_SPACE
   * or DISK_FAILED.
   */
  async save(header: SnapshotHeader, chunks: Chunks): Promise<StoredSnapshot> {
    invariant(header.clusterId === this.#clusterId, 'snapshot of another cluster', {
      clusterId: header.clusterId,
    })
    const temporary = this.#temporaryPath()
    await this.#write(temporary, encodeSnapshotStream(header, chunks), () => undefined)
    return { meta: header.meta, path: await this.#name(temporary, header.meta) }
  }

  /**
   * Verifies an encoded snapshot from elsewhere while writing it beside the others, in bounded memory. Rejects, leaving
   * nothing behind, with SNAPSHOT_CORRUPT (damaged, cut short, bytes behind the end), SNAPSHOT_REFUSED (another cluster, a
   * newer format), what `chunks` threw, NO_SPACE or DISK_FAILED.
   */
  async stage(chunks: Chunks): Promise<StagedSnapshot> {
    const temporary = this.#temporaryPath()
    const decoder = new SnapshotDecoder({})
    await this.#write(temporary, chunks, (chunk) => {
      if (chunk === undefined) decoder.finish()
      else decoder.push(chunk)
      const header = decoder.header
      if (header !== undefined && header.clusterId !== this.#clusterId) {
        throw new RaftbaseError('SNAPSHOT_REFUSED', 'snapshot belongs to another cluster', {
          details: { expected: this.#clusterId, found: header.clusterId },
        })
      }
    })
    const { meta } = decoder.finish()
    return {
      meta,
      commit: () => this.#name(temporary, meta),
      discard: () => removeIfPresent(this.#fs, temporary),
    }
  }

  /**
   * The newest snapshot, or undefined when there is none. Checks that the file is whole by its header, its end and its
   * size; `read` checks every byte. Rejects with SNAPSHOT_CORRUPT (details: file, offset): an older one is no substitute,
   * the log may begin behind the newest. DATA_DIR_FOREIGN: it belongs to another cluster.
   */
  async newest(): Promise<StoredSnapshot | undefined> {
    const name = (await this.#names()).at(-1)
    if (name === undefined) return undefined
    const path = join(this.#directory, name)
    const meta = await withFile(await this.#fs.open(path, 'read'), (file) => this.#check(file))
    if (snapshotName(meta) === name) return { meta, path }
    throw corrupt('snapshot has the name of another', { file: path, offset: PREAMBLE_BYTES })
  }

  /**
   * The data of a snapshot, each piece verified before it is handed out. Only a reader that got to the end knows that
   * nothing is missing. Throws SNAPSHOT_CORRUPT (details: file, offset).
   */
  async *read(path: string): AsyncGenerator<Uint8Array, void, undefined> {
    const decoder = new SnapshotDecoder({ file: path })
    const file = await this.#fs.open(path, 'read')
    try {
      for (let position = 0; ; ) {
        const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
        const count = await file.read(buffer, position)
        if (count === 0) break
        position += count
        yield* decoder.push(buffer.subarray(0, count))
      }
      decoder.finish()
    } finally {
      await file.close()
    }
  }

  /** Removes the snapshots older than `keepIndex`; the newest always stays. */
  async purge(keepIndex: Index): Promise<void> {
    const names = await this.#names()
    const superfluous = names.slice(0, -1).filter((name) => indexOf(name) < keepIndex)
    for (const name of superfluous) await removeIfPresent(this.#fs, join(this.#directory, name))
    if (superfluous.length > 0) await this.#fs.flushDirectory(this.#directory)
  }

  /** Oldest first: names sort as their index and term do. */
  async #names(): Promise<string[]> {
    const names = await this.#fs.readDirectory(this.#directory)
    return names.filter((name) => /^[0-9a-f]{16}-[0-9a-f]{16}\.snap$/.test(name)).toSorted()
  }

  #temporaryPath(): string {
    this.#temporaryCount++
    return join(this.#directory, `${this.#temporaryCount}.tmp`)
  }

  /** Writes and flushes `chunks`, each seen by `inspect` before it is written, and undefined after the last. */
  async #write(
    path: string,
    chunks: Chunks,
    inspect: (chunk: Uint8Array | undefined) => void,
  ): Promise<void> {
    try {
      await withFile(await this.#fs.open(path, 'create'), async (file) => {
        const gatherer = new Gatherer(file)
        for await (const chunk of chunks) {
          inspect(chunk)
          await gatherer.add(chunk)
        }
        inspect(undefined)
        await gatherer.finish()
      })
    } catch (error) {
      await removeIfPresent(this.#fs, path)
      throw error
    }
  }

  async #name(temporary: string, meta: SnapshotMeta): Promise<string> {
    const path = join(this.#directory, snapshotName(meta))
    // failpoint: await snapshotWritten
    await this.#fs.rename(temporary, path)
    // failpoint: await snapshotRenamed
    await flushed(() => this.#fs.flushDirectory(this.#directory))
    // failpoint: await snapshotNamed
    return path
  }

  async #check(file: FileHandle): Promise<SnapshotMeta> {
    const size = await file.size()
    const decoder = new SnapshotDecoder({ file: file.path })
    const startBytes = PREAMBLE_BYTES + FRAME_HEADER_BYTES + HEADER_PAYLOAD_BYTES_MAX
    for (let position = 0; position < startBytes && decoder.header === undefined; ) {
      const buffer = Buffer.alloc(4096)
      const count = await file.read(buffer, position)
      if (count === 0) decoder.finish()
      position += count
      decoder.push(buffer.subarray(0, count))
    }
    const header = decoder.header
    invariant(header !== undefined, 'snapshot header was not read to its end')
    if (header.clusterId !== this.#clusterId) {
      throw new RaftbaseError('DATA_DIR_FOREIGN', 'snapshot belongs to another cluster', {
        details: { file: file.path, expected: this.#clusterId, found: header.clusterId },
      })
    }
    const end = Buffer.alloc(END_BYTES)
    const endAt = Math.max(0, size - END_BYTES)
    await file.read(end, endAt)
    const found = decodeSnapshotEnd(end)
    if (found === undefined || size !== snapshotBytes(header, found)) {
      throw corrupt('snapshot is cut short', { file: file.path, offset: endAt })
    }
    return header.meta
  }
}

function snapshotName({ index, term }: SnapshotMeta): string {
  return `${hex(index)}-${hex(term)}.snap`
}

function indexOf(name: string): Index {
  return Number.parseInt(name.slice(0, 16), 16)
}

function hex(value: number): string {
  return value.toString(16).padStart(16, '0')
}

function corrupt(message: string, details: Readonly<Record<string, unknown>>): RaftbaseError {
  return new RaftbaseError('SNAPSHOT_CORRUPT', message, { details })
}
