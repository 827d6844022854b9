// Where a member is reached is what was acknowledged last (ADR 0027): an update is in the state from there on where its leader
// acknowledged it, on every member, until there is another one. Not from its epoch on: a member that was started there meanwhile has told
// it itself, which has none. In a run every start after an update is made under the new URL.

import type { MemberId } from '../../../member/src/raft/types.ts'
import type { SimMember } from '../member.ts'
import { type AcknowledgedAddress, CheckFailure, type Checker } from './checker.ts'

export class PeerUrls implements Checker {
  readonly name = 'peer URLs'
  readonly #acknowledged = new Map<MemberId, AcknowledgedAddress>()

  onAddress(address: AcknowledgedAddress): void {
    this.#acknowledged.set(address.member.id, address)
  }

  onEvent({ name, member }: SimMember): void {
    const { appliedIndex, members } = member!.stateMachine
    for (const [id, { index, url, member: moved }] of this.#acknowledged) {
      // Somebody has asked for another one since, or a start under another one may have told it.
      if (moved.peerUrl !== url) {
        this.#acknowledged.delete(id)
        continue
      }
      const known = members.get(id)
      if (appliedIndex < index || known === undefined) continue
      if (known.peerUrls.join() === url) continue
      const what = `${name} has ${moved.name} at ${known.peerUrls.join()}`
      throw new CheckFailure(this.name, `${what}, acknowledged at entry ${index} was ${url}`)
    }
  }
}
