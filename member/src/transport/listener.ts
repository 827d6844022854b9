// The accepting side: HTTP/1.1 on the listen addresses, of which two requests are served, the upgrade to a peer link and
// the upload of a snapshot. Bounds connections and handshakes in number and time. Who may come in is judged in
// handshake.ts; what happens on an accepted connection is left to others.

import { Buffer } from 'node:buffer'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { TimerHandle, Timers } from '../../../lib/clock.ts'
import type { MemberId } from '../raft/types.ts'
import type { CertificateRefusal } from '../../../lib/tls/judge.ts'
import type { HandshakeFailure } from '../../../lib/tls/secure-server.ts'
import type { OpenedLink } from './dialer.ts'
import {
  diffInitialClusters,
  type Judgement,
  judgeHello,
  type KnownMembers,
  PEER_PATH,
  type Refusal,
  SNAPSHOT_PATH,
  UPGRADE_TOKEN,
  welcomeFields,
} from './handshake.ts'
import type {
  ListenAddress,
  PeerIdentity,
  TransportLimits,
  TransportLog,
  TransportMetrics,
} from './options.ts'
import { CLUSTER_PATH, type ClusterView, questionOf, sendAnswer } from './peer-question.ts'
import { encodeProblem, PROBLEM_TYPE, titleOf } from './problem.ts'
import {
  HEADER_BYTES_MAX,
  type IncomingMessage,
  type PeerNetwork,
  type Server,
  type ServerResponse,
  type Socket,
  type TLSSocket,
} from './socket.ts'

export interface ListenerOptions {
  readonly self: PeerIdentity
  readonly known: KnownMembers
  readonly network: PeerNetwork
  readonly timers: Timers
  readonly log: TransportLog
  readonly limits: TransportLimits
  readonly metrics: TransportMetrics
  readonly onLink: (opened: OpenedLink) => void
  /** A snapshot of an accepted peer; answers `response` itself. */
  readonly onSnapshot: (from: PeerIdentity, upload: Upload) => void
  /** Whether there is evidence that this member once took part; undefined where the question is not served. */
  readonly hasTakenPart: ((member: MemberId) => boolean) | undefined
  readonly describeCluster: (() => ClusterView | undefined) | undefined
}

export interface Upload {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The sender waits for leave to send the body. */
  readonly expectsContinue: boolean
}

export class Listener {
  readonly #options: ListenerOptions
  readonly #servers: Server[] = []
  /** Every accepted connection that is not closed. */
  readonly #sockets = new Set<Socket>()
  /** Those among them whose handshake has not ended, oldest first, with the deadline of each. */
  readonly #pending = new Map<Socket, TimerHandle>()
  /** The last refusal logged for each claimed member, oldest first. */
  readonly #complaints = new Map<string, string>()
  #closed = false

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  /** Rejects with ADDRESS_IN_USE, or CONFIG_INVALID for an address that cannot be listened on; nothing is open then. */
  async open(addresses: readonly ListenAddress[]): Promise<void> {
    try {
      for (const address of addresses) await this.#listen(address)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Where it listens, with the real ports. */
  addresses(): ListenAddress[] {
    return this.#servers.flatMap((server) => {
      const address = server.address()
      if (address === null || typeof address === 'string') return []
      return [{ host: address.address, port: address.port }]
    })
  }

  /** Stops accepting at once and closes what is in a handshake; resolves when every accepted connection is closed. */
  async close(): Promise<void> {
    this.#closed = true
    const closing = this.#servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          // The only error is that it does not listen, which is what we want.
          server.close(() => resolve())
        }),
    )
    for (const socket of this.#pending.keys()) socket.destroy()
    await Promise.all(closing)
  }

  /** Cuts every accepted connection. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async #listen(address: ListenAddress): Promise<void> {
    const { network, limits } = this.#options
    const server = network.createServer(SERVER_OPTIONS, {
      isSecure: address.isSecure === true,
      onConnection: (socket) => this.#onConnection(socket),
      onRefused: (refusal, socket) => this.#onTurnedAway(refusal, socket),
      refusalText: (refusal) => rawProblem(certificateRefusal(refusal)),
      handshakeTimeoutMs: limits.handshakeTimeoutMs,
      handshakesMax: limits.maxPendingHandshakes,
    })
    server.maxConnections = limits.maxConnections
    server.on('upgrade', (request, socket, head) =>
      this.#onUpgrade(request, socket as Socket, head),
    )
    server.on('request', (request, response) => {
      this.#onRequest({ request, response, expectsContinue: false })
    })
    server.on('checkContinue', (request, response) => {
      this.#onRequest({ request, response, expectsContinue: true })
    })
    server.on('clientError', (error, socket) => {
      this.#options.metrics.refused('WIRE_MALFORMED')
      this.#options.log.debug({ err: error }, 'closed a connection that does not speak HTTP')
      socket.destroy()
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenError(address, error)))
      server.listen({ host: address.host, port: address.port }, () => resolve())
    })
    server.on('error', (error) => this.#options.log.error({ err: error }, 'peer listener failed'))
    this.#servers.push(server)
  }

  #onConnection(socket: Socket): void {
    if (this.#closed) {
      socket.destroy()
      return
    }
    const { limits, timers } = this.#options
    // The oldest one goes: a real peer is through in milliseconds, so whoever fills the table cannot keep it out.
    if (this.#pending.size >= limits.maxPendingHandshakes) {
      for (const oldest of this.#pending.keys()) {
        this.#settle(oldest)
        oldest.destroy()
        break
      }
    }
    this.#sockets.add(socket)
    this.#pending.set(
      socket,
      timers.after(limits.handshakeTimeoutMs, () => socket.destroy()),
    )
    // 'close' follows and says it all.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#settle(socket)
      this.#sockets.delete(socket)
    })
  }

  /** The handshake ended: its deadline is gone and it counts no more. */
  #settle(socket: Socket): void {
    this.#pending.get(socket)?.cancel()
    this.#pending.delete(socket)
  }

  #onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    if (this.#closed || socket.destroyed) {
      socket.destroy()
      return
    }
    const judged = this.#judgeUpgrade(request)
    if (!judged.accepted) {
      this.#complain(request, judged)
      // Its deadline stays in force until it is closed.
      socket.end(rawProblem(judged.refusal))
      socket.resume()
      return
    }
    this.#settle(socket)
    this.#forgive(judged.identity.memberId, socket.remoteAddress)
    const fields = { Connection: 'Upgrade', Upgrade: UPGRADE_TOKEN }
    socket.write(
      rawHead(101, 'Switching Protocols', { ...fields, ...welcomeFields(this.#options.self) }),
    )
    this.#options.onLink({ socket, head, identity: judged.identity })
  }

  #judgeUpgrade(request: IncomingMessage): Judgement {
    if (request.url !== PEER_PATH || request.method !== 'GET') {
      return { accepted: false, refusal: NOT_SERVED }
    }
    if (request.headers.upgrade !== UPGRADE_TOKEN) return { accepted: false, refusal: NOT_UPGRADED }
    return this.#judgeClaim(request)
  }

  /** Who it says it is, and whether its certificate says so too. */
  #judgeClaim({ headers, socket }: IncomingMessage): Judgement {
    const { self, known, network } = this.#options
    const judged = judgeHello(self, headers, known)
    if (!judged.accepted) return judged
    const { identity } = judged
    // What is known of it counts; only of a member not heard of before, what it says.
    const peerUrls = known.peerUrlsOf(identity.memberId) ?? identity.peerUrls ?? []
    const fault = network.judgePeer?.(socket, peerUrls)
    if (fault === undefined) return judged
    return { accepted: false, refusal: certificateRefusal(fault), identity }
  }

  #onRequest(upload: Upload): void {
    const { request, response } = upload
    if (this.#answerQuestion(request, response)) return
    const judged = this.#judgeRequest(request)
    if (!judged.accepted) {
      this.#complain(request, judged)
      sendProblem(response, judged.refusal)
      request.resume()
      return
    }
    this.#settle(request.socket)
    this.#options.onSnapshot(judged.identity, upload)
  }

  /** A member with a blank disk asks who is known here: anybody may ask, and learns ids, names and peer URLs. */
  #answerQuestion(request: IncomingMessage, response: ServerResponse): boolean {
    const { self, hasTakenPart, describeCluster } = this.#options
    if (hasTakenPart === undefined || request.method !== 'GET') return false
    const view = request.url === CLUSTER_PATH ? describeCluster?.() : undefined
    if (view !== undefined) {
      sendAnswer(response, { clusterId: self.clusterId, ...view })
      return true
    }
    const about = questionOf(request.url ?? '')
    if (about === undefined) return false
    const { clusterId, memberId, name } = self
    sendAnswer(response, { clusterId, memberId, name, takenPart: hasTakenPart(about) })
    return true
  }

  #judgeRequest(request: IncomingMessage): Judgement {
    const { url, method } = request
    if (url === PEER_PATH) return { accepted: false, refusal: NOT_UPGRADED }
    if (url !== SNAPSHOT_PATH || method !== 'POST') return { accepted: false, refusal: NOT_SERVED }
    return this.#judgeClaim(request)
  }

  /** One line for each claimed member and reason, not for each attempt. Strangers are only counted. */
  #complain(request: IncomingMessage, judged: Judgement & { accepted: false }): void {
    const { refusal, identity } = judged
    const { log, metrics, self } = this.#options
    metrics.refused(refusal.code)
    const { code, reason, detail, expected, got } = refusal
    const { remoteAddress } = request.socket
    const fields = { remoteAddress, code, reason, detail, expected, got }
    // Of its own attempts the dialling side of this member tells.
    if (reason === 'self') return
    if (reason === 'malformed') {
      log.debug(fields, 'refused a peer connection')
      return
    }
    const claimed = identity?.memberId ?? remoteAddress ?? ''
    if (!this.#isNews(claimed, [code, reason, expected, got].join(' '))) return
    const differs =
      reason === 'cluster' && self.initialCluster && identity?.initialCluster
        ? diffInitialClusters(self.initialCluster, identity.initialCluster)
        : undefined
    const peer = { peer: identity?.memberId, peerName: identity?.name }
    log.warn({ ...peer, ...fields, differs }, 'refused a peer connection')
  }

  /** Whether this was not the last thing said about somebody. */
  #isNews(about: string, complaint: string): boolean {
    if (this.#complaints.get(about) === complaint) return false
    this.#complaints.delete(about)
    this.#complaints.set(about, complaint)
    if (this.#complaints.size > COMPLAINTS_MAX) {
      for (const oldest of this.#complaints.keys()) {
        this.#complaints.delete(oldest)
        break
      }
    }
    return true
  }

  /** Somebody is in: what is wrong with it later is news again. */
  #forgive(member: MemberId, remoteAddress: string | undefined): void {
    this.#complaints.delete(member)
    for (const about of this.#complaints.keys()) {
      if (about.startsWith(`${remoteAddress} `)) this.#complaints.delete(about)
    }
  }

  /** Before a word of HTTP: no TLS, or a certificate that is not good enough. Who it is, only the address tells. */
  #onTurnedAway(refusal: CertificateRefusal | HandshakeFailure, socket: Socket): void {
    const { log, metrics } = this.#options
    const { remoteAddress } = socket
    const certificate = (socket as TLSSocket).getPeerX509Certificate()
    const fields = { remoteAddress, ...refusal, subject: certificate?.subject }
    metrics.refused('CERTIFICATE_REFUSED')
    const { reason, detail } = refusal
    // Whoever only connects and goes is a probe of a port.
    const isProbe = reason === 'handshake' && detail === 'ECONNRESET'
    const about = [remoteAddress, certificate?.fingerprint256, reason, detail].join(' ')
    if (isProbe || !this.#isNews(about, '')) {
      log.debug(fields, 'rejected connection on peer endpoint')
    } else {
      log.warn(fields, 'rejected connection on peer endpoint')
    }
  }
}

const COMPLAINTS_MAX = 64

const SERVER_OPTIONS = {
  maxHeaderSize: HEADER_BYTES_MAX,
  // Deadlines are ours: one for the whole handshake, one for each piece of a snapshot.
  headersTimeout: 0,
  requestTimeout: 0,
  keepAliveTimeout: 0,
  noDelay: true,
} as const

function certificateRefusal(refusal: CertificateRefusal): Refusal {
  return { status: 403, code: 'CERTIFICATE_REFUSED', ...refusal }
}

const NOT_SERVED: Refusal = {
  status: 404,
  code: 'NOT_FOUND',
  reason: 'malformed',
  detail: 'peers are served here and nothing else',
}
const NOT_UPGRADED: Refusal = {
  status: 426,
  code: 'PROTOCOL_MISMATCH',
  reason: 'malformed',
  detail: `an upgrade to ${UPGRADE_TOKEN} is required`,
}

/** Answers with a problem document and closes the connection behind it. */
export function sendProblem(response: ServerResponse, refusal: Refusal): void {
  const body = encodeProblem(refusal)
  response.writeHead(refusal.status, {
    Connection: 'close',
    'Content-Type': PROBLEM_TYPE,
    'Content-Length': body.length,
  })
  response.end(body)
}

function rawProblem(refusal: Refusal): Buffer {
  const body = encodeProblem(refusal)
  const { status } = refusal
  const upgrade = status === 426 ? { Upgrade: UPGRADE_TOKEN } : {}
  const head = rawHead(status, titleOf(status), {
    Connection: 'close',
    'Content-Type': PROBLEM_TYPE,
    'Content-Length': String(body.length),
    ...upgrade,
  })
  return Buffer.concat([Buffer.from(head), body])
}

/** Values are ours or percent-encoded: no line break can be smuggled in. */
function rawHead(status: number, title: string, fields: Readonly<Record<string, string>>): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${title}\r\n${lines.join('')}\r\n`
}

function listenError(address: ListenAddress, cause: NodeJS.ErrnoException): RaftbaseError {
  const details = { ...address, reason: cause.code }
  if (cause.code === 'EADDRINUSE') {
    return new RaftbaseError(
      'ADDRESS_IN_USE',
      `listen tcp ${address.host}:${address.port}: bind: address already in use`,
      { details, cause },
    )
  }
  return new RaftbaseError('CONFIG_INVALID', 'cannot listen on the peer address', {
    details,
    cause,
  })
}
