// What this member knows of one other: the link it dials, the link it accepted, and whether the peer is up, that is, both
// work. Redials with back-off; tells loss from a connection that closed and opened again (design decision 8).

import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'
import type { RaftbaseError } from '../../../lib/errors.ts'
import type { Prng } from '../../../lib/prng.ts'
import { Dial, type OpenedLink } from './dialer.ts'
import type { Frame } from './frame.ts'
import { diffInitialClusters, type KnownMembers } from './handshake.ts'
import { Link, type LinkClosure } from './link.ts'
import type { PeerIdentity, TransportLimits, TransportLog, TransportMetrics } from './options.ts'
import type { Socket } from './socket.ts'
import type { PeerAddress, PeerConnectionStatus } from './transport.ts'

export interface PeerOptions {
  readonly self: PeerIdentity
  readonly known: KnownMembers
  readonly connect: (url: URL) => Socket
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  readonly log: TransportLog
  readonly limits: TransportLimits
  readonly metrics: TransportMetrics
  /** A message arrived; returns what is wrong with it, or undefined. */
  readonly onMessage: (type: number, payload: Uint8Array) => string | undefined
  readonly onUp: () => void
  readonly onDown: () => void
  /** The peer says that this member was removed from the cluster. */
  readonly onRemoved: () => void
}

const COMPLAINTS_MAX = 64

export class Peer {
  readonly #options: PeerOptions
  #address: PeerAddress
  /** Where it said itself that it is reached, as it called. */
  #statedUrls: readonly string[] = []
  #dial: Dial | undefined
  #dialled: Link | undefined
  /** Where `#dialled` leads: the list of URLs may have changed since. */
  #dialledUrl: string | undefined
  #accepted: Link | undefined
  #redial: TimerHandle | undefined
  /** Runs from the loss of a connection of a peer that is up, until it is back or counts as down. */
  #loss: TimerHandle | undefined
  /** Invariant: `onUp` was called as often as `onDown`, plus one while this holds. */
  #up = false
  #urlIndex = 0
  /** Rounds over all URLs that failed since the last link that held. */
  #failedRounds = 0
  /** Clock.monotonicMs of the last redial that was not delayed; undefined before the first. */
  #promptDialMs: number | undefined
  #lastHeardMs: number | undefined
  #incarnation: number | undefined
  /** What the log said last about failing to reach each URL; empty after success. */
  readonly #complaints = new Map<string, string>()
  /** It said that it stops, since it was up. */
  #goodbye = false
  #closed = false

  constructor(address: PeerAddress, options: PeerOptions) {
    this.#address = address
    this.#options = options
  }

  get address(): PeerAddress {
    return this.#address
  }

  /** The incarnation it was first seen with; undefined before. */
  get incarnation(): number | undefined {
    return this.#incarnation
  }

  get status(): PeerConnectionStatus {
    return { connected: this.#up, lastHeardMs: this.#lastHeardMs }
  }

  /** Whether what is sent now has a connection to go out on. */
  get isOpen(): boolean {
    return this.#dialled !== undefined
  }

  /** The URL of the open link, or the next to be tried; undefined when it has none. */
  get url(): string | undefined {
    return this.#dialled === undefined ? this.#nextUrl : this.#dialledUrl
  }

  get #nextUrl(): string | undefined {
    const urls = this.#urls
    return urls[this.#urlIndex % Math.max(1, urls.length)]
  }

  /** Whether a connection that it opened is open, or it counts as up. */
  get isHere(): boolean {
    return this.#accepted !== undefined || this.#up
  }

  /** What the membership says comes first; what it says itself helps when it has moved and nobody knows yet (F38). */
  get #urls(): readonly string[] {
    const { peerUrls } = this.#address
    return [...peerUrls, ...this.#statedUrls.filter((url) => !peerUrls.includes(url))]
  }

  /** Starts dialling. */
  start(): void {
    this.#startDial()
  }

  /** New URLs are used by the next dial, which comes at once if none is open. */
  update(address: PeerAddress): void {
    const before = this.#address.peerUrls.join(' ')
    this.#address = address
    if (address.peerUrls.join(' ') === before) return
    this.#complaints.clear()
    if (this.#dialled !== undefined) return
    this.#dial?.cancel()
    this.#dial = undefined
    this.#urlIndex = 0
    this.#failedRounds = 0
    this.#startDial()
  }

  /** Queues a frame; the answer says why it was certainly not sent. */
  send(frame: Frame): 'queued' | 'notConnected' | 'queueFull' {
    const link = this.#dialled
    if (link === undefined) return 'notConnected'
    return link.maybeSend(frame) ? 'queued' : 'queueFull'
  }

  /** Takes over a connection that this peer opened to us; the newest replaces the one before. */
  accept(opened: OpenedLink): void {
    this.#accepted?.destroy()
    this.#incarnation = opened.identity.incarnation
    this.#statedUrls = opened.identity.peerUrls ?? []
    const link = this.#link('accepted', opened.socket)
    this.#accepted = link
    this.#maybeUp()
    // It runs, so it is worth dialling now rather than at the end of the back-off.
    if (this.#redial !== undefined) this.#dialPromptly()
    link.start(opened.head)
  }

  keepAlive(): void {
    this.#dialled?.keepAlive()
    this.#accepted?.keepAlive()
  }

  /** Stops dialling. `flush` writes what is queued before it ends the links; otherwise they are cut. No call follows. */
  close(how: 'flush' | 'cut'): void {
    this.#closed = true
    this.#dial?.cancel()
    this.#redial?.cancel()
    this.#loss?.cancel()
    for (const link of [this.#dialled, this.#accepted]) {
      if (how === 'flush') link?.end()
      else link?.destroy()
    }
    this.#dialled = undefined
    this.#accepted = undefined
    this.#up = false
  }

  /** Without delay, unless that was done a moment ago: then with back-off, so that no loop can form. */
  #dialPromptly(): void {
    const now = this.#options.clock.monotonicMs()
    const last = this.#promptDialMs
    if (last !== undefined && now - last < this.#options.limits.redialMaxMs) {
      this.#dialLater()
      return
    }
    this.#promptDialMs = now
    this.#failedRounds = 0
    this.#startDial()
  }

  /** After 1/2 to 1 of the back-off, which doubles with each failed round. */
  #dialLater(): void {
    if (this.#closed || this.#redial !== undefined) return
    const { limits, prng, timers } = this.#options
    const backoffMs = Math.min(limits.redialMaxMs, limits.redialMinMs * 2 ** this.#failedRounds)
    this.#failedRounds = Math.min(this.#failedRounds + 1, 30)
    const delayMs = backoffMs / 2 + prng.next(Math.ceil(backoffMs / 2))
    this.#redial = timers.after(delayMs, () => this.#startDial())
  }

  #startDial(): void {
    this.#redial?.cancel()
    this.#redial = undefined
    if (this.#closed || this.#dial !== undefined || this.#dialled !== undefined) return
    const { self, known, connect, timers, limits } = this.#options
    const url = this.#nextUrl
    if (url === undefined) return
    this.#dial = new Dial({
      url,
      to: this.#address.id,
      self,
      known,
      connect,
      timers,
      timeoutMs: limits.handshakeTimeoutMs,
      onOpen: (opened) => this.#onOpen(opened, url),
      onFailed: (error) => this.#onDialFailed(error),
    })
  }

  #onOpen(opened: OpenedLink, url: string): void {
    this.#dial = undefined
    this.#dialledUrl = url
    this.#incarnation = opened.identity.incarnation
    this.#complaints.clear()
    const link = this.#link('dialled', opened.socket)
    this.#dialled = link
    this.#maybeUp()
    link.start(opened.head)
  }

  #onDialFailed(error: RaftbaseError): void {
    this.#dial = undefined
    this.#complain(error)
    if (error.code === 'MEMBER_REMOVED') this.#options.onRemoved()
    this.#urlIndex = (this.#urlIndex + 1) % Math.max(1, this.#urls.length)
    if (this.#urlIndex !== 0) {
      this.#startDial()
      return
    }
    this.#dialLater()
    this.#maybeDown({ reason: error.code, err: error })
  }

  #link(direction: 'dialled' | 'accepted', socket: Socket): Link {
    const { limits, metrics, clock, onMessage } = this.#options
    const link: Link = new Link({
      socket,
      direction,
      limits,
      metrics,
      onMessage,
      onHeard: () => {
        this.#lastHeardMs = clock.monotonicMs()
      },
      onClosed: (closure) => this.#onLinkClosed(link, closure),
    })
    return link
  }

  #onLinkClosed(link: Link, closure: LinkClosure): void {
    if (closure.kind === 'malformed') {
      const { id, name } = this.#address
      const fields = { peer: id, peerName: name, fault: closure.fault }
      this.#options.log.warn(fields, 'closed a peer connection for what it sent')
      this.#options.metrics.refused('WIRE_MALFORMED')
    }
    if (link === this.#accepted) this.#accepted = undefined
    if (link === this.#dialled) {
      this.#dialled = undefined
      this.#dialPromptly()
    }
    if (closure.kind === 'silent') this.#maybeDown({ reason: 'silent' })
    if (!this.#up) return
    if (closure.kind === 'ended' && closure.goodbye) this.#goodbye = true
    const { timers, limits } = this.#options
    this.#loss ??= timers.after(limits.peerLostMs, () => this.#maybeDown({ reason: 'closed' }))
  }

  #maybeUp(): void {
    if (this.#dialled === undefined || this.#accepted === undefined) return
    this.#loss?.cancel()
    this.#loss = undefined
    if (this.#up) return
    this.#up = true
    this.#goodbye = false
    const { id, name } = this.#address
    this.#options.log.info({ peer: id, peerName: name }, 'peer connected')
    this.#options.metrics.peerUp()
    this.#options.onUp()
  }

  #maybeDown(fields: { reason: string; err?: RaftbaseError }): void {
    this.#loss?.cancel()
    this.#loss = undefined
    if (!this.#up) return
    this.#up = false
    const { id, name } = this.#address
    const { log } = this.#options
    if (this.#goodbye) log.info({ peer: id, peerName: name }, 'peer stopped')
    else log.warn({ peer: id, peerName: name, ...fields }, 'peer lost')
    this.#options.metrics.peerDown()
    this.#options.onDown()
  }

  /** One line for each new reason, not for each attempt. */
  #complain(error: RaftbaseError): void {
    const { reason, expected, got, url, detail } = error.details
    const complaint = [error.code, reason, expected, got].join(' ')
    if (this.#complaints.get(String(url)) === complaint) return
    // Where it is reached it says itself: whoever tells ever new URLs gets a line for one again, and no memory.
    if (this.#complaints.size >= COMPLAINTS_MAX) this.#complaints.clear()
    this.#complaints.set(String(url), complaint)
    const { id, name } = this.#address
    const fields = { peer: id, peerName: name, url, reason }
    const { log, self } = this.#options
    if (error.code === 'PEER_UNREACHABLE') {
      log.info({ ...fields, err: error }, 'peer cannot be reached')
      return
    }
    const { initialCluster } = error.details
    const differs =
      typeof initialCluster === 'string' && self.initialCluster !== undefined
        ? diffInitialClusters(self.initialCluster, initialCluster)
        : undefined
    const all = { ...fields, code: error.code, detail, expected, got, differs }
    log.warn(all, 'peer connection refused')
  }
}
