// The command line as a user meets it: real processes, exit codes, texts. Golden texts are rewritten with UPDATE_GOLDEN=1.

import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { COMMAND_TABLE } from '../../../member/src/cli/commands.ts'
import { commandHelp } from '../../../member/src/cli/help.ts'
import { memberHelp } from '../../../member/src/cli/overview.ts'
import { VERSION } from '../../../member/src/version.ts'
import { command, LAUNCHER, REPOSITORY, raftbase, run } from './support.ts'

function expectGolden(name: string, text: string): void {
  const path = join(import.meta.dirname, 'testdata', name)
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text)
  expect(text).toBe(readFileSync(path, 'utf8'))
}

describe('--help', () => {
  test.each([
    ['help-member.txt', ['--help']],
    ['help-member.txt', ['-h', '-name=n1', '--nonsense']],
    ['help-member.txt', ['help']],
    ['help-dev.txt', ['dev', '-help']],
    ['help-dev.txt', ['help', 'dev']],
    ['help-status.txt', ['status', '--help']],
    ['help-members.txt', ['member', '--help']],
    ['help-members.txt', ['help', 'member']],
    ['help-member-replace.txt', ['member', 'replace', 'n3', '-h']],
    ['help-leader-transfer.txt', ['help', 'leader', 'transfer']],
    ['help-completion.txt', ['completion', '--help']],
    ['help-snapshot.txt', ['snapshot', '--help']],
    ['help-snapshot-save.txt', ['snapshot', 'save', '-h']],
    ['help-snapshot-restore.txt', ['help', 'snapshot', 'restore']],
  ])('prints %s for %j', async (golden, argv) => {
    const { code, stdout, stderr } = await command(...argv)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expectGolden(golden, stdout)
  })

  test('of each command fits a terminal of 100 columns and has an example', () => {
    const texts = [memberHelp(COMMAND_TABLE), ...COMMAND_TABLE.commands.map(commandHelp)]
    const lines = texts.flatMap((text) => text.split('\n'))
    expect(lines.filter((line) => line.length > 100)).toEqual([])
    expect(
      texts.filter((text) => !/^Example.*\n  raftbase |^Example.*\n  source/m.test(text)),
    ).toEqual([])
  })
})

test('--version prints four lines, the first for tools (CFG-4)', async () => {
  const { code, stdout } = await raftbase('--version')
  const lines = stdout.split('\n')
  expect({ code, first: lines[0], count: lines.length }).toEqual({
    code: 0,
    first: `raftbase Version: ${VERSION}`,
    count: 5,
  })
})

test('the version is the one of the package', () => {
  const manifest: unknown = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
  expect(manifest).toMatchObject({ version: VERSION, bin: { raftbase: 'member/raftbase.js' } })
})

describe('a malformed command line ends with 2 and one line', () => {
  test.each([
    [['stauts'], 'raftbase: "stauts" is not a command; did you mean status?'],
    [['start'], 'raftbase: "start" is not a command; see raftbase --help'],
    [['member', 'lsit'], 'raftbase member: "lsit" is not a command; did you mean list?'],
    [['member', 'x'], 'raftbase member: "x" is not a command; see raftbase member --help'],
    [['leader'], 'raftbase leader: a command is missing: leader transfer'],
    [['help', 'membr'], 'raftbase: "membr" is not a command; did you mean member?'],
    [['member', 'remove'], 'raftbase member remove: MEMBER: is missing'],
    [['member', 'remove', 'a', 'b'], 'raftbase member remove: "b": is one argument too many'],
    [['member', 'add', 'n4'], 'raftbase member add: -peer-urls: is missing'],
    [
      ['member', 'add', 'n 4', '--peer-urls', 'http://a:1'],
      'raftbase member add: NAME: is not a member name (given "n 4"); accepted: letters, digits, dots, dashes, ' +
        'underscores; first a letter or digit',
    ],
    [
      ['member', 'promote', 'n4', '--expected-epok', '1'],
      'raftbase member promote: -expected-epok: flag provided but not defined; did you mean -expected-epoch?',
    ],
    [
      ['leader', 'transfer', '--timeout', '1h'],
      'raftbase leader transfer: -timeout: is not a duration (given "1h"); accepted: a duration like 500ms, ' +
        '10s or 5m, from 100ms to 10m',
    ],
    [
      ['completion', 'tcsh'],
      'raftbase completion: SHELL: is not one of them (given "tcsh"); accepted: bash, zsh, fish',
    ],
    [['version', 'x'], 'raftbase version: "x": is one argument too many'],
    [['-nmae', 'n1'], 'raftbase: -nmae: flag provided but not defined; did you mean -name?'],
    [
      ['-bcrypt-cost=4'],
      'raftbase: -bcrypt-cost: is an etcd flag that raftbase does not support yet',
    ],
    [['-name'], 'raftbase: -name: flag needs an argument'],
    [
      ['dev', '--members', '4'],
      'raftbase dev: -members: is not a number of members (given "4"); accepted: 1, 3 or 5',
    ],
    [
      ['status', '-o', 'yaml'],
      'raftbase status: -o: is not one of the accepted words (given "yaml"); accepted: table or json',
    ],
  ])('%j', async (argv, line) => {
    // A member's own flags are read by a process: what is wrong with them may be a log line.
    const ask = argv[0]!.startsWith('-') ? raftbase : command
    expect(await ask(...argv)).toEqual({ code: 2, stdout: '', stderr: `${line}\n` })
  })
})

test('refused values are log lines that name the field, and end with 1 (LOG-4)', async () => {
  const { code, stdout, stderr } = await raftbase('-name=a/b', '-api-addr=nowhere')
  const lines = stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(lines).toMatchObject([
    { level: 'fatal', msg: 'configuration refused', field: '-name', given: 'a/b' },
    { level: 'fatal', msg: 'configuration refused', field: '-api-addr', given: 'nowhere' },
  ])
})

const status = (memberId: string, name: string, changed: object = {}) => ({
  memberId,
  name,
  state: 'running',
  dataDirectory: { state: 'Valid' },
  ready: true,
  role: 'follower',
  term: 4,
  revision: 9,
  committed: 20,
  applied: 20,
  ...changed,
})

/** Answers as the REST API of one member; the paths it does not know are 404. */
async function serve(routes: Record<string, unknown>): Promise<{ url: string; close: () => void }> {
  const listener: RequestListener = ({ url }, response) => {
    const body = routes[url ?? '']
    response.statusCode = body === undefined ? 404 : 200
    response.end(JSON.stringify(body ?? {}))
  }
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() }
}

const node = (name: string, id: string, apiUrls: string[], role = 'follower') => {
  return {
    id,
    name,
    status: role,
    clientUrls: [`http://${name}:1`],
    peerUrls: [`http://${name}:2`],
    apiUrls,
  }
}

describe('status', () => {
  test('shows every member, from its own answer where it gives one', async () => {
    const second = await serve({ '/v1/status': status('b', 'n2', { applied: 15, ready: false }) })
    const gone = await serve({})
    gone.close()
    const routes: Record<string, unknown> = { '/v1/status': status('a', 'n1', { role: 'leader' }) }
    const first = await serve(routes)
    routes['/cluster/nodes'] = {
      nodes: [
        node('n1', 'a', [first.url], 'leader'),
        node('n2', 'b', [second.url]),
        node('n3', 'c', [gone.url], 'unreachable'),
        node('n4', 'd', [first.url]),
        node('n5', 'e', []),
      ],
    }
    const table = await raftbase('status', '--endpoint', first.url)
    const json = await raftbase('status', '--endpoint', first.url, '-o', 'json')
    first.close()
    second.close()
    expect({ code: table.code, stderr: table.stderr }).toEqual({ code: 0, stderr: '' })
    const shown = table.stdout.replaceAll(first.url, 'FIRST').replaceAll(second.url, 'SECOND')
    expect(shown.replaceAll(gone.url, 'GONE').replaceAll(/ +$/gm, '')).toBe(
      `NAME  ID  ROLE      HEALTH       TERM  REVISION  APPLIED  LAG  CLIENT URL   PEER URL     API URL
n1    a   leader    ok           4     9         20       0    http://n1:1  http://n1:2  FIRST
n2    b   follower  not ready    4     9         15       5    http://n2:1  http://n2:2  SECOND
n3    c   unknown   unreachable  -     -         -        -    http://n3:1  http://n3:2  GONE
n4    d   follower  unreachable  -     -         -        -    http://n4:1  http://n4:2  FIRST
n5    e   follower  unreachable  -     -         -        -    http://n5:1  http://n5:2  -
`,
    )
    const { members } = JSON.parse(json.stdout) as { members: Record<string, unknown>[] }
    expect(members.map((member) => member['reason'])).toEqual([
      null,
      null,
      `${gone.url}: connection refused`,
      `${first.url} belongs to another member`,
      'has not told its API address',
    ])
  })

  test('shows members that do not take part, with the reason', async () => {
    const parked = await serve({
      '/cluster/nodes': { nodes: [] },
      '/v1/status': {
        name: 'n3',
        state: 'parked',
        ready: false,
        notReadyReason: 'parked',
        dataDirectory: { state: 'AwaitingReplacement' },
      },
    })
    const { code, stdout } = await raftbase('status', '--endpoint', parked.url)
    parked.close()
    expect(code).toBe(0)
    expect(stdout.split('\n')[1]).toMatch(/^n3 +- +- +not ready: parked \(AwaitingReplacement\) /)
  })

  test('says why the endpoint does not answer, and ends with 1', async () => {
    const gone = await serve({})
    gone.close()
    expect(await raftbase('status', `-endpoint=${gone.url}`)).toEqual({
      code: 1,
      stdout: '',
      stderr: `raftbase status: ${gone.url}: connection refused (PEER_UNREACHABLE)\n`,
    })
  })

  test('tells a stranger from a member', async () => {
    const stranger = await serve({ '/cluster/nodes': { nodes: 'none' } })
    const { code, stderr } = await raftbase('status', '-endpoint', stranger.url)
    stranger.close()
    expect(code).toBe(1)
    expect(stderr).toContain('does not answer as a member does')
  })
})

describe.skipIf(!existsSync('/usr/bin/node'))(
  "the launcher under the machine's own Node.js",
  () => {
    test('hands over to Node.js 24 and passes arguments and exit code on', async () => {
      const version = await run('/usr/bin/node', [LAUNCHER, '--version'])
      expect(version).toMatchObject({ code: 0, stderr: '' })
      expect(version.stdout).toContain(`Node.js Version: ${process.versions.node}\n`)
      expect((await run('/usr/bin/node', [LAUNCHER, '-nmae'])).code).toBe(2)
    })
  },
)

test('a closed standard output is no crash', async () => {
  const child = spawn(process.execPath, [LAUNCHER, '--version'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.destroy()
  const stderr: Buffer[] = []
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  await new Promise((resolve) => child.once('close', resolve))
  expect(Buffer.concat(stderr).toString()).toBe('')
})
