// Deliberately broken builds: each changes one place of the source as it is loaded (mutate.ts), and some checker must catch
// it. Nothing of this is in the product: the product's files stay as they are, and a change that is no longer found in
// them fails the test that uses it.

export interface Mutant {
  readonly name: string
  /** What is wrong with this build, as docs/testing.md puts it. */
  readonly what: string
  readonly file: string
  readonly from: string
  readonly to: string
  /**
   * Checkers that may notice it first. `InvariantViolation` and `RaftbaseError` are the product's own: it trips over itself,
   * or ends for a reason nobody gave it.
   */
  readonly caughtBy: readonly string[]
  /** Caught within so many seeds from `fromSeed` on, 1 if left out. */
  readonly seedsMax: number
  readonly fromSeed?: number
  /** The one of them that is known to show it, and is tried first unless the search is to be wide. */
  readonly shownBy?: number
  /** It is told this story instead of random faults. */
  readonly story?: 'cutOffAndBack' | 'splitWhileJoint'
  /** Every run of it has these kinds of faults among its own. */
  readonly with?: MutantConditions
}

/** What a run must have for the mutant to matter at all; drawn by chance otherwise. */
export interface MutantConditions {
  readonly damage?: boolean
  readonly doubles?: boolean
  /** The membership changes. */
  readonly membership?: boolean
  /** History is compacted. */
  readonly compaction?: boolean
}

const RAFT = 'member/src/raft'
const NODE = 'member/src/node'

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'no-flush',
    what: 'the log is written and not flushed',
    file: 'member/src/wal/segment-writer.ts',
    from: 'await this.#file.writeAndFlush([record], this.#tail)',
    to: 'await this.#file.write([record], this.#tail)',
    caughtBy: ['RaftbaseError', 'acknowledged', 'election safety', 'leader completeness'],
    seedsMax: 20,
    shownBy: 2,
  },
  {
    name: 'early-acknowledgement',
    what: 'a follower acknowledges entries before its flush',
    file: `${RAFT}/state.ts`,
    from: 'if (!message.reject && message.index > this.log.persisted) return true',
    to: '',
    caughtBy: ['RaftbaseError', 'acknowledged', 'leader completeness'],
    seedsMax: 100,
    shownBy: 2,
  },
  {
    name: 'early-vote',
    what: 'a vote leaves before its flush',
    file: `${RAFT}/state.ts`,
    from: "case 'MsgVoteResp':\n        return !message.reject || this.term > this.durableTerm",
    to: "case 'MsgVoteResp':\n        return false",
    caughtBy: ['election safety', 'monotone'],
    seedsMax: 100,
    shownBy: 8,
    fromSeed: 7,
  },
  {
    name: 'double-vote',
    what: 'a member votes for every candidate of a term',
    file: `${RAFT}/election.ts`,
    from: "if (state.vote !== message.from && !isFree && !asksAhead) return 'alreadyVoted'",
    to: 'void [isFree, asksAhead]',
    caughtBy: ['election safety', 'InvariantViolation'],
    seedsMax: 40,
    shownBy: 12,
    fromSeed: 6,
  },
  {
    name: 'forgotten-vote',
    what: 'a restart forgets whom the member voted for',
    file: `${NODE}/replayed-tail.ts`,
    from: 'vote: term === stored.term ? stored.vote : undefined,',
    to: 'vote: undefined,',
    caughtBy: ['election safety'],
    seedsMax: 300,
    shownBy: 10,
    fromSeed: 9,
  },
  {
    name: 'forgotten-term',
    what: 'a restart begins at the term of the last applied entry',
    file: `${NODE}/replayed-tail.ts`,
    from: 'const term = Math.max(stored.term, appliedTerm)',
    to: 'const { count, lastIndex } = this.#entries; const term = Math.max(count > 0 ? this.#entries.at(lastIndex).term : 0, appliedTerm)',
    caughtBy: ['monotone', 'election safety'],
    seedsMax: 20,
    shownBy: 7,
    fromSeed: 6,
  },
  {
    name: 'old-log-wins',
    what: 'votes are given whatever the log of the candidate (§5.4.1)',
    file: `${RAFT}/election.ts`,
    from: "if (!state.log.isUpToDate({ index: message.lastIndex, term: message.lastTerm }))\n    return 'logBehind'",
    to: '',
    caughtBy: ['leader completeness', 'acknowledged', 'InvariantViolation', 'state-machine safety'],
    seedsMax: 20,
    shownBy: 4,
  },
  {
    name: 'commit-past-match',
    what: 'heartbeats tell a commit index beyond what the follower’s log was compared for',
    file: `${RAFT}/replication.ts`,
    from: "const commit = Math.min(progress.match, state.log.effective)\n    const { id, term } = state\n    state.send({ type: 'MsgHeartbeat'",
    to: "const commit = state.log.effective\n    const { id, term } = state\n    state.send({ type: 'MsgHeartbeat'",
    caughtBy: [
      'RaftbaseError',
      'leader completeness',
      'state-machine safety',
      'InvariantViolation',
    ],
    seedsMax: 100,
  },
  {
    name: 'conflicts-kept',
    what: 'a follower keeps entries that conflict with the leader’s (§5.3)',
    file: `${RAFT}/log.ts`,
    from: 'while (i < entries.length && this.has(entries[i]!.index, entries[i]!.term)) i++',
    to: 'while (i < entries.length && this.term(entries[i]!.index) !== undefined) i++',
    caughtBy: ['leader completeness', 'log matching', 'state-machine safety', 'InvariantViolation'],
    seedsMax: 50,
    fromSeed: 7,
  },
  {
    name: 'stale-entries',
    what: 'a log that was cut still hands out the entries it had there',
    file: `${RAFT}/log.ts`,
    from: 'this.#slice = { low: 0, high: 0, entries: NO_ENTRIES }\n    this.#truncations++',
    to: 'this.#truncations++',
    caughtBy: [
      'log matching',
      'state-machine safety',
      'leader completeness',
      'linearizability',
      'InvariantViolation',
    ],
    seedsMax: 100,
    shownBy: 90,
    fromSeed: 85,
  },
  {
    name: 'epoch-lost',
    what: 'a snapshot brings back the state without the epoch of its membership (promise 9)',
    file: 'member/src/apply/state-machine.ts',
    from: 'this.#membershipEpoch = restored?.membershipEpoch ?? 0',
    to: 'this.#membershipEpoch = 0',
    caughtBy: ['one cluster', 'state-machine safety'],
    seedsMax: 20,
  },
  {
    name: 'compacts-alone',
    what: 'a leader compacts its own state and tells nobody',
    file: `${NODE}/auto-compactor.ts`,
    from: 'await this.#propose(revision)',
    to: 'void this.#propose; (this.#options.stateMachine().store as unknown as { compact(revision: number): void }).compact(revision)',
    caughtBy: ['state-machine safety'],
    seedsMax: 20,
    shownBy: 2,
    with: { compaction: true },
  },
  {
    name: 'compaction-lost',
    what: 'a snapshot brings back the state without what is compacted of it',
    file: 'member/src/mvcc/restore.ts',
    from: 'state.compactRevision = this.#compactRevision',
    to: '',
    caughtBy: ['state-machine safety'],
    seedsMax: 20,
    with: { compaction: true },
  },
  {
    name: 'checksum-ignored',
    what: 'the checksum of a log record is not looked at',
    file: 'member/src/wal/record.ts',
    from: 'return crc32(payload, seedOf(place)) === header.payloadChecksum',
    to: 'return crc32(payload, seedOf(place)) >= 0',
    caughtBy: [
      'RaftbaseError',
      'state-machine safety',
      'leader completeness',
      'log matching',
      'acknowledged',
      'linearizability',
      'InvariantViolation',
    ],
    seedsMax: 300,
    shownBy: 2,
    with: { damage: true },
  },
  {
    name: 'read-unconfirmed',
    what: 'a leader answers reads without asking whether it still leads (§6.4)',
    file: `${RAFT}/read-index.ts`,
    from: 'state.reads.confirm(state.tracker.quorumRound())',
    to: 'state.reads.confirm(state.reads.newest)',
    caughtBy: ['read rule', 'linearizability'],
    seedsMax: 10,
  },
  {
    name: 'read-name-reused',
    what: 'the name of a read is used again while an earlier one of that name may still be answered',
    file: `${NODE}/reads.ts`,
    from: 'const context = `${this.#origin}.${++this.#round}`',
    to: 'const context = `${this.#origin}.${++this.#round % 2}`',
    caughtBy: ['answers', 'linearizability'],
    seedsMax: 20,
    shownBy: 7,
    fromSeed: 6,
  },
  {
    name: 'fresh-leader-reads',
    what: 'a new leader answers reads before it has committed an entry of its own (F46)',
    file: `${RAFT}/read-index.ts`,
    from: 'if (!state.reads.hasWaiting || !state.hasCommittedInTerm) return',
    to: 'if (!state.reads.hasWaiting) return',
    caughtBy: ['linearizability'],
    seedsMax: 60,
    shownBy: 14,
    fromSeed: 13,
  },
  {
    name: 'carried-twice',
    what: 'a leader takes a carried request each time it arrives',
    file: `${NODE}/forward-filter.ts`,
    from: "return window.accepted[sequence % WINDOW] === 1 ? 'seen' : 'new'",
    to: "return 'new'",
    caughtBy: ['acknowledged'],
    seedsMax: 20,
    with: { doubles: true },
  },
  {
    name: 'dishonest-timeout',
    what: 'a deadline is answered with "certainly not done"',
    file: `${NODE}/proposals.ts`,
    from: "proposal.sentTerm === undefined\n          ? new RaftbaseError('TIMEOUT'",
    to: "proposal.deadlineMs >= 0\n          ? new RaftbaseError('TIMEOUT'",
    caughtBy: ['acknowledged'],
    seedsMax: 50,
  },
  {
    name: 'no-deadline',
    what: 'deadlines of writes are not looked at',
    file: `${NODE}/proposals.ts`,
    from: 'if (proposal.deadlineMs > nowMs) continue',
    to: 'if (proposal.deadlineMs > 0 || nowMs > 0) continue',
    caughtBy: ['answers'],
    seedsMax: 20,
  },
  {
    name: 'no-pre-vote',
    what: 'a member that hears no leader starts an election without a pre-vote (§9.6)',
    file: `${RAFT}/election.ts`,
    from: "becomePreCandidate(state, reason)\n  state.votes.set(state.id, true)\n  askForVotes(state, 'MsgPreVote', false)\n  tally(state)",
    to: 'void becomePreCandidate\n  elect(state, reason, false)',
    caughtBy: ['pre-vote'],
    seedsMax: 5,
  },
  {
    name: 'half-of-joint',
    what: 'in a joint configuration the new half alone commits (§6)',
    file: `${RAFT}/tracker.ts`,
    from: 'if (this.#votersOutgoing.length === 0) return incoming\n    return Math.min(incoming, this.#count(this.#votersOutgoing, matchOf))',
    to: 'return incoming',
    caughtBy: ['commit rule', 'leader completeness', 'election safety', 'acknowledged'],
    seedsMax: 40,
    shownBy: 5,
    fromSeed: 4,
    with: { membership: true },
  },
  {
    name: 'old-term-counted',
    what: 'a leader commits entries of an earlier term by counting (§5.4.2)',
    file: `${RAFT}/replication.ts`,
    from: 'if (index <= log.committed || log.term(index) !== state.term) return false',
    to: 'if (index <= log.committed) return false',
    caughtBy: ['commit rule'],
    seedsMax: 40,
    fromSeed: 6,
  },
  {
    name: 'removed-let-in',
    what: 'the handshake does not ask whether the caller was removed (promise 6)',
    file: 'member/src/transport/handshake.ts',
    from: 'if (known.isRemoved(id)) return refuse(REMOVED)\n',
    to: '',
    caughtBy: ['one cluster'],
    seedsMax: 100,
    with: { membership: true },
  },
  {
    name: 'blank-starts',
    what: 'a blank disk starts under the id of a voter (promise 6)',
    file: `${NODE}/start-plan.ts`,
    from: "if (own.state === 'Voter') return parkAwaiting(identity)\n",
    to: "if (own.state === 'Voter') return found(identity, founders, 'nobody' as 'aMajority')\n",
    caughtBy: ['one cluster'],
    seedsMax: 50,
    shownBy: 3,
    with: { membership: true },
  },
  {
    name: 'id-used-again',
    what: 'a member is added under the id of one that was removed (promise 6)',
    file: `${NODE}/membership.ts`,
    from: 'if (removed.has(change.id)) {',
    to: 'if (removed.has(change.id) && change.name === change.id) {',
    caughtBy: ['one cluster', 'InvariantViolation'],
    seedsMax: 50,
    with: { membership: true },
  },
  {
    name: 'gives-up',
    what: 'a candidate that got no answer never asks again',
    file: `${RAFT}/election.ts`,
    from: 'if (state.electionElapsed < state.electionTimeout) return\n',
    to: "if (state.electionElapsed < state.electionTimeout || state.role !== 'follower') return\n",
    caughtBy: ['liveness', 'answers'],
    seedsMax: 50,
    shownBy: 7,
    fromSeed: 6,
  },
]
