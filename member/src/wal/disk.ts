// The real FileSystem: libuv's thread pool, so that the event loop never waits for the disk. The only importer of node:fs
// in the member. writeAndFlush goes through a second descriptor opened with O_DSYNC where the system has it: one trip for
// write and flush (docs/adr/0003 has the figures). The directory lock is SQLite's: a kernel lock without a native addon.

import { Buffer } from 'node:buffer'
import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { hasCode, RaftbaseError } from '../../../lib/errors.ts'
import { type DirectoryLock, type FileHandle, type FileSystem, LOCK_FILE } from './file-system.ts'

/** Vectors per system call; Linux allows 1024. */
const VECTORS_MAX = 512
/** Darwin's O_DSYNC does not reach the platters, its fdatasync (through libuv) does. */
const WRITES_THROUGH = process.platform === 'linux'
const SQLITE_BUSY = 5

const OPEN_FLAGS = {
  read: fs.constants.O_RDONLY,
  readWrite: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
} as const

type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void

export class DiskFileSystem implements FileSystem {
  /** Held here, so that no lock is lost to garbage collection. */
  readonly #locks = new Set<DatabaseSync>()

  async open(path: string, mode: 'read' | 'readWrite' | 'create'): Promise<FileHandle> {
    const fd = await call<number>('open', path, (done) =>
      fs.open(path, OPEN_FLAGS[mode], 0o600, done),
    )
    if (mode === 'read' || !WRITES_THROUGH) return new DiskFile(path, fd, undefined)
    try {
      const flags = fs.constants.O_WRONLY | fs.constants.O_DSYNC
      const through = await call<number>('open', path, (done) => fs.open(path, flags, done))
      return new DiskFile(path, fd, through)
    } catch (error) {
      await closeDescriptor(path, fd)
      throw error
    }
  }

  async readDirectory(path: string): Promise<readonly string[]> {
    const names = await call<string[]>('readdir', path, (done) => fs.readdir(path, done))
    return names.toSorted()
  }

  async makeDirectory(path: string): Promise<void> {
    const created = await call<string | undefined>('mkdir', path, (done) =>
      fs.mkdir(path, { recursive: true, mode: 0o700 }, done),
    )
    if (created === undefined && (await this.readDirectory(path)).length > 0) return
    // Every directory made is an entry of its parent. One that is there, and empty, may have been made by a process that was
    // killed before it could flush that, and so may its parents: whoever put something into it was behind that.
    const mustFlush = created?.length ?? Infinity
    for (let child = path; child !== dirname(child); child = dirname(child)) {
      try {
        await this.flushDirectory(dirname(child))
      } catch (error) {
        if (child.length >= mustFlush || !isBeyondUs(error)) throw error
        return
      }
    }
  }

  rename(from: string, to: string): Promise<void> {
    return call('rename', from, (done) => fs.rename(from, to, (error) => done(error, undefined)))
  }

  unlink(path: string): Promise<void> {
    return call('unlink', path, (done) => fs.unlink(path, (error) => done(error, undefined)))
  }

  async flushDirectory(path: string): Promise<void> {
    const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY
    const fd = await call<number>('open', path, (done) => fs.open(path, flags, done))
    try {
      await call('fsync', path, (done) => fs.fsync(fd, (error) => done(error, undefined)))
    } finally {
      await closeDescriptor(path, fd)
    }
  }

  async lock(directory: string): Promise<DirectoryLock> {
    const { DatabaseSync } = await import('node:sqlite')
    const path = join(directory, LOCK_FILE)
    let database: DatabaseSync | undefined
    try {
      database = new DatabaseSync(path, { timeout: 0 })
      database.exec('PRAGMA locking_mode = EXCLUSIVE')
      database.exec('BEGIN EXCLUSIVE')
    } catch (cause) {
      database?.close()
      const details = { directory, file: path }
      if ((cause as { errcode?: number }).errcode === SQLITE_BUSY) {
        const message = 'another process uses the data directory'
        throw new RaftbaseError('DATA_DIR_LOCKED', message, { details, cause })
      }
      const message = 'data directory cannot be locked'
      throw new RaftbaseError('DATA_DIR_UNUSABLE', message, { details, cause })
    }
    const held = database
    this.#locks.add(held)
    return {
      release: async () => {
        if (this.#locks.delete(held)) held.close()
      },
    }
  }
}

class DiskFile implements FileHandle {
  readonly path: string
  readonly #fd: number
  /** Opened with O_DSYNC, or undefined where that does not flush. */
  readonly #through: number | undefined

  constructor(path: string, fd: number, through: number | undefined) {
    this.path = path
    this.#fd = fd
    this.#through = through
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    let total = 0
    while (total < buffer.length) {
      const from = total
      const count = await call<number>('read', this.path, (done) =>
        fs.read(this.#fd, buffer, from, buffer.length - from, position + from, done),
      )
      if (count === 0) break
      total += count
    }
    return total
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    return writeAll({ path: this.path, fd: this.#fd, buffers, position })
  }

  async writeAndFlush(buffers: readonly Uint8Array[], position: number): Promise<void> {
    if (this.#through !== undefined) {
      await writeAll({ path: this.path, fd: this.#through, buffers, position })
      return
    }
    await this.write(buffers, position)
    await this.flush()
  }

  flush(): Promise<void> {
    return call('fdatasync', this.path, (done) =>
      fs.fdatasync(this.#fd, (error) => done(error, undefined)),
    )
  }

  truncate(size: number): Promise<void> {
    return call('ftruncate', this.path, (done) =>
      fs.ftruncate(this.#fd, size, (error) => done(error, undefined)),
    )
  }

  async size(): Promise<number> {
    const stats = await call<fs.Stats>('fstat', this.path, (done) => fs.fstat(this.#fd, done))
    return stats.size
  }

  async close(): Promise<void> {
    try {
      if (this.#through !== undefined) await closeDescriptor(this.path, this.#through)
    } finally {
      await closeDescriptor(this.path, this.#fd)
    }
  }
}

interface WriteRequest {
  readonly path: string
  readonly fd: number
  readonly buffers: readonly Uint8Array[]
  readonly position: number
}

/** Writes everything, however many calls the system makes of it. */
async function writeAll({ path, fd, buffers, position }: WriteRequest): Promise<void> {
  if (buffers.length === 1) {
    await writeOne({ path, fd, buffer: buffers[0]!, position })
    return
  }
  let at = position
  for (let i = 0; i < buffers.length; i += VECTORS_MAX) {
    const group = buffers.slice(i, i + VECTORS_MAX)
    const size = group.reduce((sum, buffer) => sum + buffer.length, 0)
    const from = at
    const count = await call<number>('write', path, (done) => fs.writev(fd, group, from, done))
    if (count < size) {
      await writeOne({
        path,
        fd,
        buffer: Buffer.concat(group).subarray(count),
        position: at + count,
      })
    }
    at += size
  }
}

async function writeOne(request: {
  readonly path: string
  readonly fd: number
  readonly buffer: Uint8Array
  readonly position: number
}): Promise<void> {
  const { path, fd, buffer, position } = request
  let total = 0
  while (total < buffer.length) {
    const from = total
    const count = await call<number>('write', path, (done) =>
      fs.write(fd, buffer, from, buffer.length - from, position + from, done),
    )
    if (count === 0) {
      throw new RaftbaseError('DISK_FAILED', 'the disk took nothing of a write', {
        details: { operation: 'write', path },
      })
    }
    total += count
  }
}

function closeDescriptor(path: string, fd: number): Promise<void> {
  return call('close', path, (done) => fs.close(fd, (error) => done(error, undefined)))
}

function call<T>(operation: string, path: string, start: (done: Done<T>) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    start((error, value) => {
      if (error === null || error === undefined) resolve(value)
      else reject(systemError(operation, path, error))
    })
  })
}

/** A directory that this process may not open, or whose file system has nothing to flush: it has made nothing there. */
function isBeyondUs(error: unknown): boolean {
  if (!hasCode(error, 'DISK_FAILED')) return false
  const { systemCode } = (error as RaftbaseError).details
  return ['EACCES', 'EPERM', 'EROFS', 'EINVAL', 'ENOTSUP'].some((code) => code === systemCode)
}

function systemError(operation: string, path: string, cause: NodeJS.ErrnoException): RaftbaseError {
  const options = { details: { operation, path, systemCode: cause.code }, cause }
  switch (cause.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new RaftbaseError('NO_SPACE', 'no space left on the disk', options)
    case 'ENOENT':
      return new RaftbaseError('NOT_FOUND', 'file or directory does not exist', options)
    default:
      return new RaftbaseError(
        'DISK_FAILED',
        'the disk or file system refused an operation',
        options,
      )
  }
}
