// What the REST tests share: an app over an in-memory member, listening or not, and a raw HTTP/1.1 client that sends
// exactly the bytes it is given.

import { type IncomingHttpHeaders, request as httpRequest } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { onTestFinished } from 'vitest'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { Registry } from '../../../lib/metrics.ts'
import { type AdmissionLimits, admissionLimits } from '../../../member/src/limits.ts'
import { Admission } from '../../../member/src/node/admission.ts'
import { createRestApp } from '../../../member/src/rest/app.ts'
import { REST_LIMITS, type RestLimits } from '../../../member/src/rest/limits.ts'
import { MemoryMemberNode } from '../../support/memory-member-node.ts'

export interface LogLine {
  readonly level: string
  readonly fields: Record<string, unknown>
  readonly message: string
}

export interface TestApp {
  readonly app: FastifyInstance
  readonly node: MemoryMemberNode
  readonly admission: Admission
  readonly metrics: Registry
  readonly lines: LogLine[]
}

/** An app that closes when the test ends. */
export function testApp(
  limits: Partial<RestLimits> = {},
  admissions: AdmissionLimits = admissionLimits(1000),
): TestApp {
  const node = new MemoryMemberNode()
  const metrics = new Registry()
  const lines: LogLine[] = []
  const write = (level: string) => (fields: unknown, message?: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message: message ?? '' })
  }
  const log = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  }
  const admission = new Admission({
    limits: admissions,
    clock: systemClock,
    timers: systemTimers,
    read: () => Promise.resolve(),
  })
  const app = createRestApp({
    node,
    admission,
    log,
    metrics,
    limits: { ...REST_LIMITS, ...limits },
  })
  onTestFinished(() => app.close())
  return { app, node, admission, metrics, lines }
}

export async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** The value of one series as /metrics shows it; undefined when it is not there. */
export function metric(registry: Registry, series: string): number | undefined {
  const line = registry
    .render()
    .split('\n')
    .find((text) => text.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

/** Waits until `condition` holds; the test's timeout is the deadline. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

export interface Received {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** One request whose path goes out as it is: fetch would resolve dots in it. An array is a chunked body. */
export function send(
  port: number,
  method: string,
  path: string,
  body?: Uint8Array | readonly Uint8Array[],
): Promise<Received> {
  const { promise, resolve, reject } = Promise.withResolvers<Received>()
  const request = httpRequest({ port, host: '127.0.0.1', method, path, agent: false })
  request.on('error', reject)
  request.on('response', (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('end', () => {
      const { statusCode = 0, headers } = response
      resolve({ status: statusCode, headers, body: Buffer.concat(chunks) })
    })
  })
  if (Array.isArray(body)) for (const chunk of body) request.write(chunk)
  if (body instanceof Uint8Array) request.end(body)
  else request.end()
  return promise
}

export class RawClient {
  readonly socket: Socket
  #received = ''
  #isClosed = false

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.setEncoding('latin1')
    this.socket.on('data', (text: string) => {
      this.#received += text
    })
    // A reset is one of the ways in which the server ends a connection.
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      this.#isClosed = true
    })
    onTestFinished(() => {
      this.socket.destroy()
    })
  }

  get received(): string {
    return this.#received
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  send(text: string | Uint8Array): this {
    if (typeof text === 'string') this.socket.write(text, 'latin1')
    else this.socket.write(text)
    return this
  }

  /** Everything that came until the server closed the connection. */
  async untilClosed(): Promise<string> {
    await until(() => this.#isClosed)
    return this.#received
  }

  async untilReceived(pattern: RegExp): Promise<string> {
    await until(() => pattern.test(this.#received) || this.#isClosed)
    return this.#received
  }
}
