// What a real member keeps to itself: its debugger, its memory, and what its clients store in it.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'

const CANARY_KEY = 'canary-key-1f6c'
const CANARY_VALUE = 'canary-value-93d0'

/** Where servers of Node.js, Go and others offer what is going on inside. */
const DIAGNOSTIC_PATHS = [
  '/json',
  '/json/list',
  '/debug',
  '/debug/vars',
  '/debug/pprof/',
  '/debug/pprof/heap',
  '/debug/requests',
  '/heapdump',
  '/env',
  '/config/local/log',
] as const

async function startMember() {
  const cluster = await ProcessCluster.create(1, ['-log-level=debug'])
  onTestFinished(() => cluster.destroy())
  const [member] = cluster.members as [MemberProcess]
  cluster.start(member)
  await cluster.agreedLeader()
  return member
}

test('X14: a signal does not open the debugger, and no path offers a look inside', async () => {
  const member = await startMember()
  member.child!.kill('SIGUSR1')
  await eventually('the line about the signal', () =>
    Promise.resolve(member.output.includes('SIGUSR1 ignored') ? true : undefined),
  )
  // Node.js says where its debugger listens, within milliseconds.
  await sleep(300)
  expect(member.output).not.toMatch(/Debugger listening|ws:\/\//)
  for (const base of [member.api, `http://127.0.0.1:${member.clientPort}`]) {
    for (const path of DIAGNOSTIC_PATHS) {
      const { status } = await fetch(base + path)
      expect([base === member.api, path, status]).toEqual([
        base === member.api,
        path,
        base === member.api ? 404 : 501,
      ])
    }
  }
})

test('X13, X14: keys and values are in no metric, no status and no log line, not at level debug', async () => {
  const member = await startMember()
  const key = `${member.api}/v1/kv/${CANARY_KEY}`
  expect((await fetch(key, { method: 'PUT', body: CANARY_VALUE })).status).toBe(200)
  expect(await (await fetch(key)).text()).toBe(CANARY_VALUE)
  // Refused ones as well: what is wrong with a request is where its content slips into messages.
  const refused = [
    await fetch(`${key}?revision=999`),
    await fetch(`${key}?consistency=${CANARY_VALUE}`),
    await fetch(key, { method: 'POST', body: CANARY_VALUE }),
    await fetch(`${key}-none`),
  ]
  expect(refused.map(({ status }) => status >= 400)).toEqual([true, true, true, true])
  const answers = ['/metrics', '/v1/status', '/cluster', '/cluster/nodes', '/cluster/members']
  for (const path of answers) {
    const answer = await fetch(member.api + path)
    expect([path, answer.status]).toEqual([path, 200])
    expect([path, (await answer.text()).includes('canary')]).toEqual([path, false])
  }
  member.child!.kill('SIGTERM')
  await eventually('the end', () => Promise.resolve(member.child === undefined ? true : undefined))
  expect(member.output.split('\n').filter((line) => line.includes('canary'))).toEqual([])
})
