// Probes and status of real members in the three situations that must not get a member restarted: no quorum, a disk that
// hangs, more load than it can bear. And how a member ends when it is told to, in each of them.

import { afterEach, expect, test, vi } from 'vitest'
import {
  eventually,
  freePorts,
  type MemberProcess,
  ProcessCluster,
} from '../support/process-cluster.ts'
import { StallProbe } from './support/stalls.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 30_000 })

/** What status and probes may take, beside what they waited for a processor; some answers may have waited for something else. */
const ANSWER_MS = 50
const LATE_MAX = 5
const ASKED = 26
/** Of a stop, from the signal to the end of the process. */
const STOP_MS = 10_000

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

async function start(count: number): Promise<{ c: ProcessCluster; probePorts: readonly number[] }> {
  cluster = await ProcessCluster.create(count)
  const c = cluster
  const probePorts = await freePorts(count)
  for (const [i, member] of c.members.entries()) {
    member.environment = { RAFTBASE_FAILPOINTS: '' }
    c.start(member, [...c.flags(member), `-listen-metrics-urls=http://127.0.0.1:${probePorts[i]}`])
  }
  await c.agreedLeader()
  for (const member of c.members) await ready(member)
  return { c, probePorts }
}

function ready(member: MemberProcess): Promise<true> {
  return eventually(
    `${member.name} ready`,
    async () => {
      // One that has ended refuses the connection: its output tells why, at the deadline.
      const answer = await fetch(`${member.api}/readyz`).catch(() => undefined)
      return answer?.ok === true ? true : undefined
    },
    { explain: () => cluster?.outputs() ?? '' },
  )
}

interface Asked {
  readonly codes: readonly number[]
  readonly medianMs: number
  /** Those that took longer than they may. */
  readonly late: readonly string[]
}

/** Asks often, one question after the other. */
async function asked(what: string, url: string): Promise<Asked> {
  const codes = new Set<number>()
  const answers: { readonly fromMs: number; readonly toMs: number }[] = []
  const stalls = new StallProbe(() => cluster!.running.map(({ child }) => child!.pid!))
  for (let i = 0; i < ASKED; i++) {
    const fromMs = performance.now()
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) })
    await response.arrayBuffer()
    answers.push({ fromMs, toMs: performance.now() })
    codes.add(response.status)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  stalls.stop()
  const durations = answers.map(({ fromMs, toMs }) => toMs - fromMs).toSorted((a, b) => a - b)
  const [medianMs, slowestMs] = [durations[ASKED / 2]!, durations.at(-1)!]
  const late = answers
    .map(({ fromMs, toMs }) => ({ ms: toMs - fromMs, heldUpMs: stalls.between(fromMs, toMs) }))
    .filter(({ ms, heldUpMs }) => ms - heldUpMs > ANSWER_MS)
    .map(({ ms, heldUpMs }) => `${ms.toFixed(1)} ms, of which held up ${heldUpMs.toFixed(1)} ms`)
  console.log(
    `${what}: median ${medianMs.toFixed(1)} ms, slowest ${slowestMs.toFixed(1)} ms (limit ${ANSWER_MS} ms)`,
  )
  return { codes: [...codes], medianMs, late }
}

async function answers(what: string, url: string, code: number): Promise<void> {
  const { codes, late } = await asked(what, url)
  expect(codes).toEqual([code])
  expect(late.slice(LATE_MAX)).toEqual([])
}

test('without a quorum a member is alive and started, not ready, and tells its status', async () => {
  const { c, probePorts } = await start(3)
  const [n1, n2, n3] = c.members as [MemberProcess, MemberProcess, MemberProcess]
  await c.kill(n2)
  await c.kill(n3)
  const probes = `http://127.0.0.1:${probePorts[0]}`
  await eventually(
    'not ready',
    async () => {
      const answer = await fetch(`${probes}/readyz`).catch(() => undefined)
      return answer?.ok === false ? true : undefined
    },
    { explain: () => c.outputs() },
  )
  const reason = ((await (await fetch(`${probes}/readyz`)).json()) as { reason: string }).reason
  expect(['noLeader', 'unconfirmed']).toContain(reason)
  await answers('livez without a quorum', `${probes}/livez`, 200)
  await answers('startupz without a quorum', `${probes}/startupz`, 200)
  await answers('status without a quorum', `${n1.api}/v1/status`, 200)
  const startMs = Date.now()
  expect(await c.kill(n1, 'SIGTERM')).toBe(0)
  expect(Date.now() - startMs).toBeLessThan(STOP_MS)
})

test('while the disk of a member hangs it is alive, and tells its status', async () => {
  const { c, probePorts } = await start(3)
  const leader = await c.agreedLeader()
  const victim = c.members.find((member) => member !== leader)!
  const probes = `http://127.0.0.1:${probePorts[c.members.indexOf(victim)]}`
  const before = victim.output.length
  victim.child!.send({ failpoints: 'walBeforeWrite=sleep(60000)' })
  const put = await fetch(`${leader.api}/v1/kv/k`, { method: 'PUT', body: 'v' })
  expect(put.status).toBe(200)
  await eventually('the hanging write', () => {
    return victim.output.slice(before).includes('failpoint') ? true : undefined
  })
  await answers('livez while the disk hangs', `${probes}/livez`, 200)
  await answers('startupz while the disk hangs', `${probes}/startupz`, 200)
  await answers('status while the disk hangs', `${victim.api}/v1/status`, 200)
})

test('under more load than it can bear a member is alive, and tells its status', async () => {
  const { c, probePorts } = await start(3)
  const leader = await c.agreedLeader()
  const probes = `http://127.0.0.1:${probePorts[c.members.indexOf(leader)]}`
  const body = 'x'.repeat(16 * 1024)
  const load = new AbortController()
  let done = 0
  const work = async (worker: number): Promise<void> => {
    for (let i = 0; !load.signal.aborted; i++) {
      const response = await fetch(`${leader.api}/v1/kv/load-${worker}-${i % 8}`, {
        method: 'PUT',
        body,
      })
      await response.arrayBuffer()
      done++
    }
  }
  const workers = Array.from({ length: 128 }, (_, worker) => work(worker))
  await eventually('load', () => (done > 1000 ? true : undefined), { timeoutMs: 30_000 })
  const before = done
  const live = await asked('livez under load', `${probes}/livez`)
  const told = await asked('status under load', `${leader.api}/v1/status`)
  console.log(`${done - before} writes meanwhile`)
  load.abort()
  await Promise.all(workers)
  expect([live.codes, told.codes]).toEqual([[200], [200]])
  expect(done - before).toBeGreaterThan(100)
  // kubelet gives up after five seconds. Most of the time goes by in this process, which makes the load.
  expect(live.medianMs).toBeLessThan(1000)
  expect(told.medianMs).toBeLessThan(1000)
})

test('a leader that is told to stop hands over, finishes what is under way and ends in time', async () => {
  const { c } = await start(3)
  const leader = await c.agreedLeader()
  const outcomes: number[] = []
  const stopping = new AbortController()
  const writer = (async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        const response = await fetch(`${leader.api}/v1/kv/w`, { method: 'PUT', body: 'v' })
        await response.arrayBuffer()
        outcomes.push(response.status)
      } catch {
        // Not accepted any more: nothing was under way.
        return
      }
    }
  })()
  await eventually('writes', () => (outcomes.length > 20 ? true : undefined))
  const startMs = Date.now()
  expect(await c.kill(leader, 'SIGTERM')).toBe(0)
  const stopMs = Date.now() - startMs
  stopping.abort()
  await writer
  console.log(`the leader ended after ${stopMs} ms, ${outcomes.length} writes`)
  expect(stopMs).toBeLessThan(STOP_MS)
  // Done, or certainly not done.
  expect(outcomes.filter((status) => status !== 200 && status !== 503)).toEqual([])
  const others = c.members.filter((member) => member !== leader)
  const next = await c.agreedLeader({ among: others, timeoutMs: 1000 })
  expect(others).toContain(next)
})
