// A program of its own that opens thousands of connections and hardly says anything on them: nothing at all, a request header
// or body byte by byte, the beginning of a TLS handshake, or nothing once that is through. It answers each message but the first with
// what has become of them.

import { connect } from 'node:net'
import { connect as connectSecurely } from 'node:tls'

export type SlowKind = 'idle' | 'head' | 'body' | 'hello' | 'shaken'

export interface SlowOrder {
  readonly groups: readonly {
    readonly port: number
    readonly kind: SlowKind
    readonly count: number
  }[]
  /** Of clients, for `shaken`. */
  readonly certificate?: { readonly ca: string; readonly cert: string; readonly key: string }
}

/** By `KIND PORT`. */
export type SlowCounts = Readonly<Record<string, SlowCount>>

export interface SlowCount {
  readonly connected: number
  readonly open: number
  /** Of those that are closed, the longest life. */
  readonly longestMs: number
}

const BYTE_EVERY_MS = 1000
/** Opened at a time, and the pause behind them: a queue of connections has an end. */
const AT_ONCE = 50
const PAUSE_MS = 10

const BEGINNINGS: Readonly<Record<SlowKind, string>> = {
  idle: '',
  head: 'GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: a',
  body: 'PUT /v1/kv/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na',
  // A record of 512 bytes with the greeting of a client, of which one byte comes.
  hello: '\u0016\u0003\u0001\u0002\u0000\u0001',
  shaken: '',
}

interface Known {
  connected: number
  open: number
  longestMs: number
}

const counts: Record<string, Known> = {}

function open(order: SlowOrder, port: number, kind: SlowKind): void {
  const count = (counts[`${kind} ${port}`] ??= { connected: 0, open: 0, longestMs: 0 })
  const to = { port, host: '127.0.0.1' }
  const socket = kind === 'shaken' ? connectSecurely({ ...to, ...order.certificate }) : connect(to)
  const startMs = performance.now()
  socket.once(kind === 'shaken' ? 'secureConnect' : 'connect', () => {
    count.connected++
    count.open++
    socket.once('close', () => {
      count.open--
      count.longestMs = Math.max(count.longestMs, performance.now() - startMs)
    })
    if (BEGINNINGS[kind] !== '') socket.write(BEGINNINGS[kind], 'latin1')
  })
  // That it closed says it all.
  socket.on('error', () => undefined)
  socket.resume()
  if (BEGINNINGS[kind] === '') return
  const timer = setInterval(() => socket.write('a'), BYTE_EVERY_MS)
  socket.once('close', () => clearInterval(timer))
}

async function begin(order: SlowOrder): Promise<void> {
  const all = order.groups.flatMap(({ port, kind, count }) =>
    Array.from({ length: count }, () => ({ port, kind })),
  )
  for (const [i, { port, kind }] of all.entries()) {
    open(order, port, kind)
    if (i % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
  process.send!(counts)
}

process.once('message', (order) => {
  void begin(order as SlowOrder)
  process.on('message', () => process.send!(counts))
})
process.on('disconnect', () => process.exit())
