// A member that reads its log tells how it is all the while: the event loop turns often enough for an answer within 50 ms, and
// what it answers is the truth about a member that has not read its log yet.

import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import type { Status } from '../../member/src/rest/contract.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import { IS_LONG, LEFT_TO_LONG } from './support/duration.ts'
import { StallProbe } from './support/stalls.ts'

vi.setConfig({ testTimeout: 600_000, hookTimeout: 30_000 })

const LOOP_GAPS = fileURLToPath(new URL('../support/loop-gaps.ts', import.meta.url))
/** Of 1,000 bytes each. */
const ENTRIES = IS_LONG ? 300_000 : 12_000
const CLIENTS = 64
/** Of one turn of the event loop, in processor time: the rest of an answer is the network and what others do. */
const TURN_MS = 50
/** Of a whole answer, beside what the processes waited for a processor; some may have waited for something else. */
const ANSWER_MS = 50
const LATE_SHARE_MAX = 0.1

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

interface Told {
  readonly status: Status
  readonly fromMs: number
  readonly toMs: number
}

async function ask({ api }: MemberProcess): Promise<Told | undefined> {
  const fromMs = performance.now()
  try {
    const status = (await (await fetch(`${api}/v1/status`)).json()) as Status
    return { status, fromMs, toMs: performance.now() }
  } catch {
    return undefined // It does not listen yet: asked again.
  }
}

/** Starts a member that has something to read and asks for its status all the while; resolves once it is ready. */
async function watchStart(
  c: ProcessCluster,
  member: MemberProcess,
): Promise<{ readonly seen: readonly Told[]; readonly stalls: StallProbe }> {
  c.nodeFlags = [...c.nodeFlags, `--import=${LOOP_GAPS}`]
  c.start(member)
  const stalls = new StallProbe(() => (member.child === undefined ? [] : [member.child.pid!]))
  onTestFinished(() => stalls.stop())
  const seen: Told[] = []
  await eventually(
    'the end of its start',
    async () => {
      const told = await ask(member)
      if (told !== undefined) seen.push(told)
      return told?.status.ready === true || undefined
    },
    { timeoutMs: 300_000, explain: () => c.outputs() },
  )
  return { seen, stalls }
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

/** Prints how long answers took, and returns those that took longer than they may unless they are few. */
function tooLate(what: string, told: readonly Told[], stalls: StallProbe): readonly string[] {
  const sorted = told.map(({ fromMs, toMs }) => toMs - fromMs).toSorted((a, b) => a - b)
  const at = (part: number): string => sorted[Math.floor((sorted.length - 1) * part)]!.toFixed(1)
  console.log(
    `status ${what}: ${told.length} answers, median ${at(0.5)}, p99 ${at(0.99)}, slowest ${at(1)} ms`,
  )
  const late = told
    .map(({ fromMs, toMs }) => ({ ms: toMs - fromMs, heldUpMs: stalls.between(fromMs, toMs) }))
    .filter(({ ms, heldUpMs }) => ms - heldUpMs > ANSWER_MS)
    .map(({ ms, heldUpMs }) => `${ms.toFixed(1)} ms, of which held up ${heldUpMs.toFixed(1)} ms`)
  return late.length <= Math.max(1, LATE_SHARE_MAX * told.length) ? [] : late
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
  const { seen, stalls } = await watchStart(c, member)
  const reading = seen.filter(({ status }) => status.state === 'recovering')
  expect(reading.length).toBeGreaterThan(0)
  expect(tooLate(what, reading, stalls)).toEqual([])
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
