// A FileSystem in memory that tells what is flushed from what is not, for bytes and for directory entries, as pessimistic
// as POSIX allows: a file's flush says nothing about its name, a range written through says nothing about other ranges, a
// failed flush loses what it was to make durable although reads still show it. Crashes, torn writes, errors, want of space,
// delays and damage on demand; deterministic, randomness only from the Prng it is given.

import { basename, dirname } from 'node:path'
import { RaftbaseError, type ErrorCode } from '../../lib/errors.ts'
import type { DirectoryLock, FileHandle, FileSystem } from '../../member/src/wal/file-system.ts'
import { MemoryDirectory, MemoryInode, type Survival } from './memory-inode.ts'

export type OperationKind =
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'writeAndFlush'
  | 'flush'
  | 'truncate'
  | 'size'
  | 'close'
  | 'readDirectory'
  | 'makeDirectory'
  | 'rename'
  | 'unlink'
  | 'flushDirectory'
  | 'lock'

export interface Operation {
  /** 1, 2, 3, … since the file system was made or cloned. */
  readonly number: number
  readonly kind: OperationKind
  readonly path: string
  /** Of a write; 0 for anything else. */
  readonly bytes: number
}

/** What goes wrong with an operation. `keptBytes` of a write reach the file (unflushed), all of them if left out. */
export type Fault =
  /** The machine or process stops in the middle: this and every later call rejects with SimulatedCrash. */
  | { readonly type: 'crash'; readonly keptBytes?: number }
  /** The call fails. A failed flush loses for good what was not flushed. */
  | { readonly type: 'error'; readonly code: ErrorCode; readonly keptBytes?: number }

/** What a call meets once its process or machine is gone. Nobody may take it for an answer of the disk. */
export class SimulatedCrash extends Error {}

export interface MemoryFileSystemOptions {
  /** Asked before each operation. */
  readonly fault?: (operation: Operation) => Fault | undefined
  /** Awaited between an operation's first effect and its last: an in-flight write is unflushed all the while. */
  readonly delay?: (operation: Operation) => Promise<void>
  /** Sum of file sizes beyond which NO_SPACE is answered. */
  readonly capacityBytes?: number
}

const CHANGING: ReadonlySet<OperationKind> = new Set([
  'create',
  'write',
  'writeAndFlush',
  'flush',
  'truncate',
  'makeDirectory',
  'rename',
  'unlink',
  'flushDirectory',
])

/** Whether the operation can change what a later start finds. */
export function isChange(operation: Operation): boolean {
  return CHANGING.has(operation.kind)
}

export class MemoryFileSystem implements FileSystem {
  fault: MemoryFileSystemOptions['fault']
  delay: MemoryFileSystemOptions['delay']
  capacityBytes: number
  #directories = new Map<string, MemoryDirectory>([['/', new MemoryDirectory()]])
  #locks = new Set<string>()
  #operationCount = 0
  /** Handles and locks of an earlier life are dead. */
  #life = 1
  #isDead = false

  constructor(options: MemoryFileSystemOptions = {}) {
    this.fault = options.fault
    this.delay = options.delay
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
  }

  get operationCount(): number {
    return this.#operationCount
  }

  /** An independent copy of everything on it, unflushed state included; no faults, no locks, no open files. */
  clone(): MemoryFileSystem {
    const copy = new MemoryFileSystem({ capacityBytes: this.capacityBytes })
    const inodes = new Map<MemoryInode, MemoryInode>()
    for (const [path, directory] of this.#directories) {
      copy.#directories.set(path, directory.clone(inodes))
    }
    return copy
  }

  /** The process ends: open files and locks are gone, unflushed state stays visible and unflushed. */
  kill(): void {
    this.#life++
    this.#isDead = false
    this.#locks.clear()
  }

  /** The machine loses power: as `kill`, and of what was not flushed only a part is still there afterwards. */
  losePower(survival: Survival): void {
    this.kill()
    const inodes = new Set<MemoryInode>()
    for (const directory of this.#directories.values()) directory.losePower(survival, inodes)
    for (const inode of inodes) inode.losePower(survival)
  }

  /** Changes a byte at rest. */
  damage(path: string, offset: number, mask: number): void {
    this.#find(path).damage(offset, mask)
  }

  /** What reads show at present: a copy. */
  contents(path: string): Uint8Array {
    return this.#find(path).contents()
  }

  /** Whether nothing unflushed is left in the file (its name aside). */
  isFlushed(path: string): boolean {
    return this.#find(path).isFlushed
  }

  names(path: string): string[] {
    return [...(this.#directories.get(path)?.current.keys() ?? [])].toSorted()
  }

  // FileSystem

  open(path: string, mode: 'read' | 'readWrite' | 'create'): Promise<FileHandle> {
    if (mode !== 'create') {
      return this.#perform({ kind: 'open', path }, () => {
        const inode = this.#find(path)
        return () => new MemoryFile(this, { path, inode, isWritable: mode === 'readWrite' })
      })
    }
    return this.#perform({ kind: 'create', path }, () => {
      const directory = this.#directory(dirname(path))
      if (directory.current.has(basename(path))) throw failed('file exists', path)
      const inode = new MemoryInode()
      directory.link(basename(path), inode)
      return () => new MemoryFile(this, { path, inode, isWritable: true })
    })
  }

  readDirectory(path: string): Promise<readonly string[]> {
    return this.#perform({ kind: 'readDirectory', path }, () => {
      this.#directory(path)
      return () => this.names(path)
    })
  }

  makeDirectory(path: string): Promise<void> {
    return this.#perform({ kind: 'makeDirectory', path }, () => () => {
      for (let at = path; !this.#directories.has(at); at = dirname(at)) {
        this.#directories.set(at, new MemoryDirectory())
      }
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#perform({ kind: 'rename', path: from }, () => {
      const directory = this.#directory(dirname(from))
      if (dirname(to) !== dirname(from)) throw failed('rename between directories', from)
      this.#find(from)
      directory.rename(basename(from), basename(to))
      return () => undefined
    })
  }

  unlink(path: string): Promise<void> {
    return this.#perform({ kind: 'unlink', path }, () => {
      this.#find(path)
      this.#directory(dirname(path)).unlink(basename(path))
      return () => undefined
    })
  }

  flushDirectory(path: string): Promise<void> {
    return this.#perform({ kind: 'flushDirectory', path }, () => {
      const directory = this.#directory(path)
      return () => directory.flush()
    })
  }

  lock(directory: string): Promise<DirectoryLock> {
    return this.#perform({ kind: 'lock', path: directory }, () => {
      this.#directory(directory)
      if (this.#locks.has(directory)) {
        throw new RaftbaseError('DATA_DIR_LOCKED', 'another process uses the data directory', {
          details: { directory },
        })
      }
      this.#locks.add(directory)
      const life = this.#life
      const release = async (): Promise<void> => {
        if (life === this.#life) this.#locks.delete(directory)
      }
      return () => ({ release })
    })
  }

  // For MemoryFile

  get life(): number {
    return this.#life
  }

  /** Runs `start` at once (its effects are unflushed), waits, then runs what it returned. */
  async perform<T>(
    request: { kind: OperationKind; path: string; bytes?: number; life: number },
    start: (keptBytes: number) => () => T,
    onError?: () => void,
  ): Promise<T> {
    const { kind, path, bytes = 0, life } = request
    if (this.#isDead || life !== this.#life) throw new SimulatedCrash(`${kind} ${path}`)
    this.#operationCount++
    const operation = { number: this.#operationCount, kind, path, bytes }
    const fault = this.fault?.(operation)
    if (fault?.type === 'crash') {
      const touches = isChange(operation) && kind !== 'flush' && kind !== 'flushDirectory'
      if (touches && fault.keptBytes !== 0) start(fault.keptBytes ?? bytes)
      this.#isDead = true
      throw new SimulatedCrash(`${kind} ${path}`)
    }
    if (fault?.type === 'error') {
      if (bytes > 0 && fault.keptBytes !== undefined) start(fault.keptBytes)
      onError?.()
      await this.delay?.(operation)
      const details = { operation: kind, path }
      throw new RaftbaseError(fault.code, 'injected fault', { details })
    }
    const finish = start(bytes)
    // Even without a delay nothing completes in the caller's own turn.
    await this.delay?.(operation)
    if (this.#isDead || life !== this.#life) throw new SimulatedCrash(`${kind} ${path}`)
    return finish()
  }

  /** How many of `bytes` more there is space for. */
  spaceFor(bytes: number): number {
    if (this.capacityBytes === Number.POSITIVE_INFINITY) return bytes
    const inodes = new Set<MemoryInode>()
    for (const directory of this.#directories.values()) {
      for (const inode of directory.current.values()) inodes.add(inode)
    }
    let used = 0
    for (const inode of inodes) used += inode.size
    return Math.max(0, Math.min(bytes, this.capacityBytes - used))
  }

  #perform<T>(request: { kind: OperationKind; path: string }, start: () => () => T): Promise<T> {
    return this.perform({ ...request, life: this.#life }, start)
  }

  #directory(path: string): MemoryDirectory {
    const directory = this.#directories.get(path)
    if (directory === undefined) throw missing(path)
    return directory
  }

  #find(path: string): MemoryInode {
    const inode = this.#directory(dirname(path)).current.get(basename(path))
    if (inode === undefined) throw missing(path)
    return inode
  }
}

class MemoryFile implements FileHandle {
  readonly path: string
  readonly #fs: MemoryFileSystem
  readonly #inode: MemoryInode
  readonly #isWritable: boolean
  readonly #life: number
  #isClosed = false

  constructor(
    fs: MemoryFileSystem,
    options: { path: string; inode: MemoryInode; isWritable: boolean },
  ) {
    this.path = options.path
    this.#fs = fs
    this.#inode = options.inode
    this.#isWritable = options.isWritable
    this.#life = fs.life
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#perform('read', () => () => this.#inode.read(buffer, position))
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    return this.#write('write', { buffers, position }, () => undefined)
  }

  writeAndFlush(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const end = position + buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    const isFlushed = (): void => this.#inode.flushRange(position, end)
    const isLost = (): void => this.#inode.loseRange(position, end)
    return this.#write('writeAndFlush', { buffers, position }, isFlushed, isLost)
  }

  flush(): Promise<void> {
    return this.#fs.perform(
      { kind: 'flush', path: this.path, life: this.#life },
      () => {
        this.#mustBeOpen()
        return this.#inode.beginFlush()
      },
      () => this.#inode.loseUnflushed(),
    )
  }

  truncate(size: number): Promise<void> {
    return this.#perform('truncate', () => {
      this.#inode.truncate(size)
      return () => undefined
    })
  }

  size(): Promise<number> {
    return this.#perform('size', () => () => this.#inode.size)
  }

  close(): Promise<void> {
    return this.#perform('close', () => () => {
      this.#isClosed = true
    })
  }

  #write(
    kind: 'write' | 'writeAndFlush',
    request: { buffers: readonly Uint8Array[]; position: number },
    onWritten: () => void,
    onError?: () => void,
  ): Promise<void> {
    const bytes = Buffer.concat(request.buffers)
    const { position } = request
    return this.#fs.perform(
      { kind, path: this.path, bytes: bytes.length, life: this.#life },
      (keptBytes) => {
        this.#mustBeOpen()
        if (!this.#isWritable) throw failed('file is open for reading', this.path)
        const kept = bytes.subarray(0, keptBytes)
        const growth = Math.max(0, position + kept.length - this.#inode.size)
        const fitting = kept.length - (growth - this.#fs.spaceFor(growth))
        this.#inode.write(kept.subarray(0, Math.max(0, fitting)), position)
        if (fitting < kept.length) {
          const details = { operation: kind, path: this.path }
          throw new RaftbaseError('NO_SPACE', 'no space left on the disk', { details })
        }
        return onWritten
      },
      onError,
    )
  }

  #perform<T>(kind: OperationKind, start: () => () => T): Promise<T> {
    return this.#fs.perform({ kind, path: this.path, life: this.#life }, () => {
      this.#mustBeOpen()
      return start()
    })
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw failed('file is closed', this.path)
  }
}

function missing(path: string): RaftbaseError {
  return new RaftbaseError('NOT_FOUND', 'file or directory does not exist', { details: { path } })
}

function failed(message: string, path: string): RaftbaseError {
  return new RaftbaseError('DISK_FAILED', message, { details: { path } })
}
