// What a member does under an operator: real processes with a membership file that changes as a mounted ConfigMap does, blank
// and foreign and damaged directories, and what probes and status say meanwhile (faults.md F10, F30; promise 6).

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Value } from 'typebox/value'
import { afterEach, expect, test, vi } from 'vitest'
import { clusterIdOf, memberIdOf } from '../../lib/identity.ts'
import { type StatusEvent, StatusSchema } from '../../member/src/rest/contract.ts'
import { Operated, TOKEN } from '../support/operated-cluster.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import { EventReader } from '../support/sse.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 30_000 })

let cluster: ProcessCluster | undefined
const readers: EventReader<StatusEvent>[] = []
afterEach(async () => {
  for (const reader of readers.splice(0)) reader.close()
  await cluster?.destroy()
  cluster = undefined
})

async function operate(count: number): Promise<Operated> {
  const operated = await Operated.create(count)
  cluster = operated.cluster
  return operated
}

async function put(member: MemberProcess, key: string): Promise<number> {
  return (await fetch(`${member.api}/v1/kv/${key}`, { method: 'PUT', body: 'v' })).status
}

test('members make the cluster of the file, the last one long after the first commit', async () => {
  const operated = await operate(3)
  const [n1, n2, n3] = operated.cluster.members as [MemberProcess, MemberProcess, MemberProcess]
  // Before the file is there, a member is up and waits for it.
  operated.start(n1)
  const waiting = await operated.parked(n1, 'Fresh')
  expect(Value.Errors(StatusSchema, waiting)).toEqual([])
  expect(waiting.membershipFile?.problem).toBe('cannot be read (ENOENT)')
  expect(waiting.term).toBeUndefined()
  expect(await operated.probes(n1)).toEqual([200, 200, 503])
  expect(await put(n1, 'k')).toBe(503)
  await operated.publish(operated.document())
  operated.start(n2)
  await operated.until(n1, 'ready', (status) => status.ready)
  expect(await put(n1, 'k')).toBe(200)
  operated.start(n3)
  const late = await operated.until(n3, 'ready', (status) => status.ready)
  expect(Value.Errors(StatusSchema, late)).toEqual([])
  expect(late).toMatchObject({
    clusterId: clusterIdOf(TOKEN, operated.initialCluster),
    memberId: memberIdOf(TOKEN, 'n3', 1),
    incarnation: 1,
    state: 'running',
    startupPhase: 'complete',
    dataDirectory: { state: 'Valid' },
    membershipFile: { epoch: 1, phase: 'Bootstrapping', listed: 'Voter' },
    membershipEpoch: 0,
    alarms: [],
  })
  expect(late.members.map(({ name, role }) => `${name} ${role}`).toSorted()).toEqual([
    'n1 voter',
    'n2 voter',
    'n3 voter',
  ])
  expect(await operated.probes(n3)).toEqual([200, 200, 200])
  // What changes in the file reaches a running member and does not disturb it.
  await operated.publish(operated.document({ phase: 'Running' }))
  await operated.until(n3, 'on epoch 2', ({ membershipFile }) => membershipFile?.epoch === 2)
  expect((await operated.status(n3))?.ready).toBe(true)
})

test('a lost disk waits for its replacement, whichever phase the file is in (promise 6)', async () => {
  const operated = await operate(3)
  const [n1, n2, n3] = operated.cluster.members as [MemberProcess, MemberProcess, MemberProcess]
  await operated.publish(operated.document())
  operated.start(n1, n2, n3)
  await operated.until(n3, 'ready', (status) => status.ready)
  expect(await put(n1, 'k')).toBe(200)
  await operated.cluster.kill(n3)
  await rm(n3.dataDir, { recursive: true })
  // The file has not reached phase Running: the peers tell.
  operated.start(n3)
  const told = await operated.parked(n3, 'AwaitingReplacement')
  expect(told.dataDirectory.code).toBe('AWAITING_REPLACEMENT')
  expect(told.dataDirectory.detail).toMatch(/n[12] knows n3 as a member/)
  expect(await operated.probes(n3)).toEqual([200, 200, 503])
  // And with phase Running nobody has to be asked.
  await operated.publish(operated.document({ phase: 'Running' }))
  await operated.until(n3, 'told by the file', ({ dataDirectory }) => {
    return dataDirectory.detail?.includes('the cluster knows n3') === true
  })
  expect(n3.child).toBeDefined()
  expect(n3.output.match(/member is parked/g)).toHaveLength(2)
  expect(await readdir(n3.dataDir)).not.toContain('member.json')
  // A parked member stops like any other.
  const startMs = Date.now()
  expect(await operated.cluster.kill(n3, 'SIGTERM')).toBe(0)
  expect(Date.now() - startMs).toBeLessThan(5000)
  expect(await put(n1, 'k')).toBe(200)
})

test('a blank member of a cluster that has formed starts when a majority says that it is not known', async () => {
  const operated = await operate(3)
  const [n1, n2, n3] = operated.cluster.members as [MemberProcess, MemberProcess, MemberProcess]
  await operated.publish(operated.document())
  operated.start(n1, n2)
  await operated.until(n1, 'ready', (status) => status.ready)
  await operated.until(n2, 'ready', (status) => status.ready)
  await operated.publish(operated.document({ formed: true }))
  // One answer of two: n2 might know what it acknowledged.
  await operated.cluster.kill(n2)
  operated.start(n3)
  const waiting = await operated.parked(n3, 'Fresh')
  expect(waiting.dataDirectory.detail).toContain(
    '1 of the 2 members that have to be asked answered',
  )
  expect(waiting.memberId).toBe(memberIdOf(TOKEN, 'n3', 1))
  // And one that lost its disk cannot make anything with it.
  await rm(n2.dataDir, { recursive: true })
  operated.start(n2)
  await operated.parked(n2, 'AwaitingReplacement')
  expect((await operated.status(n3))?.state).toBe('parked')
  expect(n3.output.match(/member is parked/g)).toHaveLength(1)
})

test('the last member of a cluster that has formed joins it by itself', async () => {
  const operated = await operate(3)
  const [n1, n2, n3] = operated.cluster.members as [MemberProcess, MemberProcess, MemberProcess]
  await operated.publish(operated.document())
  operated.start(n1, n2)
  await operated.until(n1, 'ready', (status) => status.ready)
  await operated.publish(operated.document({ formed: true }))
  operated.start(n3)
  await operated.until(n3, 'ready', (status) => status.ready)
})

test('without a file a lost disk ends the process with one line, and nothing is made of it', async () => {
  cluster = await ProcessCluster.create(3)
  const c = cluster
  const n3 = c.members[2]!
  c.startAll()
  await c.agreedLeader()
  expect(await put(n3, 'k')).toBe(200)
  await c.kill(n3)
  await rm(n3.dataDir, { recursive: true })
  const end = join(c.directory, 'n3.end')
  const child = c.start(n3, [...c.flags(n3), `-termination-log=${end}`])
  const [code] = (await once(child, 'close')) as [number | null]
  expect(code).toBe(1)
  expect(n3.output).toContain('AWAITING_REPLACEMENT')
  const message = JSON.parse(await readFile(end, 'utf8')) as Record<string, unknown>
  expect(message).toMatchObject({
    code: 'AWAITING_REPLACEMENT',
    details: { directory: n3.dataDir },
  })
  expect(message['detail']).toContain('the data directory is blank')
})

test('foreign, given-up and damaged directories park and say which they are (F25, F30)', async () => {
  const operated = await operate(1)
  const [n1] = operated.cluster.members as [MemberProcess]
  await operated.publish(operated.document())
  operated.start(n1)
  await operated.until(n1, 'ready', (status) => status.ready)
  for (const key of ['first-put', 'b', 'c']) expect(await put(n1, key)).toBe(200)
  await operated.cluster.kill(n1, 'SIGTERM')

  await operated.publish(operated.document({ token: 'another', clusterId: undefined }))
  operated.start(n1)
  const foreign = await operated.parked(n1, 'ForeignCluster')
  expect(foreign.dataDirectory).toMatchObject({ code: 'DATA_DIR_FOREIGN' })
  expect(foreign.dataDirectory.detail).toContain(`token: ${TOKEN} there, another here`)
  expect(foreign.memberId).toBe(memberIdOf(TOKEN, 'n1', 1))

  const given = { phase: 'Running', clusterId: foreign.clusterId }
  await operated.publish(operated.document(given, { n1: { incarnation: 2 } }))
  const buried = await operated.parked(n1, 'Tombstoned')
  expect(buried.dataDirectory.detail).toContain(
    'of incarnation 1, which incarnation 2 has replaced',
  )

  await operated.publish(operated.document({ phase: 'Recovering' }))
  const fenced = await operated.parked(n1, 'Valid')
  expect(fenced.dataDirectory.detail).toContain('being recovered')

  // And when the file says so it goes on, without a restart.
  await operated.publish(operated.document(given))
  await operated.until(n1, 'ready again', (status) => status.ready)
  await operated.cluster.kill(n1, 'SIGTERM')

  const wal = join(n1.dataDir, 'wal')
  const [segment] = (await readdir(wal)).toSorted()
  const bytes = await readFile(join(wal, segment!))
  // In the first put, which was flushed and has others behind it.
  const at = bytes.indexOf('first-put')
  expect(at).toBeGreaterThan(0)
  bytes[at]! ^= 0xff
  await writeFile(join(wal, segment!), bytes)
  operated.start(n1)
  const damaged = await operated.parked(n1, 'Corrupt')
  expect(damaged.dataDirectory.code).toBe('WAL_CORRUPT')
  expect(damaged.dataDirectory.file).toContain(segment)
  expect(damaged.dataDirectory.offset).toBeGreaterThan(0)
  expect(damaged.alarms).toEqual(['CORRUPT'])
  expect(await operated.probes(n1)).toEqual([200, 200, 503])
  await truncate(join(n1.dataDir, 'member.json'), 20)
  expect(await operated.cluster.kill(n1, 'SIGTERM')).toBe(0)
  operated.start(n1)
  const unreadable = await operated.parked(n1, 'Corrupt')
  expect(unreadable.dataDirectory).toMatchObject({ code: 'METADATA_CORRUPT' })
  expect(unreadable.dataDirectory.file).toContain('member.json')
})

test('status and probes are answered within 50 ms while the disk hangs', async () => {
  const operated = await operate(1)
  const [n1] = operated.cluster.members as [MemberProcess]
  await operated.publish(operated.document())
  // Whoever opens it waits for ever, as on a volume that hangs.
  await mkdir(n1.dataDir, { recursive: true })
  execFileSync('mkfifo', [join(n1.dataDir, 'member.json')])
  operated.start(n1)
  await operated.until(n1, 'up', ({ startupPhase }) => startupPhase === 'openingDirectory')
  const durations: number[] = []
  for (let i = 0; i < 50; i++) {
    const startMs = performance.now()
    const status = await operated.status(n1)
    durations.push(performance.now() - startMs)
    expect(status?.dataDirectory.state).toBe('Unknown')
  }
  durations.sort((a, b) => a - b)
  console.info(`status while the disk hangs: median ${durations[25]!.toFixed(1)} ms`)
  expect(durations[25]).toBeLessThan(50)
  expect(await operated.probes(n1)).toEqual([503, 200, 503])
})

test('watchers learn of a failover within 100 ms of the member knowing it', async () => {
  const operated = await operate(3)
  const { cluster: c } = operated
  await operated.publish(operated.document())
  operated.start(...c.members)
  const leader = await c.agreedLeader()
  const others = c.members.filter((member) => member !== leader)
  for (const member of others) await operated.until(member, 'ready', (status) => status.ready)
  const watching = others.map((member) => {
    const reader = new EventReader<StatusEvent>(`${member.api}/v1/status/stream`)
    readers.push(reader)
    return { member, reader }
  })
  await eventually('first events', () => watching.every(({ reader }) => reader.newest) || undefined)
  expect(watching[0]!.reader.newest).toMatchObject({ ready: true, leaderName: leader.name })
  const before = others.map((member) => member.output.length)
  await c.kill(leader)
  const next = await c.agreedLeader({ among: others })
  for (const [i, { member, reader }] of watching.entries()) {
    const told = await eventually('the new leader', () => {
      return reader.events.find(({ data }) => data.leaderName === next.name)
    })
    const line = member.output
      .slice(before[i])
      .split('\n')
      .find((text) => text.includes('"leader elected"'))
    const knownAtMs = Date.parse((JSON.parse(line!) as { ts: string }).ts)
    console.info(`${member.name} told its watcher ${told.atMs - knownAtMs} ms after knowing`)
    expect(told.atMs - knownAtMs).toBeLessThan(100)
    // It was not ready while there was no leader, and is again.
    const since = reader.events.slice(1).map(({ data }) => data.ready)
    expect(since).toContain(false)
    await eventually('ready again', () => reader.newest?.ready || undefined)
  }
  // A leader that stops tells its watchers, hands over and ends.
  const reader = new EventReader<StatusEvent>(`${next.api}/v1/status/stream`)
  readers.push(reader)
  await operated.until(next, 'leading', (status) => status.role === 'leader' && status.ready)
  c.start(leader, operated.flags(leader))
  await operated.until(leader, 'ready', (status) => status.ready)
  expect(await c.kill(next, 'SIGTERM')).toBe(0)
  expect(reader.newest).toMatchObject({ state: 'stopping', ready: false })
  expect(reader.isEnded).toBe(true)
  const successor = await c.agreedLeader({ among: c.running, timeoutMs: 2000 })
  expect(successor.name).not.toBe(next.name)
})
