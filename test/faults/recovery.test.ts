// A member that reads its log tells how it is all the while: the event loop turns often enough for an answer within 50 ms, and
// what it answers is the truth about a member that has not read its log yet.

import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import type { Status } from '../../member/src/rest/contract.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import type { Answer } from '../support/asker.ts'
import { Asker, later, summaryOf } from './support/answers.ts'
import { IS_LONG, LEFT_TO_LONG } from './support/duration.ts'

vi.setConfig({ testTimeout: 600_000, hookTimeout: 30_000 })

const LOOP_GAPS = fileURLToPath(new URL('../support/loop-gaps.ts', import.meta.url))
/** Of 1,000 bytes each. */
const ENTRIES = IS_LONG ? 300_000 : 12_000
const CLIENTS = 64
/** Of one turn of the event loop, in processor time: the rest of an answer is the network and what others do. */
const TURN_MS = 50
/** Of each whole answer, beside what asker and asked waited for a processor. */
const ANSWER_MS = 50

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

interface Told extends Answer {
  readonly status: Status
}

/** Starts a member that has something to read and asks for its status all the while; resolves once it is ready. */
async function watchStart(c: ProcessCluster, member: MemberProcess): Promise<readonly Told[]> {
  c.nodeFlags = [...c.nodeFlags, `--import=${LOOP_GAPS}`]
  const { pid } = c.start(member)
  const asker = new Asker({ url: `${member.api}/v1/status`, pid: pid!, everyMs: 5 })
  onTestFinished(() => asker.stop())
  const seen: Told[] = []
  await eventually(
    'the end of its start',
    () => {
      for (const answer of asker.answers.splice(0)) {
        // Until it listens there is nobody to ask.
        if (answer.code === 0 && seen.length === 0) continue
        expect(answer).toMatchObject({ code: 200 })
        seen.push({ ...answer, status: JSON.parse(answer.body) as Status })
      }
      return seen.at(-1)?.status.ready === true || undefined
    },
    { timeoutMs: 300_000, explain: () => c.outputs() },
  )
  await asker.stop()
  return seen
}

async function largestTurnMs(member: MemberProcess, from: number): Promise<number> {
  member.child!.kill('SIGUSR2')
  const line = await eventually('the gaps', () => {
    return member.output
      .slice(from)
      .split('\n')
      .find((text) => text.includes('loop gaps'))
  })
  return (JSON.parse(line) as { largestMs: number }).largestMs
}

/** A member that has been filled and stopped in order starts again; its answers meanwhile, and no turn of its loop, take too long. */
async function startsWatched(
  flags: readonly string[],
  what: string,
): Promise<{
  readonly member: MemberProcess
  readonly seen: readonly Told[]
  readonly reading: readonly Told[]
}> {
  const c = (cluster = await ProcessCluster.create(1, flags))
  const [member] = c.members as [MemberProcess]
  c.start(member)
  await c.agreedLeader()
  await fill(member)
  expect(await c.kill(member, 'SIGTERM')).toBe(0)
  const before = member.output.length
  const seen = await watchStart(c, member)
  const reading = seen.filter(({ status }) => status.state === 'recovering')
  expect(reading.length).toBeGreaterThan(0)
  console.log(`status ${what}: ${summaryOf(reading)} (limit ${ANSWER_MS} ms)`)
  expect(later(ANSWER_MS, reading)).toEqual([])
  const largestMs = await largestTurnMs(member, before)
  console.log(`longest turn meanwhile: ${largestMs.toFixed(1)} ms (limit ${TURN_MS} ms)`)
  expect(largestMs).toBeGreaterThan(0)
  expect(largestMs).toBeLessThan(TURN_MS)
  return { member, seen, reading }
}

test('a member that reads its log tells its status within 50 ms', async () => {
  // One file of log and no snapshot: all of it is read again.
  const { seen, reading } = await startsWatched(
    ['-snapshot-log-bytes=68719476736'],
    `while ${ENTRIES} entries were read`,
  )
  for (const { status } of reading) {
    expect(status).toMatchObject({ name: 'n1', ready: false, notReadyReason: 'recovering' })
    expect(status.dataDirectory.state).toBe('Valid')
    expect(['readingLog', 'openingPeers']).toContain(status.startupPhase)
  }
  expect(seen.at(-1)!.status.applied).toBeGreaterThan(ENTRIES)
})

if (!IS_LONG) console.log(`skipped, the status while a snapshot is read: ${LEFT_TO_LONG}`)
test.runIf(IS_LONG)('a member that reads a snapshot tells its status within 50 ms', async () => {
  const { member } = await startsWatched(
    [],
    `while a snapshot and a log of ${ENTRIES} entries were read`,
  )
  expect(member.output).toContain('snapshot saved')
})
