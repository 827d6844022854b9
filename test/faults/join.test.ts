// Real members that join a running cluster by their settings (-initial-cluster-state existing), as they are added by the
// command line; and those that must not.

import { rm } from 'node:fs/promises'
import { afterEach, expect, test, vi } from 'vitest'
import type { Status } from '../../member/src/rest/contract.ts'
import { runCommand } from '../support/command.ts'
import {
  eventually,
  freePorts,
  type MemberProcess,
  ProcessCluster,
} from '../support/process-cluster.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 30_000 })

let cluster: ProcessCluster | undefined
afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

async function raftbase(
  ...argv: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const c = cluster!
  const endpoints = c.members.map(({ api }) => api).join(',')
  return runCommand(process.execPath, [c.program, ...argv], {
    timeoutMs: 60_000,
    env: { RAFTBASE_ENDPOINTS: endpoints },
  })
}

async function mustDo(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await raftbase(...argv)
  expect({ argv, code, stderr }).toEqual({ argv, code: 0, stderr: '' })
  return stdout
}

function joining(c: ProcessCluster, member: MemberProcess): string[] {
  return [...c.flags(member), '-initial-cluster-state=existing']
}

async function status({ api }: MemberProcess): Promise<Status | undefined> {
  try {
    const response = await fetch(`${api}/v1/status`, { signal: AbortSignal.timeout(1000) })
    return (await response.json()) as Status
  } catch {
    return undefined // Not up yet: the caller asks again until its deadline.
  }
}

async function roles(): Promise<readonly string[]> {
  const { members } = JSON.parse(await mustDo('member', 'list', '-o=json')) as {
    members: { name: string; role: string }[]
  }
  return members.map(({ name, role }) => `${name} ${role}`).toSorted()
}

async function peerUrlsOf({ name }: MemberProcess): Promise<readonly string[]> {
  const { members } = JSON.parse(await mustDo('member', 'list', '-o=json')) as {
    members: { name: string; peerUrls: string[] }[]
  }
  return members.find((member) => member.name === name)?.peerUrls ?? []
}

function peerUrl(member: MemberProcess): string {
  return `http://127.0.0.1:${member.peerPort}`
}

test('one member becomes three, of whom each stays itself when it starts again', async () => {
  const c = (cluster = await ProcessCluster.create(3))
  const [n1, n2, n3] = c.members as [MemberProcess, MemberProcess, MemberProcess]
  const alone = c.flags(n1).filter((flag) => !flag.startsWith('-initial-cluster='))
  c.start(n1, [...alone, `-initial-cluster=n1=${peerUrl(n1)}`])
  await eventually('n1 leads', async () => (await status(n1))?.ready === true || undefined)

  // Whoever was not added ends with one line and code 1.
  c.start(n2, joining(c, n2))
  await eventually('the end of n2', () => n2.child === undefined || undefined)
  expect(n2.output).toContain('n2 has not been added: raftbase member add n2')
  expect(n2.output).toContain('exit code=1')

  await mustDo('member', 'add', 'n2', '--peer-urls', peerUrl(n2))
  await mustDo('member', 'add', 'n3', '--peer-urls', peerUrl(n3))
  for (const member of [n2, n3]) c.start(member, joining(c, member))
  const promoted = await mustDo(
    'member',
    'promote',
    'n2',
    'n3',
    '--wait',
    '--timeout=30s',
    '-o=json',
  )
  // The joint change is over when it is answered: a next one may expect this epoch.
  const { epoch } = JSON.parse(promoted) as { epoch: number }
  const address = ['--peer-urls', peerUrl(n3)]
  await mustDo('member', 'update', 'n3', ...address, '--expected-epoch', String(epoch))
  await mustDo('member', 'add', 'n9', '--peer-urls=http://127.0.0.1:1', `--expected-epoch=${epoch}`)
  await mustDo('member', 'remove', 'n9')
  expect(await roles()).toEqual(['n1 voter', 'n2 voter', 'n3 voter'])
  for (const member of [n2, n3]) {
    await eventually(`${member.name} ready`, async () => (await status(member))?.ready || undefined)
  }
  // Its settings still say how it joined: with data it goes by the data.
  expect(await c.kill(n2, 'SIGTERM')).toBe(0)
  c.start(n2, joining(c, n2))
  await eventually('n2 again', async () => (await status(n2))?.ready || undefined)
  expect(await mustDo('leader', 'transfer', 'n2')).toBe('n2 leads\n')

  // Its disk lost, it does not join a second time under the id it had.
  await c.kill(n2)
  await rm(n2.dataDir, { recursive: true })
  c.start(n2, joining(c, n2))
  await eventually('the end of n2', () => n2.child === undefined || undefined)
  expect(n2.output).toContain(
    'the cluster knows n2 as a member; it has to be replaced under a new id',
  )

  // Its next life takes the place of the one before in one change.
  await mustDo('member', 'add', 'n2', '--peer-urls', peerUrl(n2), '--incarnation=2')
  c.start(n2, joining(c, n2))
  await mustDo('member', 'replace', 'n2', '--wait', '--timeout=30s')
  expect(await roles()).toEqual(['n1 voter', 'n2 voter', 'n3 voter'])
  const now = await eventually('n2 in its second life', async () => {
    const told = await status(n2)
    return told?.ready === true ? told : undefined
  })
  expect(now.incarnation).toBe(2)
})

test('a member is found at its new address, under load and without losing a write (F38)', async () => {
  const c = (cluster = await ProcessCluster.create(3))
  c.startAll()
  const leader = await c.agreedLeader()
  const moving = c.members.find((member) => member !== leader)!
  const acknowledged: number[] = []
  const stop = new AbortController()
  const writer = (async (): Promise<void> => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const response = await fetch(`${leader.api}/v1/kv/w${i}`, { method: 'PUT', body: `${i}` })
      await response.arrayBuffer()
      if (response.ok) acknowledged.push(i)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  const [port] = (await freePorts(1)) as [number]
  const url = `http://127.0.0.1:${port}`
  await c.kill(moving)
  expect(await mustDo('member', 'update', moving.name, '--peer-urls', url)).toMatch(
    new RegExp(`^${moving.name} is reached at ${url} \\(epoch \\d+\\)\n$`),
  )
  const flags = c.flags(moving).map((flag) => flag.replaceAll(peerUrl(moving), url))
  c.start(moving, [...flags, '-initial-cluster-state=existing'])
  await eventually(
    'ready at the new address',
    async () => (await status(moving))?.ready || undefined,
  )
  stop.abort()
  await writer
  expect(acknowledged.length).toBeGreaterThan(10)
  for (const i of [acknowledged[0]!, acknowledged.at(-1)!]) {
    const response = await fetch(`${moving.api}/v1/kv/w${i}`)
    expect(await response.text()).toBe(`${i}`)
  }
  expect(await peerUrlsOf(moving)).toEqual([url])

  // Moved once more, and nobody told the cluster: it does so itself.
  const [another] = (await freePorts(1)) as [number]
  const last = `http://127.0.0.1:${another}`
  await c.kill(moving)
  const again = flags.map((flag) => flag.replaceAll(url, last))
  c.start(moving, [...again, '-initial-cluster-state=existing'])
  await eventually('told by itself', async () => {
    const told = (await status(moving))?.ready === true ? await peerUrlsOf(moving) : []
    return told[0] === last || undefined
  })
  // With the old leader gone it is one of the two that have to do with each other.
  await c.kill(leader)
  const next = await c.agreedLeader({ among: c.members.filter((member) => member !== leader) })
  const written = await fetch(`${next.api}/v1/kv/after`, { method: 'PUT', body: 'x' })
  expect(written.status).toBe(200)
})
