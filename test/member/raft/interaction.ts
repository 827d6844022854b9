// The commands of the interaction scripts (testdata/*.txt) over one cluster, and what each of them shows: one line for
// each thing that a member decides, stores, sends or applies, as far as `show` asks for it.

import {
  describeConfState,
  describeEntry,
  describeMessage,
  describeTrace,
} from '../../../member/src/raft/describe.ts'
import type { PeerMessage } from '../../../member/src/raft/message.ts'
import type { Ready } from '../../../member/src/raft/ready.ts'
import type { ConfChangeSingle } from '../../../member/src/raft/types.ts'
import type { Command } from '../../support/datadriven.ts'
import { Cluster, confStateOf, memberId, memberNumber } from './cluster.ts'
import type { Member } from './cluster.ts'

type Kind = 'trace' | 'store' | 'send' | 'deliver' | 'apply' | 'reads'

const KINDS: readonly Kind[] = ['trace', 'store', 'send', 'deliver', 'apply', 'reads']

/** A runner for one script. `send` and `store` are hidden until `show` asks for them. */
export function createInteraction(): (command: Command) => string {
  const interaction = new Interaction()
  return (command) => interaction.run(command)
}

class Interaction {
  #cluster: Cluster | undefined
  #lines: string[] = []
  #shown = new Set<Kind>(['trace', 'deliver', 'apply', 'reads'])

  run(command: Command): string {
    this.#lines = []
    this.#execute(command)
    return this.#lines.map((line) => `${line}\n`).join('')
  }

  get #members(): Cluster {
    if (this.#cluster === undefined) throw new Error('the script does not begin with add-members')
    return this.#cluster
  }

  #execute(command: Command): void {
    const [first = '', ...rest] = command.arguments
    const number = Number.parseInt(first, 10)
    switch (command.name) {
      case 'add-members':
        this.#create(number, command.options)
        return
      case 'add-member':
        this.#members.add(number, confStateOf([]))
        return
      case 'show':
        this.#shown = new Set(KINDS.filter((kind) => command.arguments.includes(kind)))
        return
      case 'elect':
        this.#elect(number)
        return
      case 'settle':
        this.#silently(() => this.#members.deliverAll())
        return
      case 'campaign':
        this.#members.campaign(number)
        return
      case 'tick':
        this.#tick(command)
        return
      case 'propose':
        this.#propose(number, rest)
        return
      case 'read-index':
        this.#members.node(number).readIndex(rest[0]!)
        if (command.options.get('settle') !== 'no')
          this.#members.settle(this.#members.member(number))
        return
      case 'transfer':
        this.#transfer(number, Number.parseInt(rest[0]!, 10))
        return
      case 'conf-change':
        this.#changeMembership(number, rest, command.options)
        return
      case 'unreachable':
        this.#unreachable(number, Number.parseInt(rest[0]!, 10))
        return
      default:
        this.#executeWorld(command)
    }
  }

  /** What happens to messages, disks and processes. */
  #executeWorld({ name, arguments: words, options }: Command): void {
    const cluster = this.#members
    const [first = ''] = words
    const number = Number.parseInt(first, 10)
    switch (name) {
      case 'deliver':
        this.#deliver(words, Number(options.get('count') ?? Infinity))
        return
      case 'drop':
        for (const message of this.#take(words))
          this.#note('deliver', `lost ${describeMessage(message)}`)
        return
      case 'duplicate':
        cluster.network.push(...cluster.network.filter((message) => matches(message, words)))
        return
      case 'reverse':
        cluster.network.reverse()
        return
      case 'isolate':
        cluster.isolated.add(number)
        return
      case 'cut':
        cluster.cuts.add(first)
        return
      case 'heal':
        cluster.heal()
        return
      case 'flushes':
        cluster.autoPersist = first === 'auto'
        return
      case 'applies':
        cluster.autoApply = first === 'auto'
        return
      case 'persist':
        cluster.persist(number, Number(options.get('count') ?? Infinity))
        return
      case 'apply':
        cluster.apply(number, Number(options.get('count') ?? Infinity))
        return
      case 'crash':
        cluster.crash(number)
        return
      case 'restart':
        cluster.restart(number)
        return
      case 'snapshot':
        cluster.snapshot(number, Number(options.get('keep') ?? 0))
        return
      default:
        this.#executeQuestion(name, words)
    }
  }

  #executeQuestion(name: string, words: readonly string[]): void {
    const cluster = this.#members
    switch (name) {
      case 'network':
        for (const message of cluster.network) this.#lines.push(describeMessage(message))
        return
      case 'status':
        for (const member of cluster.members.values()) {
          if (words.length === 0 || words.includes(`${member.number}`)) this.#status(member)
        }
        return
      case 'log':
        for (const word of words) this.#log(cluster.member(Number.parseInt(word, 10)))
        return
      case 'membership':
        for (const word of words) {
          const { confState } = cluster.node(Number.parseInt(word, 10))
          this.#lines.push(`${word} ${describeConfState(confState)}`)
        }
        return
      default:
        throw new Error(`unknown command ${name}`)
    }
  }

  #create(voters: number, options: ReadonlyMap<string, string>): void {
    const config = Object.fromEntries([...options].map(([key, value]) => [key, Number(value)]))
    this.#cluster = new Cluster({
      voters,
      config,
      onReady: (member, ready) => this.#show(member, ready),
    })
  }

  /** The election itself is another script's matter. */
  #elect(number: number): void {
    this.#silently(() => this.#members.elect(number))
    const { role, term } = this.#members.node(number).status()
    this.#lines.push(`${number} ${role} term=${term}`)
  }

  #silently(run: () => void): void {
    const shown = this.#shown
    this.#shown = new Set()
    run()
    this.#shown = shown
  }

  #tick({ arguments: words, options }: Command): void {
    const cluster = this.#members
    const text = options.get('count') ?? '1'
    const count = text === 'electionTimeout' ? cluster.electionTicks : Number(text)
    for (const word of words) {
      if (word === 'all') for (const { number } of cluster.running) cluster.tick(number, count)
      else cluster.tick(Number.parseInt(word, 10), count)
    }
  }

  /** All words go in one batch. */
  #propose(number: number, words: readonly string[]): void {
    const member = this.#members.member(number)
    const result = member.node.propose(words.map((word) => new TextEncoder().encode(word)))
    if (!result.accepted) this.#lines.push(`${number} refused: ${result.reason}`)
    this.#members.settle(member)
  }

  #transfer(number: number, target: number): void {
    const member = this.#members.member(number)
    const result = member.node.transferLeader(memberId(target))
    if (!result.accepted) this.#lines.push(`${number} refused: ${result.reason}`)
    this.#members.settle(member)
  }

  /** `conf-change 1 addVoter(4) remove(3) transition=jointExplicit`; without changes: leaves the joint configuration. */
  #changeMembership(
    number: number,
    words: readonly string[],
    options: ReadonlyMap<string, string>,
  ): void {
    const member = this.#members.member(number)
    const changes = words.map((word): ConfChangeSingle => {
      const match = /^(addVoter|addLearner|remove)\((\d+)\)$/.exec(word)
      if (match === null) throw new Error(`unknown change ${word}`)
      return { type: match[1] as ConfChangeSingle['type'], memberId: memberId(Number(match[2])) }
    })
    const transition = (options.get('transition') ?? 'auto') as 'auto'
    const result = member.node.proposeConfChange({
      changes,
      transition,
      context: new Uint8Array(0),
    })
    if (!result.accepted) this.#lines.push(`${number} refused: ${result.reason}`)
    this.#members.settle(member)
  }

  #unreachable(number: number, peer: number): void {
    const message = { type: 'MsgUnreachable', from: memberId(peer), to: memberId(number), term: 0 }
    this.#members.step(number, message as { type: 'MsgUnreachable' } & typeof message)
  }

  /** `deliver` everything until nothing is left; `deliver 1>2 MsgApp` those on their way now that match every word. */
  #deliver(words: readonly string[], count: number): void {
    const cluster = this.#members
    if (words.length > 0) {
      for (const message of this.#take(words, count)) this.#deliverOne(message)
      return
    }
    for (let i = 0; i < count && cluster.network.length > 0; i++) {
      if (i === 10_000) throw new Error('messages without end')
      this.#deliverOne(cluster.network.shift()!)
    }
  }

  #deliverOne(message: PeerMessage): void {
    const cluster = this.#members
    const target = cluster.members.get(memberNumber(message.to))
    const isCut = cluster.isCut(memberNumber(message.from), memberNumber(message.to))
    const arrives = target?.running === true && !isCut
    this.#note('deliver', `${arrives ? 'deliver' : 'lost'} ${describeMessage(message)}`)
    cluster.deliver(message)
  }

  #take(words: readonly string[], count = Infinity): readonly PeerMessage[] {
    const { network } = this.#members
    const taken: PeerMessage[] = []
    const kept: PeerMessage[] = []
    for (const message of network.splice(0)) {
      const isTaken = taken.length < count && matches(message, words)
      ;(isTaken ? taken : kept).push(message)
    }
    network.push(...kept)
    return taken
  }

  #show({ number }: Member, ready: Ready): void {
    for (const event of ready.trace) this.#note('trace', `${number} ${describeTrace(event)}`)
    if (ready.hardState !== undefined) {
      const { term, vote, commit } = ready.hardState
      const name = vote === undefined ? 'none' : memberNumber(vote)
      this.#note('store', `${number} store term=${term} vote=${name} commit=${commit}`)
    }
    if (ready.snapshot !== undefined) {
      const { index, term } = ready.snapshot
      this.#note('store', `${number} store snapshot ${index}/${term}`)
    }
    for (const entry of ready.entries)
      this.#note('store', `${number} store ${describeEntry(entry)}`)
    for (const message of ready.messages) this.#note('send', `send ${describeMessage(message)}`)
    for (const message of ready.messagesAfterPersist) {
      this.#note('send', `send after flush ${describeMessage(message)}`)
    }
    for (const entry of ready.committedEntries) {
      this.#note('apply', `${number} commit ${describeEntry(entry)}`)
    }
    for (const { context, index } of ready.readStates) {
      this.#note('reads', `${number} read ${context} at index ${index}`)
    }
    for (const context of ready.refusedReads)
      this.#note('reads', `${number} read ${context} refused`)
  }

  #status({ number, node, running }: Member): void {
    if (!running) {
      this.#lines.push(`${number} is down`)
      return
    }
    const { term, role, committed, applied, lastIndex, persistedIndex, progress } = node.status()
    const positions = `committed=${committed} applied=${applied} last=${lastIndex} durable=${persistedIndex}`
    this.#lines.push(`${number} ${role} term=${term} ${positions}`)
    for (const { id, state, match, next, learner } of progress) {
      const kind = learner ? ' learner' : ''
      this.#lines.push(`  ${memberNumber(id)} ${state} match=${match} next=${next}${kind}`)
    }
  }

  #log({ number, node }: Member): void {
    const { firstIndex, lastIndex } = node.status()
    const terms: string[] = []
    for (let i = firstIndex; i <= lastIndex; i++) terms.push(`${i}/${node.termAt(i)}`)
    this.#lines.push(`${number} ${terms.join(' ')}`.trimEnd())
  }

  #note(kind: Kind, line: string): void {
    if (this.#shown.has(kind)) this.#lines.push(line)
  }
}

/** Whether every word is the way (`1>2`), the sender (`1>`), the receiver (`>2`) or the type of the message. */
function matches(message: PeerMessage, words: readonly string[]): boolean {
  const way = `${memberNumber(message.from)}>${memberNumber(message.to)}`
  return words.every((word) => {
    if (!word.includes('>')) return message.type === word
    if (word.startsWith('>')) return way.endsWith(word)
    return word.endsWith('>') ? way.startsWith(word) : way === word
  })
}
