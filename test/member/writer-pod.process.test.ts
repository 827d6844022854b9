// The writer of the Kubernetes scenarios, whose verdict is that nothing acknowledged is lost: it has to tell a member's
// answer from that of whatever else a connection may end at.

import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import {
  eventually,
  freePorts,
  type MemberProcess,
  ProcessCluster,
} from '../support/process-cluster.ts'

const WRITER = fileURLToPath(new URL('../e2e/support/writer-pod.mjs', import.meta.url))

interface Report {
  readonly acknowledged: number
  readonly strangers: number
  readonly lastStranger: string
  readonly staleReads: readonly string[]
}

interface Verification {
  readonly verified: number
  readonly missingCount: number
  readonly missing: readonly string[]
}

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port: 0 }, resolve)
  })
  return (server.address() as AddressInfo).port
}

/** A front that leads every third connection to one who has nothing and keeps every connection open. */
async function frontOf(memberPort: number): Promise<number> {
  const stranger = createServer((_, answer) => answer.writeHead(404, { server: 'stranger' }).end())
  const strangerPort = await portOf(stranger)
  let connections = 0
  const front = createTcpServer((socket) => {
    const port = connections++ % 3 === 0 ? strangerPort : memberPort
    const onwards = connect({ host: '127.0.0.1', port })
    for (const [from, to] of [
      [socket, onwards],
      [onwards, socket],
    ] as const) {
      from.on('error', () => to.destroy())
      from.pipe(to)
    }
  })
  onTestFinished(() => {
    stranger.closeAllConnections()
    stranger.close()
    front.close()
  })
  return portOf(front)
}

async function startWriter(targetPort: number): Promise<<T>(question: string) => Promise<T>> {
  const [port] = (await freePorts(1)) as [number]
  const env = { ...process.env, TARGET: `http://127.0.0.1:${targetPort}`, PORT: String(port) }
  const child = spawn(process.execPath, [WRITER], { env, stdio: 'inherit' })
  onTestFinished(() => void child.kill('SIGKILL'))
  return async (question) => (await fetch(`http://127.0.0.1:${port}/${question}`)).json() as never
}

test('a writer takes no stranger’s answer for a member’s, and finds what is missing', async () => {
  const cluster = await ProcessCluster.create(1)
  onTestFinished(() => cluster.destroy())
  const [member] = cluster.members as [MemberProcess]
  cluster.start(member)
  await cluster.agreedLeader()
  const ask = await startWriter(await frontOf(member.apiPort))

  await eventually('acknowledged writes', async () => {
    // It may not listen yet.
    const report = await ask<Report>('report').catch(() => undefined)
    return report && report.acknowledged >= 30 && report.strangers > 0 ? true : undefined
  })
  const { verified, missing } = await ask<Verification>('verify')
  expect(verified).toBeGreaterThanOrEqual(30)
  expect(missing).toEqual([])
  const report = await ask<Report>('report')
  expect(report.staleReads).toEqual([])
  expect(report.lastStranger).toContain('404 ["server","stranger"')

  await fetch(`http://127.0.0.1:${member.apiPort}/v1/kv/writer-7`, { method: 'DELETE' })
  const after = await ask<Verification>('verify')
  expect(after.missingCount).toBe(1)
  expect(after.missing[0]).toMatch(/^writer-7: 404 \{/)
})
