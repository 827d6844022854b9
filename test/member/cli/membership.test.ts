// `raftbase member …` and `raftbase leader …` against servers that answer as members do: who is asked, with what, how often,
// and what comes of it. What members make of it is test/member/node's; the whole of it runs in test/faults/operations.test.ts.

import { describe, expect, test } from 'vitest'
import {
  type Asked,
  type FakeMember,
  fakeMember,
  LAUNCHER,
  command,
  type Reply,
  run,
} from './support.ts'

const [A, B, C, D] = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(16)) as [
  string,
  string,
  string,
  string,
]

interface Described {
  readonly id: string
  readonly name: string
  readonly role?: 'voter' | 'learner'
}

const MEMBERS: readonly Described[] = [
  { id: A, name: 'n1' },
  { id: B, name: 'n2' },
  { id: C, name: 'n3' },
  { id: D, name: 'n3', role: 'learner' },
]

const LOOKS = new Set(['/cluster/nodes', '/cluster/members'])

function isLook({ method, path }: Asked): boolean {
  return method === 'GET' && LOOKS.has(path)
}

function described(members: readonly Described[], epoch = 12): object {
  return {
    epoch,
    members: members.map(({ id, name, role = 'voter' }) => ({
      id,
      name,
      role,
      peerUrls: [`http://${name}:2380`],
      clientUrls: [],
      apiUrls: [],
      version: '0.1.0',
    })),
  }
}

/** Answers looks by itself; `n1` leads, at `leaderUrl()` or nowhere. */
function cluster(
  change: (asked: Asked) => Reply,
  options: { readonly leaderUrl?: () => string; readonly epoch?: () => number } = {},
): Promise<FakeMember> {
  const { leaderUrl, epoch } = options
  return fakeMember((asked) => {
    if (!isLook(asked)) return change(asked)
    if (asked.path === '/cluster/members') return { json: described(MEMBERS, epoch?.()) }
    const apiUrls = leaderUrl === undefined ? [] : [leaderUrl()]
    const nodes = MEMBERS.map(({ id, name }) => {
      return {
        id,
        name,
        status: id === A ? 'leader' : 'follower',
        apiUrls: id === A ? apiUrls : [],
      }
    })
    return { json: { nodes } }
  })
}

function changes({ asked }: FakeMember): readonly string[] {
  return asked
    .filter((one) => !isLook(one))
    .map(({ method, path, query, body }) => {
      const epoch = query.has('expectedEpoch') ? ` at ${query.get('expectedEpoch')}` : ''
      return `${method} ${path}${epoch}${body === undefined ? '' : ` ${JSON.stringify(body)}`}`
    })
}

const done: Reply = { json: described(MEMBERS, 13) }

function problem(status: number, code: string, details: object = {}): Reply {
  const outcome = code === 'OUTCOME_UNKNOWN' ? 'unknown' : 'notApplied'
  const json = { type: 'x', title: 'X', status, detail: 'why not', code, outcome, ...details }
  return { status, json }
}

describe('member', () => {
  test('list shows a table for people and JSON for programs', async () => {
    const member = await cluster(() => undefined)
    const table = await command('member', 'list', '--endpoints', member.url)
    expect(table.stdout).toBe(`epoch 12
ID                NAME  ROLE     PEER URLS       CLIENT URLS  API URLS  VERSION
${A}  n1    voter    http://n1:2380  -            -         0.1.0
${B}  n2    voter    http://n2:2380  -            -         0.1.0
${C}  n3    voter    http://n3:2380  -            -         0.1.0
${D}  n3    learner  http://n3:2380  -            -         0.1.0
`)
    const json = await command('member', 'list', '-o', 'json', '--endpoints', member.url)
    expect(JSON.parse(json.stdout)).toEqual(described(MEMBERS))
    expect([table.code, json.code]).toEqual([0, 0])
  })

  test.each([
    [
      ['add', 'n4', '--peer-urls', 'http://n4:2380', '--incarnation=2'],
      'POST /cluster/members at 12 {"name":"n4","peerUrls":["http://n4:2380"],"incarnation":2}',
    ],
    [['promote', 'n3'], `POST /cluster/members/${D}/promote at 12 {"together":[]}`],
    [['promote', D, B], `POST /cluster/members/${D}/promote at 12 {"together":["${B}"]}`],
    [['remove', 'n2'], `DELETE /cluster/members/${B} at 12`],
    [['remove', C, '--expected-epoch', '7'], `DELETE /cluster/members/${C} at 7`],
    [
      ['update', 'n2', '--peer-urls', 'http://10.0.0.9:2380'],
      `PATCH /cluster/members/${B} at 12 {"peerUrls":["http://10.0.0.9:2380"]}`,
    ],
    [['replace', 'n3'], `POST /cluster/members/${C}/replace at 12 {"by":"${D}"}`],
    [['replace', 'n2', 'n3'], `POST /cluster/members/${B}/replace at 12 {"by":"${D}"}`],
  ])('%j asks for %s', async (argv, asked) => {
    const member = await cluster(() => done)
    const { code, stderr } = await command('member', ...argv, '--endpoints', member.url)
    expect({ code, stderr, asked: changes(member) }).toEqual({
      code: 0,
      stderr: '',
      asked: [asked],
    })
  })

  test('add of one that has a vote already says so, and what is meant if its disk was lost', async () => {
    const member = await cluster(() => ({ json: { ...described(MEMBERS, 13), id: B } }))
    const argv = ['member', 'add', 'n2', '--peer-urls', 'http://n2:2380', '--endpoint', member.url]
    const { code, stdout } = await command(...argv)
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `n2 is a voter already, with the id ${B}, reached at http://n2:2380 (epoch 13)
if its disk was lost, add it again with a higher --incarnation
`,
    })
  })

  test.each([
    [['remove', 'n9'], 'there is no member n9; there are: n1, n2, n3, n3'],
    [['remove', 'n3'], `several members are called n3; give an id: ${C} (voter), ${D} (learner)`],
    [['replace', 'n2'], 'there is no learner called n2: add it first'],
  ])('%j asks for nothing: %s', async (argv, reason) => {
    const member = await cluster(() => done)
    const { code, stderr } = await command('member', ...argv, '--endpoints', member.url)
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `raftbase member ${argv[0]}: ${reason} (INVALID_ARGUMENT)\n`,
    })
    expect(changes(member)).toEqual([])
  })
})

describe('a change', () => {
  test('finds the leader from any endpoint, past those that are not there', async () => {
    const gone = await fakeMember(() => undefined)
    await gone.close()
    const leader = await cluster(() => done)
    const follower = await cluster(() => {
      return problem(409, 'NOT_LEADER', { leader: A, leaderApiUrls: [leader.url] })
    })
    const endpoints = `${gone.url},${follower.url}`
    const { code } = await run(process.execPath, [LAUNCHER, 'member', 'remove', 'n2'], {
      RAFTBASE_ENDPOINTS: endpoints,
    })
    expect({ code, asked: changes(leader) }).toEqual({
      code: 0,
      asked: [`DELETE /cluster/members/${B} at 12`],
    })
  })

  test('is asked for again when its answer was lost, word for word', async () => {
    let answers = 0
    const member = await cluster(() => (answers++ === 0 ? undefined : done))
    const { code, stdout } = await command('member', 'remove', 'n2', '--endpoint', member.url)
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'n2 is removed (epoch 13)\n' })
    const [first, second, ...more] = changes(member)
    expect([second, more]).toEqual([first, []])
  })

  test.each(['NO_LEADER', 'OVERLOADED', 'OUTCOME_UNKNOWN', 'SHUTTING_DOWN', 'NOT_READY'])(
    'is asked for again after %s',
    async (code) => {
      let answers = 0
      const member = await cluster(() => (answers++ === 0 ? problem(503, code) : done))
      const result = await command('member', 'remove', 'n2', '--endpoint', member.url)
      expect([result.code, changes(member).length]).toEqual([0, 2])
    },
  )

  test('is fenced by the epoch its names were looked up in, and looks again when that is over', async () => {
    let epoch = 12
    const member = await cluster(
      ({ query }) => {
        if (query.get('expectedEpoch') === '13') return done
        epoch = 13
        return problem(409, 'MEMBERSHIP_CONFLICT', { expectedEpoch: 12, epoch })
      },
      { epoch: () => epoch },
    )
    const result = await command('member', 'remove', 'n2', '--endpoint', member.url)
    expect(result.code).toBe(0)
    expect(changes(member)).toEqual([12, 13].map((n) => `DELETE /cluster/members/${B} at ${n}`))
  })

  test('that means a membership of its own is refused once that is over', async () => {
    const member = await cluster(() => problem(409, 'MEMBERSHIP_CONFLICT', { epoch: 13 }))
    const argv = ['member', 'remove', 'n2', '--expected-epoch=12', '--endpoint', member.url]
    expect(await command(...argv)).toEqual({
      code: 1,
      stdout: '',
      stderr: 'raftbase member remove: why not (MEMBERSHIP_CONFLICT) outcome=notApplied epoch=13\n',
    })
    const json = await command(...argv, '-o', 'json')
    expect([json.code, json.stdout]).toEqual([1, ''])
    expect(JSON.parse(json.stderr)).toMatchObject({ code: 'MEMBERSHIP_CONFLICT', epoch: 13 })
  })

  test('of a learner that is behind is refused with the figures, or waits for it', async () => {
    const behind = problem(503, 'NOT_READY', { member: D, match: 5, lastIndex: 90_000 })
    let answers = 0
    const member = await cluster(() => (answers++ < 2 ? behind : done))
    const argv = ['member', 'promote', 'n3', '--endpoint', member.url]
    const refused = await command(...argv)
    expect([refused.code, refused.stderr]).toEqual([
      1,
      `raftbase member promote: why not (NOT_READY) outcome=notApplied member=${D} match=5 lastIndex=90000\n`,
    ])
    expect((await command(...argv, '--wait')).code).toBe(0)
    expect(changes(member)).toHaveLength(3)
    answers = -1000
    const waited = await command(...argv, '--wait', '--timeout=1s')
    expect([waited.code, waited.stderr]).toEqual([1, refused.stderr])
  })

  test('without an answer in time is in doubt, and says so', async () => {
    const member = await cluster(() => undefined)
    const argv = ['member', 'remove', 'n2', '--timeout=2s', '--endpoint', member.url]
    const { code, stderr } = await command(...argv)
    expect([code, stderr]).toEqual([1, expect.stringContaining('(OUTCOME_UNKNOWN)')])
    expect(changes(member).length).toBeGreaterThan(1)
  })

  test('asked of nobody ends at once', async () => {
    const gone = await fakeMember(() => undefined)
    await gone.close()
    const { code, stderr } = await command('member', 'remove', 'n2', '--endpoint', gone.url)
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `raftbase member remove: ${gone.url}: connection refused (PEER_UNREACHABLE)\n`,
    })
  })
})

describe('leader transfer', () => {
  test('that was tried and failed is told at once, one to a silent member in the end', async () => {
    const failed = await cluster(() => problem(504, 'TIMEOUT'))
    const tried = await command('leader', 'transfer', 'n2', '--endpoint', failed.url)
    expect([tried.code, tried.stderr]).toEqual([
      1,
      'raftbase leader transfer: why not (TIMEOUT) outcome=notApplied\n',
    ])
    expect(changes(failed)).toHaveLength(1)

    const leader = await cluster(() => problem(503, 'NOT_READY', { reason: 'silent', member: B }))
    const other = await cluster(() => problem(409, 'NOT_LEADER', { leaderApiUrls: [leader.url] }))
    const endpoints = `${other.url},${leader.url},${other.url.replace('127.0.0.1', 'localhost')}`
    const argv = ['leader', 'transfer', 'n2', '--timeout=1s', '--endpoints', endpoints]
    const silent = await command(...argv)
    expect([silent.code, silent.stderr]).toEqual([
      1,
      `raftbase leader transfer: why not (NOT_READY) outcome=notApplied reason=silent member=${B}\n`,
    ])
    expect(changes(leader).length).toBeGreaterThan(1)
    expect(changes(leader)).toHaveLength(changes(other).length)
  })

  test('names the target, or the leader that is to be relieved', async () => {
    const member = await cluster(() => ({ json: { leader: B, leaderName: 'n2' } }))
    const named = await command('leader', 'transfer', 'n2', '--endpoint', member.url)
    const any = await command('leader', 'transfer', '--endpoint', member.url, '-o=json')
    expect([named.code, named.stdout, any.code]).toEqual([0, 'n2 leads\n', 0])
    expect(JSON.parse(any.stdout)).toEqual({ leader: B, leaderName: 'n2' })
    expect(changes(member)).toEqual([
      'POST /cluster/leader {"target":"n2"}',
      `POST /cluster/leader {"from":"${A}"}`,
    ])
  })
})

describe('finalize', () => {
  test('tells the level that the cluster has then, fenced by the epoch it is given', async () => {
    const member = await cluster(() => ({ json: { featureLevel: 3, epoch: 12 } }))
    const plain = await command('finalize', '--endpoint', member.url)
    const json = await command(
      'finalize',
      '--expected-epoch=12',
      '-o=json',
      '--endpoint',
      member.url,
    )
    expect([plain.code, plain.stdout, json.code]).toEqual([0, 'feature level 3\n', 0])
    expect(JSON.parse(json.stdout)).toEqual({ featureLevel: 3, epoch: 12 })
    expect(changes(member)).toEqual([
      'POST /cluster/finalize {}',
      'POST /cluster/finalize at 12 {}',
    ])
  })

  test('names the members that are too old', async () => {
    const member = await cluster(() => problem(409, 'LEVEL_UNSUPPORTED', { members: ['n2'] }))
    const { code, stderr } = await command('finalize', '--endpoint', member.url)
    expect([code, stderr]).toEqual([1, expect.stringContaining('(LEVEL_UNSUPPORTED)')])
    expect(stderr).toContain('n2')
    expect(changes(member)).toHaveLength(1)
  })
})

describe('compaction', () => {
  test('says what it did, and takes what has happened before for done', async () => {
    let isDone = false
    const member = await fakeMember(({ method }) => {
      if (method !== 'POST') return { json: {} }
      if (isDone) return problem(410, 'REVISION_COMPACTED', { compactRevision: 9, revision: 12 })
      isDone = true
      return { json: { compactRevision: 9, revision: 12 } }
    })
    const first = await command('compaction', '9', '--endpoint', member.url)
    const again = await command('compaction', '9', '--endpoint', member.url, '-o=json')
    expect([first.code, first.stdout]).toEqual([0, 'compacted revision 9\n'])
    expect([again.code, JSON.parse(again.stdout)]).toEqual([
      0,
      { compactRevision: 9, revision: 12 },
    ])
    expect(changes(member)).toEqual(Array(2).fill('POST /v1/compaction {"revision":9}'))
  })

  test('of a revision that is to come, or that is none, is refused', async () => {
    const member = await cluster(() => problem(400, 'REVISION_FUTURE', { revision: 12 }))
    const future = await command('compaction', '13', '--endpoint', member.url)
    expect([future.code, future.stderr]).toEqual([1, expect.stringContaining('revision=12')])
    for (const argv of [['x'], ['0'], [], ['1', '2'], ['-5']]) {
      expect((await command('compaction', ...argv, '--endpoint', member.url)).code).toBe(2)
    }
    expect(changes(member)).toHaveLength(1)
  })
})
