// A real member whose configuration file changes while it runs: everything that can change does, without a restart and
// without a lost request.

import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Status } from '../../member/src/rest/contract.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'

async function status(member: MemberProcess): Promise<Status> {
  const response = await fetch(`${member.api}/v1/status`)
  return (await response.json()) as Status
}

async function put(member: MemberProcess, key: string, bytes: number): Promise<number> {
  const init = { method: 'PUT', body: new Uint8Array(bytes) }
  const response = await fetch(`${member.api}/v1/kv/${key}`, init)
  await response.arrayBuffer()
  return response.status
}

/** Written as an editor does: whole, and renamed into its place. */
function configFileOf({ directory }: ProcessCluster) {
  const file = join(directory, 'raftbase.json')
  const write = async (content: object): Promise<void> => {
    await writeFile(`${file}.new`, JSON.stringify(content))
    await rename(`${file}.new`, file)
  }
  return { file, write }
}

test('log level, quota and limits follow the file; the rest waits for a restart by name', async () => {
  const cluster = await ProcessCluster.create(1)
  const member = cluster.members[0]!
  const { file, write } = configFileOf(cluster)
  const acknowledged = (epoch: number): Promise<Status> =>
    eventually('the epoch', async () => {
      const now = await status(member)
      return now.configFile?.epoch === epoch ? now : undefined
    })
  try {
    await write({ epoch: 1, 'max-request-bytes': 1024 })
    const flags = [...cluster.flags(member), `-config=${file}`]
    const child = cluster.start(member, flags)
    await cluster.agreedLeader()
    expect((await status(member)).configFile).toEqual({ epoch: 1, pendingRestart: [] })
    expect(await put(member, 'small', 500)).toBe(200)
    expect(await put(member, 'large', 5000)).toBe(413)

    // A writer runs through every change.
    let failures = 0
    const writer = new AbortController()
    const writing = (async () => {
      for (let i = 0; !writer.signal.aborted; i++) {
        if ((await put(member, `w${i % 10}`, 100)) !== 200) failures++
      }
    })()
    await write({ epoch: 2, 'max-request-bytes': 10_000_000, 'log-level': 'debug' })
    await acknowledged(2)
    expect(await put(member, 'large', 3_000_000)).toBe(200)
    await write({ epoch: 3, 'election-timeout': 2000, 'log-level': 'warn' })
    expect((await acknowledged(3)).configFile?.pendingRestart).toEqual(['election-timeout'])
    writer.abort()
    await writing
    expect(failures).toBe(0)

    await write({ epoch: 4, 'quota-backend-bytes': 2_000_000 })
    expect((await acknowledged(4)).alarms).toEqual(['NOSPACE'])
    expect(await put(member, 'more', 10)).toBe(507)
    await write({ epoch: 5, 'quota-backend-bytes': 1 })
    const refused = await eventually('the problem', async () => {
      const { configFile } = await status(member)
      return configFile?.problem === undefined ? undefined : configFile
    })
    expect(refused).toEqual({
      epoch: 4,
      pendingRestart: [],
      problem: expect.stringContaining('quota-backend-bytes'),
    })
    // What the writer has left of its history counts as well, however fast it was.
    await write({ epoch: 6, 'quota-backend-bytes': 40_000_000 })
    expect((await acknowledged(6)).alarms).toEqual([])
    expect(await put(member, 'more', 10)).toBe(200)
    expect(member.child).toBe(child)
    expect(member.output).toContain('"level":"debug"')
    expect(await cluster.kill(member, 'SIGTERM')).toBe(0)
  } finally {
    await cluster.destroy()
  }
})

test('history goes as the file says, without a restart, and a member says what it does not understand', async () => {
  const cluster = await ProcessCluster.create(1)
  const member = cluster.members[0]!
  const { file, write } = configFileOf(cluster)
  const compacted = (least: number): Promise<Status> =>
    eventually('a compaction', async () => {
      const now = await status(member)
      return (now.compactRevision ?? 0) >= least ? now : undefined
    })
  try {
    await write({ epoch: 1 })
    cluster.start(member, [...cluster.flags(member), `-config=${file}`])
    await cluster.agreedLeader()
    for (let i = 0; i < 20; i++) expect(await put(member, 'k', 100)).toBe(200)
    expect((await status(member)).compactRevision).toBe(0)
    await write({ epoch: 2, 'auto-compaction-mode': 'revision', 'auto-compaction-retention': '5' })
    expect(await compacted(1)).toMatchObject({
      compactRevision: 16,
      revision: 21,
      configFile: { epoch: 2, pendingRestart: [] },
    })
    const old = await fetch(`${member.api}/v1/kv/k?revision=15`)
    expect([old.status, ((await old.json()) as { code: string }).code]).toEqual([
      410,
      'REVISION_COMPACTED',
    ])
    expect((await fetch(`${member.api}/v1/kv/k?revision=16`)).status).toBe(200)
    await write({ epoch: 3, 'auto-compaction-retention': '1s' })
    expect(await compacted(21)).toMatchObject({ compactRevision: 21, revision: 21 })
    await write({ epoch: 4, 'auto-compaction-mode': 'daily' })
    const problem = await eventually('the problem', async () => {
      return (await status(member)).configFile?.problem
    })
    expect(problem).toContain('unknown auto-compaction-mode "daily"')
    expect(member.output).toContain('history compacted')
    expect(await cluster.kill(member, 'SIGTERM')).toBe(0)
  } finally {
    await cluster.destroy()
  }
})
