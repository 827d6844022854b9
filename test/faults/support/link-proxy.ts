// A proxy on each peer link. Members advertise the proxy's address; who dials is read from the handshake, so that every
// ordered pair of members has rules of its own, for the bytes that travel from the one to the other on whichever
// connection. What TCP would do is done: bytes that are held back arrive in order once the link heals, a lost packet
// costs its retransmission, a new connection over a cut link is never answered.

import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { SeededPrng } from '../../../lib/prng.ts'

/** What happens to bytes on their way. Absent: nothing. */
export interface LinkRule {
  /** Nothing arrives until the rule is gone; then all of it does, in order. */
  readonly cut?: boolean
  /** Bytes vanish. Such a connection cannot go on afterwards: it is reset when the rule is gone. */
  readonly drop?: boolean
  readonly delayMs?: number
  /** The delay varies by up to so much in both directions. */
  readonly jitterMs?: number
  /**
   * Share of the packets that are lost. Like TCP with a window that losses have shrunk to one packet: what waits goes as the
   * next packet once the one before has arrived; a lost one is sent again after 200 ms, then after twice as long each.
   */
  readonly lossShare?: number
  readonly bytesPerSecond?: number
  /** One in so many chunks has a bit turned over. */
  readonly corruptOneIn?: number
  /** Connections over it are closed after so many bytes. */
  readonly closeAfterBytes?: number
}

export interface LinkTarget {
  readonly name: string
  /** Where the member listens. */
  readonly port: number
}

/** What the proxy did to the bytes from one member to another: the evidence that a fault happened. */
export interface LinkCounts {
  forwardedBytes: number
  heldBytes: number
  droppedBytes: number
  corruptedChunks: number
  lostPackets: number
  closed: number
}

const RETRANSMIT_MS = 200
const RETRANSMIT_MAX_MS = 1600
/** Of bytes that leave with the next packet. */
const WAITS = Number.POSITIVE_INFINITY
const HELLO_BYTES_MAX = 16 * 1024
/** Beyond, the source is not read any more: a socket's buffers. */
const HELD_BYTES_MAX = 4 * 1024 * 1024

export class LinkProxies {
  readonly #targets = new Map<string, LinkTarget>()
  /** Of each member, where it is reached now. */
  readonly #servers = new Map<string, Server>()
  readonly #rules = new Map<string, LinkRule>()
  readonly #counts = new Map<string, LinkCounts>()
  readonly #connections = new Set<ProxiedConnection>()
  readonly #prng = new SeededPrng(1)

  static async start(targets: readonly LinkTarget[]): Promise<LinkProxies> {
    const proxies = new LinkProxies()
    for (const target of targets) {
      proxies.#targets.set(target.name, target)
      proxies.#servers.set(target.name, await proxies.#listen(target))
    }
    return proxies
  }

  /**
   * Another address for a member. At the one before nobody answers any more once `leave` was called; connections that were
   * made there stay until they break.
   */
  async move(name: string): Promise<{ readonly port: number; readonly leave: () => void }> {
    const before = this.#servers.get(name)
    const target = this.#targets.get(name)
    if (before === undefined || target === undefined) throw new Error(`no proxy for ${name}`)
    this.#servers.set(name, await this.#listen(target))
    return { port: this.port(name), leave: () => before.close() }
  }

  async #listen(target: LinkTarget): Promise<Server> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#accept(target, socket),
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return server
  }

  /** The address to advertise for a member. */
  port(name: string): number {
    const server = this.#servers.get(name)
    if (server === undefined) throw new Error(`no proxy for ${name}`)
    return (server.address() as { port: number }).port
  }

  counts(from: string, to: string): LinkCounts {
    const key = `${from}>${to}`
    let counts = this.#counts.get(key)
    if (counts === undefined) {
      counts = {
        forwardedBytes: 0,
        heldBytes: 0,
        droppedBytes: 0,
        corruptedChunks: 0,
        lostPackets: 0,
        closed: 0,
      }
      this.#counts.set(key, counts)
    }
    return counts
  }

  /** From now on, for connections that exist and that will. Undefined heals. */
  set(from: string, to: string, rule: LinkRule | undefined): void {
    const key = `${from}>${to}`
    const before = this.#rules.get(key)
    if (rule === undefined) this.#rules.delete(key)
    else this.#rules.set(key, rule)
    for (const connection of this.#connections) {
      if (!connection.joins(from, to)) continue
      if (before?.drop === true && rule?.drop !== true) connection.reset()
      else connection.ruleChanged()
    }
  }

  /** Both directions between each pair. */
  between(a: readonly string[], b: readonly string[], rule: LinkRule | undefined): void {
    for (const from of a) {
      for (const to of b) {
        if (from === to) continue
        this.set(from, to, rule)
        this.set(to, from, rule)
      }
    }
  }

  heal(): void {
    for (const key of this.#rules.keys()) {
      const [from, to] = key.split('>') as [string, string]
      this.set(from, to, undefined)
    }
  }

  /** Resets the connections between two members; returns how many there were. */
  reset(a: string, b: string): number {
    const between = [...this.#connections].filter((c) => c.joins(a, b) || c.joins(b, a))
    for (const connection of between) connection.reset()
    return between.length
  }

  /** Closes what leads to `member` and leaves the other end open and silent; returns how many connections. */
  halfOpen(member: string): number {
    const those = [...this.#connections].filter((c) => c.touches(member))
    for (const connection of those) connection.forget(member)
    return those.length
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections) connection.reset()
    await Promise.all(
      [...this.#servers.values()].map(
        (server) => new Promise<void>((resolve) => server.close(() => resolve())),
      ),
    )
  }

  #accept(target: LinkTarget, socket: Socket): void {
    const connection = new ProxiedConnection({
      target,
      socket,
      rule: (from, to) => this.#rules.get(`${from}>${to}`),
      counts: (from, to) => this.counts(from, to),
      prng: this.#prng,
      onClosed: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
  }
}

interface ConnectionOptions {
  readonly target: LinkTarget
  readonly socket: Socket
  readonly rule: (from: string, to: string) => LinkRule | undefined
  readonly counts: (from: string, to: string) => LinkCounts
  readonly prng: SeededPrng
  readonly onClosed: () => void
}

/** One connection from a dialling member to the one it means. */
class ProxiedConnection {
  readonly #options: ConnectionOptions
  readonly #dialler: Socket
  #acceptor: Socket | undefined
  #from: string | undefined
  #hello: Buffer[] = []
  #forward: Lane | undefined
  #backward: Lane | undefined
  #isForgotten = false

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#dialler = options.socket
    this.#dialler.on('data', this.#onHello)
    this.#dialler.on('error', () => this.#close())
    this.#dialler.on('close', () => this.#close())
  }

  joins(from: string, to: string): boolean {
    const { name } = this.#options.target
    return (this.#from === from && name === to) || (this.#from === to && name === from)
  }

  touches(member: string): boolean {
    return this.#from === member || this.#options.target.name === member
  }

  ruleChanged(): void {
    this.#forward?.ruleChanged()
    this.#backward?.ruleChanged()
    if (this.#acceptor === undefined && this.#from !== undefined) this.#maybeConnect()
  }

  reset(): void {
    if (this.#from !== undefined) {
      this.#options.counts(this.#from, this.#options.target.name).closed++
    }
    this.#dialler.resetAndDestroy()
    this.#acceptor?.resetAndDestroy()
    this.#close()
  }

  /** The member's end is closed; the other's stays as if nothing had happened. */
  forget(member: string): void {
    this.#isForgotten = true
    if (this.#from === member) this.#dialler.destroy()
    else this.#acceptor?.destroy()
  }

  readonly #onHello = (chunk: Buffer): void => {
    this.#hello.push(chunk)
    const text = Buffer.concat(this.#hello).toString('latin1')
    const name = /^raftbase-member-name: *([^\r\n]+)\r?$/im.exec(text)?.[1]
    if (!text.includes('\r\n\r\n') && text.length < HELLO_BYTES_MAX) return
    // Whoever is no member is let through under a name that no rule knows.
    this.#from = name === undefined ? 'stranger' : decodeURIComponent(name)
    this.#dialler.off('data', this.#onHello)
    this.#dialler.pause()
    this.#maybeConnect()
  }

  #maybeConnect(): void {
    const { rule, target } = this.#options
    const from = this.#from!
    // Neither the question nor its answer gets through: as with a real cut, the dialler waits.
    if (rule(from, target.name)?.cut === true || rule(target.name, from)?.cut === true) return
    const acceptor = connect({ host: '127.0.0.1', port: target.port, noDelay: true })
    this.#acceptor = acceptor
    acceptor.on('error', () => this.#close())
    acceptor.on('close', () => this.#close())
    this.#forward = this.#lane(from, target.name, this.#dialler, acceptor)
    this.#backward = this.#lane(target.name, from, acceptor, this.#dialler)
    for (const chunk of this.#hello) this.#forward.push(chunk)
    this.#hello = []
    this.#forward.start()
    this.#backward.start()
  }

  #lane(from: string, to: string, source: Socket, sink: Socket): Lane {
    return new Lane({
      source,
      sink,
      rule: () => this.#options.rule(from, to),
      counts: this.#options.counts(from, to),
      prng: this.#options.prng,
      onClose: () => this.reset(),
    })
  }

  #close(): void {
    if (this.#isForgotten && !(this.#dialler.destroyed && this.#acceptor?.destroyed === true))
      return
    this.#forward?.stop()
    this.#backward?.stop()
    this.#dialler.destroy()
    this.#acceptor?.destroy()
    this.#options.onClosed()
  }
}

interface LaneOptions {
  readonly source: Socket
  readonly sink: Socket
  readonly rule: () => LinkRule | undefined
  readonly counts: LinkCounts
  readonly prng: SeededPrng
  readonly onClose: () => void
}

/** Bytes in one direction, in order. */
class Lane {
  readonly #options: LaneOptions
  readonly #queue: { readonly chunk: Buffer; dueMs: number }[] = []
  #queuedBytes = 0
  #lastDueMs = 0
  #passedBytes = 0
  #timer: NodeJS.Timeout | undefined
  #isEnded = false

  constructor(options: LaneOptions) {
    this.#options = options
  }

  start(): void {
    const { source } = this.#options
    source.on('data', (chunk: Buffer) => this.push(chunk))
    source.on('end', () => {
      this.#isEnded = true
      this.#drain()
    })
    source.resume()
  }

  push(chunk: Buffer): void {
    const { counts, prng } = this.#options
    const rule = this.#options.rule()
    if (rule?.drop === true) {
      counts.droppedBytes += chunk.length
      return
    }
    let bytes = chunk
    if (rule?.corruptOneIn !== undefined && prng.next(rule.corruptOneIn) === 0) {
      bytes = Buffer.from(chunk)
      const at = prng.next(bytes.length)
      bytes[at] = bytes[at]! ^ (1 << prng.next(8))
      counts.corruptedChunks++
    }
    const nowMs = performance.now()
    const isPacketed = rule?.lossShare !== undefined
    let dueMs = WAITS
    if (!isPacketed) {
      dueMs = Math.max(nowMs + this.#delayMs(rule, bytes.length, nowMs), this.#lastDueMs)
      this.#lastDueMs = dueMs
    }
    this.#queue.push({ chunk: bytes, dueMs })
    this.#queuedBytes += bytes.length
    if (this.#queuedBytes > HELD_BYTES_MAX) this.#options.source.pause()
    this.#drain()
  }

  ruleChanged(): void {
    this.#drain()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#queue.length = 0
  }

  /** What waits leaves together. */
  #sendPacket(rule: LinkRule | undefined, nowMs: number): void {
    const dueMs = nowMs + this.#delayMs(rule, this.#queuedBytes, nowMs)
    for (const item of this.#queue) item.dueMs = Math.min(item.dueMs, dueMs)
  }

  #delayMs(rule: LinkRule | undefined, bytes: number, nowMs: number): number {
    if (rule === undefined) return 0
    const { prng, counts } = this.#options
    let delayMs = rule.delayMs ?? 0
    if (rule.jitterMs !== undefined) delayMs += prng.next(2 * rule.jitterMs + 1) - rule.jitterMs
    if (rule.lossShare !== undefined) {
      let waitMs = RETRANSMIT_MS
      while (prng.next(1000) < rule.lossShare * 1000) {
        counts.lostPackets++
        delayMs += waitMs
        waitMs = Math.min(2 * waitMs, RETRANSMIT_MAX_MS)
      }
    }
    if (rule.bytesPerSecond !== undefined) {
      // One after the other: what is under way takes its time first.
      delayMs += Math.max(0, this.#lastDueMs - nowMs) + (bytes / rule.bytesPerSecond) * 1000
    }
    return delayMs
  }

  #drain(): void {
    clearTimeout(this.#timer)
    const { sink, source, rule, counts, onClose } = this.#options
    const nowMs = performance.now()
    while (this.#queue.length > 0) {
      const now = rule()
      if (this.#queue[0]!.dueMs === WAITS) this.#sendPacket(now, nowMs)
      const { chunk, dueMs } = this.#queue[0]!
      if (now?.cut === true) {
        counts.heldBytes = Math.max(counts.heldBytes, this.#queuedBytes)
        return
      }
      if (dueMs > nowMs) {
        this.#timer = setTimeout(() => this.#drain(), dueMs - nowMs)
        return
      }
      this.#queue.shift()
      this.#queuedBytes -= chunk.length
      this.#passedBytes += chunk.length
      counts.forwardedBytes += chunk.length
      if (sink.writable) sink.write(chunk)
      if (now?.closeAfterBytes !== undefined && this.#passedBytes > now.closeAfterBytes) {
        onClose()
        return
      }
    }
    if (source.isPaused() && this.#queuedBytes < HELD_BYTES_MAX) source.resume()
    if (this.#isEnded && sink.writable) sink.end()
  }
}
