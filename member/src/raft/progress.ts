// The leader's view of one member's log. `probe`: where it ends is a guess, one message at a time. `replicate`: it is
// known, messages are pipelined within a window. `snapshot`: a snapshot is on its way, nothing else is sent.

import { Inflights } from './inflights.ts'
import type { Index, MemberId } from './types.ts'

export interface ProgressOptions {
  readonly id: MemberId
  readonly next: Index
  readonly now: number
  readonly countMax: number
  readonly bytesMax: number
}

export class Progress {
  readonly id: MemberId
  isLearner = false
  /** Known to be durable there. Invariant: match < next. */
  match: Index = 0
  /** The next entry to send. */
  next: Index
  state: 'probe' | 'replicate' | 'snapshot' = 'probe'
  readonly inflights: Inflights
  /** In `probe`: one message is out. */
  probeSent = false
  /** Something must be sent though nothing is new: what was sent may be lost. */
  mustSend = false
  /** The commit index the newest message told. */
  sentCommit: Index = 0
  /** It refused the very first entry: it has no membership to begin with. */
  needsSnapshot = false
  /** In `snapshot`: the index it was offered at. */
  pendingSnapshot: Index = 0
  /** No further snapshot is offered before this tick. */
  snapshotNotBefore = 0
  /** The tick of the last word from it, or of the begin of this leadership. */
  lastContact: number
  /** Whether it has answered this leader at all. */
  hasAnswered = false
  /** The newest read-index round it has confirmed. */
  ackedRound = 0

  constructor(options: ProgressOptions) {
    this.id = options.id
    this.next = options.next
    this.lastContact = options.now
    this.inflights = new Inflights(options)
  }

  get isPaused(): boolean {
    switch (this.state) {
      case 'probe':
        return this.probeSent
      case 'replicate':
        return this.inflights.isFull
      default:
        return true
    }
  }

  becomeProbe(): void {
    // A snapshot that arrived may carry it further than any answer has shown.
    const known =
      this.state === 'snapshot' ? Math.max(this.match, this.pendingSnapshot) : this.match
    this.#become('probe')
    this.next = known + 1
  }

  becomeReplicate(): void {
    this.#become('replicate')
    this.next = this.match + 1
  }

  becomeSnapshot(index: Index): void {
    this.#become('snapshot')
    this.pendingSnapshot = index
  }

  /** It has everything up to `index`; returns whether that is news. */
  maybeUpdate(index: Index): boolean {
    this.next = Math.max(this.next, index + 1)
    if (index <= this.match) return false
    this.match = index
    return true
  }

  /**
   * It refused entries after `rejected`; its log may agree up to `hint`. Returns false when the refusal is an old one.
   */
  maybeDecrease(rejected: Index, hint: Index): boolean {
    if (this.state === 'snapshot') return false
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false
      this.becomeProbe()
      this.next = Math.max(this.match + 1, Math.min(rejected, hint + 1))
      return true
    }
    if (this.next - 1 !== rejected) return false
    this.next = Math.max(this.match + 1, Math.min(rejected, hint + 1))
    this.probeSent = false
    return true
  }

  #become(state: Progress['state']): void {
    this.state = state
    this.probeSent = false
    this.mustSend = false
    this.pendingSnapshot = 0
    this.needsSnapshot = false
    this.sentCommit = 0
    this.inflights.clear()
  }
}
