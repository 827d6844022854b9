// Data directories written by earlier versions, kept as they were (faults.md F55): every version must open each format that
// was ever released, find all of it, and go on from there. `UPDATE_GOLDEN=1` writes the directory of this version's format if
// there is none yet; one that is there is never written again.

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import type { Member } from '../../../member/src/node/member.ts'
import { METADATA_FILE, STORAGE_FORMAT_VERSION } from '../../../member/src/wal/metadata.ts'
import { readStored } from '../../faults/support/stored-state.ts'
import { LocalCluster } from '../../support/local-cluster.ts'

const TESTDATA = join(import.meta.dirname, 'testdata')
const OPTIONS = { timeoutMs: 10_000 }
const FOUNDERS = [{ name: 'n1', peerUrls: ['http://n1'] }]

interface Golden {
  readonly facts: Facts
  /** Relative paths to contents in base64. */
  readonly files: Readonly<Record<string, string>>
}

/** What must be found in the directory. */
interface Facts {
  readonly applied: number
  readonly revision: number
  readonly hash: number
  readonly keyCount: number
  readonly snapshotIndex: number
  /** Revision of the first value of `rewritten`, whose newest value is `last`. */
  readonly firstRevision: number
  readonly members: readonly string[]
  readonly removed: readonly string[]
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function factsOf(member: Member, firstRevision: number): Facts {
  const { stateMachine } = member
  const { applied, revision, keyCount, snapshotIndex } = member.status()
  const result = stateMachine.store.hash(0)
  if (!result.ok) throw new Error(`no hash: ${result.reason}`)
  return {
    applied,
    revision,
    hash: result.hash,
    keyCount,
    snapshotIndex,
    firstRevision,
    members: [...stateMachine.members.values()].map(({ name }) => name).toSorted(),
    removed: [...stateMachine.removed].toSorted(),
  }
}

/** Something of everything: keys rewritten and deleted, members added and removed, a snapshot, a log behind it. */
async function makeGolden(path: string): Promise<void> {
  const cluster = await LocalCluster.start({ count: 1, snapshotLogBytes: 64 * 1024 })
  const member = await cluster.leader()
  const put = (key: string, value: string) =>
    member.put({ key: bytes(key), value: bytes(value) }, OPTIONS)
  const { revision: firstRevision } = await put('rewritten', 'first')
  for (let i = 0; i < 300; i++) await put(`key-${i}`, `value ${i} `.repeat(40))
  for (let i = 0; i < 50; i++) await member.delete({ key: bytes(`key-${i}`) }, OPTIONS)
  for (const name of ['n2', 'n3']) {
    const peerUrls = [`http://${name}`]
    const request = { type: 'add', name, incarnation: 1, peerUrls } as const
    const { id } = await member.changeMembership(request, OPTIONS)
    if (name === 'n3') await member.changeMembership({ type: 'remove', id: id! }, OPTIONS)
  }
  await put('rewritten', 'last')
  const facts = factsOf(member, firstRevision)
  const directory = cluster.pathOf('n1')
  await cluster.stopMember(member)
  const files: Record<string, string> = {}
  for (const file of await filesBelow(directory)) {
    files[relative(directory, file)] = (await readFile(file)).toString('base64')
  }
  writeFileSync(path, gzipSync(JSON.stringify({ facts, files } satisfies Golden), { level: 9 }))
  await cluster.destroy()
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name !== 'LOCK')
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
}

async function unpack({ files }: Golden, directory: string): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, Buffer.from(content, 'base64'))
  }
}

const own = join(TESTDATA, `data-directory-format-${STORAGE_FORMAT_VERSION}.json.gz`)
if (process.env['UPDATE_GOLDEN'] === '1' && !existsSync(own)) await makeGolden(own)

const directories = readdirSync(TESTDATA)
  .filter((name) => name.startsWith('data-directory-'))
  .map((name) => {
    const text = gunzipSync(readFileSync(join(TESTDATA, name))).toString()
    return { name, golden: JSON.parse(text) as Golden }
  })

test('there is a data directory of each format there has been (F55)', () => {
  const formats = Array.from({ length: STORAGE_FORMAT_VERSION }, (_, i) => i + 1)
  expect(directories.map(({ name }) => name).toSorted()).toEqual(
    formats.map((format) => `data-directory-format-${format}.json.gz`).toSorted(),
  )
})

test.each(directories)('$name is read whole (F55)', async ({ golden }) => {
  const directory = await mkdtemp(join(tmpdir(), 'raftbase-golden-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  await unpack(golden, directory)
  const stored = await readStored({
    name: 'n1',
    dataDir: directory,
    token: 'local',
    members: FOUNDERS,
  })
  const { applied, revision, hash } = golden.facts
  expect([stored.applied, stored.revision]).toEqual([applied, revision])
  expect(stored.hashAt(revision)).toBe(hash)
})

test.each(directories)('$name is where a member of this version goes on (F55)', async (kept) => {
  const { facts } = kept.golden
  const cluster = await LocalCluster.start({
    count: 1,
    prepare: (directory) => unpack(kept.golden, join(directory, 'n1')),
  })
  onTestFinished(() => cluster.destroy())
  const member = await cluster.leader()
  const text = async (key: string, revision?: number): Promise<string | undefined> => {
    const asked = revision === undefined ? {} : { revision }
    const request = { key: bytes(key), consistency: 'linearizable', ...asked } as const
    const { kv } = await member.get(request, OPTIONS)
    return kv === undefined ? undefined : Buffer.from(kv.value).toString()
  }
  expect(factsOf(member, facts.firstRevision)).toEqual({
    ...facts,
    applied: expect.any(Number) as number,
  })
  expect(await text('rewritten')).toBe('last')
  expect(await text('rewritten', facts.firstRevision)).toBe('first')
  expect(await text('key-10')).toBeUndefined()
  expect(await text('key-299')).toBe('value 299 '.repeat(40))
  const { revision } = await member.put({ key: bytes('new'), value: bytes('here') }, OPTIONS)
  expect(revision).toBe(facts.revision + 1)
  expect(await text('new')).toBe('here')
})

test('a directory of a later format is refused before anything is written (F55)', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'raftbase-golden-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  await unpack(directories.at(-1)!.golden, directory)
  const path = join(directory, METADATA_FILE)
  const { checksum: _, ...fields } = JSON.parse(await readFile(path, 'utf8')) as {
    checksum: string
  }
  const body = { ...fields, formatVersion: STORAGE_FORMAT_VERSION + 1 }
  const checksum = createHash('sha256').update(JSON.stringify(body)).digest('hex')
  await writeFile(path, `${JSON.stringify({ ...body, checksum }, undefined, 2)}\n`)
  const before = await contentsOf(directory)
  await expect(
    readStored({ name: 'n1', dataDir: directory, token: 'local', members: FOUNDERS }),
  ).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
  expect(await contentsOf(directory)).toEqual(before)
})

async function contentsOf(directory: string): Promise<readonly string[]> {
  const files = await filesBelow(directory)
  return Promise.all(
    files.map(async (file) => {
      const digest = createHash('sha256')
        .update(await readFile(file))
        .digest('hex')
      return `${relative(directory, file)} ${digest}`
    }),
  )
}
