// What stands in front of an HTTP server with TLS: whoever may not come in reaches nothing behind it, whatever that is. A
// route that is added tomorrow is closed because no request gets as far as routes (X1).

import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { systemTimers } from '../../../lib/clock.ts'
import { secureServer } from '../../../lib/tls/secure-server.ts'
import { authority, leaf } from '../../support/certificates.ts'

const ca = authority()
const own = leaf(ca)

/** A server that does whatever anybody asks, and tells which of its doors was used. */
async function obliging(): Promise<{ port: number; used: string[] }> {
  const used: string[] = []
  const server = createServer()
  for (const door of ['request', 'checkContinue', 'checkExpectation'] as const) {
    server.on(door, (_request, response) => {
      used.push(door)
      response.end('done')
    })
  }
  for (const door of ['upgrade', 'connect'] as const) {
    server.on(door, (_request, socket) => {
      used.push(door)
      socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n')
    })
  }
  server.on('clientError', (_error, socket) => {
    used.push('clientError')
    socket.destroy()
  })
  secureServer(server, {
    context: { cert: own.certificate, key: own.key, ca: ca.certificate },
    requiresCertificate: true,
    judge: () => undefined,
    refusalText: () => Buffer.from('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n'),
    onRefused: () => undefined,
    timers: systemTimers,
    handshakeTimeoutMs: 1000,
    handshakesMax: 8,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, used }
}

function send(port: number, text: string, certificate: object): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect({ port, host: '127.0.0.1', ca: ca.certificate, ...certificate })
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      answer += chunk
      if (answer.includes('\r\n\r\n')) socket.end()
    })
    socket.on('error', () => undefined)
    socket.once('close', () => resolve(answer.split('\r\n')[0]!))
    socket.write(text)
  })
}

const REQUESTS = {
  request: 'GET /whatever HTTP/1.1\r\nHost: x\r\n\r\n',
  checkContinue: 'PUT /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1',
  checkExpectation: 'PUT /x HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 1\r\n\r\n1',
  upgrade: 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
  connect: 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n',
  clientError: 'no HTTP at all\r\n\r\n',
}

test('X1: without a certificate no door of a server is reached, with one each is', async () => {
  const { port, used } = await obliging()
  for (const text of Object.values(REQUESTS)) {
    expect(await send(port, text, {})).toBe('HTTP/1.1 403 Forbidden')
  }
  expect(used).toEqual([])
  for (const text of Object.values(REQUESTS)) {
    await send(port, text, { cert: own.certificate, key: own.key })
  }
  expect(used).toEqual(Object.keys(REQUESTS))
})
