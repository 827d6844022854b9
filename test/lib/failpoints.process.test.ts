// Failpoints: what they accept, that the list and the sources agree, and that a release contains none of them.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import {
  activateFailpoints,
  FAILPOINTS,
  Failpoints,
  failpointsIn,
  parseFailpoints,
} from '../../lib/failpoints.ts'
import { hasCode } from '../../lib/errors.ts'
import { eventually, freePorts } from '../support/process-cluster.ts'

const ROOT = join(import.meta.dirname, '../..')
const run = promisify(execFile)

let directory = ''
afterEach(async () => {
  if (directory !== '') await rm(directory, { recursive: true, force: true })
  directory = ''
})

async function filesBelow(path: string, ending: string): Promise<string[]> {
  const names = await readdir(path, { recursive: true })
  return names.filter((name) => name.endsWith(ending)).map((name) => join(path, name))
}

describe('the variable', () => {
  test('names places, actions, when they begin and how often they happen', () => {
    expect(
      parseFailpoints(
        'walAfterFlush=exit@40; beforeApply=sleep(0..200);walReserve=error(NO_SPACE)*1;',
      ),
    ).toEqual([
      {
        name: 'walAfterFlush',
        action: { type: 'exit' },
        first: 40,
        count: Number.POSITIVE_INFINITY,
      },
      {
        name: 'beforeApply',
        action: { type: 'sleep', fromMs: 0, toMs: 200 },
        first: 1,
        count: Number.POSITIVE_INFINITY,
      },
      { name: 'walReserve', action: { type: 'error', code: 'NO_SPACE' }, first: 1, count: 1 },
    ])
    expect(parseFailpoints('')).toEqual([])
  })

  test.each([
    'nowhere=exit',
    'walReserve=error(NOTHING)',
    'walReserve=explode',
    'walReserve',
    'a=sleep()',
  ])('is refused when it is mistyped: %s', (text) => {
    let error: unknown
    try {
      parseFailpoints(text)
    } catch (thrown) {
      error = thrown
    }
    expect(hasCode(error, 'CONFIG_INVALID')).toBe(true)
  })
})

describe('places', () => {
  test('become calls, line for line, and leave everything else alone', () => {
    const source = [
      'const a = 1',
      '  // failpoint: await walBeforeWrite',
      "  // failpoint: beforeApply if role === 'x'",
      '  // a comment about failpoint: nothing',
      'done()',
    ]
    expect(activateFailpoints(source.join('\n')).split('\n')).toEqual([
      'const a = 1',
      "  ;await globalThis.raftbaseFailpoint(true, 'walBeforeWrite');",
      "  ;if (role === 'x') globalThis.raftbaseFailpoint(false, 'beforeApply');",
      '  // a comment about failpoint: nothing',
      'done()',
    ])
  })

  test('in the sources are exactly those that are listed, each once', async () => {
    const found: string[] = []
    for (const file of await filesBelow(join(ROOT, 'member/src'), '.ts'))
      found.push(...failpointsIn(await readFile(file, 'utf8')))
    expect(found.toSorted()).toEqual([...FAILPOINTS])
  })

  test('act from their first time on, as often as they should', async () => {
    const points = new Failpoints()
    points.set(parseFailpoints('walReserve=error(NO_SPACE)@2*2'))
    const outcomes = Array.from({ length: 5 }, () => {
      try {
        return points.reached(true, 'walReserve') ?? 'passed'
      } catch {
        return 'failed'
      }
    })
    expect(outcomes).toEqual(['passed', 'failed', 'failed', 'passed', 'passed'])
    points.set(parseFailpoints('walReserve=sleep(30)'))
    const fromMs = performance.now()
    await points.reached(true, 'walReserve')
    void points.reached(false, 'walReserve')
    expect(performance.now() - fromMs).toBeGreaterThanOrEqual(58)
    expect(points.reached(true, 'beforeApply')).toBe(undefined)
  })
})

test('a release has no failpoints: no file, no call, and the variable does nothing', async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftbase-release-'))
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', directory], {
    cwd: ROOT,
  })
  const files = await filesBelow(directory, '.js')
  expect(files.length).toBeGreaterThan(100)
  expect(files.filter((file) => file.includes('failpoint'))).toEqual([])
  const left: string[] = []
  for (const file of files) {
    const code = (await readFile(file, 'utf8')).replaceAll(/^[ \t]*\/\/.*$/gm, '')
    if (code.toLowerCase().includes('failpoint')) left.push(file)
  }
  expect(left).toEqual([])
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  // With each place set to exit, it elects itself and stores what it is given.
  const [client, peer, api] = (await freePorts(3)) as [number, number, number]
  const url = `http://127.0.0.1:${api}`
  const member = spawn(
    process.execPath,
    [
      join(directory, 'member/src/main.js'),
      `-data-dir=${join(directory, 'data')}`,
      `-client-url=http://127.0.0.1:${client}`,
      `-peer-url=http://127.0.0.1:${peer}`,
      `-api-addr=127.0.0.1:${api}`,
    ],
    {
      env: {
        ...process.env,
        RAFTBASE_FAILPOINTS: FAILPOINTS.map((name) => `${name}=exit`).join(';'),
      },
      stdio: 'ignore',
    },
  )
  const ended = once(member, 'exit')
  try {
    await eventually('the put', async () => {
      const put = await fetch(`${url}/v1/kv/a`, { method: 'PUT', body: 'b' }).catch(() => undefined)
      return put?.status === 200 ? true : undefined
    })
  } finally {
    member.kill('SIGTERM')
  }
  expect(await ended).toEqual([0, null])
}, 60_000)
