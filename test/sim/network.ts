// The wires between the members of one cluster: delays, losses, doubles, changes of order, cuts of one direction, and
// connections that come up, break and are noticed to be silent as the real transport's do. Messages pass through the codec,
// so that no two members share an object.

import type { Prng } from '../../lib/prng.ts'
import type { PeerMessage } from '../../member/src/raft/message.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import type { NodeMessage } from '../../member/src/transport/transport.ts'
import type { Fields, Judgement } from '../../member/src/transport/handshake.ts'
import { decodeNodeMessage, decodePeerMessage } from '../../member/src/wire/raft-codec.ts'
import { describeWire, type Parcel } from './describe.ts'
import type { SimProcess } from './process.ts'
import type { Trace } from './trace.ts'
import type { World } from './world.ts'

/** How the wires behave, beside what is cut. Probabilities are in 1/1024. */
export interface NetworkProfile {
  readonly delayMinMs: number
  readonly delayMaxMs: number
  readonly lost: number
  readonly doubled: number
  /** Whether messages of a link may overtake each other, and reach a later life of the receiver. */
  readonly reorders: boolean
  /** How late a double may be. */
  readonly doubleLateMs: number
  /** Whether what is sent into a cut arrives when it heals, as TCP would have it. */
  readonly holds: boolean
}

/** One member's end of the wires, as the network sees it. */
export interface Endpoint {
  readonly id: MemberId
  readonly process: SimProcess
  /** Whether that member is one of its peers. */
  knows(peer: MemberId): boolean
  /** What it says of itself when it calls. */
  hello(to: MemberId): Fields
  /** Whether it lets the caller in who says this. */
  judge(hello: Fields): Judgement
  /** Where it is reached. */
  readonly urls: readonly string[]
  /** Whether one of these is where it would call that member. */
  reaches(peer: MemberId, urls: readonly string[]): boolean
  /** Who called said that it is reached there. */
  heardFrom(peer: MemberId, urls: readonly string[]): void
  /** Takes in a caller that it let in. */
  admit(peer: MemberId): void
  /** It was told that it is removed. */
  refused(): void
  receive(from: MemberId, message: PeerMessage): void
  receiveNode(from: MemberId, message: NodeMessage): void
  receiveSnapshot(from: MemberId, chunks: AsyncIterable<Uint8Array>): Promise<void>
  peerUp(peer: MemberId): void
  peerDown(peer: MemberId): void
  openStream(stream: Stream): void
  closeStream(stream: Stream): void
  /** Breaks the streams to and from that member. */
  endStreams(peer: MemberId): void
}

export interface Stream {
  involves(peer: MemberId): boolean
  break(): void
}

interface Link {
  isCut: boolean
  /** Invariant: nothing sent in order arrives before it. */
  lastAtMs: number
  held: { readonly parcel: Parcel; readonly generation: number }[]
}

interface Connection {
  isUp: boolean
  /** Grows with each new connection. */
  generation: number
  isDialling: boolean
}

/** Silence after which a connection is given up. */
const KEEP_ALIVE_TIMEOUT_MS = 2000
/** Between two calls of a member that is refused. */
const REDIAL_MS = 500
/** Messages on their way on one link that a cut holds back; more are lost. */
const HELD_MAX = 1000

export class SimNetwork {
  readonly #world: World
  readonly #prng: Prng
  readonly #trace: Trace
  readonly #nameOf: (id: MemberId) => string
  readonly #endpoints = new Map<MemberId, Endpoint>()
  readonly #links = new Map<string, Link>()
  readonly #connections = new Map<string, Connection>()
  profile: NetworkProfile
  /** Between these nothing is lost or doubled, and delays are the shortest. */
  clean: ReadonlySet<MemberId> | undefined
  /** Doubles made before this moment do not arrive any more. */
  #doublesSinceMs = 0
  lostCount = 0
  doubledCount = 0
  /** Sees each message as it is sent. */
  onSend: (parcel: Parcel) => void = () => undefined
  /** Sees who listens to whom, message by message. */
  onHeard: (from: MemberId, by: MemberId) => void = () => undefined

  constructor(options: {
    world: World
    prng: Prng
    trace: Trace
    profile: NetworkProfile
    nameOf: (id: MemberId) => string
  }) {
    this.#world = options.world
    this.#prng = options.prng
    this.#trace = options.trace
    this.#nameOf = options.nameOf
    this.profile = options.profile
  }

  get world(): World {
    return this.#world
  }

  find(id: MemberId): Endpoint | undefined {
    return this.#endpoints.get(id)
  }

  // Faults

  /** From now on what `from` sends does not reach `to`; both find out by silence. */
  cut(from: MemberId, to: MemberId): void {
    const link = this.#link(from, to)
    if (link.isCut) return
    link.isCut = true
    const { generation } = this.#connection(from, to)
    this.#world.schedule({
      delayMs: KEEP_ALIVE_TIMEOUT_MS,
      run: () => this.#world.act(() => this.#silent(from, to, generation)),
    })
  }

  heal(from: MemberId, to: MemberId): void {
    const link = this.#link(from, to)
    if (!link.isCut) return
    link.isCut = false
    for (const { parcel, generation } of link.held.splice(0)) this.#carry(parcel, generation)
    this.#dial(from, to)
  }

  isCut(from: MemberId, to: MemberId): boolean {
    return this.#link(from, to).isCut
  }

  healAll(): void {
    for (const key of this.#links.keys()) {
      const [from, to] = key.split(' ') as [MemberId, MemberId]
      this.heal(from, to)
    }
  }

  /** Doubles still on their way are lost: nothing old turns up any more. */
  loseDoubles(): void {
    this.#doublesSinceMs = this.#world.nowMs
  }

  /** The connection between two breaks and is made anew; what was on its way is lost. */
  reset(a: MemberId, b: MemberId): void {
    const connection = this.#connection(a, b)
    if (!connection.isUp) return
    connection.isUp = false
    this.#endStreams(a, b)
    this.#dial(a, b)
  }

  // For the members' ends

  join(transport: Endpoint): void {
    this.#endpoints.set(transport.id, transport)
    this.review(transport)
  }

  /** A process is gone. `isNoticed`: its system closed its connections. */
  leave(transport: Endpoint, isNoticed: boolean): void {
    if (this.#endpoints.get(transport.id) !== transport) return
    this.#endpoints.delete(transport.id)
    for (const other of this.#endpoints.values()) {
      this.#down(transport.id, other.id, isNoticed ? this.#delay() : KEEP_ALIVE_TIMEOUT_MS)
    }
  }

  /** Its set of peers has changed. */
  review(transport: Endpoint): void {
    for (const other of this.#endpoints.values()) {
      if (other === transport) continue
      const isMutual = transport.knows(other.id) && other.knows(transport.id)
      if (!isMutual) this.#down(transport.id, other.id, this.#delay())
      // Whoever knows the other dials it, if only to be refused.
      if (transport.knows(other.id) || other.knows(transport.id)) this.#dial(transport.id, other.id)
    }
  }

  isUp(a: MemberId, b: MemberId): boolean {
    return this.#connection(a, b).isUp
  }

  /** Whether anything passes in both directions. */
  isOpen(a: MemberId, b: MemberId): boolean {
    return this.isUp(a, b) && !this.isCut(a, b) && !this.isCut(b, a)
  }

  send(parcel: Parcel): void {
    this.onSend(parcel)
    const { generation } = this.#connection(parcel.from, parcel.to)
    const link = this.#link(parcel.from, parcel.to)
    if (!link.isCut) this.#carry(parcel, generation)
    else if (this.profile.holds && link.held.length < HELD_MAX)
      link.held.push({ parcel, generation })
    else this.#lose(parcel, 'cut')
  }

  delayMs(): number {
    return this.#delay()
  }

  // Inside

  #carry(parcel: Parcel, generation: number): void {
    const { reorders, doubleLateMs } = this.profile
    const isClean = this.clean?.has(parcel.from) === true && this.clean.has(parcel.to)
    const lost = isClean ? 0 : this.profile.lost
    const doubled = isClean ? 0 : this.profile.doubled
    if (this.#prng.next(1024) < lost) return this.#lose(parcel, 'lost')
    const link = this.#link(parcel.from, parcel.to)
    const now = this.#world.nowMs
    const delayMs = isClean ? this.profile.delayMinMs : this.#delay()
    const atMs = reorders ? now + delayMs : Math.max(link.lastAtMs + 0.001, now + delayMs)
    link.lastAtMs = Math.max(link.lastAtMs, atMs)
    this.#arriveAt(parcel, atMs - now, reorders ? undefined : generation)
    if (this.#prng.next(1024) >= doubled) return
    this.doubledCount++
    const madeAtMs = now
    this.#world.schedule({
      delayMs: this.#prng.next(Math.max(1, doubleLateMs)),
      run: () => {
        if (madeAtMs >= this.#doublesSinceMs) this.#arrive(parcel, undefined)
      },
    })
  }

  #arriveAt(parcel: Parcel, delayMs: number, generation: number | undefined): void {
    this.#world.schedule({ delayMs, run: () => this.#arrive(parcel, generation) })
  }

  #arrive(parcel: Parcel, generation: number | undefined): void {
    const { from, to } = parcel
    const connection = this.#connection(from, to)
    if (generation !== undefined && generation !== connection.generation)
      return this.#lose(parcel, 'closed')
    const target = this.#endpoints.get(to)
    if (target === undefined) return this.#lose(parcel, 'gone')
    const { process } = target
    if (process.isPaused) return process.defer(() => this.#hand(parcel, target))
    this.#hand(parcel, target)
  }

  #hand(parcel: Parcel, target: Endpoint): void {
    const { from, to, kind, bytes } = parcel
    if (this.#trace.isFull) {
      this.#trace.detail(
        this.#nameOf(to),
        `<- ${this.#nameOf(from)} ${describeWire(parcel, this.#nameOf)}`,
      )
    }
    this.#world.act(() => {
      if (kind === 'raft') target.receive(from, decodePeerMessage(bytes, { from, to }))
      else target.receiveNode(from, decodeNodeMessage(bytes))
    })
  }

  #lose(parcel: Parcel, why: string): void {
    this.lostCount++
    if (!this.#trace.isFull) return
    const { from, to } = parcel
    const what = describeWire(parcel, this.#nameOf)
    this.#trace.detail(this.#nameOf(from), `x> ${this.#nameOf(to)} ${why}: ${what}`)
  }

  #dial(a: MemberId, b: MemberId, pauseMs = 1): void {
    const connection = this.#connection(a, b)
    if (connection.isUp || connection.isDialling) return
    connection.isDialling = true
    const delayMs = pauseMs + this.#delay() + this.#prng.next(50)
    this.#world.schedule({
      delayMs,
      run: () => {
        connection.isDialling = false
        this.#world.act(() => this.#connect(a, b))
      },
    })
  }

  #connect(a: MemberId, b: MemberId): void {
    const connection = this.#connection(a, b)
    const [one, other] = [this.#endpoints.get(a), this.#endpoints.get(b)]
    if (connection.isUp || one === undefined || other === undefined) return
    if (this.isCut(a, b) || this.isCut(b, a)) return
    if (one.process.isPaused || other.process.isPaused) return this.#dial(a, b)
    if (!one.knows(b) && !other.knows(a)) return
    // Whoever knows the other calls; who is called calls back. Both judge.
    const areIn = [this.#isLetIn(one, other), this.#isLetIn(other, one)]
    if (areIn.includes(false)) return this.#dial(a, b, REDIAL_MS)
    // One of them has to find the other, and says then where it is found itself.
    if (!one.reaches(b, other.urls) && !other.reaches(a, one.urls)) {
      return this.#dial(a, b, REDIAL_MS)
    }
    one.heardFrom(b, other.urls)
    other.heardFrom(a, one.urls)
    one.admit(b)
    other.admit(a)
    connection.isUp = true
    connection.generation++
    one.peerUp(b)
    other.peerUp(a)
  }

  #isLetIn(caller: Endpoint, host: Endpoint): boolean {
    const judged = host.judge(caller.hello(host.id))
    if (judged.accepted) return true
    if (judged.refusal.reason === 'removed' && caller.knows(host.id)) caller.refused()
    return false
  }

  /** Takes a connection down; whoever is left is told after `delayMs`. */
  #down(a: MemberId, b: MemberId, delayMs: number): void {
    const connection = this.#connection(a, b)
    this.#endStreams(a, b)
    if (!connection.isUp) return
    connection.isUp = false
    for (const [id, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const transport = this.#endpoints.get(id)
      if (transport === undefined) continue
      this.#world.schedule({
        delayMs,
        owner: transport.process,
        run: () =>
          this.#world.act(() => {
            if (!connection.isUp) transport.peerDown(peer)
          }),
      })
    }
  }

  #silent(from: MemberId, to: MemberId, generation: number): void {
    const connection = this.#connection(from, to)
    const isCut = this.isCut(from, to) || this.isCut(to, from)
    if (!isCut || connection.generation !== generation) return
    this.#link(from, to).held = []
    this.#link(to, from).held = []
    this.#down(from, to, 0)
  }

  #endStreams(a: MemberId, b: MemberId): void {
    this.#endpoints.get(a)?.endStreams(b)
    this.#endpoints.get(b)?.endStreams(a)
  }

  #link(from: MemberId, to: MemberId): Link {
    const key = `${from} ${to}`
    let link = this.#links.get(key)
    if (link === undefined) {
      link = { isCut: false, lastAtMs: 0, held: [] }
      this.#links.set(key, link)
    }
    return link
  }

  #connection(a: MemberId, b: MemberId): Connection {
    const key = a < b ? `${a} ${b}` : `${b} ${a}`
    let connection = this.#connections.get(key)
    if (connection === undefined) {
      connection = { isUp: false, generation: 0, isDialling: false }
      this.#connections.set(key, connection)
    }
    return connection
  }

  #delay(): number {
    const { delayMinMs, delayMaxMs } = this.profile
    return delayMinMs + ((delayMaxMs - delayMinMs) * this.#prng.next(1024)) / 1024
  }
}
