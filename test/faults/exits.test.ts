// A process that ends at every step it takes (faults.md F5, F10, F11): at each failpoint in turn, as leader and as follower, and
// at each step of its very first start.

import { once } from 'node:events'
import { expect, test, vi } from 'vitest'
import { FAILPOINTS, type FailpointName } from '../../lib/failpoints.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import { IS_LONG, LEFT_TO_LONG } from './support/duration.ts'
import { FaultRun, PATIENCE_MS } from './support/fault-run.ts'
import { statusOf } from './support/status-watch.ts'

vi.setConfig({ testTimeout: IS_LONG ? 1_800_000 : 400_000 })

const READY_MS = 5000
/** With `make test-faults`, how often each place is visited in each role: by a cluster of its own in each round. */
const ROUNDS = IS_LONG ? Number(process.env['RAFTBASE_FAULT_ROUNDS'] ?? 1) : 1

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

function placesOf(role: 'leader' | 'follower'): FailpointName[] {
  const other = role === 'leader' ? 'beforeSendAsFollower' : 'beforeSendAsLeader'
  const places = FAILPOINTS.filter(
    (name) =>
      name !== other &&
      !NOT_UNDER_LOAD.includes(name) &&
      !name.startsWith('segment') &&
      !BEHIND.includes(name) &&
      !HELPING.includes(name),
  )
  // A snapshot is due when the log has grown by as much as the state is large: the soonest at the beginning.
  return [...places.filter(isEarly), ...places.filter((name) => !isEarly(name))]
}

function isEarly(name: FailpointName): boolean {
  return name.startsWith('snapshot')
}

/** The quick run takes every fourth place, another fourth each day or the one it is told; the long one all, unless it is told. */
function chosen(places: readonly FailpointName[]): readonly FailpointName[] {
  const told = process.env['RAFTBASE_FAULT_SLICE']
  if (IS_LONG && told === undefined) return places
  const slice = Number(told ?? Math.floor(Date.now() / 86_400_000))
  return places.filter((_, i) => (i + slice) % 4 === 0)
}

/** Small snapshots and values that fill segments, so that every place is reached within a second or two. */
const BUSY = {
  members: 3,
  flags: ['-snapshot-log-bytes=65536'],
  environment: { RAFTBASE_FAILPOINTS: '' },
  load: { workers: 8, keys: 4, valueBytes: 8000, timeoutMs: 3000 },
} as const

/** Sets the failpoint and resolves once the process has died of it. */
async function dies(member: MemberProcess, name: FailpointName): Promise<boolean> {
  const { child } = member
  const exited = once(child!, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  child!.send({ failpoints: `${name}=exit` })
  const deadline = new Promise<undefined>((resolve) =>
    setTimeout(() => resolve(undefined), PATIENCE_MS),
  )
  const ended = await Promise.race([exited, deadline])
  if (ended === undefined) return false
  expect(ended[1], `${member.name} at ${name}`).toBe('SIGKILL')
  expect(member.output).toContain(`failpoint ${name}: exit`)
  return true
}

test.each(['leader', 'follower'] as const)(
  'a %s that ends at any failpoint comes back (F5)',
  async (role) => {
    for (let round = 1; round <= ROUNDS; round++) {
      const id = ROUNDS === 1 ? `F5 ${role}` : `F5 ${role}, round ${round}`
      await FaultRun.scenario(id, BUSY, (run) => visit(run, role))
    }
  },
)

async function visit(run: FaultRun, role: 'leader' | 'follower'): Promise<void> {
  const visited: string[] = []
  const unreached: string[] = []
  let isMet = true
  for (const name of chosen(placesOf(role))) {
    const leader = await run.leader(run.members)
    const member = role === 'leader' ? leader : run.others(leader)[0]!
    await run.loaded(20)
    const hasDied = await dies(member, name)
    if (hasDied) {
      visited.push(name)
      run.cluster.start(member)
      const back = await run.ready(member)
      isMet = run.meets(`ready after ${name}`, READY_MS, back) && isMet
    } else {
      unreached.push(name)
      member.child!.send({ failpoints: '' })
    }
  }
  run.note('places', visited.join(' '))
  run.note('not reached', unreached.join(' ') || 'none')
  expect(unreached).toEqual([])
  expect(isMet, 'ready within the limit').toBe(true)
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
      expect(await died, `${dying.name} reaches ${name}`).toBe(true)
      run.cluster.start(dying)
      await run.ready(dying)
      await run.ready(follower)
      run.note('ended at, and back', `${name} (${isHelper ? 'sender' : 'receiver'})`)
    }
  })
})

if (!IS_LONG) console.log(`skipped, F5 in segments: ${LEFT_TO_LONG}`)

/**
 * The release first: it needs a snapshot, and one is due the more rarely the larger the state is, which keeps its history.
 * Each role has a cluster of its own for the same reason.
 */
const SEGMENTS = [
  'segmentReleased',
  'segmentCreated',
  'segmentRenamed',
  'segmentNamed',
  'segmentSealed',
] as const

test.runIf(IS_LONG)(
  'a member that ends while a segment is made, named or freed comes back (F5, F31)',
  async () => {
    const load = { workers: 4, keys: 1, valueBytes: 500_000, probeEveryMs: 0, timeoutMs: 5000 }
    for (const role of ['follower', 'leader'] as const) {
      await FaultRun.scenario(`F5 segments, ${role}`, { ...BUSY, load, rate: 10 }, async (run) => {
        for (const name of SEGMENTS) {
          const leader = await run.leader(run.members)
          const member = role === 'leader' ? leader : run.others(leader)[0]!
          await run.loaded(5)
          expect(await dies(member, name), `reached ${name}`).toBe(true)
          // Writes of this size without a pause keep a member that comes back behind for minutes, where processors are few.
          run.load.valueBytes = 0
          run.cluster.start(member)
          await run.ready(member)
          run.load.valueBytes = load.valueBytes
          run.note('ended at, and back', name)
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
