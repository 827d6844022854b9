// The election, on a clock that the test moves, against the API server of the tests. What matters: never do two processes
// think at the same time that they lead, whatever is stopped, slow, unreachable or wrong about the date.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Clock, TimerHandle, Timers } from '../../../lib/clock.ts'
import { systemTimers } from '../../../lib/clock.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import { ELECTION_TIMES, LeaderElection } from '../../../operator/src/controller/leader-election.ts'
import { microTime } from '../../../operator/src/kube/micro-time.ts'
import type { KubeClient } from '../../../operator/src/kube/client.ts'
import { FakeApiServer } from '../../support/fake-api-server.ts'
import { clientOf, plainAccess, silentLog, until } from '../support.ts'

const LEASE = { namespace: 'operators', name: 'raftbase-operator' }
const TARGET = { collection: 'coordination.k8s.io/v1/leases', ...LEASE }

/** A clock and timers of one process: the test moves them, can stop them like SIGSTOP, and sets its date. */
class ProcessTime implements Clock, Timers {
  readonly #pending = new Set<{ dueMs: number; callback: () => void }>()
  #nowMs: number
  wallOffsetMs = 0
  isStopped = false

  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs + this.wallOffsetMs
  }

  after(delayMs: number, callback: () => void): TimerHandle {
    const timer = { dueMs: this.#nowMs + delayMs, callback }
    this.#pending.add(timer)
    return { cancel: () => void this.#pending.delete(timer) }
  }

  every(): TimerHandle {
    throw new Error('the election uses no intervals')
  }

  endOfTurn(callback: () => void): void {
    setImmediate(callback)
  }

  /** Time passes; timers fire unless the process is stopped. */
  pass(ms: number): void {
    this.#nowMs += ms
    if (this.isStopped) return
    for (const timer of this.#pending) {
      if (timer.dueMs > this.#nowMs) continue
      this.#pending.delete(timer)
      timer.callback()
    }
  }
}

interface Process {
  readonly name: string
  readonly time: ProcessTime
  readonly election: LeaderElection
  readonly aborter: AbortController
  /** `waiting`, `leading`, `lost`, `stopped` */
  state: string
  run: Promise<void>
}

let server: FakeApiServer
let processes: Process[]
let inFlight = 0

beforeEach(async () => {
  server = await FakeApiServer.start()
  processes = []
})

afterEach(async () => {
  for (const { aborter } of processes) aborter.abort()
  await settle()
  for (const { run } of processes) await run
  await server.stop()
})

function launch(name: string, options: { readonly startMs?: number } = {}): Process {
  const time = new ProcessTime(options.startMs ?? 0)
  const aborter = new AbortController()
  const election = new LeaderElection({
    api: counted(clientOf(plainAccess(server.url), { time })),
    ...LEASE,
    identity: name,
    clock: time,
    timers: time,
    log: silentLog,
  })
  const run = async (): Promise<void> => {
    if (!(await election.acquire(aborter.signal))) return
    process.state = 'leading'
    process.state = await election.hold(aborter.signal)
  }
  const process: Process = {
    name,
    time,
    election,
    aborter,
    state: 'waiting',
    run: Promise.resolve(),
  }
  process.run = run()
  processes.push(process)
  return process
}

/** Waits until every request has been answered, but for those that are left hanging, and its answer been dealt with. */
async function settle(): Promise<void> {
  let quietTurns = 0
  while (quietTurns < 3) {
    await new Promise((resolve) => setImmediate(resolve))
    quietTurns = inFlight === server.hungCount ? quietTurns + 1 : 0
  }
}

/** Counts the requests that are under way. */
function counted(client: KubeClient): KubeClient {
  return new Proxy(client, {
    get(target, property) {
      const member: unknown = Reflect.get(target, property, target)
      if (typeof member !== 'function') return member
      return async (...request: unknown[]): Promise<unknown> => {
        inFlight++
        try {
          return await member.apply(target, request)
        } finally {
          inFlight--
        }
      }
    },
  })
}

/** The same time passes for every process, in steps; checks at each that at most one may act. */
async function pass(ms: number, stepMs = 250): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    for (const { time } of processes) time.pass(stepMs)
    await settle()
    const leaders = processes.filter(({ election }) => election.isLeader())
    expect(leaders.map(({ name }) => name).slice(1)).toEqual([])
  }
}

function leaderNames(): string[] {
  return processes.filter(({ election }) => election.isLeader()).map(({ name }) => name)
}

function leaseSpec(): Record<string, unknown> {
  return server.store.get(TARGET)['spec'] as Record<string, unknown>
}

describe('one leader', () => {
  test('the first process creates the Lease and leads; the second waits while it is renewed', async () => {
    launch('one')
    await settle()
    launch('two')
    await settle()
    expect(leaderNames()).toEqual(['one'])
    await pass(60_000, 1000)
    expect(leaderNames()).toEqual(['one'])
    expect(leaseSpec()).toMatchObject({
      holderIdentity: 'one',
      leaseDurationSeconds: 15,
      leaseTransitions: 0,
    })
    expect(leaseSpec()['renewTime']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  })

  test('two that start together are one leader and one that waits', async () => {
    launch('one')
    launch('two')
    await settle()
    await pass(4000)
    expect(leaderNames().length).toBe(1)
  })

  test('a leader that dies is replaced within 15 s of its death, wherever in its cycle it dies', async () => {
    const one = launch('one')
    await settle()
    const two = launch('two', { startMs: 777 })
    await pass(20_750, 250)
    one.time.isStopped = true
    one.aborter.abort()
    const startMs = two.time.monotonicMs()
    while (!two.election.isLeader() && two.time.monotonicMs() - startMs < 20_000)
      await pass(100, 100)
    expect(two.time.monotonicMs() - startMs).toBeLessThanOrEqual(15_100)
    expect(leaseSpec()).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 })
  })

  test('a leader that leaves in order is replaced within the time of one look', async () => {
    const one = launch('one')
    await settle()
    const two = launch('two')
    await pass(6000)
    one.aborter.abort()
    await one.run
    await one.election.release()
    expect(one.election.isLeader()).toBe(false)
    expect(leaseSpec()).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 })
    await pass(2250)
    expect(two.election.isLeader()).toBe(true)
  })

  test('a leader that leaves while nobody waits any more for the answer to its last renewal gives its Lease back', async () => {
    const one = launch('one')
    await settle()
    const two = launch('two')
    await pass(1000)
    const renewed = leaseSpec()['renewTime']
    server.fail(/PUT/, { kind: 'loseAnswer' }, 1)
    await pass(1250)
    expect(leaseSpec()['renewTime'], 'it was made').not.toBe(renewed)
    one.aborter.abort()
    await one.run
    await one.election.release()
    expect(leaseSpec()).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 })
    await pass(2250)
    expect(two.election.isLeader()).toBe(true)
  })

  test('a Lease that somebody took while its holder was leaving stays theirs', async () => {
    const one = launch('one')
    await settle()
    await pass(1000)
    server.store.patch(TARGET, { spec: { holderIdentity: 'somebody' } })
    one.aborter.abort()
    await one.run
    await one.election.release()
    expect(leaseSpec()['holderIdentity']).toBe('somebody')
  })

  test('a Lease that is not ours is not released', async () => {
    launch('one')
    await settle()
    const two = launch('two')
    await pass(2000)
    await two.election.release()
    expect(leaseSpec()['holderIdentity']).toBe('one')
  })
})

describe('losing leadership', () => {
  test('a process that was stopped (SIGSTOP) does not act when it continues, and ends', async () => {
    const one = launch('one')
    await settle()
    const two = launch('two')
    await pass(6000)
    one.time.isStopped = true
    await pass(17_000)
    expect(leaderNames()).toEqual(['two'])
    one.time.isStopped = false
    // Not a single timer of it has run yet: what asks before acting is told no all the same.
    expect(one.election.isLeader()).toBe(false)
    await pass(250)
    expect([one.state, two.state]).toEqual(['lost', 'leading'])
  })

  test('a process that was stopped beyond its deadline ends even when nobody has taken the Lease', async () => {
    const one = launch('one')
    await settle()
    await pass(4000)
    one.time.isStopped = true
    await pass(12_000)
    one.time.isStopped = false
    await pass(250)
    expect([one.state, leaseSpec()['holderIdentity']]).toEqual(['lost', 'one'])
  })

  test('a stall shorter than the deadline costs nothing', async () => {
    const one = launch('one')
    await settle()
    launch('two')
    await pass(6000)
    one.time.isStopped = true
    await pass(7000)
    one.time.isStopped = false
    await pass(10_000)
    expect(leaderNames()).toEqual(['one'])
  })

  test('a leader that cannot reach the API server stops acting before anybody may take the Lease', async () => {
    const one = launch('one')
    await settle()
    await pass(4000)
    server.fail(() => true, { kind: 'hang' })
    let actedMs = 0
    while (one.election.isLeader()) {
      await pass(250)
      actedMs += 250
    }
    expect(actedMs).toBeLessThanOrEqual(10_250)
    await pass(6000)
    expect(one.state).toBe('lost')
  })

  test.each([500, 429, 401])(
    'answers of %i for less than the deadline cost nothing',
    async (status) => {
      const one = launch('one')
      await settle()
      server.fail(() => true, { kind: 'refuse', status })
      await pass(8000)
      expect(one.election.isLeader()).toBe(true)
      server.heal()
      await pass(8000)
      expect([one.state, one.election.isLeader()]).toEqual(['leading', true])
    },
  )

  test('a renewal whose answer is lost was a renewal: the next one goes on from it', async () => {
    const one = launch('one')
    await settle()
    server.fail(/PUT/, { kind: 'loseAnswer' }, 2)
    await pass(12_000)
    expect([one.state, one.election.isLeader()]).toEqual(['leading', true])
  })

  test('a Lease that somebody else took by hand ends leadership at the next renewal', async () => {
    const one = launch('one')
    await settle()
    await pass(2000)
    server.store.patch(TARGET, { spec: { holderIdentity: 'somebody' } })
    await pass(4500)
    expect([one.state, one.election.isLeader(), one.election.holder]).toEqual([
      'lost',
      false,
      'somebody',
    ])
  })

  test('a Lease that somebody deletes is made again', async () => {
    const one = launch('one')
    await settle()
    await pass(2000)
    server.store.delete(TARGET)
    await pass(6000)
    expect([one.state, leaseSpec()['holderIdentity']]).toEqual(['leading', 'one'])
  })
})

describe('time', () => {
  test.each([-3_600_000, 3_600_000])(
    'dates that are wrong by %i ms change nothing',
    async (offset) => {
      const one = launch('one')
      await settle()
      const two = launch('two')
      await pass(4000)
      one.time.wallOffsetMs = offset
      two.time.wallOffsetMs = -offset
      await pass(30_000, 500)
      expect(leaderNames()).toEqual(['one'])
    },
  )

  test('a Lease with a date in the far future is stale when it has not changed for its duration', async () => {
    const fresh = launch('one')
    await settle()
    fresh.time.isStopped = true
    fresh.aborter.abort()
    server.store.patch(TARGET, { spec: { renewTime: '2099-01-01T00:00:00.000000Z' } })
    const two = launch('two')
    await pass(14_500)
    expect(two.election.isLeader()).toBe(false)
    await pass(1000)
    expect(two.election.isLeader()).toBe(true)
  })

  test('the holder may have promised a longer duration than ours', async () => {
    server.store.create(TARGET, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: LEASE.name },
      spec: { holderIdentity: 'slow', leaseDurationSeconds: 30 },
    })
    const two = launch('two')
    await pass(29_000, 500)
    expect(two.election.isLeader()).toBe(false)
    await pass(2000)
    expect(two.election.isLeader()).toBe(true)
  })

  test.each([
    ['no spec', {}],
    ['nonsense', { spec: { holderIdentity: 7, leaseDurationSeconds: 'x', leaseTransitions: -1 } }],
    ['an empty holder', { spec: { holderIdentity: '' } }],
  ])('a Lease with %s belongs to nobody', async (_what, fields) => {
    const kind = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' }
    server.store.create(TARGET, { ...kind, metadata: { name: LEASE.name }, ...fields })
    const one = launch('one')
    await pass(2500)
    expect(one.election.isLeader()).toBe(true)
  })

  test('a MicroTime has six digits of the second', () => {
    expect(microTime(1_700_000_000_007)).toBe('2023-11-14T22:13:20.007000Z')
  })

  test('times under which two could act at once are refused', () => {
    const api = clientOf(plainAccess(server.url))
    const time = new ProcessTime(0)
    const make = (times: typeof ELECTION_TIMES) =>
      new LeaderElection({
        api,
        ...LEASE,
        identity: 'x',
        clock: time,
        timers: time,
        log: silentLog,
        times,
      })
    expect(() => make({ ...ELECTION_TIMES, renewDeadlineMs: 13_000 })).toThrow('would end before')
    expect(() => make({ ...ELECTION_TIMES, retryMs: 12_000 })).toThrow('would end before')
  })
})

test('under random stops, refusals, lost answers and clocks of different speed, never two at once', async () => {
  const prng = new SeededPrng(42)
  for (const name of ['one', 'two', 'three']) launch(name, { startMs: prng.next(5000) })
  for (let step = 0; step < 600; step++) {
    for (const process of processes) {
      if (prng.next(12) === 0) process.time.isStopped = !process.time.isStopped
    }
    if (prng.next(8) === 0) {
      const faults = [
        { kind: 'refuse', status: 500 },
        { kind: 'loseAnswer' },
        { kind: 'reset' },
      ] as const
      server.fail(() => true, faults[prng.next(faults.length)]!, 1 + prng.next(5))
    }
    await pass(1000, 500)
    for (const process of processes.filter(({ state }) => state === 'lost')) {
      // As in a cluster: who lost leadership exits and is started again under a new name.
      processes.splice(processes.indexOf(process), 1)
      launch(`${process.name}'`, { startMs: prng.next(5000) })
    }
  }
  server.heal()
  for (const { time } of processes) time.isStopped = false
  await pass(18_000, 500)
  expect(leaderNames().length).toBe(1)
}, 60_000)

test('with real timers: acquire, renew, hand over', async () => {
  const times = { leaseMs: 1000, renewDeadlineMs: 600, retryMs: 100 }
  const make = (identity: string) =>
    new LeaderElection({
      api: clientOf(plainAccess(server.url)),
      ...LEASE,
      identity,
      clock: { monotonicMs: () => performance.now(), wallMs: () => 0 },
      timers: systemTimers,
      log: silentLog,
      times,
    })
  const [one, two] = [make('one'), make('two')]
  const stopOne = new AbortController()
  const stopTwo = new AbortController()
  expect(await one.acquire(stopOne.signal)).toBe(true)
  const holding = one.hold(stopOne.signal)
  const acquired = two.acquire(stopTwo.signal)
  await until(
    'it was renewed',
    () => server.requests.filter(({ method }) => method === 'PUT').length > 3,
  )
  stopOne.abort()
  expect(await holding).toBe('stopped')
  await one.release()
  expect(await acquired).toBe(true)
  stopTwo.abort()
  expect(leaseSpec()).toMatchObject({ holderIdentity: 'two' })
})
