// Callers that this member has not heard of, of its own cluster all the same: it was away when they joined, and the leader
// may be one of them. They are peers like the others for as long as they are here, few at a time, until the membership
// tells of them.

import type { MemberId } from '../raft/types.ts'
import type { PeerIdentity } from './options.ts'
import type { Peer } from './peer.ts'

export interface GuestsOptions {
  readonly guestsMax: number
  /** Whether its id is one that this cluster makes of its name and incarnation. */
  readonly isOneOfOurs: (identity: PeerIdentity) => boolean
  readonly isRemoved: (member: MemberId) => boolean
}

export class Guests {
  readonly #options: GuestsOptions
  readonly #peers = new Map<MemberId, Peer>()

  constructor(options: GuestsOptions) {
    this.#options = options
  }

  /** Whether this caller, who is no peer, may come in. One that cannot be dialled back could not be answered. */
  admits(identity: PeerIdentity): boolean {
    const { guestsMax, isOneOfOurs } = this.#options
    const { memberId, peerUrls = [] } = identity
    if (peerUrls.length === 0 || !isOneOfOurs(identity)) return false
    return this.#peers.has(memberId) || this.#peers.size < guestsMax
  }

  add(peer: Peer): void {
    this.#peers.set(peer.address.id, peer)
  }

  /** The membership tells of it now, or it is cut off. */
  forget(id: MemberId): void {
    this.#peers.delete(id)
  }

  /** Whether a peer that the membership does not tell of stays: it may be newer than the membership known here. */
  keeps(id: MemberId): boolean {
    return this.#peers.has(id) && !this.#options.isRemoved(id)
  }

  /** Those who are not here any more. */
  gone(): readonly Peer[] {
    return [...this.#peers.values()].filter((peer) => !peer.isHere)
  }
}
