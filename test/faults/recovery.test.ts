// A member that reads its log tells how it is all the while: the event loop turns often enough for an answer within 50 ms, and
// what it answers is the truth about a member that has not read its log yet.

import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test, vi } from 'vitest'
import type { Status } from '../../member/src/rest/contract.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 30_000 })

const LOOP_GAPS = fileURLToPath(new URL('../support/loop-gaps.ts', import.meta.url))
const ENTRIES = 20_000
const CLIENTS = 64
/** Of one turn of the event loop, in processor time: the rest of an answer is the network and what others do. */
const TURN_MS = 50

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

/** As many puts as that, as fast as they go. */
async function fill({ apiPort }: MemberProcess): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  const value = Buffer.alloc(1000, 'x')
  let next = 0
  const put = (key: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const options = {
        agent,
        port: apiPort,
        host: '127.0.0.1',
        method: 'PUT',
        path: `/v1/kv/k${key}`,
      }
      const sent = request(options, (response) => {
        response.resume().once('end', () => resolve())
      })
      sent.once('error', reject).end(value)
    })
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (next < ENTRIES) await put(next++)
    }),
  )
  agent.destroy()
}

async function status({ api }: MemberProcess): Promise<Status | undefined> {
  try {
    return (await (await fetch(`${api}/v1/status`)).json()) as Status
  } catch {
    return undefined // It does not listen yet: asked again.
  }
}

test('a member that reads its log tells its status within 50 ms', async () => {
  // One file of log and no snapshot: all of it is read again.
  const c = (cluster = await ProcessCluster.create(1, ['-snapshot-log-bytes=68719476736']))
  const [member] = c.members as [MemberProcess]
  c.start(member)
  await c.agreedLeader()
  await fill(member)
  expect(await c.kill(member, 'SIGTERM')).toBe(0)
  const before = member.output.length
  c.nodeFlags = [...c.nodeFlags, `--import=${LOOP_GAPS}`]
  c.start(member)
  const seen: Status[] = []
  await eventually('the end of its start', async () => {
    const told = await status(member)
    if (told !== undefined) seen.push(told)
    return told?.ready === true || undefined
  })
  const reading = seen.filter(({ state }) => state === 'recovering')
  expect(reading.length).toBeGreaterThan(0)
  for (const told of reading) {
    expect(told).toMatchObject({ name: 'n1', ready: false, notReadyReason: 'recovering' })
    expect(told.dataDirectory.state).toBe('Valid')
    expect(['readingLog', 'openingPeers']).toContain(told.startupPhase)
  }
  expect(seen.at(-1)!.applied).toBeGreaterThan(ENTRIES)
  member.child!.kill('SIGUSR2')
  const line = await eventually('the gaps', () => {
    return member.output
      .slice(before)
      .split('\n')
      .find((text) => text.includes('loop gaps'))
  })
  const { largestMs } = JSON.parse(line) as { largestMs: number }
  console.log(
    `longest turn while ${ENTRIES} entries were read: ${largestMs.toFixed(1)} ms (limit ${TURN_MS} ms)`,
  )
  expect(largestMs).toBeGreaterThan(0)
  expect(largestMs).toBeLessThan(TURN_MS)
})
