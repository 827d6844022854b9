// Takes a data directory for this process and settles whose it is: the identity recorded there, checked against the one
// the configuration describes (docs/adr/0010). Nothing in it is read or written before it is locked.

import { join } from 'node:path'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { DirectoryLock, FileSystem } from '../wal/file-system.ts'
import { readMetadata, writeMetadata } from '../wal/metadata.ts'
import type { Identity } from './identity.ts'

export interface DataDirectory {
  readonly path: string
  readonly logPath: string
  readonly snapshotPath: string
  /** As recorded, or as configured when nothing is recorded yet. */
  readonly identity: Identity
  /** Whether an identity was recorded: then there must be a log. */
  readonly isInitialized: boolean
  /** Records the identity. The log exists by then, so that an identity without a log is damage and not a first start. */
  initialize(): Promise<void>
  release(): Promise<void>
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

/** Rejects with DATA_DIR_LOCKED, DATA_DIR_FOREIGN, DATA_DIR_UNUSABLE, METADATA_CORRUPT, CONFIG_INVALID or DISK_FAILED. */
export async function openDataDirectory(options: OpenDataDirectoryOptions): Promise<DataDirectory> {
  const { fs, path } = options
  const lock = await lockDirectory(fs, path)
  try {
    const recorded = await readMetadata(fs, path)
    if (recorded === undefined && !options.isNewCluster) {
      throw new RaftbaseError(
        'CONFIG_INVALID',
        'joining an existing cluster is not supported yet',
        {
          details: {
            field: 'initial-cluster-state',
            given: 'existing',
            accepted: 'new, for an empty data directory',
          },
        },
      )
    }
    if (recorded !== undefined) checkRecorded(recorded, options)
    const identity = recorded ?? options.identity
    return {
      path,
      logPath: join(path, 'wal'),
      snapshotPath: join(path, 'snap'),
      identity,
      isInitialized: recorded !== undefined,
      initialize: () => writeMetadata(fs, path, identity),
      release: () => lock.release(),
    }
  } catch (error) {
    await lock.release()
    throw error
  }
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
  return fs.lock(path)
}

/** Names every fact that differs, as a user would recognize it. */
function checkRecorded(
  recorded: Identity,
  { path, identity, isNewCluster }: OpenDataDirectoryOptions,
): void {
  const facts: (keyof Identity)[] = ['name', 'token']
  if (isNewCluster) facts.push('initialCluster')
  const differing = facts.filter((fact) => recorded[fact] !== identity[fact])
  if (differing.length === 0) return
  const differences = differing.map(
    (fact) => `${fact}: ${recorded[fact]} there, ${identity[fact]} here`,
  )
  const whose = differing.includes('name') && differing.length === 1 ? 'member' : 'cluster'
  throw new RaftbaseError('DATA_DIR_FOREIGN', `data directory belongs to another ${whose}`, {
    details: { directory: path, differences },
  })
}
