// A disk that is full or read-only under real members: each data directory is a file system of its own, small, in memory
// (faults.md F27). Needs the right to mount; without it the tests say so and are skipped.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 30_000 })

const DISK_MIB = 12
const VALUE = 'x'.repeat(512 * 1024)

function mount(...args: readonly string[]): string | undefined {
  const { status, stderr, error } = spawnSync('mount', args, { encoding: 'utf8' })
  return status === 0 ? undefined : (error?.message ?? stderr.trim())
}

/** Why no file system can be mounted here; undefined when one can. */
function whyNoMount(): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'raftbase-mount-'))
  const reason = mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory)
  if (reason === undefined) spawnSync('umount', [directory])
  rmSync(directory, { recursive: true })
  return reason
}

const reason = whyNoMount()
if (reason !== undefined) console.log(`skipped, nothing can be mounted here: ${reason}`)

let cluster: ProcessCluster
beforeEach(async () => {
  if (reason !== undefined) return
  cluster = await ProcessCluster.create(3)
  for (const { dataDir } of cluster.members) {
    mkdirSync(dataDir)
    expect(mount('-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', dataDir)).toBe(undefined)
  }
})
afterEach(async () => {
  if (reason !== undefined) return
  for (const member of cluster.running) {
    member.child?.kill('SIGCONT')
    await cluster.kill(member)
  }
  for (const { dataDir } of cluster.members) spawnSync('umount', ['-l', dataDir])
  await cluster.destroy()
})

function filler(member: MemberProcess): string {
  return join(member.dataDir, 'filler')
}

/** Leaves nothing of the disk but what the member has already. */
function fill(member: MemberProcess): void {
  try {
    writeFileSync(filler(member), new Uint8Array(DISK_MIB * 1024 * 1024))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    return
  }
  throw new Error('the disk is not full')
}

interface Answer {
  readonly status: number
  readonly code: string
}

async function put(member: MemberProcess, key: string, value = VALUE): Promise<Answer> {
  const url = `${member.api}/v1/kv/${key}?timeout=3s`
  const response = await fetch(url, { method: 'PUT', body: value })
  const body = (await response.json()) as { readonly code?: string }
  return { status: response.status, code: body.code ?? '' }
}

async function get(member: MemberProcess, key: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`${member.api}/v1/kv/${key}?timeout=3s`)
  return { status: response.status, body: await response.text() }
}

async function alarms(member: MemberProcess): Promise<readonly string[]> {
  const response = await fetch(`${member.api}/v1/status`)
  return ((await response.json()) as { readonly alarms: readonly string[] }).alarms
}

/** Puts until one does not get through, and returns the keys that did. */
async function putUntilFull(member: MemberProcess): Promise<readonly string[]> {
  const done: string[] = []
  for (let i = 0; i < 40; i++) {
    const { status } = await put(member, `k${i}`)
    if (status !== 200) return done
    done.push(`k${i}`)
  }
  throw new Error('every write found space')
}

test.skipIf(reason !== undefined)(
  'three full disks refuse writes, answer reads, lose nothing over kill -9, and take writes when there is space (F27)',
  async () => {
    cluster.startAll()
    const leader = await cluster.agreedLeader()
    for (const member of cluster.members) fill(member)
    const done = await putUntilFull(leader)
    expect(done.length).toBeGreaterThan(0)
    await eventually('the alarm', async () =>
      (await alarms(leader)).length > 0 ? true : undefined,
    )
    expect(await alarms(leader)).toEqual(['NOSPACE'])
    const [follower] = cluster.members.filter((member) => member !== leader) as [MemberProcess]
    for (const member of [leader, follower]) {
      await eventually('a definite refusal', async () =>
        (await put(member, 'refused')).code === 'NO_SPACE' ? true : undefined,
      )
    }
    for (const member of cluster.members) {
      expect(await get(member, done.at(-1)!)).toEqual({ status: 200, body: VALUE })
    }
    expect((await cluster.agreedLeader()).name).toBe(leader.name)
    await Promise.all(cluster.members.map((member) => cluster.kill(member)))
    cluster.startAll()
    await eventually('every member', async () => {
      const views = await Promise.all(cluster.members.map((member) => cluster.nodes(member)))
      return views.every((view) => view !== undefined) ? true : undefined
    })
    for (const member of cluster.members) rmSync(filler(member))
    await cluster.agreedLeader()
    await eventually('a write', async () =>
      (await put(follower, 'after', 'v')).status === 200 ? true : undefined,
    )
    for (const member of cluster.members) {
      for (const key of done) expect((await get(member, key)).body).toBe(VALUE)
      expect(await get(member, 'refused')).toMatchObject({ status: 404 })
    }
  },
)

test.skipIf(reason !== undefined)(
  'a full disk of the leader moves the leadership, and no client is refused (F27)',
  async () => {
    cluster.startAll()
    const leader = await cluster.agreedLeader()
    const [follower] = cluster.members.filter((member) => member !== leader) as [MemberProcess]
    fill(leader)
    for (let i = 0; i < 14; i++) {
      expect(await put(follower, `k${i}`)).toEqual({ status: 200, code: '' })
    }
    const successor = await cluster.agreedLeader({
      among: cluster.members.filter((member) => member !== leader),
    })
    expect(successor.name).not.toBe(leader.name)
    expect(await alarms(leader)).toEqual(['NOSPACE'])
    rmSync(filler(leader))
    await eventually('the member has caught up', async () =>
      (await get(leader, 'k13')).status === 200 ? true : undefined,
    )
    expect(await alarms(leader)).toEqual([])
  },
)
