// The other end of a peer connection written by hand, for what a real transport never does: wrong identities, garbage,
// silence, half a frame; and a proxy that can stop forwarding.

import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { crc32 } from 'node:zlib'
import { FRAME_TYPE } from '../../../member/src/transport/frame.ts'
import {
  helloFields,
  PEER_PATH,
  UPGRADE_TOKEN,
  welcomeFields,
} from '../../../member/src/transport/handshake.ts'
import { PEER_PROTOCOL_VERSION, type PeerIdentity } from '../../../member/src/transport/options.ts'
import { CLUSTER_ID, memberId, type TestMember } from './harness.ts'

export function identityOf(number: number, overrides: Partial<PeerIdentity> = {}): PeerIdentity {
  return {
    clusterId: CLUSTER_ID,
    memberId: memberId(number),
    name: `n${number}`,
    incarnation: 1,
    protocolVersion: PEER_PROTOCOL_VERSION,
    ...overrides,
  }
}

export interface RawAnswer {
  readonly socket: Socket
  readonly status: number
  readonly head: string
  /** Of a refusal. */
  readonly problem: Record<string, unknown> | undefined
}

/** A connected socket that never makes the test fail by its errors. */
export async function rawConnect(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Opens a peer link to `target` by hand and waits for the answer. */
export async function rawHello(
  target: TestMember,
  identity: PeerIdentity,
  options: { to?: string; path?: string; extra?: Record<string, string>; tail?: Buffer } = {},
): Promise<RawAnswer> {
  const socket = await rawConnect(target.port)
  const fields = {
    Host: 'x',
    Connection: 'Upgrade',
    Upgrade: UPGRADE_TOKEN,
    ...helloFields(identity, target.id),
    ...(options.to === undefined ? {} : { 'Raftbase-To-Member-Id': options.to }),
    ...options.extra,
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  const request = `GET ${options.path ?? PEER_PATH} HTTP/1.1\r\n${lines.join('')}\r\n`
  socket.write(Buffer.concat([Buffer.from(request), options.tail ?? Buffer.alloc(0)]))
  const received = await readAnswer(socket)
  const end = received.indexOf('\r\n\r\n')
  const head = received.slice(0, end)
  const status = Number(head.split(' ')[1])
  const body = received.slice(end + 4)
  const problem = status === 101 ? undefined : (JSON.parse(body) as Record<string, unknown>)
  return { socket, status, head, problem }
}

/** Up to the end of the header of a 101, or everything until the connection closes. */
async function readAnswer(socket: Socket): Promise<string> {
  let received = ''
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    received += String(chunk)
    if (received.startsWith('HTTP/1.1 101') && received.includes('\r\n\r\n')) break
  }
  return received
}

/** A frame of any type, made by hand. */
export function rawFrame(type: number, payload: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from([type]), payload])
  const prefix = Buffer.alloc(8)
  prefix.writeUInt32BE(body.length)
  prefix.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([prefix, body])
}

export const PING: Buffer = rawFrame(FRAME_TYPE.ping, Buffer.alloc(4))

export function closed(socket: Socket): Promise<void> {
  socket.resume()
  return new Promise((resolve) => {
    if (socket.destroyed) resolve()
    else socket.once('close', () => resolve())
  })
}

/** Forwards connections to a port until told otherwise. */
export interface Proxy {
  readonly url: string
  /** From now on nothing is forwarded in either direction; connections stay open, new ones hang. */
  freeze(): void
  thaw(): void
  /** Resets every connection; new ones are accepted. */
  reset(): void
  close(): Promise<void>
}

export async function startProxy(port: number): Promise<Proxy> {
  const sockets = new Set<Socket>()
  let frozen = false
  const track = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    if (frozen) socket.pause()
  }
  const server: Server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port, noDelay: true })
    near.setNoDelay(true)
    near.on('data', (chunk) => far.write(chunk))
    far.on('data', (chunk) => near.write(chunk))
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
    track(near)
    track(far)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${address.port}`,
    freeze() {
      frozen = true
      for (const socket of sockets) socket.pause()
    },
    thaw() {
      frozen = false
      for (const socket of sockets) socket.resume()
    },
    reset() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The answer of an acceptor that says it is `identity`. */
export function welcome(identity: PeerIdentity): string {
  const fields = { Connection: 'Upgrade', Upgrade: UPGRADE_TOKEN, ...welcomeFields(identity) }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`
}

export interface Acceptor {
  readonly url: string
  /** Every connection so far. */
  readonly sockets: readonly Socket[]
  close(): Promise<void>
}

/** Answers every connection with `answer`, whatever it asks, and then reads on or not, or ends it. */
export async function startAcceptor(options: {
  answer: string
  reads: boolean
  ends?: boolean
}): Promise<Acceptor> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(options.answer)
      if (options.ends === true) socket.end()
      if (options.reads) socket.resume()
      else socket.pause()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${address.port}`,
    sockets,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
