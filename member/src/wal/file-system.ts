// The only way from the member to the disk. The real one is `disk.ts`; the simulator brings its own, which keeps flushed
// and unflushed state apart (bytes and directory entries). Paths are absolute; errors are RaftbaseErrors with the
// system's error as cause: DISK_FAILED, or NO_SPACE for ENOSPC and EDQUOT.

/** Name of the file inside a data directory that carries its lock. Empty; never removed. */
export const LOCK_FILE = 'LOCK'

export interface FileHandle {
  readonly path: string
  /** Fills `buffer` from `position` as far as the file goes; returns the bytes read, 0 at the end. */
  read(buffer: Uint8Array, position: number): Promise<number>
  /** Writes all of `buffers` one after the other at `position`, or throws. Durable only after `flush`. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>
  /** `write`, durable when it resolves: one trip to the disk where the system can do that. */
  writeAndFlush(buffers: readonly Uint8Array[], position: number): Promise<void>
  /** Makes the bytes written so far, and the size, durable (fdatasync). A failed flush is never retried. */
  flush(): Promise<void>
  truncate(size: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

/** Held until released or until the process ends, however it ends. */
export interface DirectoryLock {
  release(): Promise<void>
}

export interface FileSystem {
  /** `create` fails if the file exists; `read` and `readWrite` fail (NOT_FOUND) if it does not. */
  open(path: string, mode: 'read' | 'readWrite' | 'create'): Promise<FileHandle>
  /** Names in the directory, sorted; NOT_FOUND if there is none. */
  readDirectory(path: string): Promise<readonly string[]>
  /** Creates the directory and its parents with mode 0700 and makes the entry durable; does nothing where it exists. */
  makeDirectory(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Makes the directory's entries durable: creations, renames, removals. */
  flushDirectory(path: string): Promise<void>
  /** Takes the directory for this process, or throws DATA_DIR_LOCKED at once. */
  lock(directory: string): Promise<DirectoryLock>
}
