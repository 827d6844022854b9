// A process that ends at every step it takes (faults.md F5, F10, F11): at each failpoint in turn, as leader and as follower, and
// at each step of its very first start.

import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { FAILPOINTS, type FailpointName } from '../../lib/failpoints.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import { IS_LONG, LEFT_TO_LONG } from './support/duration.ts'
import { type Figure, FaultRun, PATIENCE_MS } from './support/fault-run.ts'
import { statusOf } from './support/status-watch.ts'

/** With `make test-faults`, how often each place is visited in each role: by a cluster of its own in each round. */
const ROUNDS = IS_LONG ? Number(process.env['RAFTBASE_FAULT_ROUNDS'] ?? 1) : 1

vi.setConfig({ testTimeout: IS_LONG ? 1_500_000 + 300_000 * ROUNDS : 400_000 })

const READY_MS = 5000
/** To find a member in the role that a visit wants. */
const ATTEMPTS = 3
const ROLES = ['leader', 'follower'] as const
type Role = (typeof ROLES)[number]

/** What needs requests that do not exist yet, or happens in a first start only. */
const NOT_UNDER_LOAD: readonly FailpointName[] = [
  'afterMembership',
  'beforeMembership',
  'compactionStep',
  'directoryLocked',
  'directoryMade',
  'identityBeforeWrite',
  'identityRenamed',
  'identityStored',
  'identityWritten',
  'logRecovered',
]
/** What a log does that has become idle: beside steady writes seldom, or never. */
const WHEN_IDLE: readonly FailpointName[] = ['walMarked']
/** What a member does only when it has fallen behind. */
const BEHIND: readonly FailpointName[] = [
  'snapshotReceiving',
  'snapshotReceived',
  'snapshotCommitted',
  'snapshotRestored',
  'snapshotInstalled',
]
/** What a leader does for such a member. */
const HELPING: readonly FailpointName[] = ['snapshotSending', 'snapshotSent']

const UNDER_LOAD = FAILPOINTS.filter(
  (name) =>
    !NOT_UNDER_LOAD.includes(name) &&
    !name.startsWith('segment') &&
    !BEHIND.includes(name) &&
    !HELPING.includes(name),
)

/** Those in which a member gets to that place. */
function rolesAt(name: FailpointName): readonly Role[] {
  if (name === 'beforeSendAsLeader') return ['leader']
  if (name === 'beforeSendAsFollower') return ['follower']
  return ROLES
}

/** The quick run takes every fourth place, another fourth each day or the one it is told; the long one all, unless it is told. */
function chosen(places: readonly FailpointName[]): readonly FailpointName[] {
  const told = process.env['RAFTBASE_FAULT_SLICE']
  if (IS_LONG && told === undefined) return places
  const slice = Number(told ?? Math.floor(Date.now() / 86_400_000))
  return places.filter((_, i) => (i + slice) % 4 === 0)
}

/**
 * Every place is reached within a second or two, and a member that starts again has little to read: snapshots are due all the
 * time because the state stays small, which it does because history goes.
 */
const BUSY = {
  members: 3,
  flags: ['-snapshot-log-bytes=65536', '-auto-compaction-retention=1s'],
  environment: { RAFTBASE_FAILPOINTS: '' },
  load: { workers: 4, keys: 4, valueBytes: 4000, probeEveryMs: 0, thinkMs: 5, timeoutMs: 3000 },
} as const
/** Acknowledged operations a second at each visit. */
const VISIT_RATE = 20

/**
 * Sets the failpoint and resolves once the process has died of it, with all that this process said; undefined: it did not get
 * there.
 */
async function dies(member: MemberProcess, name: FailpointName): Promise<string | undefined> {
  const { child } = member
  const said = member.output.length
  // Closed, not only gone: then nothing that it said is still on its way.
  const closed = once(child!, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  child!.send({ failpoints: `${name}=exit` })
  const patience = new AbortController()
  const late = sleep(PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => undefined)
  const ended = await Promise.race([closed, late])
  patience.abort()
  if (ended === undefined) return undefined
  expect(ended[1], `${member.name} at ${name}`).toBe('SIGKILL')
  expect(member.output.slice(said)).toContain(`failpoint ${name}: exit`)
  return lifeIn(member.output)
}

/** What the last process said of all that a member's processes said: the first is always how it is configured. */
function lifeIn(output: string): string {
  return output.slice(Math.max(0, output.lastIndexOf('"msg":"configuration"')))
}

/** The role that a process had at its end: it says each change before anything follows from it. */
function lastRole(life: string): string {
  const line = life.split('\n').findLast((text) => text.includes('"role changed"'))
  return line === undefined ? 'follower' : (JSON.parse(line) as { to: string }).to
}

test('a leader or a follower that ends at any failpoint comes back (F5)', async () => {
  for (let round = 1; round <= ROUNDS; round++) {
    const id = ROUNDS === 1 ? 'F5' : `F5, round ${round}`
    await FaultRun.scenario(id, BUSY, visitAll)
  }
})

async function visitAll(run: FaultRun): Promise<void> {
  const visited: string[] = []
  const unreached: string[] = []
  let isMet = true
  const fromMs = performance.now()
  for (const name of chosen(UNDER_LOAD)) {
    for (const role of rolesAt(name)) {
      const figure = await visit(run, { name, role, rate: VISIT_RATE })
      if (figure === undefined) unreached.push(`${name} (${role})`)
      else {
        visited.push(`${name} (${role})`)
        isMet = run.meets(`ready after ${name} (${role})`, READY_MS, figure) && isMet
      }
    }
  }
  run.note('places', visited.join(' '))
  run.note('a visit', `${Math.round((performance.now() - fromMs) / visited.length)} ms on average`)
  run.note('not reached', unreached.join(' ') || 'none')
  expect(unreached).toEqual([])
  expect(isMet, 'ready within the limit').toBe(true)
}

interface Visit {
  readonly name: FailpointName
  readonly role: Role
  /** Acknowledged operations a second before it. */
  readonly rate: number
}

/** How long a member took to be ready again after it had ended there; undefined: it did not get there in that role. */
async function visit(
  run: FaultRun,
  { name, role, rate }: Visit,
  restart: (member: MemberProcess) => Promise<Figure> = (member) => startAgain(run, member),
): Promise<Figure | undefined> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const leader = await run.leader(run.members)
    const member = role === 'leader' ? leader : run.others(leader)[0]!
    await run.loaded(rate)
    const life = WHEN_IDLE.includes(name)
      ? await run.paused(() => dies(member, name))
      : await dies(member, name)
    if (life === undefined) {
      member.child!.send({ failpoints: '' })
      return undefined
    }
    const back = await restart(member)
    const died = lastRole(life)
    if (died === role) return back
    // The leadership had moved meanwhile, as it may where processors are few: this was a visit, and not the one wanted.
    run.note('visited in another role', `${name} as ${died} instead of ${role}`)
  }
  return undefined
}

async function startAgain(run: FaultRun, member: MemberProcess): Promise<Figure> {
  run.cluster.start(member)
  return run.ready(member)
}

/** Until the leader has forgotten what the member lacks: then only a snapshot helps it. */
async function fallBehind(run: FaultRun, member: MemberProcess): Promise<void> {
  const leader = await run.leader(run.others(member))
  const { lastIndex } = await run.status(leader)
  await eventually(
    'the log has moved on',
    async () => ((await run.status(leader)).firstIndex > lastIndex ? true : undefined),
    { timeoutMs: 60_000, everyMs: 100, explain: () => run.explain() },
  )
}

test('a member that ends while a snapshot is on its way catches up later (F5, F34, F39)', async () => {
  const load = { workers: 3, keys: 2, valueBytes: 60_000, timeoutMs: 5000, probeEveryMs: 50 }
  await FaultRun.scenario('F5 snapshot', { ...BUSY, load, rate: 10 }, async (run) => {
    for (const name of chosen([...BEHIND, ...HELPING])) {
      const leader = await run.leader(run.members)
      const follower = run.others(leader)[0]!
      await run.cluster.kill(follower)
      await fallBehind(run, follower)
      const isHelper = HELPING.includes(name)
      const dying = isHelper ? leader : follower
      if (!isHelper) run.cluster.start(follower)
      await eventually('the process is there', () =>
        dying.child?.connected === true ? true : undefined,
      )
      const died = dies(dying, name)
      if (isHelper) run.cluster.start(follower)
      expect(await died, `${dying.name} reaches ${name}`).toBeDefined()
      run.cluster.start(dying)
      await run.ready(dying)
      await run.ready(follower)
      run.note('ended at, and back', `${name} (${isHelper ? 'sender' : 'receiver'})`)
    }
  })
})

if (!IS_LONG) console.log(`skipped, F5 in segments: ${LEFT_TO_LONG}`)

const SEGMENTS = [
  'segmentCreated',
  'segmentRenamed',
  'segmentNamed',
  'segmentSealed',
  'segmentReleased',
] as const

test.runIf(IS_LONG)(
  'a member that ends while a segment is made, named or freed comes back (F5, F31)',
  async () => {
    const load = { workers: 4, keys: 1, valueBytes: 500_000, probeEveryMs: 0, timeoutMs: 5000 }
    for (const role of ROLES) {
      await FaultRun.scenario(`F5 segments, ${role}`, { ...BUSY, load, rate: 10 }, async (run) => {
        // Writes of this size without a pause keep a member that comes back behind for minutes, where processors are few.
        const restart = async (member: MemberProcess): Promise<Figure> => {
          run.load.valueBytes = 0
          const back = await startAgain(run, member)
          run.load.valueBytes = load.valueBytes
          return back
        }
        for (const name of SEGMENTS) {
          const back = await visit(run, { name, role, rate: 5 }, restart)
          expect(back, `reached ${name} as ${role}`).toBeDefined()
          run.note('ended at, and back', `${name} (${role})`)
        }
      })
    }
  },
)

/** In the order in which a first start reaches them. */
const FIRST_START: readonly FailpointName[] = [
  'directoryMade',
  'directoryLocked',
  'segmentCreated',
  'segmentRenamed',
  'segmentNamed',
  'logRecovered',
  'identityBeforeWrite',
  'identityWritten',
  'identityRenamed',
  'identityStored',
  'walReserve',
  'walBeforeWrite',
  'walAfterWrite',
  'walAfterFlush',
]

test('a member killed at any step of its first start completes it the next time (F10)', async () => {
  const cluster = await ProcessCluster.create(FIRST_START.length)
  try {
    for (const [i, name] of FIRST_START.entries()) {
      const member = cluster.members[i]!
      const flags = cluster
        .flags(member)
        .map((flag) =>
          flag.startsWith('-initial-cluster=')
            ? `-initial-cluster=${member.name}=http://127.0.0.1:${member.peerPort}`
            : flag,
        )
      member.environment = { RAFTBASE_FAILPOINTS: `${name}=exit` }
      const child = cluster.start(member, flags)
      const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
      expect(signal, `${name}\n${member.output}`).toBe('SIGKILL')
      member.environment = {}
      cluster.start(member, flags)
      await isReady(member)
      const put = await fetch(`${member.api}/v1/kv/k`, { method: 'PUT', body: name })
      expect(put.status).toBe(200)
      expect(await (await fetch(`${member.api}/v1/kv/k`)).text()).toBe(name)
      expect(await cluster.kill(member, 'SIGTERM')).toBe(0)
    }
    console.log(`F10: ended at, and completed the next time: ${FIRST_START.join(' ')}`)
  } finally {
    await cluster.destroy()
  }
})

/** Promise 6: whatever step one of three was killed at, it comes back as itself, into the one cluster there is. */
test('one of three killed at any step of its first start is the third of that cluster the next time (F10)', async () => {
  const steps = chosen(FIRST_START)
  for (const name of steps) {
    const cluster = await ProcessCluster.create(3)
    try {
      const [a, b, victim] = cluster.members as [MemberProcess, MemberProcess, MemberProcess]
      victim.environment = { RAFTBASE_FAILPOINTS: `${name}=exit` }
      const exited = once(cluster.start(victim), 'exit')
      for (const member of [a, b]) cluster.start(member)
      const [, signal] = (await exited) as [number | null, string | null]
      expect(signal, `${name}\n${victim.output}`).toBe('SIGKILL')
      await cluster.agreedLeader({ among: [a, b], timeoutMs: PATIENCE_MS })
      const put = await fetch(`${a.api}/v1/kv/k`, { method: 'PUT', body: name })
      expect(put.status).toBe(200)
      victim.environment = {}
      cluster.start(victim)
      await isReady(victim)
      expect(await (await fetch(`${victim.api}/v1/kv/k`)).text()).toBe(name)
      const all = await Promise.all(cluster.members.map(statusOf))
      expect(new Set(all.map((status) => status?.clusterId)).size).toBe(1)
      const ids = all.map((status) => String(status?.memberId)).toSorted()
      for (const status of all) {
        expect(status?.members.map(({ id }) => id).toSorted()).toEqual(ids)
      }
      for (const member of cluster.members) expect(await cluster.kill(member, 'SIGTERM')).toBe(0)
    } finally {
      await cluster.destroy()
    }
  }
  console.log(`F10: one of three ended at, and came back as itself: ${steps.join(' ')}`)
})

test('a member that hits its memory limit while it applies is back within 5 s (F11)', async () => {
  const environment = { RAFTBASE_FAILPOINTS: '', NODE_OPTIONS: '--max-old-space-size=96' }
  await FaultRun.scenario('F11', { members: 3, environment }, async (run) => {
    for (const role of ['follower', 'leader'] as const) {
      const leader = await run.leader(run.members)
      const member = role === 'leader' ? leader : run.others(leader)[0]!
      await run.loaded()
      const exited = once(member.child!, 'exit') as Promise<[number | null, string | null]>
      member.child!.send({ failpoints: 'beforeApply=exhaust' })
      const [code, signal] = await exited
      run.note(`${role} out of memory`, `exit code ${code}, signal ${signal}`)
      expect(member.output).toContain('heap out of memory')
      run.cluster.start(member)
      const back = await run.ready(member)
      expect(run.meets('ready again', READY_MS, back)).toBe(true)
    }
  })
})

async function isReady(member: MemberProcess): Promise<void> {
  const ask = async (): Promise<true | undefined> => {
    const response = await fetch(`${member.api}/readyz`).catch(() => undefined)
    return response?.status === 200 ? true : undefined
  }
  await eventually(`${member.name} is ready`, ask, { timeoutMs: PATIENCE_MS })
}
