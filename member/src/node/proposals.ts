// The requests of this process that wait for their entry to be applied. Each is answered once: done, failed (certainly
// not done) or unknown. None is applied twice: a request that was handed to the leader of a term goes to that leader again
// (which proposes it at most once in its term) or waits until an entry of a later term has been applied. Terms never fall
// along the log (§5.3), so what has not been applied by then never will be, and it may be proposed anew.

import { invariant } from '../../../lib/assert.ts'
import type { Clock } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { ProposeRefusal, ProposeResult } from '../raft/ready.ts'
import type { Term } from '../raft/types.ts'

export interface PendingProposal<Result> {
  readonly sequence: number
  /** The encoded replicated request; empty for one that is proposed only once. */
  readonly data: Uint8Array
  readonly deadlineMs: number
  /** Proposed when it was made, and never again: what it means depends on that moment. */
  readonly isOnce: boolean
  /** Turns the result into the answer, or throws why it is none. */
  readonly read: (result: Result) => unknown
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
  /** The term whose leader may have proposed it; undefined while it certainly is in no log that can still commit. */
  sentTerm: Term | undefined
  /** Whether it waits to be sent (again). */
  queued: boolean
  /** Set when it leaves the table; a queue that still names it passes over it. */
  settled: boolean
}

export interface ProposalLimits {
  readonly proposalsMax: number
  readonly proposalBytesMax: number
}

const NO_DATA = new Uint8Array(0)

export class Proposals<Result> {
  readonly #clock: Clock
  readonly #limits: ProposalLimits
  readonly #pending = new Map<number, PendingProposal<Result>>()
  /** Invariant: together with `#refused`, names every unsettled proposal that is `queued`. */
  #unsent: PendingProposal<Result>[] = []
  /** Refused for now: sent again at the next tick, lest they go back and forth as fast as the network can. */
  #refused: PendingProposal<Result>[] = []
  #bytes = 0
  #sequence = 0
  #closed: RaftbaseError | undefined

  constructor(options: { clock: Clock; limits: ProposalLimits }) {
    this.#clock = options.clock
    this.#limits = options.limits
  }

  get count(): number {
    return this.#pending.size
  }

  get hasUnsent(): boolean {
    return this.#unsent.length > 0
  }

  /** The sequence that the next `add` must carry. */
  nextSequence(): number {
    return this.#sequence + 1
  }

  /**
   * Resolves with what `read` makes of the result; what it throws rejects. Rejects at once with OVERLOADED when the table is
   * full. The one promise of a request: another one around it would cost as much as encoding it.
   */
  add<Answer>(options: {
    data: Uint8Array
    timeoutMs: number
    signal?: AbortSignal | undefined
    read: (result: Result) => Answer
  }): Promise<Answer> {
    const { data, timeoutMs, signal, read } = options
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    if (
      this.#pending.size >= this.#limits.proposalsMax ||
      this.#bytes + data.length > this.#limits.proposalBytesMax
    ) {
      return Promise.reject(
        new RaftbaseError('OVERLOADED', 'too many requests are waiting', {
          details: { waiting: this.#pending.size, waitingBytes: this.#bytes },
        }),
      )
    }
    const sequence = ++this.#sequence
    return new Promise<Answer>((resolve, reject) => {
      const deadlineMs = this.#clock.monotonicMs() + timeoutMs
      const proposal: PendingProposal<Result> = {
        sequence,
        data,
        deadlineMs,
        isOnce: false,
        read,
        resolve: resolve as PendingProposal<Result>['resolve'],
        reject,
        sentTerm: undefined,
        queued: true,
        settled: false,
      }
      this.#pending.set(sequence, proposal)
      this.#bytes += data.length
      this.#unsent.push(proposal)
      signal?.addEventListener('abort', () => this.#abandon(proposal), { once: true })
    })
  }

  /**
   * Hands a request that must not be proposed a second time to `propose`, now, and waits for it as for any other; or returns
   * why it was refused. If another term begins before it is applied it fails for certain.
   */
  addOnce<Answer>(
    options: { timeoutMs: number; read: (result: Result) => Answer },
    propose: (sequence: number) => ProposeResult,
  ): { readonly answer: Promise<Answer> } | { readonly refused: ProposeRefusal } {
    const { timeoutMs, read } = options
    if (this.#closed !== undefined) return { answer: Promise.reject(this.#closed) }
    const sequence = ++this.#sequence
    const proposed = propose(sequence)
    if (!proposed.accepted) return { refused: proposed.reason }
    const answer = new Promise<Answer>((resolve, reject) => {
      this.#pending.set(sequence, {
        sequence,
        data: NO_DATA,
        deadlineMs: this.#clock.monotonicMs() + timeoutMs,
        isOnce: true,
        read,
        resolve: resolve as PendingProposal<Result>['resolve'],
        reject,
        sentTerm: proposed.term,
        queued: false,
        settled: false,
      })
    })
    return { answer }
  }

  /**
   * Removes and returns proposals that may be handed to the leader of `term`, oldest first, up to `bytesMax` (at least
   * one). The caller marks what it handed over with `sent` and gives the rest back with `putBack`.
   */
  takeUnsent(term: Term, bytesMax: number): PendingProposal<Result>[] {
    const taken: PendingProposal<Result>[] = []
    const kept: PendingProposal<Result>[] = []
    let bytes = 0
    let next = 0
    for (; next < this.#unsent.length; next++) {
      const proposal = this.#unsent[next]!
      if (proposal.settled) continue
      if (proposal.sentTerm !== undefined && proposal.sentTerm !== term) {
        kept.push(proposal)
        continue
      }
      if (taken.length > 0 && bytes + proposal.data.length > bytesMax) break
      bytes += proposal.data.length
      taken.push(proposal)
    }
    const rest = next === this.#unsent.length ? [] : this.#unsent.slice(next)
    this.#unsent = kept.length === 0 ? rest : kept.concat(rest)
    return taken
  }

  /** These were handed to the leader of `term`. */
  sent(term: Term, proposals: readonly PendingProposal<Result>[]): void {
    for (const proposal of proposals) {
      proposal.sentTerm = term
      proposal.queued = false
    }
  }

  /** Puts proposals back in front of the queue: they could not be handed over, or must be once more. */
  putBack(proposals: readonly PendingProposal<Result>[]): void {
    const back = proposals.filter((proposal) => !proposal.settled)
    if (back.length === 0) return
    for (const proposal of back) proposal.queued = true
    this.#unsent = back.concat(this.#unsent)
  }

  /** The leader of `term` refused these: they wait for the next chance, or fail with `error` if it will never take them. */
  refused(term: Term, sequences: readonly number[], error: RaftbaseError | undefined): void {
    const back: PendingProposal<Result>[] = []
    for (const sequence of sequences) {
      const proposal = this.#pending.get(sequence)
      if (proposal === undefined || proposal.sentTerm !== term || proposal.queued) continue
      if (error === undefined) back.push(proposal)
      else this.#settle(proposal).reject(error)
    }
    for (const proposal of back) proposal.queued = true
    this.#refused.push(...back)
  }

  /** A tick has passed: what was refused for now may be sent again. */
  retryRefused(): void {
    if (this.#refused.length === 0) return
    const refused = this.#refused
    this.#refused = []
    this.putBack(refused)
  }

  /** Queues what was handed to the leader of `term` once more: the connection to it was made anew. */
  sendAgain(term: Term): void {
    const again = [...this.#pending.values()].filter(
      (proposal) => proposal.sentTerm === term && !proposal.queued && !proposal.isOnce,
    )
    this.putBack(again)
  }

  /** An entry of this process was applied: answers its request, if that still waits. */
  applied(sequence: number, result: Result): void {
    const proposal = this.#pending.get(sequence)
    if (proposal === undefined) return
    const { read, resolve, reject } = this.#settle(proposal)
    let answer: unknown
    try {
      answer = read(result)
    } catch (error) {
      reject(error)
      return
    }
    resolve(answer)
  }

  /** The first entry of `term` is being applied: what was sent in earlier terms and is not applied never will be. */
  termApplied(term: Term): void {
    const lost: PendingProposal<Result>[] = []
    for (const proposal of this.#pending.values()) {
      if (proposal.sentTerm === undefined || proposal.sentTerm >= term) continue
      if (proposal.isOnce) {
        const error = new RaftbaseError('NO_LEADER', 'leadership moved before it was committed')
        this.#settle(proposal).reject(error)
        continue
      }
      proposal.sentTerm = undefined
      if (!proposal.queued) lost.push(proposal)
    }
    this.putBack(lost)
  }

  /** A snapshot replaced the state: what was sent up to its term may be inside it, and nobody can tell. */
  snapshotInstalled(term: Term): void {
    for (const proposal of this.#pending.values()) {
      if (proposal.sentTerm !== undefined && proposal.sentTerm <= term) {
        this.#settle(proposal).reject(unknownOutcome('a snapshot replaced the state'))
      }
    }
  }

  /** Ends what is past its deadline. */
  sweep(nowMs: number): void {
    for (const proposal of this.#pending.values()) {
      if (proposal.deadlineMs > nowMs) continue
      this.#settle(proposal)
      proposal.reject(
        proposal.sentTerm === undefined
          ? new RaftbaseError('TIMEOUT', 'no leader took the request before its deadline')
          : unknownOutcome('the deadline passed before the outcome was known'),
      )
    }
  }

  /** Answers everything: what waits to be sent with `error`, what was sent with OUTCOME_UNKNOWN. Later adds fail. */
  close(error: RaftbaseError): void {
    this.#closed = error
    for (const proposal of this.#pending.values()) {
      this.#settle(proposal)
      proposal.reject(
        proposal.sentTerm === undefined ? error : unknownOutcome('the member stopped'),
      )
    }
    this.#unsent = []
    this.#refused = []
  }

  /** The client has gone: drop the request if it was not sent, else let it run its course unwatched. */
  #abandon(proposal: PendingProposal<Result>): void {
    if (proposal.settled || proposal.sentTerm !== undefined) return
    this.#settle(proposal).reject(new RaftbaseError('TIMEOUT', 'the client went away'))
  }

  #settle(proposal: PendingProposal<Result>): PendingProposal<Result> {
    invariant(!proposal.settled, 'a request is answered twice', { sequence: proposal.sequence })
    proposal.settled = true
    this.#pending.delete(proposal.sequence)
    this.#bytes -= proposal.data.length
    return proposal
  }
}

function unknownOutcome(message: string): RaftbaseError {
  return new RaftbaseError('OUTCOME_UNKNOWN', message)
}
