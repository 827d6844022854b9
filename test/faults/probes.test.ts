// Probes and status of real members in the three situations that must not get a member restarted: no quorum, a disk that
// hangs, more load than it can bear. And how a member ends when it is told to, in each of them.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import {
  eventually,
  freePorts,
  type MemberProcess,
  ProcessCluster,
} from '../support/process-cluster.ts'
import type { Status } from '../../member/src/rest/contract.ts'
import type { Answer } from '../support/asker.ts'
import { Asker, later, summaryOf } from './support/answers.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 30_000 })

/** What status and probes may take, beside what asker and asked waited for a processor. */
const ANSWER_MS = 50
const ASKED = 25
/** Of Node.js, by default. */
const FILE_THREADS = 4
const HUNG_DISK = fileURLToPath(new URL('../support/hung-disk.ts', import.meta.url))
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
    member.environment = { NODE_OPTIONS: `--import=${HUNG_DISK}` }
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
  readonly url: string
  readonly pid: number
  readonly count?: number
}

/** So many answers of a process, one after the other. */
async function asked(what: string, { url, pid, count = ASKED }: Asked): Promise<readonly Answer[]> {
  const asker = new Asker({ url, pid, everyMs: 10 })
  onTestFinished(() => asker.stop())
  const { answers } = asker
  const enough = (): true | undefined => (answers.length >= count ? true : undefined)
  await eventually(what, enough, { timeoutMs: 30_000, explain: () => cluster?.outputs() ?? '' })
  await asker.stop()
  console.log(`${what}: ${summaryOf(answers)} (limit ${ANSWER_MS} ms)`)
  return answers
}

async function answers(what: string, member: MemberProcess, url: string): Promise<void> {
  const told = await asked(what, { url, pid: member.child!.pid! })
  expect([...new Set(told.map(({ code }) => code))]).toEqual([200])
  expect({ what, late: later(ANSWER_MS, told) }).toEqual({ what, late: [] })
}

/** How far its log is on its disk. */
async function written({ api }: MemberProcess): Promise<number> {
  const status = (await (await fetch(`${api}/v1/status`)).json()) as Status
  return status.persistedIndex!
}

test('an answer that is late is seen, whether the loop was busy or asleep', async () => {
  const busy =
    'for (const { user } = process.cpuUsage(); process.cpuUsage().user - user < 150_000;);'
  const asleep = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);'
  for (const pause of [busy, asleep]) {
    const program = `require('http')
      .createServer((_, answer) => { ${pause} answer.end() })
      .listen(0, '127.0.0.1', function () { process.send(this.address().port) })`
    const child = spawn(process.execPath, ['-e', program], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const [port] = (await once(child, 'message')) as [number]
    const told = await asked('late', {
      url: `http://127.0.0.1:${port}/`,
      pid: child.pid!,
      count: 2,
    })
    expect(later(ANSWER_MS, told).length).toBeGreaterThan(0)
  }
})

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
  await answers('livez without a quorum', n1, `${probes}/livez`)
  await answers('startupz without a quorum', n1, `${probes}/startupz`)
  await answers('status without a quorum', n1, `${n1.api}/v1/status`)
  const startMs = Date.now()
  expect(await c.kill(n1, 'SIGTERM')).toBe(0)
  expect(Date.now() - startMs).toBeLessThan(STOP_MS)
})

test('while the disk of a member hangs it is alive, and tells its status', async () => {
  const { c, probePorts } = await start(3)
  const leader = await c.agreedLeader()
  const victim = c.members.find((member) => member !== leader)!
  const probes = `http://127.0.0.1:${probePorts[c.members.indexOf(victim)]}`
  const pipes = Array.from({ length: FILE_THREADS }, (_, i) => join(c.directory, `pipe-${i}`))
  execFileSync('mkfifo', pipes)
  victim.child!.send({ hang: pipes })
  const before = await written(victim)
  const put = await fetch(`${leader.api}/v1/kv/k`, { method: 'PUT', body: 'v' })
  expect(put.status).toBe(200)
  await answers('livez while the disk hangs', victim, `${probes}/livez`)
  await answers('startupz while the disk hangs', victim, `${probes}/startupz`)
  await answers('status while the disk hangs', victim, `${victim.api}/v1/status`)
  expect(await written(victim)).toBe(before)
  expect(await written(leader)).toBeGreaterThan(before)
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
  try {
    await eventually('load', () => (done > 300 ? true : undefined), { timeoutMs: 30_000 })
    const before = done
    await answers('livez under load', leader, `${probes}/livez`)
    await answers('status under load', leader, `${leader.api}/v1/status`)
    console.log(`${done - before} writes meanwhile`)
    expect(done - before).toBeGreaterThan(100)
  } finally {
    load.abort()
    await Promise.all(workers)
  }
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
