// A log under test and the plain array it is compared with.

import { type ErrorCode, hasCode } from '../../lib/errors.ts'
import { SeededPrng } from '../../lib/prng.ts'
import type { Entry, HardState, MemberId, SnapshotMeta } from '../../member/src/raft/types.ts'
import type { FileSystem } from '../../member/src/wal/file-system.ts'
import { type OpenedWal, type SaveBatch, Wal, type WalOptions } from '../../member/src/wal/wal.ts'
import { ManualTimers } from './manual-timers.ts'

export const LOG_DIRECTORY = '/data/wal'
export const MEMBER = '00000000000000a1' as MemberId
export const IDENTITY = { clusterId: '00000000000000c1', memberId: MEMBER }
/** The smallest segments there are: many of them fit into a test. */
export const SEGMENT_BYTES = 16 * 1024

/** What a log holds: the naive model, and what replay is gathered into. */
export class LogModel {
  after: SnapshotMeta | undefined
  entries: Entry[] = []
  hardState: HardState | undefined

  constructor(after?: SnapshotMeta) {
    this.after = after
  }

  get lastIndex(): number {
    return this.entries.at(-1)?.index ?? this.after?.index ?? 0
  }

  apply({ snapshot, entries, hardState }: Omit<SaveBatch, 'sync'>): void {
    if (snapshot !== undefined) {
      this.after = snapshot
      this.entries = []
    }
    const first = entries[0]
    if (first !== undefined) {
      this.entries = this.entries.filter((entry) => entry.index < first.index)
      this.entries.push(...entries)
    }
    this.hardState = hardState ?? this.hardState
  }

  /** The model as a log shows it that is read from behind a later snapshot. */
  from(after: SnapshotMeta | undefined): LogModel {
    const model = new LogModel(after)
    const index = after?.index ?? 0
    model.hardState = this.hardState
    const reached = this.entries.find((entry) => entry.index === index) ?? this.after
    const isContained = index === 0 || (reached?.index === index && reached.term === after?.term)
    if (isContained) model.entries = this.entries.filter((entry) => entry.index > index)
    return model
  }

  /** Everything that counts, as text to compare. */
  describe(): string {
    const lines = this.entries.map(
      ({ index, term, type, data }) =>
        `${index}/${term} ${type} ${Buffer.from(data).toString('hex')}`,
    )
    const state = this.hardState
    const text = state && `term ${state.term} vote ${state.vote} commit ${state.commit}`
    return [text, `after ${this.after?.index ?? 0}`, ...lines].join('\n')
  }
}

export interface HarnessLog extends OpenedWal {
  readonly model: LogModel
  readonly timers: ManualTimers
}

/** Opens the log and gathers what it replays. */
export async function openLog(
  fs: FileSystem,
  options: Partial<WalOptions> & { readonly seed?: number } = {},
): Promise<HarnessLog> {
  const timers = new ManualTimers()
  const model = new LogModel(options.after)
  const opened = await Wal.open({
    fs,
    directory: LOG_DIRECTORY,
    identity: IDENTITY,
    after: undefined,
    segmentBytes: SEGMENT_BYTES,
    clock: timers,
    timers,
    prng: new SeededPrng(options.seed ?? 1),
    onBatch: (batch) => model.apply({ ...batch, entries: batch.entries.map(copyOf) }),
    ...options,
  })
  model.hardState = opened.hardState
  return { ...opened, model, timers }
}

/** What is replayed lies in memory that is used again. */
function copyOf(entry: Entry): Entry {
  return { ...entry, data: entry.data.slice() }
}

export function entry(index: number, term: number, size = 20): Entry {
  const data = new Uint8Array(size)
  for (let i = 0; i < size; i++) data[i] = (index * 31 + term * 7 + i) & 0xff
  return { index, term, type: 'normal', data, change: undefined }
}

/** `count` entries from `first` on. */
export function entries(first: number, count: number, term = 1, size = 20): Entry[] {
  return Array.from({ length: count }, (_, i) => entry(first + i, term, size))
}

export function hardState(
  term: number,
  commit: number,
  vote: MemberId | undefined = MEMBER,
): HardState {
  return { term, vote, commit }
}

export function snapshotAt(index: number, term: number): SnapshotMeta {
  const confState = {
    voters: [MEMBER],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  }
  return { index, term, confState }
}

/** A synced save of entries and, with them, the hard state. */
export function batch(list: readonly Entry[], state?: HardState): SaveBatch {
  return { entries: list, hardState: state, sync: true }
}

/** Lets everything that is ready on the memory file system come to an end. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** All pieces of a stream. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const list: Uint8Array[] = []
  for await (const chunk of chunks) list.push(chunk)
  return list
}

/** Any other error than the expected one fails the test as it is. */
export function mustHaveCode(error: unknown, code: ErrorCode): void {
  if (!hasCode(error, code)) throw error
}
