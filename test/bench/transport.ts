// Peer links over loopback, two members in two processes: `node test/bench/transport.ts`. Prints throughput of small
// messages and of appends, and the round trip of a heartbeat.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { systemPrng } from '../../lib/prng.ts'
import type { PeerMessage } from '../../member/src/raft/message.ts'
import type { Entry, MemberId } from '../../member/src/raft/types.ts'
import {
  DEFAULT_TRANSPORT_LIMITS,
  PEER_PROTOCOL_VERSION,
  PeerTransport,
  tcpNetwork,
} from '../../member/src/transport/peer-transport.ts'

const [A, B] = ['000000000000000a' as MemberId, '000000000000000b' as MemberId]
const ROLE = process.argv[2]

interface Running {
  readonly transport: PeerTransport
  readonly url: string
  readonly up: Promise<void>
}

async function start(id: MemberId, onMessage: (message: PeerMessage) => void): Promise<Running> {
  const transport = new PeerTransport({
    identity: {
      clusterId: '00000000000000c1',
      memberId: id,
      name: id,
      incarnation: 1,
      protocolVersion: PEER_PROTOCOL_VERSION,
    },
    listen: [{ host: '127.0.0.1', port: 0 }],
    network: tcpNetwork(),
    clock: systemClock,
    timers: systemTimers,
    prng: systemPrng(),
    log: { debug() {}, info() {}, warn: console.error, error: console.error },
    limits: DEFAULT_TRANSPORT_LIMITS,
  })
  const { promise: up, resolve } = Promise.withResolvers<void>()
  await transport.start({
    onMessage,
    onNodeMessage() {},
    onPeerUp: () => resolve(),
    onPeerDown() {},
    async onSnapshot() {},
  })
  return { transport, url: `http://127.0.0.1:${transport.addresses()[0]!.port}`, up }
}

/** Answers a heartbeat with its response, and every append with the index of its last entry. */
async function echo(): Promise<void> {
  const { transport, url } = await start(B, (message) => {
    if (message.type === 'MsgHeartbeat') {
      const { context } = message
      transport.send([{ type: 'MsgHeartbeatResp', from: B, to: A, term: 1, context }])
    } else if (message.type === 'MsgApp') {
      const index = message.prevIndex + message.entries.length
      const answer = { reject: false, hintIndex: 0, hintTerm: 0 } as const
      transport.send([{ type: 'MsgAppResp', from: B, to: A, term: 1, index, ...answer }])
    }
  })
  process.once('message', (peerUrl) => {
    transport.setPeers([{ id: A, name: 'a', peerUrls: [String(peerUrl)] }])
  })
  process.send!(url)
}

function report(name: string, count: number, elapsedMs: number): void {
  const rate = Math.round((count / elapsedMs) * 1000).toLocaleString('en')
  const each = ((elapsedMs * 1000) / count).toFixed(2)
  console.log(`${name.padEnd(52)} ${rate.padStart(10)} /s ${each.padStart(8)} us each`)
}

class Bench {
  readonly #transport: PeerTransport
  #received = 0
  #target = 0
  #done: () => void = () => {}

  constructor(transport: PeerTransport) {
    this.#transport = transport
  }

  onMessage(): void {
    this.#received++
    if (this.#received === this.#target) this.#done()
  }

  /** Sends `count` messages, `window` of them unanswered at most, in turns of `batch`. */
  async run(options: {
    name: string
    count: number
    window: number
    batch: number
    message: (index: number) => PeerMessage
  }): Promise<void> {
    const { name, count, window, batch, message } = options
    this.#received = 0
    const startMs = performance.now()
    let sent = 0
    while (sent < count) {
      const size = Math.min(batch, count - sent)
      for (let i = 0; i < size; i++) this.#transport.send([message(sent++)])
      this.#target = Math.max(1, sent - window + batch)
      if (this.#received < this.#target) await this.#reached()
    }
    this.#target = count
    if (this.#received < count) await this.#reached()
    report(name, count, performance.now() - startMs)
  }

  async #reached(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#done = resolve
    await promise
  }
}

function heartbeat(): PeerMessage {
  return { type: 'MsgHeartbeat', from: A, to: B, term: 1, commit: 1, context: '' }
}

function appendOf(entryCount: number, entryBytes: number): (index: number) => PeerMessage {
  const entries: Entry[] = Array.from({ length: entryCount }, (_, i) => ({
    index: i + 1,
    term: 1,
    type: 'normal',
    data: new Uint8Array(entryBytes).fill(i),
    change: undefined,
  }))
  return () => ({
    type: 'MsgApp',
    from: A,
    to: B,
    term: 1,
    prevIndex: 0,
    prevTerm: 0,
    commit: 0,
    entries,
  })
}

async function main(): Promise<void> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), ['echo'])
  const [peerUrl] = (await once(child, 'message')) as [string]
  let bench: Bench | undefined
  const { transport, url, up } = await start(A, () => bench?.onMessage())
  bench = new Bench(transport)
  transport.setPeers([{ id: B, name: 'b', peerUrls: [peerUrl] }])
  child.send(url)
  await up
  const small = { window: 4000, batch: 64, message: heartbeat }
  await bench.run({ name: 'warm-up', count: 50_000, ...small })
  await bench.run({ name: 'heartbeats and answers, 64 a turn', count: 400_000, ...small })
  await bench.run({
    name: 'heartbeat round trip, one in flight',
    count: 20_000,
    window: 1,
    batch: 1,
    message: heartbeat,
  })
  const append = { name: 'appends of 64 entries of 256 B and answers', count: 20_000 }
  await bench.run({ ...append, window: 64, batch: 1, message: appendOf(64, 256) })
  const large = { name: 'appends of 1 MiB and answers', count: 1000 }
  await bench.run({ ...large, window: 8, batch: 1, message: appendOf(4, 256 * 1024) })
  await transport.stop(1000)
  child.kill()
}

await (ROLE === 'echo' ? echo() : main())
