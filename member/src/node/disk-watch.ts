// What a slow, hung or full disk of this member means for it. Slow or full costs the leadership if somebody else shows that
// its disk does better; hung costs the life of the process. Full does not: writes are refused, reads go on, and what waits is stored when
// there is space again (faults.md F27, F33; docs/adr/0014).

import type { MemberId } from '../raft/types.ts'
import type { RawNode } from '../raft/raw-node.ts'
import type { Persister } from './persister.ts'
import { fasterSuccessor, storingSuccessor } from './successor.ts'

/** So long requests wait for another member to take over from a leader without space, before they are refused. */
const HAND_OVER_GRACE_MS = 100

export interface DiskWatchOptions {
  readonly persister: Persister
  readonly raft: RawNode
  /** A flush that takes longer costs the leadership. */
  readonly flushSlowMs: number
  /** A flush that takes longer costs the life of the process. */
  readonly flushHungMs: number
}

export type DiskVerdict =
  | { readonly kind: 'fine' }
  | { readonly kind: 'handOver'; readonly target: MemberId; readonly reason: 'slow' | 'full' }
  | { readonly kind: 'hung'; readonly stalledMs: number }

const FINE = { kind: 'fine' } as const

export class DiskWatch {
  readonly #options: DiskWatchOptions

  constructor(options: DiskWatchOptions) {
    this.#options = options
  }

  judge(nowMs: number): DiskVerdict {
    const { persister, raft, flushSlowMs, flushHungMs } = this.#options
    const stalledMs = persister.stalledMs(nowMs)
    if (stalledMs > flushHungMs) return { kind: 'hung', stalledMs }
    const isFull = persister.fullMs(nowMs) !== undefined
    if (stalledMs <= flushSlowMs && !isFull) return FINE
    const { role, transferTarget } = raft.status()
    if (role !== 'leader' || transferTarget !== undefined) return FINE
    const target = isFull ? storingSuccessor(raft) : fasterSuccessor(raft)
    if (target === undefined) return FINE
    return { kind: 'handOver', target, reason: isFull ? 'full' : 'slow' }
  }

  /** Whether a leader may propose: not while it cannot store, first because somebody may take over, then for good. */
  mayPropose(nowMs: number): 'yes' | 'later' | 'no' {
    const { persister, raft } = this.#options
    const fullMs = persister.fullMs(nowMs)
    if (fullMs === undefined) return 'yes'
    return fullMs < HAND_OVER_GRACE_MS && raft.confState.voters.length > 1 ? 'later' : 'no'
  }
}
