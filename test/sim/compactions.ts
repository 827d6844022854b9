// Somebody who compacts now and then, through any member, as an operator or kube-apiserver does; what becomes of it is compared by
// the checker of the state. Beside it, leaders compact by themselves as the plan's settings say.

import { RaftbaseError } from '../../lib/errors.ts'
import type { Prng } from '../../lib/prng.ts'
import type { Member } from '../../member/src/node/member.ts'
import type { SimMember } from './member.ts'
import type { SimProcess } from './process.ts'
import type { World } from './world.ts'

const REST_MS_MAX = 6000
const TIMEOUT_MS = 3000
/** How many of the newest revisions stay, at the most. */
const KEPT_MAX = 60

export interface CompactionsOptions {
  readonly world: World
  readonly prng: Prng
  readonly members: () => readonly SimMember[]
}

export class Compactions {
  readonly #options: CompactionsOptions
  #isStopped = false

  constructor(options: CompactionsOptions) {
    this.#options = options
  }

  start(): void {
    this.#later()
  }

  stop(): void {
    this.#isStopped = true
  }

  #later(): void {
    const { world, prng } = this.#options
    world.schedule({ delayMs: 1 + prng.next(REST_MS_MAX), run: () => this.#next() })
  }

  #next(): void {
    if (this.#isStopped) return
    const { world, prng, members } = this.#options
    this.#later()
    const all = members()
    const { member, process } = all[prng.next(all.length)]!
    const kept = prng.next(KEPT_MAX)
    if (member === undefined || process === undefined) return
    const run = (): void => world.act(() => this.#serve(member, process, kept))
    world.schedule({ delayMs: 0.1, owner: process, run })
  }

  /** In the member's process. */
  #serve(member: Member, process: SimProcess, kept: number): void {
    process.callCount++
    const run = async (): Promise<void> => {
      const revision = Math.max(1, member.status().revision - kept)
      try {
        await member.compact({ revision }, { timeoutMs: TIMEOUT_MS })
      } catch (error) {
        // Refused, or nobody knows: either is an answer.
        if (!(error instanceof RaftbaseError)) throw error
      }
      process.callCount--
    }
    run().catch((error: unknown) => this.#options.world.fail(error))
  }
}
