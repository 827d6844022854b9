// A leader's side of replication: appending, sending within each peer's window, advancing the commit index, heartbeats,
// and offering a snapshot to whoever needs what is no longer in memory. Sends are collected: one turn's proposals and
// commits leave in one message per peer.

import { invariant } from '../../../lib/assert.ts'
import type { ConfChange, Entry, Index, SnapshotMeta } from './types.ts'
import { entryBytes } from './log.ts'
import type { Progress } from './progress.ts'
import type { RaftState } from './state.ts'

const NO_DATA = new Uint8Array(0)

/** The empty entry that a new leader commits to learn what is committed (§8). */
export function appendNoOp(state: RaftState): void {
  state.uncommittedBytes = 0
  appendEntry(state, NO_DATA, undefined)
  state.termStart = state.log.lastIndex
  // Changes of membership in the log may be uncommitted: none is proposed before it is known.
  state.pendingConfIndex = state.log.lastIndex
}

/** Appends to the leader's log; sending waits for the end of the turn. */
export function appendEntry(
  state: RaftState,
  data: Uint8Array,
  change: ConfChange | undefined,
): void {
  const { log, term } = state
  const type = change === undefined ? 'normal' : 'confChange'
  const entry: Entry = { index: log.lastIndex + 1, term, type, data, change }
  log.append(entry)
  state.uncommittedBytes += entryBytes(entry)
  state.replicationDue = true
}

/** Appends one entry for each of `data`, or refuses them all when too much waits for its commit. */
export function appendBatch(state: RaftState, data: readonly Uint8Array[]): boolean {
  let bytes = 0
  for (const item of data) bytes += item.length
  // A batch larger than the limit is taken when nothing else waits.
  if (
    state.uncommittedBytes > 0 &&
    state.uncommittedBytes + bytes > state.config.maxUncommittedBytes
  )
    return false
  for (const item of data) appendEntry(state, item, undefined)
  return true
}

/** Counts what this leader has on its own disk, then commits what a quorum has. */
export function countOwnFlush(state: RaftState): void {
  const self = state.tracker.get(state.id)
  // A leader on its way out of the membership counts only the others.
  if (self?.maybeUpdate(state.log.persisted) === true) maybeCommit(state)
}

/** §5.4.2: only entries of this term commit by counting; those before them commit with them. */
export function maybeCommit(state: RaftState): boolean {
  const { log, tracker } = state
  const index = Math.min(tracker.quorumMatch(), log.lastIndex)
  if (index <= log.committed || log.term(index) !== state.term) return false
  for (let i = log.committed + 1; i <= index; i++) state.uncommittedBytes -= bytesOf(state, i)
  log.commitTo(index)
  state.replicationDue = true
  return true
}

/** Entries of earlier leaders were never counted. */
function bytesOf(state: RaftState, index: Index): number {
  return index < state.termStart ? 0 : entryBytes(state.log.entry(index))
}

/** Sends each peer what it lacks, as far as its window allows. */
export function flushAppends(state: RaftState): void {
  if (!state.replicationDue) return
  state.replicationDue = false
  invariant(state.role === 'leader', 'replicates without leading', { role: state.role })
  for (const progress of state.tracker.peers) {
    while (maybeSendAppend(state, progress)) {
      // One message after the other until the window is full or nothing is left.
    }
  }
}

/** Sends one MsgApp or offers a snapshot; returns whether another MsgApp may follow at once. */
function maybeSendAppend(state: RaftState, progress: Progress): boolean {
  const { log, config } = state
  if (progress.state === 'snapshot') return false
  if (progress.isPaused && !progress.mustSend && !progress.needsSnapshot) return false
  const prevIndex = progress.next - 1
  const prevTerm = log.term(prevIndex)
  if (prevTerm === undefined || progress.needsSnapshot) {
    maybeOfferSnapshot(state, progress)
    return false
  }
  const isFull = progress.isPaused
  const high = isFull ? progress.next : log.lastIndex + 1
  const entries = log.slice(progress.next, high, config.maxBytesPerMessage)
  const last = prevIndex + entries.length
  const isNews = entries.length > 0 || progress.sentCommit < Math.min(log.effective, last)
  // A probe asks a question even when it has nothing to tell.
  if (!isNews && !progress.mustSend && progress.state !== 'probe') return false
  progress.mustSend = false
  progress.sentCommit = Math.min(log.effective, last)
  if (progress.state === 'probe') progress.probeSent = true
  else if (entries.length > 0) {
    progress.inflights.add(last, sizeOf(entries))
    progress.next = last + 1
  }
  state.send({
    type: 'MsgApp',
    from: state.id,
    to: progress.id,
    term: state.term,
    prevIndex,
    prevTerm,
    entries,
    commit: log.effective,
  })
  return progress.state === 'replicate' && last < log.lastIndex
}

function sizeOf(entries: readonly Entry[]): number {
  let bytes = 0
  for (const entry of entries) bytes += entryBytes(entry)
  return bytes
}

/**
 * Offers the applied state to a peer that needs entries which are gone. Only to one that answers, and at most once an
 * election timeout: a transfer that fails at once must not turn into a busy loop.
 */
function maybeOfferSnapshot(state: RaftState, progress: Progress): void {
  const { log, now } = state
  const { electionTicks } = state.config
  progress.mustSend = false
  if (!progress.hasAnswered || progress.lastContact <= now - electionTicks) return
  if (now < progress.snapshotNotBefore || log.applied === 0) return
  const index = log.applied
  const snapshot: SnapshotMeta = { index, term: log.term(index)!, confState: state.confState }
  progress.becomeSnapshot(index)
  progress.snapshotNotBefore = now + electionTicks
  state.trace({ type: 'snapshotNeeded', peer: progress.id, snapshot })
  const { id, term } = state
  state.send({ type: 'MsgSnap', from: id, to: progress.id, term, snapshot })
}

/** Tells every peer that this leader lives, how far it may commit, and which read round it would confirm. */
export function broadcastHeartbeat(state: RaftState): void {
  state.heartbeatElapsed = 0
  const round = state.reads.unconfirmed
  const context = round === undefined ? '' : `${state.term}.${round}`
  for (const progress of state.tracker.peers) {
    // The peer's log is only known to be this leader's up to `match`.
    const commit = Math.min(progress.match, state.log.effective)
    const { id, term } = state
    state.send({ type: 'MsgHeartbeat', from: id, to: progress.id, term, commit, context })
  }
}
