// No message that a peer can send trips an invariant, whatever it claims: a member that ends because another one is broken is
// a cluster that ends. Everything is allowed that the codec lets through (entries are consecutive, their terms never fall).

import { expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import type { Message, PeerMessage } from '../../../member/src/raft/message.ts'
import type { Entry, MemberId } from '../../../member/src/raft/types.ts'
import { entry, lone, type LoneNode, voteResp } from './builders.ts'
import { bytesOf, confStateOf, memberId } from './cluster.ts'

const SEEDS = 800
/** It computes all the time: on a busy machine that takes long. */
const TIMEOUT_MS = 180_000
const STEPS = 300
const TYPES = [
  'MsgApp',
  'MsgAppResp',
  'MsgVote',
  'MsgPreVote',
  'MsgVoteResp',
  'MsgPreVoteResp',
  'MsgHeartbeat',
  'MsgHeartbeatResp',
  'MsgSnap',
  'MsgReadIndex',
  'MsgReadIndexResp',
  'MsgTimeoutNow',
  'MsgTermNotice',
  'MsgUnreachable',
  'MsgSnapStatus',
] as const

/** Numbers close to what the member has, so that most of them matter. */
class Liar {
  readonly #prng: SeededPrng
  readonly #member: LoneNode
  #contexts: string[] = ['', '1.1', '7.9', 'x']

  constructor(prng: SeededPrng, member: LoneNode) {
    this.#prng = prng
    this.#member = member
  }

  heard(messages: readonly PeerMessage[]): void {
    for (const message of messages) if ('context' in message) this.#contexts.push(message.context)
  }

  /** Mostly the member's own: all others end a leadership or are refused. */
  term(): number {
    const { term } = this.#member.node.status()
    return this.#prng.next(6) > 0 ? term : Math.max(0, term + this.#prng.next(5) - 2)
  }

  index(): number {
    const { committed, lastIndex } = this.#member.node.status()
    const base = this.#prng.next(2) === 0 ? committed : lastIndex
    return Math.max(0, base + this.#prng.next(7) - 3)
  }

  flag(): boolean {
    return this.#prng.next(2) === 0
  }

  context(): string {
    return this.#contexts[this.#prng.next(this.#contexts.length)]!
  }

  entries(prevIndex: number, prevTerm: number, term: number): Entry[] {
    const entries: Entry[] = []
    let last = prevTerm
    for (let i = this.#prng.next(4); i > 0 && last <= term; i--) {
      last += this.#prng.next(term - last + 1)
      entries.push(entry(prevIndex + 1 + entries.length, last))
    }
    return entries
  }

  /** What makes it the leader, if it asks to be. */
  grant(): PeerMessage | undefined {
    const { role, term } = this.#member.node.status()
    if (role === 'preCandidate')
      return voteResp({ from: 2, term: term + 1, type: 'MsgPreVoteResp' })
    return role === 'candidate' ? voteResp({ from: 3, term }) : undefined
  }

  message(): Message {
    const type = TYPES[this.#prng.next(TYPES.length)]!
    const from: MemberId = memberId([2, 3, 4, 9][this.#prng.next(4)]!)
    const head = { from, to: memberId(1), term: this.term() }
    switch (type) {
      case 'MsgApp': {
        const prevIndex = this.index()
        // Mostly what is there, so that it is taken.
        const prevTerm = this.flag() ? (this.#member.node.termAt(prevIndex) ?? 0) : this.term()
        const entries = this.entries(prevIndex, prevTerm, head.term)
        return { type, ...head, prevIndex, prevTerm, entries, commit: this.index() }
      }
      case 'MsgAppResp': {
        const [hintIndex, hintTerm] = [this.index(), this.term()]
        return { type, ...head, index: this.index(), reject: this.flag(), hintIndex, hintTerm }
      }
      case 'MsgVote':
      case 'MsgPreVote': {
        const last = { lastIndex: this.index(), lastTerm: this.term() }
        const known = { commit: this.index(), commitTerm: this.term() }
        return { type, ...head, ...last, transfer: this.flag(), ...known }
      }
      case 'MsgVoteResp':
      case 'MsgPreVoteResp':
        return {
          type,
          ...head,
          reject: this.flag(),
          commit: this.index(),
          commitTerm: this.term(),
        }
      case 'MsgHeartbeat':
        return { type, ...head, commit: this.index(), context: this.context() }
      case 'MsgSnap': {
        const confState = confStateOf(this.flag() ? [1, 2, 3] : [1, 2, 4], this.flag() ? [9] : [])
        return { type, ...head, snapshot: { index: this.index(), term: this.term(), confState } }
      }
      case 'MsgHeartbeatResp':
      case 'MsgReadIndex':
        return { type, ...head, context: this.context() }
      case 'MsgReadIndexResp':
        return {
          type,
          ...head,
          context: this.context(),
          index: this.index(),
          reject: this.flag(),
        }
      case 'MsgSnapStatus':
        return { type, ...head, term: 0, reject: this.flag() }
      default:
        return { type, ...head }
    }
  }
}

/** Takes a Ready and reports some of what is open, in order, as a driver with slow disk and state machine does. */
class LazyDriver {
  readonly #member: LoneNode
  #unpersisted: { readonly number: number; readonly snapshotIndex: number | undefined }[] = []
  #unapplied: number[] = []

  constructor(member: LoneNode) {
    this.#member = member
  }

  take(): readonly PeerMessage[] {
    const ready = this.#member.ready()
    const { number, snapshot, committedEntries, messages, messagesAfterPersist } = ready
    this.#unpersisted.push({ number, snapshotIndex: snapshot?.index })
    if (snapshot !== undefined) this.#unapplied = []
    this.#unapplied.push(...committedEntries.map(({ index }) => index))
    return [...messages, ...messagesAfterPersist]
  }

  persist(count: number): void {
    for (const { number, snapshotIndex } of this.#unpersisted.splice(0, count)) {
      this.#member.node.advance({ persisted: number })
      if (snapshotIndex !== undefined) this.#member.node.advance({ applied: snapshotIndex })
    }
  }

  apply(count: number): void {
    // What follows a snapshot waits until that is installed.
    if (this.#unpersisted.some(({ snapshotIndex }) => snapshotIndex !== undefined)) return
    const last = this.#unapplied.splice(0, count).at(-1)
    if (last !== undefined) this.#member.node.advance({ applied: last })
  }
}

function run(seed: number): number {
  const prng = new SeededPrng(seed)
  const terms = Array.from({ length: prng.next(6) }, (_, i) => 1 + (i >> 1))
  const member = lone({ terms, seed })
  const liar = new Liar(prng, member)
  const driver = new LazyDriver(member)
  let led = 0
  for (let i = 0; i < STEPS; i++) {
    const { node } = member
    switch (prng.next(10)) {
      case 0:
        node.tick(1 + prng.next(12))
        break
      case 1:
        node.propose([bytesOf('x')])
        break
      case 2:
        node.readIndex(`own-${i}`)
        break
      case 3:
        node.transferLeader(memberId(2 + prng.next(3)))
        break
      case 4:
        node.step(liar.grant() ?? liar.message())
        break
      default:
        node.step(liar.message())
    }
    if (prng.next(2) === 0) liar.heard(driver.take())
    if (prng.next(2) === 0) driver.persist(1 + prng.next(3))
    if (prng.next(2) === 0) driver.apply(1 + prng.next(3))
    if (prng.next(10) === 0) node.advance({ compacted: node.status().applied })
    if (node.role === 'leader') led++
  }
  return led
}

test(
  'a member believes no lie that breaks it, over 800 random conversations (X2, X6)',
  () => {
    let led = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        led += run(seed)
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error })
      }
    }
    // The lies are good enough to make it a leader now and then.
    expect(led).toBeGreaterThan((SEEDS * STEPS) / 40)
  },
  TIMEOUT_MS,
)
