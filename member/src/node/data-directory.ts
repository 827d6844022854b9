// Takes a data directory for this process and tells whose it is: the identity recorded there, and whether its member was
// removed (docs/adr/0010). Nothing in it is read or written before it is locked. What follows from it, start-plan.ts decides.

import { join } from 'node:path'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { DirectoryLock, FileSystem } from '../wal/file-system.ts'
import {
  readMetadata,
  readTombstone,
  RESTORED_FILE,
  RESTORING_FILE,
  writeMetadata,
  writeTombstone,
} from '../wal/metadata.ts'
import type { Identity } from './identity.ts'
import { type FoundDirectory, foreignDirectory } from './start-plan.ts'

export interface DataDirectory {
  readonly path: string
  readonly logPath: string
  readonly snapshotPath: string
  /** As recorded, or as configured when nothing is recorded yet. */
  readonly identity: Identity
  /** Whether an identity was recorded: then there must be a log. */
  readonly isInitialized: boolean
  /** Whether it begins with a snapshot that was restored into it. */
  readonly isRestored: boolean
  /** Records the identity. The log exists by then, so that an identity without a log is damage and not a first start. */
  initialize(): Promise<void>
  /** Its member was removed: from now on the directory says so. */
  bury(): Promise<void>
  release(): Promise<void>
}

/** A directory that no other process uses. */
export class LockedDirectory {
  readonly found: FoundDirectory
  readonly #fs: FileSystem
  readonly #lock: DirectoryLock

  /**
   * Rejects with DATA_DIR_LOCKED, DATA_DIR_UNUSABLE (also for an unfinished restore), METADATA_CORRUPT or DISK_FAILED, and
   * keeps no lock then.
   */
  static async open(fs: FileSystem, path: string): Promise<LockedDirectory> {
    const lock = await lockDirectory(fs, path)
    // failpoint: await directoryLocked
    try {
      const identity = await readMetadata(fs, path)
      const isTombstoned = await readTombstone(fs, path)
      const restored = identity === undefined ? await readRestored(fs, path) : undefined
      return new LockedDirectory({ fs, lock, found: { path, identity, restored, isTombstoned } })
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  private constructor(options: { fs: FileSystem; lock: DirectoryLock; found: FoundDirectory }) {
    this.#fs = options.fs
    this.#lock = options.lock
    this.found = options.found
  }

  /** For a member of this identity: the recorded one, or the one to record. */
  use(identity: Identity): DataDirectory {
    const { path, restored } = this.found
    const fs = this.#fs
    return {
      path,
      logPath: join(path, 'wal'),
      snapshotPath: join(path, 'snap'),
      identity,
      isInitialized: this.found.identity !== undefined,
      isRestored: restored !== undefined,
      initialize: () => writeMetadata(fs, path, identity),
      bury: () => writeTombstone(fs, path, identity.memberId),
      release: () => this.release(),
    }
  }

  release(): Promise<void> {
    return this.#lock.release()
  }
}

export interface OpenDataDirectoryOptions {
  readonly fs: FileSystem
  /** Absolute. */
  readonly path: string
  /** What the configuration describes. */
  readonly identity: Identity
  /** Whether the configuration describes the members the cluster is made of, or those of one that exists. */
  readonly isNewCluster: boolean
}

/** For a member that is started as it is told: rejects as LockedDirectory.open, and with DATA_DIR_FOREIGN. */
export async function openDataDirectory(options: OpenDataDirectoryOptions): Promise<DataDirectory> {
  const { fs, path, identity, isNewCluster } = options
  const locked = await LockedDirectory.open(fs, path)
  const recorded = locked.found.identity ?? locked.found.restored
  const error =
    recorded && foreignDirectory({ there: recorded, here: identity, path, isNewCluster })
  if (error === undefined) return locked.use(recorded ?? identity)
  await locked.release()
  throw error
}

async function readRestored(fs: FileSystem, path: string): Promise<Identity | undefined> {
  const restored = await readMetadata(fs, path, RESTORED_FILE)
  if (restored !== undefined) return restored
  if ((await readMetadata(fs, path, RESTORING_FILE)) === undefined) return undefined
  throw new RaftbaseError('DATA_DIR_UNUSABLE', 'a restore into this directory was not finished', {
    details: { directory: path },
  })
}

async function lockDirectory(fs: FileSystem, path: string): Promise<DirectoryLock> {
  try {
    await fs.makeDirectory(path)
  } catch (cause) {
    throw new RaftbaseError('DATA_DIR_UNUSABLE', 'data directory cannot be made', {
      details: { directory: path },
      cause,
    })
  }
  // failpoint: await directoryMade
  return fs.lock(path)
}
