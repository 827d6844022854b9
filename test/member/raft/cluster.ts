// A cluster of cores in one process: a network that a test controls message by message, and a disk for each member that
// keeps what is flushed apart from what is not. A crash loses the latter. Every step checks every invariant, and the
// cluster checks what no member can see alone (Figure 3 of the paper).

import { invariant } from '../../../lib/assert.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import type { RaftConfig } from '../../../member/src/raft/config.ts'
import type { Message, PeerMessage } from '../../../member/src/raft/message.ts'
import { RawNode } from '../../../member/src/raft/raw-node.ts'
import type { Progress, Ready } from '../../../member/src/raft/ready.ts'
import type {
  ConfState,
  Entry,
  HardState,
  Index,
  MemberId,
  SnapshotMeta,
  Term,
} from '../../../member/src/raft/types.ts'

export function memberId(number: number): MemberId {
  return number.toString(16).padStart(16, '0') as MemberId
}

export function memberNumber(id: MemberId): number {
  return Number.parseInt(id, 16)
}

export function confStateOf(
  voters: readonly number[],
  learners: readonly number[] = [],
): ConfState {
  return {
    voters: voters.map(memberId),
    votersOutgoing: [],
    learners: learners.map(memberId),
    learnersNext: [],
    autoLeave: false,
  }
}

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
export const textOf = (data: Uint8Array): string => new TextDecoder().decode(data)

const DEFAULTS: Omit<RaftConfig, 'id'> = {
  electionTicks: 10,
  electionJitterTicks: 10,
  heartbeatTicks: 1,
  maxBytesPerMessage: 1024 * 1024,
  maxInflightMessages: 256,
  maxInflightBytes: 8 * 1024 * 1024,
  maxUncommittedBytes: 64 * 1024 * 1024,
  maxCommittedBytesPerReady: 4 * 1024 * 1024,
  maxPendingReads: 100,
}

/** What survives a crash. */
export interface Disk {
  hardState: HardState
  /** As of the newest Ready that asked for a flush: a crash goes back to it. */
  flushed: HardState
  snapshot: SnapshotMeta
  entries: Entry[]
}

export interface ClusterOptions {
  readonly voters?: number
  readonly seed?: number
  readonly config?: Partial<Omit<RaftConfig, 'id'>>
  /** Called with everything a member hands out, before it is acted on. */
  readonly onReady?: (member: Member, ready: Ready) => void
}

export class Member {
  readonly number: number
  readonly id: MemberId
  readonly disk: Disk
  node: RawNode
  running = true
  /** Readies that are not flushed yet, oldest first. */
  writes: Ready[] = []
  /** Committed entries that are not applied yet. */
  toApply: Entry[] = []
  applied: Index
  readonly reads: { context: string; index: Index }[] = []
  readonly refusedReads: string[] = []

  constructor(number: number, disk: Disk, node: RawNode) {
    this.number = number
    this.id = memberId(number)
    this.disk = disk
    this.node = node
    this.applied = disk.snapshot.index
  }
}

export class Cluster {
  readonly members = new Map<number, Member>()
  /** Messages on their way, oldest first. */
  readonly network: PeerMessage[] = []
  /** Whether flushes, applies and snapshot transfers finish at once. */
  autoPersist = true
  autoApply = true
  readonly #options: ClusterOptions
  readonly #prng: SeededPrng
  /** Members that nothing reaches and nothing leaves. */
  readonly isolated = new Set<number>()
  /** One-way cuts, as `from>to`. */
  readonly cuts = new Set<string>()
  /** The one leader of each term (Election Safety). */
  readonly #leaders = new Map<Term, number>()
  /** The one entry applied at each index (State Machine Safety), and the membership after it. */
  readonly applied = new Map<Index, Entry>()
  readonly #confStates = new Map<Index, ConfState>()

  constructor(options: ClusterOptions = {}) {
    this.#options = options
    this.#prng = new SeededPrng(options.seed ?? 1)
    const count = options.voters ?? 3
    const voters = Array.from({ length: count }, (_, i) => i + 1)
    for (const number of voters) this.add(number, confStateOf(voters))
  }

  /** Adds a member whose disk holds nothing but a membership. */
  add(number: number, confState: ConfState): Member {
    const disk: Disk = {
      hardState: { term: 0, vote: undefined, commit: 0 },
      flushed: { term: 0, vote: undefined, commit: 0 },
      snapshot: { index: 0, term: 0, confState },
      entries: [],
    }
    const member = new Member(number, disk, this.#boot(number, disk))
    this.members.set(number, member)
    return member
  }

  member(number: number): Member {
    const member = this.members.get(number)
    if (member === undefined) throw new Error(`no member ${number}`)
    return member
  }

  node(number: number): RawNode {
    return this.member(number).node
  }

  get electionTicks(): number {
    return this.#options.config?.electionTicks ?? DEFAULTS.electionTicks
  }

  get running(): readonly Member[] {
    return [...this.members.values()].filter((member) => member.running)
  }

  get leaders(): readonly Member[] {
    return this.running.filter((member) => member.node.role === 'leader')
  }

  /** The leader of the newest term; undefined when there is none. */
  get leader(): Member | undefined {
    return this.leaders.toSorted((a, b) => b.node.status().term - a.node.status().term)[0]
  }

  /** Loses what is not flushed, and what is in memory. */
  crash(number: number): void {
    const member = this.member(number)
    member.running = false
    member.disk.hardState = member.disk.flushed
    member.writes = []
    member.toApply = []
  }

  restart(number: number): void {
    const member = this.member(number)
    if (member.running) this.crash(number)
    member.node = this.#boot(number, member.disk)
    member.applied = member.disk.snapshot.index
    member.running = true
    this.settle(member)
  }

  step(number: number, message: Message): void {
    const member = this.member(number)
    if (!member.running) return
    member.node.step(message)
    this.settle(member)
  }

  tick(number: number, count = 1): void {
    const member = this.member(number)
    if (!member.running) return
    member.node.tick(count)
    this.settle(member)
  }

  tickAll(count = 1): void {
    for (let i = 0; i < count; i++) {
      for (const member of this.running) this.tick(member.number)
      this.deliverAll()
    }
  }

  propose(number: number, text: string): ReturnType<RawNode['propose']> {
    const member = this.member(number)
    const result = member.node.propose([bytesOf(text)])
    this.settle(member)
    return result
  }

  /** Makes a member the leader: the others lose their leader, it campaigns, and what follows is delivered. */
  elect(number: number): void {
    // What is on its way already stays there: it arrives after the election.
    const old = this.network.splice(0)
    for (let i = 0; i < 20 && this.node(number).role !== 'leader'; i++) this.letCampaign(number)
    this.network.push(...old)
    if (this.node(number).role !== 'leader') throw new Error(`${number} cannot be elected`)
  }

  /** One attempt: every other member that is not isolated hears nothing for a timeout, then this one campaigns. */
  letCampaign(number: number): void {
    for (const other of this.running) {
      if (other.number === number || this.isolated.has(other.number)) continue
      this.tick(other.number, this.electionTicks)
      this.network.length = 0
    }
    this.campaign(number)
    this.deliverAll()
  }

  /** Ticks a member until it asks for pre-votes, or leads alone; the others lose no time. */
  campaign(number: number): void {
    const { node, id } = this.member(number)
    const old = this.network.length
    const asks = () =>
      this.network.slice(old).some(({ type, from }) => type === 'MsgPreVote' && from === id)
    for (let i = 0; i < 1000 && node.role !== 'leader' && !asks(); i++) this.tick(number)
  }

  /** Hands everything a member has to say to its disk, the network and its state machine. */
  settle(member: Member): void {
    while (member.running && member.node.hasReady()) {
      const ready = member.node.ready()
      this.#options.onReady?.(member, ready)
      this.#checkElection(member)
      this.#send(member, ready.messages)
      member.writes.push(ready)
      member.toApply.push(...ready.committedEntries)
      member.reads.push(...ready.readStates)
      member.refusedReads.push(...ready.refusedReads)
      if (this.autoPersist) this.persist(member.number)
      if (this.autoApply) this.apply(member.number)
      member.node.verify()
    }
    if (member.running) member.node.verify()
  }

  /** Finishes the oldest `count` flushes. */
  persist(number: number, count = Infinity): void {
    const member = this.member(number)
    for (let i = 0; i < count && member.writes.length > 0; i++) {
      const ready = member.writes.shift()!
      write(member.disk, ready)
      this.advance(member, { persisted: ready.number })
      this.#send(member, ready.messagesAfterPersist)
      if (ready.snapshot !== undefined) this.#install(member, ready.snapshot)
    }
    this.settleAfter(member)
  }

  /** Applies the oldest `count` committed entries. */
  apply(number: number, count = Infinity): void {
    const member = this.member(number)
    // A snapshot replaces the state: what follows it waits.
    if (member.writes.some((ready) => ready.snapshot !== undefined)) return
    const entries = member.toApply.splice(0, Math.min(count, member.toApply.length))
    if (entries.length === 0) return
    for (const entry of entries) this.#checkApplied(member, entry)
    this.advance(member, { applied: member.applied })
    this.settleAfter(member)
  }

  advance(member: Member, progress: Progress): void {
    member.node.advance(progress)
    member.node.verify()
    for (let i = member.node.status().firstIndex; i <= member.applied; i++)
      this.#noteConfState(member, i)
  }

  /** Stores a snapshot of the applied state and forgets the log, but for the newest `keep` entries in memory. */
  snapshot(number: number, keep = 0): void {
    const member = this.member(number)
    const index = member.applied
    const { disk, node } = member
    if (index > disk.snapshot.index && index <= node.status().persistedIndex) {
      const { term } = this.applied.get(index)!
      disk.snapshot = { index, term, confState: node.confState }
      disk.entries = disk.entries.filter((entry) => entry.index > index)
    }
    this.advance(member, { compacted: Math.max(0, disk.snapshot.index - keep) })
  }

  /** Delivers every message, and those that follow from it, in order. */
  deliverAll(limit = 100_000): void {
    for (let i = 0; this.network.length > 0; i++) {
      if (i === limit) throw new Error('messages without end')
      this.deliver(this.network.shift()!)
    }
  }

  /** Delivers one message, unless its way is cut. A snapshot's fate is told to its sender. */
  deliver(message: PeerMessage): void {
    const from = memberNumber(message.from)
    const to = memberNumber(message.to)
    const target = this.members.get(to)
    const arrives = !this.isCut(from, to) && target !== undefined && target.running
    if (arrives) this.step(to, message)
    if (message.type === 'MsgSnap') this.snapStatus(message, arrives)
  }

  snapStatus(message: PeerMessage, ok: boolean): void {
    const sender = this.members.get(memberNumber(message.from))
    if (sender === undefined || !sender.running) return
    const { to, from } = message
    this.step(sender.number, { type: 'MsgSnapStatus', from: to, to: from, term: 0, reject: !ok })
  }

  isCut(from: number, to: number): boolean {
    return this.isolated.has(from) || this.isolated.has(to) || this.cuts.has(`${from}>${to}`)
  }

  heal(): void {
    this.isolated.clear()
    this.cuts.clear()
  }

  settleAfter(member: Member): void {
    if (member.running && member.node.hasReady()) this.settle(member)
  }

  /** What no member can see alone, over the logs in memory. */
  checkLogs(): void {
    const members = this.running
    for (const a of members) {
      for (const b of members) if (a.number < b.number) checkMatching(a.node, b.node)
    }
    for (const leader of this.leaders) this.#checkCompleteness(leader)
  }

  #boot(number: number, disk: Disk): RawNode {
    const { snapshot, hardState, entries } = disk
    return new RawNode({
      config: { ...DEFAULTS, ...this.#options.config, id: memberId(number) },
      prng: new SeededPrng(this.#prng.next(2 ** 32)),
      initial: {
        hardState,
        confState: snapshot.confState,
        applied: snapshot.index,
        logStart: { index: snapshot.index, term: snapshot.term },
        entries: [...entries],
      },
    })
  }

  #send(member: Member, messages: readonly PeerMessage[]): void {
    for (const message of messages) {
      invariant(message.from === member.id && message.to !== member.id, 'message is misaddressed')
      this.#checkSender(member, message)
      this.network.push(message)
    }
  }

  #install(member: Member, snapshot: SnapshotMeta): void {
    // What waited to be applied and is part of the snapshot.
    member.toApply = member.toApply.filter((entry) => entry.index > snapshot.index)
    member.applied = snapshot.index
    this.advance(member, { applied: snapshot.index })
  }

  /** Only the leader of a term speaks as one. */
  #checkSender({ number }: Member, { type, term }: PeerMessage): void {
    if (type !== 'MsgApp' && type !== 'MsgHeartbeat' && type !== 'MsgSnap') return
    const leader = this.#leaders.get(term)
    invariant(leader === number, 'speaks as a leader', { type, term, number, leader })
  }

  /** Election Safety: at most one leader a term. */
  #checkElection(member: Member): void {
    const { term, role } = member.node.status()
    if (role !== 'leader') return
    const known = this.#leaders.get(term) ?? member.number
    invariant(known === member.number, 'two leaders in a term', { term, known, other: member.id })
    this.#leaders.set(term, member.number)
  }

  /** State Machine Safety: no two members apply different entries at an index, and none is skipped. */
  #checkApplied(member: Member, entry: Entry): void {
    invariant(entry.index === member.applied + 1, 'applied out of order', {
      index: entry.index,
      applied: member.applied,
    })
    const known = this.applied.get(entry.index)
    if (known === undefined) this.applied.set(entry.index, entry)
    else {
      const same = known.term === entry.term && textOf(known.data) === textOf(entry.data)
      invariant(same, 'applied another entry', { index: entry.index, member: member.number })
    }
    member.applied = entry.index
  }

  #noteConfState(member: Member, index: Index): void {
    if (index !== member.applied) return
    const text = JSON.stringify(member.node.confState)
    const known = this.#confStates.get(index) ?? member.node.confState
    invariant(JSON.stringify(known) === text, 'another membership at an index', { index, text })
    this.#confStates.set(index, known)
  }

  /** Leader Completeness: what was applied anywhere is in the log of the newest leader. */
  #checkCompleteness(leader: Member): void {
    const { term, firstIndex, lastIndex } = leader.node.status()
    if (leader !== this.leader) return
    for (const { node } of this.running) if (node.status().term > term) return
    for (const [index, entry] of this.applied) {
      if (index < firstIndex || entry.term >= term) continue
      invariant(index <= lastIndex, 'leader lacks an applied entry', { index, term })
      invariant(leader.node.termAt(index) === entry.term, 'leader has another entry', { index })
    }
  }
}

/** Log Matching: logs that agree on the term at an index agree on everything before it. */
function checkMatching(a: RawNode, b: RawNode): void {
  const { firstIndex: firstA, lastIndex: lastA } = a.status()
  const { firstIndex: firstB, lastIndex: lastB } = b.status()
  let agree = false
  for (let i = Math.min(lastA, lastB); i >= Math.max(firstA, firstB); i--) {
    const same = a.termAt(i) === b.termAt(i)
    invariant(!agree || same, 'logs agree after they differ', { index: i })
    agree ||= same
  }
}

/** What a disk holds after a Ready: snapshot first, then entries, then term and vote, all or nothing. */
function write(disk: Disk, ready: Ready): void {
  if (ready.snapshot !== undefined) {
    disk.snapshot = ready.snapshot
    disk.entries = []
  }
  const first = ready.entries[0]
  if (first !== undefined) {
    disk.entries = disk.entries.filter((entry) => entry.index < first.index)
    for (const entry of ready.entries)
      if (entry.index > disk.snapshot.index) disk.entries.push(entry)
  }
  if (ready.hardState !== undefined) disk.hardState = ready.hardState
  if (ready.mustSync) disk.flushed = disk.hardState
}
