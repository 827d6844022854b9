// A program of its own that offers members more than they can take, one request at a time on each of many connections, as
// HTTP/1.1 clients do. Closed loop: every connection asks again when it was answered. Open loop: requests are due at a rate,
// whatever comes back; one for which no connection is free waits on this side, as in any client's pool, and is given up after
// a second. Connections stay open from one order to the next. Cheap, because it competes with the members for the machine.
// Told by a message what to do, it answers with counts.

import { connect, type Socket } from 'node:net'

export interface FloodOrder {
  readonly ports: readonly number[]
  readonly seconds: number
  /** Connections to each port. */
  readonly connections: number
  /** Requests due a second, of all connections together; undefined: closed loop. */
  readonly perSecond?: number
  /** So many of a hundred requests are linearizable reads, the others puts. */
  readonly readPercent: number
}

export interface Delays {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export interface FloodCount {
  readonly due: number
  readonly sent: number
  /** Answered 200 within the time of the order. */
  readonly done: Delays
  /** Answered 503 with a Retry-After: certainly not done. */
  readonly refused: Delays
  /** Any other answer, by status, and connections that broke (0). */
  readonly other: Readonly<Record<string, number>>
  /** Due, and given up on this side because all connections waited for answers. */
  readonly unsent: number
  /** Not answered when the order ended: how many, and for how long the oldest had waited. */
  readonly waiting: number
  readonly oldestWaitMs: number
  /** Of this process, as a share of one processor. */
  readonly cpu: number
}

const TICK_MS = 2
const BODY = 'x'.repeat(100)
const KEYS = 1000
/** How long a due request waits for a free connection. */
const PATIENCE_MS = 1000

interface Answered {
  readonly status: number
  readonly isRetryable: boolean
  readonly delayMs: number
}

class Connection {
  readonly #port: number
  onAnswer: (answer: Answered) => void = () => undefined
  #socket: Socket | undefined
  #buffered = ''
  sentAtMs: number | undefined

  constructor(port: number) {
    this.#port = port
  }

  send(request: string, nowMs: number): void {
    this.sentAtMs = nowMs
    this.#socket ??= this.#open()
    this.#socket.write(request, 'latin1')
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    this.#buffered = ''
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#read(text))
    // What was under way on it ends below; why it broke does not matter here.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#answered(0, false)
    })
    return socket
  }

  #read(text: string): void {
    this.#buffered += text
    const end = this.#buffered.indexOf('\r\n\r\n')
    if (end === -1) return
    const head = this.#buffered.slice(0, end).toLowerCase()
    const at = head.indexOf('content-length: ')
    const length = at === -1 ? 0 : Number.parseInt(head.slice(at + 16), 10)
    if (this.#buffered.length < end + 4 + length) return
    this.#buffered = ''
    this.#answered(Number(head.slice(9, 12)), head.includes('retry-after: '))
  }

  #answered(status: number, isRetryable: boolean): void {
    const { sentAtMs } = this
    if (sentAtMs === undefined) return
    this.sentAtMs = undefined
    this.onAnswer({ status, isRetryable, delayMs: performance.now() - sentAtMs })
  }
}

class Flood {
  readonly #order: FloodOrder
  readonly #connections: readonly Connection[]
  /** Free ones, the one that was used longest ago first. */
  #free: Connection[]
  #freeAt = 0
  #dueAtMs: number[] = []
  #dueNext = 0
  #due = 0
  #sent = 0
  #unsent = 0
  #isOver = false
  readonly #doneMs: number[] = []
  readonly #refusedMs: number[] = []
  readonly #other: Record<string, number> = {}

  constructor(order: FloodOrder, connections: readonly Connection[]) {
    this.#order = order
    this.#connections = connections
    this.#free = [...connections]
    for (const connection of connections) {
      connection.onAnswer = (answer) => this.#answered(connection, answer)
    }
  }

  async run(): Promise<FloodCount> {
    const { seconds, perSecond } = this.#order
    const cpu = process.cpuUsage()
    const startMs = performance.now()
    if (perSecond === undefined) for (const connection of this.#connections) this.#send(connection)
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, TICK_MS))
      const passedMs = performance.now() - startMs
      if (passedMs >= 1000 * seconds) break
      if (perSecond !== undefined) this.#offer(startMs, Math.floor((passedMs / 1000) * perSecond))
    }
    this.#isOver = true
    const nowMs = performance.now()
    const waits = this.#connections.flatMap(({ sentAtMs }) =>
      sentAtMs === undefined ? [] : [nowMs - sentAtMs],
    )
    const { user, system } = process.cpuUsage(cpu)
    return {
      due: this.#due,
      sent: this.#sent,
      done: delaysOf(this.#doneMs),
      refused: delaysOf(this.#refusedMs),
      other: this.#other,
      unsent: this.#unsent,
      waiting: waits.length,
      oldestWaitMs: Math.max(0, ...waits),
      cpu: (user + system) / 1000 / (nowMs - startMs),
    }
  }

  /** Makes due what is due by now, in time, and sends what there are connections for. */
  #offer(startMs: number, dueByNow: number): void {
    const { perSecond } = this.#order
    for (; this.#due < dueByNow; this.#due++) {
      this.#dueAtMs.push(startMs + (1000 * this.#due) / perSecond!)
    }
    const nowMs = performance.now()
    for (; this.#dueNext < this.#dueAtMs.length; this.#dueNext++) {
      if (nowMs - this.#dueAtMs[this.#dueNext]! > PATIENCE_MS) this.#unsent++
      else if (this.#freeAt < this.#free.length) this.#send(this.#free[this.#freeAt++]!)
      else break
    }
    if (this.#dueNext > 100_000) {
      this.#dueAtMs = this.#dueAtMs.slice(this.#dueNext)
      this.#dueNext = 0
    }
    if (this.#freeAt > 10_000) {
      this.#free = this.#free.slice(this.#freeAt)
      this.#freeAt = 0
    }
  }

  #send(connection: Connection): void {
    const number = this.#sent++
    const key = `flood-${number % KEYS}`
    const isRead = number % 100 < this.#order.readPercent
    const line = `${isRead ? 'GET' : 'PUT'} /v1/kv/${key} HTTP/1.1\r\nHost: x\r\n`
    const rest = isRead ? '\r\n' : `Content-Length: ${BODY.length}\r\n\r\n${BODY}`
    connection.send(line + rest, performance.now())
  }

  #answered(connection: Connection, { status, isRetryable, delayMs }: Answered): void {
    if (this.#isOver) return
    // A read of a key that was not written yet is as good as any.
    if (status === 200 || status === 404) this.#doneMs.push(delayMs)
    else if (status === 503 && isRetryable) this.#refusedMs.push(delayMs)
    else this.#other[status] = (this.#other[status] ?? 0) + 1
    if (this.#order.perSecond === undefined) this.#send(connection)
    else this.#free.push(connection)
  }
}

function delaysOf(delaysMs: readonly number[]): Delays {
  const sorted = Float64Array.from(delaysMs).sort()
  const at = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] ?? 0
  return { count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

const pools = new Map<number, Connection[]>()

/** So many of each port, the ports in turns; those of earlier orders first, once nothing is under way on any. */
async function connectionsFor({ ports, connections }: FloodOrder): Promise<Connection[]> {
  const chosen: Connection[] = []
  for (let i = 0; i < connections; i++) {
    for (const port of ports) {
      const pool = pools.get(port) ?? []
      pools.set(port, pool)
      pool[i] ??= new Connection(port)
      chosen.push(pool[i]!)
    }
  }
  const all = [...pools.values()].flat()
  while (all.some(({ sentAtMs }) => sentAtMs !== undefined)) {
    await new Promise((resolve) => setTimeout(resolve, TICK_MS))
  }
  return chosen
}

async function obey(order: FloodOrder): Promise<FloodCount> {
  return new Flood(order, await connectionsFor(order)).run()
}

process.on('message', (order: FloodOrder) => {
  void obey(order).then((count) => process.send!(count))
})
