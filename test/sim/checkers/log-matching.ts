// Log Matching (§5.3): an entry is known by its index and term. Whoever sends it, and whenever, it is the same entry and
// follows the same one.

import { crc32 } from 'node:zlib'
import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type { Entry } from '../../../member/src/raft/types.ts'
import { CheckFailure, type Checker, type View } from './checker.ts'

export class LogMatching implements Checker {
  readonly name = 'log matching'
  readonly #entries = new Map<string, string>()

  onMessage(message: PeerMessage, { nameOf }: View): void {
    if (message.type !== 'MsgApp') return
    let before = message.prevTerm
    for (const entry of message.entries) {
      const position = `${entry.index}/${entry.term}`
      const found = `${digestOf(entry)} behind term ${before}`
      const known = this.#entries.get(position)
      if (known === undefined) this.#entries.set(position, found)
      else if (known !== found) {
        const what = `entry ${position} is ${known}, and ${found} as ${nameOf(message.from)} sends it`
        throw new CheckFailure(this.name, what)
      }
      before = entry.term
    }
  }
}

function digestOf({ type, data, change }: Entry): string {
  const context = change === undefined ? '' : JSON.stringify([change.changes, change.transition])
  const bytes = change === undefined ? data : change.context
  return `${type} ${crc32(bytes).toString(16)}${context}`
}
