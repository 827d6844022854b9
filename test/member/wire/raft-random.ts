// Random values of the core's types, from a seed.

import type { Prng } from '../../../lib/prng.ts'
import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type {
  ConfChange,
  Entry,
  HardState,
  MemberId,
  SnapshotMeta,
} from '../../../member/src/raft/types.ts'
import type { NodeMessage } from '../../../member/src/transport/transport.ts'

export function randomBytes(prng: Prng, lengthMax: number): Uint8Array {
  return Uint8Array.from({ length: prng.next(lengthMax + 1) }, () => prng.next(256))
}

export function randomId(prng: Prng): MemberId {
  const half = () =>
    prng
      .next(2 ** 32)
      .toString(16)
      .padStart(8, '0')
  return (half() + half()) as MemberId
}

/** Small numbers, numbers around the edges of varints, and numbers up to 2^53 - 1. */
export function randomUint(prng: Prng): number {
  switch (prng.next(4)) {
    case 0:
      return prng.next(4)
    case 1:
      return 2 ** (7 * (1 + prng.next(7))) - prng.next(2)
    case 2:
      return Number.MAX_SAFE_INTEGER - prng.next(3)
    default:
      return prng.next(2 ** 21) * 2 ** 32 + prng.next(2 ** 32)
  }
}

function randomText(prng: Prng): string {
  const alphabet = ['a', 'Z', '0', '-', 'é', '漢', '🙂', '\u0000']
  return Array.from({ length: prng.next(40) }, () => alphabet[prng.next(alphabet.length)]).join('')
}

function randomIds(prng: Prng): MemberId[] {
  return Array.from({ length: prng.next(6) }, () => randomId(prng)).toSorted()
}

export function randomHardState(prng: Prng): HardState {
  return {
    term: randomUint(prng),
    vote: prng.next(3) === 0 ? undefined : randomId(prng),
    commit: randomUint(prng),
  }
}

export function randomConfChange(prng: Prng): ConfChange {
  return {
    changes: Array.from({ length: prng.next(4) }, () => ({
      type: (['addVoter', 'addLearner', 'remove'] as const)[prng.next(3)]!,
      memberId: randomId(prng),
    })),
    transition: (['auto', 'jointImplicit', 'jointExplicit'] as const)[prng.next(3)]!,
    context: randomBytes(prng, prng.next(2) * 300),
  }
}

export function randomSnapshotMeta(prng: Prng): SnapshotMeta {
  return {
    index: randomUint(prng),
    term: randomUint(prng),
    confState: {
      voters: randomIds(prng),
      votersOutgoing: randomIds(prng),
      learners: randomIds(prng),
      learnersNext: randomIds(prng),
      autoLeave: prng.next(2) === 0,
    },
  }
}

export function randomEntry(prng: Prng, index: number, term: number): Entry {
  if (prng.next(8) === 0) {
    const change = randomConfChange(prng)
    return { index, term, type: 'confChange', data: new Uint8Array(0), change }
  }
  const data = randomBytes(prng, [0, 20, 200, 20_000][prng.next(4)]!)
  return { index, term, type: 'normal', data, change: undefined }
}

export function randomPeerMessage(prng: Prng, from: MemberId, to: MemberId): PeerMessage {
  const header = { from, to, term: randomUint(prng) }
  const flag = () => prng.next(2) === 0
  switch (prng.next(13)) {
    case 0:
      return randomApp(prng, from, to)
    case 1:
      return {
        type: 'MsgAppResp',
        ...header,
        index: randomUint(prng),
        reject: flag(),
        hintIndex: randomUint(prng),
        hintTerm: randomUint(prng),
      }
    case 2:
    case 3:
      return {
        type: flag() ? 'MsgVote' : 'MsgPreVote',
        ...header,
        lastIndex: randomUint(prng),
        lastTerm: randomUint(prng),
        transfer: flag(),
        commit: randomUint(prng),
        commitTerm: randomUint(prng),
      }
    case 4:
    case 5:
      return {
        type: flag() ? 'MsgVoteResp' : 'MsgPreVoteResp',
        ...header,
        reject: flag(),
        commit: randomUint(prng),
        commitTerm: randomUint(prng),
      }
    case 6:
      return {
        type: 'MsgHeartbeat',
        ...header,
        commit: randomUint(prng),
        context: randomText(prng),
      }
    case 7:
      return { type: 'MsgHeartbeatResp', ...header, context: randomText(prng) }
    case 8:
      return { type: 'MsgSnap', ...header, snapshot: randomSnapshotMeta(prng) }
    case 9:
      return { type: 'MsgReadIndex', ...header, context: randomText(prng) }
    case 10:
      return {
        type: 'MsgReadIndexResp',
        ...header,
        context: randomText(prng),
        index: randomUint(prng),
        reject: flag(),
      }
    case 11:
      return { type: 'MsgTimeoutNow', ...header }
    default:
      return { type: 'MsgTermNotice', ...header }
  }
}

function randomApp(prng: Prng, from: MemberId, to: MemberId): PeerMessage {
  const prevIndex = prng.next(2 ** 32) * 2 ** prng.next(20)
  const prevTerm = prng.next(1000)
  const entries: Entry[] = []
  let term = prevTerm
  for (let i = prng.next(6); i > 0; i--) {
    term += prng.next(2)
    entries.push(randomEntry(prng, prevIndex + entries.length + 1, term))
  }
  const header = { type: 'MsgApp', from, to, term: term + prng.next(3) } as const
  return { ...header, prevIndex, prevTerm, entries, commit: randomUint(prng) }
}

export function randomNodeMessage(prng: Prng): NodeMessage {
  const header = { term: randomUint(prng), origin: randomId(prng) }
  if (prng.next(2) === 0) {
    const requests = Array.from({ length: prng.next(5) }, () => ({
      sequence: randomUint(prng),
      data: randomBytes(prng, 300),
    }))
    return { type: 'Forward', ...header, requests }
  }
  const sequences = Array.from({ length: prng.next(40) }, () => randomUint(prng))
  const reason = (['notLeader', 'overloaded', 'transferring', 'noSpace'] as const)[prng.next(4)]!
  return { type: 'ForwardRefused', ...header, sequences, reason }
}
