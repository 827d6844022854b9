// What a member does before it takes part: reads its newest snapshot and the log behind it, and rebuilds the state that
// was committed. Entries not known to be committed stay in the log for the core to settle.

import type { Clock, Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { Prng } from '../../../lib/prng.ts'
import { INVALID_DOWNGRADE } from '../apply/request.ts'
import { type MemberRecord, StateMachine, StateMachineRestorer } from '../apply/state-machine.ts'
import type { InitialState } from '../raft/raw-node.ts'
import type { ConfState, Index } from '../raft/types.ts'
import type { FileSystem } from '../wal/file-system.ts'
import { SnapshotStore } from '../wal/snapshot-file.ts'
import { Wal } from '../wal/wal.ts'
import { Breather } from './breather.ts'
import type { DataDirectory } from './data-directory.ts'
import { type InitialMember, memberIdOf } from './identity.ts'
import { ReplayedTail } from './replayed-tail.ts'
import type { NodeSettings } from './settings.ts'

export interface RecoverOptions {
  readonly directory: DataDirectory
  readonly initialMembers: readonly InitialMember[]
  readonly settings: NodeSettings
  readonly fs: FileSystem
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  readonly log: Logger
  readonly onFlush: (durationMs: number, bytes: number) => void
  /** The log failed beside a save. */
  readonly onFailure: (error: unknown) => void
}

export interface Recovered {
  readonly wal: Wal
  readonly snapshots: SnapshotStore
  /** Index of the newest snapshot on disk, 0 if there is none. */
  readonly snapshotIndex: Index
  /** Bytes of entry data behind it that were applied. */
  readonly replayedBytes: number
  readonly stateMachine: StateMachine
  readonly raftInitial: InitialState
}

/** Rejects with the errors of SnapshotStore and Wal, or METADATA_CORRUPT for a used log without an identity. */
export async function recover(options: RecoverOptions): Promise<Recovered> {
  const { directory, fs, settings, clock, log } = options
  const startMs = clock.monotonicMs()
  const breather = new Breather(clock, options.timers)
  const { clusterId, memberId } = directory.identity
  const snapshots = await SnapshotStore.open({ fs, directory: directory.snapshotPath, clusterId })
  const snapshot = await snapshots.newest()
  if (directory.isRestored && snapshot === undefined) {
    throw new RaftbaseError('SNAPSHOT_CORRUPT', 'the snapshot that was restored is missing', {
      details: { file: directory.snapshotPath },
    })
  }
  const stateMachine =
    snapshot === undefined
      ? freshState(options)
      : await restoreState(snapshots.read(snapshot.path), breather, settings.knownLevel)
  const { tailBytesMax } = settings
  const tail = new ReplayedTail({ stateMachine, after: snapshot?.meta, tailBytesMax })
  const opened = await Wal.open({
    fs,
    directory: directory.logPath,
    identity: { clusterId, memberId },
    after: snapshot?.meta,
    mustExist: directory.isInitialized,
    segmentBytes: settings.segmentBytes,
    clock,
    timers: options.timers,
    prng: options.prng,
    onBatch: (batch) => {
      tail.add(batch)
      return breather.pause()
    },
    onFlush: options.onFlush,
    onFailure: options.onFailure,
  })
  // failpoint: await logRecovered
  if (!directory.isInitialized) {
    const begins = directory.isRestored ? (snapshot?.meta.index ?? 0) : 0
    const isUsed = opened.hardState !== undefined || opened.lastIndex > begins
    await initialize(options, isUsed || (snapshot !== undefined && !directory.isRestored))
  }
  if (opened.repaired !== undefined) log.warn({ ...opened.repaired }, 'torn log tail removed')
  const raftInitial = tail.initialState(opened.hardState)
  const { applied, hardState } = raftInitial
  const durationMs = Math.round(clock.monotonicMs() - startMs)
  log.info(
    { applied, lastIndex: opened.lastIndex, term: hardState.term, durationMs },
    'data directory read',
  )
  return {
    wal: opened.wal,
    snapshots,
    snapshotIndex: snapshot?.meta.index ?? 0,
    replayedBytes: tail.appliedBytes,
    stateMachine,
    raftInitial,
  }
}

/**
 * Builds a state from the chunks of a snapshot, yielding to the event loop between them. Rejects with PROTOCOL_MISMATCH if the
 * cluster was raised to a feature level above `knownLevel`.
 */
export async function restoreState(
  chunks: AsyncIterable<Uint8Array>,
  breather: Breather,
  knownLevel: number,
): Promise<StateMachine> {
  const restorer = new StateMachineRestorer(knownLevel)
  for await (const chunk of chunks) {
    restorer.addChunk(chunk)
    await breather.pause()
  }
  const machine = restorer.finish()
  if (machine.level > knownLevel) {
    throw new RaftbaseError('PROTOCOL_MISMATCH', INVALID_DOWNGRADE, {
      details: { index: machine.appliedIndex, level: machine.level, known: knownLevel },
    })
  }
  return machine
}

async function initialize({ directory }: RecoverOptions, isUsed: boolean): Promise<void> {
  if (isUsed) {
    throw new RaftbaseError('METADATA_CORRUPT', 'log and snapshots lie there without an identity', {
      details: { directory: directory.path },
    })
  }
  await directory.initialize()
}

function freshState({ directory, initialMembers, settings }: RecoverOptions): StateMachine {
  const founders = foundersOf(directory.identity.token, initialMembers)
  return new StateMachine({ ...founders, knownLevel: settings.knownLevel })
}

/** What a cluster's state says about its members when it is made of these. */
export function foundersOf(
  token: string,
  initialMembers: readonly InitialMember[],
): { readonly members: readonly MemberRecord[]; readonly confState: ConfState } {
  const members = initialMembers.map((member): MemberRecord => {
    const { name, peerUrls } = member
    return {
      id: memberIdOf(token, name, 1),
      name,
      peerUrls,
      clientUrls: [],
      apiUrls: [],
      version: '',
      level: 0,
    }
  })
  const confState: ConfState = {
    voters: members.map((member) => member.id).toSorted(),
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  }
  return { members, confState }
}
