// A configuration file that changes under a running member: what takes effect, what waits for a restart, what is refused.

import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '../../lib/logger.ts'
import { type LoadedConfig, loadMemberConfig } from '../../member/src/config.ts'
import { type DynamicSettings, LiveConfig } from '../../member/src/live-config.ts'
import { MEMBER_SETTINGS } from '../../member/src/settings.ts'
import { ManualTimers } from '../support/manual-timers.ts'
import { eventually } from '../support/process-cluster.ts'

let directory = ''
let file = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftbase-live-'))
  file = join(directory, 'raftbase.json')
})
afterEach(() => rm(directory, { recursive: true }))

interface Scene {
  readonly live: LiveConfig
  readonly changes: DynamicSettings[]
  readonly lines: string[]
  /** Lets a second pass and waits until the status says what it must. */
  readonly until: (expected: object) => Promise<void>
}

type Content = Readonly<Record<string, unknown>>

async function scene(content: Content, argv: readonly string[] = []): Promise<Scene> {
  await write(content)
  return sceneOf([`-config=${file}`, ...argv])
}

async function sceneOf(
  argv: readonly string[],
  beforeFirstLook: () => Promise<void> = async () => undefined,
): Promise<Scene> {
  const sources = { argv, environment: {}, workingDirectory: directory }
  const { readFileSync } = await import('node:fs')
  const readFile = (path: string): string => readFileSync(path, 'utf8')
  const loaded = loadMemberConfig({ ...sources, readFile })
  expect(loaded.kind).toBe('config')
  const timers = new ManualTimers()
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  const log = createLogger({ level: 'info', destination })
  const live = new LiveConfig({
    ...sources,
    loaded: loaded as Extract<LoadedConfig, { kind: 'config' }>,
    clock: timers,
    timers,
    log,
  })
  const changes: DynamicSettings[] = []
  live.onChange((settings) => changes.push(settings))
  await beforeFirstLook()
  await live.start()
  const until = async (expected: object): Promise<void> => {
    await eventually(
      'the status',
      () => {
        timers.advance(1000)
        return JSON.stringify(live.status) === JSON.stringify(expected) ? true : undefined
      },
      { explain: () => JSON.stringify(live.status) },
    )
  }
  return { live, changes, lines, until }
}

/** As an editor does: a new file under the old name. */
async function write(content: unknown): Promise<void> {
  const text = typeof content === 'string' ? content : JSON.stringify(content)
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

test('what can change does, is published once, and is acknowledged by the epoch of the file', async () => {
  const { live, changes, lines, until } = await scene({ epoch: 1, 'log-level': 'info' })
  expect(live.status).toEqual({ epoch: 1, pendingRestart: [] })
  await write({
    epoch: 2,
    'log-level': 'debug',
    'quota-backend-bytes': 5_000_000,
    'max-request-bytes': '100000',
    'snapshot-log-bytes': 70_000,
    'auto-compaction-mode': 'revision',
    'auto-compaction-retention': 500,
  })
  await until({ epoch: 2, pendingRestart: [] })
  const expected = {
    logLevel: 'debug',
    snapshotLogBytes: 70_000,
    quotaBackendBytes: 5_000_000,
    maxRequestBytes: 100_000,
    autoCompaction: { mode: 'revision', retentionRevisions: 500 },
  }
  expect(live.current).toEqual(expected)
  expect(changes).toEqual([expected])
  expect(lines.filter((line) => line.includes('configuration changed'))).toHaveLength(1)
  // A setting that is left out goes back to its default.
  await write({ epoch: 3 })
  await until({ epoch: 3, pendingRestart: [] })
  expect(live.current.logLevel).toBe('info')
  live.stop()
})

test('what cannot change is named until it is as it was, and everything else takes effect', async () => {
  const { live, lines, until } = await scene({ epoch: 1, name: 'n1' })
  await write({ epoch: 2, 'heartbeat-interval': 50, 'api-addr': ':9090', 'log-level': 'warn' })
  await until({ epoch: 2, pendingRestart: ['api-addr', 'heartbeat-interval', 'name'] })
  expect(live.current.logLevel).toBe('warn')
  expect(lines.filter((line) => line.includes('wait for a restart'))).toHaveLength(1)
  await write({ epoch: 3, name: 'n1' })
  await until({ epoch: 3, pendingRestart: [] })
  live.stop()
})

describe('a file that is refused changes nothing', () => {
  test.each([
    [
      'one bad value among good ones',
      { 'log-level': 'debug', 'quota-backend-bytes': 7 },
      /quota-backend-bytes: .*range/,
    ],
    ['a setting that does not exist', { 'log-levle': 'debug' }, /log-levle.*did you mean/],
    ['no JSON', '{"log-level": "deb', /cannot be read/],
    ['an epoch that fell', { epoch: 4, 'log-level': 'debug' }, /epoch fell from 5 to 4/],
    ['an epoch that is none', { epoch: '6' }, /is not an epoch/],
    ['no epoch any more', { 'log-level': 'debug' }, /epoch fell from 5 to none/],
  ])('%s', async (_name, content, problem) => {
    const { live, changes, lines, until } = await scene({ epoch: 5, 'log-level': 'info' })
    await write(content)
    await eventually('the problem', async () => {
      await until({ ...live.status })
      return live.status?.problem
    })
    expect(live.status).toEqual({
      epoch: 5,
      pendingRestart: [],
      problem: expect.stringMatching(problem),
    })
    expect(changes).toEqual([])
    expect(live.current.logLevel).toBe('info')
    const refused = lines.filter((line) => line.includes('configuration refused'))
    expect(refused).toHaveLength(1)
    await write({ epoch: 6, 'log-level': 'warn' })
    await until({ epoch: 6, pendingRestart: [] })
    expect(live.current.logLevel).toBe('warn')
    live.stop()
  })

  test('a file that is gone, or far too large', async () => {
    const { live, until } = await scene({ 'log-level': 'warn' })
    await rm(file)
    await until({ pendingRestart: [], problem: 'cannot be read (ENOENT)' })
    await write(' '.repeat(1024 * 1024 + 1))
    await until({ pendingRestart: [], problem: 'cannot be read (EFBIG)' })
    expect(live.current.logLevel).toBe('warn')
    live.stop()
  })
})

test('a flag wins over the file, after a change as at the start', async () => {
  const { live, changes, until } = await scene({ epoch: 1 }, ['-log-level', 'error'])
  await write({ epoch: 2, 'log-level': 'debug' })
  await until({ epoch: 2, pendingRestart: [] })
  expect(live.current.logLevel).toBe('error')
  expect(changes).toEqual([])
  live.stop()
})

test('a mounted ConfigMap changes by an exchange of symbolic links', async () => {
  const publish = async (name: string, content: Content): Promise<void> => {
    await mkdir(join(directory, name))
    await writeFile(join(directory, name, 'raftbase.json'), JSON.stringify(content))
    await symlink(name, join(directory, '..data_tmp'))
    await rename(join(directory, '..data_tmp'), join(directory, '..data'))
  }
  await publish('..1', { epoch: 1 })
  await symlink('..data/raftbase.json', file)
  const { live, until } = await sceneOf([`-config=${file}`])
  await publish('..2', { epoch: 2, 'log-level': 'debug' })
  await rm(join(directory, '..1'), { recursive: true })
  await until({ epoch: 2, pendingRestart: [] })
  expect(live.current.logLevel).toBe('debug')
  live.stop()
})

test('a change between the first read and the first look is not missed', async () => {
  await write({ epoch: 1 })
  const { live, until } = await sceneOf([`-config=${file}`], () =>
    write({ epoch: 2, 'log-level': 'debug' }),
  )
  await until({ epoch: 2, pendingRestart: [] })
  expect(live.current.logLevel).toBe('debug')
  live.stop()
})

test('a file that becomes a pipe nobody writes to is refused, and one that comes after it is read', async () => {
  const { live, until } = await scene({ epoch: 1 })
  await rm(file)
  execFileSync('mkfifo', [file])
  await until({ epoch: 1, pendingRestart: [], problem: 'cannot be read (not a file)' })
  await write({ epoch: 2 })
  await until({ epoch: 2, pendingRestart: [] })
  expect(live.status?.epoch).toBe(2)
  live.stop()
})

test('what comes through a pipe at the start does not change', async () => {
  await write({ epoch: 1, 'log-level': 'warn' })
  const { live } = await sceneOf([`-config=${file}`], async () => {
    await rm(file)
    execFileSync('mkfifo', [file])
  })
  expect(live.status).toEqual({ epoch: 1, pendingRestart: [] })
  expect(live.current.logLevel).toBe('warn')
})

test('without a file there is nothing to tell', async () => {
  const { live } = await sceneOf([])
  expect(live.status).toBeUndefined()
  live.stop()
})

test('every setting is one that changes at once or one that waits', () => {
  const dynamic = MEMBER_SETTINGS.filter((setting) => 'isDynamic' in setting)
  expect(dynamic.map(({ name }) => name)).toEqual([
    'snapshot-log-bytes',
    'quota-backend-bytes',
    'auto-compaction-mode',
    'auto-compaction-retention',
    'max-request-bytes',
    'log-level',
  ])
})
