// One core on its own, fed message by message: for what a single member does with a single message.

import { SeededPrng } from '../../../lib/prng.ts'
import type { RaftConfig } from '../../../member/src/raft/config.ts'
import type {
  MsgApp,
  MsgAppResp,
  MsgVote,
  MsgVoteResp,
  PeerMessage,
} from '../../../member/src/raft/message.ts'
import { RawNode } from '../../../member/src/raft/raw-node.ts'
import type { Ready } from '../../../member/src/raft/ready.ts'
import type { ConfState, Entry, HardState } from '../../../member/src/raft/types.ts'
import { bytesOf, confStateOf, memberId } from './cluster.ts'

/** `ET` of the tests, in ticks; a follower's timeout is 10 to 19. */
export const ELECTION_TICKS = 10

export interface LoneOptions {
  readonly id?: number
  readonly confState?: ConfState
  /** The terms of its entries, from index 1 on: [1, 1, 2] is 1/1, 2/1, 3/2. */
  readonly terms?: readonly number[]
  readonly hardState?: Partial<HardState>
  readonly applied?: number
  readonly seed?: number
  readonly config?: Partial<RaftConfig>
}

/** A restarted member 1 of {1, 2, 3} with the given log; its term is that of its newest entry unless told. */
export function lone(options: LoneOptions = {}): LoneNode {
  return new LoneNode(options)
}

export class LoneNode {
  readonly id: number
  readonly node: RawNode
  /** Everything it has handed out so far. */
  readonly readies: Ready[] = []

  constructor(options: LoneOptions) {
    this.id = options.id ?? 1
    const terms = options.terms ?? []
    const hardState = { term: terms.at(-1) ?? 0, vote: undefined, commit: 0, ...options.hardState }
    this.node = new RawNode({
      config: {
        id: memberId(this.id),
        electionTicks: ELECTION_TICKS,
        electionJitterTicks: 10,
        heartbeatTicks: 1,
        maxBytesPerMessage: 1024 * 1024,
        maxInflightMessages: 16,
        maxInflightBytes: 1024 * 1024,
        maxUncommittedBytes: 1024 * 1024,
        maxCommittedBytesPerReady: 1024 * 1024,
        maxPendingReads: 3,
        ...options.config,
      },
      prng: new SeededPrng(options.seed ?? 1),
      initial: {
        hardState,
        confState: options.confState ?? confStateOf([1, 2, 3]),
        applied: options.applied ?? 0,
        logStart: { index: 0, term: 0 },
        entries: terms.map((term, i) => entry(i + 1, term)),
      },
    })
  }

  /** Takes one Ready without reporting anything back. */
  ready(): Ready {
    const ready = this.node.ready()
    this.node.verify()
    this.readies.push(ready)
    return ready
  }

  /** Reports everything handed out as durable and applied; returns what it would send by then. */
  flush(): readonly PeerMessage[] {
    const messages: PeerMessage[] = []
    while (this.node.hasReady()) {
      const { number, messages: now, messagesAfterPersist, committedEntries } = this.ready()
      messages.push(...now, ...messagesAfterPersist)
      this.node.advance({ persisted: number })
      const last = committedEntries.at(-1)
      if (last !== undefined) this.node.advance({ applied: last.index })
      this.node.verify()
    }
    return messages
  }

  /** Steps one message and flushes. */
  step(message: PeerMessage): readonly PeerMessage[] {
    this.node.step(message)
    return this.flush()
  }

  /** Ticks until it asks for pre-votes. */
  campaign(): readonly PeerMessage[] {
    for (let i = 0; i < 2 * ELECTION_TICKS && this.node.role === 'follower'; i++) this.node.tick()
    return this.flush()
  }

  /** Makes it the leader of the next term by the vote of `voter`. */
  lead(voter = 2): readonly PeerMessage[] {
    this.campaign()
    const { term } = this.node.status()
    this.step(voteResp({ from: voter, to: this.id, term: term + 1, type: 'MsgPreVoteResp' }))
    return this.step(voteResp({ from: voter, to: this.id, term: term + 1 }))
  }

  /** The terms of its entries, from index 1 on. */
  get terms(): readonly (number | undefined)[] {
    const { lastIndex } = this.node.status()
    return Array.from({ length: lastIndex }, (_, i) => this.node.termAt(i + 1))
  }
}

export function entry(index: number, term: number, text = 'x'): Entry {
  return { index, term, type: 'normal', data: bytesOf(text), change: undefined }
}

interface Way {
  readonly from: number
  readonly to?: number
  readonly term: number
}

function way({ from, to = 1, term }: Way): Pick<PeerMessage, 'from' | 'to' | 'term'> {
  return { from: memberId(from), to: memberId(to), term }
}

/** Entries of the given terms behind `prev`. */
export function append(
  options: Way & {
    readonly prev: readonly [index: number, term: number]
    readonly terms?: readonly number[]
    readonly commit?: number
  },
): MsgApp {
  const [prevIndex, prevTerm] = options.prev
  const entries = (options.terms ?? []).map((term, i) => entry(prevIndex + 1 + i, term))
  const commit = options.commit ?? 0
  return { type: 'MsgApp', ...way(options), prevIndex, prevTerm, entries, commit }
}

export function appendResp(
  options: Way & { readonly index: number; readonly hint?: readonly [index: number, term: number] },
): MsgAppResp {
  const { index, hint } = options
  const [hintIndex, hintTerm] = hint ?? [0, 0]
  const reject = hint !== undefined
  return { type: 'MsgAppResp', ...way(options), index, reject, hintIndex, hintTerm }
}

export function heartbeat(options: Way & { readonly commit?: number }): PeerMessage {
  return { type: 'MsgHeartbeat', ...way(options), commit: options.commit ?? 0, context: '' }
}

export function vote(
  options: Way & {
    readonly last: readonly [index: number, term: number]
    readonly type?: MsgVote['type']
    readonly transfer?: boolean
  },
): MsgVote {
  const [lastIndex, lastTerm] = options.last
  const { type = 'MsgVote', transfer = false } = options
  return { type, ...way(options), lastIndex, lastTerm, transfer, commit: 0, commitTerm: 0 }
}

export function voteResp(
  options: Way & { readonly type?: MsgVoteResp['type']; readonly reject?: boolean },
): MsgVoteResp {
  const { type = 'MsgVoteResp', reject = false } = options
  return { type, ...way(options), reject, commit: 0, commitTerm: 0 }
}
