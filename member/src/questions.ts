// What a member with a blank disk asks its peers, of all of them at once. Whoever cannot be resolved or does not answer in
// time has no say.

import { systemTimers } from '../../lib/clock.ts'
import {
  askCluster,
  askPeer,
  type ClusterAnswer,
  type PeerAnswer,
  type PeerNetwork,
} from './transport/peer-transport.ts'

interface Peer {
  readonly peerUrls: readonly string[]
}

/** How long a member with a blank disk waits for its peers. */
const QUESTION_TIMEOUT_MS = 1500

/** Whether they know the member of this identity. */
export function askPeers(
  network: PeerNetwork,
  { memberId }: Pick<PeerAnswer, 'memberId'>,
  members: readonly Peer[],
): Promise<readonly PeerAnswer[]> {
  return askAll(members, (url) => askPeer({ ...options(url, network), about: memberId }))
}

/** Who belongs to their cluster. */
export function askForCluster(
  network: PeerNetwork,
  members: readonly Peer[],
): Promise<readonly ClusterAnswer[]> {
  return askAll(members, (url) => askCluster(options(url, network)))
}

function options(url: string, network: PeerNetwork) {
  return { url, network, timers: systemTimers, timeoutMs: QUESTION_TIMEOUT_MS }
}

async function askAll<Answer>(
  members: readonly Peer[],
  ask: (url: string) => Promise<Answer | undefined>,
): Promise<readonly Answer[]> {
  const answers = await Promise.all(members.flatMap(({ peerUrls }) => peerUrls).map(ask))
  return answers.filter((answer) => answer !== undefined)
}
