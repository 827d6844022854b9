// What a member refuses at its start, and whom it refuses as a peer: real processes, their exit codes and the line that
// says what differs or is damaged (faults.md F9, F25, F30, promises 5 and 6).

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import {
  eventually,
  freePorts,
  type MemberProcess,
  ProcessCluster,
} from '../support/process-cluster.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 30_000 })

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

/** Starts the member with other flags and returns what its process said, once it has ended. */
async function refusal(
  c: ProcessCluster,
  member: MemberProcess,
  replace: Readonly<Record<string, string>>,
): Promise<{ code: number | null; output: string }> {
  const flags = c.flags(member).map((flag) => {
    const name = flag.slice(1, flag.indexOf('='))
    return replace[name] === undefined ? flag : `-${name}=${replace[name]}`
  })
  const before = member.output.length
  const running = member.child
  const child = c.start(member, flags)
  const [code] = (await once(child, 'close')) as [number | null]
  member.child = running
  return { code, output: member.output.slice(before) }
}

async function putAndGet(member: MemberProcess): Promise<string> {
  const put = await fetch(`${member.api}/v1/kv/k`, { method: 'PUT', body: 'v' })
  expect(put.status).toBe(200)
  return (await fetch(`${member.api}/v1/kv/k`)).text()
}

test('a second process on a data directory is refused and the first is unharmed (F9)', async () => {
  cluster = await ProcessCluster.create(1)
  const c = cluster
  const member = c.members[0]!
  c.startAll()
  await c.agreedLeader()
  const [client, api, peer] = await freePorts(3)
  const second = await refusal(c, member, {
    'client-url': `http://127.0.0.1:${client}`,
    'api-addr': `127.0.0.1:${api}`,
    'peer-url': `http://127.0.0.1:${peer}`,
    'advertise-peer-url': `http://127.0.0.1:${peer}`,
    'initial-cluster': `n1=http://127.0.0.1:${peer}`,
  })
  expect(second.code).toBe(1)
  expect(second.output).toContain('DATA_DIR_LOCKED')
  expect(await putAndGet(member)).toBe('v')
})

test('a data directory of another member or cluster is refused with what differs (F30)', async () => {
  cluster = await ProcessCluster.create(1)
  const c = cluster
  const member = c.members[0]!
  c.startAll()
  await c.agreedLeader()
  await putAndGet(member)
  await c.kill(member, 'SIGTERM')
  const url = `http://127.0.0.1:${member.peerPort}`
  const otherName = await refusal(c, member, { name: 'n9', 'initial-cluster': `n9=${url}` })
  expect(otherName.code).toBe(1)
  expect(otherName.output).toContain('DATA_DIR_FOREIGN')
  expect(otherName.output).toContain('name: n1 there, n9 here')
  const otherToken = await refusal(c, member, { 'initial-cluster-token': 'another' })
  expect(otherToken.code).toBe(1)
  expect(otherToken.output).toContain('data directory belongs to another cluster')
  c.start(member)
  await c.agreedLeader()
  expect(await (await fetch(`${member.api}/v1/kv/k`)).text()).toBe('v')
})

/** Every file below the directory, by name, with what is in it. */
async function contentsOf(directory: string): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const digests = files.map(async (file): Promise<[string, string]> => {
    const path = join(file.parentPath, file.name)
    return [
      path,
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    ]
  })
  return Object.fromEntries(await Promise.all(digests))
}

async function newestIn(directory: string, ending: string): Promise<string> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(ending))
  return join(directory, names.toSorted().at(-1)!)
}

/** The error that the process ended with, as it said itself. */
function lastWord(output: string): { readonly code?: string; readonly details?: object } {
  const line = output.split('\n').findLast((text) => text.includes('"level":"fatal"'))
  const { err = {} } = JSON.parse(line ?? '{}') as { err?: object }
  return err
}

test('damage ends a member without a membership file with the place, and it changes nothing (F25)', async () => {
  cluster = await ProcessCluster.create(1, ['-snapshot-log-bytes=65536'])
  const c = cluster
  const member = c.members[0]!
  c.startAll()
  await c.agreedLeader()
  const snapshots = join(member.dataDir, 'snap')
  const value = 'v'.repeat(20_000)
  await eventually('a snapshot', async () => {
    const put = await fetch(`${member.api}/v1/kv/filler`, { method: 'PUT', body: value })
    expect(put.status).toBe(200)
    return (await readdir(snapshots)).some((name) => name.endsWith('.snap')) || undefined
  })
  expect(await putAndGet(member)).toBe('v')
  await c.kill(member, 'SIGTERM')

  const log = await newestIn(join(member.dataDir, 'wal'), '.wal')
  const snapshot = await newestIn(snapshots, '.snap')
  const offset = expect.any(Number) as number
  for (const { file, code, at, told } of [
    // One line of JSON, which is damaged as a whole.
    { file: join(member.dataDir, 'member.json'), code: 'METADATA_CORRUPT', at: 30, told: {} },
    { file: log, code: 'WAL_CORRUPT', at: 12_300, told: { offset } },
    { file: snapshot, code: 'SNAPSHOT_CORRUPT', at: 10_000, told: { offset } },
  ]) {
    const whole = await readFile(file)
    const damaged = Buffer.from(whole)
    damaged[at]! ^= 0x55
    await writeFile(file, damaged)
    const before = await contentsOf(member.dataDir)
    const { code: exitCode, output } = await refusal(c, member, {})
    expect(exitCode, `${code}\n${output}`).toBe(1)
    expect(lastWord(output)).toMatchObject({ code, details: { file, ...told } })
    expect(await contentsOf(member.dataDir), `after ${code}`).toEqual(before)
    await writeFile(file, whole)
  }
  // What was not touched is still what it was.
  c.start(member)
  await c.agreedLeader()
  expect(await (await fetch(`${member.api}/v1/kv/k`)).text()).toBe('v')
})

test('a mistyped initial cluster is refused before anything starts, all problems together', async () => {
  cluster = await ProcessCluster.create(1)
  const c = cluster
  const member = c.members[0]!
  const missing = await refusal(c, member, { 'initial-cluster': 'n2=http://127.0.0.1:1' })
  expect(missing.code).not.toBe(0)
  expect(missing.output).toContain('n1')
  const twice = await refusal(c, member, {
    'initial-cluster': `n1=http://127.0.0.1:${member.peerPort},n1=http://127.0.0.1:9`,
  })
  expect(twice.code).not.toBe(0)
  const mismatch = await refusal(c, member, { 'initial-cluster': 'n1=http://127.0.0.1:9' })
  expect(mismatch.code).not.toBe(0)
  expect(mismatch.output).toContain(String(member.peerPort))
  const host = await refusal(c, member, { 'client-url': 'http://example.test:2379' })
  expect(host.code).not.toBe(0)
  expect(host.output).toContain('expected IP in URL for binding (http://example.test:2379)')
})

test('members of two clusters refuse each other and say which entry differs (promise 6)', async () => {
  cluster = await ProcessCluster.create(3)
  const c = cluster
  const [n1, n2, n3] = c.members as [MemberProcess, MemberProcess, MemberProcess]
  c.start(n1)
  c.start(n2)
  const wrong = c.initialCluster.replace(`:${n1.peerPort}`, ':9')
  c.start(
    n3,
    c
      .flags(n3)
      .map((flag) => (flag.startsWith('-initial-cluster=') ? `-initial-cluster=${wrong}` : flag)),
  )
  await c.agreedLeader({ among: [n1, n2], timeoutMs: 60_000 })
  await eventually(
    'the refusal, and what differs',
    () => {
      const lines = n3.output.split('\n').filter((text) => text.includes('CLUSTER_MISMATCH'))
      const url = `http://127.0.0.1:${n1.peerPort}`
      return lines.some((line) => line.includes(url)) ? true : undefined
    },
    { timeoutMs: 60_000, explain: () => c.outputs() },
  )
  // Whether it answers within its second is not the question here: on a busy machine it is asked again.
  const status = await eventually(
    'what the others say of it',
    async () => (await c.nodes(n1))?.find((node) => node.name === 'n3')?.status,
    { timeoutMs: 60_000, explain: () => c.outputs() },
  )
  expect(status).toBe('unreachable')
})

test('a taken port is refused with the port and leaves nothing running', async () => {
  cluster = await ProcessCluster.create(2)
  const c = cluster
  const [first, second] = c.members as [MemberProcess, MemberProcess]
  c.start(first)
  await eventually('the first member', () => c.nodes(first))
  const refused = await refusal(c, second, { 'api-addr': `127.0.0.1:${first.apiPort}` })
  expect(refused.code).toBe(1)
  expect(refused.output).toContain('ADDRESS_IN_USE')
  expect(refused.output).toContain(String(first.apiPort))
})
