// A snapshot file read whole, and the data directory of a new cluster's member made from it. Nothing is touched before the
// file, the directory and the space on the disk have been found good. Killed or failing at any point, it leaves a directory
// that is as blank as before, or one that says of itself that it is unfinished: no member starts in that, and the same
// restore again completes it.

import { join } from 'node:path'
import { hasCode, RaftbaseError } from '../../../lib/errors.ts'
import { restoredClusterIdOf } from '../../../lib/identity.ts'
import { FEATURE_LEVEL } from '../apply/request.ts'
import { type StateMachine, StateMachineRestorer } from '../apply/state-machine.ts'
import { type FileSystem, LOCK_FILE } from '../wal/file-system.ts'
import {
  abandonRestore,
  completeRestore,
  METADATA_FILE,
  readMetadata,
  RESTORED_FILE,
  RESTORING_FILE,
  TOMBSTONE_FILE,
  writeMetadata,
} from '../wal/metadata.ts'
import { type PortableSnapshot, readPortableSnapshot } from '../wal/portable-snapshot.ts'
import { namesIn, SnapshotStore } from '../wal/snapshot-file.ts'
import { type Identity, type InitialMember, identityOf } from './identity.ts'
import { foundersOf } from './recovery.ts'

/** The space that must be free, in sizes of the file: the snapshot, and the log and next snapshot that a member adds. */
const SPACE_FACTOR = 2
const SNAPSHOT_DIRECTORY = 'snap'
/** What may lie in a directory that is blank all the same. */
const NOTHING: readonly string[] = [
  LOCK_FILE,
  // Of the lock, while it is held or since its holder was killed.
  `${LOCK_FILE}-journal`,
  'lost+found',
  `${RESTORING_FILE}.tmp`,
]

/** What a snapshot holds. */
export interface SnapshotDescription {
  readonly bytes: number
  /** SHA-256 of the file without its last 32 bytes, which say it. */
  readonly digest: string
  readonly clusterId: string
  readonly index: number
  readonly term: number
  readonly revision: number
  /** 0: never compacted. */
  readonly compactRevision: number
  readonly keyCount: number
  /** Of the key space, 8 hex digits: equal for equal keys, values and histories. */
  readonly hash: string
  /** Names of the cluster's members at the time, sorted. */
  readonly members: readonly string[]
  readonly membershipEpoch: number
}

export interface LoadedSnapshot {
  readonly stateMachine: StateMachine
  readonly description: SnapshotDescription
}

/**
 * Reads a file to its end, verifies all of it and builds the state. Rejects with NOT_FOUND, SNAPSHOT_CORRUPT (damaged, cut
 * short; details: file, offset), SNAPSHOT_REFUSED (of a newer version) or DISK_FAILED. Memory: that of a member.
 */
export async function loadSnapshot(fs: FileSystem, path: string): Promise<LoadedSnapshot> {
  const builder = new SnapshotBuilder()
  const file = await readPortableSnapshot(fs, path, (data) => builder.add(data))
  return builder.finish(file)
}

/** Builds the state from the verified data of a file. */
export class SnapshotBuilder {
  readonly #restorer = new StateMachineRestorer()

  /** Throws SNAPSHOT_CORRUPT or SNAPSHOT_REFUSED. */
  add(data: Uint8Array): void {
    this.#restorer.addChunk(data)
  }

  finish(file: PortableSnapshot): LoadedSnapshot {
    const stateMachine = this.#restorer.finish()
    const { meta } = file.header
    if (stateMachine.appliedIndex !== meta.index || stateMachine.appliedTerm !== meta.term) {
      throw new RaftbaseError('SNAPSHOT_CORRUPT', 'snapshot is of another position than its state')
    }
    if (stateMachine.level > FEATURE_LEVEL) {
      throw new RaftbaseError('SNAPSHOT_REFUSED', 'snapshot was written by a newer version', {
        details: { level: stateMachine.level, levelMax: FEATURE_LEVEL },
      })
    }
    return { stateMachine, description: describe(file, stateMachine) }
  }
}

function describe(file: PortableSnapshot, machine: StateMachine): SnapshotDescription {
  const { store, members, membershipEpoch } = machine
  const hashed = store.hash(0)
  return {
    bytes: file.bytes,
    digest: file.digest,
    clusterId: file.header.clusterId,
    index: machine.appliedIndex,
    term: machine.appliedTerm,
    revision: store.revision,
    compactRevision: Math.max(0, store.compactRevision),
    keyCount: store.keyCount,
    hash: hashed.ok ? hashed.hash.toString(16).padStart(8, '0') : '',
    members: [...members.values()].map(({ id, name }) => (name === '' ? id : name)).toSorted(),
    membershipEpoch,
  }
}

export interface RestoreOptions {
  readonly fs: FileSystem
  /** Absolute, both. */
  readonly file: string
  readonly directory: string
  /** Of the new member, which is one of `members`: all that the new cluster is made of. */
  readonly name: string
  readonly token: string
  readonly members: readonly InitialMember[]
  /** By how much the revision is raised: more than anybody has seen the old cluster go on after the snapshot. */
  readonly raiseRevisionBy: number
  /** Whether earlier revisions become unreadable, so that watchers of the old cluster start anew. */
  readonly compacts: boolean
  /** Of the file system that `directory` is or will be on; undefined where nobody knows. */
  readonly freeBytes: () => Promise<number | undefined>
}

export interface RestoredMember {
  readonly identity: Identity
  /** Of the file. */
  readonly source: SnapshotDescription
  /** With which the new cluster begins. */
  readonly revision: number
}

/**
 * Makes the data directory of one member; durable when it resolves. Rejects, having touched nothing, with loadSnapshot's
 * codes, DATA_DIR_UNUSABLE (not empty) or NO_SPACE; later with DATA_DIR_LOCKED, NO_SPACE or DISK_FAILED.
 */
export async function restoreDirectory(options: RestoreOptions): Promise<RestoredMember> {
  const { fs, directory } = options
  await refuseUsed(fs, directory)
  const { stateMachine, description: source } = await loadSnapshot(fs, options.file)
  await refuseWithoutSpace(options, source.bytes)
  const { machine, identity } = refound(options, stateMachine, source)
  await fs.makeDirectory(directory)
  const lock = await fs.lock(directory)
  try {
    // Another process may have been faster.
    await refuseUsed(fs, directory)
    await write(options, identity, machine)
  } finally {
    await lock.release()
  }
  return { identity, source, revision: machine.store.revision }
}

/**
 * Whether the directory is this member's already, restored before or made otherwise: then there is nothing to restore. Rejects
 * with METADATA_CORRUPT, DATA_DIR_UNUSABLE (of a newer version) or DISK_FAILED; reads only.
 */
export async function isMembersOwn(
  options: Pick<RestoreOptions, 'fs' | 'directory' | 'name' | 'token'>,
): Promise<boolean> {
  const { fs, directory, name, token } = options
  const names = await namesIn(fs, directory)
  const file = [METADATA_FILE, RESTORED_FILE].find((candidate) => names.includes(candidate))
  if (file === undefined || names.includes(TOMBSTONE_FILE)) return false
  const there = await readMetadata(fs, directory, file)
  // Whom the cluster was made of, the member looks at when it starts.
  return there?.name === name && there.token === token
}

function refound(
  options: RestoreOptions,
  stateMachine: StateMachine,
  source: SnapshotDescription,
): { readonly machine: StateMachine; readonly identity: Identity } {
  const { name, token, members, raiseRevisionBy, compacts } = options
  const founders = foundersOf(token, members)
  const machine = stateMachine.refound({ ...founders, raiseRevisionBy, compacts })
  const made = identityOf({ token, name, members })
  const { initialCluster } = made
  const { digest } = source
  const { revision, compactRevision } = machine.store
  const state = { digest, revision, compactRevision }
  const clusterId = restoredClusterIdOf({ token, initialCluster, ...state })
  return { machine, identity: { ...made, clusterId } }
}

/** The file with the identity comes first and gets its real name last: it marks what lies between as unfinished. */
async function write(
  options: RestoreOptions,
  identity: Identity,
  machine: StateMachine,
): Promise<void> {
  const { fs, directory } = options
  const { clusterId } = identity
  const snapshotPath = join(directory, SNAPSHOT_DIRECTORY)
  await writeMetadata(fs, directory, identity, RESTORING_FILE)
  try {
    await SnapshotStore.clear(fs, snapshotPath)
    const snapshots = await SnapshotStore.open({ fs, directory: snapshotPath, clusterId })
    const capture = machine.capture()
    await snapshots.save({ clusterId, meta: capture.meta }, capture.chunks())
    await completeRestore(fs, directory)
  } catch (error) {
    if (hasCode(error, 'NO_SPACE')) {
      // The mark goes last: what cannot be removed stays marked as unfinished.
      await SnapshotStore.clear(fs, snapshotPath)
      await abandonRestore(fs, directory)
    }
    throw error
  }
}

/** Throws unless the directory is blank, not there, or the leftover of a restore that was not finished. */
async function refuseUsed(fs: FileSystem, directory: string): Promise<void> {
  const names = await namesIn(fs, directory)
  const isUnfinished = names.includes(RESTORING_FILE)
  const snapshots = await namesIn(fs, join(directory, SNAPSHOT_DIRECTORY))
  const known = [...NOTHING, RESTORING_FILE, SNAPSHOT_DIRECTORY]
  const foreign = names.filter((name) => !known.includes(name))
  if (foreign.length === 0 && (isUnfinished || snapshots.length === 0)) return
  throw new RaftbaseError('DATA_DIR_UNUSABLE', 'data directory is not empty', {
    details: { directory, found: (foreign.length > 0 ? foreign : snapshots).slice(0, 5) },
  })
}

async function refuseWithoutSpace(options: RestoreOptions, fileBytes: number): Promise<void> {
  const freeBytes = await options.freeBytes()
  const neededBytes = SPACE_FACTOR * fileBytes
  if (freeBytes === undefined || freeBytes >= neededBytes) return
  throw new RaftbaseError('NO_SPACE', 'too little space for twice the snapshot', {
    details: { directory: options.directory, freeBytes, neededBytes },
  })
}
