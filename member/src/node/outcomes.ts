// What became of a request, in the words of the front ends.

import { RaftbaseError, type ErrorCode } from '../../../lib/errors.ts'
import { invariant, unreachable } from '../../../lib/assert.ts'
import type {
  ApplyOutcome,
  ApplyRefusal,
  ApplyResult,
  StateMachine,
} from '../apply/state-machine.ts'
import type { ForwardRefused } from '../transport/transport.ts'
import type {
  CompactionResult,
  DeleteResult,
  FinalizeResult,
  GetResult,
  PutResult,
} from './member-node.ts'

const REFUSALS = {
  keyNotProvided: 'INVALID_ARGUMENT',
  invalidSortOption: 'INVALID_ARGUMENT',
  valueProvided: 'INVALID_ARGUMENT',
  leaseProvided: 'INVALID_ARGUMENT',
  keyNotFound: 'INVALID_ARGUMENT',
  tooManyOps: 'INVALID_ARGUMENT',
  duplicateKey: 'INVALID_ARGUMENT',
  compacted: 'REVISION_COMPACTED',
  future: 'REVISION_FUTURE',
  leaseNotFound: 'INVALID_ARGUMENT',
  noSpace: 'NO_SPACE',
  tooLarge: 'REQUEST_TOO_LARGE',
  unsupported: 'INTERNAL',
  levelTooHigh: 'LEVEL_UNSUPPORTED',
  epochDiffers: 'MEMBERSHIP_CONFLICT',
  memberNotFound: 'MEMBER_REMOVED',
} as const satisfies Record<ApplyRefusal, ErrorCode>

export function putResult({ outcome }: ApplyResult): PutResult {
  mustBeDone(outcome)
  invariant(outcome.type === 'put', 'a put was answered as something else', { type: outcome.type })
  const { revision, version, createRevision } = outcome.put
  return { revision, version, createRevision }
}

export function deleteResult({ outcome }: ApplyResult): DeleteResult {
  mustBeDone(outcome)
  invariant(outcome.type === 'deleteRange', 'a delete was answered as something else', {
    type: outcome.type,
  })
  const { revision, deleted } = outcome.delete
  return { revision, deleted }
}

export function compactionResult({ outcome }: ApplyResult): CompactionResult {
  mustBeDone(outcome)
  invariant(outcome.type === 'compaction', 'a compaction was answered as something else', {
    type: outcome.type,
  })
  return { revision: outcome.revision }
}

/** The highest that all members understand. One that waits to be added does not know who they are. */
export function commonLevel({ members, commonLevel: level }: StateMachine): number {
  if (members.size > 0) return level
  throw new RaftbaseError('NOT_READY', 'this member has not heard yet who belongs to the cluster')
}

/** Says who is in the way: `stateMachine` is as the request has left it. */
export function finalizeResult(
  { outcome }: ApplyResult,
  { membershipEpoch: epoch, members }: StateMachine,
  level: number,
): FinalizeResult {
  if (outcome.type === 'refused' && outcome.reason === 'levelTooHigh') {
    const old = [...members.values()].filter((member) => member.level < level)
    throw new RaftbaseError('LEVEL_UNSUPPORTED', 'a member does not understand the level', {
      details: { level, epoch, members: old.map(({ id, name }) => (name === '' ? id : name)) },
    })
  }
  if (outcome.type === 'refused' && outcome.reason === 'epochDiffers') {
    const details = { epoch }
    throw new RaftbaseError('MEMBERSHIP_CONFLICT', 'the membership is another one by now', {
      details,
    })
  }
  mustBeDone(outcome)
  invariant(outcome.type === 'finalize', 'a finalize was answered as something else', {
    type: outcome.type,
  })
  return { level: outcome.level, epoch }
}

export function tooLarge(bytes: number, bytesMax: number): RaftbaseError {
  return new RaftbaseError('REQUEST_TOO_LARGE', 'the request is too large', {
    details: { bytes, bytesMax },
  })
}

/** Reads one key from the state as it is. Throws INVALID_ARGUMENT, REVISION_COMPACTED or REVISION_FUTURE. */
export function getResult(
  stateMachine: StateMachine,
  request: { readonly key: Uint8Array; readonly revision?: number },
): GetResult {
  const result = stateMachine.store.range(request)
  if (!result.ok) throw refused(result.reason, result)
  const { kvs: records } = result
  return { revision: result.revision, kv: records.length === 0 ? undefined : records.at(0) }
}

function mustBeDone(
  outcome: ApplyOutcome,
): asserts outcome is Exclude<ApplyOutcome, { type: 'refused' }> {
  if (outcome.type === 'refused') throw refused(outcome.reason, outcome)
}

function refused(
  reason: ApplyRefusal,
  { revision, compactRevision }: { readonly revision: number; readonly compactRevision: number },
): RaftbaseError {
  return new RaftbaseError(REFUSALS[reason], 'the request was refused', {
    details: { reason, revision, compactRevision },
  })
}

/** Certainly not done; compacting makes room. */
export function historyFull({
  revision,
  compactRevision,
}: Pick<StateMachine['store'], 'revision' | 'compactRevision'>): RaftbaseError {
  return new RaftbaseError('NO_SPACE', 'state and its history have reached the quota', {
    details: { reason: 'history', revision, compactRevision },
  })
}

export function overloaded(): RaftbaseError {
  return new RaftbaseError('OVERLOADED', 'the leader has too many uncommitted entries')
}

export function noSpace(): RaftbaseError {
  return new RaftbaseError('NO_SPACE', "no space on the leader's disk")
}

/** What a request that was carried ends with; undefined when it waits for the next chance. */
export function refusalOf(reason: ForwardRefused['reason']): RaftbaseError | undefined {
  switch (reason) {
    case 'overloaded':
      return overloaded()
    case 'noSpace':
      return noSpace()
    case 'notLeader':
    case 'transferring':
      return undefined
    default:
      return unreachable(reason)
  }
}
