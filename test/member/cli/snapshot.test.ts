// `raftbase snapshot …` as a user meets it: files, exit codes, and members that cut off, lie or are not there. Whole
// clusters are saved and restored in test/faults/restore.test.ts.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { fileOf, SOURCE_CLUSTER, stateOf } from '../../support/snapshot-files.ts'
import { LAUNCHER, raftbase } from './support.ts'

vi.setConfig({ testTimeout: 30_000 })

const FILE = await fileOf(
  stateOf([
    ['k1', 'a'],
    ['k2', 'b'],
  ]),
)
const DIGEST = FILE.subarray(-32).toString('hex')

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftbase-snapshot-'))
  return () => rm(directory, { recursive: true })
})

/** A follower that answers a request for a snapshot like this, and says that it is alone. */
async function member(answer: (response: ServerResponse, query: string) => void): Promise<string> {
  const server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://member')
    if (url.pathname === '/v1/snapshot') return answer(response, url.search)
    const nodes = [{ id: 'a'.repeat(16), name: 'n1', status: 'follower', apiUrls: [] }]
    response.end(JSON.stringify({ nodes }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const HEADERS = { 'raftbase-revision': '3', 'raftbase-member-count': '2' }

function good(response: ServerResponse): void {
  response.writeHead(200, HEADERS)
  response.end(FILE)
}

function cutOff(response: ServerResponse): void {
  response.writeHead(200, HEADERS)
  response.write(FILE.subarray(0, 300), () => response.destroy())
}

function save(name: string, endpoints: readonly string[], ...flags: string[]) {
  return raftbase(
    'snapshot',
    'save',
    join(directory, name),
    '--endpoints',
    endpoints.join(','),
    ...flags,
  )
}

test('save writes the file and says what it is, and verify says the same and more', async () => {
  const path = join(directory, 'a.snap')
  const saved = await save('a.snap', [await member(good)], '-o', 'json')
  expect({ ...saved, stdout: undefined }).toEqual({ code: 0, stderr: '', stdout: undefined })
  const facts = { file: path, bytes: FILE.length, digest: DIGEST, clusterId: SOURCE_CLUSTER }
  const position = { index: 2, term: 2, revision: 3 }
  expect(JSON.parse(saved.stdout)).toMatchObject({ ...facts, ...position, memberCount: 2 })
  expect((await readFile(path)).equals(FILE)).toBe(true)
  // Nobody but its owner reads it (X19).
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  const verified = await raftbase('snapshot', 'verify', path, '-o=json')
  expect(verified.code).toBe(0)
  expect(JSON.parse(verified.stdout)).toMatchObject({
    ...facts,
    ...position,
    compactRevision: 0,
    keyCount: 2,
    members: ['n1', 'n2'],
    hash: expect.stringMatching(/^[0-9a-f]{8}$/) as string,
  })
  const table = await raftbase('snapshot', 'verify', path)
  expect(table.stdout).toMatch(new RegExp(`^FILE +${path}$`, 'm'))
  expect(table.stdout).toMatch(new RegExp(`^SHA-256 +${DIGEST}$`, 'm'))
  expect(table.stdout).toMatch(/^KEYS +2$/m)
})

test('save asks the next member when one cuts off, sends damage or refuses', async () => {
  const damaged = Buffer.from(FILE)
  damaged[400]! ^= 4
  const asked: string[] = []
  const endpoints = [
    await member(cutOff),
    await member((response) => response.writeHead(200, HEADERS).end(damaged)),
    await member((response) => {
      response.statusCode = 503
      response.end(JSON.stringify({ code: 'OVERLOADED', detail: 'too many', status: 503 }))
    }),
    await member((response, query) => {
      asked.push(query)
      good(response)
    }),
  ]
  const { code, stdout } = await save('a.snap', endpoints)
  expect(code).toBe(0)
  expect(stdout).toMatch(new RegExp(`^FROM +${endpoints[3]!}$`, 'm'))
  expect(asked[0]).toMatch(/^\?consistency=linearizable&timeout=\d+ms$/)
  expect(await readdir(directory)).toEqual(['a.snap'])
})

test('save leaves nothing behind when nobody hands out a whole one', async () => {
  const endpoints = [await member(cutOff), 'http://127.0.0.1:9']
  const { code, stderr } = await save('a.snap', endpoints, '--consistency=serializable')
  expect(code).toBe(1)
  expect(stderr).toMatch(/^raftbase snapshot save: .*127\.0\.0\.1:9.* \(PEER_UNREACHABLE\)\n$/)
  expect(await readdir(directory)).toEqual([])
})

test('save replaces a file only when told to, and then only by a whole one', async () => {
  const path = join(directory, 'a.snap')
  await writeFile(path, 'mine')
  const refused = await save('a.snap', [await member(good)])
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  expect(refused.stderr).toBe(
    `raftbase snapshot save: file exists (INVALID_ARGUMENT) file=${path}\n`,
  )
  expect((await save('a.snap', [await member(cutOff)], '--force')).code).toBe(1)
  expect(await readFile(path, 'utf8')).toBe('mine')
  expect((await save('a.snap', [await member(good)], '--force')).code).toBe(0)
  expect((await readFile(path)).equals(FILE)).toBe(true)
})

test('save cleans up when it is interrupted, and leaves a part that nobody takes for a snapshot when it is killed', async () => {
  const endpoint = await member((response) => {
    response.writeHead(200, HEADERS)
    response.write(FILE.subarray(0, 300))
  })
  const path = join(directory, 'a.snap')
  const start = async (): Promise<ChildProcess> => {
    const argv = ['snapshot', 'save', path, '--endpoints', endpoint]
    const child = spawn(process.execPath, [LAUNCHER, ...argv], { stdio: 'ignore' })
    while ((await readdir(directory)).length === 0) await new Promise((r) => setTimeout(r, 5))
    return child
  }
  const interrupted = await start()
  interrupted.kill('SIGINT')
  expect(await once(interrupted, 'exit')).toEqual([1, null])
  expect(await readdir(directory)).toEqual([])
  const killed = await start()
  killed.kill('SIGKILL')
  await once(killed, 'exit')
  expect(await readdir(directory)).toEqual([expect.stringMatching(/^a\.snap\.[0-9a-f]{16}\.part$/)])
})

test('verify and restore refuse what is no whole snapshot, with file and offset, and touch nothing (F54)', async () => {
  const path = join(directory, 'a.snap')
  const dataDir = join(directory, 'n1')
  const damaged = Buffer.from(FILE)
  damaged[200]! ^= 1
  for (const [bytes, code] of [
    [damaged, 'SNAPSHOT_CORRUPT'],
    [FILE.subarray(0, 500), 'SNAPSHOT_CORRUPT'],
    [Buffer.from(FILE).fill(9, 8, 9), 'SNAPSHOT_REFUSED'],
    [Buffer.alloc(0), 'SNAPSHOT_CORRUPT'],
  ] as const) {
    await writeFile(path, bytes)
    const verified = await raftbase('snapshot', 'verify', path, '-o', 'json')
    expect(verified.code).toBe(1)
    expect(JSON.parse(verified.stderr)).toMatchObject({ code, file: path })
    const restored = await raftbase('snapshot', 'restore', path, '-data-dir', dataDir)
    expect(restored.code).toBe(1)
    expect(restored.stderr).toContain(`(${code})`)
  }
  expect(await readdir(directory)).toEqual(['a.snap'])
  const missing = await raftbase('snapshot', 'verify', join(directory, 'none'))
  expect(missing.stderr).toContain('file or directory does not exist (NOT_FOUND)')
})

test('restore makes a directory, says how to start, and refuses to make it twice', async () => {
  const path = join(directory, 'a.snap')
  const dataDir = join(directory, 'data/n1')
  await writeFile(path, FILE)
  const flags = ['-data-dir', dataDir, '-initial-cluster-token', 'again']
  const first = await raftbase('snapshot', 'restore', path, ...flags)
  expect({ ...first, stdout: '' }).toEqual({ code: 0, stderr: '', stdout: '' })
  expect(first.stdout).toContain(
    `raftbase -name n1 -data-dir ${dataDir} -initial-cluster-token again ` +
      '-initial-cluster n1=http://127.0.0.1:2380',
  )
  expect(await readdir(dataDir)).toEqual(['LOCK', 'restored.json', 'snap'])
  const second = await raftbase('snapshot', 'restore', path, ...flags, '-o', 'json')
  expect(second.code).toBe(1)
  expect(JSON.parse(second.stderr)).toMatchObject({ code: 'DATA_DIR_UNUSABLE', directory: dataDir })
  const other = [...flags.slice(2), '-data-dir', join(directory, 'n2'), '-name', 'n2', '-o', 'json']
  const alike = await raftbase('snapshot', 'restore', path, ...other)
  expect(JSON.parse(alike.stdout)).toMatchObject({
    name: 'n2',
    token: 'again',
    revision: 3,
    source: { clusterId: SOURCE_CLUSTER, keyCount: 2 },
  })
})

test('restore -if-blank leaves what is this member’s, and only that, as it is', async () => {
  const path = join(directory, 'a.snap')
  const dataDir = join(directory, 'n1')
  await writeFile(path, FILE)
  const flags = ['snapshot', 'restore', path, '-data-dir', dataDir, '-if-blank', '-o', 'json']
  const first = await raftbase(...flags, '-initial-cluster-token', 'a')
  expect(JSON.parse(first.stdout)).toMatchObject({ restored: true })
  const before = await readFile(join(dataDir, 'restored.json'), 'utf8')
  await writeFile(path, 'damaged by now, and not even looked at')
  const second = await raftbase(...flags, '-initial-cluster-token', 'a')
  expect(second).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(second.stdout)).toEqual({ dataDir, name: 'n1', restored: false })
  const other = await raftbase(...flags, '-initial-cluster-token', 'b')
  expect(other.code).toBe(1)
  expect(JSON.parse(other.stderr)).toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
  expect(await readFile(join(dataDir, 'restored.json'), 'utf8')).toBe(before)
})

test.each([
  [['save'], 'FILE: is missing'],
  [
    ['restore', 'f', '-name', 'n4', '-initial-cluster', 'n1=http://a:1'],
    `couldn't find local name "n4"`,
  ],
  [
    ['restore', 'f', '-initial-cluster', 'n1=http://a:1'],
    'is http://127.0.0.1:2380 but -initial-cluster has n1=http://a:1',
  ],
  [['restore', 'f', '-bump-revision', '5'], '-bump-revision: is given without -mark-compacted'],
  [['restore', 'f', '-mark-compacted'], '-mark-compacted: is given without -bump-revision'],
  [['restore', 'f', '-bump-revision', '9007199254740993', '-mark-compacted'], '-bump-revision: is'],
  [['verfy', 'f'], 'did you mean verify?'],
])('a malformed command line ends with 2: %j', async (argv, problem) => {
  const { code, stderr } = await raftbase('snapshot', ...argv)
  expect(code).toBe(2)
  expect(stderr).toContain(problem)
})
