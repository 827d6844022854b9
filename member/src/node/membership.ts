// Changes of membership at run time, asked of the leader: a learner is added, promoted when it has caught up, a member is
// removed or reached elsewhere, a dead one replaced by a learner in one joint change. Each call is safe to repeat: what is so already is answered
// as done. Nothing is proposed that is stale, that another change is in the way of, or that would leave the cluster without
// a majority that answers. Whether a change may follow a configuration at all is the core's to say.

import { unreachable } from '../../../lib/assert.ts'
import type { Timers } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import { CLUSTER_MEMBERS_MAX } from '../limits.ts'
import { encodeConfChangeContext, type MemberRecord } from '../apply/request.ts'
import type { ApplyResult, StateMachine } from '../apply/state-machine.ts'
import type { ProposeRefusal } from '../raft/ready.ts'
import type { ConfChangeSingle, ConfState, Index, MemberId } from '../raft/types.ts'
import type { Driver } from './driver.ts'
import { memberIdOf } from './identity.ts'
import type { CallOptions, MembershipOutcome, MembershipRequest } from './member-node.ts'
import type { Proposals } from './proposals.ts'

export type MembershipChange =
  | {
      readonly type: 'addLearner'
      readonly id: MemberId
      readonly name: string
      readonly peerUrls: readonly string[]
    }
  /** Several at once go through a joint configuration: 1 -> 3 without passing through two voters. */
  | { readonly type: 'promote'; readonly ids: readonly MemberId[] }
  | { readonly type: 'remove'; readonly id: MemberId }
  /** The learner takes the place of a voter in one joint change. */
  | { readonly type: 'replace'; readonly removed: MemberId; readonly promoted: MemberId }
  /** The member is reached there from now on. */
  | { readonly type: 'update'; readonly id: MemberId; readonly peerUrls: readonly string[] }

export interface MembershipCall extends CallOptions {
  /** The membership the caller means: that whose last change has this index. Another one: MEMBERSHIP_CONFLICT. */
  readonly expectedEpoch?: number
}

export interface MembershipResult {
  /** Index of the last change in force. */
  readonly epoch: Index
  /** May still be joint: the leader leaves it by itself. */
  readonly confState: ConfState
}

export interface MembershipOptions {
  readonly id: MemberId
  /** The cluster's: part of the id of whoever is added. */
  readonly token: string
  readonly origin: string
  readonly driver: Driver
  readonly proposals: Proposals<ApplyResult>
  readonly stateMachine: () => StateMachine
  readonly timers: Timers
  /** Resolves once the state holds everything that was acknowledged before. Rejects as a linearizable read. */
  readonly confirm: (call: CallOptions) => Promise<void>
}

/** How long the answer to a joint change waits for its second half, which the leader makes by itself. */
const JOINT_MS_MAX = 1000

/** How far a learner may be behind and still be promoted. */
const PROMOTE_LAG_ENTRIES_MAX = 1000

export class Membership {
  readonly #options: MembershipOptions
  #waiters: (() => void)[] = []

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  /** As a front end asks for it: a member that is added gets the id that token, name and incarnation make. */
  async request(request: MembershipRequest, call: MembershipCall): Promise<MembershipOutcome> {
    if (request.type !== 'add') {
      await this.change(request, call)
      await this.#jointLeft()
      return { epoch: this.#now().epoch, id: undefined }
    }
    const { name, incarnation, peerUrls } = request
    const id = memberIdOf(this.#options.token, name, incarnation)
    const { epoch } = await this.change({ type: 'addLearner', id, name, peerUrls }, call)
    return { epoch, id }
  }

  /** The configuration is another one. */
  changed(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }

  /** So that the epoch of the answer is the one a next change may expect. What was asked for is in force in any case. */
  async #jointLeft(): Promise<void> {
    const { timers, stateMachine } = this.#options
    const over = Promise.withResolvers<'over'>()
    const timer = timers.after(JOINT_MS_MAX, () => over.resolve('over'))
    while (stateMachine().confState.votersOutgoing.length > 0) {
      const changed = new Promise<void>((resolve) => this.#waiters.push(resolve))
      if ((await Promise.race([changed, over.promise])) === 'over') break
    }
    timer.cancel()
  }

  /**
   * Leader only. Rejects with NOT_LEADER, MEMBERSHIP_CONFLICT (stale epoch, or another change is under way),
   * MEMBERSHIP_UNSAFE, NOT_READY (a learner that is behind, or a leader that is too new), MEMBER_REMOVED (that id is used
   * up), INVALID_ARGUMENT, NO_LEADER: it did not happen and will not; or with OUTCOME_UNKNOWN: ask again.
   */
  async change(change: MembershipChange, call: MembershipCall): Promise<MembershipResult> {
    const { driver, origin, proposals, confirm } = this.#options
    this.#mustLead()
    if (this.#needsNews(change)) {
      await confirm(call)
      this.#mustLead()
    }
    if (this.#isSo(change)) return this.#now()
    this.#mustBeCurrent(call.expectedEpoch)
    const changes = this.#changesOf(change)
    this.#mustKeepMajority(changes)
    const members = change.type === 'addLearner' ? [recordOf(change)] : []
    const moved = change.type === 'update' ? [{ id: change.id, peerUrls: change.peerUrls }] : []
    const { timeoutMs } = call
    const done = proposals.addOnce({ timeoutMs, read: () => this.#now() }, (sequence) => {
      const context = encodeConfChangeContext({ origin, sequence, members, moved })
      return driver.proposeConfChange({ changes, transition: 'auto', context })
    })
    if ('refused' in done) throw this.#refusal(done.refused, changes)
    return done.answer
  }

  #mustLead(): void {
    const { driver, id } = this.#options
    if (driver.leader === id && driver.raft.role === 'leader') return
    throw new RaftbaseError('NOT_LEADER', 'this member does not lead', {
      details: { leader: driver.leader },
    })
  }

  /**
   * Whether the answer depends on what a leader may not know that is new, or that was replaced and has not heard of it. Who has
   * come or gone stays so, and an old memory of it is as good as a new one. Of whom it has never heard it knows nothing, and peer
   * URLs change to and fro.
   */
  #needsNews(change: MembershipChange): boolean {
    const { members, removed } = this.#options.stateMachine()
    if (change.type === 'addLearner') return this.#holderOf(change, change.name) !== undefined
    if (idsOf(change).some((id) => !members.has(id) && !removed.has(id))) return true
    return change.type === 'update'
  }

  #now(): MembershipResult {
    const { membershipEpoch: epoch, confState } = this.#options.stateMachine()
    return { epoch, confState }
  }

  /** Whether the change has happened already: a caller whose answer was lost repeats it. */
  #isSo(change: MembershipChange): boolean {
    const { confState, members } = this.#options.stateMachine()
    const { voters, votersOutgoing } = confState
    // A joint change was answered as it came into force: whoever is on the way out then counts as gone.
    const isGone = (id: MemberId): boolean =>
      !members.has(id) || (votersOutgoing.includes(id) && !voters.includes(id))
    switch (change.type) {
      case 'addLearner': {
        const known = members.get(change.id)
        if (known === undefined) return false
        if (known.name !== change.name)
          throw invalid('id', 'a member with this id has another name')
        if (known.peerUrls.join(' ') === change.peerUrls.join(' ')) return true
        // Done would be untrue, and whoever starts a member there would not be found.
        throw new RaftbaseError(
          'MEMBERSHIP_CONFLICT',
          'this member is there under other peer URLs',
          {
            details: {
              member: change.id,
              peerUrls: known.peerUrls,
              asked: change.peerUrls,
              instead: `update its peer URLs: raftbase member update ${change.name}`,
            },
          },
        )
      }
      case 'promote':
        return change.ids.every((id) => voters.includes(id))
      case 'remove':
        return isGone(change.id)
      case 'replace':
        return isGone(change.removed) && voters.includes(change.promoted)
      case 'update':
        return members.get(change.id)?.peerUrls.join(' ') === change.peerUrls.join(' ')
      default:
        return unreachable(change)
    }
  }

  #mustBeCurrent(expectedEpoch: number | undefined): void {
    const { membershipEpoch, confState } = this.#options.stateMachine()
    if (expectedEpoch !== undefined && expectedEpoch !== membershipEpoch) {
      throw new RaftbaseError('MEMBERSHIP_CONFLICT', 'the membership is another one by now', {
        details: { expectedEpoch, epoch: membershipEpoch },
      })
    }
    if (confState.votersOutgoing.length === 0) return
    throw refusal('confChangePending', { epoch: membershipEpoch })
  }

  #changesOf(change: MembershipChange): readonly ConfChangeSingle[] {
    const { confState, members, removed } = this.#options.stateMachine()
    switch (change.type) {
      case 'addLearner':
        if (removed.has(change.id)) {
          throw new RaftbaseError('MEMBER_REMOVED', 'an id of a removed member is not used again', {
            details: { member: change.id },
          })
        }
        if (members.size >= CLUSTER_MEMBERS_MAX) {
          throw new RaftbaseError(
            'MEMBERSHIP_UNSAFE',
            'the cluster has as many members as it can',
            {
              details: { instead: `remove a member first: there are ${members.size}` },
            },
          )
        }
        this.#mustBeFree(change, change.name)
        return [{ type: 'addLearner', memberId: change.id }]
      case 'promote':
        for (const id of change.ids) this.#mustBeCaughtUp(id)
        return change.ids
          .filter((id) => !confState.voters.includes(id))
          .map((memberId) => ({ type: 'addVoter', memberId }))
      case 'remove':
        return [{ type: 'remove', memberId: change.id }]
      case 'replace':
        if (!confState.voters.includes(change.promoted)) this.#mustBeCaughtUp(change.promoted)
        return [
          { type: 'addVoter', memberId: change.promoted },
          { type: 'remove', memberId: change.removed },
        ]
      case 'update': {
        const known = members.get(change.id)
        if (known === undefined) throw invalid('id', 'a member of this cluster')
        this.#mustBeFree(change, known.name)
        // Of the part it has already: what changes is where it is reached, with an epoch of its own.
        const isLearner = confState.learners.includes(change.id)
        return [{ type: isLearner ? 'addLearner' : 'addVoter', memberId: change.id }]
      }
      default:
        return unreachable(change)
    }
  }

  /** Only the two lives of one name may share an address: those of a disk that was lost and of the one that replaces it. */
  #mustBeFree(
    { id, peerUrls }: { readonly id: MemberId; readonly peerUrls: readonly string[] },
    name: string,
  ): void {
    const other = this.#holderOf({ id, peerUrls }, name)
    if (other !== undefined) throw invalid('peerUrls', `URLs that are not those of ${other.name}`)
  }

  #holderOf(
    { id, peerUrls }: { readonly id: MemberId; readonly peerUrls: readonly string[] },
    name: string,
  ): MemberRecord | undefined {
    const { members } = this.#options.stateMachine()
    return [...members.values()].find((other) => {
      if (other.id === id || other.name === name) return false
      return other.peerUrls.some((url) => peerUrls.includes(url))
    })
  }

  #mustBeCaughtUp(id: MemberId): void {
    const { driver, stateMachine } = this.#options
    const { confState, members } = stateMachine()
    if (confState.voters.includes(id)) return
    if (!confState.learners.includes(id)) throw invalid('id', 'a learner of this cluster')
    const { lastIndex, progress } = driver.raft.status()
    const learner = progress.find((peer) => peer.id === id)
    const match = learner?.match ?? 0
    const isBehind = lastIndex - match > PROMOTE_LAG_ENTRIES_MAX
    if (learner?.recentlyActive !== true || learner.state !== 'replicate' || isBehind) {
      throw new RaftbaseError('NOT_READY', 'the learner has not caught up', {
        details: { member: id, match, lastIndex, lagMax: PROMOTE_LAG_ENTRIES_MAX },
      })
    }
    // Only this lets everybody know, for ever, that its disk may not come back blank: it will have voted.
    if ((members.get(id)?.version ?? '') === '') {
      const message = 'the learner has not told the cluster yet what it is'
      throw new RaftbaseError('NOT_READY', message, { details: { member: id } })
    }
  }

  /** Those who answer must be a majority of the voters before the change and after it. */
  #mustKeepMajority(changes: readonly ConfChangeSingle[]): void {
    const { driver, id, stateMachine } = this.#options
    const { confState, members } = stateMachine()
    const { progress } = driver.raft.status()
    const active = new Set(progress.filter((peer) => peer.recentlyActive).map((peer) => peer.id))
    active.add(id)
    const after = new Set(confState.voters)
    for (const { type, memberId } of changes) {
      if (type === 'addVoter') after.add(memberId)
      else after.delete(memberId)
    }
    const voters = [...after]
    const silent = voters.filter((voter) => !active.has(voter))
    const answering = voters.length - silent.length
    if (2 * answering > voters.length) return
    const nameOf = (member: MemberId): string => members.get(member)?.name || member
    const details = {
      voters: voters.length,
      answering,
      silent,
      instead: safeOrder(silent.map(nameOf)),
    }
    throw new RaftbaseError(
      'MEMBERSHIP_UNSAFE',
      'the change would leave no majority that answers',
      { details },
    )
  }

  #refusal(reason: ProposeRefusal, changes: readonly ConfChangeSingle[]): RaftbaseError {
    const { id, stateMachine } = this.#options
    const leaves = changes.some(({ type, memberId }) => type === 'remove' && memberId === id)
    return refusal(reason, {
      epoch: stateMachine().membershipEpoch,
      ...(reason === 'confChangeInvalid' && leaves ? { instead: ANOTHER_LEADER_FIRST } : {}),
    })
  }
}

const ANOTHER_LEADER_FIRST =
  'hand leadership to another voter first, then ask that one to remove this member'

/** In which order the same can be had safely: a fragment for a person. `silent` are voters that would stay. */
function safeOrder(silent: readonly string[]): string {
  if (silent.length === 0) return 'add another member and promote it first'
  const names = silent.join(', ')
  return `bring ${names} back first, or give up a dead one by replacing or removing it, then ask again`
}

/** Of whom it says that they are there. */
function idsOf(change: Exclude<MembershipChange, { type: 'addLearner' }>): readonly MemberId[] {
  switch (change.type) {
    case 'promote':
      return change.ids
    case 'replace':
      return [change.removed, change.promoted]
    default:
      return [change.id]
  }
}

function recordOf({ id, name, peerUrls }: MembershipChange & { type: 'addLearner' }): MemberRecord {
  return { id, name, peerUrls, clientUrls: [], apiUrls: [], version: '', level: 0 }
}

function invalid(field: string, accepted: string): RaftbaseError {
  return new RaftbaseError('INVALID_ARGUMENT', 'not a change of this membership', {
    details: { field, accepted },
  })
}

function refusal(reason: ProposeRefusal, known: { readonly epoch: Index }): RaftbaseError {
  const details = { reason, ...known }
  switch (reason) {
    case 'notLeader':
      return new RaftbaseError('NOT_LEADER', 'this member does not lead', { details })
    case 'transferring':
      return new RaftbaseError('NOT_READY', 'leadership is being handed over', { details })
    case 'notReady':
      return new RaftbaseError('NOT_READY', 'the leader is too new', { details })
    case 'overloaded':
      return new RaftbaseError('OVERLOADED', 'too much is waiting', { details })
    case 'confChangePending':
      return new RaftbaseError('MEMBERSHIP_CONFLICT', 'another change is under way', { details })
    case 'confChangeInvalid':
      return new RaftbaseError('MEMBERSHIP_UNSAFE', 'the change cannot follow this membership', {
        details,
      })
    default:
      return unreachable(reason)
  }
}
