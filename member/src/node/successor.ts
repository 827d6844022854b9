// Who should lead next, as the present leader sees the others.

import type { PeerProgress } from '../raft/ready.ts'
import type { RawNode } from '../raft/raw-node.ts'
import type { MemberId } from '../raft/types.ts'

/** The voter whose log is closest to the leader's and that answers; undefined when there is none. */
export function bestSuccessor(raft: RawNode): MemberId | undefined {
  return bestVoter(raft)?.id
}

/**
 * The voter to take over from a leader whose disk is slow: one that has stored what the leader has not. Undefined when there
 * is none, as when all disks hang: a vote would hang as well.
 */
export function fasterSuccessor(raft: RawNode): MemberId | undefined {
  const best = bestVoter(raft)
  return best !== undefined && best.match > raft.status().persistedIndex ? best.id : undefined
}

/**
 * The voter to take over from a leader that cannot store what it has: one that has stored everything. Undefined when there
 * is none, as when nobody has space: a vote would not find any either.
 */
export function storingSuccessor(raft: RawNode): MemberId | undefined {
  const best = bestVoter(raft)
  const { lastIndex, persistedIndex } = raft.status()
  return best?.match === lastIndex && lastIndex > persistedIndex ? best.id : undefined
}

function bestVoter(raft: RawNode): PeerProgress | undefined {
  const { voters } = raft.confState
  const candidates = raft
    .status()
    .progress.filter((peer) => voters.includes(peer.id) && peer.recentlyActive)
  let best = candidates[0]
  for (const peer of candidates) if (peer.match > best!.match) best = peer
  return best
}
